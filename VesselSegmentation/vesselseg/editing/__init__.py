"""Tools that correct a label of vessels: functions on arrays that return an `Edit` and leave their inputs alone."""

from vesselseg.editing.edit import Edit, PackedEdit, apply_edit, edit_between, edit_of, undo_edit

__all__ = ["Edit", "PackedEdit", "apply_edit", "edit_between", "edit_of", "undo_edit"]
