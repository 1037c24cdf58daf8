"""The list of errors with what readers have said about them, and the metrics, as files for other programs."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesselseg.errors import VesselSegError
from vesselseg.reports.metric_table import metrics_csv, metrics_json
from vesselseg.review.error_components import ErrorComponent, component_record, components_csv
from vesselseg.review.error_kinds import Wording
from VesselSegmentationLib.reviewing.component_marks import Mark
from VesselSegmentationLib.reviewing.error_navigator import ErrorNavigator
from VesselSegmentationLib.reviewing.review_tables import shown_metrics

if TYPE_CHECKING:
    from VesselSegmentationLib.reviewing.review_logic import ReviewLogic

_MARK_COLUMNS = ("decision", "reader", "time")
_SEGMENT_COLUMN = "nearest_segment"


def export_components(
    navigator: ErrorNavigator,
    path: str | os.PathLike[str],
    wording: Wording,
    *,
    count: int = 0,
    overwrite: bool = False,
) -> None:
    """Write all listed components of an error map, hidden ones too, with the marks of readers.

    Parameters
    ----------
    navigator : ErrorNavigator
    path : path-like
        Ending in .csv: one line a component, the columns of `vesselseg.review.error_components.components_csv` and the
        nearest named segment, decision, reader and time. Ending in .json: the same under "components", and all marks
        under "marks", also those of components that have been corrected or edited since, and under "count" how many
        components there are. Where fewer are listed, the first line of a .csv says so after a "#".
    wording : Wording
        What the kinds are called.
    count : int
        How many components there are, if the navigator may list fewer: `review_listing.ErrorListing.count`.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    VesselSegError
        If the list is not that of the map as it is now, or the file has another ending or cannot be written.
    """
    if navigator.outdated:
        raise VesselSegError(
            "the list of errors is not there yet", "wait until it is made; if that failed, edit the label"
        )
    make = _csv if _ending(path) == ".csv" else _json
    _write(path, make(navigator, wording, count), overwrite)


def listed_text(navigator: ErrorNavigator, count: int) -> str:
    """Say how many components are listed of those that there are; empty if all are."""
    listed = len(navigator.components)
    return f"first {listed:,} of {count:,}" if listed < count else ""


def export_metrics(review: ReviewLogic, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write the metrics of what is compared, in every region; without a reference those that take no side.

    Parameters
    ----------
    review : ReviewLogic
        With a comparison.
    path : path-like
        Ending in .csv: one line a metric. Ending in .json: the metrics by region; undefined values are null.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    VesselSegError
        If nothing is compared, the metrics are not those of the labels as they are now, or the file has another ending
        or cannot be written.
    """
    if review.metrics_failed:
        raise VesselSegError("the metrics could not be measured", "edit the label, or choose another brain mask")
    if review.error_map is None or not review.metrics_current:
        raise VesselSegError("the metrics are not there yet", "wait until they are computed")
    shown = shown_metrics(review.error_map.wording)
    regions = {
        name: {info.key: values[info.key] for info in shown if info.key in values}
        for name, values in review.metrics.items()
    }
    text = metrics_csv(regions, shown=shown) if _ending(path) == ".csv" else metrics_json(regions)
    _write(path, text, overwrite)


def _ending(path: str | os.PathLike[str]) -> str:
    ending = Path(path).suffix.lower()
    if ending not in (".csv", ".json"):
        raise VesselSegError(f"'{Path(path).name}' is neither a CSV nor a JSON file", "give a name ending in .csv")
    return ending


def _write(path: str | os.PathLike[str], text: str, overwrite: bool) -> None:
    from vesselseg.output_files import atomic_output

    with atomic_output(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _csv(navigator: ErrorNavigator, wording: Wording, count: int) -> str:
    header, *rows = csv.reader(io.StringIO(components_csv(navigator.components, wording=wording)))
    text, cut = io.StringIO(), listed_text(navigator, count)
    if cut:
        text.write(f"# {cut} errors, what matters most first\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*header, _SEGMENT_COLUMN, *_MARK_COLUMNS])
    marks = navigator.current_marks()
    for row, component in zip(rows, navigator.components):
        writer.writerow([*row, *_more(navigator, component, marks).values()])
    return text.getvalue()


def _json(navigator: ErrorNavigator, wording: Wording, count: int) -> str:
    current = navigator.current_marks()
    components = [
        {**component_record(component, wording=wording), **_more(navigator, component, current)}
        for component in navigator.components
    ]
    marks = [dataclasses.asdict(mark) for mark in navigator.marks()]
    contents = {"count": max(count, len(components)), "components": components, "marks": marks}
    return json.dumps(contents, indent=2, ensure_ascii=False) + "\n"


def _more(navigator: ErrorNavigator, component: ErrorComponent, marks: dict[str, Mark]) -> dict[str, Any]:
    mark = marks.get(component.component_id)
    nearest = navigator.nearest_segment(component)
    values: dict[str, Any] = {_SEGMENT_COLUMN: nearest[0] if nearest is not None else ""}
    values.update({column: getattr(mark, column) if mark is not None else "" for column in _MARK_COLUMNS})
    return values
