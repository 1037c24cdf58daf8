"""``vesselseg devices``."""

from __future__ import annotations

import argparse
import json

from vesselseg.cli.reporter import Reporter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="as a JSON list on standard output")


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """List the devices, the fastest first."""
    from dataclasses import asdict

    from vesselseg.devices import available_devices

    devices = available_devices()
    if args.json:
        print(json.dumps([asdict(device) for device in devices]), flush=True)
    else:
        reporter.result({"devices": [asdict(d) for d in devices]}, "\n".join(str(device) for device in devices))
    return 0
