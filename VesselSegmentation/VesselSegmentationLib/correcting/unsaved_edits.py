"""Segmentations with edits that are not saved, and the copies of them against crashes."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from VesselSegmentationLib.correcting.autosave import Autosave
from VesselSegmentationLib.correcting.edit_history import AUTOMATIC, EditHistory
from VesselSegmentationLib.correcting.edit_steps import EditStep

#: In place of the number of the last step that was saved: what the segmentation came with was not.
_NEVER_SAVED = -1


class UnsavedEdits:
    """Remembers what is not saved: of the segmentation that is edited, and of those that were left.

    Parameters
    ----------
    autosave_folder : path-like, optional
        As for `EditLogic`.
    """

    def __init__(self, autosave_folder: str | os.PathLike[str] | None = None) -> None:
        self._autosave_folder = autosave_folder
        self._history: EditHistory | None = None
        self._autosave: Autosave | None = None
        self._saved_number = 0
        self._edited_at = 0.0
        #: Segmentations that were left with edits that are not saved: the copies of them, and when they were edited.
        self._left: dict[Any, tuple[Autosave | None, float]] = {}

    def begin(self, history: EditHistory, volume_node: Any) -> None:
        """Follow the history of a segmentation; one that was left goes on as it was.

        Raises
        ------
        VesselSegError
            If edits cannot be saved against crashes.
        """
        self._edited_at = time.time()
        if history.node in self._left:
            self._saved_number = _NEVER_SAVED
            self._autosave, self._edited_at = self._left.pop(history.node)
            if self._autosave is not None:
                self._autosave.resume(history, volume_node)
        elif self._autosave_folder is not None:
            self._autosave = Autosave(self._autosave_folder, history, volume_node)
        self._history = history
        history.listeners.append(self._on_step)

    def end(self, *, remember: bool) -> None:
        """Follow no more; remember that the segmentation was left with edits, or forget them."""
        history, autosave = self._history, self._autosave
        self._history = self._autosave = None
        self._saved_number = 0
        if history is not None and remember:
            self._left[history.node] = autosave, self._edited_at
        if autosave is not None:
            (autosave.pause if remember else autosave.close)()

    def forget_left(self, *, keep_autosave: bool) -> None:
        """Forget the segmentations that were left.

        Parameters
        ----------
        keep_autosave : bool
            Whether their copies are brought up to date and kept, to be offered later.

        Raises
        ------
        VesselSegError
            If one cannot be; they are all forgotten all the same.
        """
        left, self._left = [autosave for autosave, _at in self._left.values() if autosave is not None], {}
        with contextlib.ExitStack() as stack:
            for autosave in left:
                stack.callback(autosave.close, keep=keep_autosave)
            for autosave in left if keep_autosave else []:
                autosave.catch_up()

    def poll(self) -> None:
        """Save against crashes if it is time; returns at once, and raises as `Autosave.poll`."""
        if self._autosave is not None:
            self._autosave.poll()

    def save_against_crash(self) -> None:
        """Save against crashes at once, and wait; raises as `Autosave.poll`."""
        if self._autosave is not None:
            self._autosave.save_now()

    @property
    def in_hand(self) -> bool:
        """Whether the segmentation that is edited has edits that are not saved."""
        if self._history is None or self._last_number() == self._saved_number:
            return False
        return self._saved_number != 0 or self.unknown or any(step.tool != AUTOMATIC for step in self._history.steps)

    @property
    def unknown(self) -> bool:
        """Whether there are unsaved edits that the history does not know: it came with them, or had to drop them."""
        return self._history is not None and self._saved_number < self._history.dropped

    @property
    def left(self) -> list[Any]:
        """The segmentations that were left with edits that are not saved."""
        return list(self._left)

    def notice_saved(self, segmentation_node: Any) -> None:
        """Mark a segmentation as saved if 3D Slicer has written it since it was edited last."""
        _autosave, edited_at = self._left.get(segmentation_node, (None, self._edited_at))
        if _is_written(segmentation_node, edited_at):
            self.mark_saved(segmentation_node)

    def mark_saved(self, segmentation_node: Any = None) -> None:
        """See `EditLogic.mark_saved`."""
        if segmentation_node in self._left:
            autosave, _edited_at = self._left.pop(segmentation_node)
            if autosave is not None:
                autosave.close()
            return
        if self._history is not None:
            self._history.seal()
        self._saved_number = self._last_number()
        if self._autosave is not None:
            self._autosave.forget()

    def mark_unsaved(self, edits: int) -> None:
        """See `EditLogic.mark_unsaved`."""
        self._saved_number = _NEVER_SAVED
        if self._autosave is not None:
            self._autosave.note_edits(edits)

    def _on_step(self, step: EditStep, what: str) -> None:
        self._edited_at = time.time()

    def _last_number(self) -> int:
        if self._history is None:
            return 0
        steps = self._history.steps
        return steps[-1].number if steps else self._history.dropped


def _is_written(segmentation_node: Any, since: float) -> bool:
    """Tell whether a segmentation lies in a file that is not older than a moment: its own, or the bundle of its scene.

    The node alone does not tell. A bundle (.mrb) is made of files in a folder that is removed; the node then counts as
    written even if the bundle could not be, and as not written, for saving by other ways, if it was.
    """
    storage_node = segmentation_node.GetStorageNode()
    if segmentation_node.GetModifiedSinceRead():
        path = str(segmentation_node.GetScene().GetURL() or "")
        return path.lower().endswith(".mrb") and _is_of(path, since)
    return storage_node is not None and _is_of(str(storage_node.GetFullNameFromFileName() or ""), since)


def _is_of(path: str, since: float) -> bool:
    try:
        return bool(path) and Path(path).is_file() and Path(path).stat().st_mtime >= since
    except OSError:
        return False
