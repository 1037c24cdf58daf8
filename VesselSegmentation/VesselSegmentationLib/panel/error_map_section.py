"""Legend and display of the error map, in the section "Review" of 3D Slicer's panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from vesselseg.plain_text import counted
from vesselseg.review.error_kinds import PALETTES, ErrorKind
from VesselSegmentationLib.panel.panel_section import ANOTHER, PanelSection, errors_shown
from VesselSegmentationLib.reviewing.error_map_display import (
    kind_display,
    set_kind_opacity,
    set_kind_visible,
    set_outlined,
    set_palette,
)
from VesselSegmentationLib.reviewing.review_logic import MAP

#: First part of the names of the widgets of a kind, and last part of those of a view.
_WIDGETS = {
    ErrorKind.TRUE_POSITIVE: "truePositive",
    ErrorKind.FALSE_POSITIVE: "falsePositive",
    ErrorKind.FALSE_NEGATIVE: "falseNegative",
}
_VIEWS = {"Slices": "slices", "ThreeD": "three_d"}


class ErrorMapSection(PanelSection):
    """Voxels and volume of each kind, which is also its visibility and opacity; palette and outlines.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        super().__init__(ui, logic)
        self._review = logic.review
        for name, palette in PALETTES.items():
            ui.paletteComboBox.addItem(palette.title[:1].upper() + palette.title[1:], name)
        for kind in ErrorKind:
            for view in _VIEWS:
                self._widget(kind, f"{view}CheckBox").connect("toggled(bool)", self._slot(self._show_kind, kind, view))
                self._widget(kind, f"{view}SpinBox").connect(
                    "valueChanged(int)", self._slot(self._make_translucent, kind, view)
                )
        ui.showMapButton.connect("toggled(bool)", self._show_map)
        ui.show3DButton.connect("toggled(bool)", self._follow_3d)
        ui.outlineCheckBox.connect("toggled(bool)", self._show_outlines)
        ui.paletteComboBox.connect("activated(int)", self._choose_palette)
        ui.showMapButton.toolTip = _("Show the error map in place of the vessels and the reference (key M).")
        ui.outlineCheckBox.toolTip = _("Show only outlines in slices.")
        ui.mapFrame.setVisible(False)

    def comparison_changed(self, changed: set[str]) -> None:
        """Show the legend, and a new map as the panel says."""
        compared = self._review.error_map is not None
        ui = self.ui
        ui.mapFrame.setVisible(compared)
        # Its key must do nothing where there is no map.
        ui.showMapButton.enabled = compared
        if not compared:
            return
        if ANOTHER in changed:
            title = self._review.error_map.wording.map_title
            ui.showMapButton.text = _("{title} (M)").format(title=title[:1].upper() + title[1:])
            ui.showMapButton.setShortcut(qt.QKeySequence("M"))  # a new text takes it away
            ui.showMapButton.setChecked(True)
            self._show_map(True)
            self._show_outlines(ui.outlineCheckBox.checked)
            set_palette(self._review.error_map.node, ui.paletteComboBox.itemData(ui.paletteComboBox.currentIndex))
            self._show_display()
            self._describe_display()
        if MAP in changed:
            self._show_legend()

    def _widget(self, kind: ErrorKind, what: str) -> Any:
        return getattr(self.ui, _WIDGETS[kind] + what)

    def _slot(self, act: Callable[..., None], kind: ErrorKind, view: str) -> Callable[[Any], None]:
        return lambda value: act(kind, _VIEWS[view], value)

    def _show_legend(self) -> None:
        for entry in self._review.error_map.legend():
            color = "".join(f"{round(255 * part):02x}" for part in entry.colour)
            text = _("{voxels}, {volume:.2f} ml").format(
                voxels=counted(entry.voxels, _("voxel")), volume=entry.volume_mm3 / 1000
            )
            legend = f'<span style="color:#{color}">&#9632;</span> <b>{entry.title}</b><br>{text}'
            self._widget(entry.kind, "Label").text = legend

    def _describe_display(self) -> None:
        """Say what the boxes without a text are for, to those who point at them and to screen readers."""
        for kind in ErrorKind:
            title = self._review.error_map.wording.title(kind)
            for view, show, opacity in (
                ("Slices", _("Show {kind} in slices"), _("Opacity of {kind} in slices")),
                ("ThreeD", _("Show {kind} in 3D"), _("Opacity of {kind} in 3D")),
            ):
                for widget, text in ((f"{view}CheckBox", show), (f"{view}SpinBox", opacity)):
                    each = self._widget(kind, widget)
                    each.toolTip = each.accessibleName = text.format(kind=title)

    def _show_display(self) -> None:
        for kind in ErrorKind:
            display = kind_display(self._review.error_map.node, kind)
            for view, name in _VIEWS.items():
                visible, opacity = display[name]
                for widget, value in (("CheckBox", visible), ("SpinBox", round(100 * opacity))):
                    each = self._widget(kind, view + widget)
                    each.blockSignals(True)
                    if widget == "CheckBox":
                        each.setChecked(value)
                    else:
                        each.value = value
                    each.blockSignals(False)

    def _show_kind(self, kind: ErrorKind, view: str, shown: bool) -> None:
        if self._review.error_map is not None:
            set_kind_visible(self._review.error_map.node, kind, **{view: shown})

    def _make_translucent(self, kind: ErrorKind, view: str, percent: int) -> None:
        if self._review.error_map is not None:
            set_kind_opacity(self._review.error_map.node, kind, **{view: percent / 100})

    def _show_map(self, shown: bool) -> None:
        if self._review.error_map is not None:
            with errors_shown(_("The error map could not be shown."), wait_cursor=True):
                self._review.show_map(shown, three_d=self.parameters.show3D)

    def _follow_3d(self, shown: bool) -> None:
        if self.ui.showMapButton.isChecked() and self._review.error_map is not None:
            with errors_shown(_("The error map could not be shown."), wait_cursor=True):
                self._review.show_map(True, three_d=shown)

    def _show_outlines(self, outlined: bool) -> None:
        if self._review.error_map is not None:
            set_outlined(self._review.error_map.node, outlined)

    def _choose_palette(self, index: int) -> None:
        if self._review.error_map is not None:
            set_palette(self._review.error_map.node, self.ui.paletteComboBox.itemData(index))
            self._show_legend()
