"""The section "Scan" of 3D Slicer's panel: what a radiologist looks at first."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from VesselSegmentationLib.panel.panel_section import PanelSection, allow, errors_shown
from VesselSegmentationLib.scene.scan_display import (
    PROJECTION,
    VESSELS,
    Slabs,
    hide_volume_rendering,
    show_volume_rendering,
    shown_style,
    slab_thickness,
)


class ScanSection(PanelSection):
    """The scan as a projection or a volume rendering in 3D, and as slabs in slice views.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        super().__init__(ui, logic)
        self._scan: Any = None
        self._slabs = Slabs(slicer.mrmlScene)
        for text, style in ((_("Not shown"), ""), (_("Projection (MIP)"), PROJECTION), (_("Bright vessels"), VESSELS)):
            ui.scanDisplayComboBox.addItem(text, style)
        ui.scanDisplayComboBox.connect("activated(int)", self._choose_style)
        ui.scanOpacitySlider.connect("valueChanged(double)", self._show_scan)
        ui.slabSlider.connect("valueChanged(double)", self._show_slab)

    def update(self, running: bool) -> None:
        """Bring the widgets up to date."""
        ui, scan = self.ui, self.parameters.inputVolume
        if scan is not self._scan:
            self._change_scan(scan)
        reason = "" if scan is not None else _("Load a TOF scan and choose it above.")
        allow(ui.scanDisplayComboBox, reason, _("The scan itself in the 3D views, beside the surfaces of vessels."))
        allow(ui.slabSlider, reason, _("Slice views show the brightest voxels of a slab this thick; 0 for none."))
        style = shown_style(scan) if scan is not None else None
        ui.scanDisplayComboBox.setCurrentIndex(ui.scanDisplayComboBox.findData(style or ""))
        if not reason and style is None:
            reason = _("The scan is not shown in 3D.")
        allow(ui.scanOpacitySlider, reason, _("Less shows the vessels found, or the error map, inside the scan."))
        self._slabs.follow()
        ui.slabSlider.blockSignals(True)
        ui.slabSlider.value = slab_thickness(slicer.mrmlScene)
        ui.slabSlider.blockSignals(False)

    def let_go(self) -> None:
        """Forget the scan."""
        self._scan = None

    def close(self) -> None:
        """Let the slice views be."""
        self._slabs.close()

    def _change_scan(self, scan: Any) -> None:
        former, self._scan = self._scan, scan
        style = None
        if former is not None:  # it may have been deleted while another module was open
            style = shown_style(former)
            hide_volume_rendering(slicer.mrmlScene, former)
        with errors_shown(_("The scan could not be shown.")):
            if scan is not None and style is not None:
                self._render(scan, style)

    def _choose_style(self, index: int) -> None:
        style = self.ui.scanDisplayComboBox.itemData(index)
        try:
            with errors_shown(_("The scan could not be shown in 3D."), wait_cursor=True):
                if style:
                    self._render(self._scan, style)
                else:
                    hide_volume_rendering(slicer.mrmlScene, self._scan)
        finally:
            self.update(False)

    def _show_scan(self, value: float) -> None:
        style = shown_style(self._scan) if self._scan is not None else None
        if style is not None:
            with errors_shown(_("The scan could not be shown in 3D.")):
                self._render(self._scan, style)

    def _show_slab(self, value: float) -> None:
        with errors_shown(_("The slab could not be shown.")):
            self._slabs.set_thickness(value)

    def _render(self, scan: Any, style: str) -> None:
        opacity = float(self.ui.scanOpacitySlider.value) / 100
        # Whether the user has set volumes to be rendered without a graphics card.
        on_cpu = "CPU" in (slicer.modules.volumerendering.logic().GetDefaultRenderingMethod() or "")
        show_volume_rendering(slicer.mrmlScene, scan, style, opacity=opacity, on_cpu=on_cpu)
