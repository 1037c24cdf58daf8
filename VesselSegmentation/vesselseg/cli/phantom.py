"""``vesselseg phantom``: a synthetic TOF-MRA scan with its exact label."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vesselseg.cli.arguments import seed

if TYPE_CHECKING:
    from vesselseg.cli.reporter import Reporter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for both images")
    parser.add_argument("--seed", type=seed, default=0, help="other seeds, other phantoms (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Draw the phantom."""
    from vesselseg.image_io import write_volume
    from vesselseg.output_files import check_output, check_output_folder, make_output_folder
    from vesselseg.phantom import make_phantom

    scan_path, label_path = args.output / "tof.nii.gz", args.output / "label.nii.gz"
    check_output_folder(args.output)
    if args.output.is_dir():
        for path in (scan_path, label_path):
            check_output(path, overwrite=args.overwrite)
    reporter.progress(0.0, "drawing")
    scan, label = make_phantom(args.seed)
    make_output_folder(args.output)
    write_volume(scan, scan_path, overwrite=args.overwrite)
    write_volume(label, label_path, overwrite=args.overwrite)
    reporter.progress(1.0, "written")
    reporter.result({"scan": str(scan_path), "label": str(label_path)})
    return 0
