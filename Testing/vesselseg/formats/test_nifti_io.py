from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from inputs import AWKWARD_GRIDS, rotation
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_volume

ARRAY = np.ones((10, 8, 6), np.float32)


def _write(path: Path, qform: np.ndarray, sform: np.ndarray, codes: tuple[int, int]) -> None:
    header = nibabel.Nifti1Header()
    header.set_sform(sform, codes[1])
    header.set_qform(qform, codes[0])
    nibabel.save(nibabel.Nifti1Image(ARRAY, None, header), path)


def _affine(rotated: np.ndarray, spacing: tuple[float, float, float] = (0.5, 0.6, 0.8)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotated * spacing
    affine[:3, 3] = 10, 20, -30
    return affine


@pytest.mark.parametrize("codes", [(1, 1), (1, 2), (2, 1), (1, 4), (4, 1)])
@pytest.mark.parametrize(
    "turn",
    [np.diag([-1, 1, 1]), np.diag([1, 1, -1]), rotation(20, 0, 0)],
    ids=["flipped x", "flipped z", "turned"],
)
def test_forms_that_disagree_are_said_whichever_is_taken(
    turn: np.ndarray, codes: tuple[int, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _write(tmp_path / "scan.nii", _affine(np.eye(3)), _affine(turn), codes)
    geometry = read_volume(tmp_path / "scan.nii").geometry
    assert geometry.same_grid(Geometry.from_sitk(sitk.ReadImage(str(tmp_path / "scan.nii"))))
    assert "two positions (qform and sform)" in caplog.text


@pytest.mark.parametrize("grid", AWKWARD_GRIDS)
@pytest.mark.parametrize("codes", [(1, 1), (1, 0), (0, 1), (0, 0)])
def test_only_headers_that_say_nothing_are_spoken_of(
    codes: tuple[int, int], grid: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    affine = _affine(*AWKWARD_GRIDS[grid])
    _write(tmp_path / "scan.nii", affine, affine, codes)
    read_volume(tmp_path / "scan.nii")
    assert ("does not say how it lies in the patient" in caplog.text) == (codes == (0, 0))
    assert "two positions" not in caplog.text


@pytest.mark.parametrize("turn", [0, 0.03, 0.06, 0.1])
def test_rounded_quaternions_of_large_scans_are_no_second_position(
    turn: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In RAS these are nearly half a turn, where what is left to a unit quaternion is the root of a rounding error."""
    for tilt in range(-40, 41):
        image = sitk.Image((1024, 3, 2), sitk.sitkUInt8)
        image.SetSpacing((0.25, 0.25, 0.5))
        image.SetDirection(rotation(tilt, 0, turn).ravel().tolist())
        sitk.WriteImage(image, str(tmp_path / "scan.nii"))
        read_volume(tmp_path / "scan.nii")
        assert "two positions" not in caplog.text, tilt


def test_a_small_turn_between_the_forms_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = sitk.Image((1024, 3, 2), sitk.sitkUInt8)
    image.SetDirection(rotation(20, 0, 0).ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / "scan.nii"))
    written = nibabel.load(tmp_path / "scan.nii")
    turn = np.eye(4)
    turn[:3, :3] = rotation(0, 0, 0.1)
    written.set_qform(written.affine @ turn, 1)
    nibabel.save(written, tmp_path / "turned.nii")
    read_volume(tmp_path / "turned.nii")
    assert "two positions" in caplog.text
