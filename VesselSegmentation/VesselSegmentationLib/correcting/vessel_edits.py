"""What the vessel tools would do to a label, from clicks: edits that are previewed and committed elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.comparison import on_grid_of
from vesselseg.editing import (
    Edit,
    Growth,
    TracedPath,
    draw_path,
    prepare_growth,
    remove_branch,
    remove_piece,
    rethreshold,
    trace_path,
)
from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume
from VesselSegmentationLib.correcting.artery_editor import ArteryEditor
from VesselSegmentationLib.correcting.edit_target import EditTarget
from VesselSegmentationLib.scene.run_record import present_probability
from VesselSegmentationLib.scene.volume_nodes import volume_from_node

#: A place in mm, RAS of the world, as the views have it.
Place = tuple[float, float, float]


class VesselEdits:
    """Edits made from clicks on the segment that is edited; nothing here changes it.

    Parameters
    ----------
    scene : vtkMRMLScene

    Attributes
    ----------
    target : EditTarget or None
        What is edited.
    arteries : ArteryEditor or None
        Naming branches. What tools add must not overlap with vessels that were given names.
    """

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        self.target: EditTarget | None = None
        self.arteries: ArteryEditor | None = None
        self._probability_node: Any = None
        self._probability: tuple[int, Volume] | None = None

    def preview_remove_piece(self, point: Place, *, segment_id: str | None = None) -> Edit:
        """Return the edit that removes the connected piece at a click; see `vesselseg.editing.remove_piece`.

        Parameters
        ----------
        point : tuple of float
        segment_id : str, optional
            From a named vessel (see `ArteryEditor.segment_at`); from the segment that is edited unless given.
        """
        target = self.needed_target()
        return remove_piece(self._label_of(segment_id), target.geometry, target.voxel_of(point))

    def preview_remove_branch(
        self, point: Place, *, at_click: bool = False, other_side: bool = False, segment_id: str | None = None
    ) -> Edit:
        """Return the edit that removes a branch from the fork, or from the click, on.

        Parameters
        ----------
        point : tuple of float
        at_click, other_side : bool
            As for `vesselseg.editing.remove_branch`.
        segment_id : str, optional
            As for `preview_remove_piece`.
        """
        target = self.needed_target()
        voxel, label, whole = target.voxel_of(point), self._label_of(segment_id), self.all_vessels()
        return remove_branch(label, target.geometry, voxel, at_click=at_click, other_side=other_side, whole=whole)

    def prepare_growth(self, point: Place, *, length_mm: float = 20.0) -> Growth:
        """Return what can grow from a click, to be tried at one threshold after another with `Growth.edit`."""
        target = self.needed_target()
        probability = self._needed_probability()
        voxel = target.voxel_of(point)
        return prepare_growth(self.all_vessels(), probability, target.geometry, voxel, length_mm=length_mm)

    def trace_path(self, points: Sequence[Place]) -> TracedPath:
        """Return the path of least cost through clicks, to be drawn with `preview_path`."""
        target = self.needed_target()
        voxels = [target.voxel_of(point) for point in points]
        probability = self.probability()
        return trace_path(
            self.all_vessels(),
            target.geometry,
            voxels,
            scan=volume_from_node(target.volume_node).array,
            probability=None if probability is None else probability.array,
        )

    def preview_path(self, path: TracedPath, *, radius_mm: float | None = None) -> Edit:
        """Return the edit that draws a traced path; see `vesselseg.editing.draw_path`."""
        target = self.needed_target()
        return draw_path(self.all_vessels(), target.geometry, path, radius_mm=radius_mm)

    def preview_threshold_brush(
        self,
        point: Place,
        threshold: float,
        *,
        radius_mm: float = 5.0,
        adds: bool = True,
        removes: bool = True,
        segment_id: str | None = None,
    ) -> Edit:
        """Return the edit that thresholds the probability anew in a sphere; see `vesselseg.editing.rethreshold`.

        Parameters
        ----------
        point : tuple of float
        threshold, radius_mm, adds, removes
            As for `vesselseg.editing.rethreshold`.
        segment_id : str, optional
            As for `preview_remove_piece`; what belongs to other segments stays theirs.
        """
        target, probability = self.needed_target(), self._needed_probability()
        options = {"threshold": threshold, "radius_mm": radius_mm}
        voxel, vessels = target.voxel_of(point), self.all_vessels()
        edit = rethreshold(vessels, probability, target.geometry, voxel, adds=adds, removes=removes, **options)
        return replace(edit, removed=edit.removed & (self._label_of(segment_id)[edit.box] != 0))

    def probability(self) -> Volume | None:
        """Return the stored probability on the grid of the scan; None if there is none."""
        target = self.needed_target()
        node = present_probability(self.scene, self._probability_node, target.node)
        if node is None or node.GetImageData() is None:
            return None
        state = int(node.GetImageData().GetMTime())
        if self._probability is None or self._probability[0] != state:
            grid = volume_from_node(target.volume_node)
            self._probability = state, on_grid_of(volume_from_node(node), grid, what="the probability", of="the scan")
        return self._probability[1]

    def _needed_probability(self) -> NDArray[np.floating]:
        probability = self.probability()
        if probability is None:
            raise VesselSegError(
                "the probability of this segmentation is not in the scene", "segment the scan again, or trace by clicks"
            )
        return probability.array

    def _label_of(self, segment_id: str | None) -> NDArray[np.uint8]:
        target = self.needed_target()
        return target.label() if segment_id is None else target.label_of(segment_id)

    def all_vessels(self) -> NDArray[np.uint8]:
        """Return what pieces are pieces of: a branch that hangs on a named vessel is no piece of its own."""
        target = self.needed_target()
        return target.label() if self.arteries is None else self.arteries.all_vessels()

    def needed_target(self) -> EditTarget:
        """Return what is edited.

        Raises
        ------
        VesselSegError
            If nothing is.
        """
        if self.target is None:
            raise VesselSegError("nothing is edited", "choose a segmentation first")
        return self.target
