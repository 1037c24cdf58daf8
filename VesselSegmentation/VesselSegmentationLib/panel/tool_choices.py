"""The vessel tools in words, for the section "Correct" of 3D Slicer's panel."""

from __future__ import annotations

from dataclasses import dataclass

from slicer.i18n import tr as _

from VesselSegmentationLib.correcting import edit_tools
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
            "grow", edit_tools.Grow, _("Add the vessel connected to the click (key 3)."),
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
