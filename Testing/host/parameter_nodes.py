"""Stand-in for ``slicer.parameterNodeWrapper``.

Values are written into the MRML node as the real wrapper writes them, so that a saved scene is the real thing. It knows
the types and widgets that the panel uses, and refuses the rest.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import Any

import ctk
import qt
import slicer
import vtk

SlicerParameterNamePropertyName = "SlicerParameterName"


class WithinRange:
    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


class _Parameter:
    """One parameter: its type, default, checks, and how it is written into the MRML node."""

    def __init__(self, name: str, hint: Any, default: Any) -> None:
        self.name = name
        self.type, self.notes = hint, ()
        if typing.get_origin(hint) is typing.Annotated:
            self.type, *self.notes = typing.get_args(hint)
        if not isinstance(self.type, type):
            raise TypeError(f"this host knows no parameter of type {hint}")
        self.is_node = issubclass(self.type, slicer.vtkMRMLNode)
        self.is_enum = issubclass(self.type, enum.Enum)
        if not (self.is_node or self.is_enum or self.type in (bool, float, int, str)):
            raise TypeError(f"this host knows no parameter of type {hint}")
        empty = None if self.is_node else next(iter(self.type)) if self.is_enum else self.type()
        self.default = empty if default is None else default

    def write(self, node: Any, value: Any) -> None:
        expected = (float, int) if self.type is float else self.type
        if not isinstance(value, expected) and not (value is None and self.is_node):
            raise TypeError(f"{self.name} must be of type {self.type}, is {value!r}")
        for note in self.notes:
            if hasattr(note, "validate"):
                note.validate(value)
        if self.is_node:
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(self.name, value.name if self.is_enum else str(value))

    def read(self, node: Any) -> Any:
        if not node.HasParameter(self.name):
            self.write(node, self.default)
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        return self.type[text] if self.is_enum else text == "True" if self.type is bool else self.type(text)


class _Connection:
    """One widget that shows a parameter: how to read and write it, and the signal of its change."""

    def __init__(self, widget: Any, parameter: _Parameter) -> None:
        kind, expected = type(widget), parameter.type
        self.widget, self.slot = widget, None
        limits = [note for note in parameter.notes if isinstance(note, WithinRange)]
        self.write: Callable[[Any], Any]
        if kind is qt.QCheckBox or (kind is qt.QPushButton and widget.checkable and expected is bool):
            self.signal, self.read = widget.toggled, lambda: widget.checked
            self.write = lambda value: setattr(widget, "checked", value)
        elif kind in (ctk.ctkSliderWidget, qt.QDoubleSpinBox) and expected is float and limits:
            widget.minimum, widget.maximum = limits[0].minimum, limits[0].maximum
            self.signal, self.read = widget.valueChanged, lambda: widget.value
            self.write = lambda value: setattr(widget, "value", value)
        elif kind is qt.QComboBox and parameter.is_enum:
            members = list(expected)
            widget.clear()
            for member in members:
                widget.addItem(getattr(expected, "label", lambda each: each.name)(member))
            self.signal, self.read = widget.currentIndexChanged, lambda: members[widget.currentIndex]
            self.write = lambda value: setattr(widget, "currentIndex", members.index(value))
        elif kind is slicer.qMRMLNodeComboBox and parameter.is_node:
            widget.nodeTypes = (expected().GetClassName(),)
            self.signal, self.read, self.write = widget.currentNodeChanged, widget.currentNode, widget.setCurrentNode
        else:
            raise RuntimeError(f"Unable to create GUI connector from datatype '{expected}' to widget type '{kind}'.")

    def connect(self, slot: Callable) -> None:
        self.slot = slot
        self.signal.connect(slot)

    def disconnect(self) -> None:
        self.signal.disconnect(self.slot)


class _Wrapper:
    """The methods that a wrapped class gets."""

    allParameters: dict[str, _Parameter]

    def __init__(self, node: Any) -> None:
        self.parameterNode = node
        self._guis: dict[int, tuple[list[tuple[str, _Connection]], int]] = {}
        self._updating = False
        for parameter in self.allParameters.values():
            parameter.read(node)

    def connectGui(self, gui: Any) -> None:
        """Return no tag, as up to 3D Slicer 5.8."""
        named = {widget.property(SlicerParameterNamePropertyName): widget for widget in vars(gui).values()}
        self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        for name in mapping:
            if name not in self.allParameters:
                raise ValueError(f"Cannot find a param with the given name: {name}")
        connections = [(name, _Connection(widget, self.allParameters[name])) for name, widget in mapping.items()]
        for name, connection in connections:
            connection.write(getattr(self, name))
            connection.connect(lambda *_, name=name, connection=connection: self._from_gui(name, connection))
        tag = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._to_gui(connections))
        self._guis[tag] = (connections, tag)
        return tag

    def disconnectGui(self, tag: int | None) -> None:
        connections, observer = self._guis.pop(tag, ((), None))
        for _, connection in connections:
            connection.disconnect()
        if observer is not None:
            self.RemoveObserver(observer)

    def _from_gui(self, name: str, connection: _Connection) -> None:
        if not self._updating:
            setattr(self, name, connection.read())

    def _to_gui(self, connections: Any) -> None:
        if not self._updating:
            self._updating = True
            try:
                for name, connection in connections:
                    connection.write(getattr(self, name))
            finally:
                self._updating = False

    def StartModify(self) -> Any:
        return self.parameterNode.StartModify()

    def EndModify(self, was_modifying: Any) -> None:
        self.parameterNode.EndModify(was_modifying)

    def AddObserver(self, event: Any, callback: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)


def parameterNodeWrapper(cls: type) -> type:
    parameters = {}
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        parameters[name] = parameter = _Parameter(name, hint, getattr(cls, name, None))

        def write(self: Any, value: Any, parameter: _Parameter = parameter) -> None:
            was_modifying = self.parameterNode.StartModify()
            try:
                parameter.write(self.parameterNode, value)
            finally:
                self.parameterNode.EndModify(was_modifying)

        setattr(cls, name, property(lambda self, p=parameter: p.read(self.parameterNode), write))
    cls.allParameters = parameters
    for name, member in vars(_Wrapper).items():
        if callable(member) and (name == "__init__" or not name.startswith("__")):
            setattr(cls, name, member)
    return cls
