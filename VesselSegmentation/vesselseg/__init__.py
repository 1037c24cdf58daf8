"""Segmentation of brain vessels in TOF-MRA scans: the processing library behind every front end.

Importing this package loads neither torch nor SimpleITK; each module imports what it needs, so that ``vesselseg --help``
and 3D Slicer's start stay fast.
"""

__version__ = "0.1.0"
