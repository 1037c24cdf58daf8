"""``vesselseg models list|info|check-precision|quantise|import|remove``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vesselseg.cli.arguments import add_common_arguments, add_overwrite_argument
from vesselseg.cli.reporter import Reporter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="names and titles of all models")
    info = actions.add_parser("info", help="everything that is known about a model")
    info.add_argument("name", nargs="?", default="", metavar="NAME")
    check = actions.add_parser(
        "check-precision", help="measure what bfloat16 and int8 change, and write the numbers into the model's manifest"
    )
    check.add_argument("name", metavar="NAME")
    check.add_argument(
        "--cases", nargs="+", required=True, metavar="DIR", help="folders of drawn scans, as 'synthesize' writes them"
    )
    quantise = actions.add_parser(
        "quantise", help="make the int8 form of a model, which '--precision int8' takes, and write it into its manifest"
    )
    quantise.add_argument("name", metavar="NAME")
    quantise.add_argument(
        "--cases", nargs="+", required=True, metavar="DIR", help="folders of scans as those of check-precision"
    )
    add_overwrite_argument(quantise, "replace an int8 form")
    import_ = actions.add_parser("import", help="add a model to the user's folder, ~/.vesselseg/models")
    import_.add_argument("manifest", metavar="MANIFEST", help="its JSON manifest, with the weights beside it")
    add_overwrite_argument(import_, "take the place of a model of that name, of a shipped one too")
    remove = actions.add_parser("remove", help="take a model out of the user's folder; others are not removed")
    remove.add_argument("name", metavar="NAME")
    for action in actions.choices.values():
        add_common_arguments(action, keep=True)


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """List, describe, measure, quantise, import or remove models."""
    from vesselseg.models import find_model, import_model, list_models, remove_model

    if args.action == "list":
        models = list_models()
        text = "\n".join(f"{manifest.name:<20} {manifest.title}" for manifest in models)
        reporter.result({"models": [manifest.name for manifest in models]}, text)
    elif args.action == "info":
        text = find_model(args.name).to_json().rstrip()
        reporter.result(json.loads(text), text)
    elif args.action == "check-precision":
        return _check_precision(args, reporter)
    elif args.action == "quantise":
        return _quantise(args, reporter)
    elif args.action == "remove":
        manifest = remove_model(args.name)
        reporter.result({"name": manifest.name}, f"removed {manifest.path}")
    else:
        manifest = import_model(args.manifest, overwrite=args.overwrite)
        reporter.result({"name": manifest.name}, f"imported {manifest.name} to {manifest.weights_path.parent}")
    return 0


def _check_precision(args: argparse.Namespace, reporter: Reporter) -> int:
    from dataclasses import asdict

    from vesselseg.model_checks.precision_check import check_precisions, write_checks
    from vesselseg.models import find_model

    manifest = find_model(args.name)
    checks = check_precisions(manifest, _case_folders(args), progress=reporter.progress)
    manifest = write_checks(manifest, checks)
    lines = [
        f"{name}: Dice {each.dice_to_f32:.4f} against f32, small-artery sensitivity "
        f"{each.small_sensitivity_change:+.4f}, {each.scans} scans: {'passes' if manifest.passes(name) else 'fails'}"
        for name, each in checks.items()
    ]
    reporter.result({name: asdict(each) for name, each in checks.items()}, "\n".join(lines))
    return 0


def _quantise(args: argparse.Namespace, reporter: Reporter) -> int:
    from vesselseg.model_checks.quantising import quantise_model
    from vesselseg.models import find_model

    manifest = find_model(args.name)
    manifest = quantise_model(manifest, _case_folders(args), overwrite=args.overwrite, progress=reporter.progress)
    reporter.result(
        {"name": manifest.name, "int8": manifest.int8},
        f"{len(manifest.int8['ranges'])} convolutions in 8 bits; measure what it changes with 'check-precision'",
    )
    return 0


def _case_folders(args: argparse.Namespace) -> list[Path]:
    from vesselseg.model_checks.judging import drawn_case_folders

    return [case for folder in args.cases for case in drawn_case_folders(Path(folder))]
