"""``vesselseg evaluate``."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vesselseg.cli.arguments import add_overwrite_argument, check_table_names, checked
from vesselseg.cli.reporter import Reporter
from vesselseg.errors import VesselSegError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "SEG and REFERENCE may be two folders: files with the same name but for a last word (A_seg.nii.gz and "
        "A_label.nii.gz), or in subfolders with the same name, are compared; the mean comes last. A case that cannot "
        "be compared, or lacks one of its files, is told at the end, in JSON and in CSV (empty there), with the exit "
        "code 1, and does not stop the others. What lies outside the grid on which labels are compared does not count; "
        "inside it a label is background where its own image ends: how much that concerns is told. Calibre is measured "
        "on the voxels of the reference: a vessel thinner than a voxel counts as one voxel in radius, so that with "
        "voxels of 0.6 mm or more there are none below 0.6 mm."
    )
    parser.add_argument("segmentation", metavar="SEG", help="label to judge, or a folder of them")
    parser.add_argument("reference", metavar="REFERENCE", help="label that it is compared with, or a folder of them")
    parser.add_argument(
        "--scan",
        metavar="TOF",
        help="gives the grid on which labels are compared, or a folder of them (default: that of REFERENCE)",
    )
    parser.add_argument(
        "--mask",
        metavar="MASK",
        help="count only what lies inside this mask (or those of a folder); the whole volume is told beside it",
    )
    parser.add_argument(
        "--nsd-tolerance", type=_tolerance, default=0.5, metavar="MM", help="of the surface Dice (default: 0.5)"
    )
    parser.add_argument("--json", metavar="FILE", help="write all metrics to this file")
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="write all metrics to this table: a line each, with title and unit; of folders a line a case",
    )
    parser.add_argument("--all", action="store_true", help="show all metrics, not the main ones only")
    add_overwrite_argument(parser)


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Compare a segmentation with a reference."""
    from vesselseg.case_matching import is_folder_of_cases

    if is_folder_of_cases(args.segmentation) or is_folder_of_cases(args.reference):
        return _run_folders(args, reporter)
    return _run_single(args, reporter)


def _run_single(args: argparse.Namespace, reporter: Reporter) -> int:
    from vesselseg.output_files import check_outputs, write_texts
    from vesselseg.reports.metric_table import metrics_csv, metrics_json, metrics_text

    inputs = (args.segmentation, args.reference, args.scan, args.mask)
    check_outputs((args.json, args.csv), inputs=inputs, overwrite=args.overwrite)
    check_table_names(json=args.json, csv=args.csv)
    regions, broken_mask = _regions(*inputs, args.nsd_tolerance)
    values = _values(regions)
    if broken_mask is not None:
        values = {"whole_volume": values, "errors": {"inside_mask": str(broken_mask)}}
    write_texts({args.json: metrics_json(values), args.csv: metrics_csv(regions)}, overwrite=args.overwrite)
    reporter.result(json.loads(metrics_json(values)), metrics_text(regions, everything=args.all))
    if broken_mask is not None:
        raise broken_mask
    return 0


def _run_folders(args: argparse.Namespace, reporter: Reporter) -> int:
    from vesselseg.case_matching import match_cases
    from vesselseg.errors import error_of_cases
    from vesselseg.output_files import check_outputs, write_texts
    from vesselseg.reports.case_table import MAIN_COLUMNS, MEAN, CaseTable, mean_of
    from vesselseg.reports.metric_table import METRICS, metrics_json

    for path in (args.segmentation, args.reference, args.scan, args.mask):
        if path and not Path(path).is_dir():
            raise VesselSegError(f"{path} is not a folder", "give folders throughout, or single files throughout")
    cases, errors = match_cases(
        Path(args.segmentation),
        Path(args.reference),
        masks=Path(args.mask) if args.mask else None,
        scans=Path(args.scan) if args.scan else None,
    )
    inputs = [path for case in cases for path in (case.segmentation, case.reference, case.scan, case.mask)]
    check_outputs((args.json, args.csv), inputs=inputs, overwrite=args.overwrite)
    check_table_names(json=args.json, csv=args.csv)
    measured: dict[str, dict[str, dict[str, float]]] = {}
    for number, case in enumerate(cases):
        reporter.progress(number / len(cases), case.subject)
        try:
            with _named(reporter, case.subject):
                files = case.segmentation, case.reference, case.scan, case.mask
                regions, broken_mask = _regions(*files, args.nsd_tolerance)
                if broken_mask is not None:
                    raise broken_mask
                measured[case.subject] = regions
        except VesselSegError as error:
            errors[case.subject] = error
    errors = dict(sorted(errors.items()))
    if not measured:
        raise error_of_cases(errors, len(errors), "compared")
    reporter.progress(1.0, "done")
    names = list(next(iter(measured.values())))
    mean = {region: mean_of([of_case[region] for of_case in measured.values()]) for region in names}
    subjects = sorted([*measured, *errors])
    table = CaseTable(
        ("case", "region"),
        [
            ((name, region), values.get(region, {}))
            for name, values in [*((each, measured.get(each, {})) for each in subjects), (MEAN, mean)]
            for region in names
        ],
    )
    compared = {subject: _values(of_case) for subject, of_case in measured.items()}
    values = json.loads(metrics_json({"cases": compared, "mean": _values(mean)}))
    if errors:
        values["errors"] = {subject: str(error) for subject, error in errors.items()}
    texts = {args.json: json.dumps(values, indent=2) + "\n", args.csv: table.csv()}
    write_texts(texts, overwrite=args.overwrite)
    shown = CaseTable(("case",), [((c,), values) for (c, r), values in table.rows if values and r == names[0]])
    lines = [shown.text(METRICS if args.all else MAIN_COLUMNS)]
    lines += [f"{subject}: not compared: {error}" for subject, error in errors.items()]
    reporter.result(values, "\n".join(lines))
    if errors:
        raise error_of_cases(errors, len(measured) + len(errors), "compared")
    return 0


@contextlib.contextmanager
def _named(reporter: Reporter, subject: str) -> Iterator[None]:
    """Put the subject before what is logged meanwhile."""

    def put_before(record: logging.LogRecord) -> bool:
        record.msg, record.args = f"{subject}: {record.getMessage()}", ()
        return True

    reporter.addFilter(put_before)
    try:
        yield
    finally:
        reporter.removeFilter(put_before)


def _regions(
    segmentation: Any, reference: Any, scan: Any, mask: Any, tolerance_mm: float
) -> tuple[dict[str, dict[str, float]], VesselSegError | None]:
    """Return the metrics by region, that of the mask first, and what is wrong with a mask that was left out."""
    from vesselseg.comparison import on_one_grid
    from vesselseg.image_io import read_label, read_reference, read_volume
    from vesselseg.metrics import evaluate

    found, truth, unsure = on_one_grid(
        read_label(segmentation), *read_reference(reference), scan=read_volume(scan) if scan else None
    )
    inside = read_label(mask) if mask else None
    measure = functools.partial(evaluate, found, truth, unsure=unsure, nsd_tolerance_mm=tolerance_mm)
    regions = {"whole volume": measure()}
    if inside is not None:
        try:
            regions = {"inside mask": measure(mask=inside), **regions}
        except VesselSegError as error:
            return regions, error
    return regions, None


def _values(regions: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return the metrics as JSON holds them: those of the mask, where there is one, with those of all beside them."""
    values: dict[str, Any] = dict(next(iter(regions.values())))
    return values if len(regions) == 1 else {**values, "whole_volume": regions["whole volume"]}


@checked
def _tolerance(text: str) -> float:
    from vesselseg.metrics import check_tolerance

    check_tolerance(value := float(text))
    return value
