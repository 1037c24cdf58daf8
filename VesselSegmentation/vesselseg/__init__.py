"""Segmentation of brain vessels in TOF-MRA scans: the processing library behind every front end.

Importing this package loads neither torch nor SimpleITK; each module imports what it needs where it is used, so that
``vesselseg --help`` and the start of 3D Slicer stay fast.
"""

__version__ = "0.1.0"
