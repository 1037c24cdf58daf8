"""Walking through the errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vesselseg.plain_text import counted
from vesselseg.review.error_components import ErrorComponent
from vesselseg_web.logic.compare_logic import NOT_COMPARED, css_colour
from vesselseg_web.logic.page_logic import PageLogic, SectionLogic
from vesselseg_web.logic.states import ErrorListState
from VesselSegmentationLib.reviewing.component_marks import DECISION_WORDS
from VesselSegmentationLib.reviewing.review_logic import COMPONENTS

if TYPE_CHECKING:
    from vesselseg_web.workspace.case import Case
    from VesselSegmentationLib.reviewing.component_marks import Mark
    from VesselSegmentationLib.reviewing.error_navigator import ErrorNavigator

#: The list is sorted by what matters: nobody walks farther, and every row is sent with every change.
_ROWS = 200


class ErrorListLogic(SectionLogic[ErrorListState]):
    """Answers to the list of errors in the section "Review".

    Parameters
    ----------
    page : PageLogic
    case : Case
    """

    def __init__(self, page: PageLogic, case: Case) -> None:
        super().__init__(page, case, ErrorListState)
        self.bind_changes({self.name.hide_boundary: self._filter})
        case.scan_changed.connect(self._show)

    def set_ui(self, ui: Any) -> None:
        """Answer to the clicks."""
        ui.error_clicked.connect(self.choose)
        ui.next_clicked.connect(self.next)
        ui.previous_clicked.connect(self.previous)

    def choose(self, component_id: str) -> None:
        """Show an error: all views go there."""
        self._go(lambda navigator: navigator.choose(component_id))

    def next(self) -> None:
        """Go to the next error."""
        self._go(lambda navigator: navigator.next())

    def previous(self) -> None:
        """Go to the error before."""
        self._go(lambda navigator: navigator.previous())

    def comparison_changed(self, changed: set[str]) -> None:
        """Show the list."""
        if COMPONENTS in changed:
            self._filter(self.data.hide_boundary)

    def _filter(self, hide_boundary: bool) -> None:
        navigator = self.case.review.navigator
        if navigator is not None:
            navigator.hide_boundary = hide_boundary
        self._show()

    def _go(self, step: Callable[[ErrorNavigator], ErrorComponent | None]) -> None:
        navigator = self.case.review.navigator
        if navigator is None:
            self.page.say(NOT_COMPARED)
            return
        with self.page.reporting():
            step(navigator)
        self._show_chosen()

    def _show(self) -> None:
        navigator, error_map, listing = (getattr(self.case.review, n) for n in ("navigator", "error_map", "listing"))
        if navigator is None or error_map is None or listing is None:
            self.data.rows, self.data.note = [], ""
        else:
            colours = {entry.kind: css_colour(entry.colour) for entry in error_map.legend()}
            shown = navigator.shown()
            marks = {mark.component_id: mark for mark in navigator.marks()}
            self.data.rows = [
                {
                    "id": each.component_id,
                    "kind": error_map.wording.title(each.kind) + _decision(each, marks.get(each.component_id)),
                    "colour": colours[each.kind],
                    "length": f"{each.affected_mm:.1f} mm",
                    "volume": f"{each.volume_mm3:.1f} mm³",
                }
                for each in shown[:_ROWS]
            ]
            if listing.pending:
                self.data.note = "The list is being made."
            elif listing.failed:
                self.data.note = "The errors could not be listed; the next correction starts a new attempt."
            else:
                listed = len(navigator.components)
                first = f", the first {_ROWS}" if len(shown) > _ROWS else ""
                hidden = " (edge errors hidden)" if navigator.hide_boundary and len(shown) < listed else ""
                more = f" Of {listing.count:,}, those that matter most are listed." if listed < listing.count else ""
                self.data.note = f"{len(shown):,} of {counted(listed, 'error')}{first} shown{hidden}.{more}"
        self._show_chosen()

    def _show_chosen(self) -> None:
        navigator = self.case.review.navigator
        component = navigator.current if navigator is not None else None
        self.data.chosen = component.component_id if component is not None else ""
        self.data.details = _details(component, navigator) if component is not None and navigator is not None else ""


def _decision(component: ErrorComponent, mark: Mark | None) -> str:
    return f", {DECISION_WORDS[mark.decision]}" if mark is not None and mark.is_of(component) else ""


def _details(component: ErrorComponent, navigator: ErrorNavigator) -> str:
    parts = [counted(component.voxels, "voxel"), f"largest radius {component.radius_mm:.1f} mm"]
    position = navigator.position_of(component)
    places = (f"{letters[value < 0]} {abs(value):.1f}" for letters, value in zip(("RL", "AP", "SI"), position))
    parts.append(f"at {', '.join(places)} mm")
    if component.mean_probability is not None:
        parts.append(f"mean probability {component.mean_probability:.2f}")
    return ", ".join(parts)
