"""The widgets of the vessel tools in the section "Correct": a button each, and their settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.correcting.edit_tools import EditTool, ToolSettings
from VesselSegmentationLib.correcting.setting_choices import change_choices, extent_choices, vessel_choices
from VesselSegmentationLib.panel.panel_section import allow
from VesselSegmentationLib.panel.tool_choices import ToolChoice, tool_choices
from VesselSegmentationLib.scene.run_record import probability_of


class ToolWidgets:
    """The buttons of the tools, of which at most one is pressed, and the settings of that one.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    choose : callable
        Called with the name of a tool when its button is pressed, and with an empty one when it comes up.
    changed : callable
        Called with a value or index when the user has changed a setting.
    """

    def __init__(self, ui: Any, choose: Callable[[str], None], changed: Callable[[Any], None]) -> None:
        self.ui = ui
        self._choices = tool_choices()
        for choice in self._choices:
            self._button(choice).connect("toggled(bool)", lambda on, one=choice: choose(one.name if on else ""))
        for combo_box, choices in (
            (ui.toolVesselComboBox, vessel_choices(_)),
            (ui.toolExtentComboBox, extent_choices(_)),
            (ui.toolChangeComboBox, change_choices(_)),
        ):
            for text, value in choices:
                combo_box.addItem(text, value)
            combo_box.connect("activated(int)", changed)
        for slider in (ui.toolThresholdSlider, ui.toolLengthSlider, ui.toolRadiusSlider, ui.toolCalibreSlider):
            slider.connect("valueChanged(double)", changed)
        self.show_chosen(None)

    def choice(self, name: str) -> ToolChoice | None:
        """Return a tool by its name; None if there is none."""
        return next((choice for choice in self._choices if choice.name == name), None)

    def settings(self) -> ToolSettings:
        """Return what the user has set."""
        ui = self.ui
        return ToolSettings(
            threshold=ui.toolThresholdSlider.value,
            length_mm=ui.toolLengthSlider.value,
            radius_mm=ui.toolRadiusSlider.value,
            calibre_mm=ui.toolCalibreSlider.value,
            vessel=_chosen(ui.toolVesselComboBox),
            extent=_chosen(ui.toolExtentComboBox),
            change=_chosen(ui.toolChangeComboBox),
        )

    def set_threshold(self, threshold: float) -> None:
        """Move the slider of the threshold; the user has not changed it."""
        slider = self.ui.toolThresholdSlider
        slider.blockSignals(True)
        slider.value = threshold
        slider.blockSignals(False)

    def show_chosen(self, chosen: ToolChoice | None) -> None:
        """Press the button of a tool and show its settings, or none."""
        for choice in self._choices:
            button = self._button(choice)
            button.blockSignals(True)
            button.checked = choice is chosen
            button.blockSignals(False)
        shown = chosen.tool.settings if chosen is not None else ()
        for name in ("Threshold", "Length", "Radius", "Calibre", "Vessel", "Extent", "Change"):
            for kind in ("Label", "Slider", "ComboBox"):
                widget = getattr(self.ui, f"tool{name}{kind}", None)
                if widget is not None:
                    widget.setVisible(name.lower() in shown)
        self.ui.toolFrame.setVisible(bool(shown))

    def allow(self, reason: str, edits: EditLogic) -> None:
        """Enable the buttons of the tools that can be used; the others say why they cannot.

        Parameters
        ----------
        reason : str
            Why none can be used; empty if that depends on the tool.
        edits : EditLogic
        """
        for choice in self._choices:
            allow(self._button(choice), reason or _missing(choice.tool, edits), choice.tool_tip)

    def _button(self, choice: ToolChoice) -> Any:
        return getattr(self.ui, f"{choice.name}ToolButton")


def _missing(tool: type[EditTool], edits: EditLogic) -> str:
    if edits.target is None:
        return ""
    if tool.needs_probability and probability_of(edits.target.node) is None:
        return _("The probability of these vessels is not in the scene: segment the scan again.")
    if tool.needs_comparison and (edits.errors is None or not edits.errors.applies):
        return _("Compare these vessels with a reference first.")
    return ""


def _chosen(combo_box: Any) -> str:
    return str(combo_box.itemData(combo_box.currentIndex))
