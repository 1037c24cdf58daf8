"""The one family of errors that a user may see."""

from __future__ import annotations

from collections.abc import Mapping


class VesselSegError(Exception):
    """Something a user can act on.

    Raised in the library, shown once by the front end: the command line prints it as one line and exits with 1, the
    panel shows it in a dialogue.

    Parameters
    ----------
    message : str
        What is wrong, without a trailing full stop.
    advice : str
        What to do about it, without a trailing full stop.
    """

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        text = f"{self.message}; {self.advice}" if self.advice else self.message
        return " ".join(text.split())


def error_of_cases(errors: Mapping[str, VesselSegError], cases: int, done: str) -> VesselSegError:
    """Return the error of several cases some of which failed, with the reason of the first.

    Parameters
    ----------
    errors : mapping of str to VesselSegError
        By the names of the cases; at least one.
    cases : int
        How many there are in all.
    done : str
        What could not be done with them, such as "measured".
    """
    name, first = next(iter(errors.items()))
    message = f"{name}: {first.message}"
    if len(errors) < cases:
        message += (
            f" ({len(errors)} of {cases} cases could not be {done}: {', '.join(errors)}; means are those of the others)"
        )
    return VesselSegError(message, first.advice)


class Cancelled(Exception):
    """The user stopped the work. Not an error: nothing is wrong and nothing has been written."""
