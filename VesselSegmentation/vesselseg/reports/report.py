"""What a report on a segmentation says; `report_html` and `report_pdf` write it down."""

from __future__ import annotations

import io
import json
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

import vesselseg
from vesselseg.comparison import check_probability, label_on_grid_of, on_grid_of, on_one_grid, without
from vesselseg.errors import VesselSegError
from vesselseg.figures.parts import FigureStyle
from vesselseg.metrics import NOTHING_INSIDE, evaluate, nothing_counted
from vesselseg.progress import ProgressCallback, no_progress, stage
from vesselseg.reports.metric_table import METRICS, SYMMETRIC_METRICS, MetricInfo, Metrics
from vesselseg.review.error_components import ErrorComponent, error_components
from vesselseg.review.error_kinds import WITH_REFERENCE
from vesselseg.review.error_map import error_map, legend
from vesselseg.volume import Volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: So many components are listed; the command `errormap --components` writes all.
_LISTED = 40
#: What is told of a run: keys of `vesselseg.segmentation.SegmentationRun`, titles and units. Nothing else is copied.
_RUN_FACTS = (
    ("model", "model", ""),
    ("model_sha256", "SHA-256 of its weights", ""),
    ("threshold", "threshold", ""),
    ("min_component_mm3", "smallest component", "mm³"),
    ("brain_mask", "brain mask", ""),
    ("device_name", "device", ""),
    ("precision", "precision", ""),
    ("seconds", "time", "s"),
    ("notes", "notes", ""),
)
#: Title of the metrics inside a mask.
_INSIDE = "inside the mask"
DISCLAIMER = "For research. Not a medical device."


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Parameters
    ----------
    header : sequence of str
        Titles of the columns; empty for facts, where the first column is the title of its row.
    rows : sequence of sequence of str
    widths : sequence of float
        Shares of the width, by column; columns but the first are aligned right where there is a header.
    note : str
        Below the table.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[float]
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure.

    Parameters
    ----------
    png : bytes
    caption : str
    """

    png: bytes
    caption: str


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Parameters
    ----------
    title : str
    blocks : list of Table or Picture
    """

    title: str
    blocks: list[Union[Table, Picture]] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """A whole report.

    Parameters
    ----------
    title : str
    sections : list of Section
    """

    title: str
    sections: list[Section]


def build_report(
    segmentation: Volume,
    reference: Volume,
    *,
    unsure: Optional[Volume] = None,
    scan: Optional[Volume] = None,
    mask: Optional[Volume] = None,
    probability: Optional[Volume] = None,
    run: Optional[Mapping[str, Any]] = None,
    case: str = "",
    style: FigureStyle,
    figures: Sequence[str] = ("overview", "closeups"),
    progress: ProgressCallback = no_progress,
) -> Report:
    """Compare a segmentation with a reference and gather what a report says.

    Neither names of files nor headers of images get into it: they may name the patient.

    Parameters
    ----------
    segmentation, reference : Volume
        Labels. Without a scan, the reference gives the grid on which they are compared.
    unsure : Volume, optional
        Where the reference says nothing, see `vesselseg.image_io.read_reference`: not in the map, and not counted.
    scan, mask, probability : Volume, optional
        The scan gives facts, grid and backgrounds; inside the mask the metrics are told too; the probability gives the
        threshold analysis and the means of components.
    run : mapping, optional
        What ran, as `vesselseg.segmentation.SegmentationRun.as_dict` gives it.
    case : str
        What the case is called in the title.
    style : FigureStyle
        Its wording says whether the reference is one, or a second result.
    figures : sequence of str
        Kinds of figures, as `vesselseg.figures.error_maps.draw_figure` knows them.
    progress : callable
        Told the share of the work done.

    Returns
    -------
    Report

    Raises
    ------
    VesselSegError
        If images do not overlap, if the mask is empty, or if figures cannot be drawn.
    """
    from vesselseg.figures.error_maps import draw_figure

    wording = style.wording
    found, truth, unsure = on_one_grid(segmentation, reference, unsure, scan=scan, kinds=wording.titles[1:])
    errors = without(error_map(found, truth), unsure)
    if probability is not None:
        check_probability(probability)
        probability = on_grid_of(probability, errors, what="the probability", of="the map")
    progress(0.05, "metrics")
    regions = {"whole volume": evaluate(found, truth, unsure=unsure)}
    if mask is not None:
        regions[_INSIDE] = evaluate(found, truth, mask=mask, unsure=unsure)
    components = error_components(errors, probability=probability)
    progress(0.2, "figures")
    pictures = []
    for number, kind in enumerate(figures):
        figure = draw_figure(errors, kind=kind, scan=scan, style=style)
        behind = "" if scan is None else ", over the scan in maximum intensity projection"
        caption = _CAPTIONS[kind].format(wording=wording, behind=behind)
        pictures.append(Picture(_png(figure), caption[0].upper() + caption[1:]))
        progress(0.2 + 0.4 * (number + 1) / len(figures), "figures")
    sections = [
        Section("Scan" if scan is not None else "Images", [_facts(_image_facts(errors, scan))]),
        # Of two readers nothing ran.
        *([Section("Segmentation", [_facts(_run_facts(run or {}))])] if run or wording == WITH_REFERENCE else []),
        Section("Agreement", [_legend_table(errors, style), _metrics_table(regions, style)]),
        Section("Figures", list(pictures)),
    ]
    if probability is not None and wording == WITH_REFERENCE and _any_inside(truth, mask):
        where = "" if mask is None else ", inside the mask"
        caption = (
            "Metrics over all thresholds of the probability, small pieces kept (so that Dice may differ from that of "
            f"the segmentation), and its calibration{where}."
        )
        figure = _threshold_figure(probability, truth, mask, unsure, run or {}, style, stage(progress, 0.6, 0.98))
        sections.append(Section("Thresholds", [Picture(_png(figure), caption)]))
    plural = f"{wording.piece_title}s"
    sections.append(Section(plural.capitalize(), [_components_table(components, style)]))
    progress(1.0, "report")
    return Report(f"Vessel segmentation: {case}" if case else "Vessel segmentation", sections)


_CAPTIONS = {
    "overview": "Both labels and the {wording.map_title} in 3D, and in an axial slab{behind}; {wording.order_note}.",
    "closeups": "Where most of the largest and where most of the smallest vessels are.",
    "projections": "The {wording.map_title} in three projections{behind}; {wording.order_note}.",
}


def _any_inside(label: Volume, mask: Volume | None) -> bool:
    counted = label.array != 0
    return bool((counted if mask is None else counted & label_on_grid_of(mask, label, what="the mask")).any())


def read_run(path: Path) -> dict[str, Any]:
    """Read what ran from a JSON file.

    Parameters
    ----------
    path : pathlib.Path
        What ``vesselseg segment --progress json`` printed, or its result alone.

    Returns
    -------
    dict

    Raises
    ------
    VesselSegError
        If the file cannot be read, or does not name a model.
    """
    try:
        content = path.read_bytes()
        # Windows PowerShell writes UTF-16 with its mark, or UTF-8 with one.
        text = content.decode("utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise VesselSegError(f"{path} cannot be read", "give what 'segment --progress json' printed") from error
    for part in (text, *reversed(text.splitlines())):
        try:
            values = json.loads(part)
        except ValueError:
            continue
        if isinstance(values, dict) and "model" in values:
            return values
    raise VesselSegError(f"{path} does not say which model ran", "give what 'segment --progress json' printed")


def _facts(pairs: Sequence[tuple[str, str]]) -> Table:
    return Table((), pairs, (0.3, 0.7))


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=figure.dpi, facecolor=figure.get_facecolor())
    return stream.getvalue()


def _image_facts(errors: Volume, scan: Volume | None) -> list[tuple[str, str]]:
    geometry = errors.geometry
    extent = (n * s for n, s in zip(geometry.size, geometry.spacing))
    letters = ("RL", "AP", "IS")  # LPS: an axis runs towards the second letter where its direction is positive
    directions = []
    for column in geometry.axes.T:
        axis = int(np.argmax(np.abs(column)))
        pair = letters[axis] if column[axis] > 0 else letters[axis][::-1]
        directions.append(" to ".join(pair))
    facts = [
        ("voxels", " × ".join(str(n) for n in geometry.size)),
        ("voxel size", " × ".join(f"{s:.3g}" for s in geometry.spacing) + " mm"),
        ("extent", " × ".join(f"{e:.0f}" for e in extent) + " mm"),
        ("axes run from", ", ".join(directions)),
    ]
    if scan is not None:
        facts.append(("values", f"{scan.array.min():g} to {scan.array.max():g}"))
    return [*facts, ("report by", f"vesselseg {vesselseg.__version__}")]


def _run_facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = []
    for key, title, unit in _RUN_FACTS:
        value = run.get(key)
        text = "; ".join(str(v) for v in value) if isinstance(value, list) else "" if value is None else str(value)
        if text:
            facts.append((title, f"{text} {unit}".strip()))
    if not facts:
        facts.append(("model", "not told"))
    return facts


def _legend_table(errors: Volume, style: FigureStyle) -> Table:
    entries = legend(errors, wording=style.wording, palette=style.palette)
    rows = [(entry.title, f"{entry.voxels:,}", f"{entry.volume_mm3 / 1000:.3f}") for entry in entries]
    return Table(("", "voxels", "ml"), rows, (0.5, 0.25, 0.25))


def _metrics_table(regions: Mapping[str, Metrics], style: FigureStyle) -> Table:
    names = list(regions)
    shown: Sequence[MetricInfo] = METRICS
    if style.wording != WITH_REFERENCE:
        shown = tuple(info for info in METRICS if info.key in SYMMETRIC_METRICS)
    rows = [[info.title, *(info.text(regions[name][info.key]) for name in names), info.unit] for info in shown]
    widths = (0.5, *[0.36 / len(names)] * len(names), 0.14)
    note = (
        "A dash stands where a value is infinite or not defined. Distances are between surfaces unless said otherwise."
    )
    if _INSIDE in regions and nothing_counted(regions[_INSIDE]):
        note += f" {NOTHING_INSIDE[0].upper()}{NOTHING_INSIDE[1:]}."
    return Table(("metric", *names, "unit"), rows, widths, note)


def _components_table(components: Sequence[ErrorComponent], style: FigureStyle) -> Table:
    wording = style.wording
    chosen = [c for c in components if not c.is_boundary]
    rows = [
        (
            c.component_id,
            wording.title(c.kind),
            f"{c.affected_mm:.1f}",
            f"{c.volume_mm3:.1f}",
            f"{c.radius_mm:.2f}",
            ", ".join(str(round(v)) for v in c.centre_ras),
            "-" if c.mean_probability is None else f"{c.mean_probability:.2f}",
        )
        for c in chosen[:_LISTED]
    ]
    boundary = len(components) - len(chosen)
    note = (
        f"{len(rows)} of {len(chosen)} {wording.piece_title}s, by the length of vessel affected (the width, where that "
        f"is larger); {boundary} more are only a rim along a vessel that both labels have."
    )
    header = ("id", "kind", "length mm", "volume mm³", "radius mm", "R, A, S mm", "probability")
    return Table(header, rows, (0.16, 0.17, 0.12, 0.13, 0.12, 0.18, 0.12), note)


def _threshold_figure(
    probability: Volume, truth: Volume, mask: Volume | None, unsure: Volume | None, run: Mapping[str, Any],
    style: FigureStyle, progress: ProgressCallback,
) -> Figure:  # fmt: skip
    from vesselseg.figures.thresholds import draw_threshold_figure
    from vesselseg.review.threshold_analysis import analyse_thresholds

    analysis = analyse_thresholds(probability, truth, mask=mask, unsure=unsure, distances=False, progress=progress)
    current = run.get("threshold")
    return draw_threshold_figure(
        analysis, style=style, current=float(current) if isinstance(current, (int, float)) else None,
        masked=mask is not None,
    )  # fmt: skip
