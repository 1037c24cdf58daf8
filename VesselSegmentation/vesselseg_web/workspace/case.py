"""One visitor's work: a scene with one scan, the vessels found in it, and what they are compared with."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np
from numpy.typing import NDArray
from undo_stack import Signal

from vesselseg.errors import VesselSegError
from vesselseg.image_io import UNSURE
from vesselseg.volume import Volume
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.jobs.worker import PythonCommand
from VesselSegmentationLib.reviewing.review_logic import ReviewLogic
from VesselSegmentationLib.scene.label_source import UNSURE_ROLE, LabelSource, remember_image
from VesselSegmentationLib.scene.run_record import probability_of
from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role, set_segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node, volume_geometry
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic

#: Roles of segments that were not found but given.
_REFERENCE_ROLE, _MASK_ROLE = "reference", "brain mask"
#: Attribute of their nodes: what a reader should know of how they were taken, see `given_notes`.
_NOTES = "vesselseg.page.notes"
#: Share of a scan below which a brain mask is hardly one.
_LEAST_MASK_SHARE = 0.02
#: Not a colour of error maps.
_REFERENCE_COLOR = (0.95, 0.85, 0.35)


class Case:
    """The scene and what in it is meant by scan, vessels and references.

    Parameters
    ----------
    scene : vtkMRMLScene
    python : PythonCommand, optional
        How to start Python for the worker processes.

    Attributes
    ----------
    segmentation : SegmentationLogic
    review : ReviewLogic
    edits : EditLogic
        Corrects the vessels found.
    scan : vtkMRMLScalarVolumeNode or None
    vessels : vtkMRMLSegmentationNode or None
        The vessels found.
    mask : vtkMRMLSegmentationNode or None
        A brain mask that was given.
    references : dict
        Segmentations to compare with, by their names.
    """

    #: A scan took the place of another, or was taken away.
    scan_changed = Signal()
    #: Vessels were found, a reference or a mask was added.
    labels_changed = Signal()
    #: Other runs or thresholds than before have made the vessels: such a step was undone, or done again.
    run_changed = Signal()

    def __init__(self, scene: Any, python: PythonCommand | None = None) -> None:
        self.scene = scene
        self.segmentation = SegmentationLogic(scene, python)
        self.review = ReviewLogic(scene, python)
        self.edits = EditLogic(scene)
        self._forget()

    def _forget(self) -> None:
        self.scan: Any = None
        self.vessels: Any = None
        self.mask: Any = None
        self.references: dict[str, Any] = {}

    def clear(self) -> None:
        """Take everything out of the scene."""
        self.edits.stop()
        self.review.stop()
        self._forget()
        self.scan_changed.emit()
        self.scene.Clear(0)

    def load_scan(self, scan: Volume, name: str) -> None:
        """Begin anew with a scan."""
        self.clear()
        node = self.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        set_node_volume(node, scan)
        node.CreateDefaultDisplayNodes()
        self.scan = node
        self.scan_changed.emit()

    def add_reference(self, label: Volume, name: str, unsure: Volume | None = None) -> str:
        """Add vessels to compare with.

        Parameters
        ----------
        label : Volume
        name : str
        unsure : Volume, optional
            As `vesselseg.image_io.read_reference` returns it: nothing is counted there, which `given_notes` says.

        Returns
        -------
        str
            The name under which they stand in `references`.

        Raises
        ------
        VesselSegError
            If there is no scan, or the label does not overlap with it.
        """
        if unsure is not None:
            label = label.with_array(np.where(unsure.array != 0, np.uint8(UNSURE), label.array))
        return self._add_reference(self._label_node(label, name, _REFERENCE_ROLE), name)

    def take_label_volume(self, volume_node: Any) -> Any:
        """Offer a label volume that has come into the scene as a reference; as `add_reference`.

        Returns
        -------
        vtkMRMLSegmentationNode
            Its label on the grid of the scan: the volume itself is not needed any more.
        """
        name = str(volume_node.GetName())
        node = self._segmentation_of(volume_node, name, _REFERENCE_ROLE)
        self._add_reference(node, name)
        return node

    def set_mask(self, label: Volume, name: str) -> None:
        """Take a brain mask in place of the one before, if there was one; as `add_reference`."""
        node = self._label_node(label, name, _MASK_ROLE)
        if self.mask is not None:
            self.scene.RemoveNode(self.mask)
        self.mask = node
        self.labels_changed.emit()

    def take_nodes(self, scan: Any, vessels: Any, mask: Any, references: dict[str, Any]) -> None:
        """Go on with nodes that have come into the scene; a `VesselSegError` if the vessels cannot be edited."""
        self.scan, self.mask, self.references = scan, mask, references
        self.scan_changed.emit()
        if vessels is not None:
            self.take_vessels(vessels)
        else:
            self.labels_changed.emit()

    def take_vessels(self, segmentation_node: Any) -> None:
        """Remember which segmentation holds the vessels found; from then on they can be edited.

        If it is they that are edited already, the history goes on: what was found now is a step of it.
        """
        self.vessels = segmentation_node
        target, found = self.edits.target, segment_with_role(segmentation_node)
        if target is None or (target.node, target.segment_id) != (segmentation_node, found):
            self.edits.start(segmentation_node, self.scan, review=self.review)
        self.labels_changed.emit()

    @property
    def has_vessels(self) -> bool:
        """Whether vessels were found."""
        return self.vessels is not None and segment_with_role(self.vessels) is not None

    @property
    def probability_node(self) -> Any:
        """The probability map that belongs to the vessels, or None."""
        return probability_of(self.vessels) if self.vessels is not None else None

    def compare(self, reference: str) -> None:
        """Compare the vessels with one of `references`; `review` follows them from then on.

        Raises
        ------
        VesselSegError
            If there are no vessels or no such reference, or they do not fit.
        """
        if not self.has_vessels:
            raise VesselSegError("there are no vessels yet", "segment the scan first")
        node = self.references.get(reference)
        if node is None:
            raise VesselSegError("no reference is chosen", "open one")
        self.review.start(LabelSource(self.vessels), LabelSource(node), volume_node=self.scan)

    def label(self) -> Volume:
        """Return a copy of the vessels on the grid of the scan.

        Raises
        ------
        VesselSegError
            If there are none.
        """
        if not self.has_vessels:
            raise VesselSegError("there are no vessels yet", "segment the scan first")
        return LabelSource(self.vessels).label_on(self.scan, "segmentation")[0]

    def probability(self) -> Volume:
        """Return a copy of the probability map; a `VesselSegError` if there is none."""
        node = self.probability_node
        if node is None:
            raise VesselSegError("there is no probability map yet", "segment the scan first")
        volume = volume_from_node(node)
        return volume.with_array(volume.array.copy())

    def error_map(self) -> Volume:
        """Return a copy of the error map; a `VesselSegError` if there is none."""
        if self.review.error_map is None:
            raise VesselSegError("nothing is compared", "compare the vessels with a reference first")
        errors = self.review.error_map.errors
        return errors.with_array(errors.array.copy())

    def _add_reference(self, node: Any, name: str) -> str:
        unique = unlike(name, self.references)
        self.references[unique] = node
        self.labels_changed.emit()
        return unique

    def _label_node(self, label: Volume, name: str, role: str) -> Any:
        if self.scan is None:
            raise VesselSegError("there is no scan yet", "load the scan first")
        # Through a label volume, as the panel's selectors offer it: a label may lie on a grid of its own.
        volume_node = self.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", name)
        try:
            set_node_volume(volume_node, label)
            return self._segmentation_of(volume_node, name, role)
        finally:
            self.scene.RemoveNode(volume_node)

    def _segmentation_of(self, volume_node: Any, name: str, role: str) -> Any:
        source = LabelSource(volume_node)
        is_reference = role == _REFERENCE_ROLE
        on_scan, notes = (source.reference_on if is_reference else source.label_on)(self.scan, role)
        node = self.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        self._set_segment(node, on_scan.array == 1, name, role)
        unsure = on_scan.array == UNSURE
        if unsure.any():
            segment_id = self._set_segment(node, unsure, f"{name}, unsure", UNSURE_ROLE)
            node.GetDisplayNode().SetSegmentVisibility(segment_id, False)
        node.GetDisplayNode().SetVisibility(False)
        image = source.image_on(self.scan)
        if is_reference and image is not None:
            remember_image(node, image)
        notes = [*notes, *_size_notes(on_scan.array, name, role)]
        node.SetAttribute(_NOTES, "\n".join(notes) or None)
        return node

    def _set_segment(self, node: Any, mask: NDArray[np.bool_], name: str, role: str) -> str:
        label = Volume(mask, volume_geometry(self.scan))
        return set_segment_label(node, self.scan, label, name=name, role=role, color=_REFERENCE_COLOR)


def _size_notes(label: NDArray[np.uint8], name: str, role: str) -> list[str]:
    """Say of a label on the grid of the scan that it marks less than can be meant."""
    share = np.count_nonzero(label) / label.size
    if role == _MASK_ROLE and share < _LEAST_MASK_SHARE:
        return [f"the {role} '{name}' covers only {share:.1%} of the scan: no vessel is found outside it"]
    return [] if share else [f"the {role} '{name}' marks no voxel of the scan"]


def given_notes(node: Any) -> list[str]:
    """Return what a reader should know of how a reference or a mask was taken, such as that it was resampled."""
    return str(node.GetAttribute(_NOTES) or "").splitlines()


def unlike(name: str, others: Container[str]) -> str:
    """Return a name that is none of others, with a number if need be."""
    unique, number = name, 1
    while unique in others:
        number += 1
        unique = f"{name} ({number})"
    return unique


def grid_text(volume_node: Any) -> str:
    """Return size and spacing of a scan in words."""
    geometry = volume_geometry(volume_node)
    size = " × ".join(str(n) for n in geometry.size)
    spacing = " × ".join(f"{s:.2f}" for s in geometry.spacing)
    return f"{size} voxels of {spacing} mm"
