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
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.file_lock import is_lock_of, lock_file, remove_locked
from vesselseg.geometry import Geometry
from vesselseg.output_files import atomic_output
from VesselSegmentationLib.correcting.edit_history import EditHistory
from VesselSegmentationLib.correcting.edit_log import LOG_ATTRIBUTE, START_ATTRIBUTE
from VesselSegmentationLib.correcting.edit_steps import EditStep
from VesselSegmentationLib.correcting.edited_voxels import SegmentVoxels, image_time
from VesselSegmentationLib.correcting.original import Original, kept_original, original_of, write_original
from VesselSegmentationLib.correcting.seg_nrrd import SavedSegment, by_lattice, write_seg_nrrd
from VesselSegmentationLib.scene.node_geometry import matrix_between
from VesselSegmentationLib.scene.run_record import RUN_ATTRIBUTES, RUN_TAGS
from VesselSegmentationLib.scene.segmentation_nodes import ROLE_TAG, segment_tag
from VesselSegmentationLib.scene.volume_nodes import volume_geometry

logger = logging.getLogger("vesselseg")

#: Name of the folder with the sessions' folders, inside the folder for temporary files.
FOLDER_NAME = "VesselSegmentation-autosave"
#: In the folder of a session: its lock, and the label before the first edit beside the segmentations (.seg.nrrd).
LOCK_NAME, ORIGINAL_NAME = "lock", "original.nrrd"
#: An edit is saved when no other has come for this long ...
REST_SECONDS = 2.0
#: ... and at the latest after this long: with the time that writing takes, well within a minute.
LONGEST_SECONDS = 40.0
#: What a poll lets the writing thread have: inside 3D Slicer, threads of Python only run while others wait.
_YIELD_SECONDS = 0.005
#: What a segmentation says of itself beside its segments.
ATTRIBUTES = (LOG_ATTRIBUTE, START_ATTRIBUTE, *RUN_ATTRIBUTES)


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
        self._grid: Geometry | None = None
        #: Which label before the first edit is saved.
        self._original: tuple[Any, ...] | None = None
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._note_place()
        parent = Path(folder) / FOLDER_NAME
        try:
            parent.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix="session-", dir=parent))
            self._lock = lock_file(self.folder / LOCK_NAME)
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
            self._original = None
        return error

    def _note_place(self) -> None:
        """Note how the segmentation lies on the scan, and where that lies."""
        node, volume_node = self._history.node, self._volume_node
        if node.GetScene() is None or volume_node.GetScene() is None:
            return  # what is removed from the scene has lost its transform: it lay as it did before
        try:
            self._grid = volume_geometry(volume_node)
            self._to_scan = matrix_between(node, volume_node)
        except VesselSegError as error:
            logger.warning("edits are saved where they were before: %s", error)

    def _start(self) -> None:
        node = self._history.node
        self._note_place()
        segments = saved_segments(self._history, self._to_scan)
        remark = {
            "scan": str(self._volume_node.GetName()),
            "grid": None if self._grid is None else [self._grid.ijk_to_ras().tolist(), self._grid.size],
            "segmentation": str(node.GetName()),
            "segments": [segment.name for segment in segments],
            "time": datetime.now().astimezone().isoformat(timespec="seconds"),
            "edits": self._edits,
            "user": _user(),
            "attributes": {name: text for name in ATTRIBUTES if (text := node.GetAttribute(name))},
        }
        conversion = str(node.GetSegmentation().SerializeAllConversionParameters())
        self._unsaved_since = 0.0
        # Nothing that belongs to the scene goes along: the voxels are the history's, which never writes into them.
        arguments = (self.folder, by_lattice(segments), conversion, remark, self._unsaved_original())
        self._thread = threading.Thread(target=self._write, args=arguments, name="vesselseg autosave", daemon=True)
        self._thread.start()

    def _unsaved_original(self) -> Original | None:
        """Return the label before the first edit, unless it is saved already: it is kept once and hardly ever anew."""
        node = self._history.node
        kept = kept_original(node)
        state = None if kept is None else (kept[0].GetID(), *image_time(*kept))
        if state is None or (state == self._original and (self.folder / ORIGINAL_NAME).is_file()):
            return None
        self._original = state
        try:
            return original_of(node, self._volume_node)
        except VesselSegError as error:
            logger.warning("the label before the first edit is not saved: %s", error)
            return None

    def _write(
        self,
        folder: Path,
        groups: list[list[SavedSegment]],
        conversion: str,
        remark: dict[str, Any],
        original: Original | None,
    ) -> None:
        try:
            self._keep_folder()
            if original is not None:
                with atomic_output(folder / ORIGINAL_NAME, overwrite=True) as temporary, open(temporary, "wb") as file:
                    write_original(file, original)
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
        path = self.folder / LOCK_NAME
        if not is_lock_of(self._lock, path):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.close()
            self._lock = lock_file(path)


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


def _user() -> str:
    try:
        return re.sub(r"\s+", " ", getpass.getuser())
    except (OSError, KeyError, ImportError):
        return ""
