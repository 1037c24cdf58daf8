"""Tools that correct a label of vessels: functions on arrays that return an `Edit` and leave their inputs alone."""

from vesselseg.editing.branches import moved_to, remove_branch
from vesselseg.editing.edit import Edit, PackedEdit, apply_edit, edit_between, edit_of, undo_edit
from vesselseg.editing.pieces import remove_piece

__all__ = [
    "Edit",
    "PackedEdit",
    "apply_edit",
    "edit_between",
    "edit_of",
    "moved_to",
    "remove_branch",
    "remove_piece",
    "undo_edit",
]
