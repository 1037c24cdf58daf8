"""Pictures of error maps for people and papers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vesselseg.errors import VesselSegError
from vesselseg.figures.parts import FigureStyle
from vesselseg.figures.projections import projections
from vesselseg.figures.surfaces import closeups, methods, overview
from vesselseg.volume import Volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Kinds of figures; all but the last need VTK.
FIGURES = {"overview": overview, "closeups": closeups, "projections": projections}
FIGURE_SUFFIXES = (".png", ".pdf", ".svg")


def check_figure_kind(kind: str) -> None:
    """Refuse a kind of figure that there is not."""
    if kind not in FIGURES:
        raise VesselSegError(f"there is no figure '{kind}'", f"choose {', '.join(FIGURES)}")


def draw_figure(errors: Volume, *, kind: str = "overview", scan: Volume | None = None, style: FigureStyle) -> Figure:
    """Draw an error map.

    Parameters
    ----------
    errors : Volume
        As `vesselseg.review.error_map.error_map` makes it.
    kind : {"overview", "closeups", "projections"}
        Reference, segmentation and error map side by side, in 3D and in an axial slab; the same in 3D where most large
        and where most small vessels are; or the error map in three projections, which needs no 3D rendering.
    scan : Volume, optional
        On the same grid, to be drawn behind slab and projections.
    style : FigureStyle

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    VesselSegError
        If there is no such kind, or nothing to render in 3D with.
    """
    check_figure_kind(kind)
    return FIGURES[kind](errors, scan, style)


def draw_comparison(errors: Volume, other: Volume, *, names: tuple[str, str], style: FigureStyle) -> Figure:
    """Draw the results and error maps of two methods beside their common reference, in 3D.

    Parameters
    ----------
    errors, other : Volume
        Error maps of both on one grid, by the same reference.
    names : tuple of str
        Of the methods.
    style : FigureStyle

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    VesselSegError
        If there is nothing to render in 3D with.
    """
    return methods(errors, other, names, style)


def check_figure_name(path: str) -> None:
    """Refuse the name of a figure whose ending is none of `FIGURE_SUFFIXES`."""
    if Path(path).suffix.lower() not in FIGURE_SUFFIXES:
        raise VesselSegError(f"{path} is not the name of a figure", f"use {', '.join(FIGURE_SUFFIXES)}")


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, PDF or SVG, at its own resolution."""
    import matplotlib

    metadata = _NO_DATE.get(path.suffix.lower())
    with matplotlib.rc_context({"svg.hashsalt": "vesselseg"}):  # else the names of parts are drawn by lot
        figure.savefig(path, dpi=figure.dpi, facecolor=figure.get_facecolor(), metadata=metadata)


#: The same input gives the same file.
_NO_DATE = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
