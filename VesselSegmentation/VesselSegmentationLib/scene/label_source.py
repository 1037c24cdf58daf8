"""Labels that are compared: a segment, a whole segmentation or a label volume, brought to the grid of a scan."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.comparison import outside_note, resampling_note
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import UNSURE, split_unsure, unsure_note
from vesselseg.label_values import check_label
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.node_geometry import grid_offset, matrix_between
from VesselSegmentationLib.scene.segment_voxels import find_segment, on_grid, segment_voxels
from VesselSegmentationLib.scene.segmentation_nodes import named_arteries, segment_with_role, vessel_segment
from VesselSegmentationLib.scene.volume_nodes import volume_from_node, volume_geometry

#: Role of the segment of a reference in which it says nothing: neither vessel nor background.
UNSURE_ROLE = "unsure"
_NODE_CLASSES = ("vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode")
#: Attribute of a segmentation that was made of an image: the grid of that.
_IMAGE = "vesselseg.image"
#: Where voxels are true, shape (Z, Y, X), on a grid.
_Mask = tuple[NDArray[np.bool_], Geometry]


@dataclass(frozen=True)
class LabelSource:
    """Where a label comes from.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode or vtkMRMLScalarVolumeNode
        Of a volume, every voxel other than 0 belongs to the label; it must be one of labels, no scan or probability.
    segment_id : str
        The segment. Empty: the vessels that this program found, if the segmentation holds them, else all segments
        together but that of `UNSURE_ROLE`. Arteries that were given names belong to the vessels, veins do not.
    """

    node: Any
    segment_id: str = ""

    @property
    def name(self) -> str:
        """For people: the name of the segment, else of the node."""
        if self.segment_id and self.is_segmentation:
            segment = self.node.GetSegmentation().GetSegment(self.segment_id)
            if segment is not None:
                return str(segment.GetName())
        return str(self.node.GetName())

    @property
    def is_segmentation(self) -> bool:
        """Whether the label is made of segments."""
        return bool(self.node.IsA("vtkMRMLSegmentationNode"))

    def segment_ids(self) -> list[str]:
        """Return the IDs of the segments that make up the label; none for a volume."""
        if not self.is_segmentation:
            return []
        vessels = vessel_segment(self.node)
        if vessels and self.segment_id in ("", vessels):
            return [vessels, *named_arteries(self.node)]
        if self.segment_id:
            return [self.segment_id]
        segmentation, unsure = self.node.GetSegmentation(), segment_with_role(self.node, UNSURE_ROLE)
        ids = (str(segmentation.GetNthSegmentID(index)) for index in range(segmentation.GetNumberOfSegments()))
        return [each for each in ids if each != unsure]

    def check(self, what: str) -> None:
        """Refuse what holds no label.

        Parameters
        ----------
        what : str
            What the label is called in the error.

        Raises
        ------
        VesselSegError
            If there is no node, a node of another kind, no image or no such segment.
        """
        if self.node is None:
            raise VesselSegError(f"no {what} is chosen", "choose a segmentation or a label volume")
        if not any(self.node.IsA(name) for name in _NODE_CLASSES):
            raise VesselSegError(
                f"'{self.node.GetName()}' cannot be the {what}", "choose a segmentation or a label volume"
            )
        if not self.is_segmentation:
            volume_geometry(self.node)
        elif not self.segment_ids():
            raise VesselSegError(f"the {what} '{self.node.GetName()}' has no segments", "draw one, or choose another")
        for segment_id in self.segment_ids():
            find_segment(self.node, segment_id)

    def label_on(self, volume_node: Any, what: str) -> tuple[Volume, list[str]]:
        """Return the label on the grid of a scan.

        Parameters
        ----------
        volume_node : vtkMRMLScalarVolumeNode
            The scan.
        what : str
            What the label is called in notes and errors.

        Returns
        -------
        label : Volume
            uint8, 0 or 1, on the grid of the scan.
        notes : list of str
            What a reader should know: that the label lies on another grid, so that the nearest voxels were taken, and
            how much of it lies outside the scan.

        Raises
        ------
        VesselSegError
            As `check`; also if a volume holds no label, if label and scan have no place in common, or if a warping
            transform lies between them.
        """
        self.check(what)
        return self._on(volume_node, what, self._masks())

    def reference_on(self, volume_node: Any, what: str) -> tuple[Volume, list[str]]:
        """Return a label that others are compared with on the grid of a scan; as `label_on`.

        Returns
        -------
        label : Volume
            uint8, as `vesselseg.image_io.read_reference` reads it from a file: 0, 1, or `UNSURE` where it is unsure.
        notes : list of str
            That it is unsure somewhere is one of them.
        """
        self.check(what)
        masks, unsure = self._split_masks()
        label, notes = self._on(volume_node, what, masks)
        if unsure is None:
            return label, notes
        marked = on_grid(*unsure, matrix_between(self.node, volume_node), label.geometry)
        values = np.where(marked.array != 0, np.uint8(UNSURE), label.array)
        if not (values == 1).any():  # alone, what is unsure would be taken for vessels
            return label, notes
        return label.with_array(values), [*notes, unsure_note(self.called(what), marked)]

    def image_on(self, volume_node: Any) -> Geometry | None:
        """Return the grid of the image that the label is from, in the coordinates of a scan; None if it is not known.

        Segments do not tell it: they are stored in the box of what is in them.
        """
        if not self.is_segmentation:
            return _moved(volume_geometry(self.node), matrix_between(self.node, volume_node))
        try:
            stored = json.loads(self.node.GetAttribute(_IMAGE) or "")
            i, j, k = (int(size) for size in stored["size"])
            geometry = Geometry.from_ijk_to_ras(np.array(stored["ijk_to_ras"], dtype=float), (i, j, k))
        except (ValueError, KeyError, TypeError):
            return None
        return _moved(geometry, matrix_between(self.node, volume_node))

    def called(self, what: str) -> str:
        """Return what the label is called in sentences."""
        return f"the {what} '{self.name}'"

    def _on(self, volume_node: Any, what: str, masks: list[_Mask]) -> tuple[Volume, list[str]]:
        grid, name = volume_geometry(volume_node), self.called(what)
        to_grid = matrix_between(self.node, volume_node)
        union: NDArray[np.uint8] | None = None
        parts: list[Volume] = []
        for mask, geometry in masks:
            if self.is_segmentation and not mask.any():
                continue  # the grid of an empty segment says nothing
            parts.append(Volume(mask, _moved(geometry, to_grid)))
            if overlap(parts[-1].geometry, grid):
                part = on_grid(mask, geometry, to_grid, grid).array
                union = part if union is None else np.maximum(union, part)
        if union is None and parts:
            raise VesselSegError(
                f"{name} and the scan '{volume_node.GetName()}' do not overlap",
                "check that both are of the same patient, and their transforms",
            )
        elsewhere = [part.geometry for part in parts if grid_offset(part.geometry, grid) is None]
        notes = [resampling_note(geometry, grid, what=name, of="the scan") for geometry in elsewhere]
        notes.append(outside_note(parts, grid, what=name, of="the scan"))
        label = Volume(np.zeros(grid.shape, np.uint8) if union is None else union, grid)
        return label, [note for note in dict.fromkeys(notes) if note]

    def _masks(self) -> list[_Mask]:
        if self.is_segmentation:
            return [segment_voxels(self.node, segment_id) for segment_id in self.segment_ids()]
        volume = self._label_volume()
        return [(volume.array != 0, volume.geometry)]

    def _split_masks(self) -> tuple[list[_Mask], _Mask | None]:
        """Return the masks of what is sure, and of what is unsure, if anything is."""
        if self.is_segmentation:
            segment_id = segment_with_role(self.node, UNSURE_ROLE)
            return self._masks(), None if segment_id is None else segment_voxels(self.node, segment_id)
        sure, unsure = split_unsure(self._label_volume())
        return [(sure.array != 0, sure.geometry)], None if unsure is None else (unsure.array != 0, unsure.geometry)

    def _label_volume(self) -> Volume:
        volume = volume_from_node(self.node)
        check_label(volume.array, f"'{self.name}'")
        return volume


def remember_image(segmentation_node: Any, geometry: Geometry) -> None:
    """Remember the grid of the image, in the coordinates of the node, that a segmentation was made of."""
    stored = {"size": geometry.size, "ijk_to_ras": geometry.ijk_to_ras().tolist()}
    segmentation_node.SetAttribute(_IMAGE, json.dumps(stored))


def segment_names(node: Any) -> list[tuple[str, str]]:
    """Return names and IDs of the segments of a node; none if it is None or no segmentation."""
    if node is None or not node.IsA("vtkMRMLSegmentationNode"):
        return []
    segmentation = node.GetSegmentation()
    ids = [str(segmentation.GetNthSegmentID(index)) for index in range(segmentation.GetNumberOfSegments())]
    return [(str(segmentation.GetSegment(segment_id).GetName()), segment_id) for segment_id in ids]


def names_of_two(first: LabelSource, second: LabelSource) -> tuple[str, str]:
    """Return names by which a reader can tell two labels apart: of the nodes, else of the segments, else numbered."""
    nodes = str(first.node.GetName()).strip(), str(second.node.GetName()).strip()
    for one, other in (nodes, (first.name.strip(), second.name.strip())):
        if one and other and one != other:
            return one, other
    return f"{nodes[0]} (1)", f"{nodes[1]} (2)"


def _moved(geometry: Geometry, matrix: NDArray[np.float64]) -> Geometry:
    return Geometry.from_ijk_to_ras(matrix @ geometry.ijk_to_ras(), geometry.size)


def overlap(one: Geometry, other: Geometry) -> bool:
    """Tell whether two grids have a place in common, as far as their boxes along each other's axes say."""
    return _reaches_into(one, other) and _reaches_into(other, one)


def _reaches_into(inner: Geometry, outer: Geometry) -> bool:
    # Voxels reach half around their centres.
    corners = (np.linalg.inv(outer.ijk_to_ras()) @ inner.ijk_to_ras() @ inner.corners(0.5))[:3]
    low, high = corners.min(axis=1), corners.max(axis=1)
    return bool(np.all(high > -0.5) and np.all(low < np.asarray(outer.size) - 0.5))
