"""What all tests share: small scans on awkward grids, a tiny model, the folder of real data where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inputs import AWKWARD_GRIDS
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume

TINY_MODEL = "tiny"


@pytest.fixture(params=AWKWARD_GRIDS, ids=lambda name: name.replace(" ", "-").replace(",", ""))
def awkward_geometry(request: pytest.FixtureRequest) -> Geometry:
    """A small grid in one of the positions that programs get wrong."""
    direction, spacing = AWKWARD_GRIDS[request.param]
    return Geometry((40, 36, 28), spacing, (-31.5, 12.25, -80.0), tuple(direction.ravel()))


@pytest.fixture
def make_scan() -> Callable[..., Volume]:
    """Make a noisy scan with a head-like blob and two bright tubes, on a given grid."""

    def make(geometry: Geometry | None = None, seed: int = 0) -> Volume:
        geometry = geometry or Geometry((48, 44, 24), (0.6, 0.6, 0.6))
        generator = np.random.default_rng(seed)
        z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in geometry.shape), indexing="ij")
        array = 10 + 100.0 * (x**2 + y**2 + z**2 < 0.9)
        array += 130.0 * ((x - 0.2 * z) ** 2 + (y - 0.3) ** 2 < 0.02) + 130.0 * ((y + 0.3) ** 2 + (z - 0.1) ** 2 < 0.02)
        array += generator.normal(0, 5, array.shape)
        return Volume(np.clip(array, 0, 255).astype(np.float32), geometry)

    return make


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model `TINY_MODEL`: fixed random weights, a threshold that splits its probabilities."""
    torch = pytest.importorskip("torch")

    from vesselseg.models import Manifest, save_model
    from vesselseg.networks import build_network

    folder = tmp_path_factory.mktemp("models")
    options = {"channels": [4, 8, 16], "in_slices": 3, "norm": "batch"}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build_network("unet2d", **options)
        with torch.no_grad():
            # Wide enough a range that thresholds and differences mean something.
            network.get_parameter("head.weight").mul_(30)
    manifest = Manifest(
        name=TINY_MODEL,
        title="fixed random weights, for tests",
        architecture="unet2d",
        options=options,
        normalisation={"method": "foreground_median", "clip": 4.0},
        spacing_mm=(0.6, 0.6, 0.6),
        threshold=0.5,
        sha256="",
        licence="MIT",
    )
    save_model(network, manifest, folder)
    return folder


@pytest.fixture
def tiny_model(models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the tiny model known, to this process and to those it starts, and keep the user's own folder out of it."""
    monkeypatch.setenv("VESSELSEG_MODELS", str(models_folder))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return TINY_MODEL


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of real scans and artery trees; tests that need it are skipped where it is not there."""
    folder = os.environ.get("VESSELSEG_DATA")
    if not folder:
        pytest.skip("VESSELSEG_DATA does not name a folder with real data")
    if not (Path(folder) / "tof").is_dir():
        pytest.fail(f"VESSELSEG_DATA names {folder}, which has no folder 'tof'")
    return Path(folder)
