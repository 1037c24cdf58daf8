"""What a front end asks for: segment a scan, move the threshold, show the vessels in 3D."""

from __future__ import annotations

from typing import Any

from vesselseg.errors import VesselSegError
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.postprocessing import threshold_probability
from vesselseg.volume import Volume
from VesselSegmentationLib.jobs.worker import PythonCommand
from VesselSegmentationLib.scene.run_record import (
    is_probability,
    probability_of,
    record_probability,
    record_threshold,
)
from VesselSegmentationLib.scene.scan_choice import other_scan
from VesselSegmentationLib.scene.scene_nodes import reference_scan
from VesselSegmentationLib.scene.vessel_label import set_vessel_label
from VesselSegmentationLib.scene.volume_nodes import volume_from_node, volume_geometry
from VesselSegmentationLib.segmenting.device_query import DeviceQuery
from VesselSegmentationLib.segmenting.segmentation_job import SegmentationJob, SegmentationSettings

#: Below this probability no vessel is looked for unless the threshold is lower still: it bounds the box to search.
_BOX_LEVEL = 0.02


class SegmentationLogic:
    """Segmentation of vessels in a MRML scene.

    Parameters
    ----------
    scene : vtkMRMLScene
    python : PythonCommand, optional
        How to start Python for the worker processes; the default is this process' interpreter.
    """

    def __init__(self, scene: Any, python: PythonCommand | None = None) -> None:
        self.scene = scene
        self.python = python
        # Node ID -> (when the image was last modified, the box). VTK never gives out a modification time twice.
        self._boxes: dict[str, tuple[int, tuple[slice, slice, slice] | None]] = {}

    def start_segmentation(
        self,
        volume_node: Any,
        segmentation_node: Any = None,
        probability_node: Any = None,
        settings: SegmentationSettings | None = None,
    ) -> SegmentationJob:
        """Start to segment a scan; returns at once.

        A vessel segment that is already in the segmentation will be replaced, but for vessels that were taken out of it
        by name: ask first if `changed_since_written`.

        Parameters
        ----------
        volume_node : vtkMRMLScalarVolumeNode
            The scan.
        segmentation_node : vtkMRMLSegmentationNode, optional
            For the label; if it is not given, "<scan> vessels" is made when the work is done.
        probability_node : vtkMRMLScalarVolumeNode, optional
            For the probability; if it is not given, "<scan> vessel probability" is made when the work is done.
        settings : SegmentationSettings, optional

        Returns
        -------
        SegmentationJob

        Raises
        ------
        VesselSegError
            If a node does not fit, holds the vessels of another scan or an image that is no probability, or the worker
            cannot be started.
        """
        if volume_node is not None and volume_node.IsA("vtkMRMLLabelMapVolumeNode"):
            raise VesselSegError(f"'{volume_node.GetName()}' is a label, not a scan", "choose a TOF-MRA scan")
        if probability_node is not None:
            if probability_node is volume_node:
                raise VesselSegError("the probability would replace the scan", "choose another volume, or a new one")
            if probability_node.IsA("vtkMRMLLabelMapVolumeNode"):
                raise VesselSegError(
                    "a label volume cannot hold the probability", "choose another volume, or a new one"
                )
            own = segmentation_node is not None and probability_of(segmentation_node) is probability_node
            if probability_node.GetImageData() is not None and not (own or is_probability(probability_node)):
                raise VesselSegError(
                    f"the probability would replace the image '{probability_node.GetName()}'",
                    "choose another volume, or a new one",
                )
        former = other_scan(segmentation_node, volume_node)
        if former is not None:
            raise VesselSegError(
                f"'{segmentation_node.GetName()}' holds the vessels of the scan '{former.GetName()}'",
                "choose another segmentation, or a new one",
            )
        return SegmentationJob(
            self.scene, volume_node, segmentation_node, probability_node, settings=settings, python=self.python
        )

    def apply_threshold(
        self,
        probability_node: Any,
        segmentation_node: Any,
        threshold: float,
        min_component_mm3: float = 0.0,
        volume_node: Any = None,
    ) -> str:
        """Make the vessel segment anew from the stored probability; every other segment stays as it is.

        What was taken out of the vessels by name stays in the segment with that name alone. Edits of the vessel segment
        are lost: ask first if `changed_since_written`.

        Parameters
        ----------
        probability_node : vtkMRMLScalarVolumeNode
        segmentation_node : vtkMRMLSegmentationNode
        threshold : float
            Voxels with at least this probability belong to the vessels; in (0, 1].
        min_component_mm3 : float
            Smaller pieces are removed, in mm3.
        volume_node : vtkMRMLScalarVolumeNode, optional
            The scan, on the same grid; the default is the segmentation's reference volume where its grid is the same,
            under whatever transform, else the probability itself.

        Returns
        -------
        str
            The segment's ID.

        Raises
        ------
        VesselSegError
            If a number is out of range or a node does not fit, for example where a transform of the scan was hardened
            and the probability was left behind.
        """
        probability = volume_from_node(probability_node)
        box = self._box(probability_node, probability, threshold)
        crop = Volume(probability.array[box], probability.geometry.cropped(box))
        label = threshold_probability(crop, threshold, min_component_mm3)
        if volume_node is None:
            volume_node = self._reference_volume(segmentation_node, probability_node)
        segment_id = set_vessel_label(segmentation_node, volume_node, label)
        record_probability(segmentation_node, probability_node)
        record_threshold(segmentation_node, threshold, min_component_mm3)
        return segment_id

    def start_device_query(self) -> DeviceQuery:
        """Start to ask for the devices a network can run on; returns at once."""
        return DeviceQuery(self.python)

    def _box(self, node: Any, probability: Volume, threshold: float) -> tuple[slice, slice, slice]:
        """Return the part of a probability map that can hold vessels: looked for once, the brain being a quarter."""
        whole = tuple(slice(0, size) for size in probability.array.shape)
        if not threshold >= _BOX_LEVEL:
            return whole[0], whole[1], whole[2]
        modified = int(node.GetImageData().GetMTime())
        known = self._boxes.get(node.GetID())
        if known is None or known[0] != modified:
            known = (modified, bounding_box(probability.array >= _BOX_LEVEL))
            self._boxes[node.GetID()] = known
        return known[1] or (slice(0, 1), slice(0, 1), slice(0, 1))

    def _reference_volume(self, segmentation_node: Any, probability_node: Any) -> Any:
        node = reference_scan(segmentation_node)
        if node is None:
            return probability_node
        # Whatever transforms they are under now: voxel by voxel, the probability is that of the scan.
        grid, own = volume_geometry(node), volume_geometry(probability_node)
        if grid.same_grid(own):
            return node
        if grid.size == own.size:
            # The vessels would jump away from the scan.
            raise VesselSegError(
                f"the scan '{node.GetName()}' was moved, its probability '{probability_node.GetName()}' was not",
                "move the probability in the same way, or segment the scan again",
            )
        return probability_node
