"""A small stand-in for 3D Slicer's application, so that tests press the panel's real buttons without 3D Slicer.

MRML itself is the real thing (``slicer-core``); Qt is PySide6 with the manners of PythonQt. Where the environment
variable ``SLICER_BASE_PY`` names the folder ``Base/Python/slicer`` of 3D Slicer's sources, its own
``ScriptedLoadableModule`` and ``parameterNodeWrapper`` are used instead of the stand-ins.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
import types
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

if sys.version_info < (3, 12):
    # Wheels of PySide6 6.12 rely on Python 3.12, where None, True and False are never freed: on older versions each
    # call that returns one takes a reference away, until the interpreter aborts. A large count makes up for it.
    for _constant in (None, True, False):
        ctypes.c_ssize_t.from_address(id(_constant)).value += 1 << 40


class Host:
    """3D Slicer's application for the length of a test session."""

    def __init__(self) -> None:
        import slicer

        self._slicer = slicer
        self._modules_before = set(sys.modules)
        self._path_before = list(sys.path)
        self._before = {place: dict(vars(place)) for place in (slicer, slicer.util)}
        self._search_before = list(slicer.__path__)

        from PySide6.QtWidgets import QApplication

        self._qt = QApplication.instance() or QApplication(["slicer-host"])
        self._qt.setOrganizationName("slicer-host")
        sys.modules["qt"] = importlib.import_module("host.pythonqt")
        sys.modules["ctk"] = importlib.import_module("host.ctk_widgets")
        vars(slicer).update(importlib.import_module("host.mrml_widgets").WIDGETS)

        from host import application, sample_data
        from subject_hierarchy import SubjectHierarchy

        self.dialogs = application.Dialogs()
        self.load_module, self.unload_module = application.load_module, application.unload_module
        self.enter_module, self.exit_module = application.enter_module, application.exit_module
        self.save_scene = application.save_scene
        application.start(self.dialogs)
        self.subject_hierarchy = SubjectHierarchy(slicer.mrmlScene)
        sys.modules["SampleData"] = sample_data
        self._provide_slicer_packages()

    def _provide_slicer_packages(self) -> None:
        real = os.environ.get("SLICER_BASE_PY", "")
        if real:
            self._slicer.__path__.append(real)
            return
        from host import parameter_nodes, scripted_module

        translation = types.ModuleType("slicer.i18n")
        vars(translation).update(tr=lambda text: text, translate=lambda context, text: text)
        for name, module in (
            ("ScriptedLoadableModule", scripted_module),
            ("parameterNodeWrapper", parameter_nodes),
            ("i18n", translation),
        ):
            sys.modules[f"slicer.{name}"] = module
            setattr(self._slicer, name, module)

    def process_events(self) -> None:
        self._qt.processEvents()

    def shut_down(self) -> None:
        """Leave the process as it was: other tests must not find an application."""
        self._qt.closeAllWindows()
        self._slicer.mrmlScene.Clear(True)
        for place, before in self._before.items():
            for name in set(vars(place)) - set(before):
                delattr(place, name)
            vars(place).update(before)
        self._slicer.__path__[:] = self._search_before
        sys.path[:] = self._path_before
        for name in set(sys.modules) - self._modules_before:
            if name.split(".")[0] in ("qt", "ctk", "SampleData", "VesselSegmentation") or name.startswith("slicer."):
                del sys.modules[name]


def module_file(name: str) -> str:
    """Return the path of the extension's scripted module."""
    return str(Path(__file__).resolve().parents[2] / "VesselSegmentation" / f"{name}.py")


def wait_for(condition: Any, seconds: float = 60.0) -> bool:
    """Let the application run until a condition holds; tell whether it came to hold."""
    import time

    from PySide6.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        QApplication.processEvents()
        time.sleep(0.01)
    return True
