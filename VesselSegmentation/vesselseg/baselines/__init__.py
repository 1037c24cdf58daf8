"""Segmentations without a network, by name, to see what a network is worth.

A new baseline is one file beside this one and one line in `_BASELINES` below. They are imported only when used, so that
an optional package is needed only then.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume


@dataclass(frozen=True)
class Baseline:
    """A segmentation without a network.

    Parameters
    ----------
    name : str
        By which it is asked for.
    title : str
        For people.
    function : str
        Where its `segment` is: "module:name".
    picks_on_truth : bool
        Whether its threshold is the one that suits the truth best: more than any user can know.
    package, extra : str
        Optional package that it imports, and the extra of this distribution that brings it; empty where it needs none.
    """

    name: str
    title: str
    function: str
    picks_on_truth: bool = False
    package: str = ""
    extra: str = ""

    def segment(self, scan: Volume, inside: NDArray[np.bool_], truth: NDArray[Any]) -> NDArray[np.bool_]:
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
        module, _, name = self.function.partition(":")
        found: NDArray[np.bool_] = getattr(importlib.import_module(module), name)(scan, inside, truth)
        return found


#: By name, the simplest first.
_BASELINES = {
    baseline.name: baseline
    for baseline in (
        Baseline(
            "threshold", "best threshold", "vesselseg.baselines.threshold:segment_by_threshold", picks_on_truth=True
        ),
        Baseline(
            "frangi", "multi-scale Frangi", "vesselseg.baselines.frangi:segment_by_vesselness", picks_on_truth=True
        ),
        Baseline(
            "graph-cut",
            "graph cut",
            "vesselseg.baselines.graph_cut:segment_by_graph_cut",
            package="maxflow",
            extra="graphcut",
        ),
    )
}


def baseline_names() -> list[str]:
    """Return the names of all baselines, the simplest first; imports none."""
    return list(_BASELINES)


def find_baseline(name: str) -> Baseline:
    """Return a baseline.

    Raises
    ------
    VesselSegError
        If it is unknown, or if a package that it needs is not installed.
    """
    if name not in _BASELINES:
        raise VesselSegError(f"there is no baseline '{name}'", f"known are {', '.join(baseline_names())}")
    baseline = _BASELINES[name]
    if baseline.package and importlib.util.find_spec(baseline.package) is None:
        # Known before the long work of the others.
        raise VesselSegError(
            f"the baseline '{name}' needs the package {baseline.package}, which is not installed",
            f"install it with 'pip install vesselseg[{baseline.extra}]'",
        )
    return baseline
