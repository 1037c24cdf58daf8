"""The automatic result as it was before the first edit, kept in the scene beside the segmentation that is edited."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import slicer

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.postprocessing import threshold_probability
from vesselseg.volume import Volume
from VesselSegmentationLib.correcting.edited_voxels import SegmentVoxels
from VesselSegmentationLib.correcting.seg_nrrd import SavedSegment, read_remark, write_seg_nrrd
from VesselSegmentationLib.scene.node_geometry import grid_offset, matrix_between, share_transform
from VesselSegmentationLib.scene.run_record import probability_of, recorded_threshold
from VesselSegmentationLib.scene.segment_voxels import on_grid, segment_voxels
from VesselSegmentationLib.scene.segmentation_nodes import (
    WRITTEN_TAG,
    segment_fingerprint,
    segment_tag,
    segment_with_role,
    set_segment_label,
)
from VesselSegmentationLib.scene.volume_nodes import volume_from_node, volume_geometry

_REFERENCE = "vesselseg.automatic"
_ROLE = "automatic"
#: What the kept label was: as the program wrote it, or as it was when its editing began here.
AUTOMATIC, FOUND = "automatic", "as found"
_KIND_ATTRIBUTE = "vesselseg.automatic.kind"
#: The grid of the scan at the time.
_GRID_ATTRIBUTE = "vesselseg.automatic.grid"
_SOURCE_ATTRIBUTE = "vesselseg.automatic.written"


@dataclass(frozen=True)
class Original:
    """The label before the first edit.

    Parameters
    ----------
    label : Volume
        On the grid of the scan, or on a box cut out of it.
    kind : str
        `AUTOMATIC` or `FOUND`.
    written : str
        What the segment said at the time of the voxels that were written into it last.
    """

    label: Volume
    kind: str
    written: str


def kept_original(segmentation_node: Any) -> tuple[Any, str] | None:
    """Return node and segment of the label before the first edit; None if none was kept, or it was removed."""
    node = segmentation_node.GetNodeReference(_REFERENCE)
    segment_id = None if node is None else segment_with_role(node, _ROLE)
    return None if segment_id is None else (node, segment_id)


def original_kind(segmentation_node: Any) -> str:
    """Return `AUTOMATIC` or `FOUND`; nothing if no label was kept."""
    kept = kept_original(segmentation_node)
    return "" if kept is None else str(kept[0].GetAttribute(_KIND_ATTRIBUTE) or FOUND)


def original_label(segmentation_node: Any, volume_node: Any) -> Volume | None:
    """Return the label before the first edit on the grid of the scan; None if none was kept."""
    kept = kept_original(segmentation_node)
    if kept is None:
        return None
    node, grid = kept[0], volume_geometry(volume_node)
    # It was written in the coordinates of the scan, which may be under another transform by now than the copy. Only
    # where a transform of the scan was hardened, the copy lies where the transform that it kept says.
    hardened = (node.GetAttribute(_GRID_ATTRIBUTE) or _text_of(grid)) != _text_of(grid)
    to_scan = matrix_between(node, volume_node) if hardened else np.eye(4)
    return on_grid(*segment_voxels(*kept), to_scan, grid)


def original_of(segmentation_node: Any, volume_node: Any) -> Original | None:
    """Return all that is kept of the label before the first edit; None if none was."""
    kept, label = kept_original(segmentation_node), original_label(segmentation_node, volume_node)
    if kept is None or label is None:
        return None
    return Original(label, original_kind(segmentation_node), str(kept[0].GetAttribute(_SOURCE_ATTRIBUTE) or ""))


def _text_of(grid: Geometry) -> str:
    # A zero is one, whatever its sign.
    return " ".join(f"{round(float(value), 4) + 0.0:.4f}" for value in grid.ijk_to_ras()[:3].ravel())


def keep_original(segmentation_node: Any, segment_id: str, volume_node: Any, before: Volume) -> bool:
    """Keep the label before the first edit, unless it is kept already.

    The copy is a segmentation of its own, out of sight: one byte a voxel in the smallest box around the vessels, saved
    with the scene like any other. Where the segment had been edited before anything could be kept, the automatic
    result is made again from the stored probability and taken if it is the very same.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    segment_id : str
        The segment that is edited.
    volume_node : vtkMRMLScalarVolumeNode
        The scan.
    before : Volume
        The label before the edit, with the named vessels that are parts of it, on the grid of the scan.

    Returns
    -------
    bool
        Whether it was kept now.
    """
    written = segment_tag(segmentation_node, segment_id, WRITTEN_TAG)
    kept = kept_original(segmentation_node)
    if kept is not None and kept[0].GetAttribute(_SOURCE_ATTRIBUTE) == written:
        return False
    node = _node_for(segmentation_node)
    _write(node, segmentation_node, segment_id, volume_node, before)
    is_automatic = bool(written) and segment_fingerprint(node, _ROLE) == written
    if written and not is_automatic:
        again = _made_again(segmentation_node, volume_node)
        if again is not None:
            _write(node, segmentation_node, segment_id, volume_node, again)
            is_automatic = segment_fingerprint(node, _ROLE) == written
            if not is_automatic:
                _write(node, segmentation_node, segment_id, volume_node, before)
    _describe(node, AUTOMATIC if is_automatic else FOUND, written)
    return True


def attach_original(segmentation_node: Any, segment_id: str, volume_node: Any, original: Original) -> None:
    """Keep a label that comes from a file as the one before the first edit, in place of any other.

    Raises
    ------
    VesselSegError
        If it does not lie on the grid of the scan.
    """
    grid, place = volume_geometry(volume_node), original.label.geometry
    if grid_offset(place, grid) is None:
        raise VesselSegError(
            f"the label before the first edit does not lie on the grid of '{volume_node.GetName()}'", "choose its scan"
        )
    node = _node_for(segmentation_node)
    label = on_grid(original.label.array != 0, place, np.eye(4), grid)
    _write(node, segmentation_node, segment_id, volume_node, label)
    _describe(node, original.kind, original.written)


def write_original(file: BinaryIO, original: Original) -> None:
    """Write it as a segmentation of 3D Slicer, without the scene: a thread may do it."""
    label, grid = original.label.array != 0, original.label.geometry
    z, y, x = bounding_box(label) or (slice(0, 1), slice(0, 1), slice(0, 1))
    voxels = SegmentVoxels(label[z, y, x], (z.start, y.start, x.start), grid.ijk_to_ras())
    remark = {"kind": original.kind, "written": original.written}
    write_seg_nrrd(file, [SavedSegment(_ROLE, "Before edits", (1.0, 1.0, 1.0), {}, voxels)], remark=remark)


def read_original(path: str | os.PathLike[str]) -> Original:
    """Read what `write_original` has written; a `VesselSegError` if that is not possible."""
    remark = read_remark(path)
    return Original(read_label(path), str(remark.get("kind")), str(remark.get("written")))


def _node_for(segmentation_node: Any) -> Any:
    kept = kept_original(segmentation_node)
    if kept is not None:
        return kept[0]
    scene = segmentation_node.GetScene()
    name = scene.GenerateUniqueName(f"{segmentation_node.GetName()} (before edits)")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetVisibility(False)
    segmentation_node.SetNodeReferenceID(_REFERENCE, node.GetID())
    return node


def _describe(node: Any, kind: str, written: str) -> None:
    node.SetAttribute(_KIND_ATTRIBUTE, kind)
    node.SetAttribute(_SOURCE_ATTRIBUTE, written)


def _write(node: Any, source: Any, segment_id: str, volume_node: Any, label: Volume) -> None:
    segment = source.GetSegmentation().GetSegment(segment_id)
    share_transform(node, volume_node)
    node.SetAttribute(_GRID_ATTRIBUTE, _text_of(volume_geometry(volume_node)))
    terminology = segment_tag(source, segment_id, slicer.vtkSegment.GetTerminologyEntryTagName())
    set_segment_label(
        node,
        volume_node,
        label,
        name=f"{segment.GetName()} (before edits)",
        role=_ROLE,
        color=segment.GetColor(),
        terminology=terminology,
    )
    node.GetDisplayNode().SetVisibility(False)


def _made_again(segmentation_node: Any, volume_node: Any) -> Volume | None:
    probability_node, numbers = probability_of(segmentation_node), recorded_threshold(segmentation_node)
    if probability_node is None or numbers is None or probability_node.GetImageData() is None:
        return None
    if not volume_geometry(probability_node).same_grid(volume_geometry(volume_node)):
        return None
    probability = volume_from_node(probability_node)
    return Volume(threshold_probability(probability, *numbers).array, volume_geometry(volume_node))
