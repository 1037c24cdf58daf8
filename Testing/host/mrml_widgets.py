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
class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Edits a segment with one of Slicer's effects; what the user chooses is kept in its parameter node.

    As the real one: without a parameter node it does nothing, another segmentation lets the active effect go, markups
    that are placed let it go, and an effect that is chosen ends placing them.
    """

    _EFFECTS = (
        *("Paint", "Draw", "Erase", "Level tracing", "Grow from seeds", "Fill between slices", "Threshold", "Margin"),
        *("Hollow", "Smoothing", "Scissors", "Islands", "Logical operators", "Mask volume"),
    )
    _node = _interaction = None
    _undo_enabled = True

    def setMRMLScene(self, scene: Any) -> None:
        if self._node is None:
            raise RuntimeError("the empty parameter node must be set before the scene")
        super().setMRMLScene(scene)
        self._interaction = scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
        if self._interaction is not None:
            self._interaction.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_interaction)

    def _on_interaction(self, caller: Any, event: Any) -> None:
        if caller.GetCurrentInteractionMode() != caller.ViewTransform:
            self.setActiveEffect(None)

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self._node = node

    def mrmlSegmentEditorNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        if node is not self._node.GetSegmentationNode():
            self._node.SetAndObserveSegmentationNode(node)
            self.setActiveEffect(None)
        if node is not None and not self._node.GetSelectedSegmentID():
            self._node.SetSelectedSegmentID(node.GetSegmentation().GetNthSegmentID(0))

    def segmentationNode(self) -> Any:
        return self._node.GetSegmentationNode()

    def setSourceVolumeNode(self, node: Any) -> None:
        self._node.SetAndObserveSourceVolumeNode(node)

    def sourceVolumeNode(self) -> Any:
        return self._node.GetSourceVolumeNode()

    def setCurrentSegmentID(self, segment_id: str) -> None:
        self._node.SetSelectedSegmentID(segment_id)

    def currentSegmentID(self) -> str:
        return self._node.GetSelectedSegmentID() or ""

    def setEffectNameOrder(self, names: Any) -> None:
        if isinstance(names, str) or not set(names) <= set(self._EFFECTS):
            raise ValueError(f"Slicer has no effects of these names: {names}")
        self._order = tuple(names)

    def effectNameOrder(self) -> tuple:
        return getattr(self, "_order", ())

    def setActiveEffectByName(self, name: str) -> None:
        if name not in ("", *self._EFFECTS):
            raise ValueError(f"Slicer has no effect '{name}'")
        if self._node is None:
            return
        self._node.SetActiveEffectName(name)
        if name and self._interaction is not None:
            self._interaction.SetCurrentInteractionMode(self._interaction.ViewTransform)

    def setActiveEffect(self, effect: Any) -> None:
        if effect is not None:
            raise TypeError("effects are objects of Slicer: choose them with setActiveEffectByName")
        self.setActiveEffectByName("")

    def setUndoEnabled(self, enabled: bool) -> None:
        self._undo_enabled = enabled

    def setMaximumNumberOfUndoStates(self, number: int) -> None:
        self._undo_states = number

    def setSegmentationNodeSelectorVisible(self, visible: bool) -> None:
        self._selectors = visible

    def setSourceVolumeNodeSelectorVisible(self, visible: bool) -> None:
        self._volumes = visible

    def setSwitchToSegmentationsButtonVisible(self, visible: bool) -> None:
        self._switch = visible

    def setAddRemoveSegmentButtonsVisible(self, visible: bool) -> None:
        self._add_remove = visible

    def setupViewObservations(self) -> None:
        self._observes = True

    def removeViewObservations(self) -> None:
        self._observes = False

    def updateWidgetFromMRML(self) -> None:
        pass

    undoEnabled = Property(bool, lambda self: self._undo_enabled, setUndoEnabled)
    maximumNumberOfUndoStates = simple_property(int, "undo_states", 10)
    viewsObserved = simple_property(bool, "observes", False)
    addRemoveSegmentButtonsVisible = simple_property(bool, "add_remove", True)
    unorderedEffectsVisible = simple_property(bool, "unordered_effects_visible", True)


@qt.derived
class qSlicerModuleWidget(qt.QtWidgets.QWidget):
    """What a scripted module's widget gets as ``parent``."""

    isEntered = simple_property(bool, "is_entered", False)


WIDGETS = {
    each.__name__: each
    for each in (
        *(qMRMLWidget, qMRMLNodeComboBox, qMRMLSegmentEditorWidget, qSlicerModuleWidget),
        *(named_only(name) for name in ("qMRMLRangeWidget", "qMRMLSliderWidget", "qMRMLSpinBox")),
    )
}
