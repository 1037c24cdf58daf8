"""What edits are measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from VesselSegmentationLib.correcting.edit_logic import EditLogic
    from VesselSegmentationLib.reviewing.review_logic import ReviewLogic
    from VesselSegmentationLib.scene.label_source import LabelSource


def compared_reference(edits: EditLogic, review: ReviewLogic) -> LabelSource | None:
    """Return the reference of the comparison, for `EditLogic.measure_against`; None if it is not of what is edited."""
    error_map, errors = review.error_map, edits.errors
    return error_map.sources[1] if error_map is not None and errors is not None and errors.applies else None
