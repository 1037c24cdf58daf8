"""``vesselseg demo``: the whole work on a synthetic scan."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from vesselseg.cli.arguments import add_overwrite_argument, seed
from vesselseg.cli.reporter import Reporter
from vesselseg.cli.web import check_installed

_FILES = (
    "tof.nii.gz", "label.nii.gz", "segmentation.nii.gz", "probability.nii.gz", "errormap.nii.gz", "errormap.png",
    "metrics.json",
)  # fmt: skip

#: For as long the page of the demo waits for a visitor.
_IDLE_MINUTES = 30.0
_PORT = 8080


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Draws a scan with its exact label, segments it, measures the result and draws its error map. No brain mask is "
        "used: the label goes on below the brain, where a mask would cut the arteries off. Calibres are those of the "
        "drawing, which 'evaluate' cannot know."
    )
    parser.add_argument("--output", default="demo", metavar="DIR", help="folder for the results (default: demo)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of the synthetic scan (default: 0)")
    parser.add_argument("--model", default="", metavar="MODEL", help="as for 'vesselseg segment'")
    parser.add_argument("--device", default="auto", metavar="auto|cuda|mps|cpu", help="where the network runs")
    add_overwrite_argument(parser, "replace the results of an earlier run")
    parser.add_argument(
        "--serve",
        action="store_true",
        help=f"leave the page in the browser running, which ends by itself after {_IDLE_MINUTES:g} minutes without a "
        "visitor",
    )


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Make a phantom, segment it, compare the result with the truth and draw the error map."""
    from vesselseg.devices import choose_device
    from vesselseg.figures.error_maps import draw_figure, save_figure
    from vesselseg.figures.parts import FigureStyle
    from vesselseg.image_io import write_image
    from vesselseg.metrics import evaluate
    from vesselseg.models import find_model
    from vesselseg.output_files import atomic_outputs, check_output_folder, check_outputs, make_output_folder
    from vesselseg.phantom import make_phantom_with_radii
    from vesselseg.progress import stage
    from vesselseg.reports.metric_table import metrics_json, metrics_text
    from vesselseg.review.error_map import error_map
    from vesselseg.segmentation import segment

    if args.serve:
        check_installed()
    folder = Path(args.output)
    check_output_folder(folder)
    if folder.is_dir():
        check_outputs([folder / name for name in _FILES], overwrite=args.overwrite)
    # Before the scan is drawn, which takes seconds.
    find_model(args.model)
    choose_device(args.device, [])  # what is left out, the run tells
    reporter.progress(0.0, "synthetic scan")
    scan, truth, radius = make_phantom_with_radii(args.seed)
    result = segment(
        scan, model=args.model, brain_mask="none", device=args.device, progress=stage(reporter.progress, 0.15, 0.8)
    )
    reporter.progress(0.8, "evaluation")
    metrics = evaluate(result.label, truth, radius=radius)
    reporter.progress(0.9, "error map")
    errors = error_map(result.label, truth)
    make_output_folder(folder)
    with atomic_outputs([folder / name for name in _FILES], overwrite=args.overwrite) as paths:
        *images, figure_path, metrics_path = paths
        for path, volume in zip(images, (scan, truth, result.label, result.probability, errors)):
            write_image(volume, path)
        title = f"Synthetic phantom {args.seed}: Dice {metrics['dice']:.3f}, clDice {metrics['cldice']:.3f}"
        # Projections: the demo shall run where there is no OpenGL, too.
        save_figure(figure_path, draw_figure(errors, kind="projections", scan=scan, style=FigureStyle(title=title)))
        metrics_path.write_text(metrics_json(metrics), encoding="utf-8")
    reporter.progress(1.0, "done")
    run_info, table = result.run, metrics_text({"": metrics})
    heading = (
        f"Synthetic phantom (seed {args.seed}), model {run_info.model}, {run_info.device} ({run_info.device_name}), "
        f"{run_info.precision}, segmented in {run_info.seconds:.1f} s; not a measure of accuracy on patients"
    )
    values: dict[str, Any] = {**run_info.as_dict(), "metrics": json.loads(metrics_json(metrics))}
    text = f"{heading}\n{table}\nresults in {folder.resolve()}"
    if args.serve:
        from vesselseg_web.hosting.background import serve_in_background

        server = serve_in_background(folder, port=_PORT, idle_minutes=_IDLE_MINUTES)
        values["address"] = server.address
        kill = "taskkill /T /F /PID" if sys.platform == "win32" else "kill"
        text += (
            f"\n\nThe page is served by process {server.process}; it ends after {_IDLE_MINUTES:g} minutes without a "
            f"visitor, or with: {kill} {server.process}\nOpen {server.address} in a browser."
        )
    reporter.result(values, text)
    return 0
