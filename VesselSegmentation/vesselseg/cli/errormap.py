"""``vesselseg errormap``."""

from __future__ import annotations

import argparse
from pathlib import Path

from vesselseg.cli.reporter import Reporter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("segmentation", metavar="SEG", help="label to judge")
    parser.add_argument("reference", metavar="REFERENCE", help="label that it is compared with")
    parser.add_argument(
        "--output", required=True, metavar="MAP", help="1 true positive, 2 false positive, 3 false negative"
    )
    parser.add_argument("--figure", metavar="PNG", help="picture of the map in three projections")
    parser.add_argument("--scan", metavar="TOF", help="scan to draw behind the map in the picture")
    parser.add_argument("--components", metavar="CSV", help="list of the errors' connected pieces")
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Write an error map, and what else is asked for."""
    import contextlib

    from vesselseg.comparison import on_grid_of
    from vesselseg.error_components import components_csv, error_components
    from vesselseg.error_map import count_kinds, error_map
    from vesselseg.errors import VesselSegError
    from vesselseg.figures import save_error_figure
    from vesselseg.image_io import atomic_output, check_output, image_suffix, read_label, read_volume, write_image

    image_suffix(args.output)
    if args.figure and Path(args.figure).suffix.lower() not in (".png", ".pdf", ".svg"):
        raise VesselSegError(f"{args.figure} is not the name of a figure", "use .png, .pdf or .svg")
    for path in (args.output, args.figure, args.components):
        if path:
            check_output(path, overwrite=args.overwrite)
    errors = error_map(read_label(args.segmentation), read_label(args.reference))
    scan = on_grid_of(read_volume(args.scan), errors, what="the scan") if args.scan else None
    with contextlib.ExitStack() as stack:

        def output(path: str) -> Path:
            return stack.enter_context(atomic_output(path, overwrite=args.overwrite))

        write_image(errors, output(args.output))
        if args.figure:
            save_error_figure(output(args.figure), errors, scan=scan)
        if args.components:
            output(args.components).write_text(components_csv(error_components(errors)), encoding="utf-8")
    counts = {kind.title: count for kind, count in count_kinds(errors).items()}
    reporter.result(counts, ", ".join(f"{count} {title}" for title, count in counts.items()) + " voxels")
    return 0
