"""Tools that correct a label of vessels: functions on arrays that return an `Edit` and leave their inputs alone."""

from vesselseg.editing.branches import moved_to, remove_branch
from vesselseg.editing.edit import Edit, PackedEdit, check_edit, edit_between, edit_of
from vesselseg.editing.error_edits import correct_component, correct_components, correct_error_at, select_components
from vesselseg.editing.growing import Growth, prepare_growth
from vesselseg.editing.pieces import remove_piece
from vesselseg.editing.threshold_brush import rethreshold
from vesselseg.editing.tracing import TracedPath, draw_path, trace_path

__all__ = [
    "Edit",
    "Growth",
    "PackedEdit",
    "TracedPath",
    "check_edit",
    "correct_component",
    "correct_components",
    "correct_error_at",
    "draw_path",
    "edit_between",
    "edit_of",
    "moved_to",
    "prepare_growth",
    "remove_branch",
    "remove_piece",
    "rethreshold",
    "select_components",
    "trace_path",
]
