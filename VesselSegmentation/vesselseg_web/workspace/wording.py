"""What notes and the history of edits say, in the words of the page."""

from __future__ import annotations

from collections.abc import Iterable

from VesselSegmentationLib.correcting.edit_history import AUTOMATIC
from VesselSegmentationLib.correcting.edit_steps import EditStep, TagChange
from VesselSegmentationLib.reviewing.component_marks import DECISION_WORDS
from VesselSegmentationLib.scene.run_record import MIN_COMPONENT_TAG, THRESHOLD_TAG

#: Why something cannot be done yet.
LOAD_FIRST = "Load a scan first."
SEGMENT_FIRST = "Segment a scan first."
WAIT = "Wait until the segmentation is done, or cancel it."
_MARK = "mark "


def as_sentences(notes: Iterable[str]) -> str:
    """Say notes one after the other.

    Examples
    --------
    >>> as_sentences(["it was resampled", "look at it"])
    'It was resampled. Look at it.'
    """
    return " ".join(f"{note[:1].upper()}{note[1:]}." for note in notes)


def step_text(step: EditStep) -> str:
    """Say what a step has done, with the names that the buttons of the page have."""
    decision = step.tool.removeprefix(_MARK)
    if decision != step.tool and decision in DECISION_WORDS:
        kind = step.description.partition(f" {decision}")[0]
        return f"{kind} {DECISION_WORDS[decision]}, vessels unchanged"
    if step.tool == AUTOMATIC:
        # After a run, too, it is the threshold that has made the vessels; steps in a row are one.
        tags = next((each.after for each in reversed(step.companions) if isinstance(each, TagChange)), {})
        if THRESHOLD_TAG in tags and MIN_COMPONENT_TAG in tags:
            threshold, smallest = float(tags[THRESHOLD_TAG]), float(tags[MIN_COMPONENT_TAG])
            return f"threshold {threshold:.2f}, pieces of at least {smallest:.1f} mm³"
    return step.description
