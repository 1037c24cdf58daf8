"""What workers do, how long it takes and what went wrong, in the words of a user."""

from __future__ import annotations

import math

from vesselseg.errors import VesselSegError

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
    "error map": "Making the error map",
    "comparison": "Comparing the labels",
    "figure": "Drawing the figure",
    "done": "Done",
}
_PART, _THRESHOLD = "part ", "threshold"
_PREVIEW_SHOWN = "preview shown; "


def stage_text(message: str, *, preview: bool = False, left: str = "") -> str:
    """Say what a worker does.

    Parameters
    ----------
    message : str
        Of its job.
    preview : bool
        Whether the job shows a preview.
    left : str
        How long it still takes, as `time_left` says it.

    Examples
    --------
    >>> stage_text("preview shown; part 2 of 5", preview=True)
    'Finding the vessels, part 2 of 5. The preview is coarse.'
    """
    stage = message.removeprefix(_PREVIEW_SHOWN)
    if stage.startswith(_PART):
        text = f"Finding the vessels, {stage}"
    elif stage.startswith(_THRESHOLD) and stage not in _STAGES:
        text = "Measuring thresholds"
    else:
        text = _STAGES.get(stage, stage)
    text = ", ".join(part for part in (text[:1].upper() + text[1:], left) if part)
    return f"{text}. The preview is coarse." if preview else text


def time_left(seconds: float | None) -> str:
    """Say about how long work still takes; empty where that cannot be told.

    Parameters
    ----------
    seconds : float or None
        As `WorkerJob.left` gives them.

    Examples
    --------
    >>> time_left(28)
    'about 30 s left'
    """
    if seconds is None:
        return ""
    # In steps: more digits than are known would only flicker.
    about = f"{5 * math.ceil(seconds / 5)} s" if seconds <= 60 else f"{math.ceil(seconds / 60)} min"
    return f"about {about} left"


def sentence(error: VesselSegError) -> str:
    """Return an error and what to do about it in whole sentences, on one line.

    What a crashed worker has said, the lines of the message after the first, is left out: it is for details and logs.

    Examples
    --------
    >>> sentence(VesselSegError("the scan has no contrast", "export it again"))
    'The scan has no contrast. Export it again.'
    """
    parts = (" ".join(part.split()) for part in (error.message.partition("\n")[0], error.advice))
    return " ".join(map(_as_sentence, filter(None, parts)))


def _as_sentence(text: str) -> str:
    is_word = text.split(" ")[0].rstrip(",:;").replace("-", "").isalpha()  # and not the name of a file
    return (text[:1].upper() + text[1:] if is_word else text) + ("" if text.endswith((".", "?", "!")) else ".")
