"""The renderer that models are judged with: its geometry, on a small grid."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vesselseg.geometry import Geometry
from vesselseg.volume import Volume


@pytest.fixture(scope="module")
def renderer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("other_renderer", Path(__file__).with_name("other_renderer.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["other_renderer"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_a_tube_has_its_volume_and_radius(renderer: ModuleType) -> None:
    geometry = Geometry((30, 30, 40), (0.5, 0.5, 0.6), (-3.0, 2.0, 7.0))
    z = np.arange(10.0, 28.0, 0.05)
    points = np.column_stack([np.full_like(z, 4.1), np.full_like(z, 9.3), z])
    lumen = renderer.draw_lumen(points, np.full_like(z, 1.4), geometry)
    middle = lumen.occupancy[15:20]
    area = middle.sum() * 0.25 / 5
    assert area == pytest.approx(np.pi * 1.4**2, rel=0.03)
    assert np.allclose(lumen.radius[lumen.label], 1.4, atol=1e-5)
    assert np.array_equal(lumen.label[15:20], middle >= 0.5)


def test_a_thin_branch_leaves_a_wide_vessel_whole(renderer: ModuleType) -> None:
    geometry = Geometry((40, 40, 40), (0.5, 0.5, 0.5))
    along = np.arange(2.0, 18.0, 0.05)
    wide = np.column_stack([along, np.full_like(along, 10.0), np.full_like(along, 10.0)])
    branch = np.arange(10.0, 18.0, 0.05)
    thin = np.column_stack([np.full_like(branch, 10.0), branch, np.full_like(branch, 10.0)])
    alone = renderer.draw_lumen(wide, np.full(len(wide), 2.0), geometry)
    both = renderer.draw_lumen(
        np.concatenate([wide, thin]), np.concatenate([np.full(len(wide), 2.0), np.full(len(thin), 0.3)]), geometry
    )
    assert (both.occupancy >= alone.occupancy - 1e-6).all()
    assert both.label[20, 30, 20]  # a vessel thinner than a voxel keeps its centreline
    assert both.radius[20, 30, 20] == pytest.approx(0.3)


def test_vessels_of_the_head_are_erased_and_drawn_ones_stand_out(renderer: ModuleType) -> None:
    rng = np.random.default_rng(1)
    geometry = Geometry((48, 48, 48), (0.6, 0.6, 0.6))
    image = rng.normal(100, 6, geometry.shape).astype(np.float32)
    image[:, 20:24, 20:24] = 250
    brain = Volume(np.ones(geometry.shape, np.uint8), geometry)
    background = renderer.without_vessels(Volume(image, geometry), brain, rng)
    assert background[:, 20:24, 20:24].mean() == pytest.approx(100, abs=5)
    z = np.arange(3.0, 25.0, 0.05)
    points = np.column_stack([np.full_like(z, 20.0), np.full_like(z, 20.0), z])
    lumen = renderer.draw_lumen(points, np.full_like(z, 1.0), geometry)
    scan = renderer.scanned(background, lumen, brain, "clear", rng)
    assert scan.dtype == np.uint8
    inside = lumen.occupancy > 0.99
    assert 1.6 * np.median(scan) < scan[inside].mean()
