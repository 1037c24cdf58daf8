"""``vesselseg bench engines|startup|metrics|edit``."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesselseg.cli.arguments import add_overwrite_argument, check_table_names, within
from vesselseg.cli.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vesselseg.benchmark.timing import Timing

#: What people may ask for; "peer" and "peak" are what its own processes are asked for.
_SUBJECTS = ("engines", "startup", "metrics", "edit")
_PARTS = ("peer", "peak")
#: Options that do nothing for a subject.
_ENGINES_ONLY = ("only", "baseline")
_UNUSED = {
    "startup": _ENGINES_ONLY,
    **dict.fromkeys(("metrics", "edit"), (*_ENGINES_ONLY, "model", "untrained", "scan", "brain_mask", "folder")),
}
#: What speed is compared with, where it runs and nothing else is asked for.
_BASELINE = "monai"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "engines: this program and others on the same weights and scan, in fresh processes that take turns, beside "
        "what convolutions reach on this machine. startup: how soon command line, panel and page are there. "
        "metrics, edit: how soon they answer on a large case. Nothing else should run meanwhile."
    )
    parser.add_argument(
        "subject", nargs="?", choices=_SUBJECTS + _PARTS, default="engines", metavar="|".join(_SUBJECTS),
        help="what is measured (default: engines)",
    )  # fmt: skip
    parser.add_argument(
        "--model", default="", metavar="MODEL", help="model to run, or its manifest (default: the default one)"
    )
    parser.add_argument(
        "--untrained",
        default="",
        metavar="half-unet|full-unet|small-unet",
        help="run this network with random weights in the place of a model: the figures of speed are the same",
    )
    parser.add_argument(
        "--scan", metavar="FILE", help="scan to run on (default: a drawn one of 384 x 448 x 160 voxels)"
    )
    parser.add_argument(
        "--brain-mask",
        metavar="none|PATH",
        help="where vessels are looked for (default: the drawn scan's brain, all of a given scan)",
    )
    parser.add_argument(
        "--only", nargs="+", default=(), metavar="NAME", help="measure only these, or those that begin like them"
    )
    parser.add_argument("--baseline", metavar="NAME", help=f"that speed is compared with (default: {_BASELINE})")
    parser.add_argument(
        "--rounds", type=within(1, kind=int), metavar="N", help="how often each is measured (default: 3)"
    )
    parser.add_argument("--quick", action="store_true", help="once only, on 16 slices in the middle of the scan")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="where what is drawn is kept (default: ~/.vesselseg/bench)"
    )
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured to this file")
    add_overwrite_argument(parser)
    # What one peer writes.
    parser.add_argument("--output", help=argparse.SUPPRESS)
    parser.add_argument("--probability", help=argparse.SUPPRESS)


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Measure, and show what came of it."""
    from vesselseg.errors import VesselSegError
    from vesselseg.output_files import check_outputs, write_texts

    if args.subject == "peer" and not (args.scan and args.output and args.probability and args.only):
        raise VesselSegError("'peer' is for the benchmark's own processes", f"choose {', '.join(_SUBJECTS)}")
    if args.subject in _PARTS:
        (_run_peer if args.subject == "peer" else _run_peak)(args, reporter)
        return 0
    for option in _UNUSED.get(args.subject, ()):
        if getattr(args, option):
            name = option.replace("_", "-")
            raise VesselSegError(f"--{name} does nothing for 'bench {args.subject}'", "leave it out")
    check_outputs((args.json,), inputs=(args.scan, args.brain_mask), overwrite=args.overwrite)
    check_table_names(json=args.json)
    with tempfile.TemporaryDirectory(prefix="vesselseg-bench-") as folder:
        work = {"engines": _engines, "startup": _startup, "metrics": _metrics, "edit": _edit}[args.subject]
        values, text = work(args, reporter, Path(folder))
    values = {"subject": args.subject, **_circumstances(), **values}
    write_texts({args.json: json.dumps(values, indent=2) + "\n"}, overwrite=args.overwrite)
    reporter.progress(1.0, "done")
    reporter.result(values, text)
    return 0


def _engines(args: argparse.Namespace, reporter: Reporter, folder: Path) -> tuple[dict[str, Any], str]:
    from vesselseg.benchmark.case import QUICK_SLICES, WARM_SLICES, make_case
    from vesselseg.benchmark.figures import rows_of
    from vesselseg.benchmark.flops import flops_per_voxel
    from vesselseg.benchmark.rounds import choose_contestants, run_rounds
    from vesselseg.benchmark.table import peaks_text, rows_text
    from vesselseg.errors import VesselSegError
    from vesselseg.networks import build_network
    from vesselseg.progress import stage

    contestants = choose_contestants(args.only)
    names = [contestant.name for contestant in contestants]
    if args.baseline is not None and args.baseline not in names:
        raise VesselSegError(f"the baseline '{args.baseline}' is not measured", f"choose among: {', '.join(names)}")
    baseline = args.baseline or _BASELINE
    rounds = _rounds_of(args)
    scan, mask, model = _files(args, reporter)
    case = make_case(scan, mask, model, folder, slices=QUICK_SLICES if args.quick else None)
    warm_case = make_case(scan, mask, model, folder, slices=WARM_SLICES)
    progress = stage(reporter.progress, 0.02, 0.98)
    measured = run_rounds(case, warm_case, contestants, folder, rounds=rounds, quick=args.quick, progress=progress)
    reporter.progress(0.98, "comparing the results")
    work = flops_per_voxel(build_network(model.architecture, **model.options))
    rows = rows_of(measured, case, work, baseline)
    warning = _warned(reporter, [run.others for row in rows for run in row.runs])
    values = {
        "case": {"size": case.size, "slices": case.slices, "description": case.description},
        "model": {"name": model.name, "sha256": model.sha256, "flops_per_voxel": work},
        "rounds": rounds,
        "baseline": baseline,
        "peaks": measured.peaks,
        "warning": warning,
        "programs": [row.as_dict() for row in rows],
    }
    head = [f"model {model.name}, {work / 1e3:.1f} kFLOP a voxel; {case.description}; {_counted(rounds)}"]
    if args.untrained:
        head.append("random weights: what they say of speed holds, their differences are larger than a model's")
    return values, "\n".join([*head, peaks_text(measured.peaks), "", rows_text(rows, baseline)])


def _startup(args: argparse.Namespace, reporter: Reporter, folder: Path) -> tuple[dict[str, Any], str]:
    from vesselseg.benchmark.case import make_case
    from vesselseg.benchmark.startup import measure_startup
    from vesselseg.progress import stage

    scan, mask, model = _files(args, reporter)
    case = make_case(scan, mask, model, folder)
    progress = stage(reporter.progress, 0.02, 1.0)
    return _timed(reporter, lambda: measure_startup(case, folder, rounds=_rounds_of(args), progress=progress))


def _metrics(args: argparse.Namespace, reporter: Reporter, folder: Path) -> tuple[dict[str, Any], str]:
    from vesselseg.benchmark.tools import ToolCase, measure_metrics

    reporter.progress(0.0, "drawing a case")
    case = ToolCase.draw()
    reporter.progress(0.3, "metrics")
    return _timed(reporter, lambda: measure_metrics(case, rounds=_rounds_of(args)))


def _edit(args: argparse.Namespace, reporter: Reporter, folder: Path) -> tuple[dict[str, Any], str]:
    from vesselseg.benchmark.tools import ToolCase, measure_edits
    from vesselseg.progress import stage

    reporter.progress(0.0, "drawing a case")
    case = ToolCase.draw()
    progress = stage(reporter.progress, 0.3, 1.0)
    return _timed(reporter, lambda: measure_edits(case, rounds=_rounds_of(args), progress=progress))


def _timed(reporter: Reporter, measure: Callable[[], Sequence[Timing]]) -> tuple[dict[str, Any], str]:
    from vesselseg.benchmark.machine import OthersMeter
    from vesselseg.benchmark.table import timings_text

    meter = OthersMeter()
    timings = measure()
    warning = _warned(reporter, [meter.share()])
    return {"timings": [timing.as_dict() for timing in timings], "warning": warning}, timings_text(timings)


def _warned(reporter: Reporter, others: Sequence[float | None]) -> str:
    """Return the warning that the load by others asks for, and show it."""
    from vesselseg.benchmark.machine import load_warning

    warning = load_warning(others)
    if warning:
        reporter.warning(warning)
    return warning


def _files(args: argparse.Namespace, reporter: Reporter) -> tuple[Path, Path | None, Any]:
    """Return scan, mask and model as asked for; what is to be drawn is drawn once."""
    from vesselseg.benchmark.case import bench_folder, check_untrained, drawn_scan, model_to_measure
    from vesselseg.models import find_model

    folder = args.folder or bench_folder()
    # Before a scan is drawn.
    if args.untrained:
        check_untrained(args.untrained)
    else:
        find_model(args.model)
    mask: Path | None
    if args.scan:
        scan, mask = Path(args.scan), None
    else:
        reporter.progress(0.0, "drawing a scan")
        scan, mask = drawn_scan(folder)
    if args.brain_mask:
        mask = None if args.brain_mask == "none" else Path(args.brain_mask)
    return scan, mask, model_to_measure(args.model, args.untrained, scan, folder)


def _run_peer(args: argparse.Namespace, reporter: Reporter) -> None:
    """Segment a scan as a peer does it: in the process that is measured."""
    from vesselseg.benchmark.peers import run_peer
    from vesselseg.image_io import read_label, read_volume, write_image
    from vesselseg.models import find_model
    from vesselseg.output_files import atomic_outputs
    from vesselseg.postprocessing import threshold_probability

    reporter.progress(0.0, "reading the scan")
    scan = read_volume(args.scan)
    mask = None if args.brain_mask == "none" else read_label(args.brain_mask)
    model = find_model(args.model)
    done = run_peer(args.only[0], scan, model, mask, progress=reporter.progress)
    label = threshold_probability(done.probability, model.threshold, model.min_component_mm3)
    with atomic_outputs((args.output, args.probability), overwrite=args.overwrite) as paths:
        for volume, path in zip((label, done.probability), paths):
            write_image(volume, path)
    reporter.progress(1.0, "done")
    reporter.result(
        {
            "engine": args.only[0],
            "precision": "f32",
            "network_seconds": done.network_seconds,
            "network_voxels": done.network_voxels,
        }
    )


def _run_peak(args: argparse.Namespace, reporter: Reporter) -> None:
    """Measure what convolutions reach, in a process of its own like everything that is compared with it."""
    from dataclasses import asdict

    from vesselseg.benchmark.peak import measure_peaks

    care: dict[str, Any] = {"seconds": 0.05, "repeats": 1} if args.quick else {}
    peaks = measure_peaks(progress=reporter.progress, **care)
    reporter.result({"peaks": {peak.precision: asdict(peak) for peak in peaks}})


def _circumstances() -> dict[str, Any]:
    from datetime import datetime, timezone

    from vesselseg.benchmark.machine import describe_machine

    return {"date": datetime.now(timezone.utc).isoformat(timespec="seconds"), "machine": describe_machine()}


def _rounds_of(args: argparse.Namespace) -> int:
    return int(args.rounds or (1 if args.quick else 3))


def _counted(rounds: int) -> str:
    return "1 round" if rounds == 1 else f"medians of {rounds} rounds"
