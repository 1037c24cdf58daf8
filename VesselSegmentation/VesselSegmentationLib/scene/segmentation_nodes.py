"""Labels to segments and back, without touching any other segment."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.vtkCommonCore import reference

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.node_geometry import grid_offset, matrix_between, share_transform
from VesselSegmentationLib.scene.segment_voxels import find_segment, on_grid, oriented_image, segment_voxels
from VesselSegmentationLib.scene.volume_nodes import volume_from_node, volume_geometry

#: SNOMED CT's artery, as in the terminology that 3D Slicer offers first.
ARTERY_TERMINOLOGY = (
    "Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^85756007^Tissue~SCT^51114001^Artery~^^~Anatomic codes - DICOM master list~^^~^^"
)
#: That terminology's colour. Not pure red, which means a true positive in error maps.
ARTERY_COLOR = (216 / 255, 101 / 255, 79 / 255)
#: Value of the role tag of the segment that holds the vessels found.
VESSELS_ROLE = "vessels"
#: How the roles of segments begin that hold arteries, and veins, taken out of the vessels by name.
ARTERY_PREFIX, VEIN_PREFIX = "artery.", "vein."

# Tags of a segment travel with it into files, copies and the undo history; attributes of the node would not.
#: Tag with the role of a segment.
ROLE_TAG = "vesselseg.role"
#: Tag with the fingerprint of the label that was written last.
WRITTEN_TAG = "vesselseg.written"
#: Of the vessels and those with names, where there were such when that label was written.
WHOLE_TAG = "vesselseg.written.whole"
#: Of that writing alone: a run or a threshold may make the same voxels again, after others were there.
WRITING_TAG = "vesselseg.writing"

_LABELMAP = "Binary labelmap"
_SURFACE = "Closed surface"
_SMOOTHING = "Smoothing factor"
#: Slicer's own default, which erases arteries of one or two voxels.
_DEFAULT_SMOOTHING = 0.5


def segment_with_role(segmentation_node: Any, role: str = VESSELS_ROLE) -> str | None:
    """Return the ID of the segment that was written for a role, or None."""
    segmentation = segmentation_node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        if segment_tag(segmentation_node, segmentation.GetNthSegmentID(index), ROLE_TAG) == role:
            return str(segmentation.GetNthSegmentID(index))
    return None


def vessel_segment(segmentation_node: Any) -> str | None:
    """Return the ID of the segment of which named vessels are parts: the vessels found, else the only unnamed one."""
    vessels = segment_with_role(segmentation_node)
    if vessels is not None:
        return vessels
    segmentation = segmentation_node.GetSegmentation()
    ids = [str(segmentation.GetNthSegmentID(index)) for index in range(segmentation.GetNumberOfSegments())]
    named = named_vessels(segmentation_node)
    unnamed = [each for each in ids if each not in named]
    return unnamed[0] if len(unnamed) == 1 else None


def named_arteries(segmentation_node: Any) -> list[str]:
    """Return the IDs of the segments with arteries that were taken out of the vessels by name; not those of veins."""
    return named_vessels(segmentation_node, (ARTERY_PREFIX,))


def named_vessels(segmentation_node: Any, prefixes: tuple[str, ...] = (ARTERY_PREFIX, VEIN_PREFIX)) -> list[str]:
    """Return the IDs of the segments with vessels that were taken out of those found by name."""
    segmentation = segmentation_node.GetSegmentation()
    ids = [str(segmentation.GetNthSegmentID(index)) for index in range(segmentation.GetNumberOfSegments())]
    return [each for each in ids if segment_tag(segmentation_node, each, ROLE_TAG).startswith(prefixes)]


def segment_tag(segmentation_node: Any, segment_id: str, tag: str) -> str:
    """Return a tag of a segment; empty if it has none."""
    value = reference("")
    find_segment(segmentation_node, segment_id).GetTag(tag, value)
    return str(value)


def set_segment_tag(segmentation_node: Any, segment_id: str, tag: str, value: str) -> None:
    """Set a tag of a segment."""
    find_segment(segmentation_node, segment_id).SetTag(tag, value)


def release_segment(segmentation_node: Any, role: str = VESSELS_ROLE) -> None:
    """Take the role away from the segment that has it: from then on it is the user's and is not written to again."""
    segment_id = segment_with_role(segmentation_node, role)
    if segment_id is not None:
        segment = find_segment(segmentation_node, segment_id)
        for tag in (ROLE_TAG, WRITTEN_TAG, WHOLE_TAG, WRITING_TAG):
            segment.RemoveTag(tag)


def set_segment_label(
    segmentation_node: Any,
    volume_node: Any,
    label: Volume,
    *,
    name: str = "Vessels",
    role: str = VESSELS_ROLE,
    color: tuple[float, float, float] = ARTERY_COLOR,
    terminology: str = ARTERY_TERMINOLOGY,
) -> str:
    """Write a label into the one segment that has a role; every other segment stays as it is.

    The segment gets a layer of its own, so that it may overlap with others. A segment that merely has the same name is
    not taken: it may be the user's work. A segmentation without segments goes under the volume's parent transform.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    volume_node : vtkMRMLScalarVolumeNode
        The scan; it becomes the segmentation's reference geometry.
    label : Volume
        Every voxel other than 0 belongs to the segment. On the grid of the volume node, or on a box cut out of it.
    name : str
        Name of the segment if it must be made.
    role : str
        What the segment is for; by it the segment is found again.
    color : tuple of float
        Red, green, blue in [0, 1], if the segment must be made.
    terminology : str
        3D Slicer's serialised terminology entry, if the segment must be made.

    Returns
    -------
    str
        The segment's ID.

    Raises
    ------
    VesselSegError
        If the segmentation is made of surfaces, or a warping transform lies between it and the volume.
    ValueError
        If the label does not lie on the grid of the volume node.
    """
    grid = volume_geometry(volume_node)
    offset = grid_offset(label.geometry, grid)
    if offset is None or min(offset) < 0 or np.any(np.add(offset, label.geometry.size) > grid.size):
        raise ValueError("the label does not lie on the grid of the volume node")
    check_takes_label(segmentation_node, volume_node)
    segmentation_node.GetSegmentation().SetSourceRepresentationName(_LABELMAP)
    if segmentation_node.GetSegmentation().GetNumberOfSegments() == 0:
        share_transform(segmentation_node, volume_node)
    to_segmentation = matrix_between(volume_node, segmentation_node)

    segmentation_node.CreateDefaultDisplayNodes()
    segmentation_node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    segment_id = segment_with_role(segmentation_node, role)
    if segment_id is None:
        segment_id = _add_segment(segmentation_node, name, role, color, terminology)
    # In a layer shared with others, a grid other than theirs would resample them.
    segmentation_node.GetSegmentation().SeparateSegmentLabelmap(segment_id)

    mask = label.array != 0
    box = bounding_box(mask) or (slice(0, 1), slice(0, 1), slice(0, 1))
    first = tuple(start + part.start for start, part in zip(offset, box[::-1]))
    image = oriented_image(mask[box], to_segmentation @ grid.ijk_to_ras(), first)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if not logic.SetBinaryLabelmapToSegment(image, segmentation_node, segment_id):
        raise VesselSegError(
            f"the segment could not be written into '{segmentation_node.GetName()}'", "choose a new segmentation"
        )
    set_segment_tag(segmentation_node, segment_id, WRITTEN_TAG, segment_fingerprint(segmentation_node, role))
    set_segment_tag(segmentation_node, segment_id, WRITING_TAG, uuid.uuid4().hex)
    find_segment(segmentation_node, segment_id).RemoveTag(WHOLE_TAG)
    return segment_id


def segment_fingerprint(segmentation_node: Any, role: str = VESSELS_ROLE) -> str:
    """Describe the voxels of a segment so shortly that it fits into a tag.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    role : str
        As in `set_segment_label`.

    Returns
    -------
    str
        A digest of the voxels in the smallest box around them, and the position of that box in mm; "empty" if there are
        no voxels, nothing if there is no segment.
    """
    segment_id = segment_with_role(segmentation_node, role)
    if segment_id is None:
        return ""
    return fingerprint(*segment_voxels(segmentation_node, segment_id))


def fingerprint(mask: NDArray[np.bool_], geometry: Geometry) -> str:
    """Describe the voxels of a mask on a grid, in the coordinates of the segmentation: see `segment_fingerprint`."""
    box = bounding_box(mask)
    if box is None:
        return "empty"
    tight = mask[box]
    digest = hashlib.blake2b(np.packbits(tight).tobytes() + repr(tight.shape).encode(), digest_size=12).hexdigest()
    return " ".join([digest, *(f"{value:.3f}" for value in geometry.cropped(box).origin)])


def same_fingerprint(one: str, other: str) -> bool:
    """Tell whether two fingerprints are of the same voxels at the same place."""
    first, second = one.split(), other.split()
    if first[:1] != second[:1] or len(first) != len(second):
        return False
    positions = np.array([first[1:], second[1:]], dtype=float)
    # Files hold positions rounded; a shift by a voxel is far more than this.
    return bool(np.all(np.abs(positions[0] - positions[1]) <= 0.01))


def segment_label(segmentation_node: Any, segment_id: str, volume_node: Any) -> Volume:
    """Return a segment on the grid of a volume node.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    segment_id : str
    volume_node : vtkMRMLScalarVolumeNode
        Voxels are taken as they are where the grids agree, else from the nearest one.

    Returns
    -------
    Volume
        uint8, 0 or 1.

    Raises
    ------
    VesselSegError
        If there is no such segment, if it cannot be turned into voxels, or if a warping transform lies between it and
        the volume.
    """
    mask, geometry = segment_voxels(segmentation_node, segment_id)
    return on_grid(mask, geometry, matrix_between(segmentation_node, volume_node), volume_geometry(volume_node))


def label_from_node(node: Any, volume_node: Any) -> Volume:
    """Return a label volume, or all segments of a segmentation together, on the grid of a volume node.

    Parameters
    ----------
    node : vtkMRMLLabelMapVolumeNode, vtkMRMLScalarVolumeNode or vtkMRMLSegmentationNode
        For example a brain mask. Every voxel other than 0 belongs to the label.
    volume_node : vtkMRMLScalarVolumeNode

    Returns
    -------
    Volume
        uint8, 0 or 1.

    Raises
    ------
    VesselSegError
        If the node holds no label, or a warping transform lies between it and the volume.
    """
    if node is None:
        raise VesselSegError("no mask is chosen", "choose a label volume or a segmentation")
    grid = volume_geometry(volume_node)
    if not node.IsA("vtkMRMLSegmentationNode"):
        volume = volume_from_node(node)
        return on_grid(volume.array != 0, volume.geometry, matrix_between(node, volume_node), grid)
    segmentation = node.GetSegmentation()
    union = np.zeros(grid.shape, dtype=np.uint8)
    for index in range(segmentation.GetNumberOfSegments()):
        np.maximum(union, segment_label(node, segmentation.GetNthSegmentID(index), volume_node).array, out=union)
    return Volume(union, grid)


def set_surface_shown(segmentation_node: Any, shown: bool) -> None:
    """Show or hide the segments of a segmentation in 3D.

    The closed surface is removed while it is hidden: keeping it up to date would slow every edit down. Slicer's default
    smoothing is switched off because it erases thin arteries; a factor that somebody chose is kept.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    shown : bool

    Raises
    ------
    VesselSegError
        If no surface can be made.
    """
    segmentation_node.CreateDefaultDisplayNodes()
    display_node = segmentation_node.GetDisplayNode()
    if not shown:
        display_node.SetVisibility3D(False)
        if segmentation_node.GetSegmentation().GetSourceRepresentationName() != _SURFACE:
            segmentation_node.RemoveClosedSurfaceRepresentation()
        return
    make_surface(segmentation_node)
    display_node.SetPreferredDisplayRepresentationName3D(_SURFACE)
    display_node.SetVisibility(True)
    display_node.SetVisibility3D(True)


def make_surface(segmentation_node: Any) -> None:
    """Make the closed surfaces of the segments, thin vessels and all.

    Raises
    ------
    VesselSegError
        If no surface can be made.
    """
    keep_thin_vessels(segmentation_node)
    has_segments = segmentation_node.GetSegmentation().GetNumberOfSegments() > 0
    if not has_segments or not segmentation_node.CreateClosedSurfaceRepresentation():
        raise VesselSegError(
            f"'{segmentation_node.GetName()}' cannot be shown in 3D", "segment the scan or draw a segment first"
        )


def surface_shown(segmentation_node: Any) -> bool:
    """Tell whether the segments are shown in 3D."""
    display_node = segmentation_node.GetDisplayNode()
    contained = segmentation_node.GetSegmentation().ContainsRepresentation(_SURFACE)
    return bool(contained and display_node and display_node.GetVisibility() and display_node.GetVisibility3D())


def check_takes_label(segmentation_node: Any, volume_node: Any) -> None:
    """Refuse a segmentation into which a label on the grid of a volume cannot be written; nothing is changed.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    volume_node : vtkMRMLScalarVolumeNode

    Raises
    ------
    VesselSegError
        As `set_segment_label`.
    """
    segmentation = segmentation_node.GetSegmentation()
    if segmentation.GetNumberOfSegments() == 0:
        return
    if segmentation.GetSourceRepresentationName() != _LABELMAP:
        # Making voxels its source would turn the user's surfaces into voxels.
        raise VesselSegError(
            f"the segmentation '{segmentation_node.GetName()}' is not made of voxels",
            "choose another segmentation, or a new one",
        )
    matrix_between(volume_node, segmentation_node)


def _add_segment(
    segmentation_node: Any, name: str, role: str, color: tuple[float, float, float], terminology: str
) -> str:
    segmentation = segmentation_node.GetSegmentation()
    keep_thin_vessels(segmentation_node)
    # GenerateUniqueSegmentName would number the first one, too.
    unique, number = name, 1
    while segmentation.GetSegmentIdBySegmentName(unique):
        number += 1
        unique = f"{name} {number}"
    segment_id = str(segmentation.AddEmptySegment("", unique, color))
    segment = segmentation.GetSegment(segment_id)
    segment.SetTag(ROLE_TAG, role)
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminology)
    # Another terminology, chosen in the Segmentations module, shall not take name and colour away.
    segment.SetNameAutoGenerated(False)
    segment.SetColorAutoGenerated(False)
    return segment_id


def keep_thin_vessels(segmentation_node: Any) -> None:
    """Switch Slicer's default smoothing of surfaces off: it erases thin arteries. A chosen factor is kept."""
    segmentation = segmentation_node.GetSegmentation()
    smoothing = segmentation.GetConversionParameter(_SMOOTHING)
    if not segmentation.ContainsRepresentation(_SURFACE) and smoothing and float(smoothing) == _DEFAULT_SMOOTHING:
        segmentation.SetConversionParameter(_SMOOTHING, "0")
