"""How long work tells its front end how far it is."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the share of the work done, in [0, 1] and never falling, and with what is being done at present.
#: It may raise `vesselseg.errors.Cancelled` to stop the work.
ProgressCallback = Callable[[float, str], None]


def no_progress(fraction: float, message: str) -> None:
    """Ignore progress: the default wherever a front end hands none in."""


def stage(progress: ProgressCallback, start: float, end: float) -> ProgressCallback:
    """Map the progress of one stage, 0 to 1, into the part of the whole from `start` to `end`.

    Parameters
    ----------
    progress : callable
        Receives the progress of the whole.
    start, end : float
        Where the stage begins and ends, as shares of the whole in [0, 1].

    Returns
    -------
    callable
        A progress callback for the stage.

    Examples
    --------
    >>> seen = []
    >>> half = stage(lambda fraction, message: seen.append(fraction), 0.5, 1.0)
    >>> half(0.5, "network")
    >>> seen
    [0.75]
    """

    def report(fraction: float, message: str) -> None:
        progress(start + (end - start) * min(max(fraction, 0.0), 1.0), message)

    return report
