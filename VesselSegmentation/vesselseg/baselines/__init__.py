"""Segmentations without a network, by name, to see what a network is worth.

A new baseline is one file beside this one with a function decorated by `register`, and one line in `_MODULES` below.
They are imported only when asked for, so that an optional package is needed only then.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume

#: Name -> module that registers it.
_MODULES = {
    "threshold": "vesselseg.baselines.threshold",
    "frangi": "vesselseg.baselines.frangi",
    "graph-cut": "vesselseg.baselines.graph_cut",
}


class Segmenter(Protocol):
    """What a baseline does."""

    def __call__(self, scan: Volume, inside: NDArray[np.bool_], truth: NDArray[Any]) -> NDArray[np.bool_]:
        """Segment a scan.

        Parameters
        ----------
        scan : Volume
        inside : ndarray of bool, shape (Z, Y, X)
            Where vessels are looked for.
        truth : ndarray, shape (Z, Y, X)
            1 vessel, 0 none, `vesselseg.image_io.UNSURE` not counted. Only baselines whose `picks_on_truth` is
            set look at it.

        Returns
        -------
        ndarray of bool, shape (Z, Y, X)
        """


@dataclass(frozen=True)
class Baseline:
    """A segmentation without a network.

    Parameters
    ----------
    name : str
        By which it is asked for.
    title : str
        For people.
    picks_on_truth : bool
        Whether its threshold is the one that suits the truth best: more than any user can know.
    segment : callable
        See `Segmenter`.
    package, extra : str
        Optional package that it imports, and the extra of this distribution that brings it; empty where it needs none.
    """

    name: str
    title: str
    picks_on_truth: bool
    segment: Segmenter
    package: str = ""
    extra: str = ""


_baselines: dict[str, Baseline] = {}


def register(
    name: str, title: str, *, picks_on_truth: bool = False, package: str = "", extra: str = ""
) -> Callable[[Segmenter], Segmenter]:
    """Register the decorated function as the baseline `name`; see `Baseline` for the rest."""

    def decorate(segmenter: Segmenter) -> Segmenter:
        _baselines[name] = Baseline(name, title, picks_on_truth, segmenter, package, extra)
        return segmenter

    return decorate


def baseline_names() -> list[str]:
    """Return the names of all baselines, the simplest first; imports none."""
    return list(dict.fromkeys([*_MODULES, *_baselines]))


def find_baseline(name: str) -> Baseline:
    """Return a baseline.

    Raises
    ------
    VesselSegError
        If it is unknown, or if a package that it needs is not installed.
    """
    if name not in _baselines and name in _MODULES:
        importlib.import_module(_MODULES[name])
    if name not in _baselines:
        raise VesselSegError(f"there is no baseline '{name}'", f"known are {', '.join(baseline_names())}")
    baseline = _baselines[name]
    if baseline.package and importlib.util.find_spec(baseline.package) is None:
        # Known before the long work of the others.
        raise VesselSegError(
            f"the baseline '{name}' needs the package {baseline.package}, which is not installed",
            f"install it with 'pip install vesselseg[{baseline.extra}]'",
        )
    return baseline
