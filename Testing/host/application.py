"""The application around MRML that ``slicer-core`` lacks: ``slicer.app``, the scene, module logics, dialogues."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import types
from typing import Any

import qt
import slicer
import vtk

_LOGICS = {
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "volumerendering": "vtkSlicerVolumeRenderingLogic",
    "volumes": "vtkSlicerVolumesLogic",
}


_closed_panels: list[Any] = []


class Dialogs:
    """Takes the place of message boxes: notes what was shown, and answers what a test has told it to."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.details = ""
        self.answer = True
        self.path = self.suggestion = ""

    def show(self, text: str, *_: Any, detailedText: str = "", **__: Any) -> None:
        self.shown.append(text)
        self.details = detailedText

    def ask(self, text: str, *_: Any, **__: Any) -> bool:
        self.shown.append(text)
        return self.answer

    def choose_path(self, parent: Any, title: str, suggestion: str, kinds: str) -> str:
        """Where to save a file: `path`, empty as when the user cancels. A text, as PythonQt returns it."""
        self.suggestion = suggestion
        return self.path


@qt.derived
class _ModuleManager(qt.QObject):
    moduleAboutToBeUnloaded = qt.Signal(str)
    _signatures = ("moduleAboutToBeUnloaded(QString)",)


@qt.derived
class _Events(qt.QObject):
    startupCompleted = qt.Signal()


class Application:
    """The part of ``qSlicerApplication`` that scripted modules use."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._manager, self._events = _ModuleManager(), _Events()
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._logic.SetMRMLScene(scene)
        self._logic.GetColorLogic().SetMRMLScene(scene)
        self._logic.GetColorLogic().AddDefaultColorNodes()
        self._logic.SetViewLogics(vtk.vtkCollection())
        self._logic.SetSliceLogics(vtk.vtkCollection())
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-host-")
        self.temporaryPath = self.slicerHome = self._folder.name
        self._logic.SetTemporaryPath(self.temporaryPath)
        # .mrb files are read through these two.
        self._cache = slicer.vtkCacheManager()
        self._cache.SetRemoteCacheDirectory(self.temporaryPath)
        self._cache.SetMRMLScene(scene)
        self._data_io = slicer.vtkDataIOManager()
        self._data_io.SetCacheManager(self._cache)
        self._data_io_logic = slicer.vtkDataIOManagerLogic()
        self._data_io_logic.SetMRMLApplicationLogic(self._logic)
        self._data_io_logic.SetAndObserveDataIOManager(self._data_io)
        scene.SetCacheManager(self._cache)
        scene.SetDataIOManager(self._data_io)

    def connect(self, signal: str, slot: Any) -> bool:
        return qt.find_signal(self._events, signal).connect(slot) is not False

    def emitStartupCompleted(self) -> None:
        self._events.startupCompleted.emit()

    def moduleManager(self) -> Any:
        return self._manager

    def applicationLogic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return self._scene

    def layoutManager(self) -> None:
        return None  # no main window, as with --no-main-window

    def processEvents(self) -> None:
        qt.QApplication.processEvents()

    def setOverrideCursor(self, cursor: Any) -> None:
        qt.QApplication.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        qt.QApplication.restoreOverrideCursor()

    def testingEnabled(self) -> bool:
        return False  # True would keep error dialogues from being shown

    def translate(self, context: str, text: str) -> str:
        return text

    def userSettings(self) -> Any:
        return qt.QSettings()


class _CoreModule:
    """``slicer.modules.<name>`` of a module that is part of Slicer."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic

    def logic(self) -> Any:
        return self._logic


class ScriptedModule:
    """``slicer.modules.<name>`` of a scripted module: what its constructor gets as ``parent``."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = os.path.splitext(os.path.basename(path))[0]
        self.title = self.helpText = self.acknowledgementText = ""
        self.categories, self.dependencies, self.contributors = [], [], []
        self.icon: Any = None
        self.hidden = False
        self.panel: Any = None


def start(dialogs: Dialogs) -> None:
    """Put the scene, the application and the modules on ``slicer``."""
    slicer.mrmlScene = scene = slicer.vtkMRMLScene()
    slicer.app = Application(scene)
    slicer.modules = types.SimpleNamespace()
    for name, class_name in _LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        slicer.app.applicationLogic().SetModuleLogic(name.capitalize(), logic)
        logic.SetMRMLScene(scene)
        setattr(slicer.modules, name, _CoreModule(logic))
    util = slicer.util
    util.mainWindow = lambda *_: None
    util.errorDisplay = util.warningDisplay = util.infoDisplay = dialogs.show
    util.confirmOkCancelDisplay = util.confirmYesNoDisplay = dialogs.ask
    qt.QFileDialog.getSaveFileName = staticmethod(dialogs.choose_path)
    util.modulePath = lambda name: getattr(slicer.modules, name.lower()).path
    util.reloadScriptedModule = reload_module


def load_module(path: str) -> Any:
    """Load a scripted module as Slicer does, open its panel, and return the widget object."""
    name = os.path.splitext(os.path.basename(path))[0]
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    module = ScriptedModule(path)
    setattr(slicer.modules, name.lower(), module)
    setattr(slicer.modules, f"{name}Instance", getattr(code, name)(module))
    module.panel = panel = slicer.qSlicerModuleWidget()
    panel.setLayout(qt.QVBoxLayout())
    widget = getattr(code, f"{name}Widget")(panel)
    setattr(slicer.modules, f"{name}Widget", widget)
    widget.setup()
    enter_module(widget)
    return widget


def enter_module(widget: Any) -> None:
    """Open a module's panel again."""
    widget.parent.isEntered = True
    widget.enter()


def exit_module(widget: Any) -> None:
    """Go to another module."""
    widget.parent.isEntered = False
    widget.exit()


def save_scene(path: str) -> bool:
    """Save the scene as .mrb as the application does, by whose own means it counts as not written after that."""
    slicer.mrmlScene.SetURL(path)
    if not slicer.mrmlScene.WriteToMRB(path):
        return False
    slicer.mrmlScene.SetStorableNodesModifiedSinceRead()
    return True


def unload_module(name: str) -> None:
    """Close a module's panel for good. As in Slicer, its widgets stay until the application ends."""
    slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(name)
    panel = getattr(slicer.modules, name.lower()).panel
    panel.hide()
    for selector in panel.findChildren(slicer.qMRMLNodeComboBox):
        selector.setMRMLScene(None)  # dozens that follow the scene would slow the tests down
    _closed_panels.append(panel)


def reload_module(name: str) -> Any:
    """Do what the developer's button Reload does."""
    unload_module(name)
    return load_module(slicer.util.modulePath(name))
