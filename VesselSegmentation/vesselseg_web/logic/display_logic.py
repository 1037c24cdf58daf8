"""How the scan and what lies over it are shown: window, slab, volume rendering, visibility and opacity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trame_server.utils.typed_state import TypedState
from trame_slicer.core import VolumeWindowLevel

from vesselseg.review.error_kinds import ErrorKind
from vesselseg_web.logic.layers import REFERENCE, VESSELS, KindLayer, Layer, SegmentationLayer
from vesselseg_web.logic.page_logic import PageLogic, SectionLogic
from vesselseg_web.logic.states import CompareState, DisplayState
from vesselseg_web.viewing.scan_rendering import ScanRendering
from vesselseg_web.workspace.wording import LOAD_FIRST
from VesselSegmentationLib.reviewing.error_map_display import set_outlined
from VesselSegmentationLib.scene.scan_display import Slabs

if TYPE_CHECKING:
    from vesselseg_web.viewing.views import Views
    from vesselseg_web.workspace.case import Case

#: Steps of a slider for a scan with few intensities; else it moves by whole ones.
_STEPS = 200


class DisplayLogic(SectionLogic[DisplayState]):
    """Answers to the section "View", and to the visibility of the kinds of errors.

    Parameters
    ----------
    page : PageLogic
    case : Case
    views : Views
        That already show the scan when `case` says that there is another one.
    """

    def __init__(self, page: PageLogic, case: Case, views: Views) -> None:
        super().__init__(page, case, DisplayState)
        self._views = views
        self._rendering = ScanRendering(case.scene, software=views.software)
        self._slabs = Slabs(case.scene)
        self._compare = TypedState(self.state, CompareState)
        state, reporting = self.state, page.reporting
        self.vessels = SegmentationLayer(state, VESSELS, reporting, lambda: case.vessels, self._is_outlined)
        self.reference = SegmentationLayer(state, REFERENCE, reporting, self._reference_node, self._is_outlined)
        self._kinds = [KindLayer(state, reporting, kind, self._map_node) for kind in ErrorKind]
        self.bind_changes(
            {
                self.name.window: self._set_window,
                self.name.slab: self._set_slab,
                (self.name.rendering, self.name.rendering_opacity): self._render,
                self.name.outlined: self._set_outlined,
            }
        )
        self._compare.bind_changes({self._compare.name.reference: self._choose_reference})
        case.scan_changed.connect(self._on_scan)
        case.labels_changed.connect(self._show_layers)
        self._on_scan()

    def set_ui(self, ui: Any) -> None:
        """Answer to the clicks."""
        ui.reset_clicked.connect(self.reset_window)

    def poll(self) -> None:
        """Show the window that a drag in a view has set, and in 3D all that has come to be shown first."""
        scan = self.case.scan
        if scan is not None:
            self._views.fit_3d()
            low, high = (float(value) for value in VolumeWindowLevel.get_volume_display_range(scan))
            if self._differs([low, high]):
                self.data.window = [low, high]

    def comparison_changed(self, changed: set[str]) -> None:
        """Show how the kinds of errors are shown; a new map is outlined as the vessels are."""
        self._show_layers()

    def reset_window(self) -> None:
        """Fit the window to the intensities of the scan."""
        if self.case.scan is not None:
            display_node = VolumeWindowLevel.get_volume_display_node(self.case.scan)
            display_node.SetAutoWindowLevel(False)  # it is computed only when it is switched on
            display_node.SetAutoWindowLevel(True)
            self.poll()

    def toggle_vessels(self) -> None:
        """Hide the vessels, or show them again."""
        if self._map_node() is not None and self._compare.data.shown:
            self.page.say("The error map is shown in place of the vessels: hide it to see them.")
        else:
            self.vessels.toggle()

    def _on_scan(self) -> None:
        scan, fresh = self.case.scan, DisplayState()
        self._rendering.hide()
        self._views.limit_3d(False)
        data = self.data
        data.why_not = "" if scan is not None else LOAD_FIRST
        data.slab, data.rendering, data.rendering_opacity = fresh.slab, fresh.rendering, fresh.rendering_opacity
        data.outlined = fresh.outlined
        if scan is not None:
            data.lowest, data.highest = (float(value) for value in scan.GetImageData().GetScalarRange())
            extent = data.highest - data.lowest
            data.step = 1.0 if extent > _STEPS else (extent / _STEPS or 1.0)
            self.poll()
        self._show_layers()

    def _differs(self, window: list[float]) -> bool:
        shown, step = self.data.window, self.data.step
        return max(abs(a - b) for a, b in zip(shown, window)) > step / 2

    def _set_window(self, window: list[float]) -> None:
        scan = self.case.scan
        if scan is None:
            return
        present = VolumeWindowLevel.get_volume_display_range(scan)
        if self._differs(list(present)):
            low, high = sorted(window)
            # Nothing can be told from an empty window.
            VolumeWindowLevel.set_volume_node_display_min_max_range(scan, low, max(high, low + self.data.step))

    def _set_slab(self, thickness: float) -> None:
        with self.page.reporting():
            self._slabs.set_thickness(float(thickness))

    def _render(self, style: str, opacity: float) -> None:
        scan = self.case.scan
        self._views.limit_3d(bool(style))
        if scan is None or not style:
            self._rendering.hide()
            return
        with self.page.reporting():
            self._rendering.show(scan, style, max(float(opacity), 1.0) / 100)

    def _set_outlined(self, outlined: bool) -> None:
        for layer in (self.vessels, self.reference):
            layer.write()
        self._outline_map()

    def _outline_map(self) -> None:
        node = self._map_node()
        if node is not None:
            set_outlined(node, self.data.outlined)

    def _choose_reference(self, name: str) -> None:
        chosen = self._reference_node()
        for node in self.case.references.values():
            if node is not chosen:
                node.GetDisplayNode().SetVisibility(False)
        self.reference.show()

    def _show_layers(self) -> None:
        layers: tuple[Layer, ...] = (self.vessels, self.reference, *self._kinds)
        for layer in layers:
            layer.show()
        self._outline_map()

    def _is_outlined(self) -> bool:
        return bool(self.data.outlined)

    def _reference_node(self) -> Any:
        return self.case.references.get(self._compare.data.reference)

    def _map_node(self) -> Any:
        error_map = self.case.review.error_map
        return error_map.node if error_map is not None else None
