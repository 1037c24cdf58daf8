"""``vesselseg thresholds``."""

from __future__ import annotations

import argparse
import math

from vesselseg.cli.arguments import add_overwrite_argument, background, check_table_names, dpi, within
from vesselseg.cli.reporter import Reporter

#: At this threshold it is told how much lies where the reference has no image.
_SHARES_AT = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "At each threshold all voxels from it on are measured. 'segment' removes small pieces besides, so that "
        "'evaluate' may tell another Dice of its label at the same threshold."
    )
    parser.add_argument(
        "probability", metavar="PROB", help="probability map that 'segment --probability' wrote, no label"
    )
    parser.add_argument("reference", metavar="REFERENCE", help="label that it is compared with")
    parser.add_argument(
        "--scan", metavar="TOF", help="gives the grid on which both are compared (default: that of REFERENCE)"
    )
    parser.add_argument("--mask", metavar="MASK", help="count only what lies inside this mask")
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="table with one line for every hundredth; clDice, distances and pieces only at 0.1, 0.3, 0.5, 0.7, 0.9 "
        "and at the best threshold",
    )
    parser.add_argument("--json", metavar="FILE", help="the whole analysis, for other programs")
    parser.add_argument(
        "--overlap-only", action="store_true", help="clDice, distances and pieces at the best threshold only: quicker"
    )
    parser.add_argument("--figure", metavar="PNG", help="metrics over all thresholds, and the calibration curve")
    parser.add_argument("--current", type=within(0, 1), metavar="T", help="threshold in use, marked in the figure")
    parser.add_argument("--background", type=background, metavar="black|white", help="of the figure (default: white)")
    parser.add_argument("--dpi", type=dpi, help="of the figure, 7.2 inches wide (default: 300)")
    parser.add_argument("--title", default="", help="line above the figure")
    add_overwrite_argument(parser)


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Measure a probability map at all thresholds."""
    from vesselseg.comparison import check_probability, on_grid_of, on_one_grid
    from vesselseg.errors import VesselSegError
    from vesselseg.figures.error_maps import check_figure_name, save_figure
    from vesselseg.figures.parts import FigureStyle
    from vesselseg.figures.thresholds import conditions, draw_threshold_figure
    from vesselseg.image_io import read_label, read_reference, read_volume
    from vesselseg.output_files import atomic_outputs, check_outputs
    from vesselseg.progress import stage
    from vesselseg.review.threshold_analysis import DETAILED_THRESHOLDS, analyse_thresholds, analysis_json

    if args.figure:
        check_figure_name(args.figure)
    elif args.title or any(wish is not None for wish in (args.current, args.background, args.dpi)):
        raise VesselSegError("--current, --background, --dpi and --title are for the figure", "give --figure as well")
    style = FigureStyle(background=args.background or "white", dpi=args.dpi or 300, title=args.title)
    outputs = (args.csv, args.json, args.figure)
    inputs = (args.probability, args.reference, args.scan, args.mask)
    check_outputs(outputs, inputs=inputs, overwrite=args.overwrite)
    check_table_names(json=args.json, csv=args.csv)
    reporter.progress(0.0, "reading")
    reference, unsure = read_reference(args.reference)
    probability, scan = read_volume(args.probability), read_volume(args.scan) if args.scan else None
    check_probability(probability)  # resampled, a label would look like one
    target, of = (reference, "the reference") if scan is None else (scan, "the scan")
    probability = on_grid_of(probability, target, what="the probability", of=of)
    vessels = probability.with_array(probability.array >= _SHARES_AT)
    _, reference, unsure = on_one_grid(vessels, reference, unsure, scan=scan, what=f"what is found at {_SHARES_AT}")
    analysis = analyse_thresholds(
        probability, reference, mask=read_label(args.mask) if args.mask else None, unsure=unsure,
        detailed=() if args.overlap_only else DETAILED_THRESHOLDS,
        progress=stage(reporter.progress, 0.1, 0.95),
    )  # fmt: skip
    with atomic_outputs(outputs, overwrite=args.overwrite) as (csv_path, json_path, figure_path):
        if csv_path:
            csv_path.write_text(analysis.csv(), encoding="utf-8")
        if json_path:
            json_path.write_text(analysis_json(analysis), encoding="utf-8")
        if figure_path:
            save_figure(
                figure_path,
                draw_threshold_figure(analysis, style=style, current=args.current, masked=bool(args.mask)),
            )
    reporter.progress(1.0, "done")
    calibration, vessel_error = analysis.calibration, analysis.calibration.vessel_expected_error
    if analysis.best_dice == 0:
        best, text = None, "no threshold finds a vessel of the reference: is the map of this scan?"
    else:
        best = analysis.best_threshold
        text = f"largest Dice {analysis.best_dice:.3f} at threshold {best:.2f}, {conditions(masked=bool(args.mask))}"
    text += "; expected calibration error "
    if math.isfinite(vessel_error):
        # Over all voxels it is that of the background, which is nearly all of them.
        text += f"of probabilities above 0.1 {vessel_error:.3f}, "
    reporter.result(
        {
            "best_threshold": best,
            "best_dice": analysis.best_dice,
            "expected_calibration_error": calibration.expected_error,
            "vessel_expected_calibration_error": vessel_error if math.isfinite(vessel_error) else None,
        },
        f"{text}of all {calibration.expected_error:.4f}",
    )
    return 0
