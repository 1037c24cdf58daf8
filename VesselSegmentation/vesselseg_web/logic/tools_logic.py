"""The tools that correct vessels: clicks or strokes in the views, a preview, then Apply or Cancel."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trame_server.utils.typed_state import TypedState

from vesselseg.editing.growing import LOWEST_PROBABILITY
from vesselseg.errors import VesselSegError
from vesselseg.plain_text import counted
from vesselseg_web.logic.compare_logic import NOT_COMPARED
from vesselseg_web.logic.free_hand_logic import FreeHandLogic
from vesselseg_web.logic.page_logic import PageLogic, SectionLogic
from vesselseg_web.logic.page_tools import DecideError, PageToolSettings
from vesselseg_web.logic.segment_logic import NO_PROBABILITY
from vesselseg_web.logic.states import SegmentState, ToolsState
from vesselseg_web.logic.tool_list import DECISIONS, TOOLS, Tool, items, tool_named
from vesselseg_web.viewing.view_clicks import ViewClicks
from vesselseg_web.workspace.wording import SEGMENT_FIRST, WAIT
from VesselSegmentationLib.correcting.setting_choices import change_choices, extent_choices, vessel_choices
from VesselSegmentationLib.correcting.tool_in_hand import ToolInHand
from VesselSegmentationLib.jobs.wording import sentence
from VesselSegmentationLib.scene.scan_display import slab_thickness

if TYPE_CHECKING:
    from vesselseg_web.workspace.case import Case

#: How long a slider must rest before the preview follows it.
_REST_SECONDS = 0.1
_IN_THE_MIDDLE = "The slab is on: clicks in a slice act in its middle."
_NOT_SHOWN = "Nothing is shown that could be applied: choose a tool and click."


class ToolsLogic(SectionLogic[ToolsState]):
    """Puts one tool into the hand, shows what its clicks would do, and does it.

    Parameters
    ----------
    page : PageLogic
    case : Case
    free_hand : FreeHandLogic
        The tools that need no clicks but strokes.
    done : callable
        Called after a step.
    """

    def __init__(self, page: PageLogic, case: Case, free_hand: FreeHandLogic, done: Callable[[], None]) -> None:
        super().__init__(page, case, ToolsState)
        self._free_hand, self._done = free_hand, done
        self._segment = TypedState(self.state, SegmentState).data
        self._clicks = ViewClicks(page.scene, page.application.view_manager, self._on_clicks, self._on_missed)
        self._chosen: Tool | None = None
        self._hand = ToolInHand(
            case.edits, case.review, self._clicks,
            settings=self._settings, suggest=self._set_threshold, always_compared=False,
        )  # fmt: skip
        self._moved_at: float | None = None
        self._clicked = False
        data, name = self.data, self.name
        data.vessels, data.extents = items(vessel_choices()), items(extent_choices())
        data.changes, data.decisions = items(change_choices()), items(DECISIONS)
        data.vessel, data.extent, data.change, data.decision = (
            choices[0]["value"] for choices in (data.vessels, data.extents, data.changes, data.decisions)
        )
        settings = (name.threshold, name.length, name.radius, name.calibre, name.volume)
        self.bind_changes({(*settings, name.vessel, name.extent, name.change, name.decision): self._on_setting})
        case.scan_changed.connect(self.put_down)
        case.labels_changed.connect(self.put_down)
        self.update()

    def set_ui(self, ui: Any) -> None:
        """Answer to the clicks."""
        ui.tool_clicked.connect(self.toggle)
        ui.apply_clicked.connect(self.apply)
        ui.cancel_clicked.connect(self.cancel)

    def toggle(self, name: str) -> None:
        """Take a tool into the hand, or put it down if it is there already."""
        self.choose("" if name == self.data.tool else name)

    def choose(self, name: str) -> None:
        """Take a tool into the hand, or none.

        Parameters
        ----------
        name : str
            One of `tool_list.TOOLS`; empty for none.
        """
        self._withdraw()
        self._free_hand.put_down()
        tool = tool_named(name)
        if tool is not None and self._why_not(tool):
            tool = None
        self._chosen = tool
        self._hand.take(tool.kind if tool is not None else None)
        self.data.tool = tool.name if tool is not None else ""
        self.data.settings = [] if tool is None else list((self._hand.tool or tool).settings)
        self._say(self._hint())
        if tool is not None:
            with self.page.reporting():
                self._begin(tool)
        self.update()

    def _begin(self, tool: Tool) -> None:
        if tool.kind is None:
            self._free_hand.take(tool.name)
        elif not tool.kind.clicks:
            self._preview()

    def put_down(self) -> None:
        """Take no clicks any more: there are other vessels, or none."""
        self.choose("")

    def stop(self) -> None:
        """Put the tool down."""
        self.put_down()

    def apply(self) -> None:
        """Do what was asked for last; the tool stays in the hand."""
        if self.why_no_edit():
            self._say(self.why_no_edit())  # keys know no buttons that cannot be pressed
            return
        former = self.data.hint
        self.catch_up()
        if self._moved_at is not None:
            self._preview()
        offer = self._hand.offer
        if offer is None:
            if self.data.hint == former:  # else it says already what the last click was
                self.page.say(_NOT_SHOWN)
            return
        self._withdraw()
        done = False
        with self.page.reporting():
            offer.commit()
            done = True
        self._say(f"Done: {offer.text}." if done else self._hint())
        self._done()
        self.update()

    def cancel(self) -> None:
        """Take back what is shown; if nothing is, put the tool down."""
        if not self._hand.can_withdraw:
            self.choose("")
            return
        self._withdraw()
        self._say(self._hint())
        self.update()

    def poll(self) -> None:
        """Show what was clicked, and let the preview follow a slider that has come to rest."""
        self.catch_up()
        if self._moved_at is not None and time.monotonic() - self._moved_at > _REST_SECONDS:
            self._preview()
        self._follow_strokes()
        if self._chosen is not None and self._why_not(self._chosen):
            self.choose("")
        self.update()

    def catch_up(self) -> None:
        """Take back what was made for other labels than there are now, and show what has been clicked since."""
        if self._hand.outdated:
            self._withdraw()  # somebody has undone something, decided about an error, or compared with another label
            self._say(self._hint())
        if self._clicked:
            self._clicked = False
            if self._hand.take_clicks(same_place_counts=False):
                self._preview()

    def _follow_strokes(self) -> None:
        """Say why a stroke has done nothing, and the hint again after one that has done something."""
        stroke = self._free_hand.take_stroke()
        if stroke is not None and (stroke or self._hint()) != self.data.hint:
            self._say(stroke or self._hint())

    def update(self) -> None:
        """Say what can be used."""
        data = self.data
        data.tools = [
            {
                "name": tool.name,
                "title": tool.title,
                "group": tool.group,
                "icon": tool.icon,
                "tip": tool.tip,
                "why_not": self._why_not(tool),
            }
            for tool in TOOLS
        ]
        waits = "" if self._hand.offer is not None else _NOT_SHOWN
        data.why_no_apply = self.why_no_edit() or waits
        data.why_no_cancel = "" if self._chosen is not None else "No tool is chosen."

    def why_no_edit(self) -> str:
        """Return why the vessels cannot be edited at present; empty if they can."""
        if self._segment.running:
            return WAIT
        return "" if self.case.edits.target is not None else SEGMENT_FIRST

    def _why_not(self, tool: Tool) -> str:
        reason = self.why_no_edit()
        if reason or tool.kind is None:
            return reason
        errors = self.case.edits.errors
        if tool.kind.needs_probability and self.case.probability_node is None:
            return NO_PROBABILITY
        if tool.kind.needs_comparison and (errors is None or not errors.applies):
            return NOT_COMPARED
        return ""

    def _preview(self) -> None:
        self._moved_at = None
        self._hand.drop_offer()
        if self._hand.tool is None:
            return
        if self._hand.lacks_clicks:
            self._say("Click the next place along the vessel." if self._hand.points else self._hint())
        else:
            with self.page.reporting():
                self._offer_preview()
        self.update()

    def _offer_preview(self) -> None:
        try:
            preview = self._hand.preview()
        except VesselSegError as error:
            # A click beside a vessel happens all the time: no alarm.
            slab = f" {_IN_THE_MIDDLE}" if slab_thickness(self.case.scene) > 0 else ""
            self._say(f"{sentence(error)}{slab}")
            return
        edit, tool, text = preview.edit, preview.tool, preview.text
        if edit.is_empty:
            self._say(f"Nothing would change: {text}.")
            return
        only_notes = isinstance(tool, DecideError) and tool.only_notes(preview.settings)
        self._hand.make_offer(edit, text, preview.commit, kept=only_notes)
        counts = f" ({counted(edit.voxels_added, 'voxel')} added, {edit.voxels_removed:,} removed)"
        if only_notes or tool.only_names:
            counts = ""
        self._say(f"{text[:1].upper()}{text[1:]}{counts}? Apply or Cancel.")

    def _set_threshold(self, threshold: float) -> None:
        # Two digits that mean something: of a faint vessel none would be left after the point.
        self.data.threshold = max(float(f"{threshold:.2g}"), LOWEST_PROBABILITY)

    def _settings(self) -> PageToolSettings:
        data = self.data
        return PageToolSettings(
            threshold=data.threshold,
            length_mm=data.length,
            radius_mm=data.radius,
            calibre_mm=data.calibre,
            vessel=data.vessel,
            extent=data.extent,
            change=data.change,
            volume_mm3=data.volume,
            decision=data.decision,
        )

    def _withdraw(self) -> None:
        """Take the preview and the clicks back."""
        self._moved_at = None
        self._hand.withdraw()
        self._clicked = False  # removing the points is no click

    def _hint(self) -> str:
        return self._chosen.hint if self._chosen is not None else ""

    def _say(self, text: str) -> None:
        """Say it beside the tools, and below the views, where it is seen while the section is scrolled away."""
        former, self.data.hint = self.data.hint, text
        if text or self.page.data.status == former:
            self.page.say(text)

    def _on_clicks(self) -> None:
        self._clicked = True

    def _on_missed(self) -> None:
        waits = " What is shown still waits for Apply or Cancel." if self._hand.offer is not None else ""
        self._say(f"Nothing is there: click on a vessel.{waits}")

    def _on_setting(self, *_: Any) -> None:
        if self._hand.follows_settings:
            self._moved_at = time.monotonic()
