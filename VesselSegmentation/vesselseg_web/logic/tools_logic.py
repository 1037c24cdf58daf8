"""The tools that correct vessels: clicks or strokes in the views, a preview, then Apply or Cancel."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trame_server.utils.typed_state import TypedState

from vesselseg.editing.growing import LOWEST_PROBABILITY
from vesselseg.errors import VesselSegError
from vesselseg_web.logic.compare_logic import NOT_COMPARED
from vesselseg_web.logic.free_hand_logic import FreeHandLogic
from vesselseg_web.logic.page_logic import PageLogic, SectionLogic, sentence
from vesselseg_web.logic.page_tools import DecideError, PageToolSettings
from vesselseg_web.logic.segment_logic import NO_PROBABILITY
from vesselseg_web.logic.states import SegmentState, ToolsState
from vesselseg_web.logic.tool_list import (
    TOOLS,
    Tool,
    change_choices,
    decision_choices,
    extent_choices,
    tool_named,
    vessel_choices,
)
from vesselseg_web.viewing.view_clicks import ViewClicks
from vesselseg_web.workspace.wording import counted
from VesselSegmentationLib.correcting.edit_tools import EditTool
from VesselSegmentationLib.scene.scan_display import slab_thickness

if TYPE_CHECKING:
    from vesselseg.editing import Edit
    from vesselseg_web.workspace.case import Case

#: How long a slider must rest before the preview follows it.
_REST_SECONDS = 0.1
_NO_VESSELS = "Segment a scan first."
_IN_THE_MIDDLE = "The slab is on: clicks in a slice act in its middle."
_NOT_SHOWN = "Nothing is shown that could be applied: choose a tool and click."
_RUNNING = "Wait until the segmentation is done, or cancel it."


@dataclass(frozen=True)
class _Offer:
    """What waits for Apply or Cancel, and the labels and the comparison that it was made for."""

    commit: Callable[[], Any]
    text: str
    present: object


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
        self._clicks = ViewClicks(page.scene, page._slicer_app.view_manager, self._on_clicks, self._on_missed)
        self._chosen: Tool | None = None
        self._tool: EditTool | None = None
        self._points: list[Any] = []
        self._offer: _Offer | None = None
        self._moved_at: float | None = None
        self._clicked = False
        data, name = self.data, self.name
        data.vessels, data.extents = vessel_choices(), extent_choices()
        data.changes, data.decisions = change_choices(), decision_choices()
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
        self._clicks.stop()
        self._free_hand.put_down()
        tool = tool_named(name)
        if tool is not None and self._why_not(tool):
            tool = None
        self._chosen = tool
        self._tool = tool.kind(self.case.edits) if tool is not None and tool.kind is not None else None
        self.data.tool = tool.name if tool is not None else ""
        self.data.settings = [] if tool is None else list(self._tool.settings if self._tool else tool.settings)
        self._say(self._hint())
        if tool is not None:
            with self.page.reporting():
                self._begin(tool)
        self.update()

    def _begin(self, tool: Tool) -> None:
        if self._tool is None:
            self._free_hand.take(tool.name)
        elif self._tool.clicks:
            self._clicks.start()
        else:
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
        offer = self._offer
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
        asks_for_nothing = self._tool is not None and not self._tool.clicks
        if asks_for_nothing or (self._offer is None and not self._points):
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
        if self._offer is not None and self._offer.present != self._present():
            self._withdraw()  # somebody has undone something, decided about an error, or compared with another label
            self._say(self._hint())
        if self._clicked:
            self._clicked = False
            self._take_clicks()

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
        waits = "" if self._offer is not None else _NOT_SHOWN
        data.why_no_apply = self.why_no_edit() or waits
        data.why_no_cancel = "" if self._chosen is not None else "No tool is chosen."

    def why_no_edit(self) -> str:
        """Return why the vessels cannot be edited at present; empty if they can."""
        if self._segment.running:
            return _RUNNING
        return "" if self.case.edits.target is not None else _NO_VESSELS

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

    def _take_clicks(self) -> None:
        tool, points = self._tool, self._clicks.points
        if tool is None:
            return
        if tool.clicks == 1 and len(points) > 1:
            self._clicks.keep_last()
            points = points[-1:]
        if points == self._points:
            return
        first, self._points = not self._points or tool.clicks == 1, points
        if first and points:
            self._suggest(tool)
        self._preview()

    def _suggest(self, tool: EditTool) -> None:
        try:
            threshold = tool.suggested_threshold(self._points, self._settings())
        except VesselSegError:
            return  # the preview says it
        if threshold is not None:
            # Two digits that mean something: of a faint vessel none would be left after the point.
            self.data.threshold = max(float(f"{threshold:.2g}"), LOWEST_PROBABILITY)

    def _preview(self) -> None:
        self._moved_at = self._offer = None
        self.case.edits.preview.remove()
        tool, points, settings = self._tool, list(self._points), self._settings()
        if tool is None:
            return
        if len(points) < tool.clicks:
            self._say("Click the next place along the vessel." if points else self._hint())
            self.update()
            return
        with self.page.reporting():
            try:
                edit = tool.preview(points, settings)
            except VesselSegError as error:
                # A click beside a vessel happens all the time: no alarm.
                slab = f" {_IN_THE_MIDDLE}" if slab_thickness(self.case.scene) > 0 else ""
                self._say(f"{sentence(error)}{slab}")
            else:
                self._offer_edit(tool, edit, points, settings)
        self.update()

    def _offer_edit(self, tool: EditTool, edit: Edit, points: list[Any], settings: PageToolSettings) -> None:
        text = tool.describe(edit, settings)
        if edit.is_empty:
            self._say(f"Nothing would change: {text}.")
            return
        only_notes = isinstance(tool, DecideError) and tool.only_notes(settings)
        self.case.edits.show_preview(edit, kept=only_notes)
        self._offer = _Offer(lambda: tool.commit(edit, points, settings), text, self._present())
        counts = f" ({counted(edit.voxels_added, 'voxel')} added, {edit.voxels_removed:,} removed)"
        if only_notes or tool.only_names:
            counts = ""
        self._say(f"{text[:1].upper()}{text[1:]}{counts}? Apply or Cancel.")

    def _present(self) -> object:
        """Return what is other once the tool in the hand would do something else at the same clicks."""
        compares = self._tool is not None and self._tool.needs_comparison
        return self.case.edits.state, self.case.review.error_map if compares else None

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
        self._offer, self._points, self._moved_at, self._clicked = None, [], None, False
        self.case.edits.preview.remove()
        self._clicks.clear()
        self._clicked = False

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
        waits = " What is shown still waits for Apply or Cancel." if self._offer is not None else ""
        self._say(f"Nothing is there: click on a vessel.{waits}")

    def _on_setting(self, *_: Any) -> None:
        if self._tool is not None and (self._points or not self._tool.clicks):
            self._moved_at = time.monotonic()
