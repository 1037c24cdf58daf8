"""The tools of the page in words, in the order of their buttons."""

from __future__ import annotations

from dataclasses import dataclass

from vesselseg_web.logic import page_tools
from VesselSegmentationLib.correcting import edit_tools
from VesselSegmentationLib.correcting.edit_tools import EditTool
from VesselSegmentationLib.correcting.setting_choices import Choices

VESSEL_TOOLS, FREE_HAND = "Vessel tools", "Free hand"

#: Names of the free-hand tools.
PAINT, ERASE, SCISSORS = "paint", "erase", "scissors"


@dataclass(frozen=True)
class Tool:
    """A tool as the page offers it.

    Parameters
    ----------
    name : str
    title : str
        On its button.
    icon : str
        Of Material Design.
    tip : str
        What it does.
    hint : str
        What the next click does.
    kind : type of EditTool, optional
        None for the free-hand tools.
    settings : tuple of str
        What can be set of a free-hand tool.
    """

    name: str
    title: str
    icon: str
    tip: str
    hint: str
    kind: type[EditTool] | None = None
    settings: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """Under which heading it stands."""
        return FREE_HAND if self.kind is None else VESSEL_TOOLS


_CLICK = "Click on it in a slice or in 3D."

TOOLS = (
    Tool(
        "removePiece", "Remove piece", "mdi-circle-off-outline", "Remove a connected piece.", _CLICK,
        edit_tools.RemovePiece,
    ),
    Tool(
        "removeBranch", "Remove branch", "mdi-source-branch-minus", "Remove a branch, such as a vein.", _CLICK,
        edit_tools.RemoveBranch,
    ),
    Tool(
        "grow", "Grow", "mdi-source-branch-plus", "Add what hangs together with a click.",
        "Click on the vessel that is missing, then move the slider.", edit_tools.Grow,
    ),
    Tool(
        "trace", "Trace", "mdi-vector-polyline", "Draw a vessel through clicks, as wide as it is in the scan.",
        "Click along the vessel that is missing, at least twice.", edit_tools.Trace,
    ),
    Tool(
        "threshold", "Threshold", "mdi-circle-opacity", "Apply another threshold around a click.",
        "Click in the middle of the place, then move the sliders.", edit_tools.ThresholdBrush,
    ),
    Tool(
        "name", "Name artery", "mdi-tag-outline", "Move a branch to the segment of an artery or vein.",
        "Choose the vessel here, then click on its branch in a slice or in 3D.", edit_tools.NameVessel,
    ),
    Tool(
        "error", "Correct error", "mdi-check-decagram-outline", "Accept or reject an error of the map.",
        "Click on a false positive or false negative in a slice or in 3D.", page_tools.DecideError,
    ),
    Tool(
        "keepPiece", "Keep piece", "mdi-circle-double", "Remove everything but a connected piece.", _CLICK,
        page_tools.KeepPiece,
    ),
    Tool(
        "smallPieces", "Small pieces", "mdi-dots-hexagon", "Remove all connected pieces below a volume.",
        "There are no pieces as small as that: move the slider.", page_tools.RemoveSmallPieces,
    ),
    Tool(
        PAINT, "Paint", "mdi-brush", "Add to the vessels with a brush.",
        "Drag with the left button over what is missing, in a slice or on a vessel in 3D.",
        settings=("brush", "shape", "mask"),
    ),
    Tool(
        ERASE, "Erase", "mdi-eraser", "Take away from the vessels with a brush.",
        "Drag with the left button over what is wrong, in a slice or on a vessel in 3D.",
        settings=("brush", "shape"),
    ),
    Tool(
        SCISSORS, "Scissors", "mdi-content-cut", "Cut with a line around a part, also in 3D.",
        "Drag with the left button once around it: what is seen inside the line is cut.",
        settings=("cut", "depth"),
    ),
)  # fmt: skip

#: What can be said of an error.
DECISIONS: Choices = (
    ("Accept: the segmentation is wrong here", page_tools.ACCEPTED),
    ("Reject: the reference is wrong here", page_tools.REJECTED),
)


def tool_named(name: str) -> Tool | None:
    """Return a tool by its name; None if there is none."""
    return next((tool for tool in TOOLS if tool.name == name), None)


def items(choices: Choices) -> list[dict[str, str]]:
    """Return choices as the widgets of the page take them."""
    return [{"title": title, "value": value} for title, value in choices]
