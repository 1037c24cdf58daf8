"""``vesselseg evaluate``."""

from __future__ import annotations

import argparse
import json
import math

from vesselseg.cli.reporter import Reporter

#: Metrics shown in the short table, with their titles and units.
_TABLE = (
    ("dice", "Dice", ""),
    ("precision", "precision", ""),
    ("sensitivity", "sensitivity", ""),
    ("cldice", "clDice", ""),
    ("hd95_mm", "95 % Hausdorff distance", "mm"),
    ("assd_mm", "mean surface distance", "mm"),
    ("nsd", "surface Dice", ""),
    ("betti0_error", "difference in pieces", ""),
    ("sensitivity_small", "centreline found, radius < 0.6 mm", ""),
    ("sensitivity_medium", "centreline found, 0.6 to 1.0 mm", ""),
    ("sensitivity_large", "centreline found, > 1.0 mm", ""),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("segmentation", metavar="SEG", help="label to judge")
    parser.add_argument("reference", metavar="REFERENCE", help="label that it is compared with")
    parser.add_argument("--mask", metavar="MASK", help="count only what lies inside this mask")
    parser.add_argument(
        "--nsd-tolerance", type=float, default=0.5, metavar="MM", help="of the surface Dice (default: 0.5)"
    )
    parser.add_argument("--json", metavar="FILE", help="write all metrics to this file")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Compare a segmentation with a reference."""
    from vesselseg.image_io import atomic_output, check_output, read_label
    from vesselseg.metrics import evaluate

    if args.json:
        check_output(args.json, overwrite=args.overwrite)
    segmentation, reference = read_label(args.segmentation), read_label(args.reference)
    mask = read_label(args.mask) if args.mask else None
    values = evaluate(segmentation, reference, mask=mask, nsd_tolerance_mm=args.nsd_tolerance)
    if args.json:
        with atomic_output(args.json, overwrite=args.overwrite) as path:
            path.write_text(metrics_json(values), encoding="utf-8")
    reporter.result(json.loads(metrics_json(values)), metrics_table(values))
    return 0


def metrics_json(values: dict[str, float]) -> str:
    """Return metrics as the text of a JSON file; infinite and undefined values, which JSON lacks, become null."""
    finite = {key: value if math.isfinite(value) else None for key, value in values.items()}
    return json.dumps(finite, indent=2) + "\n"


def metrics_table(values: dict[str, float]) -> str:
    """Return a short table for a terminal."""
    lines = []
    for key, title, unit in _TABLE:
        value = values[key]
        text = f"{value:.3f}" if isinstance(value, float) else str(value)
        lines.append(f"{title:<36}{text if math.isfinite(value) else '-':>8} {unit}".rstrip())
    return "\n".join(lines)
