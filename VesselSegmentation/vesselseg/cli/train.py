"""``vesselseg train``: train a network on drawn or labelled scans."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vesselseg.cli.reporter import Reporter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "config", metavar="CONFIG",
        help="JSON file, or the name of a configuration that ships: default, paper-half-unet, or small, which draws "
        "its own scans and trains for two minutes",
    )  # fmt: skip
    parser.add_argument(
        "--output", required=True, type=Path, metavar="DIR",
        help="folder for model, metrics and checkpoints; an unfinished run there is gone on with",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="begin anew, and replace a model of this name there")


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Train."""
    from vesselseg.progress import no_progress
    from vesselseg.training.config import TrainingConfig
    from vesselseg.training.trainer import train

    # Of several processes one talks.
    first = os.environ.get("RANK", "0") == "0"
    manifest = train(
        TrainingConfig.read(args.config), args.output, device=args.device, overwrite=args.overwrite,
        progress=reporter.progress if first else no_progress,
    )  # fmt: skip
    if first:
        measured = manifest.training.get("last_validation", {})
        reporter.result({"model": str(manifest.path), **measured}, f"model: {manifest.path}")
    return 0
