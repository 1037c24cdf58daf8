"""Takes the place of 3D Slicer's subject hierarchy, of which ``slicer-core`` has the node and not the plugins.

Stands for qSlicerSegmentationsModule::onNodeAdded and qSlicerSubjectHierarchySegmentationsPlugin: no item is made for a
hidden node, and each change of a segmentation without an item is an error in the application's log.
"""

from __future__ import annotations

import slicer
import vtk

_CHANGES = {
    slicer.vtkSegmentation.SegmentAdded: "segment added",
    slicer.vtkSegmentation.SegmentRemoved: "segment removed",
    slicer.vtkSegmentation.SegmentModified: "segment modified",
    slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent: "display modified",
}


class SubjectHierarchy:
    """Follows a scene.

    Attributes
    ----------
    errors : list of str
        What 3D Slicer would have written to its log.
    """

    def __init__(self, scene):
        self.errors = []
        scene.AddObserver(scene.NodeAddedEvent, self._on_node_added)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_added(self, scene, event, node):
        if node.IsA("vtkMRMLSegmentationNode") and node.GetHideFromEditors():
            for change, text in _CHANGES.items():
                node.AddObserver(change, lambda node, event, text=text: self.errors.append(f"{node.GetName()}: {text}"))
