"""Tools of the page beside those of `VesselSegmentationLib.correcting.edit_tools`: islands, and errors by click."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vesselseg.editing import Edit, edit_between, remove_piece
from vesselseg.errors import VesselSegError
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.postprocessing import min_component_voxels, remove_small_components
from vesselseg.review.error_components import ErrorComponent
from vesselseg.review.error_kinds import ErrorKind
from VesselSegmentationLib.correcting.edit_steps import EditStep
from VesselSegmentationLib.correcting.edit_tools import CorrectError, EditTool, ToolSettings
from VesselSegmentationLib.correcting.vessel_edits import Place
from VesselSegmentationLib.reviewing.component_marks import ACCEPTED, REJECTED

#: What can be set of these tools.
VOLUME, DECISION = "volume", "decision"


@dataclass(frozen=True)
class PageToolSettings(ToolSettings):
    """What a user has set, also of these tools.

    Parameters
    ----------
    volume_mm3 : float
        Smallest piece that is kept.
    decision : str
        `ACCEPTED` or `REJECTED`.
    """

    volume_mm3: float = 20.0
    decision: str = ACCEPTED


class KeepPiece(EditTool):
    """Remove everything but the connected piece (26-connected) at a click.

    Not Slicer's effect for islands: to that, voxels that touch at an edge or a corner only are separate islands, of
    which a thin artery has many. Keeping one would remove most of the vessel.
    """

    def preview(self, points: list[Place], settings: ToolSettings) -> Edit:
        """Return the edit that removes everything else."""
        target = self.edits.needed_target()
        label = target.label()
        piece = remove_piece(self.edits.all_vessels(), target.geometry, target.voxel_of(points[-1]))
        kept = np.zeros(label.shape, bool)
        kept[piece.box] = piece.removed
        return edit_between(
            label, kept & (label != 0), tool="keep piece", description="remove everything but one connected piece"
        )


class RemoveSmallPieces(EditTool):
    """Remove all connected pieces (26-connected) below a volume; no click is needed."""

    settings = (VOLUME,)
    clicks = 0

    def preview(self, points: list[Place], settings: ToolSettings) -> Edit:
        """Return the edit that removes them."""
        target = self.edits.needed_target()
        smallest = _page_settings(settings).volume_mm3
        found, label = self.edits.all_vessels() != 0, target.label() != 0
        box = bounding_box(found) or (slice(0, 1), slice(0, 1), slice(0, 1))
        least = min_component_voxels(smallest, target.geometry)
        return edit_between(
            label[box],
            label[box] & remove_small_components(found[box], least),
            tool="remove small pieces",
            description=f"remove connected pieces below {smallest:.1f} mm³",
            box=box,
            measures={"below_mm3": smallest},
        )


class DecideError(CorrectError):
    """Accept the error at a click, which corrects it, or reject it, which leaves the label as it is."""

    settings = (DECISION,)

    def only_notes(self, settings: ToolSettings) -> bool:
        """Tell whether the vessels would stay as they are."""
        return _page_settings(settings).decision == REJECTED

    def describe(self, edit: Edit, settings: ToolSettings) -> str:
        """Return what would be done."""
        if self.only_notes(settings):
            return f"reject this {_kind(edit).title}, keep the vessels"
        return edit.description

    def commit(self, edit: Edit, points: list[Place], settings: ToolSettings) -> EditStep | None:
        """Correct it and mark it as accepted, or only mark it as rejected."""
        errors = self.edits.errors
        if errors is None or not self.only_notes(settings):
            return super().commit(edit, points, settings)
        return errors.decide(_component(errors.components(), edit).component_id, REJECTED, self.edits.reader)


def _component(components: list[ErrorComponent], edit: Edit) -> ErrorComponent:
    box = tuple((part.start, part.stop - 1) for part in edit.box[::-1])
    voxels = edit.voxels_added + edit.voxels_removed
    for component in components:
        if (component.kind, component.voxels, tuple(zip(*component.box))) == (_kind(edit), voxels, box):
            return component
    raise VesselSegError("this error is not in the list", "wait until the list is made, or click on another one")


def _kind(edit: Edit) -> ErrorKind:
    return ErrorKind.FALSE_POSITIVE if edit.removed.any() else ErrorKind.FALSE_NEGATIVE


def _page_settings(settings: ToolSettings) -> PageToolSettings:
    return settings if isinstance(settings, PageToolSettings) else PageToolSettings()
