"""Metrics as people and other programs read them: titles, units, tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vesselseg.morphology.calibre import CALIBRE_TITLES
from vesselseg.plain_text import csv_text, json_value

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class MetricInfo:
    """What a metric is called.

    Parameters
    ----------
    key : str
        In the result of `vesselseg.metrics.evaluate`.
    title : str
        For people.
    unit : str
        Empty for shares and counts.
    is_main : bool
        Whether it belongs into a short table.
    """

    key: str
    title: str
    unit: str = ""
    is_main: bool = True

    def text(self, value: float) -> str:
        """Return a value as it is shown, without its unit; a dash where it is infinite or not defined."""
        if not math.isfinite(value):
            return "-"
        if not isinstance(value, float):
            return f"{value:,}"
        return f"{value:.2f}" if self.unit == "mm" else f"{value:.3f}"

    @property
    def table_title(self) -> str:
        """Title for a table on a screen; those in files stay as they are."""
        return "precision (PPV)" if self.key == "precision" else self.title

    @property
    def explanation(self) -> str:
        """What it says, in a sentence, for whoever points at its title; empty if there is nothing to add."""
        return EXPLANATIONS.get(self.key, "")


#: All metrics of `vesselseg.metrics.evaluate`, in the order in which they are shown.
METRICS = (
    MetricInfo("dice", "Dice"),
    MetricInfo("precision", "precision"),
    MetricInfo("sensitivity", "sensitivity"),
    MetricInfo("cldice", "clDice"),
    MetricInfo("topology_precision", "centreline of the segmentation in the reference", is_main=False),
    MetricInfo("topology_sensitivity", "centreline of the reference found", is_main=False),
    MetricInfo("sensitivity_small", f"centreline found, {CALIBRE_TITLES[0]}"),
    MetricInfo("sensitivity_medium", f"centreline found, {CALIBRE_TITLES[1]}"),
    MetricInfo("sensitivity_large", f"centreline found, {CALIBRE_TITLES[2]}"),
    MetricInfo("hd95_mm", "95 % Hausdorff distance", "mm"),
    MetricInfo("assd_mm", "mean surface distance", "mm"),
    MetricInfo("nsd", "surface Dice"),
    MetricInfo("balanced_avd_mm", "balanced average Hausdorff distance", "mm", is_main=False),
    MetricInfo("taha_hd95_voxels", "95 % Hausdorff distance of all voxels", "voxels", is_main=False),
    MetricInfo("taha_avd_voxels", "average distance of all voxels", "voxels", is_main=False),
    MetricInfo("betti0_error", "difference in number of pieces"),
    MetricInfo("true_positives", "true positives", "voxels", is_main=False),
    MetricInfo("false_positives", "false positives", "voxels", is_main=False),
    MetricInfo("false_negatives", "false negatives", "voxels", is_main=False),
    MetricInfo("segmentation_ml", "volume of the segmentation", "ml", is_main=False),
    MetricInfo("reference_ml", "volume of the reference", "ml", is_main=False),
)

#: What the metrics say, in a sentence each.
EXPLANATIONS = {
    "dice": "Overlap of the two labels, voxel by voxel: 0 is none, 1 is complete.",
    "precision": "Share of the voxels found that are vessel in the reference, too.",
    "sensitivity": "Share of the reference's vessel voxels that were found.",
    "cldice": "Overlap of centrelines: how well the vessels stay connected.",
    "topology_precision": "Share of the segmentation's centreline that lies in the reference.",
    "topology_sensitivity": "Share of the reference's centreline that lies in the segmentation.",
    "sensitivity_small": "Share of the centreline of the reference's small vessels that was found.",
    "sensitivity_medium": "Share of the centreline of the reference's medium vessels that was found.",
    "sensitivity_large": "Share of the centreline of the reference's large vessels that was found.",
    "hd95_mm": "95 % of each surface lies within this distance of the other one.",
    "assd_mm": "Mean distance of both surfaces from each other.",
    "nsd": "Share of both surfaces that lie within a tolerance of the other one, 0.5 mm unless it was set.",
    "balanced_avd_mm": "Mean distance of the voxels of both labels, each sum divided by the size of the reference.",
    "taha_hd95_voxels": "95 % of all voxels of each label, not of its surface, lie within this distance of the other.",
    "taha_avd_voxels": "Mean distance of all voxels of a label, not of its surface; the larger of both directions.",
    "betti0_error": "By how many connected pieces the two labels differ; 0 is best.",
    "true_positives": "Vessel voxels that both labels have.",
    "false_positives": "Vessel voxels that only the segmentation has.",
    "false_negatives": "Vessel voxels that only the reference has.",
    "segmentation_ml": "Volume of all voxels of the segmentation.",
    "reference_ml": "Volume of all voxels of the reference.",
}

#: Metrics that say the same whichever label is called the reference: those for two results without one.
SYMMETRIC_METRICS = ("dice", "cldice", "hd95_mm", "assd_mm", "nsd", "betti0_error")


def metrics_text(regions: Mapping[str, Metrics], *, everything: bool = False) -> str:
    """Return a table for a terminal.

    Parameters
    ----------
    regions : mapping of str to metrics
        Results by the name of the region they are for; each makes a column.
    everything : bool
        Whether metrics beside the main ones are shown.

    Returns
    -------
    str
        The first line holds the names of the regions, where there is more than one.
    """
    shown = [info for info in METRICS if everything or info.is_main]
    width = max(len(info.title) for info in shown) + 2
    columns = [max(len(name), 10) + 2 for name in regions]
    lines = []
    if len(regions) > 1:
        lines.append(" " * width + "".join(f"{name:>{column}}" for name, column in zip(regions, columns)))
    for info in shown:
        texts = [info.text(values[info.key]) for values in regions.values()]
        cells = "".join(f"{text:>{column}}" for text, column in zip(texts, columns))
        lines.append(f"{info.title:<{width}}{cells} {info.unit}".rstrip())
    return "\n".join(lines)


def metrics_csv(regions: Mapping[str, Metrics], *, shown: Sequence[MetricInfo] = METRICS) -> str:
    """Return the text of a CSV file with one line a metric, and one column a region; undefined values stay empty."""
    titles = ["metric", "title", "unit", *(name.replace(" ", "_") for name in regions)]
    lines = ([info.key, info.title, info.unit, *(metrics[info.key] for metrics in regions.values())] for info in shown)
    return csv_text([titles, *lines])


def metrics_json(values: Mapping[str, Any]) -> str:
    """Return metrics, or metrics by region, as the text of a JSON file; infinite and undefined values become null."""
    return json.dumps(json_value(values), indent=2) + "\n"
