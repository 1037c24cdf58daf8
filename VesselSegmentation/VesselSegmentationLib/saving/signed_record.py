"""The record beside a signed label, its log and the automatic result: who signs the label again goes on with it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.image_io import image_suffix, read_label
from VesselSegmentationLib.correcting.edit_log import continue_log, goes_on
from VesselSegmentationLib.correcting.edit_target import EditTarget
from VesselSegmentationLib.correcting.original import AUTOMATIC, Original, attach_original, original_kind, original_of
from VesselSegmentationLib.saving.surfaces import SURFACE_SUFFIXES
from VesselSegmentationLib.scene.segmentation_nodes import WRITTEN_TAG, segment_tag

SEG_NRRD, DICOM = ".seg.nrrd", ".dcm"


@dataclass(frozen=True)
class _Record:
    """What lies beside a label that was signed before: the log, and the label before its first edit, if there was."""

    document: dict[str, Any]
    original: Original | None


def take_up(target: EditTarget, path: Path) -> dict[str, Any]:
    """Go on with the record of the label that is edited: its edits come before those of now, and its original is kept.

    It is looked for where the label is to be written, and beside the file from which the segmentation was read.

    Parameters
    ----------
    target : EditTarget
    path : pathlib.Path
        Where the label is to be written.

    Returns
    -------
    dict
        The log that was signed before; empty if there was none that ends in the label that was found here.
    """
    storage = target.node.GetStorageNode()
    read_from = "" if storage is None else str(storage.GetFullNameFromFileName() or "")
    for each in (path, Path(read_from)):
        with contextlib.suppress(VesselSegError):  # it was read from a file that is no label
            record = _record(target, each)
            if record is not None:
                if record.original is not None and original_kind(target.node) != AUTOMATIC:
                    attach_original(target.node, target.segment_id, target.volume_node, record.original)
                continue_log(target.node, record.document)
                return record.document
    return {}


def files_of_another(target: EditTarget, path: Path) -> list[Path]:
    """Return the files beside a label that would be replaced, or removed, and hold what the new ones do not.

    Parameters
    ----------
    target : EditTarget
    path : pathlib.Path
        Where the label is to be written.
    """
    record = _record(target, path)
    log, automatic = files_beside(path)
    now, before = original_of(target.node, target.volume_node), None if record is None else record.original
    others = [log] if record is None else []
    if before is None or (now and now.kind == AUTOMATIC and not np.array_equal(now.label.array, before.label.array)):
        others.append(automatic)
    return [each for each in others if each.exists()]


def files_beside(path: Path) -> tuple[Path, Path]:
    """Return where the log of the edits and the automatic result lie beside a signed label."""
    stem, suffix = split_name(path)
    image = suffix if suffix not in (SEG_NRRD, DICOM, *SURFACE_SUFFIXES) else ".nii.gz"
    return path.with_name(f"{stem}_edits.json"), path.with_name(f"{stem}_automatic{image}")


def split_name(path: Path) -> tuple[str, str]:
    """Return a file's name without its ending, and its ending in lower case; a `VesselSegError` if it is unknown."""
    name = path.name.lower()
    for suffix in (SEG_NRRD, DICOM, *SURFACE_SUFFIXES):
        if name.endswith(suffix) and len(name) > len(suffix):
            return path.name[: -len(suffix)], suffix
    suffix = image_suffix(path)
    return path.name[: -len(suffix)], suffix


def _record(target: EditTarget, path: Path) -> _Record | None:
    """Return the record beside a label with which the log goes on; None if there is none, or it cannot be read."""
    log, automatic = files_beside(path)
    try:
        document = json.loads(log.read_text(encoding="utf-8"))
        if not goes_on(target.node, document):
            return None
        original = None
        if document["before_edits"] and automatic.exists():
            label, kept = read_label(automatic), original_of(target.node, target.volume_node)
            if not label.geometry.same_grid(target.geometry):
                return None
            written = segment_tag(target.node, target.segment_id, WRITTEN_TAG) if kept is None else kept.written
            original = Original(label, str(document["before_edits"]), written)
    except (OSError, ValueError, LookupError, TypeError, VesselSegError):
        return None
    return _Record(document, original)
