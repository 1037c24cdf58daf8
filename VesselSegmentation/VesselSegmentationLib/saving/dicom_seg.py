"""Segments as a DICOM segmentation object that refers to the images from which the scan came."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg import __version__
from vesselseg.errors import VesselSegError
from vesselseg.formats.dicom_headers import NO_SCAN_MODALITY
from vesselseg.formats.dicom_slices import frame_places, slice_order
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume

_UIDS_ATTRIBUTE = "DICOM.instanceUIDs"
#: What DICOM says of slices is rounded: voxel centres may be off by this share of a voxel.
_TOLERANCE = 0.05
#: Slicer's terminology separates its fields, and those of a code, by these.
_FIELD, _PART = "~", "^"
#: Attributes that every image must have (type 2, empty if unknown), and that anonymisation at times removes.
_EMPTY_IF_MISSING = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)


@dataclass(frozen=True)
class DicomSegment:
    """One segment of the object.

    Parameters
    ----------
    name : str
    terminology : str
        3D Slicer's serialised terminology entry.
    color : tuple of float
        Red, green, blue in [0, 1].
    label : Volume
        On the grid of the scan.
    """

    name: str
    terminology: str
    color: tuple[float, float, float]
    label: Volume


def find_source_files(
    volume_node: Any,
    *,
    folder: str | os.PathLike[str] | None = None,
    file_of: Callable[[str], str] | None = None,
) -> list[Path]:
    """Return the DICOM files from which a scan came.

    Parameters
    ----------
    volume_node : vtkMRMLScalarVolumeNode
        3D Slicer notes the images of a scan that it loads from DICOM in an attribute of the node.
    folder : path-like, optional
        With the files, in it or below. What belongs to the scan is found by that attribute, or else by the grid.
    file_of : callable, optional
        Returns the file of an image by its SOP instance UID, as ``slicer.dicomDatabase.fileForInstance`` does.

    Raises
    ------
    VesselSegError
        If they are not found, or several series may be meant.
    """
    uids = (volume_node.GetAttribute(_UIDS_ATTRIBUTE) or "").split()
    if uids and file_of is not None:
        files = [Path(name) for name in (file_of(uid) for uid in uids) if name]
        if len(files) == len(uids) and all(path.is_file() for path in files):
            return files
    if folder is not None:
        series = _series_in(Path(folder))
        by_uid = {uid: path for paths in series.values() for uid, path in paths.items()}
        if uids and all(uid in by_uid for uid in uids):
            return [by_uid[uid] for uid in uids]
        from VesselSegmentationLib.scene.volume_nodes import volume_geometry

        grid = volume_geometry(volume_node)
        fitting = [files for files in (list(paths.values()) for paths in series.values()) if _fits(files, grid)]
        if len(fitting) > 1:
            names = ", ".join(sorted(_series_name(files[0]) for files in fitting))
            raise VesselSegError(
                f"several DICOM series lie where '{volume_node.GetName()}' does: {names}",
                "give the folder of the one from which the scan came",
            )
        if fitting:
            return fitting[0]
    raise VesselSegError(
        f"the DICOM images of '{volume_node.GetName()}' are not known",
        "load the scan through 3D Slicer's DICOM database, or save as NIfTI or .seg.nrrd",
    )


def write_dicom_seg(
    path: Path,
    segments: Sequence[DicomSegment],
    source_files: Iterable[str | os.PathLike[str]],
    *,
    reader: str = "",
    run: Mapping[str, Any] | None = None,
) -> None:
    """Write segments to a place that `vesselseg.output_files.atomic_output` gave.

    Parameters
    ----------
    path : pathlib.Path
    segments : sequence of DicomSegment
        At least one; all on one grid.
    source_files : iterable of path-like
        The images from which the scan came: one slice each, or all slices in one enhanced (multi-frame) object.
    reader : str
        Who signs.
    run : mapping, optional
        What the automatic run reported, as `run_record.recorded_summary` returns it.

    Raises
    ------
    VesselSegError
        If highdicom is not installed, the images are not those of the scan, or they lack what an object needs.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise VesselSegError(
            "DICOM segmentations need the package highdicom",
            "install it: pip install highdicom (in 3D Slicer: pip_install('highdicom'); 5.10 then gets pydicom 3, too)",
        )
    import highdicom
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian

    sources, order, grid = _sources(source_files)
    labels = [_on_slices(segment.label, grid) for segment in segments]
    filled = np.flatnonzero(np.any([label.any(axis=(1, 2)) for label in labels], axis=0))
    if not filled.size:
        raise VesselSegError("all segments are empty", "segment the scan or draw vessels first")
    if len(sources) == len(order):
        chosen, planes = [sources[order[index]] for index in filled], filled
    else:
        # Of one object, every frame has to be told of, in the order of the file.
        chosen, planes = sources, np.argsort(order)
    for image in chosen:
        for keyword in _EMPTY_IF_MISSING:
            if keyword not in image:
                setattr(image, keyword, "")
        if image.get("SliceThickness") is None:
            image.SliceThickness = round(grid.spacing[2], 4)  # which highdicom needs, to write and to read
    try:
        item = highdicom.seg.Segmentation(
            source_images=chosen,
            pixel_array=_frames(labels, planes),
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_description(n + 1, each, run) for n, each in enumerate(segments)],
            series_instance_uid=highdicom.UID(),
            series_number=300,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="VesselSegmentation contributors",
            manufacturer_model_name="vesselseg",
            software_versions=__version__,
            device_serial_number="0",
            content_label="VESSELS",
            content_description="Vessels, corrected by a reader",
            content_creator_name=_person_name(reader),
            series_description="Vessel segmentation",
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
    except (AttributeError, ValueError, TypeError, KeyError) as error:
        raise VesselSegError(
            f"the DICOM images cannot be referred to: {error}", "export them again, with all their attributes"
        ) from error
    # 3D Slicer has pydicom 2 up to its version 5.10.
    whole = "enforce_file_format" if int(pydicom.__version__.split(".")[0]) >= 3 else "write_like_original"
    item.save_as(path, **{whole: whole == "enforce_file_format"})


def _person_name(name: str) -> str | None:
    """Return a name as DICOM writes it; one without components counts as the family name."""
    name = " ".join(name.replace("\\", " ").replace("=", " ").split())[:63]
    return (name if "^" in name else f"{name}^") if name else None


def _series_in(folder: Path) -> dict[str, dict[str, Path]]:
    """Return the files of each series in a folder, by their SOP instance UIDs; without results of scans."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    tags = ["SOPInstanceUID", "SeriesInstanceUID", "Modality"]
    series: dict[str, dict[str, Path]] = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        try:
            image = dcmread(path, stop_before_pixels=True, specific_tags=tags)
            if NO_SCAN_MODALITY.fullmatch(str(image.get("Modality") or "")):
                continue
            series.setdefault(str(image.SeriesInstanceUID), {})[str(image.SOPInstanceUID)] = path
        except (InvalidDicomError, AttributeError, OSError):
            continue  # other files may lie beside them
    return series


def _fits(files: list[Path], grid: Geometry) -> bool:
    try:
        _permutation(grid, _sources(files)[2])
    except VesselSegError:
        return False
    return True


def _series_name(path: Path) -> str:
    from pydicom import dcmread

    image = dcmread(path, stop_before_pixels=True, specific_tags=["SeriesDescription", "SpecificCharacterSet"])
    return f"{image.get('SeriesDescription') or 'without a description'} in {path.parent}"


def _sources(files: Iterable[str | os.PathLike[str]]) -> tuple[list[Any], NDArray[np.intp], Geometry]:
    """Read the headers of images; returns them, the order of their slices, and the grid that these make up."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        images = [dcmread(path, stop_before_pixels=True) for path in files]
        if not images:
            raise VesselSegError("no DICOM images are given", "name the folder with the images of the scan")
        for image in images:
            # What is written takes it from them: it must have every letter, and be one that highdicom knows.
            _remove_unreadable(image)
            image.decode()
            image.SpecificCharacterSet = "ISO_IR 192"
        first = images[0]
        rows, columns = int(first.Rows), int(first.Columns)
        if any(int(image.get("NumberOfFrames") or 1) > 1 for image in images):
            if len(images) > 1:
                raise VesselSegError(
                    "the scan came as several enhanced DICOM objects", "save the segmentation as NIfTI or .seg.nrrd"
                )
            positions, plane = frame_places(first, int(first.NumberOfFrames), where="the DICOM image of the scan")
        else:
            positions = np.array([[float(value) for value in image.ImagePositionPatient] for image in images])
            plane = np.array([float(value) for value in (*first.ImageOrientationPatient, *first.PixelSpacing)])
        row, column, (row_spacing, column_spacing) = plane[:3], plane[3:6], plane[6:].tolist()
    except (InvalidDicomError, OSError, AttributeError, ValueError, TypeError, LookupError) as error:
        raise VesselSegError(
            f"the DICOM images of the scan cannot be read: {error}", "export the series again"
        ) from error
    normal = np.cross(row, column)
    if len(positions) > 1:
        order, step = slice_order(positions, normal, where="the DICOM images of the scan")
    else:
        order, step = np.zeros(1, np.intp), float(first.get("SliceThickness") or 1.0)
    x, y, z = (float(value) for value in positions[order[0]])
    grid = Geometry(
        (columns, rows, len(positions)),
        (column_spacing, row_spacing, step),
        (x, y, z),
        tuple(float(value) for value in np.stack([row, column, normal], axis=1).ravel()),
    )
    return images, order, grid


def _remove_unreadable(dataset: Any) -> None:
    """Remove elements that pydicom cannot read: most are of no use here, and those that are will be missed by name."""
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except Exception:  # pydicom raises all kinds where an element is damaged
            del dataset[tag]
            continue
        if element.VR == "SQ":
            for item in element.value or []:
                _remove_unreadable(item)


def _permutation(grid: Geometry, slices: Geometry) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how axes of a grid follow those of slices, and the offset.

    Raises a `VesselSegError` if their voxels do not coincide.
    """
    matrix = np.linalg.inv(slices.ijk_to_lps()) @ grid.ijk_to_lps()
    turned, offset = np.round(matrix[:3, :3]).astype(int), np.round(matrix[:3, 3]).astype(int)
    corners = grid.corners()
    exact = np.eye(4)
    exact[:3, :3], exact[:3, 3] = turned, offset
    places = (exact @ corners)[:3]
    inside = places.min() >= 0 and np.all(places.max(axis=1) < np.asarray(slices.size))
    if not inside or np.abs((matrix - exact) @ corners).max() > _TOLERANCE or abs(round(np.linalg.det(turned))) != 1:
        raise VesselSegError(
            "the segmentation does not lie on the grid of the DICOM images", "choose the series of this scan"
        )
    return turned, offset


def _on_slices(label: Volume, slices: Geometry) -> NDArray[np.bool_]:
    """Bring a label to the order of slices, rows and columns; every voxel keeps its place in the patient."""
    turned, offset = _permutation(label.geometry, slices)
    result = np.zeros(slices.shape, bool)
    ijk = np.argwhere(label.array != 0)[:, ::-1] @ turned.T + offset
    result[ijk[:, 2], ijk[:, 1], ijk[:, 0]] = True
    return result


def _frames(labels: Sequence[NDArray[np.bool_]], planes: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return slices of segments: numbers where no segments overlap, which takes less memory, else layers."""
    parts = [label[planes] for label in labels]
    numbered = np.zeros(parts[0].shape, np.uint8)
    for number, part in enumerate(parts, start=1):
        if np.any(numbered[part]):
            return np.stack(parts, axis=-1).astype(np.uint8)
        numbered[part] = number
    return numbered


def _description(number: int, segment: DicomSegment, run: Mapping[str, Any] | None) -> Any:
    import highdicom
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes
    from skimage.color import rgb2lab

    fields = [_code(part) for part in segment.terminology.split(_FIELD)] + [None] * 7
    category = fields[1] or CodedConcept("85756007", "SCT", "Tissue")
    kind = fields[2] or CodedConcept("59820001", "SCT", "Blood vessel")
    model = str((run or {}).get("model") or "")
    algorithm = None
    if model:
        algorithm = highdicom.AlgorithmIdentificationSequence(
            name=model, family=codes.DCM.ArtificialIntelligence, version=__version__, source="vesselseg"
        )
    values = highdicom.seg.SegmentAlgorithmTypeValues
    description = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.name[:64],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=values.SEMIAUTOMATIC if algorithm is not None else values.MANUAL,
        algorithm_identification=algorithm,
        tracking_uid=highdicom.UID(),
        tracking_id=segment.name[:64],
        anatomic_regions=None if fields[5] is None else [fields[5]],
    )
    if fields[3] is not None:
        kinds = description.SegmentedPropertyTypeCodeSequence[0]
        kinds.SegmentedPropertyTypeModifierCodeSequence = [fields[3]]
    if fields[5] is not None and fields[6] is not None:
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [fields[6]]
    lightness, a, b = (float(value) for value in rgb2lab(np.asarray(segment.color, dtype=float)))
    color = highdicom.color.CIELabColor(lightness, a, b)
    description.RecommendedDisplayCIELabValue = list(color.value)
    return description


def _code(text: str) -> Any:
    """Return a coded concept of one field of a terminology entry; None if it is empty or no code."""
    from highdicom.sr import CodedConcept

    parts = text.split(_PART)
    return CodedConcept(parts[1], parts[0], parts[2]) if len(parts) == 3 and all(parts) else None
