"""Tables with one line a case: their mean, and how they are written as text, CSV and Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vesselseg.plain_text import csv_text
from vesselseg.reports.metric_table import MetricInfo, Metrics

#: What the mean of several cases is called where a case has its name.
MEAN = "mean"

#: Columns of the table on a terminal and in Markdown, with titles short enough to stand beside each other.
MAIN_COLUMNS = (
    MetricInfo("dice", "Dice"),
    MetricInfo("cldice", "clDice"),
    MetricInfo("precision", "precision"),
    MetricInfo("sensitivity", "sensitivity"),
    MetricInfo("sensitivity_small", "found < 0.6 mm"),
    MetricInfo("sensitivity_medium", "0.6 to 1.0 mm"),
    MetricInfo("sensitivity_large", "> 1.0 mm"),
    MetricInfo("hd95_mm", "HD95", "mm"),
)


def mean_of(cases: Sequence[Metrics]) -> dict[str, float]:
    """Return the mean of every metric over cases.

    Parameters
    ----------
    cases : sequence of metrics
        At least one; all with the keys of the first.

    Returns
    -------
    dict of str to float
        Where a metric is not defined for a case (NaN: it has no vessel of that calibre), that case does not count. An
        infinite distance (nothing found) makes the mean infinite.
    """
    result = {}
    for key in cases[0]:
        values = [float(case[key]) for case in cases if not math.isnan(case[key])]
        result[key] = sum(values) / len(values) if values else math.nan
    return result


@dataclass(frozen=True)
class CaseTable:
    """Metrics of several cases, methods or regions.

    Parameters
    ----------
    names : tuple of str
        Titles of the leading columns, which say what a line is about.
    rows : sequence of (tuple of str, metrics)
        The values of these columns, and the metrics of the line; those it lacks are not shown.
    """

    names: tuple[str, ...]
    rows: Sequence[tuple[tuple[str, ...], Metrics]]

    def cells(self, columns: Sequence[MetricInfo]) -> list[list[str]]:
        """Return the table as texts, the titles first; a dash where a value is infinite, undefined or not there."""
        titles = [f"{column.title} {column.unit}".rstrip() for column in columns]
        lines = [[*name, *(c.text(values.get(c.key, math.nan)) for c in columns)] for name, values in self.rows]
        return [[*self.names, *titles], *lines]

    def text(self, columns: Sequence[MetricInfo] = MAIN_COLUMNS) -> str:
        """Return the table for a terminal."""
        cells = self.cells(columns)
        widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
        first = len(self.names)
        return "\n".join(
            "  ".join(f"{cell:<{w}}" if k < first else f"{cell:>{w}}" for k, (cell, w) in enumerate(zip(line, widths)))
            .rstrip()
            for line in cells
        )  # fmt: skip

    def markdown(self, columns: Sequence[MetricInfo] = MAIN_COLUMNS) -> str:
        """Return the table in Markdown."""
        head, *lines = [[cell.replace("|", "\\|") for cell in line] for line in self.cells(columns)]
        rule = ["---"] * len(self.names) + ["---:"] * len(columns)
        return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))

    def csv(self) -> str:
        """Return the text of a CSV file with every metric; undefined and infinite values stay empty."""
        keys = list(dict.fromkeys(key for _, values in self.rows for key in values))
        lines = [[*name, *(values.get(key, "") for key in keys)] for name, values in self.rows]
        return csv_text([[*self.names, *keys], *lines])
