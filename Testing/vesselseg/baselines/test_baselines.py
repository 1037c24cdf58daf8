"""Baselines on scans small enough to know the answer."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from overlap import dice
from vesselseg.baselines import baseline_names, find_baseline
from vesselseg.baselines.frangi import vesselness
from vesselseg.baselines.threshold import best_threshold
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import UNSURE
from vesselseg.volume import Volume

HAS_MAXFLOW = importlib.util.find_spec("maxflow") is not None
needs_maxflow = pytest.mark.skipif(not HAS_MAXFLOW, reason="PyMaxflow (GPL) is not installed")


def tube_scan(noise: float = 8.0) -> tuple[Volume, np.ndarray]:
    """A straight tube of 1 mm radius on tissue, beside a bright plate; and where the tube is."""
    geometry = Geometry((40, 36, 32), (0.5, 0.5, 0.6))
    _, y, x = (np.arange(n) * s for n, s in zip(geometry.shape, geometry.spacing_zyx))
    tube = np.broadcast_to((y[:, None] - 9) ** 2 + (x - 6) ** 2 <= 1.0, geometry.shape)
    array = np.random.default_rng(0).normal(100, noise, geometry.shape)
    array[tube] += 120
    array[:, :, 30:34] += 120
    return Volume(array.astype(np.float32), geometry), tube


def test_the_best_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(4)
    values = rng.integers(0, 12, (6, 7, 8)).astype(np.float32)
    truth = (values + rng.normal(0, 3, values.shape) > 7).astype(np.uint8)
    truth[0] = UNSURE
    inside = rng.random(values.shape) < 0.8
    counted = inside & (truth != UNSURE)
    tried = {t: dice((values >= t) & counted, (truth == 1) & counted) for t in range(12)}
    assert best_threshold(values, inside, truth) == max(tried, key=tried.__getitem__)


def test_no_threshold_without_a_vessel() -> None:
    with pytest.raises(VesselSegError, match="no vessel"):
        best_threshold(np.ones((2, 2, 2)), np.ones((2, 2, 2), bool), np.full((2, 2, 2), UNSURE))


def test_vesselness_prefers_tubes_to_plates_and_agrees_with_scikit_image() -> None:
    from skimage.filters import frangi

    scan, tube = tube_scan(noise=0.5)
    inside = np.ones(tube.shape, bool)
    inside[:, :, 36:] = False
    values = vesselness(scan, inside, scales_mm=(0.6, 1.0))
    assert values.min() >= 0
    assert not values[~inside].any()
    plate = values[8:-8, 8:-8, 31:33]
    core = tube[8:-8].copy()
    assert values[8:-8][core].mean() > 5 * plate.mean()
    # Theirs knows no spacing and counts in voxels; where the tubes are, both say alike.
    theirs = frangi(scan.array, sigmas=(1.2, 2.0), black_ridges=False, mode="nearest")
    middle = (slice(8, -8), slice(8, -8), slice(2, 24))
    assert np.corrcoef(values[middle].ravel(), theirs[middle].ravel())[0, 1] > 0.8


def test_vesselness_of_too_few_slices_is_refused() -> None:
    scan = Volume(np.ones((3, 20, 20), np.float32), Geometry((20, 20, 3), (0.5, 0.5, 0.5)))
    with pytest.raises(VesselSegError, match="4 voxels along every axis"):
        vesselness(scan, np.ones(scan.array.shape, bool))


@pytest.mark.parametrize("name", ["threshold", "frangi", pytest.param("graph-cut", marks=needs_maxflow)])
def test_every_baseline_finds_the_tube(name: str) -> None:
    scan, tube = tube_scan()
    inside = np.ones(tube.shape, bool)
    inside[:, :, 26:] = False
    found = find_baseline(name).segment(scan, inside, tube.astype(np.uint8))
    assert not found[~inside].any()
    assert dice(found[2:-2], tube[2:-2]) > 0.9


@needs_maxflow
def test_the_graph_cut_fills_what_noise_tore() -> None:
    scan, tube = tube_scan(noise=20.0)
    inside = np.ones(tube.shape, bool)
    inside[:, :, 26:] = False
    truth = tube.astype(np.uint8)
    found = find_baseline("graph-cut").segment(scan, inside, truth)
    by_threshold = inside & (scan.array >= 100 + 3 * 20)
    assert dice(found, tube & inside) > dice(by_threshold, tube & inside)


@pytest.mark.skipif(HAS_MAXFLOW, reason="PyMaxflow is installed")
def test_the_graph_cut_says_what_it_lacks() -> None:
    with pytest.raises(VesselSegError, match="maxflow") as caught:
        find_baseline("graph-cut")
    assert "vesselseg[graphcut]" in caught.value.advice


def test_unknown_baselines_are_refused_by_name() -> None:
    assert baseline_names()[0] == "threshold"
    with pytest.raises(VesselSegError, match="'otsu'"):
        find_baseline("otsu")
