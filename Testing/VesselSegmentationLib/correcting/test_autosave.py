from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import slicer

from compared_labels import SHAPE, add_segmentation, paint, two_labels
from vesselseg.editing import edit_of
from vesselseg.errors import VesselSegError
from vesselseg.file_lock import lock_file
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from VesselSegmentationLib.correcting.autosave import FOLDER_NAME, Autosave
from VesselSegmentationLib.correcting.edit_history import EditHistory
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.correcting.recovery import discard, find_recoverable, restore
from VesselSegmentationLib.scene.segmentation_nodes import segment_label, segment_with_role, set_segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

FOUND, TRUTH = two_labels()

#: For what has nothing to do with how a scan lies.
one_grid = pytest.mark.parametrize("ijk_to_ras", [np.diag([0.5, 0.6, 0.7, 1.0])])


@pytest.fixture
def scan(add_scan, ijk_to_ras):
    return add_scan(SHAPE, ijk_to_ras)


@pytest.fixture
def vessels(scene, scan):
    return add_segmentation(scene, scan, FOUND, "Vessels")


@pytest.fixture
def saver(vessels, scan, tmp_path):
    history = EditHistory(vessels[0])
    saver = Autosave(tmp_path, history, scan, rest_seconds=0.0)
    yield saver
    saver.close()
    history.close()


def crash(saver):
    """End a session as a crash does, as far as others can see."""
    saver.close(keep=True)


def test_nothing_is_saved_before_the_first_edit(saver, tmp_path):
    saver.poll()
    assert saver.saved
    assert not list(tmp_path.rglob("*.nrrd"))


def test_edits_come_back_on_the_same_grid_with_names_colours_and_roles(scene, scan, vessels, saver, tmp_path):
    node, segment_id = vessels
    set_segment_label(node, scan, volume_from_node(scan).with_array(TRUTH), name="ICA", role="ICA", color=(0, 1, 0))
    saver.poll()
    paint(*vessels, scan, [(0, 0, 0)], 1)
    saver.save_now()
    assert find_recoverable(tmp_path) == []  # this session runs
    expected = [segment_label(node, each, scan).array for each in (segment_id, segment_with_role(node, "ICA"))]
    crash(saver)
    (found,) = find_recoverable(tmp_path)
    assert (found.scan, found.segmentation, found.segments) == ("TOF", node.GetName(), ("Vessels", "ICA"))
    assert found.edits == 2
    assert "Vessels of TOF: Vessels, ICA; 2 edits, saved " in found.text
    back = restore(scene, found)
    for index, role in enumerate(("vessels", "ICA")):
        there = segment_with_role(back, role)
        np.testing.assert_array_equal(segment_label(back, there, scan).array, expected[index])
    assert back.GetSegmentation().GetSegment(segment_with_role(back, "ICA")).GetColor() == (0, 1, 0)
    assert back.GetStorageNode() is None
    assert back.GetSegmentation().GetConversionParameter("Smoothing factor") == "0"
    assert len(find_recoverable(tmp_path)) == 1
    discard(found)
    assert find_recoverable(tmp_path) == []
    assert not list((tmp_path / FOLDER_NAME).iterdir())


def test_transforms_of_scan_and_segmentation(scene, scan, vessels, saver, add_transform, tmp_path):
    matrix = np.eye(4)
    matrix[:3, 3] = 5.0, -3.0, 2.0
    paint(*vessels, scan, [(0, 0, 0)], 1)
    scan.SetAndObserveTransformNodeID(add_transform(matrix).GetID())
    vessels[0].SetAndObserveTransformNodeID(scan.GetTransformNodeID())
    expected = segment_label(*vessels, scan).array
    saver.save_now()
    crash(saver)
    back = restore(scene, find_recoverable(tmp_path)[0])
    np.testing.assert_array_equal(segment_label(back, segment_with_role(back), scan).array, expected)


@pytest.mark.parametrize("removed", ["segmentation", "scan"])
def test_removed_nodes_keep_their_place(scene, scan, vessels, add_transform, tmp_path, removed):
    node, segment_id = vessels
    matrix = np.eye(4)
    matrix[:3, 3] = 10.25, 3.1, 0.0
    transform = add_transform(matrix)
    if removed == "segmentation":
        scan.SetAndObserveTransformNodeID(transform.GetID())
    node.SetAndObserveTransformNodeID(transform.GetID())
    if removed == "scan":
        node.HardenTransform()
        scan.SetAndObserveTransformNodeID(transform.GetID())
    logic = EditLogic(scene, autosave_folder=str(tmp_path))
    logic.start(node, scan, segment_id=segment_id)
    added = np.ones((1, 1, 2), bool)
    logic.commit(edit_of(added, np.zeros_like(added), tool="grow", description="for a test"))
    expected = segment_label(*vessels, scan).array
    logic.leave()
    volume = volume_from_node(scan)
    scene.RemoveNode(node if removed == "segmentation" else scan)
    logic.stop(keep_autosave=True)
    if removed == "scan":
        scan = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
        set_node_volume(scan, volume)
    (found,) = find_recoverable(tmp_path)
    back = restore(scene, found, scan)
    np.testing.assert_array_equal(segment_label(back, segment_with_role(back), scan).array, expected)


def test_another_scan_is_refused_and_none_is_fine(scene, make_scene, add_scan, scan, vessels, saver, tmp_path):
    paint(*vessels, scan, [(0, 0, 0)], 1)
    saver.save_now()
    crash(saver)
    found = find_recoverable(tmp_path)[0]
    other = add_scan((5, 5, 5), np.diag([0.33, 0.44, 0.55, 1.0]))
    count = scene.GetNumberOfNodes()
    with pytest.raises(VesselSegError, match="not drawn on the grid"):
        restore(scene, found, other)
    assert scene.GetNumberOfNodes() == count
    new = make_scene()
    node = restore(new, found)
    scan_there = new.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
    set_node_volume(scan_there, volume_from_node(scan))
    label = segment_label(node, segment_with_role(node), scan_there).array
    np.testing.assert_array_equal(label, segment_label(*vessels, scan).array)


@pytest.mark.parametrize("ijk_to_ras", ["oblique"], indirect=False)
def test_waits_for_a_pause_but_not_for_long(add_scan, scene, tmp_path, ijk_to_ras):
    scan = add_scan(SHAPE)
    vessels = add_segmentation(scene, scan, FOUND, "Vessels")
    history = EditHistory(vessels[0])
    saver = Autosave(tmp_path, history, scan, rest_seconds=0.2, longest_seconds=0.5)
    begin, count = time.monotonic(), 0
    while not list(tmp_path.rglob("*.nrrd")):
        paint(*vessels, scan, [(0, count % 24, count // 24)], 1)
        history.settle()
        count += 1
        saver.poll()
        time.sleep(0.01)
        assert time.monotonic() - begin < 20
    assert time.monotonic() - begin >= 0.45
    assert count > 3
    saver.save_now()
    assert saver.saved
    saver.forget()
    assert not list(tmp_path.rglob("*.nrrd"))
    saver.close()
    assert not list((tmp_path / FOLDER_NAME).iterdir())
    history.close()


@pytest.mark.parametrize("limit", [10, 2000, 10**9])
@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_killed_in_the_middle_of_a_write(scene, tmp_path, limit):
    script = Path(__file__).with_name("autosaving_process.py")
    process = subprocess.Popen([sys.executable, script, tmp_path, str(limit)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "saved\n"
        if limit < 10**9:
            assert process.stdout.readline() == "stalled\n"
        assert find_recoverable(tmp_path) == []
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    (found,) = find_recoverable(tmp_path)
    scan = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
    set_node_volume(scan, Volume(np.zeros(SHAPE, np.int16), Geometry(SHAPE[::-1], (0.5, 0.6, 0.7), (1.0, 2.0, 3.0))))
    node = restore(scene, found)
    expected = FOUND.copy()
    expected[0, 0, 0] = 1
    label = segment_label(node, segment_with_role(node), scan).array
    if limit == 10**9 and label[0, 0, 1]:
        expected[0, 0, 1] = 1  # the second save was through already
    np.testing.assert_array_equal(label, expected)
    discard(found)
    assert not list((tmp_path / FOLDER_NAME).iterdir())


def test_a_pause_keeps_the_copy_and_the_lock_and_another_history_goes_on(scan, vessels, saver, tmp_path):
    paint(*vessels, scan, [(0, 0, 0)], 1)
    saver.save_now()
    saver.pause()
    assert find_recoverable(tmp_path) == []
    assert list(tmp_path.rglob("*.seg.nrrd"))
    paint(*vessels, scan, [(0, 0, 1)], 1)  # nobody follows
    history = EditHistory(vessels[0])
    saver.resume(history, scan)
    assert not saver.saved  # it may be other than it was
    paint(*vessels, scan, [(0, 0, 2)], 1)
    saver.save_now()
    crash(saver)
    history.close()
    (found,) = find_recoverable(tmp_path)
    assert found.edits == 2


def test_what_cannot_be_read_is_left_out(tmp_path, caplog):
    session = tmp_path / FOLDER_NAME / "session-x"
    session.mkdir(parents=True)
    (session / "0.seg.nrrd").write_bytes(b"NRRD0004\nvesselseg_remark:={\n\n")
    (session / "1.seg.nrrd").write_bytes(b"NRRD0004\n\n")
    (session / "2.seg.nrrd").write_bytes(b'NRRD0004\nvesselseg_remark:={"scan": "a"}\n\n')
    (tmp_path / FOLDER_NAME / "session-empty").mkdir()
    os.utime(tmp_path / FOLDER_NAME / "session-empty", (0, 0))
    assert find_recoverable(tmp_path) == []
    assert caplog.text.count("is not offered") == 3
    assert not (tmp_path / FOLDER_NAME / "session-empty").exists()
    assert find_recoverable(tmp_path / "nowhere") == []


@one_grid
def test_another_application_that_starts_leaves_a_session_alone_that_is_being_made(
    scan, vessels, tmp_path, monkeypatch
):
    from VesselSegmentationLib.correcting import autosave

    def lock_late(path):
        monkeypatch.undo()
        assert find_recoverable(tmp_path) == []
        return lock_file(path)

    monkeypatch.setattr(autosave, "lock_file", lock_late)
    history = EditHistory(vessels[0])
    saver = Autosave(tmp_path, history, scan)
    assert saver.folder.is_dir()
    saver.close()
    history.close()


@one_grid
@pytest.mark.skipif(sys.platform == "win32", reason="removes no open file")
@pytest.mark.parametrize("ended", ["by itself", "by a crash"])
def test_a_session_is_removed_before_another_can_lock_it(saver, tmp_path, monkeypatch, ended):
    refused = []
    (saver.folder / ".vesselseg-00ff").mkdir()
    remove, unlink = shutil.rmtree, Path.unlink

    def look():
        with pytest.raises(BlockingIOError):
            lock_file(saver.folder / "lock")
        refused.append(sorted(path.name for path in saver.folder.iterdir()))

    def look_and_remove(path, **options):
        look()
        remove(path, **options)

    def look_and_unlink(path, **options):
        look()
        unlink(path, **options)

    monkeypatch.setattr(shutil, "rmtree", look_and_remove)
    monkeypatch.setattr(Path, "unlink", look_and_unlink)
    saver.close(keep=ended == "by a crash")
    if ended == "by a crash":
        os.utime(saver.folder, (0, 0))
        assert find_recoverable(tmp_path) == []
    assert refused == [[".vesselseg-00ff", "lock"], ["lock"]]
    assert not saver.folder.exists()


@one_grid
@pytest.mark.skipif(sys.platform == "win32", reason="removes no open file")
@pytest.mark.parametrize("removed", ["folder", "lock"])
def test_what_a_cleaner_of_temporary_files_removes_is_made_again(scan, vessels, saver, tmp_path, removed):
    paint(*vessels, scan, [(0, 0, 0)], 1)
    saver.save_now()
    if removed == "folder":
        shutil.rmtree(saver.folder.parent)
    else:
        (saver.folder / "lock").unlink()
    paint(*vessels, scan, [(0, 0, 1)], 1)
    saver.save_now()
    assert find_recoverable(tmp_path) == []  # it is locked
    crash(saver)
    (found,) = find_recoverable(tmp_path)
    assert found.edits == 2


def test_a_save_that_fails_is_said(scan, vessels, saver, monkeypatch):
    from VesselSegmentationLib.correcting import autosave

    def fail(*args, **options):
        raise OSError("disk full")

    monkeypatch.setattr(autosave, "write_seg_nrrd", fail)
    paint(*vessels, scan, [(0, 0, 0)], 1)
    with pytest.raises(VesselSegError, match="disk full"):
        saver.save_now()
    assert not saver.saved
    monkeypatch.undo()
    saver.save_now()
    assert saver.saved


def test_overlapping_segments_and_an_emptied_one(scene, scan, vessels, saver, tmp_path):
    node, _segment_id = vessels
    set_segment_label(node, scan, volume_from_node(scan).with_array(FOUND), name="Copy", role="copy")
    node.GetSegmentation().AddEmptySegment("empty", "empty")
    saver.save_now()
    crash(saver)
    back = restore(scene, find_recoverable(tmp_path)[0])
    for role in ("vessels", "copy"):
        np.testing.assert_array_equal(segment_label(back, segment_with_role(back, role), scan).array, FOUND)
    assert not segment_label(back, "empty", scan).array.any()


@one_grid
@pytest.mark.parametrize("left", [0, 1])
def test_a_segmentation_of_one_voxel_or_none_comes_back(scene, scan, vessels, saver, tmp_path, left):
    paint(*vessels, scan, [tuple(voxel) for voxel in np.argwhere(FOUND)[left:]], 0)
    saver.save_now()
    crash(saver)
    back = restore(scene, find_recoverable(tmp_path)[0])
    expected = segment_label(*vessels, scan).array
    assert expected.sum() == left
    np.testing.assert_array_equal(segment_label(back, segment_with_role(back), scan).array, expected)


def test_folder_that_cannot_be_written(scan, vessels, tmp_path):
    (tmp_path / FOLDER_NAME).write_text("a file is in the way")
    history = EditHistory(vessels[0])
    with pytest.raises(VesselSegError, match="cannot be saved"):
        Autosave(tmp_path, history, scan)
    history.close()


def test_file_is_one_that_slicer_reads(scene, scan, vessels, saver):
    paint(*vessels, scan, [(0, 0, 0)], 1)
    saver.save_now()
    storage = slicer.vtkMRMLSegmentationStorageNode()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage.SetFileName(str(next(saver.folder.glob("*.seg.nrrd"))))
    assert storage.ReadData(node)
    np.testing.assert_array_equal(
        segment_label(node, segment_with_role(node), scan).array, segment_label(*vessels, scan).array
    )
