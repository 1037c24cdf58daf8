"""Telling labels from scans and probability maps by the values of their voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError

#: Images with so few different values, in a sample of so many voxels, are labels, however they look.
_MANY_VALUES, _SAMPLE = 16, 100_000


def has_few_values(array: NDArray[Any]) -> bool:
    """Tell whether voxels other than 0 have as few different values as those of labels.

    Parameters
    ----------
    array : numpy.ndarray
        Any shape; of large ones a sample is looked at.

    Examples
    --------
    >>> has_few_values(np.arange(10)), has_few_values(np.arange(100))
    (True, False)
    """
    marked = array[array != 0]
    return np.unique(marked[:: max(marked.size // _SAMPLE, 1)]).size <= _MANY_VALUES


def looks_like_label(array: NDArray[Any]) -> bool:
    """Tell whether an image that was given as a scan seems to be a label: few different values, all whole.

    Parameters
    ----------
    array : numpy.ndarray
        Any shape.

    Examples
    --------
    >>> looks_like_label(np.array([0.0, 1.0, 2.0])), looks_like_label(np.array([0.0, 0.5, 1.0]))
    (True, False)
    """
    return has_few_values(array) and np.array_equal(array, np.round(array))


def check_label(array: NDArray[Any], name: str) -> None:
    """Refuse what is no label, such as a scan or a probability map.

    Parameters
    ----------
    array : numpy.ndarray, shape (Z, Y, X)
    name : str
        What it is called in the error.

    Raises
    ------
    VesselSegError
        If the voxels are no whole numbers, or most of them differ from their neighbours.
    """
    if not np.issubdtype(array.dtype, np.integer) and not np.array_equal(array, np.round(array)):
        raise VesselSegError(
            f"{name} is not a label: its voxels are not whole numbers", "threshold a probability map before you use it"
        )
    if _differs_from_voxel_to_voxel(array):
        raise VesselSegError(
            f"{name} is not a label: most of its voxels differ from their neighbours, as those of a scan do",
            "give a segmentation, or a mask of 0 and 1; threshold a probability map before you use it",
        )


def _differs_from_voxel_to_voxel(array: NDArray[Any]) -> bool:
    """Tell a scan or a probability map in whole numbers from the labels of any number of structures."""
    if has_few_values(array):
        return False
    before, after = array[..., :-1], array[..., 1:]
    inside = (before != 0) & (after != 0)
    return bool(np.count_nonzero(inside & (before != after)) > np.count_nonzero(inside) / 2)
