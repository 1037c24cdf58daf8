"""Stand-ins for the widgets of qMRML that the panel uses, to be set on the module ``slicer``."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk
from ctk import named_only, simple_property
from qt import Property, Signal


@qt.derived
class qMRMLWidget(qt.QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)
    _signatures = ("mrmlSceneChanged(vtkMRMLScene*)",)
    _scene = None

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


@qt.derived
class qMRMLNodeComboBox(qt.QtWidgets.QWidget):
    """Chooses a node. A node that is added later is not chosen by itself, and a removed one is let go."""

    currentNodeChanged = Signal(object)
    nodeAddedByUserAction = Signal(object)
    _signatures = ("currentNodeChanged(vtkMRMLNode*)", "nodeAddedByUserAction(vtkMRMLNode*)")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._scene: Any = None
        self._node: Any = None
        self._tags: list[int] = []
        self._combo = qt.QtWidgets.QComboBox(self)
        layout = qt.QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.activated.connect(lambda index: self.setCurrentNodeID(self._combo.itemData(index) or ""))

    def setMRMLScene(self, scene: Any) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._tags = scene, []
        if scene is None:
            return
        events = slicer.vtkMRMLScene
        removed = vtk.calldata_type(vtk.VTK_OBJECT)(lambda caller, event, node: self._on_removed(node))
        refresh = lambda caller, event: self._refresh()  # noqa: E731
        self._tags = [scene.AddObserver(events.NodeAboutToBeRemovedEvent, removed)]
        self._tags += [scene.AddObserver(e, refresh) for e in (events.NodeAddedEvent, events.NodeRemovedEvent)]
        self._choose_first()

    def mrmlScene(self) -> Any:
        return self._scene

    def _on_removed(self, node: Any) -> None:
        if node is self._node:
            self._set(None)
            self._choose_first(but=node)

    def _choose_first(self, but: Any = None) -> None:
        nodes = [node for node in self._nodes() if node is not but]
        if self._node is None and not self.noneEnabled and nodes:
            self._set(nodes[0])
        self._refresh()

    def _fits(self, node: Any) -> bool:
        types = self.nodeTypes
        fits = any(node.IsA(t) if self.showChildNodeTypes else node.GetClassName() == t for t in types)
        return fits and (self.showHidden or not node.GetHideFromEditors())

    def _nodes(self) -> list:
        if self._scene is None:
            return []
        nodes = (self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes()))
        return [node for node in nodes if self._fits(node)]

    def _refresh(self) -> None:
        self._combo.clear()
        if self.noneEnabled:
            self._combo.addItem(self.noneDisplay, "")
        for node in self._nodes():
            self._combo.addItem(node.GetName(), node.GetID())
        self._combo.setCurrentIndex(self._combo.findData(self._node.GetID() if self._node else ""))

    def _set(self, node: Any) -> None:
        if node is not self._node:
            self._node = node
            self._refresh()
            self.currentNodeChanged.emit(node)

    def currentNode(self) -> Any:
        return self._node

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            return self.setCurrentNodeID(node)
        present = node is not None and self._scene is not None and self._scene.IsNodePresent(node)
        if present and self._fits(node):
            self._set(node)
        elif self.noneEnabled or self._node is None or not self._scene.IsNodePresent(self._node):
            self._set(None)

    def setCurrentNodeID(self, identifier: str) -> None:
        self.setCurrentNode(self._scene.GetNodeByID(identifier) if identifier and self._scene else None)

    def nodeCount(self) -> int:
        return len(self._nodes())

    def addNode(self) -> Any:
        node = self._scene.AddNewNodeByClass(self.nodeTypes[0], self.baseName)
        self.nodeAddedByUserAction.emit(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        return node

    def _set_types(self, types: Any) -> None:
        self._types = tuple(types)
        self._refresh()

    nodeTypes = Property("QStringList", lambda self: getattr(self, "_types", ()), _set_types)
    currentNodeID = Property(str, lambda self: self._node.GetID() if self._node else "", setCurrentNodeID)
    noneEnabled = simple_property(bool, "none_enabled", False)
    addEnabled = simple_property(bool, "add_enabled", True)
    removeEnabled = simple_property(bool, "remove_enabled", True)
    editEnabled = simple_property(bool, "edit_enabled", False)
    renameEnabled = simple_property(bool, "rename_enabled", False)
    showHidden = simple_property(bool, "show_hidden", False)
    showChildNodeTypes = simple_property(bool, "show_child_node_types", True)
    selectNodeUponCreation = simple_property(bool, "select_node_upon_creation", True)
    noneDisplay = simple_property(str, "none_display", "None")
    baseName = simple_property(str, "base_name", "")


@qt.derived
class qSlicerModuleWidget(qt.QtWidgets.QWidget):
    """What a scripted module's widget gets as ``parent``."""

    isEntered = simple_property(bool, "is_entered", False)


WIDGETS = {
    each.__name__: each
    for each in (
        *(qMRMLWidget, qMRMLNodeComboBox, qSlicerModuleWidget),
        *(named_only(name) for name in ("qMRMLRangeWidget", "qMRMLSliderWidget", "qMRMLSpinBox")),
    )
}
