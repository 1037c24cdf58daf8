"""What an edit would do, shown in slices and in 3D before it is done. Not saved with the scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from vesselseg.editing import Edit
from vesselseg.geometry import Geometry
from VesselSegmentationLib.node_geometry import share_transform
from VesselSegmentationLib.segment_voxels import oriented_image
from VesselSegmentationLib.segmentation_nodes import set_surface_shown

#: Cyan and magenta: no kind of error has them in any palette, nor has the mark of the chosen one.
_COLORS = {"To add": (0.1, 1.0, 1.0), "To remove": (1.0, 0.1, 1.0)}
_LABELMAP = "Binary labelmap"


class EditPreview:
    """A segmentation node with two segments, one for what would be added and one for what would be removed.

    Parameters
    ----------
    scene : vtkMRMLScene
    """

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        self.node: Any = None

    @property
    def shown(self) -> bool:
        """Whether there is anything to see."""
        return self.node is not None and bool(self.scene.IsNodePresent(self.node))

    def show(self, edit: Edit, geometry: Geometry, volume_node: Any, *, three_d: bool = True) -> None:
        """Show an edit in place of what was shown.

        Parameters
        ----------
        edit : Edit
        geometry : Geometry
            Grid of the whole label, in the coordinates of `volume_node`.
        volume_node : vtkMRMLScalarVolumeNode
            The scan; the preview goes under its transform.
        three_d : bool
            Whether it is shown in 3D, too.
        """
        self.remove()
        if edit.is_empty:
            return
        node = slicer.vtkMRMLSegmentationNode()
        node.SetName("Preview of an edit")
        node.SetHideFromEditors(True)
        node.SaveWithSceneOff()
        self.node = self.scene.AddNode(node)
        self.node.CreateDefaultDisplayNodes()
        self.node.GetDisplayNode().SaveWithSceneOff()
        share_transform(self.node, volume_node)
        first = tuple(part.start for part in edit.box[::-1])
        for (name, color), mask in zip(_COLORS.items(), (edit.added, edit.removed)):
            if mask.any():
                self._add(name, color, mask, geometry.ijk_to_ras(), first)
        if three_d:
            set_surface_shown(self.node, True)

    def remove(self) -> None:
        """Show nothing any more."""
        if self.shown:
            display_node = self.node.GetDisplayNode()
            self.scene.RemoveNode(self.node)
            if display_node is not None and self.scene.IsNodePresent(display_node):
                self.scene.RemoveNode(display_node)
        self.node = None

    def _add(
        self,
        name: str,
        color: tuple[float, float, float],
        mask: NDArray[np.bool_],
        ijk_to_ras: NDArray[np.float64],
        first: tuple[int, ...],
    ) -> None:
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.SetColor(*color)
        segment.AddRepresentation(_LABELMAP, oriented_image(mask, ijk_to_ras, first))
        self.node.GetSegmentation().AddSegment(segment, name)
