"""The mark around one piece of a label, which can blink."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.geometry import Geometry
from VesselSegmentationLib.scene.temporary_segmentation import TemporarySegment, TemporarySegmentation

#: Yellow: no kind of error has it in any palette.
MARK_COLOR = (1.0, 0.95, 0.1)
_NAME = "Highlight"
_LINE_WIDTH = 3


def _outline(display_node: Any) -> None:
    display_node.SetVisibility2DFill(False)
    display_node.SetSliceIntersectionThickness(_LINE_WIDTH)


class Highlight(TemporarySegmentation):
    """An outline in slices and a surface in 3D around one piece of a label.

    Parameters
    ----------
    scene : vtkMRMLScene
    """

    def __init__(self, scene: Any) -> None:
        super().__init__(scene, _NAME, _outline)

    def mark(self, mask: NDArray[np.bool_], geometry: Geometry, volume_node: Any, *, three_d: bool = True) -> None:
        """Mark a piece.

        Parameters
        ----------
        mask : ndarray of bool, shape (Z, Y, X)
        geometry : Geometry
            Its grid, in the coordinates of `volume_node`.
        volume_node : vtkMRMLScalarVolumeNode
            The scan; the mark goes under its transform.
        three_d : bool
            Whether it is marked in 3D, too.
        """
        from scipy import ndimage

        # One voxel wider, so that the outline runs around the piece and the surface covers its own.
        wider = ndimage.binary_dilation(np.pad(mask, 1), np.ones((3, 3, 3)))
        piece = TemporarySegment(_NAME, MARK_COLOR, wider, geometry.ijk_to_ras(), (-1, -1, -1))
        self.show([piece], volume_node, three_d=three_d)
