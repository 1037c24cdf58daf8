"""Kinds of arguments that several commands take."""

from __future__ import annotations

import argparse


def seed(text: str) -> int:
    """Return the seed of a random generator: 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("a seed is 0 or more")
    return value
