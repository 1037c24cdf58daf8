"""Comparing two labels in a scene: error map, list of errors and metrics, all of which follow every edit."""

from __future__ import annotations

import time
from typing import Any

from vesselseg.errors import VesselSegError
from vesselseg.review.error_kinds import WITH_REFERENCE, Wording
from vesselseg.review.threshold_analysis import ThresholdAnalysis
from vesselseg.volume import Volume
from VesselSegmentationLib.jobs.worker import PythonCommand
from VesselSegmentationLib.reviewing.error_map_display import set_map_shown, set_palette
from VesselSegmentationLib.reviewing.error_map_nodes import (
    ErrorMapNode,
    find_error_map,
    is_error_map,
    recorded_comparison,
)
from VesselSegmentationLib.reviewing.error_navigator import ErrorNavigator
from VesselSegmentationLib.reviewing.evaluation_job import INSIDE_MASK
from VesselSegmentationLib.reviewing.map_visibility import (
    compared_segments,
    give_place,
    hide_map,
    hide_newcomers,
    put_maps_away,
)
from VesselSegmentationLib.reviewing.review_inputs import MASK, PROBABILITY, ReviewInputs
from VesselSegmentationLib.reviewing.review_listing import ErrorListing
from VesselSegmentationLib.reviewing.review_metrics import ReviewMetrics
from VesselSegmentationLib.reviewing.review_tables import set_metrics_table, set_threshold_charts
from VesselSegmentationLib.reviewing.voxel_watcher import VoxelWatcher
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.run_record import recorded_threshold
from VesselSegmentationLib.scene.scene_nodes import reference_scan
from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic

#: What `ReviewLogic.poll` says that has changed.
MAP, COMPONENTS, METRICS = "map", "components", "metrics"
#: Roles of nodes beside those of `ReviewInputs`.
_SCAN, _FIRST, _SECOND = "scan", "first", "second"
_POLL_SECONDS = 0.02


class ReviewLogic:
    """Compare a segmentation with a reference, or two results with each other.

    A front end calls `poll` from a timer, about five times a second, and draws what it says has changed; a script calls
    `wait`. Each call does one short step, in this order: the map is made anew where voxels have changed; the list of
    errors follows there; when the edits pause, a worker process computes the metrics. They take about a second on a
    whole head, too long for the thread that draws, and in 3D Slicer threads only run while that one lets them. Where
    the map is flooded with errors, a worker lists them, too.

    Parameters
    ----------
    scene : vtkMRMLScene
    python : PythonCommand, optional
        How to start Python for the worker processes.

    Attributes
    ----------
    error_map : ErrorMapNode or None
        The map, its legend and its notes; None while nothing is compared.
    navigator : ErrorNavigator or None
        The list of errors.
    listing : ErrorListing or None
        What keeps it up to date; it knows how many there are where not all are listed.
    metrics : dict
        As `vesselseg.metrics.evaluate` returns them, by region: the whole volume and, where a mask was given, the
        inside of it. Dice, precision, sensitivity, counts and volumes of the whole volume follow the map at once; where
        a metric is not `is_current` it is that of before, or not there yet.
    """

    def __init__(self, scene: Any, python: PythonCommand | None = None) -> None:
        self.scene = scene
        self.python = python
        self.error_map: ErrorMapNode | None = None
        self.navigator: ErrorNavigator | None = None
        self.listing: ErrorListing | None = None
        self._inputs: ReviewInputs | None = None
        self._metrics: ReviewMetrics | None = None
        self._watcher = VoxelWatcher(scene)
        self._segments: set[tuple[str, str]] = set()

    def start(
        self,
        segmentation: LabelSource,
        reference: LabelSource,
        *,
        volume_node: Any = None,
        probability_node: Any = None,
        brain_mask_node: Any = None,
        wording: Wording = WITH_REFERENCE,
        palette: str | None = None,
    ) -> Any:
        """Compare two labels. The map is there at once; list and metrics come with `poll`.

        What was compared before is let go of, and shown again where its map hid it. Another map takes the place of that
        one, which stays in the scene.

        Parameters
        ----------
        segmentation, reference : LabelSource
        volume_node : vtkMRMLScalarVolumeNode, optional
            The scan; the default is the one that belongs to the segmentation, else to the reference.
        probability_node : vtkMRMLScalarVolumeNode, optional
            For the mean probability of each error; the default is the one that belongs to the segmentation at the time.
        brain_mask_node : vtkMRMLSegmentationNode or vtkMRMLScalarVolumeNode, optional
            Metrics are computed inside it as well.
        wording : Wording
            What the kinds are called.
        palette : str, optional
            Name of the colours; the default keeps those of a map that is already there.

        Returns
        -------
        vtkMRMLSegmentationNode
            The error map. One of the same two labels is used again, with what readers have said about its errors.

        Raises
        ------
        VesselSegError
            If a label or the scan does not fit. Then nothing has changed, and what was compared before still is.
        """
        segmentation.check(wording.first)
        reference.check(wording.second)
        # The same segments can be chosen by name and as all vessels.
        if segmentation.node is reference.node and segmentation.segment_ids() == reference.segment_ids():
            raise VesselSegError("a label cannot be compared with itself", "choose two different ones")
        if volume_node is None:
            volume_node = _scan_of(segmentation, reference)
        node = find_error_map(self.scene, segmentation, reference)
        error_map = ErrorMapNode(
            self.scene, volume_node, segmentation, reference, wording=wording, palette=palette or "standard", node=node
        )
        # What does not fit has been refused by now.
        if self.error_map is not None and self.error_map.node is not error_map.node:
            give_place(self.scene, self.error_map, error_map.node)
        self.stop()
        if palette:
            set_palette(error_map.node, palette)
        inputs = ReviewInputs(self.scene, error_map, probability_node, brain_mask_node)
        self.error_map, self._inputs = error_map, inputs
        self.navigator = ErrorNavigator(self.scene, error_map)
        self.listing = ErrorListing(self.navigator, error_map, inputs.fitting_probability, self.python)
        self._metrics = ReviewMetrics(error_map, inputs.mask, lambda: self.python)
        self._segments = compared_segments(error_map)
        self._watch(error_map, inputs)
        return error_map.node

    def resume(self, node: Any) -> Any:
        """Go on with an error map that is in the scene, for example after loading it; as `start`."""
        volume_node, segmentation, reference, wording = recorded_comparison(node)
        return self.start(
            segmentation,
            reference,
            volume_node=volume_node,
            probability_node=node.GetNodeReference(PROBABILITY),
            brain_mask_node=node.GetNodeReference(MASK),
            wording=wording,
        )

    def put_maps_away(self) -> Any:
        """Hide the error maps that nothing follows, and show again what they have hidden; not while comparing.

        A scene that was saved while comparing shows one.

        Returns
        -------
        vtkMRMLSegmentationNode or None
            One that was shown, for `resume`; None if there was none.
        """
        return put_maps_away(self.scene) if self.error_map is None else None

    def use_mask(self, brain_mask_node: Any) -> None:
        """Compute metrics inside another brain mask as well, or, with None, inside none."""
        error_map = self._comparison()
        if self._inputs is not None and self._metrics is not None:
            self._inputs.use_mask(brain_mask_node)
            self._metrics.forget_mask()
            self._watch(error_map, self._inputs)
            self._metrics.measure_anew()

    def stop(self) -> None:
        """Let go of the scene. The map stays in it, and shows what was compared last."""
        self._watcher.stop()
        if self._metrics is not None:
            self._metrics.cancel()
        if self.listing is not None:
            self.listing.cancel()
        if self.navigator is not None:
            self.navigator.close()
        self.error_map = self.navigator = self.listing = None
        self._inputs = self._metrics = None

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """See the attributes of the class."""
        return {} if self._metrics is None else self._metrics.values

    @property
    def pending(self) -> bool:
        """Whether anything shown is older than the labels, and follows."""
        parts = (self.listing, self._metrics)
        return bool(self._watcher.changed) or any(part is not None and part.pending for part in parts)

    @property
    def metrics_current(self) -> bool:
        """Whether all metrics are those of the labels as they are now."""
        return self._metrics is not None and self._metrics.complete and not self._watcher.changed

    @property
    def metrics_failed(self) -> bool:
        """Whether some metrics could not be measured: until the next edit, or another mask, those are of before."""
        return self._metrics is not None and self._metrics.failed

    def is_current(self, region: str, key: str) -> bool:
        """Tell whether one of `metrics`, by its keys, is that of the labels as they are now; others may not be."""
        return self._metrics is not None and self._metrics.is_current(region, key, changing=bool(self._watcher.changed))

    def poll(self, *, metrics: bool = True) -> set[str]:
        """Do the next step, if there is one.

        Parameters
        ----------
        metrics : bool
            Whether it may be one of measuring; without, only map and list are brought up to date.

        Returns
        -------
        set of str
            What has changed: `MAP` (and its legend), `COMPONENTS`, `METRICS`.

        Raises
        ------
        VesselSegError
            If what is compared has been removed or does not fit any more: then the comparison has been stopped. Or if
            metrics or list could not be computed: then it goes on with the next edit.
        """
        if self.error_map is None or self.scene.IsClosing():
            return set()
        try:
            changed = self._update_map(self.error_map) if self._watcher.changed else set()
        except Exception:  # of whatever kind: a map that has not followed must not stay as if it had
            hide_map(self.scene, self.error_map)
            self.stop()
            raise
        if changed:
            return changed
        if self.listing is not None and self.listing.step():
            return {COMPONENTS}
        return {METRICS} if metrics and self._metrics is not None and self._metrics.step() else set()

    def wait(self, timeout: float = 60.0) -> bool:
        """Poll until everything is up to date, at most for a number of seconds; whether it is."""
        end = time.monotonic() + timeout
        while self.pending and time.monotonic() < end:
            self.poll()
            time.sleep(_POLL_SECONDS)
        return not self.pending

    def show_map(self, shown: bool, *, three_d: bool = True) -> None:
        """Show the error map in place of the segments that it compares, or those again."""
        error_map = self._comparison()
        if shown and self.scene.IsNodePresent(error_map.node):
            set_map_shown(error_map.node, error_map.sources, True, three_d=three_d)
        else:
            hide_map(self.scene, error_map)

    def metrics_table(self) -> Any:
        """Write the metrics into a table of the scene, with units; returns the vtkMRMLTableNode.

        Those that are not of the labels as they are now are undefined in it: nothing else there would tell them.
        """
        error_map, metrics = self._comparison(), self.metrics
        current = {
            region: {key: value for key, value in values.items() if self.is_current(region, key)}
            for region, values in metrics.items()
        }
        if self.mask_node is not None:
            current.setdefault(INSIDE_MASK, {})
        return set_metrics_table(self.scene, error_map.node, current, error_map.wording)

    def threshold_charts(self, analysis: ThresholdAnalysis, *, masked: bool = False) -> tuple[Any, Any]:
        """Draw an analysis in the scene; returns two vtkMRMLPlotChartNode; see `review_tables.set_threshold_charts`."""
        return set_threshold_charts(self.scene, self._comparison().node, analysis, masked=masked)

    def take_best_threshold(self, analysis: ThresholdAnalysis) -> float:
        """Make the vessel segment anew with the best threshold of an analysis; returns that threshold.

        Edits of the segment are lost: ask first if `changed_since_written`. The smallest
        component stays as it was.

        Raises
        ------
        VesselSegError
            If what is compared is not the segment that was made from the probability, or if no threshold is any good.
        """
        source = self._comparison().sources[0]
        if analysis.best_dice == 0:
            raise VesselSegError(
                "no threshold finds a vessel of the reference", "compare with the reference of this scan"
            )
        logic = SegmentationLogic(self.scene)
        vessels = segment_with_role(source.node) if source.is_segmentation else None
        probability_node = self._present_probability()
        if vessels is None or source.segment_ids()[:1] != [vessels] or probability_node is None:
            raise VesselSegError(
                f"'{source.name}' was not made from a probability here", "compare the vessels that were found"
            )
        _threshold, min_component_mm3 = recorded_threshold(source.node) or (0.0, 0.0)
        logic.apply_threshold(probability_node, source.node, analysis.best_threshold, min_component_mm3)
        return analysis.best_threshold

    def _comparison(self) -> ErrorMapNode:
        if self.error_map is None:
            raise VesselSegError("nothing is compared", "choose a segmentation and a reference first")
        return self.error_map

    def _update_map(self, error_map: ErrorMapNode) -> set[str]:
        nodes = [error_map.node, error_map.volume_node, *(source.node for source in error_map.sources)]
        if not all(self.scene.IsNodePresent(node) for node in nodes):
            raise VesselSegError("what was compared has been removed from the scene", "choose two labels again")
        if not is_error_map(error_map.node):
            raise VesselSegError("segments of the error map have been removed", "compare the labels again")
        if self._inputs is not None and self._inputs.follow_probability():
            self._watch(error_map, self._inputs)
            self._watcher.changed.add(PROBABILITY)
        dirty = self._watcher.take()
        mask_changed = self._follow_mask(dirty)
        if PROBABILITY in dirty and self.listing is not None:
            self.listing.add(None)
        both = _SCAN in dirty
        former = error_map.errors.geometry
        changed = error_map.update(segmentation=both or _FIRST in dirty, reference=both or _SECOND in dirty)
        self._segments = hide_newcomers(self.scene, error_map, self._segments)
        if changed is None:
            return {METRICS} if mask_changed else set()
        if self.listing is not None:
            self.listing.add(changed if error_map.errors.geometry is former else None)
        if self._metrics is not None:
            self._metrics.count()
            self._metrics.measure_anew()
        return {MAP, METRICS}

    def _follow_mask(self, dirty: set[str]) -> bool:
        """Let go of a mask that was removed; tell whether metrics inside it are not what they were."""
        if self._inputs is not None and self._inputs.mask_was_removed:
            self.use_mask(None)
        elif self.mask_node is not None and self._metrics is not None and dirty & {MASK, _SCAN}:
            self._metrics.measure_anew()
        else:
            return False
        return True

    def mask(self) -> Volume | None:
        """Return the brain mask on the grid of the scan; None if none was given."""
        return None if self._inputs is None else self._inputs.mask()

    @property
    def mask_node(self) -> Any:
        """The brain mask inside which metrics are computed as well; None if there is none."""
        return None if self._inputs is None else self._inputs.mask_node

    @property
    def has_probability(self) -> bool:
        """Whether the probability from which the segmentation was made is in the scene."""
        return self._present_probability() is not None

    def probability(self) -> Volume | None:
        """Return the probability on the grid of the scan; None if there is none."""
        return None if self._inputs is None else self._inputs.probability()

    def _present_probability(self) -> Any:
        return None if self._inputs is None else self._inputs.probability_node

    def _watch(self, error_map: ErrorMapNode, inputs: ReviewInputs) -> None:
        first, second = error_map.sources
        labels = [(_FIRST, first.node), (_SECOND, second.node)]
        self._watcher.watch([(_SCAN, error_map.volume_node), *inputs.watched, *labels])


def _scan_of(*sources: LabelSource) -> Any:
    for source in sources:
        node = reference_scan(source.node) if source.is_segmentation else None
        if node is not None:
            return node
    for source in sources:
        if not source.is_segmentation:
            return source.node
    raise VesselSegError("it is not known to which scan the labels belong", "choose the scan")
