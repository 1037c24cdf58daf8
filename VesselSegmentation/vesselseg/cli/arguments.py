"""Kinds of arguments that several commands take."""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vesselseg.cli.reporter import PROGRESS_CHOICES
from vesselseg.errors import VesselSegError

if TYPE_CHECKING:
    from vesselseg.figures.rendering import View
    from vesselseg.review.error_kinds import Palette

_Value = TypeVar("_Value")


def checked(convert: Callable[[str], _Value]) -> Callable[[str], _Value]:
    """Turn what the library says of a value that is wrong by itself into wrong usage."""

    @functools.wraps(convert)
    def convert_or_refuse(text: str) -> _Value:
        try:
            return convert(text)
        except VesselSegError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is no number that is wanted here") from error

    return convert_or_refuse


def within(low: float, high: float = math.inf, kind: Callable[[str], float] = float) -> Callable[[str], float]:
    """Return a kind of number: from `low` to `high`, both included."""

    @checked
    def number(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:  # nor is NaN
            wanted = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
            raise argparse.ArgumentTypeError(f"{text} is out of range; give {wanted}")
        return value

    return number


@checked
def palette(text: str) -> Palette:
    """Return a palette by its name."""
    from vesselseg.review.error_kinds import find_palette

    return find_palette(text)


@checked
def view(text: str) -> View:
    """Return a view by its name or its angles."""
    from vesselseg.figures.rendering import find_view

    return find_view(text)


@checked
def background(text: str) -> str:
    """Return the colour of a figure's background."""
    from vesselseg.figures.parts import FigureStyle

    return FigureStyle(background=text).background


@checked
def dpi(text: str) -> int:
    """Return the resolution of a figure."""
    from vesselseg.figures.parts import FigureStyle

    return FigureStyle(dpi=int(text)).dpi


def seed(text: str) -> int:
    """Return the seed of a random generator: 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("a seed is 0 or more")
    return value


def add_common_arguments(parser: argparse.ArgumentParser, *, keep: bool = False) -> None:
    """Declare what every command takes; `keep` is for its actions, before which it may have been given already."""
    progress: Any = argparse.SUPPRESS if keep else "plain"
    stop: Any = argparse.SUPPRESS if keep else False
    parser.add_argument(
        "--progress", choices=PROGRESS_CHOICES, default=progress, help="how progress is shown (default: plain)"
    )
    # For front ends that hold the other end of the pipe: the work ends when they do.
    parser.add_argument("--stop-with-stdin", action="store_true", default=stop, help=argparse.SUPPRESS)


def add_overwrite_argument(parser: argparse.ArgumentParser, what: str = "replace existing files") -> None:
    """Declare ``--overwrite``, without which no file is replaced."""
    parser.add_argument("--overwrite", action="store_true", help=what)


def check_files(files: Iterable[str]) -> None:
    """Refuse files that are not there, where each would be read only after long work, or by somebody else."""
    for path in files:
        if not Path(path).exists():
            raise VesselSegError(f"there is no file {path}", "check the path")


def check_table_names(*, json: str | None = None, csv: str | None = None) -> None:
    """Refuse names of JSON and CSV files that do not end so."""
    for path, suffix in ((json, ".json"), (csv, ".csv")):
        if path and Path(path).suffix.lower() != suffix:
            raise VesselSegError(f"{path} is not the name of a {suffix[1:].upper()} file", f"use {suffix}")
