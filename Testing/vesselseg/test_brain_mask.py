from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from overlap import dice
from vesselseg.brain_mask import brain_mask, dilated
from vesselseg.brain_network import COARSE, FINE, BrainNetwork, run_brain_network
from vesselseg.engines.interface import DeviceOutOfMemoryError
from vesselseg.engines.openvino_engine import OpenVinoEngine
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, read_volume
from vesselseg.resampling import resample
from vesselseg.volume import Volume

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.load.*:DeprecationWarning")

HEADS = ("MNI_0590", "MNI_0591", "MNI_0592", "MNI_0640", "MNI_0643", "MNI_0656")


def drawn_head(shape: tuple[int, int, int] = (80, 96, 96)) -> Volume:
    """A bright ball in a darker, larger one, with texture; voxels of 2 mm."""
    z, y, x = (
        np.linspace(-1.2, 1.2, n)[tuple(slice(None) if a == i else None for a in range(3))] for i, n in enumerate(shape)
    )
    radius = np.sqrt((z - 0.1) ** 2 + y**2 + (1.2 * x) ** 2)
    array = np.where(radius < 0.7, 200.0, np.where(radius < 0.8, 20.0, np.where(radius < 0.95, 90.0, 5.0)))
    array += np.random.default_rng(3).normal(0, 10, shape)
    return Volume(array.astype(np.float32), Geometry((shape[2], shape[1], shape[0]), (2.0, 2.0, 2.0)))


def samples(side: int) -> np.ndarray:
    head = drawn_head((side, side, side)).array
    return ((head - head.mean()) / head.std() * 0.226 + 0.449).astype(np.float32)


def deepbet_mask(scan: Volume) -> np.ndarray:
    """What deepbet itself finds."""
    import nibabel
    from deepbet.bet import BrainExtraction

    image = nibabel.Nifti1Image(scan.array.transpose(2, 1, 0), scan.geometry.ijk_to_ras())
    _, mask, _ = BrainExtraction(no_gpu=True).run(image)
    return np.asarray(mask.dataobj).transpose(2, 1, 0) > 0


@pytest.fixture(scope="module")
def head() -> Volume:
    return drawn_head()


@pytest.fixture(scope="module")
def brain(head: Volume) -> Volume:
    return brain_mask(head)


@pytest.mark.parametrize(
    ("network", "tolerance"),
    [(COARSE, 1e-5), pytest.param(FINE, 0.005, marks=pytest.mark.slow)],
    ids=["coarse", "fine"],
)
def test_openvino_and_torch_find_the_same(
    network: BrainNetwork, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    cube = samples(network.side)
    found = run_brain_network(network, cube)
    assert found.shape == cube.shape
    assert found.dtype == bool
    assert 0.02 < found.mean() < 0.8
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert (run_brain_network(network, cube) != found).mean() < tolerance


def test_same_mask_as_deepbet(head: Volume, brain: Volume) -> None:
    assert brain.array.dtype == np.uint8
    assert brain.geometry == head.geometry
    assert dice(brain.array > 0, deepbet_mask(head)) > 0.99


def test_orientation_changes_nothing(head: Volume, brain: Volume) -> None:
    turned = Volume.from_sitk(sitk.DICOMOrient(head.to_sitk(), "PIR"))
    again = sitk.GetArrayFromImage(sitk.DICOMOrient(brain_mask(turned).to_sitk(), "LPS"))
    np.testing.assert_array_equal(again, brain.array)


def test_brain_is_one_piece_without_holes(brain: Volume) -> None:
    found = sitk.GetImageFromArray(brain.array)
    assert sitk.GetArrayFromImage(sitk.ConnectedComponent(found, True)).max() == 1
    assert sitk.GetArrayFromImage(sitk.ConnectedComponent(found == 0)).max() == 1


def test_values_that_are_not_numbers_count_as_nothing(head: Volume, brain: Volume) -> None:
    array = head.array.copy()
    array[0, :3, :3] = np.nan
    again = brain_mask(head.with_array(array)).array
    assert dice(again > 0, brain.array > 0) > 0.99
    assert np.isnan(array[0, :3, :3]).all()  # the caller's voxels are left as they were


@pytest.mark.parametrize("kind", ["small noise", "noise", "constant", "one point", "not numbers"])
def test_no_brain_is_an_error(kind: str) -> None:
    array = np.full((60, 128, 128), 7, np.float32)
    if kind == "small noise":
        array = np.random.default_rng(0).random((32, 32, 32), dtype=np.float32)
    elif kind == "noise":
        array = np.random.default_rng(0).random((100, 128, 128), dtype=np.float32)
    elif kind == "one point":
        array[30, 64, 64] = 100
    elif kind == "not numbers":
        array[:] = np.nan
    z, y, x = array.shape
    with pytest.raises(VesselSegError, match="no brain"):
        brain_mask(Volume(array, Geometry((x, y, z), (1.0, 1.0, 1.0))))


def test_deepbet_not_installed(head: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepbet", None)
    with pytest.raises(VesselSegError, match="deepbet, which is not installed") as error:
        brain_mask(head)
    assert "brain mask none" in error.value.advice


def test_other_networks_are_refused(head: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deepbet").mkdir()
    (tmp_path / "deepbet" / "__init__.py").touch()
    (tmp_path / "data" / "models").mkdir(parents=True)
    (tmp_path / "data" / "models" / "bbox_model.pt").write_bytes(b"other weights")
    monkeypatch.delitem(sys.modules, "deepbet", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(VesselSegError, match=r"deepbet 1\.0\.2"):
        brain_mask(head)


def test_short_memory_is_a_named_error(head: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")

    def fail(self: OpenVinoEngine, inputs: object) -> None:
        raise DeviceOutOfMemoryError("the memory does not suffice")

    monkeypatch.setattr(OpenVinoEngine, "run", fail)
    with pytest.raises(VesselSegError, match="memory"):
        brain_mask(head)


def test_neither_torch_nor_deepbet_is_imported(head: Volume, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    np.save(tmp_path / "head.npy", head.array)
    code = f"""
        import sys
        for name in ("torch", "nibabel", "pandas", "cc3d"):
            sys.modules[name] = None
        import numpy as np
        from vesselseg.brain_mask import brain_mask
        from vesselseg.geometry import Geometry
        from vesselseg.volume import Volume
        scan = Volume(np.load({str(tmp_path / "head.npy")!r}), Geometry((96, 96, 80), (2.0, 2.0, 2.0)))
        assert brain_mask(scan).array.any()
        assert "deepbet" not in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_same_mask_as_deepbet_in_real_heads(name: str, data_folder: Path) -> None:
    path = data_folder / "tof" / f"{name}_tof.nii.gz"
    if not path.is_file():
        pytest.skip(f"VESSELSEG_DATA has no {path.name}")
    scan = read_volume(path)
    assert dice(brain_mask(scan).array > 0, deepbet_mask(scan)) > 0.999


@pytest.mark.slow
def test_same_mask_as_deepbet_in_odd_scans(data_folder: Path) -> None:
    scan = read_volume(data_folder / "tof" / "MNI_0643_tof.nii.gz")
    slab = (slice(100, 160), slice(0, scan.array.shape[1]), slice(0, scan.array.shape[2]))
    anisotropic = resample(scan, scan.geometry.resampled((0.8, 0.8, 2.0)))
    for odd in (Volume(scan.array[slab], scan.geometry.cropped(slab)), anisotropic):
        assert dice(brain_mask(odd).array > 0, deepbet_mask(odd)) > 0.997


@pytest.mark.slow
def test_labelled_vessels_lie_in_the_dilated_mask(data_folder: Path) -> None:
    scan = read_volume(data_folder / "tof" / "MNI_0656_tof.nii.gz")
    vessels = read_label(data_folder / "tof" / "MNI_0656_label.nii.gz").array > 0
    ours = dilated(brain_mask(scan)).array > 0
    theirs = dilated(scan.with_array(deepbet_mask(scan).astype(np.uint8))).array > 0
    assert ours[vessels].mean() >= theirs[vessels].mean() - 0.0005
