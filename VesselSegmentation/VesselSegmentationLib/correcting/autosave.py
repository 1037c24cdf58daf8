"""Edited segmentations saved while somebody works, so that a crash costs at most a minute.

Each session has a folder of its own and holds a lock on it. The lock goes with the process, however it ends: a folder
that has files and no lock is what a crash has left.
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
import re
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.file_lock import is_lock_of, lock_file, remove_locked
from vesselseg.output_files import atomic_output
from VesselSegmentationLib.correcting.edit_history import EditHistory
from VesselSegmentationLib.correcting.edit_log import LOG_ATTRIBUTE
from VesselSegmentationLib.correcting.edit_steps import EditStep
from VesselSegmentationLib.correcting.edited_voxels import SegmentVoxels, read_voxels
from VesselSegmentationLib.correcting.seg_nrrd import SavedSegment, by_lattice, read_remark, write_seg_nrrd
from VesselSegmentationLib.scene.node_geometry import grid_offset, matrix_between, share_transform
from VesselSegmentationLib.scene.run_record import RUN_ATTRIBUTES, RUN_TAGS
from VesselSegmentationLib.scene.scene_nodes import nodes_of_class
from VesselSegmentationLib.scene.segmentation_nodes import ROLE_TAG, segment_tag
from VesselSegmentationLib.scene.volume_nodes import volume_geometry

logger = logging.getLogger("vesselseg")

#: Name of the folder with the sessions' folders, inside the folder for temporary files.
FOLDER_NAME = "VesselSegmentation-autosave"
#: An edit is saved when no other has come for this long ...
REST_SECONDS = 2.0
#: ... and at the latest after this long: with the time that writing takes, well within a minute.
LONGEST_SECONDS = 40.0
#: What a poll lets the writing thread have: inside 3D Slicer, threads of Python only run while others wait.
_YIELD_SECONDS = 0.005
_LOCK_NAME = "lock"
#: A folder that is just being made is not locked yet.
_UNLOCKED_SECONDS = 10.0
#: What a segmentation says of itself beside its segments.
_ATTRIBUTES = (LOG_ATTRIBUTE, *RUN_ATTRIBUTES)


class Autosave:
    """Save a segmentation whenever it has been edited.

    Parameters
    ----------
    folder : path-like
        For temporary files, as the application has one. A crash must not clear it.
    history : EditHistory
        Of the segmentation that is edited.
    volume_node : vtkMRMLScalarVolumeNode
        The scan; its name and grid are remembered.
    rest_seconds, longest_seconds : float
        When to save: after a pause, and at the latest after.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        history: EditHistory,
        volume_node: Any,
        *,
        rest_seconds: float = REST_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._history = history
        self._volume_node = volume_node
        self._rest, self._longest = rest_seconds, longest_seconds
        self._changed_at = self._unsaved_since = 0.0
        self._edits = 0
        self._files = 0
        self._to_scan = np.eye(4)
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._note_place()
        parent = Path(folder) / FOLDER_NAME
        try:
            parent.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix="session-", dir=parent))
            self._lock = lock_file(self.folder / _LOCK_NAME)
        except OSError as error:
            raise VesselSegError(
                f"edits cannot be saved in {parent}: {error.strerror}", "choose another folder for temporary files"
            ) from error
        history.listeners.append(self._on_step)

    def pause(self) -> None:
        """Follow the history no more, but keep what was saved, and the lock on it, until `resume`."""
        with contextlib.suppress(ValueError):
            self._history.listeners.remove(self._on_step)
        self._wait()

    def resume(self, history: EditHistory, volume_node: Any) -> None:
        """Go on after a pause, with another history of the same segmentation; it is saved as it is now."""
        self._history, self._volume_node = history, volume_node
        self._note_place()
        history.listeners.append(self._on_step)
        self.note_edits(0)

    def catch_up(self) -> None:
        """Save once during a pause: others may have gone on editing. Waits until it is done, and raises as `poll`."""
        if self._history.node.GetScene() is None and self.saved:
            return
        history = EditHistory(self._history.node)
        try:
            self.resume(history, self._volume_node)
            self.save_now()
        finally:
            self.pause()
            history.close()

    @property
    def saved(self) -> bool:
        """Whether every edit is on the disk."""
        return not self._unsaved_since and self._thread is None

    def poll(self) -> None:
        """Save if it is time; returns at once. To be called a few times a second, from the thread that draws.

        Raises
        ------
        VesselSegError
            If the last save failed; it is tried again later.
        """
        if self._thread is not None:
            self._thread.join(_YIELD_SECONDS)
            if self._thread.is_alive():
                return
            error = self._take_error()
            if error is not None:
                self._changed_at = time.monotonic() + self._longest  # not again at once
                raise VesselSegError(f"the edits could not be saved in {self.folder}: {error}", "save the scene now")
        self._history.settle()
        now = time.monotonic()
        if self._unsaved_since and (now - self._changed_at >= self._rest or now - self._unsaved_since >= self._longest):
            self._start()

    def save_now(self) -> None:
        """Save at once, and wait until it is done; raises as `poll`."""
        self._history.settle()
        if self._unsaved_since:
            self._changed_at = 0.0
        while not self.saved:
            self.poll()

    def forget(self) -> None:
        """Remove what was saved: the segmentation has been saved as it is. Later edits are saved again."""
        self._wait()
        self._unsaved_since, self._edits = 0.0, 0
        for path in self.folder.glob("*.seg.nrrd"):
            path.unlink(missing_ok=True)

    def close(self, *, keep: bool = False) -> None:
        """Let go of the segmentation.

        Parameters
        ----------
        keep : bool
            Whether to leave what was saved, to be offered later.
        """
        self.pause()
        if keep:
            self._lock.close()
        else:
            remove_locked(self.folder, self._lock)

    def note_edits(self, edits: int) -> None:
        """Count edits that are to be saved, also such as were made before this session."""
        self._edits += edits
        self._changed_at = time.monotonic()
        self._unsaved_since = self._unsaved_since or self._changed_at

    def _on_step(self, step: EditStep, what: str) -> None:
        self.note_edits(1)

    def _wait(self) -> None:
        if self._thread is not None:
            self._thread.join()
        self._take_error()

    def _take_error(self) -> Exception | None:
        """Return why the save that has ended failed, or None; what was not saved still has to be."""
        self._thread = None
        error, self._error = self._error, None
        if error is not None:
            self._unsaved_since = self._unsaved_since or time.monotonic()
        return error

    def _note_place(self) -> None:
        """Note how the segmentation lies on the scan."""
        node, volume_node = self._history.node, self._volume_node
        if node.GetScene() is None or volume_node.GetScene() is None:
            return  # what is removed from the scene has lost its transform: it lay as it did before
        try:
            self._to_scan = matrix_between(node, volume_node)
        except VesselSegError as error:
            logger.warning("edits are saved where they were before: %s", error)

    def _start(self) -> None:
        node = self._history.node
        self._note_place()
        segments = saved_segments(self._history, self._to_scan)
        remark = {
            "scan": str(self._volume_node.GetName()),
            "segmentation": str(node.GetName()),
            "segments": [segment.name for segment in segments],
            "time": datetime.now().astimezone().isoformat(timespec="seconds"),
            "edits": self._edits,
            "user": _user(),
            "attributes": {name: text for name in _ATTRIBUTES if (text := node.GetAttribute(name))},
        }
        conversion = str(node.GetSegmentation().SerializeAllConversionParameters())
        self._unsaved_since = 0.0
        # Nothing that belongs to the scene goes along: the voxels are the history's, which never writes into them.
        arguments = (self.folder, by_lattice(segments), conversion, remark)
        self._thread = threading.Thread(target=self._write, args=arguments, name="vesselseg autosave", daemon=True)
        self._thread.start()

    def _write(self, folder: Path, groups: list[list[SavedSegment]], conversion: str, remark: dict[str, Any]) -> None:
        try:
            self._keep_folder()
            for index, group in enumerate(groups):
                target = folder / f"{index}.seg.nrrd"
                with atomic_output(target, overwrite=True) as temporary, open(temporary, "wb") as file:
                    write_seg_nrrd(file, group, conversion=conversion, remark=remark)
            for index in range(len(groups), self._files):
                (folder / f"{index}.seg.nrrd").unlink(missing_ok=True)
            self._files = len(groups)
        except Exception as error:  # handed to `poll`, which raises it
            self._error = error

    def _keep_folder(self) -> None:
        """Make folder and lock anew if they are gone: cleaners of temporary files remove what has lain for days."""
        path = self.folder / _LOCK_NAME
        if not is_lock_of(self._lock, path):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.close()
            self._lock = lock_file(path)


@dataclass(frozen=True)
class Recoverable:
    """What a crash has left.

    Parameters
    ----------
    path : pathlib.Path
        A file that 3D Slicer opens as well.
    scan, segmentation : str
        Names of the scan and of the segmentation.
    segments : tuple of str
        Names of the segments.
    time : str
        When it was saved, ISO 8601.
    edits : int
        Number of edits since the segmentation was loaded or saved.
    user : str
        Who was logged in.
    attributes : dict of str to str
        What the segmentation says of itself: the log of its edits, and what ran.
    """

    path: Path
    scan: str
    segmentation: str
    segments: tuple[str, ...]
    time: str
    edits: int
    user: str
    attributes: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def text(self) -> str:
        """What it is, in a line for people."""
        when = self.time.replace("T", " ")[:19]
        edits = "1 edit" if self.edits == 1 else f"{self.edits} edits"
        return f"{self.segmentation} of {self.scan}: {', '.join(self.segments)}; {edits}, saved {when}"


def find_recoverable(folder: str | os.PathLike[str]) -> list[Recoverable]:
    """List what sessions that ended in a crash have left, the latest first.

    Sessions that run are left out, be they of this process or of another one. What cannot be read is said in the log
    and left where it is; a session without any file is removed, but for one that may have just begun.

    Parameters
    ----------
    folder : path-like
        As for `Autosave`.
    """
    found = []
    for session in sorted((Path(folder) / FOLDER_NAME).glob("session-*")):
        try:
            young = time.time() - session.stat().st_mtime < _UNLOCKED_SECONDS
            if young and not any(session.glob("*.seg.nrrd")):
                continue
            lock = lock_file(session / _LOCK_NAME)
        except OSError:
            continue
        with lock:
            files = sorted(session.glob("*.seg.nrrd"))
            for path in files:
                try:
                    found.append(_recoverable(path))
                except VesselSegError as error:
                    logger.warning("%s is not offered: %s", path, error)
            if not files:
                remove_locked(session, lock)
    return sorted(found, key=lambda each: each.time, reverse=True)


def discard(recoverable: Recoverable) -> None:
    """Remove what a crash has left; it is not offered again."""
    recoverable.path.unlink(missing_ok=True)
    if not list(recoverable.path.parent.glob("*.seg.nrrd")):
        shutil.rmtree(recoverable.path.parent, ignore_errors=True)


def restore(scene: Any, recoverable: Recoverable, volume_node: Any = None) -> Any:
    """Bring back what a crash has left, as a new segmentation. The file stays until `discard`.

    Parameters
    ----------
    scene : vtkMRMLScene
    recoverable : Recoverable
    volume_node : vtkMRMLScalarVolumeNode, optional
        The scan; the default is the first one of that name on whose grid the voxels lie. Without a scan, the
        segmentation lies as if the scan had no parent transform.

    Returns
    -------
    vtkMRMLSegmentationNode

    Raises
    ------
    VesselSegError
        If it cannot be read, or does not lie on the grid of the given scan.
    """
    name = scene.GenerateUniqueName(f"{recoverable.segmentation} (recovered)")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(storage)
    try:
        storage.SetFileName(str(recoverable.path))
        if not storage.ReadData(node) or node.GetSegmentation().GetNumberOfSegments() == 0:
            raise VesselSegError(f"{recoverable.path} cannot be read", "open it with 3D Slicer by hand")
        # Saving the scene must not write into the folder of a session that is over.
        scene.RemoveNode(storage)
        node.CreateDefaultDisplayNodes()
        scan = volume_node or _scan_for(scene, recoverable, node)
        if scan is not None:
            if not _lies_on(node, scan):
                raise VesselSegError(
                    f"'{recoverable.segmentation}' was not drawn on the grid of '{scan.GetName()}'",
                    f"choose the scan '{recoverable.scan}'",
                )
            share_transform(node, scan)
            node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
        for name in _ATTRIBUTES:
            node.SetAttribute(name, recoverable.attributes.get(name))
    except BaseException:
        shown = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
        for each in (storage, *shown, node):
            if each is not None and scene.IsNodePresent(each):
                scene.RemoveNode(each)
        raise
    return node


def saved_segments(history: EditHistory, to_scan: NDArray[np.float64]) -> list[SavedSegment]:
    """Return the segments of a segmentation as they are now, in the coordinates of the scan.

    The voxels are not copied and must not be written to.
    """
    history.settle()
    segmentation = history.node.GetSegmentation()
    names = ("TerminologyEntry", "Segmentation.Status", ROLE_TAG, *RUN_TAGS)
    segments = []
    for index in range(segmentation.GetNumberOfSegments()):
        segment_id = str(segmentation.GetNthSegmentID(index))
        segment, voxels = segmentation.GetSegment(segment_id), history.voxels(segment_id)
        if voxels is not None:
            voxels = SegmentVoxels(voxels.mask, voxels.first, to_scan @ voxels.matrix)
            tags = {name: segment_tag(history.node, segment_id, name) for name in names}
            tags = {name: value for name, value in tags.items() if value}
            segments.append(SavedSegment(segment_id, str(segment.GetName()), segment.GetColor(), tags, voxels))
    return segments


def _recoverable(path: Path) -> Recoverable:
    remark = read_remark(path)
    try:
        segments = tuple(str(name) for name in remark["segments"])
        texts = [str(remark[key]) for key in ("scan", "segmentation", "time", "user")]
        attributes = {name: str(text) for name, text in remark.get("attributes", {}).items() if name in _ATTRIBUTES}
        return Recoverable(path, texts[0], texts[1], segments, texts[2], int(remark["edits"]), texts[3], attributes)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise VesselSegError(f"{path.name} is damaged", "open it by hand") from error


def _scan_for(scene: Any, recoverable: Recoverable, node: Any) -> Any:
    for volume in nodes_of_class(scene, "vtkMRMLScalarVolumeNode"):
        if volume.GetName() == recoverable.scan and volume.GetImageData() is not None and _lies_on(node, volume):
            return volume
    return None


def _lies_on(node: Any, volume_node: Any) -> bool:
    """Tell whether the voxels of a segmentation coincide with those of a scan, transforms left aside."""
    grid = volume_geometry(volume_node)
    segmentation = node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        voxels = read_voxels(node, str(segmentation.GetNthSegmentID(index)))
        if not voxels.is_empty and grid_offset(voxels.geometry(), grid) is None:
            return False
    return True


def _user() -> str:
    try:
        return re.sub(r"\s+", " ", getpass.getuser())
    except (OSError, KeyError, ImportError):
        return ""
