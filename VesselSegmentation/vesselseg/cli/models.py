"""``vesselseg models list|info|import``."""

from __future__ import annotations

import argparse
import json

from vesselseg.cli.reporter import Reporter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="names and titles of all models")
    info = actions.add_parser("info", help="everything that is known about a model")
    info.add_argument("name", nargs="?", default="", metavar="NAME")
    import_ = actions.add_parser("import", help="add a model to the user's folder")
    import_.add_argument("manifest", metavar="MANIFEST", help="its JSON manifest, with the weights beside it")
    import_.add_argument("--overwrite", action="store_true", help="replace a model of that name")


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """List, describe or import models."""
    from vesselseg.models import find_model, import_model, list_models

    if args.action == "list":
        models = list_models()
        text = "\n".join(f"{manifest.name:<20} {manifest.title}" for manifest in models)
        reporter.result({"models": [manifest.name for manifest in models]}, text)
    elif args.action == "info":
        text = find_model(args.name).to_json().rstrip()
        reporter.result(json.loads(text), text)
    else:
        manifest = import_model(args.manifest, overwrite=args.overwrite)
        reporter.result({"name": manifest.name}, f"imported {manifest.name} to {manifest.weights_path.parent}")
    return 0
