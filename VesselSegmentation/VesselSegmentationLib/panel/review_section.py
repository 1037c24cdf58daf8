"""The section "Review" of 3D Slicer's panel."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from VesselSegmentationLib.panel.panel_section import PanelSection, allow, errors_shown
from VesselSegmentationLib.scene.segmentation_nodes import surface_shown

#: How long a slider must rest before the vessels follow it.
_REST_MILLISECONDS = 200
#: Sliders give their values with rounding errors.
_SAME = 1e-6


class ReviewSection(PanelSection):
    """Threshold and smallest piece, which act on the stored probability, and the vessels in 3D.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        super().__init__(ui, logic)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST_MILLISECONDS)
        self._timer.connect("timeout()", self.apply)
        ui.thresholdSlider.connect("valueChanged(double)", self._on_moved)
        ui.minimumComponentSlider.connect("valueChanged(double)", self._on_moved)
        ui.show3DButton.connect("toggled(bool)", self._on_show_3d)
        self._running = False

    def update(self, running: bool) -> None:
        """Bring the widgets up to date."""
        self._running = running
        segmentation_node = self.parameters.outputSegmentation
        reason = ""
        if running:
            reason = _("Wait until the segmentation is done, or cancel it.")
        elif not self.logic.hasVessels(segmentation_node):
            reason = _("There are no vessels yet: segment a scan first.")
        allow(self.ui.show3DButton, reason, _("Show the vessels in the 3D views."))
        if not reason and self.logic.probabilityOf(segmentation_node) is None:
            reason = _("The probability of these vessels is not in the scene: segment the scan again.")
        allow(self.ui.thresholdSlider, reason, _("Voxels with at least this probability belong to the vessels."))
        allow(self.ui.minimumComponentSlider, reason, _("Connected pieces below this volume are removed; 0 keeps all."))

    def show_threshold(self, threshold: float, minimum_component: float) -> None:
        """Move the sliders, as far as they go, without acting on the vessels."""
        self.parameters.threshold = min(max(threshold, self.ui.thresholdSlider.minimum), 1.0)
        self.parameters.minimumComponent = min(minimum_component, self.ui.minimumComponentSlider.maximum)
        self.forget_moves()

    def forget_moves(self) -> None:
        """Do not act on what has moved the sliders just now: it was not the user."""
        self._timer.stop()

    def follow_3d(self) -> None:
        """Let the button say whether the vessels just chosen are shown in 3D.

        Those that were neither shown nor hidden yet, found while another scan was chosen, are first shown as it says.
        """
        node = self.parameters.outputSegmentation
        if not self.logic.hasVessels(node):
            return
        display_node = node.GetDisplayNode()
        hidden = display_node is None or not display_node.GetVisibility() or not display_node.GetVisibility3D()
        if self.parameters.show3D and not hidden and not surface_shown(node):
            self._on_show_3d(True)
        self.parameters.show3D = surface_shown(node)

    def apply(self) -> None:
        """Make the vessels anew from the stored probability, if the sliders say something else than made them."""
        parameters = self.parameters
        if parameters is None or self._running or not self.logic.hasVessels(parameters.outputSegmentation):
            return
        node = parameters.outputSegmentation
        applied = self.logic.threshold(node)
        wanted = (parameters.threshold, parameters.minimumComponent)
        same = applied is not None and max(abs(a - b) for a, b in zip(applied, wanted)) < _SAME
        if same or self.logic.probabilityOf(node) is None:
            return
        if self.may_replace_vessels():
            with errors_shown(_("The threshold could not be applied."), wait_cursor=True):
                self.logic.applyThreshold(node, *wanted)
        elif applied is not None:
            self.show_threshold(*applied)

    def halt(self) -> None:
        """Forget the last move."""
        self._timer.stop()

    def _on_moved(self, value: float) -> None:
        self._timer.start()

    def _on_show_3d(self, shown: bool) -> None:
        node = self.parameters.outputSegmentation if self.parameters is not None else None
        if self.logic.hasVessels(node):
            with errors_shown(_("The vessels could not be shown in 3D."), wait_cursor=True):
                self.logic.setSurfaceShown(node, shown)
