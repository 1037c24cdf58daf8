"""``vesselseg errormap``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from vesselseg.cli.arguments import add_overwrite_argument, background, checked, dpi, palette, view, within
from vesselseg.cli.reporter import Reporter

if TYPE_CHECKING:
    from vesselseg.figures.parts import FigureStyle
    from vesselseg.review.error_kinds import Wording

_EXAMPLES = """examples:
  vesselseg errormap vessels.nii.gz reference.nii.gz --output map.nii.gz --figure map.png --scan tof.nii.gz
  vesselseg errormap unet.nii.gz reference.nii.gz --output map.nii.gz --figure both.png --background white \\
      --compare graphcut.nii.gz --methods U-Net "graph cut"
  vesselseg errormap reader1.nii.gz reader2.nii.gz --output map.nii.gz --components list.csv --names Ann Bob
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    parser.add_argument("segmentation", metavar="SEG", help="label to judge")
    parser.add_argument("reference", metavar="REFERENCE", help="label that it is compared with")
    parser.add_argument(
        "--output", required=True, metavar="MAP", help="1 true positive, 2 false positive, 3 false negative"
    )
    parser.add_argument(
        "--scan",
        metavar="TOF",
        help="gives the grid on which labels are compared (default: that of REFERENCE), and the background of pictures",
    )
    add_names_argument(parser)
    parser.add_argument(
        "--components", metavar="FILE", help="list of the errors' connected pieces, the worst first: .csv or .json"
    )
    parser.add_argument(
        "--longest", type=within(1, kind=int), metavar="N", help="list at most so many pieces (default: all)"
    )
    parser.add_argument(
        "--probability", metavar="PROB", help="probability map, for the mean of each piece in that list"
    )
    parser.add_argument("--figure", metavar="PNG", help="picture to write: .png, .pdf or .svg")
    add_figure_arguments(parser)
    parser.add_argument("--compare", metavar="OTHER", help="draw the result of a second method beside SEG")
    parser.add_argument("--methods", nargs=2, metavar=("SEG", "OTHER"), help="names of both methods in that picture")
    add_overwrite_argument(parser)


def add_names_argument(parser: argparse.ArgumentParser) -> None:
    """Declare how two results without a reference are named."""
    parser.add_argument(
        "--names",
        nargs=2,
        metavar=("A", "B"),
        help="SEG and REFERENCE are two results of these names, and neither is the truth: agreement, only A, only B",
    )


def add_figure_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how figures look."""
    figure = parser.add_argument_group("figures")
    figure.add_argument(
        "--figure-kind",
        type=_figure_kind,
        metavar="overview|closeups|projections",
        help="reference, result and map in 3D and as a slab; the largest and the smallest vessels close up; or the map "
        "in three projections, which needs no 3D rendering (default: overview)",
    )
    figure.add_argument(
        "--view", type=view, metavar="VIEW",
        help="anterior (the default), posterior, left, right, superior, inferior, or azimuth and elevation in degrees, "
        "as in 30,15 or --view=-30,15",
    )  # fmt: skip
    figure.add_argument(
        "--around",
        nargs=3,
        type=_coordinate,
        metavar=("R", "A", "S"),
        help="where close-ups look, in mm (default: found)",
    )
    figure.add_argument("--background", type=background, metavar="black|white", help="(default: black)")
    figure.add_argument("--palette", type=palette, metavar="standard|colour-blind", help="(default: standard)")
    figure.add_argument("--dpi", type=dpi, help="of figures 7.2 inches wide (default: 300)")
    figure.add_argument("--title", help="line above the figure")


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Write an error map, and what else is asked for."""
    from vesselseg.comparison import check_probability, on_grid_of, on_one_grid, without
    from vesselseg.errors import VesselSegError
    from vesselseg.figures.error_maps import check_figure_name, draw_comparison, draw_figure, save_figure
    from vesselseg.image_io import image_suffix, read_label, read_reference, read_volume, write_image
    from vesselseg.output_files import atomic_outputs, check_outputs
    from vesselseg.review.error_components import components_csv, components_json, error_components
    from vesselseg.review.error_map import error_map, legend

    image_suffix(args.output)
    if args.figure:
        check_figure_name(args.figure)
    if args.components and Path(args.components).suffix.lower() not in (".csv", ".json"):
        raise VesselSegError(f"{args.components} is not the name of a list", "use .csv or .json")
    if (args.probability or args.longest) and not args.components:
        raise VesselSegError("--probability and --longest are for the list of pieces", "give --components as well")
    if args.methods and not args.compare:
        raise VesselSegError("--methods names the results of two methods", "give the second one with --compare")
    if args.compare and not args.figure:
        raise VesselSegError("a second method is for a picture only", "give --figure as well")
    if args.compare and args.figure_kind:
        raise VesselSegError("--compare draws a picture of its own kind", "leave --figure-kind out")
    style = _style(args)
    outputs = (args.output, args.figure, args.components)
    check_outputs(
        outputs,
        inputs=(args.segmentation, args.reference, args.scan, args.probability, args.compare),
        overwrite=args.overwrite,
    )
    wording = style.wording
    reporter.progress(0.0, "reading")
    scan = read_volume(args.scan) if args.scan else None
    probability = read_volume(args.probability) if args.probability else None
    if probability is not None:
        check_probability(probability)
    kinds = wording.titles[1:]
    found, truth, unsure = on_one_grid(
        read_label(args.segmentation), *read_reference(args.reference), scan=scan, kinds=kinds
    )
    errors = without(error_map(found, truth), unsure)
    if probability is not None:
        probability = on_grid_of(probability, errors, what="the probability", of="the map")
    reporter.progress(0.3, wording.map_title)
    with atomic_outputs(outputs, overwrite=args.overwrite) as (map_path, figure_path, list_path):
        write_image(errors, map_path)
        if list_path:
            components = error_components(errors, probability=probability)
            listed = components[: args.longest]
            if list_path.suffix == ".json":
                text = components_json(listed, count=len(components), wording=wording)
            else:
                text = components_csv(listed, wording=wording)
            list_path.write_text(text, encoding="utf-8")
        if figure_path:
            reporter.progress(0.5, "figure")
            if args.compare:
                second, *_ = on_one_grid(
                    read_label(args.compare), truth, scan=errors, what="the second method", kinds=kinds
                )
                other = without(error_map(second, truth), unsure)
                figure = draw_comparison(errors, other, names=tuple(args.methods or ("A", "B")), style=style)
            else:
                figure = draw_figure(errors, kind=args.figure_kind or "overview", scan=scan, style=style)
            save_figure(figure_path, figure)
    reporter.progress(1.0, "done")
    entries = legend(errors, wording=wording)
    reporter.result({entry.title: entry.voxels for entry in entries}, "\n".join(entry.text for entry in entries))
    return 0


def wording_of(args: argparse.Namespace) -> Wording:
    """Return the words that ``--names`` asks for."""
    from vesselseg.review.error_kinds import WITH_REFERENCE, wording_of_two

    return wording_of_two(*args.names) if args.names else WITH_REFERENCE


def _style(args: argparse.Namespace) -> FigureStyle:
    """Return how figures shall look; refuse what cannot be, before any work."""
    from vesselseg.errors import VesselSegError
    from vesselseg.figures.parts import FigureStyle
    from vesselseg.figures.rendering import VIEWS
    from vesselseg.review.error_kinds import STANDARD_PALETTE

    wishes = ("figure_kind", "view", "around", "background", "palette", "dpi", "title")
    given = [name for name in wishes if getattr(args, name) is not None]
    if given and not args.figure:
        raise VesselSegError(f"--{given[0].replace('_', '-')} is for the figure", "give --figure as well")
    if args.around and args.figure_kind != "closeups":
        raise VesselSegError("--around is where close-ups look", "give --figure-kind closeups as well")
    return FigureStyle(
        palette=args.palette or STANDARD_PALETTE,
        wording=wording_of(args),
        background=args.background or "black",
        view=args.view or VIEWS["anterior"],
        around=tuple(args.around) if args.around else None,
        title=args.title or "",
        dpi=args.dpi or 300,
    )


@checked
def _figure_kind(text: str) -> str:
    from vesselseg.figures.error_maps import check_figure_kind

    check_figure_kind(text)
    return text


@checked
def _coordinate(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError("a place is three numbers, in mm")
    return value
