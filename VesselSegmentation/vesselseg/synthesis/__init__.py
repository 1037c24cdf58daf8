"""Drawn TOF-MRA scans with exact truth: vessel trees, their rasterisation, tissue around them, and the scan of both.

The steps are separate modules: `trees` (centrelines and radii, in mm), `drawing` (voxel occupancy and label),
`background` (tissue, real or simulated), `scan` (signal, blur, noise) and `dataset` (many scans into a folder). All
randomness comes from a `numpy.random.Generator` that the caller hands in.
"""
