"""The corrected label as files that a reader signs: label, surfaces, what was edited, the automatic result beside."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import slicer

from vesselseg.errors import VesselSegError
from vesselseg.image_io import atomic_output, check_outputs, image_suffix, write_image
from vesselseg.volume import Volume
from VesselSegmentationLib.autosave import saved_segments
from VesselSegmentationLib.edit_arteries import ArteryEditor
from VesselSegmentationLib.edit_dicom_seg import DicomSegment, find_source_files, write_dicom_seg
from VesselSegmentationLib.edit_log import log_document
from VesselSegmentationLib.edit_original import original_kind, original_label
from VesselSegmentationLib.edit_seg_nrrd import write_seg_nrrd
from VesselSegmentationLib.edit_surfaces import LPS, SURFACE_SUFFIXES, write_surface
from VesselSegmentationLib.edit_target import EditTarget
from VesselSegmentationLib.node_geometry import matrix_between
from VesselSegmentationLib.run_record import recorded_summary
from VesselSegmentationLib.segmentation_nodes import segment_tag

_SEG_NRRD, _DICOM = ".seg.nrrd", ".dcm"


@dataclass(frozen=True)
class SignedOutput:
    """What has been written.

    Parameters
    ----------
    files : tuple of pathlib.Path
        Corrected label and surfaces, as they were asked for.
    log : pathlib.Path
        What was edited.
    automatic : pathlib.Path or None
        The label before the first edit; None if there were no edits, or it was not kept.
    """

    files: tuple[Path, ...]
    log: Path
    automatic: Path | None


def export_signed(
    target: EditTarget,
    paths: Sequence[str | os.PathLike[str]],
    *,
    reader: str,
    overwrite: bool = False,
    coordinates: str = LPS,
    dicom_folder: str | os.PathLike[str] | None = None,
    file_of: Callable[[str], str] | None = None,
) -> SignedOutput:
    """Write the corrected label, the log of its edits and the automatic result, all of them or none.

    Everything is in the coordinates of the scan, as they were in its file: parent transforms are left aside. Label
    images and surfaces hold the segment that is edited together with all named arteries; .seg.nrrd and DICOM hold each
    as a segment of its own. Log and automatic result lie beside the first file, named after it.

    Parameters
    ----------
    target : EditTarget
    paths : sequence of path-like
        One or more, ending in .nii.gz, .nii, .nrrd, .mha (label 0 and 1), .seg.nrrd, .dcm (DICOM segmentation), .stl,
        .obj or .ply (surfaces).
    reader : str
        Who signs.
    overwrite : bool
        Whether existing files may be replaced.
    coordinates : str
        Of surfaces: "LPS", as 3D Slicer writes them, or "RAS". The files say which.
    dicom_folder, file_of
        Where the images of the scan are; see `edit_dicom_seg.find_source_files`.

    Returns
    -------
    SignedOutput

    Raises
    ------
    VesselSegError
        If a file exists or cannot be written, its ending is unknown, or a DICOM segmentation cannot be made.
    """
    if not paths:
        raise VesselSegError("no file is named", "name one, for example vessels.nii.gz")
    files = [Path(path) for path in paths]
    stem, suffix = _split(files[0])
    label = ArteryEditor(target).whole_label()
    automatic = original_label(target.node, target.volume_node)
    log_path = files[0].with_name(f"{stem}_edits.json")
    automatic_path = files[0].with_name(f"{stem}_automatic{suffix if _is_image(suffix) else '.nii.gz'}")
    every = [*files, log_path, *([automatic_path] if automatic is not None else [])]
    check_outputs(every, overwrite=overwrite)
    sources = []
    if any(_split(path)[1] == _DICOM for path in files):
        sources = find_source_files(target.volume_node, folder=dicom_folder, file_of=file_of)
    with contextlib.ExitStack() as stack:
        temporaries = [stack.enter_context(atomic_output(path, overwrite=overwrite)) for path in every]
        for path, temporary in zip(files, temporaries):
            _write(target, label, path, temporary, coordinates, sources, reader)
        document = {**log_document(target.node, target.volume_node), "signed_by": reader.strip()}
        document["files"] = [path.name for path in files]
        document["surface_coordinates"] = coordinates
        document["before_edits"] = original_kind(target.node) or None
        text = json.dumps(document, indent=1, ensure_ascii=False)
        temporaries[len(files)].write_text(text + "\n", encoding="utf-8")
        if automatic is not None:
            write_image(automatic, temporaries[-1])
    return SignedOutput(tuple(files), log_path, automatic_path if automatic is not None else None)


def _write(
    target: EditTarget,
    label: Volume,
    path: Path,
    temporary: Path,
    coordinates: str,
    sources: list[Path],
    reader: str,
) -> None:
    suffix = _split(path)[1]
    if suffix in SURFACE_SUFFIXES:
        write_surface(label, temporary, coordinates=coordinates)
    elif suffix == _SEG_NRRD:
        to_scan = matrix_between(target.node, target.volume_node)
        wanted = _segment_ids(target)
        segments = [each for each in saved_segments(target.history, to_scan) if each.segment_id in wanted]
        conversion = str(target.node.GetSegmentation().SerializeAllConversionParameters())
        with open(temporary, "wb") as file:
            write_seg_nrrd(file, segments, conversion=conversion)
    elif suffix == _DICOM:
        write_dicom_seg(temporary, _dicom_segments(target), sources, reader=reader, run=recorded_summary(target.node))
    else:
        write_image(label, temporary)


def _segment_ids(target: EditTarget) -> list[str]:
    return [target.segment_id, *ArteryEditor(target).segments().values()]


def _dicom_segments(target: EditTarget) -> list[DicomSegment]:
    segmentation = target.node.GetSegmentation()
    tag = slicer.vtkSegment.GetTerminologyEntryTagName()
    segments = []
    for segment_id in _segment_ids(target):
        segment = segmentation.GetSegment(segment_id)
        label = target.label_of(segment_id)
        if label.any():
            terminology = segment_tag(target.node, segment_id, tag)
            volume = Volume(label, target.geometry)
            segments.append(DicomSegment(str(segment.GetName()), terminology, segment.GetColor(), volume))
    if not segments:
        raise VesselSegError("all segments are empty", "segment the scan or draw vessels first")
    return segments


def _split(path: Path) -> tuple[str, str]:
    """Return a file's name without its ending, and its ending in lower case."""
    name = path.name.lower()
    for suffix in (_SEG_NRRD, _DICOM, *SURFACE_SUFFIXES):
        if name.endswith(suffix) and len(name) > len(suffix):
            return path.name[: -len(suffix)], suffix
    suffix = image_suffix(path)
    return path.name[: -len(suffix)], suffix


def _is_image(suffix: str) -> bool:
    return suffix not in (_SEG_NRRD, _DICOM, *SURFACE_SUFFIXES)
