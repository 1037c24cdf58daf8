"""Figures with 3D renderings, after figures 4 to 8 of Livne et al. 2019 (doi:10.3389/fnins.2019.00097)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.figures.parts import LABEL_COLOUR, FigureStyle, Sheet, legend_handles, plain_text, show_picture, sides_of
from vesselseg.figures.projections import DRAWING_ORDER, grey
from vesselseg.figures.rendering import Frame, Part, frame_of, render
from vesselseg.morphology.calibre import CALIBRE_NAMES, CALIBRE_TITLES, calibre_classes, radii
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.morphology.thinning import thin
from vesselseg.resampling import AxialView
from vesselseg.review.error_kinds import WITH_REFERENCE, ErrorKind, wording_of_two
from vesselseg.review.error_map import legend
from vesselseg.volume import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: True positives are translucent, so that errors inside and behind them show.
_AGREEMENT_OPACITY = 0.5
_SLAB_MM = 10.0
#: The least height of a panel, as a share of its width, that has room for the legends of two methods.
_LEGENDS_ASPECT = 0.6
#: Half the width of a close-up of large and of small vessels, in mm.
_LARGE_MM, _SMALL_MM = 22.0, 12.0
#: Which kinds of an error map make up the reference, and the segmentation.
_Kinds = tuple[ErrorKind, ErrorKind]
_REFERENCE = (ErrorKind.TRUE_POSITIVE, ErrorKind.FALSE_NEGATIVE)
_SEGMENTATION = (ErrorKind.TRUE_POSITIVE, ErrorKind.FALSE_POSITIVE)


def overview(errors: Volume, scan: Volume | None, style: FigureStyle) -> Figure:
    """Draw reference, segmentation and error map side by side, in 3D and as a slab; see `error_maps.draw_figure`."""
    frame = frame_of(errors.array != 0, errors.geometry, style.view)
    slab = _Slab(errors, scan, style)
    behind = "" if scan is None else ", scan as maximum intensity projection"
    captions = ["3D", f"axial slab of {slab.thickness_mm:.0f} mm{behind}; {style.wording.order_note}"]
    aspects = [f.height / f.width for f in (frame, slab.frame)]
    columns = _columns(style)
    sheet = Sheet(style, [title for title, _ in columns], aspects, captions)
    _show_three(sheet, 0, errors, frame)
    for axes, (_, kinds) in zip(sheet.panels[1], columns):
        show_picture(axes, slab.picture(kinds), slab.frame, style, "RL")
    sheet.add_legend(legend(errors, wording=style.wording, palette=style.palette))
    return sheet.figure


def closeups(errors: Volume, scan: Volume | None, style: FigureStyle) -> Figure:
    """Draw the places with most large and with most small vessels, or a given place; see `error_maps.draw_figure`."""
    places = _closeup_places(errors) if style.around is None else [_given_place(errors, style.around)]
    if not places:
        return overview(errors, scan, style)
    captions = [f"{p.title}, around {', '.join(str(round(v)) for v in p.centre)} mm (RAS)" for p in places]
    columns = [title for title, _ in _columns(style)]
    sheet = Sheet(style, columns, [1.0] * len(places), captions, legend_title="in the whole scan")
    for row, place in enumerate(places):
        x, y, _ = style.view.axes @ np.asarray(place.centre)
        frame = Frame(float(x) - place.half_mm, float(y) - place.half_mm, 2 * place.half_mm, 2 * place.half_mm)
        _show_three(sheet, row, _cut_out(errors, place, style), frame)
    sheet.add_legend(legend(errors, wording=style.wording, palette=style.palette))
    return sheet.figure


def methods(errors: Volume, other: Volume, names: tuple[str, str], style: FigureStyle) -> Figure:
    """Draw the results of two methods and their error maps beside the reference; see `error_maps.draw_comparison`."""
    from matplotlib.lines import Line2D

    frame = frame_of((errors.array != 0) | (other.array != 0), errors.geometry, style.view)
    aspect = max(frame.height / frame.width, _LEGENDS_ASPECT)
    sheet = Sheet(style, [style.wording.second, *names], [aspect, aspect])
    _show(sheet, sheet.panels[0][0], frame, errors, _REFERENCE)
    for column, one in enumerate((errors, other), start=1):
        _show(sheet, sheet.panels[0][column], frame, one, _SEGMENTATION)
        _show(sheet, sheet.panels[1][column], frame, one, None)
    # The first panel of the second row has nothing to show: it holds both legends, as one, lest they overlap.
    handles: list[object] = []
    for name, one in zip(names, (errors, other)):
        # Names of two results are those of the first method and the reference.
        wording = style.wording if style.wording == WITH_REFERENCE else wording_of_two(name, style.wording.second)
        handles += [Line2D([], [], linestyle="", label=name)]
        handles += legend_handles(legend(one, wording=wording, palette=style.palette))
    box = sheet.panels[1][0].legend(
        handles=handles, loc="center left", bbox_to_anchor=(0.0, 0.5), frameon=False, fontsize=7, labelcolor=style.ink
    )
    plain_text(box)
    return sheet.figure


def _columns(style: FigureStyle) -> list[tuple[str, Optional[_Kinds]]]:
    """Return titles and what is shown below them: a label made of two kinds, or all kinds in their colours."""
    wording = style.wording
    labels = [(wording.first, _SEGMENTATION), (wording.second, _REFERENCE)]
    if wording == WITH_REFERENCE:  # as the paper does; two results are shown in the order of their names
        labels.reverse()
    return [*labels, (wording.map_title, None)]


def _show_three(sheet: Sheet, row: int, errors: Volume, frame: Frame) -> None:
    for axes, (_, kinds) in zip(sheet.panels[row], _columns(sheet.style)):
        _show(sheet, axes, frame, errors, kinds)


def _show(sheet: Sheet, axes: Axes, frame: Frame, errors: Volume, kinds: Optional[_Kinds]) -> None:
    """Render a label made of two kinds, or all kinds in their colours."""
    style = sheet.style
    if kinds is not None:
        parts = [Part(np.isin(errors.array, kinds), LABEL_COLOUR)]
    else:
        parts = [
            Part(errors.array == kind, style.palette.colour(kind), _AGREEMENT_OPACITY if kind == 1 else 1.0)
            for kind in ErrorKind
        ]
    picture = render(parts, errors.geometry, frame, view=style.view, width=sheet.pixels(frame), background=style.paper)
    show_picture(axes, picture, frame, style, sides_of(style.view))


class _Slab:
    """The axial slab with most vessels, the scan as a maximum intensity projection."""

    def __init__(self, errors: Volume, scan: Volume | None, style: FigureStyle) -> None:
        from scipy.ndimage import uniform_filter1d

        self._style = style
        view = AxialView.of(errors.geometry)
        axial = view.apply(errors)
        depth, height, width = axial.geometry.spacing_zyx
        count = max(min(round(_SLAB_MM / depth), axial.array.shape[0]), 1)
        self.thickness_mm = count * depth
        filled = np.count_nonzero(axial.array, axis=(1, 2)).astype(float)
        first = int(np.argmax(uniform_filter1d(filled, count, mode="constant"))) - count // 2
        first = min(max(first, 0), axial.array.shape[0] - count)
        _, rows, columns = bounding_box(axial.array != 0, margin=12) or (slice(None),) * 3
        self._errors = axial.array[first : first + count, rows, columns]
        self._scan: NDArray[np.float32] | None = None
        if scan is not None:
            turned = view.apply(scan).array
            self._scan = grey(turned[first : first + count, rows, columns].max(axis=0), turned)
        self.frame = Frame(0.0, 0.0, self._errors.shape[2] * width, self._errors.shape[1] * height)

    def picture(self, kinds: Optional[_Kinds]) -> NDArray[np.float64]:
        picture = np.full((*self._errors.shape[1:], 3), self._style.paper)
        if self._scan is not None:
            picture[:] = 0.7 * self._scan[..., None]
        if kinds is not None:
            picture[np.isin(self._errors, kinds).any(axis=0)] = LABEL_COLOUR
        else:
            for kind in DRAWING_ORDER:
                picture[(self._errors == kind).any(axis=0)] = self._style.palette.colour(kind)
        return picture


class _Place(NamedTuple):
    """Where a close-up looks: centre in RAS, half the width, both in mm."""

    title: str
    half_mm: float
    centre: tuple[float, float, float]


def _given_place(errors: Volume, around: tuple[float, float, float]) -> _Place:
    ijk = (np.linalg.inv(errors.geometry.ijk_to_ras()) @ [*around, 1.0])[:3]
    if np.any(ijk < -0.5) or np.any(ijk > np.array(errors.geometry.size) - 0.5):
        place = ", ".join(f"{value:g}" for value in around)
        raise VesselSegError(f"the place {place} mm lies outside the scan", "give one inside it, in mm, RAS")
    return _Place("close-up", _SMALL_MM, around)


def _closeup_places(errors: Volume) -> list[_Place]:
    """Find where most centreline of the largest and of the smallest calibre there is lies close together."""
    from scipy.spatial import cKDTree

    label = np.isin(errors.array, _REFERENCE)
    box = bounding_box(label)
    if box is None:
        label = errors.array != 0
        box = bounding_box(label)
    if box is None:
        return []
    label = np.ascontiguousarray(label[box])
    geometry = errors.geometry.cropped(box)
    points = np.argwhere(label)
    centreline = np.zeros(label.shape, bool)
    centreline[tuple(points[thin(points)].T)] = True
    classes = calibre_classes(radii(label, centreline, geometry.spacing_zyx))
    matrix = geometry.ijk_to_ras()
    positions = np.argwhere(centreline)[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]
    places = []
    for calibre, half_mm in ((classes.max(), _LARGE_MM), (classes.min(), _SMALL_MM)):
        chosen, others = (cKDTree(positions[mask]) for mask in (classes == calibre, classes != calibre))
        # Small vessels beside a large one would not be what is seen.
        score = chosen.query_ball_point(chosen.data, half_mm, return_length=True)
        score = score - others.query_ball_point(chosen.data, half_mm, return_length=True)
        densest = chosen.data[int(np.argmax(score))]
        x, y, z = (float(v) for v in chosen.data[chosen.query_ball_point(densest, half_mm)].mean(axis=0))
        places.append(_Place(f"{CALIBRE_NAMES[calibre]} vessels ({CALIBRE_TITLES[calibre]})", half_mm, (x, y, z)))
    return places


def _cut_out(errors: Volume, place: _Place, style: FigureStyle) -> Volume:
    """Keep what lies in a cube along the axes of the view."""
    points = np.argwhere(errors.array)
    matrix = errors.geometry.ijk_to_ras()
    positions = points[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]
    near = np.all(np.abs((positions - np.asarray(place.centre)) @ style.view.axes.T) <= place.half_mm, axis=1)
    kept = np.zeros_like(errors.array)
    inside = tuple(points[near].T)
    kept[inside] = errors.array[inside]
    return errors.with_array(kept)
