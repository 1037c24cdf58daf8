"""The scan in 3D views, drawn so that a server without a graphics card keeps up."""

from __future__ import annotations

from typing import Any

import numpy as np

from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.node_geometry import share_transform
from VesselSegmentationLib.scene.scan_display import (
    VesselWindow,
    hide_volume_rendering,
    show_volume_rendering,
    vessel_window,
)
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

#: Voxels that one core casts rays through a few times a second; a larger scan is reduced to about so many.
_VOXELS = 4_000_000
_LEVELS = 255


class ScanRendering:
    """A volume rendering of one scan at a time.

    Parameters
    ----------
    scene : vtkMRMLScene
    software : bool
        Whether no graphics card draws: a reduced copy of the scan is shown then.
    """

    def __init__(self, scene: Any, *, software: bool) -> None:
        self.scene = scene
        self._software = software
        self._scan: Any = None
        self._node: Any = None
        self._window: VesselWindow | None = None

    @property
    def shown(self) -> bool:
        """Whether a scan is shown."""
        return self._node is not None

    def show(self, scan: Any, style: str, opacity: float) -> None:
        """Show a scan.

        Parameters
        ----------
        scan : vtkMRMLScalarVolumeNode
        style : str
            One of `scan_display.STYLES`.
        opacity : float
            Of the brightest voxels, in (0, 1].

        Raises
        ------
        VesselSegError
            If the scan has the same value everywhere.
        """
        if scan is not self._scan:
            self.hide()
            self._scan, self._node = scan, scan
            if self._software:
                self._node, self._window = self._reduced(scan)
        show_volume_rendering(
            self.scene, self._node, style, opacity=opacity, window=self._window, on_cpu=self._software
        )

    def hide(self) -> None:
        """Show it no more; a scan that has left the scene is only forgotten."""
        node, self._node = self._node, None
        scan, self._scan, self._window = self._scan, None, None
        if node is not None and self.scene.IsNodePresent(node):
            hide_volume_rendering(self.scene, node)
            if node is not scan:
                self.scene.RemoveNode(node)

    def _reduced(self, scan: Any) -> tuple[Any, VesselWindow]:
        volume = volume_from_node(scan)
        reduced, window = reduce_for_rendering(volume)
        node = self.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{scan.GetName()} (reduced)")
        node.SetHideFromEditors(True)
        node.SaveWithSceneOff()
        set_node_volume(node, reduced)
        share_transform(node, scan)
        return node, window


def reduce_for_rendering(scan: Volume, voxels: int = _VOXELS) -> tuple[Volume, VesselWindow]:
    """Return a smaller copy of a scan in which its vessels stay: as bright as they are, in 8 bits.

    Parameters
    ----------
    scan : Volume
    voxels : int
        About how many voxels the copy may have.

    Returns
    -------
    reduced : Volume
        uint8, of blocks' brightest voxels. All that is darker than tissue is 0, all of a full vessel 255.
    window : VesselWindow
        Intensities of the copy between which vessels show.

    Raises
    ------
    VesselSegError
        If the scan has the same value everywhere.
    """
    window = vessel_window(scan)
    scale = _LEVELS / (window.full - window.tissue)
    array = np.clip((scan.array - window.tissue) * scale, 0, _LEVELS).astype(np.uint8)
    factor = int(np.ceil((array.size / voxels) ** (1 / 3)))
    if factor > 1:
        for axis, size in enumerate(scan.array.shape):
            array = np.maximum.reduceat(array, np.arange(0, size, factor), axis=axis)
    # The first voxel of the copy lies in the middle of the first block.
    blocks = np.diag([factor, factor, factor, 1.0])
    blocks[:3, 3] = (factor - 1) / 2
    depth, height, width = array.shape
    geometry = Geometry.from_ijk_to_ras(scan.geometry.ijk_to_ras() @ blocks, (width, height, depth))
    faint = (window.faint - window.tissue) * scale
    return Volume(array, geometry), VesselWindow(0.0, faint, float(_LEVELS))
