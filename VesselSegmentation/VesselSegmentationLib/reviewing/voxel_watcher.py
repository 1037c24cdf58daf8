"""Noticing that voxels of segmentations and volumes have changed, or lie elsewhere now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import slicer
from vtkmodules.util.misc import calldata_type
from vtkmodules.util.vtkConstants import VTK_OBJECT
from vtkmodules.vtkCommonCore import vtkCommand

#: In place of a role: a node has left the scene, be it one that is watched or not.
_REMOVED = "removed"


class VoxelWatcher:
    """Notes which of some nodes have changed since they were looked at last.

    Parameters
    ----------
    scene : vtkMRMLScene

    Attributes
    ----------
    changed : set of str
        Roles of the nodes that have changed; not empty either once any node has left the scene that is not hidden.
    """

    def __init__(self, scene: Any) -> None:
        self.changed: set[str] = set()
        self._scene = scene
        self._observed: list[tuple[Any, int]] = []

    def watch(self, nodes: Iterable[tuple[str, Any]]) -> None:
        """Watch nodes from now on, and no others; what has changed before stays noted.

        Parameters
        ----------
        nodes : iterable of tuple
            Roles and nodes; None instead of a node is left out.
        """
        self._observe_no_more()
        for role, node in nodes:
            if node is None:
                continue
            for event in _events_of(node):
                tag = node.AddObserver(event, lambda caller, event, role=role: self.changed.add(role))
                self._observed.append((node, tag))
        tag = self._scene.AddObserver(self._scene.NodeRemovedEvent, self._on_node_removed)
        self._observed.append((self._scene, tag))

    def take(self) -> set[str]:
        """Return what has changed, and note anew from now on."""
        changed, self.changed = self.changed, set()
        return changed

    def stop(self) -> None:
        """Watch nothing any more, and forget what has changed."""
        self._observe_no_more()
        self.changed = set()

    @calldata_type(VTK_OBJECT)
    def _on_node_removed(self, scene: Any, event: str, node: Any) -> None:
        if not node.GetHideFromEditors():  # marks and previews come and go
            self.changed.add(_REMOVED)

    def _observe_no_more(self) -> None:
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []


def _events_of(node: Any) -> Iterator[int]:
    """Return the events that may mean other voxels, or other places of them."""
    yield slicer.vtkMRMLTransformableNode.TransformModifiedEvent
    if node.IsA("vtkMRMLSegmentationNode"):
        segmentation = slicer.vtkSegmentation
        # Undo says no more than that the segment was modified.
        yield from (segmentation.SourceRepresentationModified, segmentation.SegmentModified)
        yield from (segmentation.SegmentAdded, segmentation.SegmentRemoved)
        yield slicer.vtkMRMLSegmentationNode.SegmentationChangedEvent
    else:
        yield from (slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, vtkCommand.ModifiedEvent)
