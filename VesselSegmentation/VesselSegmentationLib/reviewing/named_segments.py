"""Which of the named segments beside the compared ones, such as arteries or territories, is nearest to a place."""

from __future__ import annotations

from typing import Any

import numpy as np

from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.node_geometry import matrix_between
from VesselSegmentationLib.scene.segment_voxels import segment_voxels
from VesselSegmentationLib.scene.segmentation_nodes import vessel_segment


class NamedSegments:
    """The other segments of the segmentations that are compared.

    A segmentation that is compared as a whole has names as well, where it has more than one segment.

    Parameters
    ----------
    volume_node : vtkMRMLScalarVolumeNode
        The scan; positions are in its coordinates.
    sources : tuple of LabelSource
        What is compared.
    """

    def __init__(self, volume_node: Any, sources: tuple[LabelSource, ...]) -> None:
        self._volume_node = volume_node
        self._sources = sources
        # (node ID, segment ID) -> (what it was made from, the tree of its voxels or None if it has none).
        self._trees: dict[tuple[str, str], tuple[Any, Any]] = {}

    def nearest(self, position: tuple[float, float, float]) -> tuple[str, float] | None:
        """Find the nearest segment.

        Parameters
        ----------
        position : tuple of float
            In mm, RAS, in the coordinates of the scan.

        Returns
        -------
        tuple or None
            Name of the segment and distance in mm to the centre of its nearest voxel; None if there is none.

        Raises
        ------
        VesselSegError
            If a warping transform lies between a segmentation and the scan.
        """
        found: list[tuple[float, str]] = []
        for source in self._sources:
            if not source.is_segmentation:
                continue
            compared, segmentation = source.segment_ids(), source.node.GetSegmentation()
            vessels = vessel_segment(source.node)
            for index in range(segmentation.GetNumberOfSegments()):
                segment_id = str(segmentation.GetNthSegmentID(index))
                named = compared != [segment_id] and segment_id != vessels
                tree = self._tree(source.node, segment_id) if named else None
                if tree is not None:
                    found.append((float(tree.query(position)[0]), str(segmentation.GetSegment(segment_id).GetName())))
        if not found:
            return None
        distance, name = min(found)
        return name, distance

    def _tree(self, node: Any, segment_id: str) -> Any:
        from scipy.spatial import cKDTree

        to_scan = matrix_between(node, self._volume_node)
        image = node.GetBinaryLabelmapInternalRepresentation(segment_id)
        made_from = (image.GetMTime() if image is not None else 0, to_scan.tobytes())
        key = (str(node.GetID()), segment_id)
        if key not in self._trees or self._trees[key][0] != made_from:
            mask, geometry = segment_voxels(node, segment_id)
            ijk = np.argwhere(mask)[:, ::-1]
            matrix = to_scan @ geometry.ijk_to_ras()
            points = ijk @ matrix[:3, :3].T + matrix[:3, 3]
            self._trees[key] = (made_from, cKDTree(points) if len(points) else None)
        return self._trees[key][1]
