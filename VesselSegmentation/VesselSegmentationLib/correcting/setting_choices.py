"""The choices among which the tools' settings are made: pairs of what a user reads and what a tool takes.

A front end that translates passes its function. It is called ``_`` here, too: programs that collect texts for
translation look for that name, and 3D Slicer finds a translation by the file in which it is called.
"""

from __future__ import annotations

from collections.abc import Callable

from VesselSegmentationLib.correcting import edit_tools
from VesselSegmentationLib.correcting.artery_editor import NAMED_VESSELS

Choices = tuple[tuple[str, str], ...]


def vessel_choices(_: Callable[[str], str] = str) -> Choices:
    """Return the vessels that a branch can be named after."""
    named = tuple((_(vessel.name), vessel.key) for vessel in NAMED_VESSELS)
    return (*named, (_("No name: back to the vessels"), edit_tools.UNNAMED))


def extent_choices(_: Callable[[str], str] = str) -> Choices:
    """Return how much of a vessel a tool for branches takes."""
    return (
        (_("The branch from its fork on"), edit_tools.BRANCH),
        (_("The branch from the click on"), edit_tools.FROM_CLICK),
        (_("The other side of the fork"), edit_tools.OTHER_SIDE),
        (_("The whole connected piece"), edit_tools.WHOLE_PIECE),
    )


def change_choices(_: Callable[[str], str] = str) -> Choices:
    """Return what the threshold around a click may do."""
    return (
        (_("Add and remove"), edit_tools.BOTH),
        (_("Only add"), edit_tools.ADD_ONLY),
        (_("Only remove"), edit_tools.REMOVE_ONLY),
    )
