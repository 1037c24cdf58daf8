"""Kinds of arguments that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vesselseg.cli.reporter import PROGRESS_CHOICES


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


def check_files(files: Iterable[str]) -> None:
    """Refuse files that are not there, where each would be read only after long work, or by somebody else."""
    from vesselseg.errors import VesselSegError

    for path in files:
        if not Path(path).exists():
            raise VesselSegError(f"there is no file {path}", "check the path")
