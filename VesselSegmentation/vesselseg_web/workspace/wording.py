"""What workers and the history of edits say, in the words of the page."""

from __future__ import annotations

from collections.abc import Iterable

from VesselSegmentationLib.correcting.edit_history import AUTOMATIC
from VesselSegmentationLib.correcting.edit_steps import EditStep, TagChange
from VesselSegmentationLib.reviewing.component_marks import DECISION_WORDS
from VesselSegmentationLib.scene.run_record import MIN_COMPONENT_TAG, THRESHOLD_TAG

#: Stages of workers.
_STAGES = {
    "starting": "Starting",
    "reading the scan": "Reading the scan",
    "brain mask": "Finding the brain",
    "preview": "Making a coarse preview",
    "preview shown": "Finding the vessels",
    "threshold and components": "Applying the threshold",
    "writing": "Writing the result",
    "reading": "Reading the labels",
    "metrics": "Computing the metrics",
    "figures": "Drawing the figures",
    "report": "Writing the report",
}
_PART = "part "
_PREVIEW_SHOWN = "preview shown; "
_MARK = "mark "


def stage_text(message: str, *, preview: bool = False) -> str:
    """Say what a worker does.

    Parameters
    ----------
    message : str
        Of its job.
    preview : bool
        Whether the job shows a preview.

    Examples
    --------
    >>> stage_text("preview shown; part 2 of 5", preview=True)
    'Finding the vessels, part 2 of 5. The preview is coarse.'
    """
    stage = message.removeprefix(_PREVIEW_SHOWN)
    text = f"Finding the vessels, {stage}" if stage.startswith(_PART) else _STAGES.get(stage, stage)
    text = text[:1].upper() + text[1:]
    return f"{text}. The preview is coarse." if preview else text


def counted(number: int, what: str) -> str:
    """Say how many there are of something.

    Examples
    --------
    >>> counted(1, "voxel"), counted(2000, "voxel")
    ('1 voxel', '2,000 voxels')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


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
