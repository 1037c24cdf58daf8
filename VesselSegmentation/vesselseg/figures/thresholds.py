"""The threshold analysis as a figure: metrics over all thresholds, and the calibration of the probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vesselseg.figures.parts import FigureStyle
from vesselseg.review.threshold_analysis import ThresholdAnalysis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Metric, name, colour (Okabe and Ito; none that means a kind of error), line.
_CURVES = (
    ("dice", "Dice", "#000000", "-"),
    ("precision", "precision", "#E69F00", "--"),
    ("sensitivity", "sensitivity", "#CC79A7", "-."),
)


def conditions(*, masked: bool) -> str:
    """Say of which voxels a threshold analysis is, and how the label differs from that of a segmentation."""
    return "inside the mask, small pieces kept" if masked else "small pieces kept"


def draw_threshold_figure(
    analysis: ThresholdAnalysis, *, style: FigureStyle, current: float | None = None, masked: bool = False
) -> Figure:
    """Draw a threshold analysis.

    Parameters
    ----------
    analysis : ThresholdAnalysis
    style : FigureStyle
        Its title, background and resolution.
    current : float, optional
        The threshold in use, marked beside the best one.
    masked : bool
        Whether it was measured inside a mask, which the titles then say.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.4), dpi=style.dpi, facecolor=style.paper, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_metrics(left, analysis, style, current)
    _draw_calibration(right, analysis, style)
    left.set_title(f"{left.get_title()}\n{conditions(masked=masked)}")
    right.set_title(right.get_title() + ("\ninside the mask" if masked else ""))
    for axes in (left, right):
        axes.set(xlim=(0, 1), ylim=(0, 1.02), facecolor=style.paper)
        axes.tick_params(colors=style.ink, labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[:].set_color(style.ink)
        axes.grid(color="0.5", alpha=0.25, linewidth=0.5)
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
            text.set(color=style.ink, fontsize=8)
    if style.title:
        figure.suptitle(style.title, color=style.ink, fontsize=10, parse_math=False)
    return figure


def _draw_metrics(axes: Axes, analysis: ThresholdAnalysis, style: FigureStyle, current: float | None) -> None:
    for name, title, colour, line in _CURVES:
        shown = style.ink if name == "dice" else colour
        axes.plot(analysis.thresholds, getattr(analysis, name), color=shown, linestyle=line, linewidth=1.4, label=title)
    measured, best = analysis.detailed, analysis.best_threshold
    if len(measured) > 1:  # the best one alone is no curve
        axes.plot(
            list(measured), [values["cldice"] for values in measured.values()], color="#56B4E9", marker="o",
            markersize=3, linewidth=0.8, label="clDice",
        )  # fmt: skip
    axes.axvline(best, color=style.ink, linewidth=0.8)
    axes.plot([best], [analysis.best_dice], marker="*", markersize=10, color=style.ink, linestyle="")
    axes.set(title=f"largest Dice {analysis.best_dice:.3f} at {best:.2f}", xlabel="threshold")
    if current is not None:
        axes.axvline(current, color=style.ink, linewidth=0.8, linestyle=":", label=f"in use: {current:g}")
    _add_legend(axes, style)


def _draw_calibration(axes: Axes, analysis: ThresholdAnalysis, style: FigureStyle) -> None:
    calibration = analysis.calibration
    axes.plot([0, 1], [0, 1], color=style.ink, linewidth=0.8, linestyle=":", label="perfectly calibrated")
    filled = calibration.voxels > 0
    axes.plot(
        calibration.mean_probability[filled], calibration.vessel_share[filled], color=style.ink, marker="o",
        markersize=4, linewidth=1.4, label="this map",
    )  # fmt: skip
    # How many voxels stand behind each point, on a scale of its own: nearly all of a head are in the first bin.
    voxels = calibration.voxels.astype(float)
    heights = np.log10(voxels + 1) / np.log10(voxels.max() + 1) * 0.25
    axes.bar(
        (np.arange(len(voxels)) + 0.5) / len(voxels), heights, width=0.9 / len(voxels), color="0.5", alpha=0.4,
        label="voxels (log)",
    )  # fmt: skip
    error = calibration.vessel_expected_error
    axes.set(
        title="calibration" if np.isnan(error) else f"calibration: expected error {error:.3f} from 0.1 on",
        xlabel="mean probability",
        ylabel="share of vessel voxels",
    )
    _add_legend(axes, style)


def _add_legend(axes: Axes, style: FigureStyle) -> None:
    """Write the legend below the curves, which may run anywhere."""
    axes.legend(
        fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False, labelcolor=style.ink
    )
