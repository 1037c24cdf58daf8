"""The stand-in host refuses what 3D Slicer would refuse, and does silently what it would do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest

import host


@pytest.fixture
def qt(slicer_host: host.Host) -> Any:
    import qt

    return qt


def test_properties_are_attributes(qt: Any) -> None:
    button = qt.QPushButton("Go")
    button.text, button.enabled, button.toolTip, button.name = "Stop", False, "tip", "stop"
    assert (button.text, button.enabled, button.isEnabled()) == ("Stop", False, False)
    assert (button.objectName, button.name) == ("stop", "stop")
    combo_box = qt.QComboBox()
    combo_box.addItem("a", "data of a")
    assert (combo_box.count, combo_box.currentData, combo_box.currentIndex) == (1, "data of a", 0)
    bar = qt.QProgressBar()
    bar.value = 2.7
    assert bar.value == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda qt: qt.QPushButton("a").text(),
        lambda qt: qt.QTableWidget(2, 2).rowCount(),
        lambda qt: qt.QComboBox().currentData(),
    ],
)
def test_a_property_is_no_method(qt: Any, call: Any) -> None:
    with pytest.raises(TypeError, match="not callable"):
        call(qt)


def test_constructors_take_no_keywords(qt: Any) -> None:
    import ctk

    for kind, keywords in (
        (qt.QPushButton, {"text": "x"}),
        (qt.QLabel, {"toolTip": "t"}),
        (ctk.ctkSliderWidget, {"value": 1}),
    ):
        with pytest.raises(ValueError, match="does not support kwargs"):
            kind(**keywords)


def test_widgets_take_no_new_attributes(qt: Any) -> None:
    import ctk
    import slicer

    for widget in (qt.QPushButton(), qt.QTimer(), ctk.ctkCollapsibleButton(), slicer.qMRMLNodeComboBox()):
        with pytest.raises(AttributeError, match="has no attribute named 'invented'"):
            widget.invented = 1
    with pytest.raises(AttributeError):
        _ = qt.QPushButton().invented

    class OwnButton(qt.QPushButton):
        pass

    own = OwnButton()
    own.invented = 1
    assert own.invented == 1


def test_dynamic_properties_are_attributes(qt: Any) -> None:
    button = qt.QPushButton()
    button.setProperty("v", "x")
    assert button.v == "x"
    button.v = "y"
    assert button.property("v") == "y"


def test_a_slot_cannot_be_overwritten(qt: Any) -> None:
    timer = qt.QTimer()
    with pytest.raises(AttributeError, match="Slot 'singleShot' can not be overwritten"):
        timer.singleShot = True
    timer.setSingleShot(True)
    assert timer.isSingleShot()


def test_signals_by_signature(qt: Any) -> None:
    button, seen = qt.QPushButton(), []
    assert button.connect("clicked(bool)", lambda: seen.append("no argument"))
    button.clicked.connect(lambda checked=None: seen.append(checked))
    button.click()
    assert seen == ["no argument", False]
    for wrong in ("clicked(int)", "nope()", "clicked"):
        with pytest.raises(ValueError, match="signal"):
            button.connect(wrong, print)
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.connect("currentNodeChanged(vtkMRMLNode*)", print)
    with pytest.raises(ValueError, match="no such signal"):
        selector.connect("currentNodeChanged(PyObject)", print)


def test_a_text_is_no_key_sequence(qt: Any) -> None:
    button = qt.QPushButton()
    with pytest.raises(ValueError, match="setShortcut"):
        button.setShortcut("M")
    button.setShortcut(qt.QKeySequence("M"))
    assert button.shortcut == qt.QKeySequence("M")


def test_sequences_are_tuples(qt: Any) -> None:
    import slicer

    widget = qt.QWidget()
    child = qt.QPushButton(widget)
    assert widget.children() == (child,)
    assert widget.findChildren(qt.QWidget) == (child,)
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLModelNode"]
    assert tuple(selector.nodeTypes) == ("vtkMRMLModelNode",)


def test_isinstance_is_of_no_use(qt: Any) -> None:
    button = qt.QPushButton()
    assert isinstance(button, qt.QPushButton)
    assert not isinstance(button, qt.QWidget)
    assert button.inherits("QWidget")


def test_none_is_no_text(qt: Any) -> None:
    with pytest.raises(TypeError):
        qt.QLabel().text = None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ('<property name="colapsed"><bool>true</bool></property>', "has no property"),
        ('<widget class="ctkUnknown" name="x"/>', "unable to create a widget"),
    ],
)
def test_ui_files_are_checked(slicer_host: host.Host, tmp_path: Path, wrong: str, message: str) -> None:
    import slicer

    path = tmp_path / "wrong.ui"
    path.write_text(
        f'<ui version="4.0"><class>A</class><widget class="ctkCollapsibleButton" name="A">{wrong}</widget></ui>'
    )
    # An unknown class makes PySide6's loader end without a widget, and print.
    with pytest.raises((RuntimeError, ValueError), match=message):
        slicer.util.loadUI(str(path))


def test_a_node_added_later_is_not_chosen(slicer_host: host.Host) -> None:
    import slicer

    slicer.mrmlScene.Clear(False)
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLModelNode"]
    selector.setMRMLScene(slicer.mrmlScene)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
    assert selector.currentNode() is None
    selector.setCurrentNode(node)
    seen = []
    selector.currentNodeChanged.connect(seen.append)
    slicer.mrmlScene.RemoveNode(node)
    assert seen == [None]
    selector.setMRMLScene(None)


def test_parameters_are_checked(slicer_host: host.Host) -> None:
    import slicer
    from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

    hints = {
        "volume": slicer.vtkMRMLScalarVolumeNode,
        "share": Annotated[float, WithinRange(0.0, 1.0)],
        "name": str,
    }
    kind = parameterNodeWrapper(type("Parameters", (), {"__annotations__": hints, "share": 0.5, "name": "a"}))
    node = slicer.vtkMRMLScriptedModuleNode()
    parameters = kind(node)
    assert (parameters.volume, parameters.share, parameters.name) == (None, 0.5, "a")
    parameters.share = 0.25
    assert node.GetParameter("share") == "0.25"
    with pytest.raises(ValueError, match="within range"):
        parameters.share = 2.0
    with pytest.raises(TypeError):
        parameters.name = 3


def test_nothing_of_the_host_stays_behind() -> None:
    code = (
        "import host, slicer, sys; before = set(vars(slicer)); h = host.Host(); import qt;"
        "assert hasattr(slicer, 'app');"
        "h.shut_down(); assert set(vars(slicer)) <= before | {'util'}, set(vars(slicer)) - before;"
        "assert 'qt' not in sys.modules"
    )
    folder = Path(host.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
