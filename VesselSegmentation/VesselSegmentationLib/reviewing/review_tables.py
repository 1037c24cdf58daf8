"""Metrics and thresholds as tables and plots of the scene, which 3D Slicer shows in its table and plot views."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
from numpy.typing import ArrayLike
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonCore import vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkTable

from vesselseg.figures.thresholds import conditions
from vesselseg.reports.metric_table import METRICS, SYMMETRIC_METRICS, MetricInfo
from vesselseg.review.error_kinds import WITH_REFERENCE, Wording
from vesselseg.review.threshold_analysis import ThresholdAnalysis

_CHART_REFERENCES = ("vesselseg.threshold_chart", "vesselseg.calibration_chart")
_TABLE_REFERENCE = "vesselseg.metrics_table"
#: Column, colour and title of the lines of the plot of thresholds.
_LINES = (
    ("Dice", (0.10, 0.10, 0.10)),
    ("precision", (0.80, 0.40, 0.00)),
    ("sensitivity", (0.00, 0.45, 0.70)),
)
_BEST_COLOR = (0.84, 0.15, 0.16)


def shown_metrics(wording: Wording) -> list[MetricInfo]:
    """Return the metrics that mean something: without a reference, those that take no side."""
    return [info for info in METRICS if wording == WITH_REFERENCE or info.key in SYMMETRIC_METRICS]


def set_metrics_table(
    scene: Any, map_node: Any, regions: Mapping[str, Mapping[str, float]], wording: Wording = WITH_REFERENCE
) -> Any:
    """Write metrics into the table that belongs to an error map.

    Parameters
    ----------
    scene : vtkMRMLScene
    map_node : vtkMRMLSegmentationNode
        The error map; its table is made if there is none.
    regions : mapping of str to mapping
        Metrics, as `vesselseg.metrics.evaluate` returns them, by region.
    wording : Wording
        What is compared.

    Returns
    -------
    vtkMRMLTableNode
        A row for each metric: its title, its unit and a column for each region. Infinite and undefined values are in it
        as such; what is missing is undefined.
    """
    shown = shown_metrics(wording)
    table = vtkTable()
    table.AddColumn(_texts("metric", [info.title for info in shown]))
    table.AddColumn(_texts("unit", [info.unit for info in shown]))
    for region, values in regions.items():
        table.AddColumn(_numbers(region, [values.get(info.key, math.nan) for info in shown]))
    node = map_node.GetNodeReference(_TABLE_REFERENCE)
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{map_node.GetName()} metrics")
        map_node.SetNodeReferenceID(_TABLE_REFERENCE, node.GetID())
    node.SetAndObserveTable(table)
    return node


def set_threshold_charts(
    scene: Any, map_node: Any, analysis: ThresholdAnalysis, *, masked: bool = False
) -> tuple[Any, Any]:
    """Draw an analysis of thresholds into the charts that belong to an error map.

    Parameters
    ----------
    scene : vtkMRMLScene
    map_node : vtkMRMLSegmentationNode
        The error map; its charts are made if there are none.
    analysis : ThresholdAnalysis
    masked : bool
        Whether it was measured inside a mask, which the titles then say.

    Returns
    -------
    threshold_chart : vtkMRMLPlotChartNode
        Dice, precision and sensitivity over the threshold, and the best one as a point.
    calibration_chart : vtkMRMLPlotChartNode
        Share of vessel among the voxels with a probability, and the line on which it would be right.
    """
    name = map_node.GetName()
    best = np.array([analysis.best_threshold]), np.array([analysis.best_dice])
    curves = {"threshold": analysis.thresholds, "Dice": analysis.dice}
    curves |= {"precision": analysis.precision, "sensitivity": analysis.sensitivity}
    thresholds = _Chart(scene, map_node, _CHART_REFERENCES[0], f"{name} thresholds", "threshold", "share")
    for column, color in _LINES:
        thresholds.add_line(column, curves, ("threshold", column), color)
    title = f"best: Dice {analysis.best_dice:.3f} at {analysis.best_threshold:.2f}"
    thresholds.add_points(title, {"threshold": best[0], "Dice": best[1]}, ("threshold", "Dice"), _BEST_COLOR)
    calibration = analysis.calibration
    filled = calibration.voxels > 0
    bins = {"probability": calibration.mean_probability[filled], "vessel": calibration.vessel_share[filled]}
    reliability = _Chart(
        scene, map_node, _CHART_REFERENCES[1], f"{name} calibration", "mean probability", "share of vessel"
    )
    ideal = np.array([0.0, 1.0])
    reliability.add_line("calibrated", {"x": ideal, "y": ideal}, ("x", "y"), (0.6, 0.6, 0.6))
    reliability.add_points("found", bins, ("probability", "vessel"), _LINES[2][1])
    thresholds.node.SetTitle(conditions(masked=masked))
    reliability.node.SetTitle("inside the mask" if masked else "")
    return thresholds.node, reliability.node


class _Chart:
    """A plot chart with its tables and series, which are those of the last time where there are some."""

    def __init__(self, scene: Any, owner: Any, role: str, name: str, x_title: str, y_title: str) -> None:
        self._scene = scene
        self.node = owner.GetNodeReference(role)
        if self.node is None:
            self.node = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
            self.node.SetXAxisTitle(x_title)
            self.node.SetYAxisTitle(y_title)
            for set_range in (self.node.SetXAxisRange, self.node.SetYAxisRange):
                set_range(0.0, 1.0)
            self.node.SetXAxisRangeAuto(False)
            self.node.SetYAxisRangeAuto(False)
            owner.SetNodeReferenceID(role, self.node.GetID())
        self._count = 0

    def add_line(
        self, title: str, columns: Mapping[str, ArrayLike], axes: tuple[str, str], color: tuple[float, float, float]
    ) -> None:
        series = self._add(title, columns, axes, color)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)

    def add_points(
        self, title: str, columns: Mapping[str, ArrayLike], axes: tuple[str, str], color: tuple[float, float, float]
    ) -> None:
        series = self._add(title, columns, axes, color)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
        series.SetMarkerSize(10)

    def _add(
        self, title: str, columns: Mapping[str, ArrayLike], axes: tuple[str, str], color: tuple[float, float, float]
    ) -> Any:
        table = vtkTable()
        for name, values in columns.items():
            table.AddColumn(_numbers(name, values))
        name = f"{self.node.GetName()} {self._count + 1}"
        series = self.node.GetNthPlotSeriesNode(self._count)
        if series is None:
            series = self._scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
            series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
            series.SetColor(*color)
            self.node.AddAndObservePlotSeriesNodeID(series.GetID())
        if series.GetTableNode() is None:  # a new one, or somebody has removed its table
            table_node = self._scene.AddNewNodeByClass("vtkMRMLTableNode", f"{name} values")
            series.SetAndObserveTableNodeID(table_node.GetID())
        series.SetName(title)
        series.GetTableNode().SetAndObserveTable(table)
        series.SetXColumnName(axes[0])
        series.SetYColumnName(axes[1])
        self._count += 1
        return series


def _texts(name: str, values: Sequence[str]) -> Any:
    column = vtkStringArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    return column


def _numbers(name: str, values: ArrayLike) -> Any:
    column = numpy_to_vtk(np.asarray(values, dtype=np.float64), deep=True)
    column.SetName(name)
    return column
