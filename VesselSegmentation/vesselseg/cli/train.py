"""``vesselseg train``: train a network on drawn or labelled scans, or let a model learn from corrected ones."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from vesselseg.cli.arguments import add_overwrite_argument, within
from vesselseg.errors import VesselSegError

if TYPE_CHECKING:
    from vesselseg.cli.reporter import Reporter

#: Of each training in fine-tuning.
_STEPS = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "config", nargs="?", metavar="CONFIG",
        help="JSON file, or the name of a configuration that ships: default, paper-half-unet, or small, which draws "
        "its own scans and is done in a minute or two",
    )  # fmt: skip
    parser.add_argument(
        "--output", required=True, type=Path, metavar="DIR",
        help="folder for model, metrics and checkpoints; an unfinished run there is gone on with",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu (default: %(default)s)")
    add_overwrite_argument(parser, "begin anew, and replace a model of this name there")
    learning = parser.add_argument_group(
        "learning from corrections, instead of CONFIG",
        "A model that did better than MODEL is added to the user's models, too, as by 'vesselseg models import'; "
        "'vesselseg models remove NAME' takes it out again.",
    )
    learning.add_argument("--finetune", metavar="MODEL", help="model to begin with; its encoder stays as it is")
    learning.add_argument(
        "--cases", nargs="+", type=Path, default=[], metavar="DIR",
        help="folders with tof.nii.gz, label.nii.gz (corrected) and, where one was used, mask.nii.gz",
    )  # fmt: skip
    learning.add_argument("--name", default="", help="of the new model (default: MODEL-finetuned)")
    learning.add_argument(
        "--steps", type=within(1, kind=int), metavar="N", help=f"of each training (default: {_STEPS})"
    )


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Train."""
    if bool(args.config) == bool(args.finetune):
        raise VesselSegError("there is nothing to train, or two things", "give either CONFIG or --finetune MODEL")
    if not args.finetune and (args.cases or args.name or args.steps is not None):
        raise VesselSegError(
            "--cases, --name and --steps are for --finetune",
            "set name, steps and training_scans in the configuration (a JSON file of your own)",
        )
    return _finetune(args, reporter) if args.finetune else _train(args, reporter)


def _train(args: argparse.Namespace, reporter: Reporter) -> int:
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


def _finetune(args: argparse.Namespace, reporter: Reporter) -> int:
    from vesselseg.models import find_model
    from vesselseg.training.finetuning import finetune

    manifest = finetune(
        find_model(args.finetune), args.cases, args.output, name=args.name,
        steps=_STEPS if args.steps is None else args.steps, device=args.device, overwrite=args.overwrite,
        progress=reporter.progress,
    )  # fmt: skip
    found = manifest.evaluation["finetuning"]
    measured = {key: found[key] for key in ("before", "after", "improved")}
    reporter.result({"model": str(manifest.path), **measured}, f"model: {manifest.path}")
    return 0
