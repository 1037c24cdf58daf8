"""Error maps in a scene: one segment for true positives, false positives and false negatives, each in its colour."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from vesselseg.comparison import outside_note, reaches_beyond
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import UNSURE
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.review.error_components import VoxelExtent
from vesselseg.review.error_kinds import WITH_REFERENCE, Wording, find_palette
from vesselseg.review.error_map import LegendEntry, count_kinds, error_map
from vesselseg.volume import Volume
from VesselSegmentationLib.reviewing.error_map_display import (
    SEGMENT_IDS,
    palette_name,
    segment_name,
    set_default_display,
    set_palette,
)
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.node_geometry import matrix_from_array, share_transform
from VesselSegmentationLib.scene.scene_nodes import nodes_of_class
from VesselSegmentationLib.scene.segmentation_nodes import surface_shown
from VesselSegmentationLib.scene.volume_nodes import volume_geometry

_LABELMAP = "Binary labelmap"
_SCAN_REFERENCE = "vesselseg.scan"
#: Names of node references and attributes of the two labels, in the order segmentation, reference.
_SOURCE_REFERENCES = ("vesselseg.segmentation", "vesselseg.reference")
_SEGMENT_ATTRIBUTES = ("vesselseg.segmentation.segment", "vesselseg.reference.segment")
_WORDING_ATTRIBUTE = "vesselseg.wording"


class ErrorMapNode:
    """An error map that follows two labels in a scene.

    After an edit only the box that has changed is computed again. The three segments share one image, whose voxels are
    those of `errors`: nothing is copied on its way to the views.

    Parameters
    ----------
    scene : vtkMRMLScene
    volume_node : vtkMRMLScalarVolumeNode
        The scan; it gives the grid.
    segmentation, reference : LabelSource
        The labels that are compared. Where they lie on another grid, the nearest voxels are taken: see `notes`.
    wording : Wording
        What the kinds are called; for two results without a reference `vesselseg.review.error_kinds.wording_of_two`.
    palette : str
        Name of the colours, if the node must be made.
    node : vtkMRMLSegmentationNode, optional
        An error map of the same labels, as `find_error_map` returns it; the default is a new one.

    Attributes
    ----------
    node : vtkMRMLSegmentationNode
    errors : Volume
        The error map as `vesselseg.review.error_map.error_map` defines it, on the grid of the scan. Changes in place
        with `update`; must not be written to.
    notes : list of str
        What a reader should know, such as that a label was resampled.

    Raises
    ------
    VesselSegError
        If a label does not fit, as `LabelSource.label_on` says, or the palette is unknown.
    """

    def __init__(
        self,
        scene: Any,
        volume_node: Any,
        segmentation: LabelSource,
        reference: LabelSource,
        *,
        wording: Wording = WITH_REFERENCE,
        palette: str = "standard",
        node: Any = None,
    ) -> None:
        find_palette(palette)
        self.volume_node = volume_node
        self.sources = (segmentation, reference)
        self.wording = wording
        self._labels: list[NDArray[np.uint8]] = []
        self.notes: list[str] = []
        self._notes_of_labels: list[list[str]] = [[], []]
        self._read(volume_geometry(volume_node), (True, True))  # what fails, fails before the scene is touched
        if node is None:
            title = f"{volume_node.GetName()} {wording.map_title}"
            node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(title))
            _add_segments(node, wording)
            set_default_display(node)
        else:
            palette = palette_name(node)
        set_palette(node, palette)
        self.node = node
        self._record()
        self._rename()
        self._rebuild()

    def update(self, *, segmentation: bool = True, reference: bool = True) -> VoxelExtent | None:
        """Follow the labels, as they are now.

        Parameters
        ----------
        segmentation, reference : bool
            Which of them may have changed; the other one is not looked at.

        Returns
        -------
        tuple or None
            First and last voxel (i, j, k) of the box outside which the map is as before; None if nothing has changed.

        Raises
        ------
        VesselSegError
            As for the class. The map is then as it was before.
        """
        grid = volume_geometry(self.volume_node)
        if not grid.same_grid(self.errors.geometry):
            self._read(grid, (True, True))
            self._rebuild()
            return (0, 0, 0), _last(grid)
        share_transform(self.node, self.volume_node)
        before = list(self._labels)
        self._read(grid, (segmentation, reference))
        changed = [bounding_box(new != old) for new, old in zip(self._labels, before) if new is not old]
        box = _union([part for part in changed if part is not None])
        if box is None:
            return None
        if self._touched():
            self._rebuild()
            return (0, 0, 0), _last(grid)
        part = Volume(self.errors.array[box], grid.cropped(box))
        former = count_kinds(part)
        part = self._compare(box, grid)
        for kind, count in count_kinds(part).items():
            self._counts[kind] += count - former[kind]
        self._write(box, part.array)
        return (
            (box[2].start, box[1].start, box[0].start),
            (box[2].stop - 1, box[1].stop - 1, box[0].stop - 1),
        )

    def legend(self) -> list[LegendEntry]:
        """Return what the legend says: names, colours, voxels and volumes, in the order of `ErrorKind`."""
        palette, volume = find_palette(palette_name(self.node)), self.errors.geometry.voxel_volume
        return [
            LegendEntry(kind, self.wording.title(kind), palette.colour(kind), count, count * volume)
            for kind, count in self._counts.items()
        ]

    def labels(self) -> tuple[Volume, Volume]:
        """Return segmentation and reference on the grid of the scan: uint8, as files hold them. Must not be written to.

        They are 0 or 1, the reference `vesselseg.image_io.UNSURE` where it is unsure.
        """
        return self.errors.with_array(self._labels[0]), self.errors.with_array(self._labels[1])

    def _read(self, grid: Geometry, wanted: tuple[bool, bool]) -> None:
        labels, notes = list(self._labels), list(self._notes_of_labels)
        for index, (source, what) in enumerate(zip(self.sources, (self.wording.first, self.wording.second))):
            if wanted[index]:
                read = source.reference_on if index else source.label_on
                label, notes[index] = read(self.volume_node, what)
                labels[index : index + 1] = [label.array]
        self.notes = [*notes[0], *notes[1], *self._uncovered(labels, grid)]
        self._labels, self._notes_of_labels = labels, notes

    def _uncovered(self, labels: list[NDArray[np.uint8]], grid: Geometry) -> list[str]:
        """Say how much of each label lies where the other one has no image."""
        first, second = self.sources
        names = first.called(self.wording.first), second.called(self.wording.second)
        notes = []
        for label, name, other, its_name, kind in zip(
            labels, names, (second, first), names[::-1], self.wording.titles[1:]
        ):
            image = other.image_on(self.volume_node)
            if image is not None and reaches_beyond(grid, image):
                sure = Volume(label == 1, grid)
                notes.append(outside_note([sure], image, what=name, of=its_name, kind=kind))
        return [note for note in notes if note]

    def _compare(self, box: tuple[slice, slice, slice], grid: Geometry) -> Volume:
        found, truth = (Volume(label[box], grid.cropped(box)) for label in self._labels)
        errors = error_map(found, truth)
        errors.array[truth.array == UNSURE] = 0
        return errors

    def _rebuild(self) -> None:
        """Compare everything, and give the segments a new image."""
        share_transform(self.node, self.volume_node)
        self.node.SetReferenceImageGeometryParameterFromVolumeNode(self.volume_node)
        grid = volume_geometry(self.volume_node)
        z, y, x = grid.shape
        whole = self._compare((slice(0, z), slice(0, y), slice(0, x)), grid)
        self._counts = count_kinds(whole)
        self._set_image(whole)

    def _set_image(self, errors: Volume) -> None:
        shown = surface_shown(self.node)
        image = slicer.vtkOrientedImageData()
        image.SetDimensions(*errors.geometry.size)
        image.SetImageToWorldMatrix(matrix_from_array(errors.geometry.ijk_to_ras()))
        scalars = numpy_to_vtk(np.ascontiguousarray(errors.array).ravel(), deep=True)
        scalars.SetName("ImageScalars")
        image.GetPointData().SetScalars(scalars)
        segmentation = self.node.GetSegmentation()
        for kind, segment_id in SEGMENT_IDS.items():
            segment = segmentation.GetSegment(segment_id)
            segment.SetLabelValue(int(kind))
            segment.AddRepresentation(_LABELMAP, image)
        image.Modified()  # for which surfaces made of another map are let go
        self._image, self._scalars, self._written_at = image, scalars, image.GetMTime()
        self.errors = Volume(vtk_to_numpy(scalars).reshape(errors.geometry.shape), errors.geometry)
        self._follow_in_3d(shown)

    def _write(self, box: tuple[slice, slice, slice], values: NDArray[np.uint8]) -> None:
        shown = surface_shown(self.node)
        self.errors.array[box] = values
        self._scalars.Modified()
        self._image.Modified()
        self._written_at = self._image.GetMTime()
        self._follow_in_3d(shown)

    def _touched(self) -> bool:
        """Tell whether somebody painted on the map, or gave segments another image, as undo and merging layers do."""
        images = [self.node.GetBinaryLabelmapInternalRepresentation(each) for each in SEGMENT_IDS.values()]
        return any(image is not self._image or image.GetMTime() != self._written_at for image in images)

    def _follow_in_3d(self, shown: bool) -> None:
        # Changed voxels throw the surfaces away. A 3D view may have made them again already; then this costs nothing.
        if shown:
            self.node.CreateClosedSurfaceRepresentation()

    def _record(self) -> None:
        """Remember in the scene what is compared, so that a loaded map goes on following its labels."""
        self.node.SetNodeReferenceID(_SCAN_REFERENCE, self.volume_node.GetID())
        for role, attribute, source in zip(_SOURCE_REFERENCES, _SEGMENT_ATTRIBUTES, self.sources):
            self.node.SetNodeReferenceID(role, source.node.GetID())
            self.node.SetAttribute(attribute, source.segment_id)
        wording = {"first": self.wording.first, "second": self.wording.second, "titles": self.wording.titles}
        self.node.SetAttribute(_WORDING_ATTRIBUTE, json.dumps(wording))

    def _rename(self) -> None:
        for kind, segment_id in SEGMENT_IDS.items():
            self.node.GetSegmentation().GetSegment(segment_id).SetName(segment_name(kind, self.wording))


def is_error_map(node: Any) -> bool:
    """Tell whether a node is an error map that was made here, with all that belongs to it."""
    if node is None or not node.IsA("vtkMRMLSegmentationNode") or not node.GetAttribute(_WORDING_ATTRIBUTE):
        return False
    segmentation = node.GetSegmentation()
    return all(segmentation.GetSegment(segment_id) is not None for segment_id in SEGMENT_IDS.values())


def recorded_comparison(node: Any) -> tuple[Any, LabelSource, LabelSource, Wording]:
    """Return what an error map compares: the scan, the segmentation, the reference, and the words for them.

    Raises
    ------
    VesselSegError
        If the node is no error map, or one of the nodes that it compares has been removed.
    """
    if not is_error_map(node):
        raise VesselSegError("this is no error map", "choose one that was made by comparing two labels")
    nodes = [node.GetNodeReference(role) for role in (_SCAN_REFERENCE, *_SOURCE_REFERENCES)]
    if any(each is None for each in nodes):
        raise VesselSegError(
            f"what '{node.GetName()}' compares is no longer in the scene", "choose a segmentation and a reference"
        )
    first, second = (
        LabelSource(source, node.GetAttribute(attribute) or "")
        for source, attribute in zip(nodes[1:], _SEGMENT_ATTRIBUTES)
    )
    try:
        stored = json.loads(node.GetAttribute(_WORDING_ATTRIBUTE))
        titles = (str(stored["titles"][0]), str(stored["titles"][1]), str(stored["titles"][2]))
        wording = Wording(str(stored["first"]), str(stored["second"]), titles)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise VesselSegError(f"the error map '{node.GetName()}' is damaged", "compare the labels again") from error
    return nodes[0], first, second, wording


def find_error_map(scene: Any, segmentation: LabelSource, reference: LabelSource) -> Any:
    """Return the node of the error map of two labels, or None."""
    for node in nodes_of_class(scene, "vtkMRMLSegmentationNode"):
        if not is_error_map(node):
            continue
        recorded = [
            (node.GetNodeReference(role), node.GetAttribute(attribute) or "")
            for role, attribute in zip(_SOURCE_REFERENCES, _SEGMENT_ATTRIBUTES)
        ]
        if recorded == [(source.node, source.segment_id) for source in (segmentation, reference)]:
            return node
    return None


def _add_segments(node: Any, wording: Wording) -> None:
    segmentation = node.GetSegmentation()
    for kind, segment_id in SEGMENT_IDS.items():
        segmentation.AddEmptySegment(segment_id, segment_name(kind, wording))


def _union(boxes: list[tuple[slice, slice, slice]]) -> tuple[slice, slice, slice] | None:
    if not boxes:
        return None
    z, y, x = (slice(min(part.start for part in parts), max(part.stop for part in parts)) for parts in zip(*boxes))
    return z, y, x


def _last(grid: Geometry) -> tuple[int, int, int]:
    i, j, k = (size - 1 for size in grid.size)
    return i, j, k
