"""What an edit would do, shown in slices and in 3D before it is done. Not saved with the scene."""

from __future__ import annotations

from typing import Any

from vesselseg.editing import Edit
from vesselseg.geometry import Geometry
from VesselSegmentationLib.scene.highlight import MARK_COLOR
from VesselSegmentationLib.scene.temporary_segmentation import TemporarySegment, TemporarySegmentation

#: Cyan and magenta: no kind of error has them in any palette, nor has the mark of the chosen one.
_ADDED, _REMOVED = ("To add", (0.1, 1.0, 1.0)), ("To remove", (1.0, 0.1, 1.0))
#: What stays as it is has that mark.
_KEPT = ("To keep", MARK_COLOR)


class EditPreview(TemporarySegmentation):
    """A segmentation node with two segments, one for what would be added and one for what would be removed.

    Parameters
    ----------
    scene : vtkMRMLScene
    """

    def __init__(self, scene: Any) -> None:
        super().__init__(scene, "Preview of an edit")

    def show_edit(self, edit: Edit, geometry: Geometry, volume_node: Any, *, kept: bool = False) -> None:
        """Show an edit in place of what was shown.

        Parameters
        ----------
        edit : Edit
        geometry : Geometry
            Grid of the whole label, in the coordinates of `volume_node`.
        volume_node : vtkMRMLScalarVolumeNode
            The scan; the preview goes under its transform.
        kept : bool
            Whether the edit is only about these voxels, and would leave them as they are.
        """
        if edit.is_empty:
            self.remove()
            return
        first = tuple(part.start for part in edit.box[::-1])
        parts = [(_KEPT, edit.added | edit.removed)] if kept else [(_ADDED, edit.added), (_REMOVED, edit.removed)]
        segments = [
            TemporarySegment(name, color, mask, geometry.ijk_to_ras(), first)
            for (name, color), mask in parts
            if mask.any()
        ]
        # With facets: a click may be about a whole tree.
        self.show(segments, volume_node, smoothly_shaded=False)
