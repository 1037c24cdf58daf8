"""One change of a label as a value: it can be looked at, applied, reversed and kept in little memory."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.boxes import Box, box_start, shifted_box
from vesselseg.errors import VesselSegError
from vesselseg.morphology.label_voxels import bounding_box

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Edit:
    """Voxels that a tool adds to a label, and voxels that it removes.

    It belongs to the label from which it was made: `added` holds only voxels that were background, `removed` only
    voxels of the label. That is why undoing it gives back the very same voxels.

    Parameters
    ----------
    box : tuple of slice
        Along z, y, x of the whole array; holds all changes.
    added, removed : ndarray of bool
        Of the box's shape.
    tool : str
        Name of the tool, as in ``remove branch``; for the edit log.
    description : str
        One line for people: what the edit does.
    measures : mapping of str to float
        What the tool measured, by name and unit, as in ``length_mm``.
    """

    box: Box
    added: Mask
    removed: Mask
    tool: str
    description: str
    measures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = tuple(part.stop - part.start for part in self.box)
        for mask in (self.added, self.removed):
            if mask.shape != shape:
                raise ValueError(f"the box has shape {shape}, a mask {mask.shape}")

    @property
    def voxels_added(self) -> int:
        """Number of voxels that the edit adds."""
        return int(np.count_nonzero(self.added))

    @property
    def voxels_removed(self) -> int:
        """Number of voxels that the edit removes."""
        return int(np.count_nonzero(self.removed))

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not (self.added.any() or self.removed.any())

    def apply(self, label: NDArray[Any]) -> None:
        """Change a label in place.

        Parameters
        ----------
        label : ndarray, shape (Z, Y, X)
            bool, or integers 0 and 1.

        Raises
        ------
        VesselSegError
            As `check_edit`.
        """
        check_edit(self, label)
        voxels = label[self.box]
        voxels[self.added] = 1
        voxels[self.removed] = 0

    def reversed(self) -> Edit:
        """Return the edit that takes this one back: applied after it, it leaves the label as it was."""
        return replace(self, added=self.removed, removed=self.added)

    def packed(self) -> PackedEdit:
        """Return the same edit in little memory."""
        return PackedEdit(
            self.box, pack_mask(self.added), pack_mask(self.removed), self.tool, self.description, dict(self.measures)
        )


@dataclass(frozen=True)
class PackedEdit:
    """An `Edit` as a history keeps it: a bit a voxel, compressed.

    Parameters
    ----------
    box : tuple of slice
    added, removed : bytes
    tool, description : str
    measures : mapping of str to float
        All as in `Edit`.
    """

    box: Box
    added: bytes
    removed: bytes
    tool: str
    description: str
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Memory of the voxels, in bytes."""
        return len(self.added) + len(self.removed)

    def unpacked(self) -> Edit:
        """Return the edit that was packed."""
        shape = tuple(part.stop - part.start for part in self.box)
        added, removed = (unpack_mask(bits, shape) for bits in (self.added, self.removed))
        return Edit(self.box, added, removed, self.tool, self.description, dict(self.measures))


def pack_mask(mask: Mask) -> bytes:
    """Return a mask in little memory: a bit a voxel, compressed."""
    return zlib.compress(np.packbits(mask).tobytes(), 1)


def unpack_mask(packed: bytes, shape: tuple[int, ...]) -> Mask:
    """Return the mask of a shape that `pack_mask` packed."""
    bits = np.frombuffer(zlib.decompress(packed), np.uint8)
    return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)


def check_edit(edit: Edit, label: NDArray[Any]) -> None:
    """Refuse an edit that was made from another state of a label: undoing it would not give back what was there.

    Parameters
    ----------
    edit : Edit
    label : ndarray, shape (Z, Y, X)
        What it is about to change: bool, or integers 0 and 1.

    Raises
    ------
    VesselSegError
        If the label is no longer as it was when the edit was made.
    """
    if any(part.start < 0 or part.stop > size for part, size in zip(edit.box, label.shape)):
        raise VesselSegError(f"'{edit.tool}' was made for a larger label", "use the tool again on this label")
    voxels = label[edit.box]
    if voxels[edit.added].any() or not voxels[edit.removed].all():
        raise VesselSegError(f"the label has changed since '{edit.tool}' was prepared", "use the tool again")


def edit_between(
    before: NDArray[Any],
    after: NDArray[Any],
    *,
    tool: str,
    description: str,
    box: Box | None = None,
    measures: Mapping[str, float] | None = None,
) -> Edit:
    """Make an edit from a label before and after a change.

    Parameters
    ----------
    before, after : ndarray, shape (Z, Y, X)
        Labels of one shape, or the same box out of two labels; every value other than 0 belongs to them.
    tool, description : str
        As in `Edit`.
    box : tuple of slice, optional
        That box within the whole array, along z, y, x.
    measures : mapping of str to float, optional
        As in `Edit`.

    Returns
    -------
    Edit
        Cropped to what has changed; an empty box if nothing has.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if before.shape != after.shape:
        raise ValueError(f"labels of shapes {before.shape} and {after.shape} cannot be compared")
    was, now = before.astype(bool, copy=False), after.astype(bool, copy=False)
    return edit_of(now & ~was, was & ~now, tool=tool, description=description, box=box, measures=measures)


def edit_of(
    added: Mask,
    removed: Mask,
    *,
    tool: str,
    description: str,
    box: Box | None = None,
    measures: Mapping[str, float] | None = None,
) -> Edit:
    """Make an edit of two masks over one box, cropped to what they hold.

    Parameters
    ----------
    added, removed : ndarray of bool, shape (Z, Y, X)
        Background that becomes label, and label that becomes background.
    tool, description, box, measures
        As for `edit_between`.

    Returns
    -------
    Edit
    """
    inner = bounding_box(added | removed) or (slice(0, 0), slice(0, 0), slice(0, 0))
    place = inner if box is None else shifted_box(inner, box_start(box))
    # Copies, so that a small edit does not keep a large array alive.
    return Edit(place, added[inner].copy(), removed[inner].copy(), tool, description, dict(measures or {}))
