"""Probability and brain mask of a comparison: which nodes they are now, and their voxels on the grid of the scan."""

from __future__ import annotations

import contextlib
from typing import Any

from vesselseg.comparison import on_grid_of
from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume
from VesselSegmentationLib.reviewing.error_map_nodes import ErrorMapNode
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.run_record import present_probability, probability_of
from VesselSegmentationLib.scene.volume_nodes import volume_from_node

#: Roles of both among the nodes to which an error map refers.
PROBABILITY, MASK = "vesselseg.probability", "vesselseg.brain_mask"


class ReviewInputs:
    """What a comparison uses beside its two labels. Nodes may leave the scene, and the scan be segmented again.

    Parameters
    ----------
    scene : vtkMRMLScene
    error_map : ErrorMapNode
        Its node remembers both.
    probability_node : vtkMRMLScalarVolumeNode, optional
        The default is the one that belongs to the segmentation at the time.
    mask_node : vtkMRMLSegmentationNode or vtkMRMLScalarVolumeNode, optional
    """

    def __init__(
        self, scene: Any, error_map: ErrorMapNode, probability_node: Any = None, mask_node: Any = None
    ) -> None:
        self._scene = scene
        self._map = error_map
        source = error_map.sources[0]
        own = probability_of(source.node) if source.is_segmentation else None
        self._probability_is_own = probability_node is None or probability_node is own
        self._probability_node = own if probability_node is None else probability_node
        self._mask_node = mask_node
        self._refer(PROBABILITY, self._probability_node)
        self._refer(MASK, mask_node)

    @property
    def watched(self) -> list[tuple[str, Any]]:
        """Roles and nodes as they were seen last; None where there is none."""
        return [(PROBABILITY, self._probability_node), (MASK, self._mask_node)]

    @property
    def probability_node(self) -> Any:
        """The probability volume: one that was chosen, else the one that now belongs to the segmentation, or None."""
        chosen = None if self._probability_is_own else self._probability_node
        return present_probability(self._scene, chosen, self._map.sources[0].node)

    @property
    def mask_node(self) -> Any:
        """The brain mask; None if none was given, or it was removed."""
        return self._mask_node if self._mask_node is not None and self._scene.IsNodePresent(self._mask_node) else None

    @property
    def mask_was_removed(self) -> bool:
        """Whether there was a mask that has left the scene."""
        return self._mask_node is not None and self.mask_node is None

    def use_mask(self, node: Any) -> None:
        """Take another mask, or none."""
        self._mask_node = node
        self._refer(MASK, node)

    def follow_probability(self) -> bool:
        """Take the probability volume that there is now; tell whether it is another one."""
        node = self.probability_node
        if node is None or node is self._probability_node:
            return False
        self._probability_node, self._probability_is_own = node, True
        self._refer(PROBABILITY, node)
        return True

    def probability(self) -> Volume | None:
        """Return the probability on the grid of the scan; None if there is none."""
        node = self.probability_node
        if node is None:
            return None
        return on_grid_of(volume_from_node(node), self._map.errors, what="the probability", of="the scan")

    def fitting_probability(self) -> Volume | None:
        """Return the probability for the list of errors, which is made without one that does not fit."""
        with contextlib.suppress(VesselSegError):
            return self.probability()
        return None

    def mask(self) -> Volume | None:
        """Return the brain mask on the grid of the scan; None if there is none."""
        node = self.mask_node
        return None if node is None else LabelSource(node).label_on(self._map.volume_node, "brain mask")[0]

    def _refer(self, role: str, node: Any) -> None:
        self._map.node.SetNodeReferenceID(role, node.GetID() if node is not None else None)
