"""What workers do, in the words of a user."""

from __future__ import annotations

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
