"""The corrected label as files that a reader signs: label, surfaces, what was edited, the automatic result beside."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from vesselseg.errors import VesselSegError
from vesselseg.image_io import write_image
from vesselseg.output_files import atomic_output, check_outputs
from vesselseg.volume import Volume
from VesselSegmentationLib.correcting.artery_editor import ArteryEditor
from VesselSegmentationLib.correcting.autosave import saved_segments
from VesselSegmentationLib.correcting.edit_log import label_digest, log_document
from VesselSegmentationLib.correcting.edit_target import EditTarget
from VesselSegmentationLib.correcting.original import original_kind, original_label
from VesselSegmentationLib.correcting.seg_nrrd import by_lattice, write_seg_nrrd
from VesselSegmentationLib.jobs.worker_job import DONE, FAILED, RUNNING
from VesselSegmentationLib.saving.dicom_seg import DicomSegment, find_source_files, write_dicom_seg
from VesselSegmentationLib.saving.signed_record import DICOM, SEG_NRRD, files_beside, split_name, take_up
from VesselSegmentationLib.saving.surfaces import LPS, SURFACE_SUFFIXES, write_surface
from VesselSegmentationLib.scene.node_geometry import matrix_between
from VesselSegmentationLib.scene.run_record import recorded_summary
from VesselSegmentationLib.scene.segmentation_nodes import segment_tag

#: What a poll lets the writing thread have.
_YIELD_SECONDS = 0.03


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


class SignedJob:
    """Write the corrected label, the log of its edits and the automatic result, all of them or none.

    Everything is in the coordinates of the scan, as they were in its file: parent transforms are left aside. Label
    images and surfaces hold the segment that is edited together with all named arteries; .seg.nrrd and DICOM hold each
    as a segment of its own. Log and automatic result lie beside the first file, named after it. The log says with which
    label it begins and ends, as `label_digest` names them, and who has signed it after how many edits. A label that was
    signed before keeps its log, to which edits are added, and its automatic result: see `signed_record.take_up`.

    What is written is the label as it is when the job is made. A front end calls `poll` from a timer and shows
    `message`; a script calls `wait`. Files are written by a thread: it needs a second for DICOM.

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
        Where the images of the scan are; see `dicom_seg.find_source_files`.

    Attributes
    ----------
    state : str
        "running", "done" or "failed", as of a `WorkerJob`.
    message : str
        What is being done, or how it ended.
    output : SignedOutput
        What has been written, once it is done.
    error : VesselSegError or None
        Why it failed; no file is left then.

    Raises
    ------
    VesselSegError
        If a file exists, its ending is unknown, or the DICOM images of the scan are not known.
    """

    def __init__(
        self,
        target: EditTarget,
        paths: Sequence[str | os.PathLike[str]],
        *,
        reader: str,
        overwrite: bool = False,
        coordinates: str = LPS,
        dicom_folder: str | os.PathLike[str] | None = None,
        file_of: Callable[[str], str] | None = None,
    ) -> None:
        if not paths:
            raise VesselSegError("no file is named", "name one, for example vessels.nii.gz")
        self.state, self.message = RUNNING, "preparing"
        self.error: VesselSegError | None = None
        self._files = [Path(path) for path in paths]
        self._coordinates, self._overwrite = coordinates, overwrite
        log, automatic_path = files_beside(self._files[0])
        check_outputs([*self._files, log, automatic_path], overwrite=overwrite)
        # Once the job is made nothing asks the scene, which the user may go on editing.
        self._label = ArteryEditor(target).whole_label()
        before = take_up(target, self._files[0])
        automatic = original_label(target.node, target.volume_node)
        # One that lies there would be taken for the automatic result of this label.
        self._left_over = [automatic_path] if automatic is None and overwrite else []
        self.output = SignedOutput(tuple(self._files), log, automatic_path if automatic is not None else None)
        suffixes = {split_name(path)[1] for path in self._files}
        self._writers: dict[Path, Callable[[Path], None]] = {}
        if SEG_NRRD in suffixes:
            write_segments = _seg_nrrd_writer(target)
        if DICOM in suffixes:
            sources = find_source_files(target.volume_node, folder=dicom_folder, file_of=file_of)
            write_dicom = _dicom_writer(target, sources, reader)
        for path in self._files:
            suffix = split_name(path)[1]
            if suffix == SEG_NRRD:
                self._writers[path] = write_segments
            elif suffix == DICOM:
                self._writers[path] = write_dicom
            elif suffix not in SURFACE_SUFFIXES:
                self._writers[path] = functools.partial(write_image, self._label)
        document = _document(target, reader, before)
        document["files"] = [path.name for path in self._files]
        document["surface_coordinates"] = coordinates
        document["label_after"] = label_digest(self._label.array)
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        self._writers[log] = lambda path: _write_text(path, text)
        if automatic is not None:
            self._writers[automatic_path] = functools.partial(write_image, automatic)
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def poll(self) -> str:
        """Go on, for a few hundredths of a second but for surfaces; returns the state."""
        if self.state != RUNNING:
            return self.state
        if self._thread is None:
            try:
                self._start()
            except BaseException as error:
                self._end(error)
        elif self._thread.is_alive():
            # Inside 3D Slicer, threads of Python only run while others wait.
            self._thread.join(_YIELD_SECONDS)
        else:
            self._end(self._failure)
        return self.state

    def wait(self) -> SignedOutput:
        """Wait until everything is written; returns what, or raises what went wrong."""
        while self.poll() == RUNNING:
            pass
        if self.error is not None:
            raise self.error
        return self.output

    def _start(self) -> None:
        with contextlib.ExitStack() as stack:
            for path in self._left_over:
                stack.enter_context(_removed_at_the_end(path))
            # The last one takes its place first: the label, so that where it cannot be replaced, nothing is.
            temporaries = {
                path: stack.enter_context(atomic_output(path, overwrite=self._overwrite))
                for path in [*(path for path in self._writers if path not in self._files), *reversed(self._files)]
            }
            for path in self._files:
                if split_name(path)[1] in SURFACE_SUFFIXES:
                    # Surfaces go through nodes of the scene's library, which no thread may use.
                    write_surface(self._label, temporaries[path], coordinates=self._coordinates)
            rest = {path: temporaries[path] for path in self._writers}
            arguments = (stack.pop_all(), rest)
            self._thread = threading.Thread(target=self._write, args=arguments, name="vesselseg save", daemon=True)
            self._thread.start()

    def _write(self, stack: contextlib.ExitStack, temporaries: dict[Path, Path]) -> None:
        try:
            with stack:
                for path, temporary in temporaries.items():
                    self.message = f"writing {path.name}"
                    self._writers[path](temporary)
        except BaseException as error:  # handed to `poll`
            self._failure = error

    def _end(self, failure: BaseException | None) -> None:
        if failure is None:
            self.state, self.message = DONE, "done"
            return
        self.state = FAILED
        if isinstance(failure, VesselSegError):
            self.error, self.message = failure, failure.message
            return
        # A mistake of ours: it ends the job, and is seen in full where it happened.
        self.error = VesselSegError(f"the files could not be written: {failure}", "report this to the developers")
        self.message = self.error.message
        raise failure


def export_signed(target: EditTarget, paths: Sequence[str | os.PathLike[str]], **options: Any) -> SignedOutput:
    """Write the corrected label and wait: see `SignedJob`, which takes the same."""
    return SignedJob(target, paths, **options).wait()


def _document(target: EditTarget, reader: str, before: dict[str, Any]) -> dict[str, Any]:
    """Return the log that is signed; `before` is the one that was signed before, with which it goes on."""
    document = log_document(target.node, target.volume_node)
    signature = {"reader": reader.strip(), "time": document["exported"], "edits": len(document["edits"])}
    document["automatic_run"] = document["automatic_run"] or before.get("automatic_run")
    document["before_edits"] = original_kind(target.node) or None
    document["signed_by"] = signature["reader"]
    document["signatures"] = [*before.get("signatures", []), signature]
    return document


def _seg_nrrd_writer(target: EditTarget) -> Callable[[Path], None]:
    wanted = signed_segments(target)
    saved = saved_segments(target.history, matrix_between(target.node, target.volume_node))
    segments = [each for each in saved if each.segment_id in wanted]
    if len(by_lattice(segments)) > 1:
        names = ", ".join(f"'{each.name}'" for each in segments)
        raise VesselSegError(f"the segments {names} do not lie on one grid", "save them as DICOM, or the label alone")
    conversion = str(target.node.GetSegmentation().SerializeAllConversionParameters())

    def write(path: Path) -> None:
        with open(path, "wb") as file:
            write_seg_nrrd(file, segments, conversion=conversion)

    return write


def _dicom_writer(target: EditTarget, sources: list[Path], reader: str) -> Callable[[Path], None]:
    segments, run = _dicom_segments(target), recorded_summary(target.node)
    return lambda path: write_dicom_seg(path, segments, sources, reader=reader, run=run)


@contextlib.contextmanager
def _removed_at_the_end(path: Path) -> Iterator[None]:
    """Remove a file if the block ends without an error."""
    yield
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise VesselSegError(f"{path} cannot be removed: {error.strerror}", "remove it by hand") from error


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def signed_segments(target: EditTarget) -> list[str]:
    """Return the IDs of the segments that are written: the one that is edited, and the named vessels."""
    return [target.segment_id, *ArteryEditor(target).segments().values()]


def _dicom_segments(target: EditTarget) -> list[DicomSegment]:
    segmentation = target.node.GetSegmentation()
    tag = slicer.vtkSegment.GetTerminologyEntryTagName()
    segments = []
    for segment_id in signed_segments(target):
        segment = segmentation.GetSegment(segment_id)
        label = target.label_of(segment_id)
        if label.any():
            terminology = segment_tag(target.node, segment_id, tag)
            volume = Volume(label, target.geometry)
            segments.append(DicomSegment(str(segment.GetName()), terminology, segment.GetColor(), volume))
    if not segments:
        raise VesselSegError("all segments are empty", "segment the scan or draw vessels first")
    return segments
