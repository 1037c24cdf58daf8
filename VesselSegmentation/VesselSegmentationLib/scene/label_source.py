"""Labels that are compared: a segment, a whole segmentation or a label volume, brought to the grid of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.node_geometry import grid_offset, matrix_between
from VesselSegmentationLib.scene.segment_voxels import find_segment, on_grid, segment_voxels
from VesselSegmentationLib.scene.segmentation_nodes import named_arteries, vessel_segment
from VesselSegmentationLib.scene.volume_nodes import volume_from_node, volume_geometry

_NODE_CLASSES = ("vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode")


@dataclass(frozen=True)
class LabelSource:
    """Where a label comes from.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode or vtkMRMLScalarVolumeNode
        Of a volume, every voxel other than 0 belongs to the label.
    segment_id : str
        The segment. Empty: the vessels that this program found, if the segmentation holds them, else all segments
        together. Arteries that were given names belong to the vessels, veins do not.
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
        segmentation = self.node.GetSegmentation()
        return [str(segmentation.GetNthSegmentID(index)) for index in range(segmentation.GetNumberOfSegments())]

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

    def label_on(self, volume_node: Any, what: str) -> tuple[Volume, bool]:
        """Return the label on the grid of a scan.

        Parameters
        ----------
        volume_node : vtkMRMLScalarVolumeNode
            The scan.
        what : str
            What the label is called in errors.

        Returns
        -------
        label : Volume
            uint8, 0 or 1, on the grid of the scan.
        resampled : bool
            Whether it lies on another grid, so that the nearest voxels were taken.

        Raises
        ------
        VesselSegError
            As `check`; also if label and scan have no place in common, or a warping transform lies between them.
        """
        self.check(what)
        grid = volume_geometry(volume_node)
        to_grid = matrix_between(self.node, volume_node)
        union: NDArray[np.uint8] | None = None
        resampled, outside = False, False
        for mask, geometry in self._masks():
            if self.is_segmentation and not mask.any():
                continue  # the grid of an empty segment says nothing
            moved = Geometry.from_ijk_to_ras(to_grid @ geometry.ijk_to_ras(), geometry.size)
            resampled |= grid_offset(moved, grid) is None
            if not overlap(moved, grid):
                outside = True
                continue
            part = on_grid(mask, geometry, to_grid, grid).array
            union = part if union is None else np.maximum(union, part)
        if union is None and outside:
            raise VesselSegError(
                f"the {what} '{self.name}' and the scan '{volume_node.GetName()}' do not overlap",
                "check that both are of the same patient, and their transforms",
            )
        return Volume(np.zeros(grid.shape, np.uint8) if union is None else union, grid), resampled

    def _masks(self) -> list[tuple[NDArray[np.bool_], Geometry]]:
        if self.is_segmentation:
            return [segment_voxels(self.node, segment_id) for segment_id in self.segment_ids()]
        volume = volume_from_node(self.node)
        return [(volume.array != 0, volume.geometry)]


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


def overlap(one: Geometry, other: Geometry) -> bool:
    """Tell whether two grids have a place in common, as far as their boxes along each other's axes say."""
    return _reaches_into(one, other) and _reaches_into(other, one)


def _reaches_into(inner: Geometry, outer: Geometry) -> bool:
    # Voxels reach half around their centres.
    corners = (np.linalg.inv(outer.ijk_to_ras()) @ inner.ijk_to_ras() @ inner.corners(0.5))[:3]
    low, high = corners.min(axis=1), corners.max(axis=1)
    return bool(np.all(high > -0.5) and np.all(low < np.asarray(outer.size) - 0.5))
