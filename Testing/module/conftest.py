"""The stand-in host, and what the tests of the panel need."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")

import host
from correcting_case import SHAPE, drawn
from module.correcting_actions import settle

_PRETENDED_WORKER = Path(__file__).resolve().parents[1] / "VesselSegmentationLib" / "pretended_worker.py"


@pytest.fixture(scope="session")
def slicer_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[host.Host]:
    """3D Slicer's application. Its PythonSlicer is this interpreter, or a worker that pretends (see `pretend`)."""
    folder = tmp_path_factory.mktemp("bin")
    launcher = folder / "PythonSlicer"
    launcher.write_text(
        f'#!/bin/sh\n[ -n "$PRETEND" ] && exec "{sys.executable}" "{_PRETENDED_WORKER}" "$@"\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
    before = os.environ["PATH"]
    os.environ["PATH"] = os.pathsep.join([str(folder), before])
    application = host.Host()
    yield application
    application.shut_down()
    os.environ["PATH"] = before


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make the worker pretend, in one of the ways that it knows; "segment" calls bright voxels vessels."""
    return lambda behaviour: monkeypatch.setenv("PRETEND", behaviour)


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """Errors raised in slots, which Qt only prints. Whoever expects one takes it out; the rest fail the test."""
    raised: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: raised.append(error))
    yield raised
    assert not raised, raised


@pytest.fixture
def panel(
    slicer_host: host.Host, errors: list[BaseException], tiny_model: str, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:  # fmt: skip
    """The panel, just opened on an empty scene, with the tiny model chosen."""
    import slicer

    # Edits that a test leaves unsaved must not be offered to the next one.
    monkeypatch.setattr(slicer.app, "temporaryPath", str(tmp_path_factory.mktemp("temporary")))
    slicer.mrmlScene.Clear(False)
    slicer_host.dialogs.shown.clear()
    slicer_host.dialogs.answer = True
    widget = slicer_host.load_module(host.module_file("VesselSegmentation"))
    widget.ui.modelComboBox.activated.emit(widget.ui.modelComboBox.findData(tiny_model))
    slicer_host.subject_hierarchy.errors.clear()
    yield widget
    slicer_host.unload_module("VesselSegmentation")
    slicer.mrmlScene.Clear(False)
    assert not slicer_host.subject_hierarchy.errors


@pytest.fixture
def add_scan(slicer_host: host.Host, make_scan: Callable[..., Any]) -> Callable[..., Any]:
    """Load a small scan, as a user does."""
    import slicer

    from VesselSegmentationLib.scene.volume_nodes import set_node_volume

    def add(name: str = "TOF", seed: int = 0) -> Any:
        node = slicer.vtkMRMLScalarVolumeNode()
        node.SetName(name)
        set_node_volume(node, make_scan(seed=seed))
        node = slicer.mrmlScene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        slicer_host.process_events()
        return node

    return add


@pytest.fixture
def segmented(panel: Any, add_scan: Callable[..., Any], pretend: Callable[[str], None]) -> Any:
    """The panel after a scan was loaded and segmented."""
    pretend("segment")
    add_scan()
    panel.ui.segmentButton.click()
    assert host.wait_for(lambda: not panel.ui.cancelButton.isEnabled())
    assert panel._parameterNode.outputSegmentation is not None, panel.ui.statusLabel.text
    return panel


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """Folder for pictures that a person may look at."""
    folder = Path(__file__).resolve().parents[2] / "artefacts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def correcting(panel: Any, add_scan: Callable[..., Any]) -> Any:
    """The panel with vessels that a model found, their probability, and the section Correct open."""
    import slicer

    from VesselSegmentationLib.scene.run_record import record_probability, record_threshold
    from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
    from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

    scan = add_scan()
    found, truth = drawn()
    volume = volume_from_node(scan)
    noise = np.random.default_rng(0).normal(20, 2, SHAPE)
    set_node_volume(scan, volume.with_array((noise + 100 * (truth | found)).astype(np.float32)))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "TOF vessels")
    set_segment_label(node, scan, volume.with_array(found))
    probability = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF vessel probability")
    values = np.where(found, 0.9, np.where(truth, 0.4, 0.001)).astype(np.float32)
    set_node_volume(probability, volume.with_array(values))
    record_probability(node, probability)
    record_threshold(node, 0.5, 0.0)
    panel._parameterNode.inputVolume = scan
    panel._parameterNode.outputSegmentation = node
    panel._parameterNode.probabilityVolume = probability
    panel.ui.correctCollapsibleButton.collapsed = False
    panel.ui.readerLineEdit.text = "Dr. Reader"
    return panel


@pytest.fixture
def comparing(correcting: Any) -> Any:
    """The panel with the vessels compared with the truth."""
    import slicer

    from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
    from VesselSegmentationLib.scene.volume_nodes import volume_from_node

    scan = correcting._parameterNode.inputVolume
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "reader 1")
    set_segment_label(node, scan, volume_from_node(scan).with_array(drawn()[1]), name="Manual", role="manual")
    correcting.ui.referenceSelector.setCurrentNode(node)
    correcting.ui.compareButton.click()
    settle(correcting)
    return correcting


@pytest.fixture
def editor(correcting: Any) -> Any:
    """The embedded Segment Editor, opened by its group box."""
    import slicer

    correcting.ui.freeHandGroupBox.collapsed = False
    (widget,) = correcting.parent.findChildren(slicer.qMRMLSegmentEditorWidget)
    return widget
