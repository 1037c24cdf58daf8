"""``vesselseg synthesize``: drawn TOF-MRA scans with exact labels, to train on."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from vesselseg.cli.arguments import add_overwrite_argument, seed, within

if TYPE_CHECKING:
    from vesselseg.cli.reporter import Reporter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "label.nii.gz: 1 vessel, 0 none, 255 unsure (neither trained on nor counted)."
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder to make; one folder a scan")
    parser.add_argument("--count", type=within(1, kind=int), default=8, help="number of scans (default: %(default)s)")
    parser.add_argument(
        "--seed", type=seed, default=0, help="the same seed draws the same scans (default: %(default)s)"
    )
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("VESSELSEG_DATA"), metavar="DIR",
        help="folder with tof/*_tof.nii.gz and arteries/*.swc (default: $VESSELSEG_DATA; simulated heads without it)",
    )  # fmt: skip
    parser.add_argument(
        "--masks", type=Path, metavar="DIR",
        help="folder with brain masks SUBJECT_mask.nii.gz, each on the grid of its scan and not dilated: arteries are "
        "taken out in it and 4 mm around it, drawn ones end there (default: computed by deepbet)",
    )  # fmt: skip
    parser.add_argument("--heads", nargs="+", metavar="SUBJECT", help="scans to use as background (default: all)")
    parser.add_argument("--trees", nargs="+", metavar="SUBJECT", help="artery trees to draw (default: all)")
    parser.add_argument(
        "--simulated-share", type=within(0, 1), default=0.25, metavar="SHARE",
        help="share of simulated heads with grown trees (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--spacing", nargs=2, type=within(0.3, 2), default=(0.3, 0.9), metavar=("LOW", "HIGH"),
        help="voxel spacing of simulated heads, in mm (default: 0.3 0.9)",
    )  # fmt: skip
    parser.add_argument(
        "--supersampling", type=within(1, 8, int), default=3, metavar="N",
        help="points per voxel and axis at which the share of lumen is counted (default: %(default)s)",
    )  # fmt: skip
    add_overwrite_argument(parser)


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Draw the scans."""
    from vesselseg.output_files import check_output_folder, check_outputs
    from vesselseg.synthesis.dataset import DRAWN_FILES, synthesize, write_drawn_scan

    check_output_folder(args.output)
    folders = [args.output / f"{args.seed:03d}_{index:04d}" for index in range(args.count)]
    check_outputs(
        (folder / name for folder in folders if folder.is_dir() for name in DRAWN_FILES), overwrite=args.overwrite
    )
    scans = synthesize(
        args.count, seed=args.seed, data=Path(args.data) if args.data else None, heads=args.heads, trees=args.trees,
        masks=args.masks, simulated_share=args.simulated_share, spacing_mm=tuple(args.spacing),
        supersampling=args.supersampling,
    )  # fmt: skip
    for done, drawn in enumerate(scans, start=1):
        write_drawn_scan(drawn, folders[int(drawn.description["index"])], overwrite=args.overwrite)
        reporter.progress(done / args.count, f"scan {done} of {args.count}")
    reporter.result({"output": str(args.output), "scans": args.count})
    return 0
