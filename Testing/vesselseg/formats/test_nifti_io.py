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
