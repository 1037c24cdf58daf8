"""What a run measured, as a table and as a picture."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from vesselseg.output_files import atomic_output

#: Column -> name and colour of its curve; losses to the left, shares to the right.
_LOSSES = {"loss": ("training", "#0072B2"), "validation_loss": ("validation", "#D55E00")}
_SHARES = {
    "dice": ("Dice", "#000000"),
    "precision": ("precision", "#009E73"),
    "sensitivity": ("sensitivity", "#CC79A7"),
}


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the measurements of a run as CSV, one row a validation."""
    with atomic_output(path, overwrite=True) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def draw_curves(path: Path, rows: list[dict[str, Any]], *, title: str, best_step: int | None = None) -> None:
    """Draw the measurements of a run as PNG.

    Parameters
    ----------
    path : pathlib.Path
    rows : list of dict
        As `write_table` takes them.
    title : str
    best_step : int, optional
        Marked: the step whose weights are the model.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = [curves for curves in (_LOSSES, _SHARES) if any(name in rows[0] for name in curves)]
    figure = Figure(figsize=(3.8 * len(kinds), 3.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    steps = [row["step"] for row in rows]
    for axes, curves in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds):
        for name, (label, colour) in curves.items():
            if name in rows[0]:
                axes.plot(steps, [row[name] for row in rows], color=colour, linewidth=1.4, marker=".", label=label)
        if best_step is not None:
            axes.axvline(best_step, color="0.4", linewidth=0.8, linestyle=":", label="model")
        axes.set(xlabel="step", title="loss" if curves is _LOSSES else "validation patches")
        axes.set_ylim(bottom=0, top=None if curves is _LOSSES else 1)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.5", alpha=0.25, linewidth=0.5)
        axes.legend(fontsize=7, frameon=False)
        for text in (axes.title, axes.xaxis.label):
            text.set_fontsize(8)
    figure.suptitle(title, fontsize=9, parse_math=False)
    with atomic_output(path, overwrite=True) as temporary:
        figure.savefig(temporary, metadata={"Software": None})
