"""Comparing the vessels with a reference: error map, legend and metrics, all of which follow every change."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vesselseg.plain_text import counted
from vesselseg.review.error_kinds import Colour
from vesselseg_web.logic.page_logic import PageLogic, SectionLogic
from vesselseg_web.logic.states import CompareState
from vesselseg_web.workspace.case import given_notes
from vesselseg_web.workspace.wording import SEGMENT_FIRST, as_sentences
from VesselSegmentationLib.reviewing.evaluation_job import WHOLE_VOLUME
from VesselSegmentationLib.reviewing.review_logic import COMPONENTS, MAP, METRICS
from VesselSegmentationLib.reviewing.review_tables import shown_metrics

if TYPE_CHECKING:
    from vesselseg_web.workspace.case import Case
    from VesselSegmentationLib.reviewing.error_map_nodes import ErrorMapNode

#: Also of keys, which know no buttons that cannot be pressed.
NOT_COMPARED = "Compare with a reference first."
_NOT_MEASURED = "metrics in italics could not be measured; the next correction starts a new attempt"
_FORMER = "From before your last correction; updated when you stop editing."
_PENDING = "Being measured."
_FAILED = "Could not be measured; the next correction starts a new attempt."


class CompareLogic(SectionLogic[CompareState]):
    """Answers to the upper part of the section "Review".

    Parameters
    ----------
    page : PageLogic
    case : Case
    changed : callable
        Called with what has changed in the comparison, as `ReviewLogic.poll` says it.
    """

    def __init__(self, page: PageLogic, case: Case, changed: Callable[[set[str]], None]) -> None:
        super().__init__(page, case, CompareState)
        self._changed = changed
        self.bind_changes({self.name.shown: self._show_map, self.name.reference: self._on_reference})
        case.scan_changed.connect(self.update)
        case.labels_changed.connect(self.update)
        self.update()

    def set_ui(self, ui: Any) -> None:
        """Answer to the clicks."""
        ui.compare_clicked.connect(self.start)
        ui.stop_clicked.connect(self.stop)

    def start(self) -> None:
        """Compare the vessels with the reference that was chosen, and show where they differ."""
        with self.page.reporting():
            self.case.compare(self.data.reference)
            self.data.shown = True
            self.case.review.show_map(True)
            self.page.say("The vessels are compared with the reference.")
        self.tell({MAP, COMPONENTS, METRICS})

    def stop(self) -> None:
        """Compare no more, and show the vessels again."""
        with self.page.reporting():
            if self.case.review.error_map is not None:
                self.case.review.show_map(False)
                self.case.review.stop()
        self.tell({MAP, COMPONENTS, METRICS})

    def toggle_map(self) -> None:
        """Show the error map in place of the vessels, or the vessels again."""
        if self.case.review.error_map is None:
            self.page.say(NOT_COMPARED)
        else:
            self.data.shown = not self.data.shown

    def poll(self) -> None:
        """Follow every change of the labels."""
        review = self.case.review
        changed = {MAP, COMPONENTS, METRICS}  # what cannot be made any more must not look as if it were on its way
        try:
            changed = review.poll()
        finally:
            if review.error_map is None and self.data.compared:  # it has ended by itself
                changed = {MAP, COMPONENTS, METRICS}
            if changed:
                self.tell(changed)

    def update(self) -> None:
        """Say what can be compared."""
        data, names = self.data, list(self.case.references)
        former = [each["value"] for each in data.references]
        data.references = [{"title": name, "value": name} for name in names]
        added = [name for name in names if name not in former]
        if added:
            data.reference = added[-1]  # who sends one wants to see it
        elif data.reference not in names:
            data.reference = names[0] if names else ""
        data.why_not = ""
        if not self.case.has_vessels:
            data.why_not = SEGMENT_FIRST
        elif not names:
            data.why_not = "Open a reference first."
        self._show()

    def tell(self, changed: set[str]) -> None:
        """Show what has changed in the comparison."""
        self._show()
        self._changed(changed)

    def _show_map(self, shown: bool) -> None:
        if self.case.review.error_map is not None:
            with self.page.reporting():
                self.case.review.show_map(shown)

    def _on_reference(self, name: str) -> None:
        self._show()

    def _other_reference(self, error_map: ErrorMapNode) -> list[str]:
        """Return a note where the list names another reference than the one that is compared with."""
        chosen = self.data.reference
        names = (name for name, node in self.case.references.items() if node is error_map.sources[1].node)
        compared = next(names, chosen)
        return [] if compared == chosen else [f"this is the comparison with '{compared}': press Compare for '{chosen}'"]

    def _show(self) -> None:
        data, review = self.data, self.case.review
        error_map = review.error_map
        data.compared = error_map is not None
        if error_map is None:
            data.notes, data.legend, data.metrics = "", [], []
            return
        notes = [*self._other_reference(error_map), *given_notes(error_map.sources[1].node), *error_map.notes]
        notes += [_NOT_MEASURED] if review.metrics_failed else []
        data.notes = as_sentences(dict.fromkeys(notes))  # some were told when the reference was given
        data.legend = [
            {
                "title": entry.title,
                "colour": css_colour(entry.colour),
                "text": f"{counted(entry.voxels, 'voxel')}, {entry.volume_mm3 / 1000:.2f} ml",
                "volume": f"{entry.volume_mm3 / 1000:.2f} ml",
            }
            for entry in error_map.legend()
        ]
        values = review.metrics.get(WHOLE_VOLUME, {})
        data.metrics = [
            {
                "title": info.table_title,
                "explanation": info.explanation,
                "value": info.text(values[info.key]) if info.key in values else "...",
                "unit": info.unit,
                "not_current": self._not_current(info.key),
            }
            for info in shown_metrics(error_map.wording)
            if info.is_main
        ]

    def _not_current(self, key: str) -> str:
        """Say why a metric is not that of the vessels as they are; nothing if it is."""
        review = self.case.review
        if review.is_current(WHOLE_VOLUME, key):
            return ""
        if review.metrics_failed:
            return _FAILED
        return _FORMER if key in review.metrics.get(WHOLE_VOLUME, {}) else _PENDING


def css_colour(colour: Colour) -> str:
    """Return a colour as style sheets have it."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)
