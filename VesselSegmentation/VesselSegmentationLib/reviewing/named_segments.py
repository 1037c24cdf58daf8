"""Which of the named segments beside the compared ones, such as arteries or territories, is nearest to an error."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from VesselSegmentationLib.scene.label_source import UNSURE_ROLE, LabelSource
from VesselSegmentationLib.scene.node_geometry import matrix_between
from VesselSegmentationLib.scene.segment_voxels import segment_voxels
from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role, vessel_segment


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

    def nearest(self, positions: NDArray[np.float64]) -> tuple[str, float] | None:
        """Find the segment nearest to some voxels.

        Parameters
        ----------
        positions : ndarray, shape (N, 3)
            Of their centres, in mm, RAS, in the coordinates of the scan.

        Returns
        -------
        tuple or None
            Name of the segment and the smallest distance, in mm, from voxel centre to voxel centre; None if there is
            none. Of segments that are as near, give or take a voxel, the one that is nearest to the voxels on average.

        Raises
        ------
        VesselSegError
            If a warping transform lies between a segmentation and the scan.
        """
        found: list[tuple[float, float, str]] = []
        for source in self._sources:
            if not source.is_segmentation:
                continue
            compared, segmentation = source.segment_ids(), source.node.GetSegmentation()
            unnamed = (vessel_segment(source.node), segment_with_role(source.node, UNSURE_ROLE))
            for index in range(segmentation.GetNumberOfSegments()):
                segment_id = str(segmentation.GetNthSegmentID(index))
                named = compared != [segment_id] and segment_id not in unnamed
                tree = self._tree(source.node, segment_id) if named else None
                if tree is not None:
                    distances = tree.query(positions)[0]
                    name = str(segmentation.GetSegment(segment_id).GetName())
                    found.append((float(distances.mean()), float(distances.min()), name))
        if not found:
            return None
        near = min(distance for _, distance, _ in found) + float(np.linalg.norm(self._volume_node.GetSpacing()))
        _, distance, name = min(each for each in found if each[1] <= near)
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
