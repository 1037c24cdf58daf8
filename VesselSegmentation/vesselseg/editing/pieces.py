"""Remove what hangs together with a click."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from vesselseg.editing.edit import Edit
from vesselseg.editing.picking import SNAP_MM, Point, check_grids, nearest_voxel, removal
from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import connected_voxels


def remove_piece(label: NDArray[Any], geometry: Geometry, point: Point) -> Edit:
    """Remove the connected piece (26-connected) at a click.

    Parameters
    ----------
    label : ndarray, shape (Z, Y, X)
        bool, or 0 and 1.
    geometry : Geometry
        Its grid.
    point : Point
        The click, as voxel indices (k, j, i); they may be fractional.

    Returns
    -------
    Edit
        With the measure ``volume_mm3``.

    Raises
    ------
    VesselSegError
        If there is no label near the click, or the click is outside the scan.
    ValueError
        If an array does not have the shape of the grid.
    """
    check_grids(geometry, label=label)
    voxels = connected_voxels(label, nearest_voxel(label, geometry, point, SNAP_MM, what="vessel"))
    volume = len(voxels) * geometry.voxel_volume
    return removal(
        voxels,
        tool="remove piece",
        description=f"remove a connected piece of {volume:.1f} mm³",
        measures={"volume_mm3": volume},
    )
