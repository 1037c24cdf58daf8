"""``vesselseg evaluate``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from vesselseg.cli.reporter import Reporter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("segmentation", metavar="SEG", help="label to judge")
    parser.add_argument("reference", metavar="REFERENCE", help="label that it is compared with")
    parser.add_argument(
        "--mask", metavar="MASK", help="count only what lies inside this mask; the whole volume is told beside it"
    )
    parser.add_argument(
        "--nsd-tolerance", type=float, default=0.5, metavar="MM", help="of the surface Dice (default: 0.5)"
    )
    parser.add_argument("--json", metavar="FILE", help="write all metrics to this file")
    parser.add_argument("--csv", metavar="FILE", help="write all metrics to this table, with titles and units")
    parser.add_argument("--all", action="store_true", help="show all metrics, not the main ones only")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Compare a segmentation with a reference."""
    import contextlib

    from vesselseg.image_io import atomic_output, check_outputs, read_label
    from vesselseg.metric_table import metrics_csv, metrics_json, metrics_text
    from vesselseg.metrics import evaluate

    inputs = (args.segmentation, args.reference, args.mask)
    check_outputs((args.json, args.csv), inputs=inputs, overwrite=args.overwrite)
    segmentation, reference = read_label(args.segmentation), read_label(args.reference)
    regions = {"whole volume": evaluate(segmentation, reference, nsd_tolerance_mm=args.nsd_tolerance)}
    values: dict[str, Any] = dict(regions["whole volume"])
    if args.mask:
        mask = read_label(args.mask)
        inside = evaluate(segmentation, reference, mask=mask, nsd_tolerance_mm=args.nsd_tolerance)
        regions = {"inside mask": inside} | regions
        values = {**inside, "whole_volume": regions["whole volume"]}
    with contextlib.ExitStack() as stack:
        for path, text in ((args.json, metrics_json(values)), (args.csv, metrics_csv(regions))):
            if path:
                output = stack.enter_context(atomic_output(path, overwrite=args.overwrite))
                output.write_text(text, encoding="utf-8")
    reporter.result(json.loads(metrics_json(values)), metrics_text(regions, everything=args.all))
    return 0
