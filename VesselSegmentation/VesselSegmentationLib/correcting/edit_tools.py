"""The vessel tools as a front end offers them: what each asks for, what its clicks would do, and doing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vesselseg.editing import Edit
from vesselseg.errors import VesselSegError
from VesselSegmentationLib.correcting.artery_editor import named_vessel
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.correcting.vessel_edits import Place

if TYPE_CHECKING:
    from vesselseg.editing import Growth, TracedPath
    from VesselSegmentationLib.correcting.edit_steps import EditStep

#: What can be set of a tool; a front end shows what the chosen one has.
THRESHOLD, LENGTH, RADIUS, CALIBRE = "threshold", "length", "radius", "calibre"
VESSEL, EXTENT, CHANGE = "vessel", "extent", "change"

#: How much of a vessel the tools for branches take.
BRANCH, FROM_CLICK, OTHER_SIDE, WHOLE_PIECE = "branch", "from click", "other side", "whole piece"
EXTENTS = (BRANCH, FROM_CLICK, OTHER_SIDE, WHOLE_PIECE)
#: What the brush may do.
BOTH, ADD_ONLY, REMOVE_ONLY = "both", "add", "remove"
CHANGES = (BOTH, ADD_ONLY, REMOVE_ONLY)
#: In place of the key of a named vessel: back to the segment that is edited.
UNNAMED = "unnamed"


@dataclass(frozen=True)
class ToolSettings:
    """What a user has set.

    Parameters
    ----------
    threshold : float
        Lowest probability of a vessel, in (0, 1].
    length_mm : float
        How far a region grows from the click.
    radius_mm : float
        Of the brush.
    calibre_mm : float
        Radius of a traced vessel; 0: as measured along it.
    vessel : str
        Key of a named vessel, see `artery_editor.NAMED_VESSELS`, or `UNNAMED`.
    extent : str
        One of `EXTENTS`.
    change : str
        One of `CHANGES`.
    """

    threshold: float = 0.3
    length_mm: float = 20.0
    radius_mm: float = 5.0
    calibre_mm: float = 0.0
    vessel: str = ""
    extent: str = BRANCH
    change: str = BOTH


class EditTool:
    """A tool between its first click and the moment when what it does is done.

    Parameters
    ----------
    edits : EditLogic

    Attributes
    ----------
    settings : tuple of str
        What can be set.
    needs_probability, needs_comparison : bool
        Whether it works only with the stored probability, or while the label is compared.
    clicks : int
        How many are needed at least; a tool that needs one begins anew with each.
    only_names : bool
        Whether what is a vessel stays one: voxels are neither added nor removed, they change their segment.
    """

    settings: tuple[str, ...] = ()
    needs_probability = needs_comparison = only_names = False
    clicks = 1

    def __init__(self, edits: EditLogic) -> None:
        self.edits = edits

    def suggested_threshold(self, points: list[Place], settings: ToolSettings) -> float | None:
        """Return a threshold to begin with at a click, None if the tool has none to suggest."""
        return None

    def preview(self, points: list[Place], settings: ToolSettings) -> Edit:
        """Return what would be done; a `VesselSegError` if nothing can be."""
        raise NotImplementedError

    def describe(self, edit: Edit, settings: ToolSettings) -> str:
        """Return in a line what a preview would do."""
        return edit.description

    def commit(self, edit: Edit, points: list[Place], settings: ToolSettings) -> EditStep | None:
        """Do what was previewed, as one step."""
        return self.edits.commit(edit)


class SegmentTool(EditTool):
    """A tool that works on one segment: the one that is edited, or a vessel that was given a name.

    Attributes
    ----------
    preposition : str
        What stands before that name.
    """

    preposition = "from"

    def __init__(self, edits: EditLogic) -> None:
        super().__init__(edits)
        self._segment_id = ""

    def describe(self, edit: Edit, settings: ToolSettings) -> str:
        """Return in a line what a preview would do, and to which segment if it is a named one."""
        name = _needed(self.edits.arteries).name_of(self._segment_id)
        return f"{edit.description} {self.preposition} {name}" if name else edit.description

    def commit(self, edit: Edit, points: list[Place], settings: ToolSettings) -> EditStep | None:
        """Do what was previewed, as one step."""
        return self.edits.commit(edit, segment_id=self._segment_id)


class ClickedTool(SegmentTool):
    """A tool that works on the segment at the last click."""

    def preview(self, points: list[Place], settings: ToolSettings) -> Edit:
        """Return what would be done to that segment."""
        self._segment_id = str(_needed(self.edits.arteries).segment_at(points[-1]))
        return self.preview_in(self._segment_id, points[-1], settings)

    def preview_in(self, segment_id: str, point: Place, settings: ToolSettings) -> Edit:
        """Return what would be done to a segment; a `VesselSegError` if nothing can be."""
        raise NotImplementedError


class AddingTool(SegmentTool):
    """A tool that adds to the segment out of which the added vessel grows."""

    preposition = "in"

    def preview(self, points: list[Place], settings: ToolSettings) -> Edit:
        """Return what would be added."""
        edit = self.addition(points, settings)
        self._segment_id = str(_needed(self.edits.arteries).segment_that_grows(edit))
        return edit

    def addition(self, points: list[Place], settings: ToolSettings) -> Edit:
        """Return what would be added, to whichever segment; a `VesselSegError` if nothing can be."""
        raise NotImplementedError


class RemovePiece(ClickedTool):
    """Remove the connected piece at a click."""

    def preview_in(self, segment_id: str, point: Place, settings: ToolSettings) -> Edit:
        """Return the edit that removes it."""
        return self.edits.preview_remove_piece(point, segment_id=segment_id)


class RemoveBranch(ClickedTool):
    """Remove the branch at a click, or the part of it beyond the click."""

    settings = (EXTENT,)

    def preview_in(self, segment_id: str, point: Place, settings: ToolSettings) -> Edit:
        """Return the edit that removes it."""
        if settings.extent == WHOLE_PIECE:
            return self.edits.preview_remove_piece(point, segment_id=segment_id)
        return self.edits.preview_remove_branch(point, segment_id=segment_id, **_branch(settings.extent))


class Grow(AddingTool):
    """Add what hangs together with a click."""

    settings = (THRESHOLD, LENGTH)
    needs_probability = True

    def __init__(self, edits: EditLogic) -> None:
        super().__init__(edits)
        self._prepared: tuple[Any, Growth] | None = None

    def suggested_threshold(self, points: list[Place], settings: ToolSettings) -> float | None:
        """Return half of the highest probability near the click."""
        return self._growth(points, settings).suggested_threshold

    def addition(self, points: list[Place], settings: ToolSettings) -> Edit:
        """Return the edit that adds it."""
        return self._growth(points, settings).edit(settings.threshold)

    def _growth(self, points: list[Place], settings: ToolSettings) -> Growth:
        # The slider of the threshold is moved to and fro: only the rest is worth keeping.
        key = (points[-1], settings.length_mm, self.edits.state)
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = key, self.edits.prepare_growth(points[-1], length_mm=settings.length_mm)
        return self._prepared[1]


class Trace(AddingTool):
    """Draw a vessel through clicks."""

    settings = (CALIBRE,)
    clicks = 2

    def __init__(self, edits: EditLogic) -> None:
        super().__init__(edits)
        self._traced: tuple[Any, TracedPath] | None = None

    def addition(self, points: list[Place], settings: ToolSettings) -> Edit:
        """Return the edit that draws it; a `VesselSegError` if vessels join the clicks already."""
        key = (tuple(points), self.edits.state)
        if self._traced is None or self._traced[0] != key:
            self._traced = key, self.edits.trace_path(points)
        edit = self.edits.preview_path(self._traced[1], radius_mm=settings.calibre_mm or None)
        if edit.is_empty:
            raise VesselSegError("vessels join these places already", "begin anew, with a click in between")
        return edit


class ThresholdBrush(ClickedTool):
    """Threshold the probability anew around a click."""

    preposition = "in"
    settings = (THRESHOLD, RADIUS, CHANGE)
    needs_probability = True

    def preview_in(self, segment_id: str, point: Place, settings: ToolSettings) -> Edit:
        """Return the edit that does it."""
        return self.edits.preview_threshold_brush(
            point,
            settings.threshold,
            radius_mm=settings.radius_mm,
            adds=settings.change != REMOVE_ONLY,
            removes=settings.change != ADD_ONLY,
            segment_id=segment_id,
        )


class NameVessel(ClickedTool):
    """Move the branch at a click to the segment of a named vessel, or back."""

    settings = (VESSEL, EXTENT)
    only_names = True

    def preview_in(self, segment_id: str, point: Place, settings: ToolSettings) -> Edit:
        """Return what would be moved."""
        arteries, extent = _needed(self.edits.arteries), settings.extent
        arteries.check_move(settings.vessel if settings.vessel != UNNAMED else None, segment_id)
        return arteries.preview(point, source_id=segment_id, whole_piece=extent == WHOLE_PIECE, **_branch(extent))

    def describe(self, edit: Edit, settings: ToolSettings) -> str:
        """Return what would be moved, and to which vessel."""
        text = super().describe(edit, settings).replace("remove", "move", 1)
        if settings.vessel == UNNAMED:
            return f"{text} back to the vessels without a name"
        return f"{text} to {named_vessel(settings.vessel).name}"

    def commit(self, edit: Edit, points: list[Place], settings: ToolSettings) -> EditStep | None:
        """Move it."""
        arteries = _needed(self.edits.arteries)
        if settings.vessel == UNNAMED:
            return arteries.move_back(edit, self._segment_id)
        return arteries.move(edit, settings.vessel, source_id=self._segment_id)


class CorrectError(EditTool):
    """Correct the error at a click."""

    needs_comparison = True

    def preview(self, points: list[Place], settings: ToolSettings) -> Edit:
        """Return what correcting it would do."""
        return _needed(self.edits.errors).preview_at(points[-1])

    def commit(self, edit: Edit, points: list[Place], settings: ToolSettings) -> EditStep | None:
        """Correct it, and mark it as accepted."""
        return _needed(self.edits.errors).correct_at(points[-1], self.edits.reader, previewed=edit)


def _branch(extent: str) -> dict[str, bool]:
    return {"at_click": extent == FROM_CLICK, "other_side": extent == OTHER_SIDE}


def _needed(editor: Any) -> Any:
    if editor is None:
        raise VesselSegError("nothing is edited", "choose a segmentation first")
    return editor
