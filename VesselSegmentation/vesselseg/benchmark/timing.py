"""How long something takes, and how long it may."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Repeated measurements of one thing.

    Parameters
    ----------
    name : str
        What was measured, for people.
    seconds : tuple of float
        Empty if it was skipped.
    limit_s : float, optional
        What was promised; the median must not be above it.
    skipped : str
        Why it was not measured; empty if it was.
    """

    name: str
    seconds: tuple[float, ...] = ()
    limit_s: float | None = None
    skipped: str = ""

    @property
    def median(self) -> float | None:
        """The median in seconds; None if it was skipped."""
        return median(self.seconds) if self.seconds else None

    @property
    def passed(self) -> bool | None:
        """Whether the promise is kept; None where there is none, or nothing was measured."""
        if self.limit_s is None or self.median is None:
            return None
        return self.median <= self.limit_s

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, median and verdict as a dictionary that JSON can hold."""
        return {**asdict(self), "median_s": self.median, "passed": self.passed}


def time_calls(
    name: str,
    call: Callable[[], object],
    *,
    rounds: int,
    limit_s: float | None = None,
    before: Callable[[], object] | None = None,
    after: Callable[[], object] | None = None,
) -> Timing:
    """Measure a function after one call that does not count, which imports what it needs.

    Parameters
    ----------
    name : str
    call : callable
        Without arguments; does the same each time.
    rounds : int
        1 or more.
    limit_s : float, optional
    before, after : callable, optional
        Called around each call, unmeasured: what brings everything back to where it was.

    Returns
    -------
    Timing
    """
    seconds = []
    for _ in range(rounds + 1):
        if before is not None:
            before()
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
        if after is not None:
            after()
    return Timing(name, tuple(seconds[1:]), limit_s)
