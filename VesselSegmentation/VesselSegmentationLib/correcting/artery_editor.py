"""Branches moved to segments of their own: arteries by their names, with SNOMED CT codes and colours that stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from vesselseg.boxes import box_between, shifted_box
from vesselseg.editing import Edit, moved_to, remove_branch, remove_piece
from vesselseg.editing.picking import SNAP_MM
from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume
from VesselSegmentationLib.correcting.edit_steps import EditStep
from VesselSegmentationLib.correcting.edit_target import EditTarget
from VesselSegmentationLib.reviewing.error_map_display import is_hidden
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.segment_voxels import find_segment
from VesselSegmentationLib.scene.segmentation_nodes import (
    ARTERY_PREFIX,
    ROLE_TAG,
    VEIN_PREFIX,
    segment_with_role,
    vessel_segment,
)

_REGIONS = "Anatomic codes - DICOM master list"
#: 3D Slicer's list, category and type; only the DICOM list has a side for veins, there as a structure of the body.
_ARTERY = "Segmentation category and type - 3D Slicer General Anatomy list~SCT^85756007^Tissue~SCT^51114001^Artery"
_VEIN = "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~SCT^29092000^Vein"
_SIDES = {"left": "SCT^7771000^Left", "right": "SCT^24028007^Right", "": "^^"}


@dataclass(frozen=True)
class NamedVessel:
    """A vessel that a segment can be named after.

    Parameters
    ----------
    key : str
        Short and fixed, as in ``MCA left``.
    region : str
        SNOMED CT code and meaning of the vessel, as in ``SCT^17232002^Middle Cerebral Artery``; empty if it has none.
    side : str
        "left", "right" or nothing.
    color : tuple of float
        Red, green, blue in [0, 1].
    is_vein : bool
    """

    key: str
    region: str
    side: str
    color: tuple[float, float, float]
    is_vein: bool = False

    @property
    def name(self) -> str:
        """For people."""
        meaning = self.region.split("^")[2].lower() if self.region else "veins"
        return f"{self.side} {meaning}".strip().capitalize()

    @property
    def terminology(self) -> str:
        """3D Slicer's serialised terminology entry."""
        if self.is_vein:
            # There is no region for the veins of one side of the brain: the side belongs to the type.
            return "~".join([_VEIN, _SIDES[self.side], _REGIONS, "^^", "^^"])
        return "~".join([_ARTERY, "^^", _REGIONS, self.region, _SIDES[self.side]])

    @property
    def role(self) -> str:
        """Value of the role tag of its segment."""
        return (VEIN_PREFIX if self.is_vein else ARTERY_PREFIX) + self.key


def _pair(
    key: str, region: str, color: tuple[float, float, float], *, is_vein: bool = False
) -> tuple[NamedVessel, NamedVessel]:
    """Return a vessel of both sides; the left one is darker."""
    left = (color[0] * 0.72, color[1] * 0.72, color[2] * 0.72)
    return NamedVessel(f"{key} left", region, "left", left, is_vein), NamedVessel(
        f"{key} right", region, "right", color, is_vein
    )


#: In the order of a list. None has a colour of the error map.
NAMED_VESSELS = (
    *_pair("ICA", "SCT^86117002^Internal Carotid Artery", (1.0, 0.62, 0.26)),
    *_pair("MCA", "SCT^17232002^Middle Cerebral Artery", (0.98, 0.86, 0.36)),
    *_pair("ACA", "SCT^60176003^Anterior Cerebral Artery", (0.94, 0.55, 0.75)),
    *_pair("PCA", "SCT^70382005^Posterior Cerebral Artery", (0.66, 0.47, 0.91)),
    NamedVessel("ACom", "SCT^8012006^Anterior Communicating Artery", "", (0.93, 0.72, 0.66)),
    *_pair("PCom", "SCT^43119007^Posterior Communicating Artery", (0.56, 0.62, 0.93)),
    NamedVessel("basilar", "SCT^59011009^Basilar Artery", "", (0.45, 0.85, 0.80)),
    *_pair("vertebral", "SCT^85234005^Vertebral artery", (0.73, 0.60, 0.45)),
    *_pair("veins", "", (0.0, 0.59, 0.81), is_vein=True),
)


def named_vessel(key: str) -> NamedVessel:
    """Return a vessel by its key; a `VesselSegError` if there is none of that name."""
    for vessel in NAMED_VESSELS:
        if vessel.key == key:
            return vessel
    raise VesselSegError(
        f"there is no vessel '{key}' in the list", f"choose one of {', '.join(each.key for each in NAMED_VESSELS)}"
    )


class ArteryEditor:
    """Move branches between the segment that is edited and segments with the names of arteries.

    Parameters
    ----------
    target : EditTarget
    """

    def __init__(self, target: EditTarget) -> None:
        self._target = target
        whole = LabelSource(target.node, target.segment_id)
        target.parts = lambda: [each for each in whole.segment_ids() if each != target.segment_id]
        target.apart = lambda: [each for key, each in self.segments().items() if named_vessel(key).is_vein]

    def segment_of(self, key: str) -> str | None:
        """Return the ID of the segment of a vessel, by its key; None if there is none yet."""
        return segment_with_role(self._target.node, named_vessel(key).role)

    def segments(self) -> dict[str, str]:
        """Return the IDs of the segments of all named vessels that there are, by their keys.

        None where another segment holds the vessels: they were taken out of that one.
        """
        if not self._has_names:
            return {}
        found = {vessel.key: self.segment_of(vessel.key) for vessel in NAMED_VESSELS}
        return {key: segment_id for key, segment_id in found.items() if segment_id is not None}

    def segment_at(self, point: tuple[float, float, float]) -> str:
        """Return the ID of the segment that a click is meant for: the one that is edited, or a named vessel."""
        return self._target.nearest_segment(point, list(self.segments().values()), SNAP_MM)

    def segment_that_grows(self, edit: Edit) -> str:
        """Return the ID of the segment to which what an edit adds belongs.

        The only one that it touches, be that a named vessel: what grows out of it is a part of it. The segment that is
        edited if it touches several, which it may join, or none, or the reader has hidden the one that it touches.
        """
        from scipy.ndimage import binary_dilation

        target = self._target
        starts = [max(part.start - 1, 0) for part in edit.box]
        stops = [min(part.stop + 1, size) for part, size in zip(edit.box, target.geometry.shape)]
        box = box_between(starts, stops)
        around = np.zeros([part.stop - part.start for part in box], bool)
        around[shifted_box(edit.box, [-start for start in starts])] = edit.added
        around = binary_dilation(around, np.ones((3, 3, 3)))
        touched = [
            segment_id
            for segment_id in (target.segment_id, *self.segments().values())
            if (around & target.in_box(segment_id, box)).any()
        ]
        if len(touched) == 1 and not is_hidden(target.node, touched[0]):
            return touched[0]
        return target.segment_id

    def name_of(self, segment_id: str) -> str:
        """Return the name of the segment of a named vessel; nothing for the segment that is edited."""
        if segment_id == self._target.segment_id:
            return ""
        return str(find_segment(self._target.node, segment_id).GetName())

    def all_vessels(self) -> NDArray[np.uint8]:
        """Return all vessels, named or not, veins as well: what tools add must not overlap with any. Read-only."""
        label, named = self._target.label(), self.segments()
        return self._target.label_with(list(named.values())) if named else label

    def preview(
        self,
        point: tuple[float, float, float],
        *,
        source_id: str | None = None,
        whole_piece: bool = False,
        at_click: bool = False,
        other_side: bool = False,
    ) -> Edit:
        """Return what would be moved away from a segment.

        Parameters
        ----------
        point : tuple of float
            The click, in mm, RAS of the world.
        source_id : str, optional
            The segment; the one that is edited unless given.
        whole_piece : bool
            The connected piece at the click, not the branch.
        at_click, other_side : bool
            As for `vesselseg.editing.remove_branch`.

        Raises
        ------
        VesselSegError
            If there is no label of that segment near the click.
        """
        target = self._target
        label = target.label_of(source_id or target.segment_id)
        voxel = target.voxel_of(point)
        if whole_piece:
            return remove_piece(label, target.geometry, voxel)
        whole = self.all_vessels()
        return remove_branch(label, target.geometry, voxel, at_click=at_click, other_side=other_side, whole=whole)

    def move(self, edit: Edit, key: str, *, source_id: str | None = None) -> EditStep | None:
        """Move what a preview takes away to the segment of a vessel, which is made if need be; one step.

        Parameters
        ----------
        edit : Edit
            As `preview` returns it.
        key : str
            As in `NAMED_VESSELS`.
        source_id : str, optional
            As for `preview`.

        Raises
        ------
        VesselSegError
            If the label has changed since, or it is in that segment already.
        """
        source_id = source_id or self._target.segment_id
        self.check_move(key, source_id)
        vessel = named_vessel(key)
        return self._move(edit, vessel.name, source_id, self.segment_of(key), vessel)

    def move_back(self, edit: Edit, source_id: str) -> EditStep | None:
        """Move what a preview takes away from a named vessel back to the segment that is edited; one step.

        Raises
        ------
        VesselSegError
            As for `move`.
        """
        self.check_move(None, source_id)
        name = str(find_segment(self._target.node, self._target.segment_id).GetName())
        return self._move(edit, name, source_id, self._target.segment_id, None)

    def check_move(self, key: str | None, source_id: str) -> None:
        """Refuse to move a branch to the segment in which it is, or out of a label of which named vessels are no part.

        None: to the segment that is edited.
        """
        if not self._has_names:
            name = find_segment(self._target.node, self._target.segment_id).GetName()
            raise VesselSegError(
                f"branches of '{name}' cannot be named: it is not the segment with the vessels",
                "edit the vessels, or move the segment to a segmentation of its own",
            )
        if key is None and source_id == self._target.segment_id:
            raise VesselSegError("the branch has no name yet", "click on a branch that has one")
        if key is not None and source_id == self.segment_of(key):
            raise VesselSegError(f"the branch is in '{named_vessel(key).name}' already", "choose another vessel")

    def whole_label(self) -> Volume:
        """Return the segment that is edited together with all named arteries, as one label: uint8, 0 or 1.

        Veins are left out: they were taken out of the arteries on purpose.
        """
        self._target.history.settle()
        return Volume(self._target.whole_label(), self._target.geometry)

    @property
    def _has_names(self) -> bool:
        # Asked each time: a run that keeps an edited label gives the role of the vessels to another segment.
        return vessel_segment(self._target.node) == self._target.segment_id

    def _move(
        self, edit: Edit, name: str, source_id: str, there: str | None, vessel: NamedVessel | None
    ) -> EditStep | None:
        target = self._target
        label = target.label_of(source_id)
        if not label[edit.box][edit.removed].all() or edit.added.any():
            raise VesselSegError("the label has changed since the branch was chosen", "click on it again")
        description = edit.description.replace("remove", "move", 1) + f" to {name}"
        with target.history.step("move to segment", description, measures=edit.measures) as made:
            if there is None and vessel is not None:
                there = _new_segment(target.node, vessel)
            if there is not None:
                addition = moved_to(edit, target.label_in_step(there))
                target.write(source_id, edit)
                target.write(there, addition)
        return made[0] if made else None


def _new_segment(node: Any, vessel: NamedVessel) -> str:
    segmentation = node.GetSegmentation()
    segment_id = str(segmentation.AddEmptySegment("", vessel.name, vessel.color))
    segment = segmentation.GetSegment(segment_id)
    segment.SetTag(ROLE_TAG, vessel.role)
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), vessel.terminology)
    segment.SetColorAutoGenerated(False)
    segment.SetNameAutoGenerated(False)
    return segment_id
