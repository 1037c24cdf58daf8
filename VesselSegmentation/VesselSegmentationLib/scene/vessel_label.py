"""The vessels found beside those that a reader has named: written anew, kept, and whether they were edited since."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from vesselseg.boxes import box_between
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.node_geometry import matrix_between
from VesselSegmentationLib.scene.segment_voxels import on_grid, oriented_image, segment_voxels
from VesselSegmentationLib.scene.segmentation_nodes import (
    WHOLE_TAG,
    WRITTEN_TAG,
    fingerprint,
    named_arteries,
    named_vessels,
    release_segment,
    same_fingerprint,
    segment_tag,
    segment_with_role,
    set_segment_label,
    set_segment_tag,
    vessel_segment,
)


def set_vessel_label(segmentation_node: Any, volume_node: Any, label: Volume) -> str:
    """Write the vessels found into their segment, but for what a reader has taken out of them by name.

    Named arteries and veins keep their voxels: no vessel is there twice, and no vein comes back.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    volume_node : vtkMRMLScalarVolumeNode
    label : Volume
        As for `set_segment_label`.

    Returns
    -------
    str
        The segment's ID.

    Raises
    ------
    VesselSegError, ValueError
        As `set_segment_label`.
    """
    named = named_vessels(segmentation_node)
    if not named:
        return set_segment_label(segmentation_node, volume_node, label)
    to_label = matrix_between(segmentation_node, volume_node)
    if segment_with_role(segmentation_node) is None:
        keep_vessels(segmentation_node)  # the names were given in another label, which is not replaced
    rest = label.array != 0
    for each in named:
        rest &= on_grid(*segment_voxels(segmentation_node, each), to_label, label.geometry).array == 0
    segment_id = set_segment_label(segmentation_node, volume_node, label.with_array(rest.astype(np.uint8)))
    place = np.linalg.inv(to_label) @ label.geometry.ijk_to_ras()
    found = fingerprint(label.array != 0, Geometry.from_ijk_to_ras(place, label.geometry.size))
    set_segment_tag(segmentation_node, segment_id, WRITTEN_TAG, found)
    set_segment_tag(segmentation_node, segment_id, WHOLE_TAG, vessel_fingerprint(segmentation_node))
    return segment_id


def keep_vessels(segmentation_node: Any) -> None:
    """Let the vessels be the user's from now on: as `release_segment`, with the arteries that were named in them.

    The segments with these stay as well: they are parts of the vessels that are written next.
    """
    vessels, arteries = vessel_segment(segmentation_node), named_arteries(segmentation_node)
    if vessels is not None and arteries:
        mask, geometry = _together(segmentation_node, [vessels, *arteries])
        segmentation_node.GetSegmentation().SeparateSegmentLabelmap(vessels)
        image = oriented_image(mask, geometry.ijk_to_ras(), (0, 0, 0))
        slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, segmentation_node, vessels)
    release_segment(segmentation_node)


def vessel_fingerprint(segmentation_node: Any) -> str:
    """Describe the vessels together with those that were taken out of them by name; as `segment_fingerprint`."""
    vessels = segment_with_role(segmentation_node)
    if vessels is None:
        return ""
    return fingerprint(*_together(segmentation_node, [vessels, *named_vessels(segmentation_node)]))


def changed_since_written(segmentation_node: Any) -> bool:
    """Tell whether the vessels are others than were written: whether writing them anew takes edits away.

    Names, colours and transforms do not count, nor do saving and loading, nor moving voxels to a named vessel, which
    keeps them; an edit that was undone is none.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode

    Returns
    -------
    bool
        False if there are no vessels.
    """
    vessels = segment_with_role(segmentation_node)
    if vessels is None:
        return False
    written, whole = (segment_tag(segmentation_node, vessels, tag) for tag in (WRITTEN_TAG, WHOLE_TAG))
    return not same_fingerprint(whole or written, vessel_fingerprint(segmentation_node))


def _together(segmentation_node: Any, segment_ids: list[str]) -> tuple[NDArray[np.bool_], Geometry]:
    """Return the voxels of segments as one mask, in the lattice of the first that has any."""
    parts = [segment_voxels(segmentation_node, each) for each in segment_ids]
    held = [(mask, geometry) for mask, geometry in parts if mask.any()]
    if len(held) < 2:
        return (held or parts)[0]
    lattice = held[0][1]
    to_lattice = np.linalg.inv(lattice.ijk_to_ras())
    corners = np.hstack([to_lattice @ geometry.ijk_to_ras() @ geometry.corners() for _mask, geometry in held])[2::-1]
    grid = lattice.cropped(box_between(np.rint(corners.min(axis=1)), np.rint(corners.max(axis=1)) + 1))
    whole = np.zeros(grid.shape, bool)
    for mask, geometry in held:
        whole |= on_grid(mask, geometry, np.eye(4), grid).array != 0
    return whole, grid
