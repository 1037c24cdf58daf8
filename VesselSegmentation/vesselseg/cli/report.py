"""``vesselseg report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from vesselseg.cli.arguments import add_overwrite_argument, palette, view
from vesselseg.cli.errormap import add_names_argument, wording_of
from vesselseg.cli.reporter import Reporter

_SUFFIXES = (".html", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("segmentation", metavar="SEG", help="label to judge")
    parser.add_argument("reference", metavar="REFERENCE", help="label that it is compared with")
    parser.add_argument("--output", required=True, nargs="+", metavar="FILE", help="report.html, report.pdf, or both")
    parser.add_argument(
        "--scan", metavar="TOF",
        help="gives the grid on which labels are compared (default: that of REFERENCE), and the background of slices; "
        "its size and values are told",
    )  # fmt: skip
    parser.add_argument("--mask", metavar="MASK", help="tell the metrics inside this mask too")
    parser.add_argument("--probability", metavar="PROB", help="probability map, for the threshold analysis")
    parser.add_argument(
        "--run", metavar="JSON", help="what 'segment --progress json' printed: model, its sum, settings"
    )
    parser.add_argument(
        "--case", default="", metavar="TEXT",
        help="what the case is called; without it neither patient nor files are named anywhere in the report",
    )  # fmt: skip
    add_names_argument(parser)
    parser.add_argument(
        "--view", type=view, default="anterior", metavar="VIEW", help="of 3D pictures; see 'errormap --help'"
    )
    parser.add_argument(
        "--palette", type=palette, default="standard", metavar="standard|colour-blind", help="(default: standard)"
    )
    parser.add_argument(
        "--no-3d", action="store_true", help="projections only, where there is no OpenGL to render with"
    )
    add_overwrite_argument(parser)


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Write a report."""
    from vesselseg.errors import VesselSegError
    from vesselseg.figures.parts import FigureStyle
    from vesselseg.image_io import read_label, read_reference, read_volume
    from vesselseg.output_files import atomic_outputs, check_outputs
    from vesselseg.progress import stage
    from vesselseg.reports.report import build_report, read_run
    from vesselseg.reports.report_html import report_html
    from vesselseg.reports.report_pdf import write_report_pdf

    for path in args.output:
        if Path(path).suffix.lower() not in _SUFFIXES:
            raise VesselSegError(f"{path} is not the name of a report", f"use {' or '.join(_SUFFIXES)}")
    inputs = (args.segmentation, args.reference, args.scan, args.mask, args.probability, args.run)
    check_outputs(args.output, inputs=inputs, overwrite=args.overwrite)
    style = FigureStyle(palette=args.palette, wording=wording_of(args), background="white", view=args.view, dpi=200)
    what_ran = read_run(Path(args.run)) if args.run else None
    reporter.progress(0.0, "reading")
    reference, unsure = read_reference(args.reference)
    report = build_report(
        read_label(args.segmentation),
        reference,
        unsure=unsure,
        scan=read_volume(args.scan) if args.scan else None,
        mask=read_label(args.mask) if args.mask else None,
        probability=read_volume(args.probability) if args.probability else None,
        run=what_ran,
        case=args.case,
        style=style,
        figures=("projections",) if args.no_3d else ("overview", "closeups"),
        progress=stage(reporter.progress, 0.1, 0.95),
    )
    with atomic_outputs(args.output, overwrite=args.overwrite) as outputs:
        for output in outputs:
            if output.suffix.lower() == ".pdf":
                write_report_pdf(report, output)
            else:
                output.write_text(report_html(report), encoding="utf-8")
    reporter.progress(1.0, "done")
    reporter.result({"reports": list(args.output)}, "\n".join(str(Path(path).resolve()) for path in args.output))
    return 0
