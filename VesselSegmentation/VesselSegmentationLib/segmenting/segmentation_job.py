"""One segmentation, from the scan's node to the nodes with label and probability."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtkmodules.vtkCommonCore import vtkWeakReference

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from VesselSegmentationLib.jobs.worker import PythonCommand, folder_to_hand_over
from VesselSegmentationLib.jobs.worker_job import WorkerJob
from VesselSegmentationLib.scene.node_geometry import share_transform
from VesselSegmentationLib.scene.run_record import record_run, record_threshold
from VesselSegmentationLib.scene.scene_nodes import nodes_of_class
from VesselSegmentationLib.scene.segmentation_nodes import check_takes_label, label_from_node
from VesselSegmentationLib.scene.temporary_segmentation import TemporarySegment, TemporarySegmentation
from VesselSegmentationLib.scene.vessel_label import keep_vessels, set_vessel_label, vessel_fingerprint
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node, volume_geometry

_SCAN, _MASK, _LABEL, _PROBABILITY = "scan.nrrd", "brain_mask.nrrd", "label.nrrd", "probability.nrrd"
_PREVIEW = "preview.nrrd"
#: Pale gold: neither the vessels nor any kind of error or edit has it.
_PREVIEW_COLOR, _PREVIEW_OPACITY = (0.95, 0.85, 0.5), 0.6


def _show_through(display_node: Any) -> None:
    display_node.SetOpacity2DFill(_PREVIEW_OPACITY)
    display_node.SetOpacity3D(_PREVIEW_OPACITY)


@dataclass(frozen=True)
class SegmentationSettings:
    """How a scan is segmented.

    Parameters
    ----------
    model : str
        Name of the model; empty for the default one.
    device : str
        "auto", "cpu", "mps", "cuda" or "cuda:N".
    brain_mask : str or node
        "auto" finds the brain, "none" segments the whole scan; a label volume or a segmentation is taken as it is.
    threshold : float, optional
        Of the probability, in (0, 1]; the default is the model's.
    min_component_mm3 : float, optional
        Smallest piece that is kept, in mm3; the default is the model's.
    """

    model: str = ""
    device: str = "auto"
    brain_mask: Any = "auto"
    threshold: float | None = None
    min_component_mm3: float | None = None


class SegmentationJob(WorkerJob):
    """Segment a scan in a worker process, then update the scene in one go.

    Until the work is done nothing in the scene changes; nor does it if the job is cancelled or fails. Only a coarse
    preview comes first, in a segmentation node of its own, which goes when the job ends in whatever way. The job is
    cancelled by itself when the scan, or a node that was given for the output, leaves the scene.

    Parameters
    ----------
    scene : vtkMRMLScene
    volume_node : vtkMRMLScalarVolumeNode
        The scan.
    segmentation_node : vtkMRMLSegmentationNode, optional
        For the label. If it is not given, one is made in the end.
    probability_node : vtkMRMLScalarVolumeNode, optional
        For the probability. If it is not given, one is made in the end.
    settings : SegmentationSettings
    python : PythonCommand, optional
        How to start Python.

    Attributes
    ----------
    summary : dict
        What the worker reported of the run: "model", "device", "device_name", "engine", "precision", "seconds",
        "threshold", "min_component_mm3", "vessel_voxels", "vessel_ml", "notes". Empty until the job is done.
    preview : TemporarySegmentation
        The coarse vessels that are shown meanwhile.

    Raises
    ------
    VesselSegError
        If the nodes do not fit, or the worker cannot be started.
    """

    def __init__(
        self,
        scene: Any,
        volume_node: Any,
        segmentation_node: Any = None,
        probability_node: Any = None,
        settings: SegmentationSettings | None = None,
        python: PythonCommand | None = None,
    ) -> None:
        settings = settings or SegmentationSettings()
        self.summary: dict[str, Any] = {}
        self.preview = TemporarySegmentation(scene, "Preview (coarse)", _show_through)
        self._scene = scene
        self._grid, self._imaged = volume_geometry(volume_node), _image_state(volume_node)
        self._scan = _SceneNode(scene, volume_node)
        self._segmentation = _SceneNode(scene, segmentation_node) if segmentation_node is not None else None
        self._probability = _SceneNode(scene, probability_node) if probability_node is not None else None
        self._written = vessel_fingerprint(segmentation_node) if segmentation_node is not None else ""
        if segmentation_node is not None:
            check_takes_label(segmentation_node, volume_node)
        with folder_to_hand_over() as folder:
            _write_input(folder / _SCAN, volume_from_node(volume_node))
            mask = settings.brain_mask
            if not isinstance(mask, str):
                _write_input(folder / _MASK, label_from_node(mask, volume_node))
                mask = str(folder / _MASK)
            names = {Path(_SCAN).stem: f"the scan '{volume_node.GetName()}'"}
            super().__init__(_arguments(folder, settings, mask), folder=folder, python=python, names=names)
        self._folder = folder

    @property
    def volume_node(self) -> Any:
        """The scan; None after it was removed."""
        return self._scan.get()

    @property
    def segmentation_node(self) -> Any:
        """The node with the label; None before a new one is made, and after it was removed."""
        return self._segmentation.get() if self._segmentation else None

    @property
    def probability_node(self) -> Any:
        """The node with the probability; None before a new one is made, and after it was removed."""
        return self._probability.get() if self._probability else None

    def _reason_to_stop(self) -> str:
        if self._scene.IsClosing():
            return "the scene was closed"
        for node in (self._scan, self._segmentation, self._probability):
            if node is not None and node.get() is None:
                return f"cancelled, because '{node.name}' was removed"
        return ""

    def _take(self, event: dict[str, Any]) -> None:
        super()._take(event)
        if event["event"] == "preview":
            self._show_preview()
        elif event["event"] == "progress" and self.preview.shown:
            self.message = f"preview shown; {self.message}"

    def _show_preview(self) -> None:
        from vesselseg.image_io import read_label

        try:
            label = read_label(self._folder / _PREVIEW)
            if not label.array.any() or self._change_of_scan():
                return
            vessels = TemporarySegment("Preview", _PREVIEW_COLOR, label.array != 0, label.geometry.ijk_to_ras())
            self.preview.show([vessels], self._scan.get())
        except Exception as error:  # whatever it is, the result that follows is worth more
            self.preview.remove()
            self.log.append(f"warning: the preview cannot be shown: {str(error) or type(error).__name__}")
        else:
            self.message = "preview shown"

    def _end(self, state: str, message: str) -> None:
        self.preview.remove()
        super()._end(state, message)

    def _use_result(self, result: dict[str, Any]) -> None:
        from vesselseg.image_io import read_label, read_volume

        change = self._change_of_scan()
        if change:
            raise VesselSegError(f"{change} while it was being segmented", "segment it again")
        volume_node = self._scan.get()
        # Everything that may fail comes before the scene is touched. The node's own geometry is exact; the files' may
        # be rounded.
        label = self._on_scan(read_label(self._folder / _LABEL))
        probability = self._on_scan(read_volume(self._folder / _PROBABILITY))
        if self.segmentation_node is not None:
            check_takes_label(self.segmentation_node, volume_node)
        summary = {key: value for key, value in result.items() if key != "event"}
        with _one_change(self._scene) as new_nodes:
            name = volume_node.GetName()
            probability_node = self.probability_node
            if probability_node is None:
                probability_node = _new_probability_node(self._scene, f"{name} vessel probability", new_nodes)
            segmentation_node = self.segmentation_node
            if segmentation_node is None:
                segmentation_node = _new_node(self._scene, "vtkMRMLSegmentationNode", f"{name} vessels", new_nodes)
            set_node_volume(probability_node, probability)
            share_transform(probability_node, volume_node)
            if self._segmentation is not None and vessel_fingerprint(segmentation_node) != self._written:
                # Somebody edited it meanwhile: that work stays, as a segment like any other.
                keep_vessels(segmentation_node)
                self.log.append("warning: the vessels were edited during the run; the edited ones were kept beside")
            set_vessel_label(segmentation_node, volume_node, label)
            record_run(segmentation_node, probability_node, summary)
            threshold, min_component_mm3 = summary.get("threshold"), summary.get("min_component_mm3")
            if threshold is not None and min_component_mm3 is not None:
                record_threshold(segmentation_node, threshold, min_component_mm3)
        self._probability = _SceneNode(self._scene, probability_node)
        self._segmentation = _SceneNode(self._scene, segmentation_node)
        self.summary = summary

    def _change_of_scan(self) -> str:
        """Say what has happened to the scan since the start: vessels of one are not those of another."""
        volume_node = self._scan.get()
        if not volume_geometry(volume_node).same_grid(self._grid):
            return f"the grid of '{volume_node.GetName()}' was changed"
        if _image_state(volume_node) != self._imaged:
            return f"the voxels of '{volume_node.GetName()}' were changed"
        return ""

    def _on_scan(self, volume: Volume) -> Volume:
        if not _same_grid(volume.geometry, self._grid):
            raise VesselSegError(
                "the worker's result does not lie on the grid of the scan", "report this to the developers"
            )
        return Volume(volume.array, self._grid)


class _SceneNode:
    """A node that somebody may remove at any time. IDs alone do not do: the next scene gives them out again."""

    def __init__(self, scene: Any, node: Any) -> None:
        self.name = str(node.GetName())
        self._id = node.GetID()
        self._scene = scene
        self._node = vtkWeakReference()
        self._node.Set(node)

    def get(self) -> Any:
        node = self._node.Get()
        return node if node is not None and self._scene.GetNodeByID(self._id) is node else None


def _image_state(node: Any) -> int:
    """Return what is another number for another image, and after a change in place: VTK gives none out twice."""
    return int(node.GetImageData().GetMTime())


def _same_grid(one: Geometry, other: Geometry) -> bool:
    return one.same_grid(other, tolerance=1e-2)


def _write_input(path: Path, volume: Volume) -> None:
    from vesselseg.image_io import write_volume

    write_volume(volume, path, compress=False, durable=False)  # read at once, and the front end waits


def _arguments(folder: Path, settings: SegmentationSettings, mask: str) -> list[str]:
    arguments = ["segment", str(folder / _SCAN), "--output", str(folder / _LABEL)]
    arguments += ["--probability", str(folder / _PROBABILITY), "--preview", str(folder / _PREVIEW)]
    arguments += ["--device", settings.device, "--brain-mask", mask, "--uncompressed"]
    if settings.model:
        arguments += ["--model", settings.model]
    if settings.threshold is not None:
        arguments += ["--threshold", repr(float(settings.threshold))]
    if settings.min_component_mm3 is not None:
        arguments += ["--min-component", repr(float(settings.min_component_mm3))]
    return arguments


@contextlib.contextmanager
def _one_change(scene: Any) -> Iterator[list[Any]]:
    """Let observers and views see a single change of the scene; take the new nodes out again if it fails."""
    new_nodes: list[Any] = []
    scene.StartState(scene.BatchProcessState)
    try:
        yield new_nodes
    except BaseException:
        for node in new_nodes:
            scene.RemoveNode(node)
        raise
    finally:
        scene.EndState(scene.BatchProcessState)
        # Of segmentations that came in a batch, slice views take note at its end, but draw them not before their slice
        # changes (vtkMRMLSegmentationsDisplayableManager2D::OnMRMLSceneEndBatchProcess).
        for view in nodes_of_class(scene, "vtkMRMLSliceNode"):
            view.Modified()


def _new_node(scene: Any, class_name: str, name: str, new_nodes: list[Any]) -> Any:
    node = scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(name))
    new_nodes.append(node)
    return node


def _new_probability_node(scene: Any, name: str, new_nodes: list[Any]) -> Any:
    node = _new_node(scene, "vtkMRMLScalarVolumeNode", name, new_nodes)
    node.CreateDefaultDisplayNodes()
    display_node = node.GetScalarVolumeDisplayNode()
    display_node.AutoWindowLevelOff()
    display_node.SetWindowLevelMinMax(0.0, 1.0)
    return node
