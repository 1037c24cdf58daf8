"""A report as a PDF file, A4, set with matplotlib."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.reports.report import DISCLAIMER, Picture, Report, Table

if TYPE_CHECKING:
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

#: A4 and its margins, in inches.
_WIDTH, _HEIGHT, _MARGIN = 8.27, 11.69, 0.8
_LINE = 0.175
#: Characters of 8 points that fit into an inch.
_CHARACTERS = 17.0


def write_report_pdf(report: Report, path: Path) -> None:
    """Write a report as PDF.

    Parameters
    ----------
    report : Report
    path : pathlib.Path
        The file to write.
    """
    from matplotlib.backends.backend_pdf import PdfPages

    # No date and no author: the same report gives the same file, and tells no more than it says.
    metadata = {"Title": report.title, "Creator": "vesselseg", "CreationDate": None}
    with PdfPages(path, metadata=metadata) as pages:
        sheet = _Pages(pages)
        sheet.text(report.title, size=16, height=0.34)
        sheet.text(DISCLAIMER, colour="0.35")
        for section in report.sections:
            first = section.blocks[0] if section.blocks else None
            sheet.heading(section.title, _picture_size(first)[1] if isinstance(first, Picture) else 8 * _LINE)
            for block in section.blocks:
                if isinstance(block, Picture):
                    sheet.picture(block)
                else:
                    sheet.table(block)
        sheet.close()


def _pixels(picture: Picture) -> NDArray[np.float32]:
    from matplotlib.image import imread

    return imread(io.BytesIO(picture.png), format="png")


def _picture_size(picture: Picture) -> tuple[float, float]:
    """Return width and height in inches: as wide as the text, unless that is too high for a page."""
    high, wide = _pixels(picture).shape[:2]
    width = min(_WIDTH - 2 * _MARGIN, (_HEIGHT - 2 * _MARGIN - 6 * _LINE) * wide / high)
    return width, width * high / wide


class _Pages:
    """Fills pages from top to bottom."""

    def __init__(self, pages: PdfPages) -> None:
        self._pages = pages
        self._figure: Figure | None = None
        self._number = 0
        self._y = 0.0

    def close(self) -> None:
        if self._figure is not None:
            self._number += 1
            self._write(_WIDTH / 2, _MARGIN / 2, str(self._number), colour="0.35", ha="center")
            self._pages.savefig(self._figure)
            self._figure = None

    def heading(self, title: str, following: float) -> None:
        """Write a heading, on the page where there is room for what follows."""
        self._need(0.45 + 2 * _LINE + following)
        self._y -= 0.15
        self.text(title, size=12, height=0.28)
        self._rule("0.7")

    def text(self, text: str, *, size: float = 8, height: float = _LINE, colour: str = "black") -> None:
        lines = textwrap.wrap(text, round((_WIDTH - 2 * _MARGIN) * _CHARACTERS * 8 / size)) or [""]
        for line in lines:
            self._need(height)
            self._y -= height
            self._write(_MARGIN, self._y + 0.05, line, size=size, colour=colour)

    def table(self, table: Table) -> None:
        if table.header:
            self._need(3 * _LINE)
            self._header(table)
        for cells in table.rows:
            self._row(cells, table)
        if table.note:
            self.text(table.note, colour="0.35")
        self._y -= 0.12

    def picture(self, picture: Picture) -> None:
        pixels = _pixels(picture)
        width, height = _picture_size(picture)
        self._need(height + 2 * _LINE)
        self._y -= height
        axes = self._page().add_axes((_MARGIN / _WIDTH, self._y / _HEIGHT, width / _WIDTH, height / _HEIGHT))
        axes.imshow(pixels, interpolation="none", aspect="auto")
        axes.set_axis_off()
        self.text(picture.caption, colour="0.35")
        self._y -= 0.12

    def _header(self, table: Table) -> None:
        self._row(table.header, table, weight="bold")
        self._rule("0.4")

    def _row(self, cells: Sequence[str], table: Table, weight: str = "normal") -> None:
        width = _WIDTH - 2 * _MARGIN
        wrapped = [
            textwrap.wrap(str(cell), max(int(share * width * _CHARACTERS), 1)) or [""]
            for cell, share in zip(cells, table.widths)
        ]
        height = _LINE * max(len(lines) for lines in wrapped)
        if self._need(height) and table.header and cells is not table.header:
            self._header(table)  # once more, on a new page
        left = _MARGIN
        for column, (lines, share) in enumerate(zip(wrapped, table.widths)):
            right_aligned = bool(table.header) and column > 0
            x = left + share * width if right_aligned else left
            for number, line in enumerate(lines):
                y = self._y - (number + 1) * _LINE + 0.05
                self._write(x, y, line, ha="right" if right_aligned else "left", weight=weight)
            left += share * width
        self._y -= height

    def _need(self, height: float) -> bool:
        """Begin a new page where there is no room; tell whether there was none on the last one."""
        full = self._figure is not None and self._y - height < _MARGIN
        if full:
            self.close()
        self._page()
        return full

    def _page(self) -> Figure:
        if self._figure is None:
            from matplotlib.figure import Figure

            self._figure = Figure(figsize=(_WIDTH, _HEIGHT), facecolor="white", dpi=200)
            self._y = _HEIGHT - _MARGIN
        return self._figure

    def _rule(self, colour: str) -> None:
        from matplotlib.lines import Line2D

        x, y = (_MARGIN / _WIDTH, 1 - _MARGIN / _WIDTH), (self._y / _HEIGHT,) * 2
        self._page().add_artist(Line2D(x, y, color=colour, linewidth=0.5))

    def _write(self, x: float, y: float, text: str, *, size: float = 8, colour: str = "black", **options: Any) -> None:
        self._page().text(
            x / _WIDTH, y / _HEIGHT, text, fontsize=size, color=colour, va="baseline", parse_math=False, **options
        )
