"""What judging found, as the table of a model card, as CSV and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import vesselseg
from vesselseg.model_checks.judging import Measurement
from vesselseg.plain_text import json_value
from vesselseg.reports.case_table import MAIN_COLUMNS, MEAN, CaseTable, mean_of
from vesselseg.reports.metric_table import MetricInfo, Metrics


class _Count(MetricInfo):
    """A number of things; the mean of several as well is told without decimals."""

    def text(self, value: float) -> str:
        """Return a value as it is shown."""
        return f"{value:,.0f}" if math.isfinite(value) else super().text(value)


_PIECES = _Count("pieces", "pieces")
#: Columns for drawn scans.
DRAWN_COLUMNS = (*MAIN_COLUMNS, _PIECES)
#: Columns for real scans: measures that a label with sinuses and without thin arteries does not spoil come first.
REAL_COLUMNS = (
    MetricInfo("centreline_found", "labelled centreline found"),
    MetricInfo("stands_out", "found centreline stands out"),
    _PIECES,
    MetricInfo("sinus_found", "sinuses found"),
    MetricInfo("found_ml", "found", "ml"),
    MetricInfo("dice", "Dice"),
)

_DRAWN_NOTE = (
    "Counted inside the brain mask dilated by 2 mm, where there is a mask; voxels that the drawing marks as unsure are "
    "left out. Found: share of the true centreline, by the true radius of the vessel where the case tells it, else by "
    "the distance transform. HD95: 95 % Hausdorff distance of the surfaces. Pieces: 26-connected; only models "
    "drop small ones, as said above."
)
_REAL_NOTE = (
    "The label is rough (thresholded, with dural sinuses, without thin arteries): Dice against it is no goal. Labelled "
    "centreline found: outside the sinuses, within one voxel. Found centreline stands out: share that is brighter than "
    "its surroundings. Sinuses found: better low. Volume and Dice are those outside the sinuses. Pieces: only "
    "models drop small ones, as said above."
)
_STAR_NOTE = "\\* Threshold picked on the truth or label of each case itself, which no user can do."


@dataclass(frozen=True)
class Judgement:
    """Measurements and what they were made with.

    Parameters
    ----------
    command : str
        By which all can be measured again.
    methods : sequence of dict
        What identifies each method; see `vesselseg.model_checks.judging.Method.describe`.
    measurements : sequence of Measurement
    group_by : str
        Entry of the cases' descriptions whose values have means of their own; empty for none.
    errors : dict of str to str
        Why cases could not be measured.
    """

    command: str
    methods: Sequence[Mapping[str, Any]]
    measurements: Sequence[Measurement]
    group_by: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    def means(self) -> CaseTable:
        """Return the mean of every method over the drawn scans, and over each group of them."""
        drawn = [m for m in self.measurements if not m.is_real]
        groups = {"all": drawn}
        if self.group_by:
            for measurement in sorted(drawn, key=self._group):
                groups.setdefault(self._group(measurement), []).append(measurement)
        rows: list[tuple[tuple[str, ...], Metrics]] = []
        for group, members in groups.items():
            for method in self.methods:
                chosen = [m.values for m in members if m.method == method["title"]]
                if chosen:
                    rows.append(((f"{group} ({len(chosen)})", method["title"]), mean_of(chosen)))
        return CaseTable(("scans", "method"), rows)

    def _group(self, measurement: Measurement) -> str:
        return f"{self.group_by} {measurement.description.get(self.group_by, '?')}"

    def cases(self, *, real: bool) -> CaseTable:
        """Return one line for every case and method."""
        chosen = [m for m in self.measurements if m.is_real == real]
        return CaseTable(("case", "method"), [((m.case, m.method), m.values) for m in chosen])

    def text(self) -> str:
        """Return the main tables for a terminal."""
        parts = []
        if any(not m.is_real for m in self.measurements):
            parts.append(self.means().text(DRAWN_COLUMNS))
        if any(m.is_real for m in self.measurements):
            parts.append(self.cases(real=True).text(REAL_COLUMNS))
        if self.errors:
            parts.append("\n".join(self._not_measured()))
        return "\n\n".join(parts)

    def _not_measured(self) -> list[str]:
        return [f"Not measured: {case}: {reason}" for case, reason in self.errors.items()]

    def markdown(self) -> str:
        """Return all tables in Markdown, with the command that made them, sums of weights and precisions."""
        parts = [f"Measured with vesselseg {vesselseg.__version__} by\n\n    {self.command}"]
        models = [m for m in self.methods if "sha256" in m]
        if models:
            parts.append("\n".join(map(_identity, models)))
        if any(not m.is_real for m in self.measurements):
            parts += ["### Drawn scans", _DRAWN_NOTE, self.means().markdown(DRAWN_COLUMNS)]
            parts += ["### Drawn scans, case by case", self.cases(real=False).markdown(DRAWN_COLUMNS)]
        if any(m.is_real for m in self.measurements):
            parts += ["### Real scans with a rough label", _REAL_NOTE, self.cases(real=True).markdown(REAL_COLUMNS)]
        if any(m.get("picks_on_truth") for m in self.methods):
            parts.append(_STAR_NOTE)
        parts += self._not_measured()
        return "\n\n".join(parts) + "\n"

    def csv(self) -> str:
        """Return the text of a CSV file with every metric of every case and the means; what is not defined is empty."""
        rows = [(("real" if m.is_real else "drawn", m.case, m.method), m.values) for m in self.measurements]
        means = [(("drawn", f"{MEAN} of {name[0]}", name[1]), values) for name, values in self.means().rows]
        return CaseTable(("scan", "case", "method"), [*rows, *means]).csv()

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it; infinite and undefined values become None."""
        cases = [
            {
                "case": m.case,
                "method": m.method,
                "scan": "real" if m.is_real else "drawn",
                "description": m.description,
                "metrics": json_value(m.values),
            }
            for m in self.measurements
        ]
        means = [
            {"scans": scans, "method": method, "metrics": json_value(values)}
            for (scans, method), values in self.means().rows
        ]
        return {
            "command": self.command,
            "version": vesselseg.__version__,
            "methods": [dict(method) for method in self.methods],
            "mean": means,
            "cases": cases,
            **({"errors": dict(self.errors)} if self.errors else {}),
        }

    def json(self) -> str:
        """Return the text of a JSON file."""
        return json.dumps(self.as_dict(), indent=2) + "\n"


def _identity(model: Mapping[str, Any]) -> str:
    """Return the line that tells which weights a model has, in which precision they ran, and what it drops."""
    ran_in = f", computed in {', '.join(model['precisions'])}" if model.get("precisions") else ""
    smallest = model["min_component_mm3"]
    dropped = f"pieces below {smallest:g} mm³ are dropped" if smallest else "no piece is dropped"
    return f"- `{model['title']}`: weights SHA-256 `{model['sha256']}`{ran_in}; {dropped}"
