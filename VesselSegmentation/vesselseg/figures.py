"""Pictures for people and papers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vesselseg.error_kinds import STANDARD_PALETTE, ErrorKind
from vesselseg.error_map import legend
from vesselseg.postprocessing import bounding_box
from vesselseg.resampling import AxialView
from vesselseg.volume import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Title, axis of the axial view (z, y, x) that is looked along, and whether from its far end.
_PROJECTIONS = (("axial", 0, False), ("coronal", 1, False), ("sagittal, from the left", 2, True))
#: Errors lie before agreement, so that nothing hides them.
_DRAWING_ORDER = (ErrorKind.TRUE_POSITIVE, ErrorKind.FALSE_POSITIVE, ErrorKind.FALSE_NEGATIVE)


def save_error_figure(path: Path, errors: Volume, *, scan: Volume | None = None, title: str = "") -> None:
    """Draw an error map in three projections, over maximum intensity projections of the scan where it is given.

    Parameters
    ----------
    path : pathlib.Path
        PNG, PDF or SVG to write.
    errors : Volume
        As `vesselseg.error_map.error_map` makes it.
    scan : Volume, optional
        On the same grid.
    title : str
        Line above the figure.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    view = AxialView.of(errors.geometry)
    axial = view.apply(errors)
    background = view.apply(scan).array if scan is not None else None
    box = bounding_box(axial.array != 0, margin=8)
    if box is not None:
        axial = Volume(axial.array[box], axial.geometry.cropped(box))
        background = background[box] if background is not None else None
    figure = Figure(figsize=(13.5, 5.4), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, axis, far) in zip(figure.subplots(1, 3), _PROJECTIONS):
        _draw_projection(axes, axial, background, axis, far)
        axes.set_title(name, color="white", fontsize=11)
    handles = [
        Line2D([], [], linestyle="", marker="s", markersize=9, color=entry.colour, label=entry.text)
        for entry in legend(errors)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=11, labelcolor="white")
    if title:
        figure.suptitle(title, color="white", fontsize=13)
    figure.savefig(path, dpi=150, facecolor="black")


def _draw_projection(axes: Axes, errors: Volume, background: NDArray[np.float32] | None, axis: int, far: bool) -> None:
    array = np.flip(errors.array, axis) if far else errors.array
    rows, columns = (errors.geometry.spacing_zyx[a] for a in range(3) if a != axis)
    picture = np.zeros((*(side for a, side in enumerate(array.shape) if a != axis), 3))
    if background is not None:
        projected = background.max(axis=axis)
        low, high = np.percentile(background, 20), np.percentile(projected, 99.5)
        picture[:] = 0.45 * np.clip((projected - low) / max(high - low, 1e-6), 0, 1)[..., None]
    for kind in _DRAWING_ORDER:
        hit = array == kind
        shown = hit.any(axis=axis)
        # Farther voxels are darker: it tells which of two vessels lies in front.
        shade = 1.0 - 0.5 * hit.argmax(axis=axis) / array.shape[axis]
        picture[shown] = (shade[..., None] * np.asarray(STANDARD_PALETTE.colour(kind)))[shown]
    # Axial views run from the head's right to its left and from front to back; upright ones have the head on top.
    upright = axis != 0
    axes.imshow(picture, origin="lower" if upright else "upper", aspect=rows / columns, interpolation="nearest")
    axes.set_axis_off()
