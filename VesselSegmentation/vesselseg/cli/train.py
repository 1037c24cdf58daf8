"""``vesselseg train``: train a network on drawn scans."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vesselseg.cli.reporter import Reporter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="JSON file, see vesselseg.training.config")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for model and metrics")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace a model of this name in the folder")


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Train."""
    from vesselseg.image_io import check_output
    from vesselseg.training.config import TrainingConfig
    from vesselseg.training.trainer import train

    config = TrainingConfig.read(args.config)
    if args.output.is_dir():
        check_output(args.output / f"{config.name}.json", overwrite=args.overwrite)
    manifest = train(config, args.output, device=args.device, progress=reporter.progress)
    reporter.result({"model": str(manifest.path), **manifest.training.get("last_validation", {})})
    return 0
