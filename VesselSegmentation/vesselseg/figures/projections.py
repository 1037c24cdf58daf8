"""The error map in three projections: a figure that needs no 3D rendering."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vesselseg.figures.parts import FigureStyle, Sheet, show_picture
from vesselseg.figures.rendering import Frame
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.resampling import AxialView
from vesselseg.review.error_kinds import ErrorKind
from vesselseg.review.error_map import legend
from vesselseg.volume import Volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Title, axis of the axial view (z, y, x) that is looked along, whether from its far end, sides at left and right.
_PROJECTIONS = (("axial", 0, False, "RL"), ("coronal", 1, False, "RL"), ("sagittal, from the left", 2, True, "AP"))
#: Errors lie before agreement, so that nothing hides them.
DRAWING_ORDER = (ErrorKind.TRUE_POSITIVE, ErrorKind.FALSE_POSITIVE, ErrorKind.FALSE_NEGATIVE)


def projections(errors: Volume, scan: Volume | None, style: FigureStyle) -> Figure:
    """Draw an error map in three projections, over those of the scan, if given; see `error_maps.draw_figure`."""
    view = AxialView.of(errors.geometry)
    axial = view.apply(errors)
    background = view.apply(scan).array if scan is not None else None
    box = bounding_box(axial.array != 0, margin=8)
    if box is not None:
        axial = Volume(axial.array[box], axial.geometry.cropped(box))
        background = background[box] if background is not None else None
    frames = [_frame(axial, axis) for _, axis, _, _ in _PROJECTIONS]
    behind = "" if scan is None else "scan as maximum intensity projection; "
    titles, aspect = [name for name, *_ in _PROJECTIONS], max(f.height / f.width for f in frames)
    sheet = Sheet(style, titles, [aspect], [f"{behind}{style.wording.order_note}"])
    for axes, frame, (_, axis, far, sides) in zip(sheet.panels[0], frames, _PROJECTIONS):
        show_picture(axes, _picture(axial, background, axis, far, style), frame, style, sides)
    sheet.add_legend(legend(errors, wording=style.wording, palette=style.palette))
    return sheet.figure


def _frame(volume: Volume, axis: int) -> Frame:
    height, width = (
        n * s for a, (n, s) in enumerate(zip(volume.array.shape, volume.geometry.spacing_zyx)) if a != axis
    )
    return Frame(0.0, 0.0, float(width), float(height))


def _picture(
    errors: Volume, background: NDArray[np.float32] | None, axis: int, far: bool, style: FigureStyle
) -> NDArray[np.float64]:
    array = np.flip(errors.array, axis) if far else errors.array
    picture = np.full((*(side for a, side in enumerate(array.shape) if a != axis), 3), style.paper)
    if background is not None:
        picture[:] = 0.45 * grey(background.max(axis=axis), background)[..., None]
    for kind in DRAWING_ORDER:
        hit = array == kind
        shown = hit.any(axis=axis)
        # Farther voxels are darker: it tells which of two vessels lies in front. Not much: else one colour looks like
        # another.
        shade = 1.0 - 0.3 * hit.argmax(axis=axis) / array.shape[axis]
        picture[shown] = (shade[..., None] * np.asarray(style.palette.colour(kind)))[shown]
    # Axial views run from the head's right to its left and from front to back; upright ones have the head on top.
    return picture if axis == 0 else picture[::-1]


def grey(picture: NDArray[np.float32], scan: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a projection of a scan as grey values in [0, 1]: tissue dark, vessels bright."""
    low, high = float(np.percentile(scan[::2, ::2, ::2], 20)), float(np.percentile(picture, 99.5))
    return np.clip((picture - low) / max(high - low, 1e-6), 0, 1)
