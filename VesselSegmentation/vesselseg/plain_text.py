"""Values as text: counts, shares, and what files of CSV and JSON hold: neither infinite nor undefined numbers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def counted(number: int, what: str) -> str:
    """Say how many there are of something.

    Examples
    --------
    >>> counted(1, "voxel"), counted(2000, "voxel")
    ('1 voxel', '2,000 voxels')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def percent(part: int, whole: int) -> str:
    """Say which share something is of a whole that is not 0; only nothing is 0 %, and only everything is 100 %.

    Examples
    --------
    >>> percent(1, 3), percent(1, 1000), percent(999, 1000)
    ('33 %', 'less than 1 %', 'more than 99 %')
    """
    rounded = round(100 * part / whole)
    if rounded == 0 and part:
        return "less than 1 %"
    return "more than 99 %" if rounded == 100 and part < whole else f"{rounded} %"


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Return the text of a CSV file; infinite and undefined numbers stay empty."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(["" if _undefined(cell) else cell for cell in row] for row in rows)
    return text.getvalue()


def json_value(value: Any) -> Any:
    """Return a value, nested ones too, as JSON can hold it; infinite and undefined numbers become None.

    Parameters
    ----------
    value : Any
        Of mappings the keys become text; tuples and arrays become lists.
    """
    if isinstance(value, Mapping):
        return {str(key): json_value(each) for key, each in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return json_value(value.tolist())
    if isinstance(value, (list, tuple)):
        return [json_value(each) for each in value]
    return None if _undefined(value) else value


def _undefined(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and not math.isfinite(value)
