"""The corrected label saved in the reader's name."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import host
from correcting_case import BRANCH, drawn
from module.correcting_actions import click, label, remove_piece
from module.panel_actions import draw_by_hand, rest
from vesselseg.errors import VesselSegError
from vesselseg.image_io import read_label
from VesselSegmentationLib.saving import edit_export
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
from VesselSegmentationLib.scene.volume_nodes import volume_from_node


def wait_until_saved(panel: Any) -> None:
    assert host.wait_for(panel.ui.saveSignedButton.isEnabled)


def save(panel: Any, slicer_host: host.Host, path: Path, kind: str = "NIfTI") -> None:
    panel.ui.signedKindComboBox.currentIndex = panel.ui.signedKindComboBox.findText(kind)
    slicer_host.dialogs.path = str(path)
    panel.ui.saveSignedButton.click()
    slicer_host.dialogs.path = ""


def test_the_label_is_saved_with_log_and_first_result(correcting: Any, slicer_host: host.Host, tmp_path: Path) -> None:
    ui = correcting.ui
    remove_piece(correcting)
    ui.signedKindComboBox.currentIndex = ui.signedKindComboBox.findText("NIfTI")
    ui.signedSurfaceCheckBox.checked = True
    slicer_host.dialogs.path = str(tmp_path / "signed.nii.gz")
    ui.saveSignedButton.click()
    slicer_host.dialogs.path = ""
    assert "Saving" in ui.savingStatusLabel.text
    assert not ui.saveSignedButton.isEnabled()
    wait_until_saved(correcting)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"signed.nii.gz", "signed.stl", "signed_edits.json", "signed_automatic.nii.gz"}
    assert json.loads((tmp_path / "signed_edits.json").read_text())["signed_by"] == "Dr. Reader"
    assert slicer_host.dialogs.suggestion.endswith("TOF vessels.nii.gz")
    assert "signed.nii.gz" in ui.savingStatusLabel.text
    rest(0.3)
    assert "not saved" not in ui.editedLabel.text
    assert slicer_host.dialogs.shown == []


def test_a_suggested_name_is_one_on_every_system(correcting: Any, slicer_host: host.Host, tmp_path: Path) -> None:
    correcting.logic.edits.target.node.SetName("5: TOF_3D vessels")  # as DICOM series are called
    save(correcting, slicer_host, tmp_path / "signed.nii.gz")
    assert Path(slicer_host.dialogs.suggestion).name == "5- TOF_3D vessels.nii.gz"
    wait_until_saved(correcting)


@pytest.mark.parametrize(("kind", "name"), [("NIfTI", "signed.nii.gz"), ("Segmentation", "signed.seg.nrrd")])
def test_a_file_without_names_of_vessels_is_not_all(
    correcting: Any, slicer_host: host.Host, tmp_path: Path, kind: str, name: str
) -> None:
    import slicer

    ui = correcting.ui
    ui.nameToolButton.click()
    ui.toolVesselComboBox.currentIndex = ui.toolVesselComboBox.findData("veins right")
    click(correcting, BRANCH)
    ui.applyButton.click()
    save(correcting, slicer_host, tmp_path / name, kind)
    wait_until_saved(correcting)
    holds_all = kind == "Segmentation"
    assert correcting.logic.edits.unsaved_edits is not holds_all
    assert ("names and decisions" in ui.savingStatusLabel.text) is not holds_all
    slicer.mrmlScene.Clear(False)
    assert any("are not saved" in text for text in slicer_host.dialogs.shown) is not holds_all


@pytest.mark.parametrize(
    ("kind", "typed", "written"),
    [
        ("Segmentation", "vessels", "vessels.seg.nrrd"),
        ("Segmentation", "sub.01", "sub.01.seg.nrrd"),
        ("NIfTI", "vessels", "vessels.nii.gz"),
        ("NIfTI", "vessels.nii", "vessels.nii"),
        ("NRRD", "vessels.mha", "vessels.mha"),
    ],
)
def test_a_name_without_its_ending_gets_the_whole_of_it(
    correcting: Any, slicer_host: host.Host, tmp_path: Path, kind: str, typed: str, written: str
) -> None:
    save(correcting, slicer_host, tmp_path / typed, kind)
    wait_until_saved(correcting)
    assert (tmp_path / written).is_file()
    assert not (tmp_path / typed).is_file() or typed == written
    assert slicer_host.dialogs.shown == []


def test_a_completed_name_that_exists_is_replaced_only_after_asking(
    correcting: Any, slicer_host: host.Host, tmp_path: Path
) -> None:
    (tmp_path / "vessels.seg.nrrd").write_text("mine")
    slicer_host.dialogs.answer = False
    save(correcting, slicer_host, tmp_path / "vessels", "Segmentation")
    assert slicer_host.dialogs.shown == ["'vessels.seg.nrrd' exists already. Replace it?"]
    assert correcting.ui.saveSignedButton.isEnabled()
    slicer_host.dialogs.answer = True
    save(correcting, slicer_host, tmp_path / "vessels", "Segmentation")
    wait_until_saved(correcting)
    assert (tmp_path / "vessels.seg.nrrd").read_bytes()[:4] == b"NRRD"


def test_files_of_another_label_are_replaced_only_after_asking(
    correcting: Any, slicer_host: host.Host, tmp_path: Path
) -> None:
    save(correcting, slicer_host, tmp_path / "case.nii.gz")
    wait_until_saved(correcting)
    before = (tmp_path / "case_edits.json").read_bytes()
    remove_piece(correcting)
    slicer_host.dialogs.answer = False
    save(correcting, slicer_host, tmp_path / "case.seg.nrrd", "Segmentation")
    (question,) = slicer_host.dialogs.shown
    assert "'case_edits.json'" in question
    assert not (tmp_path / "case.seg.nrrd").exists()
    assert (tmp_path / "case_edits.json").read_bytes() == before
    slicer_host.dialogs.answer = True
    save(correcting, slicer_host, tmp_path / "case.seg.nrrd", "Segmentation")
    wait_until_saved(correcting)
    assert (tmp_path / "case_edits.json").read_bytes() != before


def test_the_log_of_a_label_that_is_saved_again_grows_without_a_question(
    correcting: Any, slicer_host: host.Host, tmp_path: Path
) -> None:
    path = tmp_path / "case.seg.nrrd"
    for edit in (lambda: remove_piece(correcting), correcting.ui.undoButton.click):
        edit()
        save(correcting, slicer_host, path, "Segmentation")
        wait_until_saved(correcting)
    assert slicer_host.dialogs.shown == []
    log = json.loads((tmp_path / "case_edits.json").read_text())
    assert [entry["event"] for entry in log["edits"]] == ["done", "undone"]
    assert [each["edits"] for each in log["signatures"]] == [1, 2]


def test_the_log_of_another_label_of_that_name_is_replaced_only_after_asking(
    correcting: Any, slicer_host: host.Host, tmp_path: Path
) -> None:
    """The file dialogue asks about the label, not about what lies beside it."""
    path = tmp_path / "case.seg.nrrd"
    remove_piece(correcting)
    save(correcting, slicer_host, path, "Segmentation")
    wait_until_saved(correcting)
    before = {each: each.read_bytes() for each in tmp_path.iterdir()}
    node, scan = correcting._parameterNode.outputSegmentation, correcting._parameterNode.inputVolume
    node.RemoveAttribute("vesselseg.edit_log")  # as one that comes from elsewhere
    draw_by_hand(node, scan)
    correcting.logic.edits.start(node, scan)
    slicer_host.dialogs.answer = False
    save(correcting, slicer_host, path, "Segmentation")
    (question,) = slicer_host.dialogs.shown
    assert "'case_edits.json', 'case_automatic.nii.gz'" in question
    assert {each: each.read_bytes() for each in tmp_path.iterdir()} == before
    slicer_host.dialogs.answer = True
    save(correcting, slicer_host, path, "Segmentation")
    wait_until_saved(correcting)
    assert (tmp_path / "case_edits.json").read_bytes() != before[tmp_path / "case_edits.json"]


def test_other_segments_that_were_edited_are_still_unsaved(
    correcting: Any, slicer_host: host.Host, tmp_path: Path
) -> None:
    node = correcting._parameterNode.outputSegmentation
    scan = correcting._parameterNode.inputVolume
    truth = drawn()[1]
    set_segment_label(node, scan, volume_from_node(scan).with_array(truth), name="Other", role="other")
    rest(0.3)
    save(correcting, slicer_host, tmp_path / "case.seg.nrrd", "Segmentation")
    wait_until_saved(correcting)
    assert correcting.logic.edits.unsaved_edits


def test_dicom_without_dicom_images_is_refused(
    correcting: Any, slicer_host: host.Host, tmp_path: Path, errors: list[BaseException]
) -> None:
    ui = correcting.ui
    remove_piece(correcting)
    ui.signedKindComboBox.currentIndex = ui.signedKindComboBox.findText("DICOM SEG")
    slicer_host.dialogs.path = str(tmp_path / "signed.dcm")
    ui.saveSignedButton.click()
    slicer_host.dialogs.path = ""
    assert "could not be saved" in slicer_host.dialogs.shown[-1]
    assert "DICOM images of 'TOF' are not known" in str(errors.pop())
    assert list(tmp_path.iterdir()) == []
    assert correcting.logic.edits.unsaved_edits


def test_the_panel_stays_alive_while_a_label_is_written(
    correcting: Any, slicer_host: host.Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is edited meanwhile is not in the file, and not saved."""
    ui, go_on = correcting.ui, threading.Event()
    write = edit_export.write_image

    def slow(*args: Any) -> None:
        go_on.wait(60)
        write(*args)

    monkeypatch.setattr(edit_export, "write_image", slow)
    remove_piece(correcting)
    saved = label(correcting)
    save(correcting, slicer_host, tmp_path / "signed.nii.gz")
    rest(0.2)
    assert "Wait until the label is written" in ui.saveSignedButton.toolTip
    ui.undoButton.click()
    go_on.set()
    wait_until_saved(correcting)
    np.testing.assert_array_equal(read_label(tmp_path / "signed.nii.gz").array, saved)
    correcting.ui.redoButton.click()
    rest(0.3)
    assert "not saved" in ui.editedLabel.text


def test_a_label_that_cannot_be_written_leaves_the_edits_and_no_file(
    correcting: Any,
    slicer_host: host.Host,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    errors: list[BaseException],
) -> None:
    def fail(*args: Any) -> None:
        raise VesselSegError("the disk is full", "make room")

    monkeypatch.setattr(edit_export, "write_image", fail)
    remove_piece(correcting)
    edited = label(correcting)
    save(correcting, slicer_host, tmp_path / "signed.nii.gz")
    wait_until_saved(correcting)
    assert str(errors.pop()) == "The disk is full. Make room."
    assert "Not saved. The disk is full." in correcting.ui.savingStatusLabel.text
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(label(correcting), edited)
    assert correcting.logic.edits.unsaved_edits


def test_closing_the_scene_waits_for_a_label_that_is_written(
    correcting: Any, slicer_host: host.Host, tmp_path: Path
) -> None:
    import slicer

    remove_piece(correcting)
    save(correcting, slicer_host, tmp_path / "signed.seg.nrrd", "Segmentation")
    slicer.mrmlScene.Clear(False)
    assert (tmp_path / "signed.seg.nrrd").is_file()
    assert slicer_host.dialogs.shown == []  # nothing was unsaved
