"""Values as text: counts, and what files of CSV and JSON hold, which know neither infinite nor undefined numbers."""

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
