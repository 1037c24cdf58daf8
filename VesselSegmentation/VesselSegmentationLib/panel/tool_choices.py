"""The vessel tools and their settings in words, for the section "Correct" of 3D Slicer's panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from VesselSegmentationLib.correcting import edit_tools
from VesselSegmentationLib.correcting.artery_editor import NAMED_VESSELS
from VesselSegmentationLib.correcting.edit_tools import EditTool


@dataclass(frozen=True)
class ToolChoice:
    """A tool as the panel offers it.

    Parameters
    ----------
    name : str
        The part before ``ToolButton`` of its button's name.
    tool : type of EditTool
    tool_tip : str
        What it does.
    hint : str
        What it waits for.
    """

    name: str
    tool: type[EditTool]
    tool_tip: str
    hint: str


def tool_choices() -> tuple[ToolChoice, ...]:
    """Return all tools, in the order of their buttons."""
    click = _("Click on it in a slice or in 3D.")
    return (
        ToolChoice("removePiece", edit_tools.RemovePiece, _("Remove a connected piece (key 1)."), click),
        ToolChoice("removeBranch", edit_tools.RemoveBranch, _("Remove a branch, such as a vein (key 2)."), click),
        ToolChoice(
            "grow", edit_tools.Grow, _("Add what hangs together with a click (key 3)."),
            _("Click on the vessel that is missing, then move the slider."),
        ),
        ToolChoice(
            "trace", edit_tools.Trace, _("Draw a vessel through clicks, as wide as it is in the scan (key 4)."),
            _("Click along the vessel that is missing, at least twice."),
        ),
        ToolChoice(
            "threshold", edit_tools.ThresholdBrush, _("Apply another threshold around a click (key 5)."),
            _("Click in the middle of the place, then move the sliders."),
        ),
        ToolChoice(
            "name", edit_tools.NameVessel, _("Move a branch to the segment of an artery or vein (key 6)."),
            _("Choose the vessel here, then click on its branch in a slice or in 3D."),
        ),
        ToolChoice(
            "error", edit_tools.CorrectError, _("Correct an error of the map (key 7)."),
            _("Click on a false positive or false negative in a slice or in 3D."),
        ),
    )  # fmt: skip


def fill_vessels(combo_box: Any) -> None:
    """List the vessels that a branch can be named after."""
    for vessel in NAMED_VESSELS:
        combo_box.addItem(_(vessel.name), vessel.key)
    combo_box.addItem(_("No name: back to the vessels"), edit_tools.UNNAMED)


def fill_extents(combo_box: Any) -> None:
    """List how much of a vessel a tool for branches takes."""
    for text, extent in (
        (_("The branch from its fork on"), edit_tools.BRANCH),
        (_("The branch from the click on"), edit_tools.FROM_CLICK),
        (_("The other side of the fork"), edit_tools.OTHER_SIDE),
        (_("The whole connected piece"), edit_tools.WHOLE_PIECE),
    ):
        combo_box.addItem(text, extent)


def fill_changes(combo_box: Any) -> None:
    """List what the brush may do."""
    for text, change in (
        (_("Add and remove"), edit_tools.BOTH),
        (_("Only add"), edit_tools.ADD_ONLY),
        (_("Only remove"), edit_tools.REMOVE_ONLY),
    ):
        combo_box.addItem(text, change)
