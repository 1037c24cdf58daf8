"""The vessel tool in the hand: its clicks, what they would do, and what waits for Apply or Cancel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vesselseg.editing import Edit
from vesselseg.errors import VesselSegError
from VesselSegmentationLib.correcting.edit_tools import EditTool, ToolSettings

if TYPE_CHECKING:
    from VesselSegmentationLib.correcting.edit_clicks import EditClicks
    from VesselSegmentationLib.correcting.edit_logic import EditLogic
    from VesselSegmentationLib.correcting.edit_steps import EditStep
    from VesselSegmentationLib.correcting.vessel_edits import Place
    from VesselSegmentationLib.reviewing.review_logic import ReviewLogic


@dataclass(frozen=True)
class Preview:
    """What a tool would do at its clicks.

    Parameters
    ----------
    edit : Edit
    tool : EditTool
    points : list of tuple of float
        The clicks, in mm, RAS of the world.
    settings : ToolSettings
    """

    edit: Edit
    tool: EditTool
    points: list[Place]
    settings: ToolSettings

    @property
    def text(self) -> str:
        """It in a line, as the tool says it."""
        return self.tool.describe(self.edit, self.settings)

    def commit(self) -> EditStep | None:
        """Do it, as one step."""
        return self.tool.commit(self.edit, self.points, self.settings)


@dataclass(frozen=True)
class Offer:
    """What is shown, and waits for Apply or Cancel.

    Parameters
    ----------
    commit : callable
        Does it.
    text : str
        What it is, in a line.
    made_for : object
        The label, and the comparison if it matters, that there were at the time.
    """

    commit: Callable[[], Any]
    text: str
    made_for: object


class ToolInHand:
    """A tool between being chosen and being put down; a front end says in its words what there is.

    Parameters
    ----------
    edits : EditLogic
    review : ReviewLogic
    clicks : EditClicks
    settings : callable
        Returns what the user has set.
    suggest : callable
        Called with a threshold to begin with at a new place.
    always_compared : bool
        Whether another comparison outdates every offer; else only that of a tool that needs one.

    Attributes
    ----------
    tool : EditTool or None
    points : list of tuple of float
        The clicks that were looked at, in mm, RAS of the world.
    offer : Offer or None
    """

    def __init__(
        self,
        edits: EditLogic,
        review: ReviewLogic,
        clicks: EditClicks,
        *,
        settings: Callable[[], ToolSettings],
        suggest: Callable[[float], None],
        always_compared: bool,
    ) -> None:
        self._edits, self._review, self._clicks = edits, review, clicks
        self._settings, self._suggest = settings, suggest
        self._always_compared = always_compared
        self.tool: EditTool | None = None
        self.points: list[Place] = []
        self.offer: Offer | None = None

    @property
    def lacks_clicks(self) -> bool:
        """Whether the tool needs more clicks before it can do anything."""
        return self.tool is not None and len(self.points) < self.tool.clicks

    @property
    def follows_settings(self) -> bool:
        """Whether a setting that is changed changes what is shown."""
        return self.tool is not None and (bool(self.points) or not self.tool.clicks)

    @property
    def can_withdraw(self) -> bool:
        """Whether there is anything that can be taken back with the tool still in the hand."""
        if self.tool is not None and not self.tool.clicks:
            return False  # it would show the same again at once
        return self.offer is not None or bool(self.points)

    @property
    def outdated(self) -> bool:
        """Whether what is offered was made for another label or comparison: Apply would do something else."""
        return self.offer is not None and self.offer.made_for != self._present()

    def take(self, kind: type[EditTool] | None) -> None:
        """Take a tool into the hand, or none; `withdraw` first what the former one shows."""
        self.tool = kind(self._edits) if kind is not None else None
        self._clicks.stop()
        self.await_click()

    def await_click(self) -> None:
        """Let the next click be one of the tool, if it asks for any."""
        if self.tool is not None and self.tool.clicks:
            self._clicks.start()

    def withdraw(self) -> None:
        """Take back what is offered, and the clicks; the tool stays in the hand."""
        self.drop_offer()
        self.points = []
        self._clicks.clear()

    def take_clicks(self, *, same_place_counts: bool) -> bool:
        """Look at what was clicked since the last time, and suggest a threshold at a new place.

        Parameters
        ----------
        same_place_counts : bool
            Whether clicking once more at exactly the same place is a click, for a tool that begins anew with each.

        Returns
        -------
        bool
            Whether there is something new, to be previewed.
        """
        tool, points = self.tool, self._clicks.points
        if tool is None:
            return False
        another = tool.clicks == 1 and len(points) > 1
        if another:
            self._clicks.keep_last()
            points = points[-1:]
        if points == self.points and not (another and same_place_counts):
            return False
        first, self.points = not self.points or tool.clicks == 1, points
        if first and points:
            self._suggest_threshold(tool)
        return True

    def preview(self) -> Preview:
        """Return what the tool would do; a `VesselSegError` if that is nothing, or clicks or a tool are lacking."""
        tool, points, settings = self.tool, list(self.points), self._settings()
        if tool is None or self.lacks_clicks:
            raise VesselSegError("no place was clicked", "choose a tool and click")
        return Preview(tool.preview(points, settings), tool, points, settings)

    def make_offer(self, edit: Edit, text: str, commit: Callable[[], Any], *, kept: bool = False) -> None:
        """Show what would be done in place of what is shown, until it is withdrawn.

        Parameters
        ----------
        edit : Edit
        text : str
            What it is, in a line.
        commit : callable
            Does it.
        kept : bool
            As for `EditLogic.show_preview`.
        """
        self._edits.show_preview(edit, kept=kept)
        self.offer = Offer(commit, text, self._present())

    def drop_offer(self) -> None:
        """Show no longer what would be done; the clicks stay."""
        self.offer = None
        self._edits.preview.remove()

    def _suggest_threshold(self, tool: EditTool) -> None:
        try:
            threshold = tool.suggested_threshold(self.points, self._settings())
        except VesselSegError:
            return  # the preview says it
        if threshold is not None:
            self._suggest(threshold)

    def _present(self) -> object:
        """Return what is other once what is offered would do something else."""
        compares = self._always_compared or (self.tool is not None and self.tool.needs_comparison)
        return self._edits.state, self._review.error_map if compares else None
