"""The module ``qt`` as code inside 3D Slicer meets it, on top of PySide6.

PythonQt, which 3D Slicer uses, differs from PySide6: properties are attributes and not methods, constructors take no
keyword arguments, a widget takes no attribute that Qt does not know, ``connect`` takes a signature, and sequences come
back as tuples. A class here does the same and raises where PythonQt raises; where PythonQt fails silently (a wrong
signature in ``connect``), it raises as well, so that a test notices.
"""

from __future__ import annotations

import keyword
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

QObject = QtCore.QObject
Signal, Slot, Property = QtCore.Signal, QtCore.Slot, QtCore.Property

# Qt calls these itself through Python's attribute lookup; a property in their place would be called like a method.
_VIRTUAL = {"sizeHint", "minimumSizeHint"}
_STATIC = {"QTimer": {"singleShot"}}
_LEFT_ALONE = {"QApplication", "QCoreApplication", "QGuiApplication", "QUiLoader", "QMetaObject", "QObject"}


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _qt_property(base: type, meta: Any) -> property:
    name = meta.name()
    capital = name[0].upper() + name[1:]
    getter = next((g for g in (getattr(base, p, None) for p in (name, f"is{capital}", f"has{capital}")) if g), None)
    setter = getattr(base, f"set{capital}", None)
    is_text = meta.typeName() == "QString"

    def read(self: Any) -> Any:
        return _plain(getter(self) if callable(getter) else QObject.property(self, name))

    def write(self: Any, value: Any) -> None:
        if not meta.isWritable():
            raise AttributeError(f"{base.__name__}.{name} is read-only")
        if is_text:
            if value is None:  # PythonQt writes the text "None", which is never meant
                raise TypeError(f"{base.__name__}.{name} is a text, not None")
            value = str(value)
        elif isinstance(value, float) and meta.typeName() == "int":
            value = int(value)
        if setter is not None:
            setter(self, value)
        elif not QObject.setProperty(self, name, value):
            raise ValueError(f"{base.__name__}.{name} cannot be {value!r}")

    return property(read, write)


def find_signal(sender: Any, signature: str) -> Any:
    """Return the bound signal for a signature such as ``"clicked(bool)"``."""
    match = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", signature)
    if match is None:
        raise ValueError(f"'{signature}' is not the signature of a signal")
    name, arguments = match[1], match[2].replace(" ", "")
    meta = sender.metaObject()
    declared = {
        bytes(meta.method(i).methodSignature()).decode()
        for i in range(meta.methodCount())
        if meta.method(i).methodType() == QtCore.QMetaMethod.MethodType.Signal
    }
    # MRML pointers are Python objects here, so the widgets that stand in for qMRML's say what the real ones declare.
    declared = {each for each in declared if "PyObject" not in each} | set(getattr(sender, "_signatures", ()))
    if f"{name}({arguments})" not in declared:
        raise ValueError(f"no such signal: {type(sender).__name__}::{name}({arguments}); there are {sorted(declared)}")
    return getattr(sender, name)


def _set_plainly(target: Any, name: str, value: Any) -> None:
    next(c for c in type(target).__mro__ if c.__module__.startswith("PySide6")).__setattr__(target, name, value)


class _Manners:
    """What every object of PythonQt has beyond its Qt class."""

    def connect(self, signal: str, slot: Callable, *unexpected: Any) -> bool:
        if unexpected or not callable(slot):
            raise TypeError("connect takes a signature and something to call")
        find_signal(self, signal).connect(slot)
        return True

    def disconnect(self, signal: str, slot: Callable) -> bool:
        find_signal(self, signal).disconnect(slot)
        return True

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, QObject) and QObject.objectName(value) == name:
            return  # PySide6 puts the children of a loaded panel there; PythonQt does not
        known = next((c.__dict__[name] for c in type(self).__mro__ if name in c.__dict__), None)
        if isinstance(known, (property, QtCore.Property)) or not self._is_plain():
            _set_plainly(self, name, value)
        elif name in [bytes(n).decode() for n in self.dynamicPropertyNames()]:
            QObject.setProperty(self, name, value)
        elif known is not None:
            raise AttributeError(f"Slot '{name}' can not be overwritten on {type(self).__name__} object")
        else:
            raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in [bytes(n).decode() for n in QObject.dynamicPropertyNames(self)]:
            return QObject.property(self, name)
        raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")

    def _is_plain(self) -> bool:
        """Whether this is one of Qt's own classes, not one that Python code derived from it."""
        return "_base" in type(self).__dict__

    def className(self) -> str:
        return type(self).__name__

    def children(self) -> tuple:
        return tuple(QObject.children(self))

    def findChildren(self, kind: type = QObject, name: str | None = None) -> tuple:
        base = getattr(kind, "_base", kind)
        found, queue = [], list(QObject.children(self))
        while queue:
            child = queue.pop(0)
            queue += QObject.children(child)
            if isinstance(child, base) and (name is None or QObject.objectName(child) == name):
                found.append(child)
        return tuple(found)

    def delete(self) -> None:
        self.deleteLater()


def _set_shortcut(self: Any, keys: Any) -> None:
    if not isinstance(keys, QtGui.QKeySequence):  # PySide6 makes one of a text, PythonQt does not
        raise ValueError(f"Could not find matching overload for setShortcut({keys!r})")
    QObject.setProperty(self, "shortcut", keys)


_MANNERS = {name: value for name, value in vars(_Manners).items() if callable(value)}


def _wrap(base: type) -> type:
    name = base.__name__

    def initialise(self: Any, *arguments: Any, **keywords: Any) -> None:
        if keywords:
            raise ValueError(f"Called {name} with keyword arguments, but called slot does not support kwargs")
        base.__init__(self, *arguments)

    # Functions go into the class itself: PySide6 finds ``connect`` and ``disconnect`` nowhere else.
    members: dict[str, Any] = {"__module__": "qt", "_base": base, **_MANNERS, "__init__": initialise}
    if hasattr(base, "setShortcut"):
        members["setShortcut"] = _set_shortcut
    if hasattr(base, "exec"):
        members["exec_"] = lambda self, *arguments: base.exec(self, *arguments)
    return type(QObject)(name, (base,), {**members, **_qt_properties(base)})


def _qt_properties(base: type) -> dict[str, property]:
    meta = base.staticMetaObject
    each = [meta.property(index) for index in range(meta.propertyCount())]
    left_alone = _VIRTUAL | _STATIC.get(base.__name__, set())
    members = {
        p.name(): _qt_property(base, p) for p in each if p.name() not in left_alone and not keyword.iskeyword(p.name())
    }
    return {**members, "name": members["objectName"]}


def _export() -> None:
    for module in (QtCore, QtGui, QtWidgets):
        for name in dir(module):
            value = getattr(module, name)
            if name.startswith("_") or name in ("Signal", "Slot", "Property"):
                continue
            is_object = isinstance(value, type) and issubclass(value, QObject) and name not in _LEFT_ALONE
            try:
                globals()[name] = _wrap(value) if is_object else value
            except TypeError:  # a few classes may not be derived from
                globals()[name] = value


_export()


def derived(kind: type) -> type:
    """Make a stand-in for a widget of CTK or qMRML as strict as Qt's own; a decorator.

    Private attributes stay allowed: the stand-in keeps its state in them.
    """
    initialise = kind.__init__

    def checked(self: Any, *arguments: Any, **keywords: Any) -> None:
        if keywords:
            raise ValueError(f"Called {kind.__name__} with keyword arguments, but called slot does not support kwargs")
        initialise(self, *arguments)

    def set_attribute(self: Any, name: str, value: Any) -> None:
        if name.startswith("_"):
            _set_plainly(self, name, value)
        else:
            _Manners.__setattr__(self, name, value)

    kind.__init__ = checked
    for name, member in {**_qt_properties(kind.__base__), **_MANNERS, "__setattr__": set_attribute}.items():
        if name not in vars(kind):
            setattr(kind, name, member)
    kind._base = kind
    return kind


class QUiLoader(QtUiTools.QUiLoader):
    """Loads a ``.ui`` file with the classes of this host, and refuses what it does not know.

    Real Qt turns a misspelt property into a dynamic one and drops a connection that cannot be made.
    """

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        import ctk
        import slicer

        for place in (globals(), vars(ctk), vars(slicer)):
            if isinstance(place.get(class_name), type):
                widget = place[class_name]() if parent is None else place[class_name](parent)
                widget.setObjectName(name)
                self._made.append(widget)
                return widget
        raise RuntimeError(f"QFormBuilder was unable to create a widget of the class '{class_name}'")

    def load(self, device: Any, parent: Any = None) -> Any:
        self._made: list[Any] = []
        root = ElementTree.fromstring(bytes(device.readAll()).decode())
        connections = [
            {part: each.findtext(part, "") for part in ("sender", "signal", "receiver", "slot")}
            for each in root.findall("connections/connection")
        ]
        for each in root.findall("connections"):
            root.remove(each)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        widget = super().load(buffer, parent)
        if widget is None:
            raise RuntimeError(self.errorString())
        by_name = {made.objectName: made for made in self._made}
        for element in root.iter("widget"):
            asked = {p.get("name") for p in element.findall("property") if p.get("stdset") == "0"}
            dynamic = {bytes(n).decode() for n in by_name[element.get("name")].dynamicPropertyNames()} - asked
            unknown = {n for n in dynamic if not n.startswith("_q_")}
            if unknown:
                raise ValueError(f"{element.get('class')} {element.get('name')} has no property {sorted(unknown)}")
        for each in connections:
            slot = getattr(by_name[each["receiver"]], each["slot"].split("(")[0])
            find_signal(by_name[each["sender"]], each["signal"]).connect(slot)
        _set_plainly(widget, "_made", self._made)  # else the Python sides of nested layouts would be collected
        return widget
