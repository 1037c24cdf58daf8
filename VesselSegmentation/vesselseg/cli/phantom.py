"""``vesselseg phantom``: a synthetic TOF-MRA scan with its exact label."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vesselseg.cli.arguments import add_overwrite_argument, seed

if TYPE_CHECKING:
    from vesselseg.cli.reporter import Reporter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder for tof.nii.gz and label.nii.gz; made where there is none",
    )
    parser.add_argument("--seed", type=seed, default=0, help="other seeds, other phantoms (default: %(default)s)")
    add_overwrite_argument(parser)


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Draw the phantom."""
    from vesselseg.case_folder import LABEL, SCAN
    from vesselseg.image_io import write_image
    from vesselseg.output_files import atomic_outputs, check_output_folder, check_outputs, make_output_folder
    from vesselseg.phantom import make_phantom

    outputs = scan_path, label_path = args.output / SCAN, args.output / LABEL
    check_output_folder(args.output)
    if args.output.is_dir():
        check_outputs(outputs, overwrite=args.overwrite)
    reporter.progress(0.0, "drawing")
    scan, label = make_phantom(args.seed)
    make_output_folder(args.output)
    with atomic_outputs(outputs, overwrite=args.overwrite) as paths:
        for volume, path in zip((scan, label), paths):
            write_image(volume, path)
    reporter.progress(1.0, "written")
    reporter.result({"scan": str(scan_path), "label": str(label_path)})
    return 0
