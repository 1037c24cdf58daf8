"""What the sections of 3D Slicer's panel have in common. Only for 3D Slicer."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _


class PanelSection:
    """A part of the panel: it connects its widgets with the logic and computes nothing.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic

    Attributes
    ----------
    parameters : VesselSegmentationParameterNode or None
        What the user has chosen; None while the scene is being closed.
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        self.ui = ui
        self.logic = logic
        self.parameters: Any = None

    def update(self, running: bool) -> None:
        """Bring the widgets up to date with the parameters, which are there.

        Parameters
        ----------
        running : bool
            Whether a segmentation runs.
        """

    def close(self) -> None:
        """Stop everything; the panel goes."""

    def may_replace_vessels(self) -> bool:
        """Ask before work that was done by hand is lost; True if there is none."""
        node = self.parameters.outputSegmentation
        if not self.logic.isEdited(node):
            return True
        question = _("The vessels of '{name}' were edited by hand. They will be replaced, and the edits lost. Go on?")
        return bool(
            slicer.util.confirmOkCancelDisplay(question.format(name=node.GetName()), _("Replace edited vessels?"))
        )


def allow(widget: Any, reason: str, tool_tip: str) -> None:
    """Enable a widget, or disable it and let its tooltip say why.

    Parameters
    ----------
    widget : QWidget
    reason : str
        Why it cannot be used; empty if it can.
    tool_tip : str
        What it is for.
    """
    widget.enabled = not reason
    widget.toolTip = reason or tool_tip


def show_choice(combo_box: Any, value: str, unknown: str) -> None:
    """Make the entry of a combo box current that has a value as its data; add one if there is none.

    Parameters
    ----------
    combo_box : QComboBox
    value : str
        Empty: nothing is changed.
    unknown : str
        Text of an entry that must be added, with ``{name}`` for the value.
    """
    if not value:
        return
    if combo_box.findData(value) < 0:
        # A scene from another machine: its choice is shown as it is, not quietly replaced.
        combo_box.addItem(unknown.format(name=value), value)
    combo_box.setCurrentIndex(combo_box.findData(value))
