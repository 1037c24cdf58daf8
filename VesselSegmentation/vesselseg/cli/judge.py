"""``vesselseg judge``."""

from __future__ import annotations

import argparse
import functools
import shlex
from pathlib import Path

from vesselseg.baselines import baseline_names
from vesselseg.cli.arguments import add_overwrite_argument, check_files, check_table_names
from vesselseg.cli.reporter import Reporter
from vesselseg.engines import PRECISION_CHOICES

_DEFAULT_BASELINES = ("threshold", "frangi")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "cases", nargs="?", metavar="CASES", help="folder of drawn scans, a subfolder each, as 'synthesize' writes them"
    )
    parser.add_argument(
        "--real", nargs="+", action="append", default=[], metavar="FILE",
        help="real scan, its rough label and, if there is one, its brain mask, not dilated; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--models",
        nargs="*",
        default=[""],
        metavar="NAME",
        help="models, or their manifests (default: the default one)",
    )
    parser.add_argument(
        "--baselines", nargs="*", choices=baseline_names(), default=list(_DEFAULT_BASELINES), metavar="NAME",
        help=f"of {', '.join(baseline_names())} (default: {' '.join(_DEFAULT_BASELINES)})",
    )  # fmt: skip
    parser.add_argument(
        "--brain-mask", choices=("auto", "none"), default="auto",
        help="of drawn scans: mask.nii.gz of the case, else found automatically; or none (default: auto)",
    )  # fmt: skip
    parser.add_argument(
        "--group-by", default="", metavar="KEY", help="means also by this entry of description.json, such as head"
    )
    parser.add_argument("--device", default="auto", metavar="auto|cuda|mps|cpu", help="where the networks run")
    parser.add_argument(
        "--precision", choices=PRECISION_CHOICES, default="auto",
        help="number format of the computation (default: as 'segment' chooses it for this machine)",
    )  # fmt: skip
    parser.add_argument("--markdown", metavar="FILE", help="tables for a model card")
    parser.add_argument("--csv", metavar="FILE", help="every metric of every case")
    parser.add_argument("--json", metavar="FILE", help="the same, with what identifies the models")
    add_overwrite_argument(parser)


def run(args: argparse.Namespace, reporter: Reporter) -> int:
    """Measure models and baselines on the same scans."""
    from vesselseg.case_matching import subject_of
    from vesselseg.errors import VesselSegError, error_of_cases
    from vesselseg.model_checks.judge_report import Judgement
    from vesselseg.model_checks.judging import (
        BaselineMethod,
        CaseReader,
        Method,
        ModelMethod,
        drawn_case_folders,
        judge,
        read_drawn_case,
        read_real_case,
    )
    from vesselseg.output_files import check_outputs, write_texts

    if any(len(files) not in (2, 3) for files in args.real):
        raise VesselSegError("--real takes a scan, its label and at most a mask", "give two or three files")
    subjects: dict[str, str] = {}
    for scan, *_ in args.real:
        if (subject := subject_of(Path(scan))) in subjects:
            raise VesselSegError(f"{subjects[subject]} and {scan} are both of {subject}", "name one after its subject")
        subjects[subject] = scan
    if not (args.cases or args.real):
        raise VesselSegError("there is nothing to judge on", "give a folder of drawn scans, or --real SCAN LABEL")
    check_outputs(
        (args.markdown, args.csv, args.json),
        inputs=[file for files in args.real for file in files],
        overwrite=args.overwrite,
    )
    check_table_names(json=args.json, csv=args.csv)
    check_files(file for files in args.real for file in files)
    methods: list[Method] = [ModelMethod(name, args.device, args.precision) for name in dict.fromkeys(args.models)]
    methods += [BaselineMethod(name) for name in dict.fromkeys(args.baselines)]
    if not methods:
        raise VesselSegError("there is nothing to be judged", "name a model or a baseline")
    titles = [method.title for method in methods]
    if len(set(titles)) < len(titles):
        raise VesselSegError("two models have the same name", "judge one after the other")
    folders = drawn_case_folders(Path(args.cases)) if args.cases else []
    drawn = [
        CaseReader(folder.name, functools.partial(read_drawn_case, folder, brain_mask=args.brain_mask))
        for folder in folders
    ]
    real = [
        CaseReader(subject, functools.partial(read_real_case, *map(Path, files)))
        for subject, files in zip(subjects, args.real)
    ]
    measurements, errors = judge([*drawn, *real], methods, progress=reporter.progress)
    judgement = Judgement(
        command=_command(args),
        methods=[method.describe() for method in methods],  # now that they know what they ran in
        measurements=measurements,
        group_by=args.group_by,
        errors={case: str(error) for case, error in errors.items()},
    )
    texts = {args.markdown: judgement.markdown(), args.csv: judgement.csv(), args.json: judgement.json()}
    write_texts(texts, overwrite=args.overwrite)
    reporter.result(judgement.as_dict(), judgement.text())
    if errors:
        raise error_of_cases(errors, len(drawn) + len(real), "measured")
    return 0


def _command(args: argparse.Namespace) -> str:
    """Return what was asked for as a command, without the names of the outputs."""
    words = ["vesselseg", "judge"]
    if args.cases:
        words.append(args.cases)
    for files in args.real:
        words += ["--real", *files]
    if args.models != [""]:
        words += ["--models", *args.models]
    if args.baselines != list(_DEFAULT_BASELINES):
        words += ["--baselines", *args.baselines]
    for option, value, default in (
        ("--brain-mask", args.brain_mask, "auto"),
        ("--group-by", args.group_by, ""),
        ("--device", args.device, "auto"),
        ("--precision", args.precision, "auto"),
    ):
        if value != default:
            words += [option, value]
    return shlex.join(words)
