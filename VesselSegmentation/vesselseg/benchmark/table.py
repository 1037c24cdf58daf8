"""Benchmarks as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from vesselseg.benchmark.figures import Row
from vesselseg.benchmark.measuring import Event
from vesselseg.benchmark.timing import Timing

_NONE = "-"
_DIFFERENCES = (
    "diff.: largest difference of the probability. torch eager sees the whole scan, this program what lies around the\n"
    "brain; torch-f32 is this program with torch, which sees the same as its other engines (--only torch)."
)


def rows_text(rows: Sequence[Row], baseline: str) -> str:
    """Return the table of the programs for a terminal; below it what did not run, and why, and what columns tell.

    Parameters
    ----------
    rows : sequence of Row
    baseline : str
        What the column with the ratios is held against.

    Returns
    -------
    str
    """
    head = [
        "", "precision", "s a slice", "network s", "total s", "start s", "first part s", "memory MB", "% of peak",
        f"times {baseline}", "diff. eager", "Dice", "diff. torch-f32", "Dice", "others %",
    ]  # fmt: skip
    lines = [[row.name, *_cells(row)] for row in rows if not row.not_run]
    missing = [f"{row.name}: not run: {row.not_run}" for row in rows if row.not_run]
    return "\n".join([aligned([head, *lines]), *missing, *(["", _DIFFERENCES] if lines else [])])


def _cells(row: Row) -> list[str]:
    faster = _NONE
    if row.faster is not None:
        middle, least, most = row.faster
        faster = f"{middle:.2f} ({least:.2f} to {most:.2f})"
    return [
        " ".join(filter(None, (row.engine, row.precision))) or _NONE,
        _number(row.seconds_a_slice, ".4f"),
        _number(row.network_s, ".2f"),
        _number(row.total_s, ".2f"),
        _number(row.import_s, ".2f"),
        _number(row.first_part_s, ".2f"),
        _number(None if row.peak_bytes is None else row.peak_bytes / 1e6, ".0f"),
        _number(None if row.share_of_peak is None else 100 * row.share_of_peak, ".1f"),
        faster,
        _number(row.largest_difference, ".1e"),
        _number(row.dice, ".5f"),
        _number(row.engine_difference, ".1e"),
        _number(row.engine_dice, ".5f"),
        _number(None if row.others is None else 100 * row.others, ".0f"),
    ]


def peaks_text(peaks: dict[str, Event]) -> str:
    """Return what the machine reaches, on one line for every precision."""
    lines = []
    for precision, peak in peaks.items():
        channels, rows, columns = peak["level"]
        lines.append(
            f"peak {precision}: {peak['flops'] / 1e9:.0f} GFLOP/s "
            f"(3 x 3 convolutions, {channels} channels of {rows} x {columns}, {peak['library']})"
        )
    return "\n".join(lines)


def timings_text(timings: Sequence[Timing]) -> str:
    """Return a table of timings for a terminal; below it what was skipped, and why."""
    lines = [["", "median s", "least s", "most s", "limit s", ""]]
    for timing in (t for t in timings if not t.skipped):
        verdict = _NONE if timing.passed is None else "pass" if timing.passed else "FAIL"
        lines.append(
            [
                timing.name,
                _number(timing.median, ".3f"),
                _number(min(timing.seconds), ".3f"),
                _number(max(timing.seconds), ".3f"),
                _number(timing.limit_s, ".2f"),
                verdict,
            ]
        )
    skipped = [f"{timing.name}: skipped: {timing.skipped}" for timing in timings if timing.skipped]
    return "\n".join([aligned(lines), *skipped])


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """Return lines of texts under each other: the first column to the left, the others to the right."""
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    return "\n".join(
        "  ".join(f"{cell:<{w}}" if k == 0 else f"{cell:>{w}}" for k, (cell, w) in enumerate(zip(line, widths)))
        .rstrip()
        for line in cells
    )  # fmt: skip


def _number(value: float | None, form: str) -> str:
    return _NONE if value is None else f"{value:{form}}"
