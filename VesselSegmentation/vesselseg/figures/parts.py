"""What all figures share: their style, the sheet with its panels, scale bars, sides and legends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.figures.rendering import VIEWS, Frame, View
from vesselseg.review.error_kinds import STANDARD_PALETTE, WITH_REFERENCE, Colour, Palette, Wording
from vesselseg.review.error_map import LegendEntry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

BACKGROUNDS: dict[str, Colour] = {"black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0)}
#: Of a label that is shown by itself: none of the colours that mean something.
LABEL_COLOUR: Colour = (0.85, 0.70, 0.48)
#: Width of a sheet in inches: two columns of a journal.
_SHEET_WIDTH = 7.2
_GAP, _TITLE, _COLUMN_TITLE, _LEGEND = 0.06, 0.30, 0.22, 0.30
#: Height of a panel as a share of its width, at most: two rows of them fit on a page.
_LARGEST_ASPECT = 1.6


@dataclass(frozen=True)
class FigureStyle:
    """How figures look.

    Parameters
    ----------
    palette : Palette
    wording : Wording
    background : str
        "black" or "white".
    view : View
        From where 3D renderings look.
    around : tuple of float, optional
        Where close-ups look, in mm, RAS; without it they find places by themselves.
    title : str
        Line above the figure.
    dpi : int
        Pixels an inch; a figure is 7.2 inches wide.
    """

    palette: Palette = STANDARD_PALETTE
    wording: Wording = WITH_REFERENCE
    background: str = "black"
    view: View = VIEWS["anterior"]
    around: Optional[tuple[float, float, float]] = None
    title: str = ""
    dpi: int = 300

    def __post_init__(self) -> None:
        if self.background not in BACKGROUNDS:
            raise VesselSegError(f"there is no background '{self.background}'", f"choose {' or '.join(BACKGROUNDS)}")
        if not 50 <= self.dpi <= 1200:
            raise VesselSegError(f"a figure cannot have {self.dpi} dpi", "give 50 to 1200")

    @property
    def paper(self) -> Colour:
        """Colour of the background."""
        return BACKGROUNDS[self.background]

    @property
    def ink(self) -> str:
        """Colour of what is written on it."""
        return "black" if self.background == "white" else "white"


class Sheet:
    """A figure of panels in rows and columns.

    Parameters
    ----------
    style : FigureStyle
    columns : sequence of str
        Titles of the columns; all are equally wide.
    aspects : sequence of float
        Height of each row's pictures as a share of their width.
    captions : sequence of str, optional
        One a row, written above its panels.
    legend_title : str
        Line above the legend.
    """

    def __init__(
        self,
        style: FigureStyle,
        columns: Sequence[str],
        aspects: Sequence[float],
        captions: Sequence[str] = (),
        legend_title: str = "",
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.style = style
        self.panel_width = (_SHEET_WIDTH - _GAP * (len(columns) + 1)) / len(columns)
        title, above = (_TITLE if style.title else 0.0), (_COLUMN_TITLE if captions else _GAP)
        heights = [self.panel_width * min(aspect, _LARGEST_ASPECT) for aspect in aspects]
        self._legend_title = legend_title
        below = _LEGEND + (_COLUMN_TITLE if legend_title else 0.0)
        self.height = title + _COLUMN_TITLE + sum(heights) + above * len(heights) + below
        self.figure: Figure = Figure(figsize=(_SHEET_WIDTH, self.height), dpi=style.dpi, facecolor=style.paper)
        FigureCanvasAgg(self.figure)
        self.panels: list[list[Axes]] = []
        top = self.height - title
        if title:
            self._write(_SHEET_WIDTH / 2, top + title / 2, style.title, size=10)
        top -= _COLUMN_TITLE
        for number, name in enumerate(columns):
            self._write(self._left(number) + self.panel_width / 2, top + _COLUMN_TITLE / 2, name, size=9)
        for row, height in enumerate(heights):
            top -= above
            if captions:
                self._write(_GAP, top + above / 2, captions[row], size=7.5, align="left")
            top -= height
            self.panels.append([self._panel(column, top, height) for column in range(len(columns))])

    def pixels(self, frame: Frame) -> int:
        """Return the width in pixels of a picture on a panel."""
        share = frame.width / (frame.width + 2 * _space_beside(frame))
        return max(round(share * self.panel_width * self.style.dpi), 1)

    def _left(self, column: int) -> float:
        return _GAP + column * (self.panel_width + _GAP)

    def _write(self, x: float, y: float, text: str, *, size: float, align: str = "center") -> None:
        self.figure.text(
            x / _SHEET_WIDTH, y / self.height, text, color=self.style.ink, fontsize=size, ha=align, va="center",
            parse_math=False,
        )  # fmt: skip

    def _panel(self, column: int, bottom: float, height: float) -> Axes:
        box = (
            self._left(column) / _SHEET_WIDTH, bottom / self.height,
            self.panel_width / _SHEET_WIDTH, height / self.height,
        )  # fmt: skip
        axes = self.figure.add_axes(box)
        axes.set_axis_off()
        return axes

    def add_legend(self, entries: Sequence[LegendEntry]) -> None:
        """Write the legend of an error map below the panels."""
        legend = self.figure.legend(
            handles=legend_handles(entries), loc="lower center", ncols=3, frameon=False, fontsize=7.5,
            labelcolor=self.style.ink, handletextpad=0.2, columnspacing=1.5, borderaxespad=0.2,
            title=self._legend_title, title_fontproperties={"size": 7.5},
        )  # fmt: skip
        legend.get_title().set_color(self.style.ink)
        plain_text(legend)


def plain_text(legend: Legend) -> None:
    """Take names in a legend as they are: a dollar sign does not begin a formula."""
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)


def legend_handles(entries: Sequence[LegendEntry]) -> list[object]:
    """Return a coloured square with its text for each entry of a legend."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], linestyle="", marker="s", markersize=7, color=entry.colour, label=entry.text)
        for entry in entries
    ]


def show_picture(axes: Axes, picture: NDArray[np.generic], frame: Frame, style: FigureStyle, sides: str) -> None:
    """Put a picture on a panel, with a scale bar and the names of the patient's sides.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The panel.
    picture : ndarray, shape (height, width, 3)
        The top row first.
    frame : Frame
        Its size in mm.
    style : FigureStyle
    sides : str
        Letters of the patient's sides at the left and at the right.
    """
    from matplotlib.patheffects import withStroke

    axes.imshow(picture, extent=(0, frame.width, 0, frame.height), interpolation="nearest", aspect="equal")
    # Legible on whatever lies behind.
    halo = [withStroke(linewidth=2.5, foreground=style.background)]
    beside = _space_beside(frame)
    left, width = -beside, frame.width + 2 * beside
    length = scale_bar_mm(width)
    x, y = left + 0.97 * width - length, 0.03 * frame.height
    axes.plot([x, x + length], [y, y], color=style.ink, linewidth=1.5, solid_capstyle="butt", path_effects=halo)
    for place, align, text in (
        ((x + length / 2, y + 0.03 * width), "center", f"{length:g} mm"),
        ((left + 0.02 * width, frame.height / 2), "left", sides[0]),
        ((left + 0.98 * width, frame.height / 2), "right", sides[1]),
    ):
        written = axes.text(*place, text, ha=align, va="center", color=style.ink, fontsize=6.5, path_effects=halo)
        written.set_snap(False)  # snapped to pixels, a letter of few may lose a stroke
    axes.set_xlim(left, left + width)
    axes.set_ylim(0, frame.height)


def _space_beside(frame: Frame) -> float:
    """Return how much is left free at both sides of a picture that is higher than panels are, in mm."""
    return max(frame.height / _LARGEST_ASPECT - frame.width, 0.0) / 2


def scale_bar_mm(width_mm: float) -> float:
    """Return a round length of about a fifth of a picture's width.

    Examples
    --------
    >>> scale_bar_mm(140.0), scale_bar_mm(24.0)
    (20, 5)
    """
    return max((n for n in (1, 2, 5, 10, 20, 50, 100) if n <= 0.25 * width_mm), default=1)


def sides_of(view: View) -> str:
    """Return the letters of the patient's sides at the left and at the right of a view."""
    right = view.axes[0]
    axis = int(np.argmax(np.abs(right)))
    letters = ("LR", "PA", "IS")[axis]
    return letters if right[axis] > 0 else letters[::-1]
