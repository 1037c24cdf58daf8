"""What happens to a scan before the network sees it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError

#: Normalisation methods a manifest may name.
NORMALISATIONS = ("foreground_median", "zscore")

#: Of the histogram in which the head is told from the air.
_BINS = 256


def foreground_threshold(array: NDArray[np.floating]) -> float:
    """Return the intensity that separates the head from air (Otsu's threshold).

    Parameters
    ----------
    array : ndarray, shape (Z, Y, X)
        A TOF scan, any units.

    Returns
    -------
    float

    Raises
    ------
    VesselSegError
        If the intensities lie too close together to be told apart.

    References
    ----------
    Otsu N. A threshold selection method from gray-level histograms. IEEE Trans Syst Man Cybern 1979;9:62-66.
    doi:10.1109/TSMC.1979.4310076
    """
    sample = array[::2, ::2, ::2] if min(array.shape) >= 16 else array
    # A few very bright vessel voxels would take most of the histogram's bins.
    sample = np.minimum(sample, np.percentile(sample, 99.5))
    if sample.min() == sample.max():
        return float(sample.flat[0])
    # What skimage.filters.threshold_otsu does, to the bit, as the models were trained with it: it takes a third of a
    # second to be imported, before the first slice can be computed.
    try:
        counts, edges = np.histogram(sample, bins=_BINS)
    except ValueError as error:  # bins narrower than the steps between numbers of this size
        raise VesselSegError(
            "the scan has next to no contrast", "check that it is a TOF-MRA scan; if an offset was added, take it off"
        ) from error
    counts, centres = counts.astype(np.float32), (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centres) / below
    mean_above = (np.cumsum((counts * centres)[::-1]) / above[::-1])[::-1]
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(centres[np.argmax(between)])


def normalise(
    array: NDArray[np.floating], normalisation: dict, box: tuple[slice, slice, slice] | None = None
) -> NDArray[np.float32]:
    """Bring the intensities of a scan to the range that a model was trained on.

    Parameters
    ----------
    array : ndarray, shape (Z, Y, X)
        A whole TOF scan, any units. Statistics are taken from it before any cropping or masking, so that the result
        depends neither on the brain mask nor on a chosen region.
    normalisation : dict
        As in a model's manifest. ``{"method": "foreground_median", "clip": 4.0}`` divides by the median of the head,
        so that brain tissue lies near 1; ``{"method": "zscore", "mean": m, "std": s}`` is the paper's: a mean and a
        standard deviation over all training patches.
    box : tuple of slice, optional
        Along z, y, x: the part that is returned; the default is all of it.

    Returns
    -------
    ndarray, float32
        Of the shape of the scan or of the box, in memory of its own.

    Raises
    ------
    VesselSegError
        If the scan has no contrast or the method is unknown.
    """
    method = normalisation.get("method")
    array = np.asarray(array, dtype=np.float32)
    part = array if box is None else array[box]
    if method == "foreground_median":
        scale = _median_above(foreground_threshold(array), array)
        if scale <= 0:
            raise VesselSegError(
                "the head in the scan has no positive signal",
                "check that it is a TOF-MRA scan; if its values are negative, add an offset that brings air near 0",
            )
        clip = float(normalisation.get("clip", 4.0))
        values = part / np.float32(scale)
        return np.clip(values, np.float32(0.0), np.float32(clip), out=values)
    if method == "zscore":
        try:
            mean, std = np.float32(normalisation["mean"]), np.float32(normalisation["std"])
        except (KeyError, TypeError, ValueError) as error:
            raise VesselSegError(
                f"the normalisation in the model's manifest lacks {error}", "import it again"
            ) from error
        return (part - mean) / std
    raise VesselSegError(f"unknown normalisation '{method}' in the model's manifest", f"known are {NORMALISATIONS}")


def _median_above(threshold: float, array: NDArray[np.float32]) -> float:
    """Return the median of the values above a threshold; 0 if there is none."""
    # Slice by slice: large memory that was not used before costs more than the work. Sorting at one place only takes a
    # fifth of what NumPy's median does.
    values = np.concatenate([each[each > threshold] for each in array])
    if values.size == 0:
        return 0.0
    middle = values.size // 2
    values.partition(middle)
    if values.size % 2 == 1:
        return float(values[middle])
    return float(np.mean([values[:middle].max(), values[middle]], dtype=np.float32))
