"""Awkward grids and broken files, for every test that reads images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from vesselseg.geometry import Geometry
from vesselseg.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset


def rotation(x: float, y: float, z: float) -> np.ndarray:
    """Rotation matrix of three angles in degrees."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians([x, y, z])):
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


#: Grids that geometry goes wrong on: name -> (direction columns, spacing).
AWKWARD_GRIDS: dict[str, tuple[np.ndarray, tuple[float, float, float]]] = {
    "axial": (np.eye(3), (0.6, 0.6, 0.6)),
    "flipped x": (np.diag([-1.0, 1.0, 1.0]), (0.6, 0.6, 0.6)),
    "flipped x, y": (np.diag([-1.0, -1.0, 1.0]), (0.6, 0.6, 0.6)),
    "flipped z": (np.diag([1.0, 1.0, -1.0]), (0.55, 0.55, 0.7)),
    "oblique": (rotation(12, -8, 20), (0.6, 0.6, 0.6)),
    "anisotropic": (np.eye(3), (0.3, 0.4, 1.2)),
    "sagittal": (np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]), (0.6, 0.6, 0.8)),
    "coronal oblique flipped": (rotation(5, 9, -7) @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]), (0.5, 0.8, 0.6)),
}


def write_dicom(
    volume: Volume, folder: Path, *, leave_out: tuple[int, ...] = (), series: str = "1.2.826.0.1.1", **tags: object
) -> None:
    """Write a series slice by slice with pydicom, not with the library that we read with; tags by their keywords."""
    folder.mkdir(parents=True, exist_ok=True)
    geometry = volume.geometry
    for k in range(geometry.size[2]):
        if k in leave_out:
            continue
        data = _mr_object("1.2.840.10008.5.1.4.1.1.4", series, k + 1, volume, [k])
        data.PixelSpacing, data.SliceThickness = _spacing(geometry)
        data.ImagePositionPatient, data.ImageOrientationPatient = _position(geometry, k), _orientation(geometry)
        data.InstanceNumber = k + 1
        for keyword, value in tags.items():
            setattr(data, keyword, value)
        _save(data, folder / f"{series}_{k:03d}.dcm")


def write_enhanced_dicom(
    path: Path, volume: Volume, frames: Sequence[int] | None = None, *, directions: Sequence[str] | None = None
) -> None:
    """Write an enhanced (multi-frame) MR object with pydicom.

    `frames` are its slices in the order of the file, `directions` those of rows and columns if not the volume's.
    """
    from pydicom.dataset import Dataset

    def group(**values: object) -> list[Dataset]:
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        return [item]

    geometry = volume.geometry
    frames = range(geometry.size[2]) if frames is None else frames
    data = _mr_object("1.2.840.10008.5.1.4.1.1.4.1", "1.2.826.0.1.7", 1, volume, frames)
    data.NumberOfFrames = len(frames)
    spacing, thickness = _spacing(geometry)
    data.SharedFunctionalGroupsSequence = group(
        PixelMeasuresSequence=group(PixelSpacing=spacing, SliceThickness=thickness),
        PlaneOrientationSequence=group(ImageOrientationPatient=directions or _orientation(geometry)),
    )
    data.PerFrameFunctionalGroupsSequence = [
        group(PlanePositionSequence=group(ImagePositionPatient=_position(geometry, k)))[0] for k in frames
    ]
    _save(data, path)


def _mr_object(kind: str, series: str, number: int, volume: Volume, slices: Sequence[int]) -> FileDataset:
    """Make a DICOM object of a class, with the voxels of some slices, and without their places."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    data = FileDataset("", {}, file_meta=FileMetaDataset(), is_implicit_VR=False)
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = kind
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = f"{series}.{number}"
    data.SeriesInstanceUID, data.StudyInstanceUID, data.Modality = series, "1.2.826.0.1", "MR"
    data.Rows, data.Columns = volume.geometry.size[1], volume.geometry.size[0]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.PixelData = b"".join(volume.array[k].astype(np.uint16).tobytes() for k in slices)
    return data


def _save(data: FileDataset, path: Path) -> None:
    import pydicom

    # 3D Slicer has pydicom 2 up to its version 5.10.
    is_new = int(pydicom.__version__.split(".")[0]) >= 3
    data.save_as(path, **({"enforce_file_format": True} if is_new else {"write_like_original": False}))


def _spacing(geometry: Geometry) -> tuple[list[str], str]:
    x, y, z = (f"{value:.6g}" for value in geometry.spacing)
    return [y, x], z


def _orientation(geometry: Geometry) -> list[str]:
    return [f"{v:.10g}" for v in geometry.axes[:, :2].T.ravel()]


def _position(geometry: Geometry, k: int) -> list[str]:
    return [f"{v:.8g}" for v in (geometry.ijk_to_lps() @ [0, 0, k, 1])[:3]]


def make_bad_files(folder: Path) -> dict[str, Path]:
    """Write the broken inputs that a user may give; name -> path."""
    array = np.random.default_rng(0).integers(0, 200, (6, 8, 10)).astype(np.float32)
    bad = {
        name: folder / f"{name.replace(' ', '_')}.nii.gz"
        for name in ("text", "empty", "2D", "4D", "truncated", "cut header")
    }
    bad["text"].write_text("this is no image")
    bad["empty"].touch()
    sitk.WriteImage(sitk.GetImageFromArray(array[0]), str(bad["2D"]))
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(array)] * 3), str(bad["4D"]))
    sitk.WriteImage(sitk.GetImageFromArray(array), str(bad["truncated"]))
    bad["truncated"].write_bytes(bad["truncated"].read_bytes()[:400])
    bad["cut header"].write_bytes(bad["truncated"].read_bytes()[:100])
    bad["plain truncated"] = folder / "plain.nii"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(bad["plain truncated"]))
    bad["plain truncated"].write_bytes(bad["plain truncated"].read_bytes()[:1000])
    bad["truncated MHA"] = folder / "cut.mha"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(bad["truncated MHA"]))
    bad["truncated MHA"].write_bytes(bad["truncated MHA"].read_bytes()[:1000])
    bad["RGB"] = folder / "rgb.nrrd"
    colours = np.zeros((6, 8, 10, 3), np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(bad["RGB"]))
    bad["missing"] = folder / "missing.nii.gz"
    bad["no DICOM"] = folder / "folder"
    bad["no DICOM"].mkdir()
    (bad["no DICOM"] / "notes.txt").write_text("nothing here")
    return bad


BAD_INPUTS = {
    "text": "cannot be read as an image",
    "empty": "is empty",
    "2D": "2-dimensional",
    "4D": "series of 3 volumes",
    "truncated": "breaks off",
    "plain truncated": "breaks off",
    "cut header": "cannot be read as an image",
    "truncated MHA": "cannot be read as an image",
    "RGB": "3 values a voxel",
    "missing": "there is no file",
    "no DICOM": "no DICOM series",
}
