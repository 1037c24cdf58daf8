"""Saving a session and going on with it; sessions that were not saved here; sessions that mean harm."""

from __future__ import annotations

import asyncio
import time
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from trame_slicer.core import SlicerApp

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import write_volume
from vesselseg.volume import Volume
from vesselseg_web.logic.scan_logic import SCAN, ScanLogic
from vesselseg_web.uploads.archives import unpack
from vesselseg_web.workspace import session_scene
from vesselseg_web.workspace.case import Case, given_notes
from vesselseg_web.workspace.session import restore_session, write_session
from vesselseg_web.workspace.session_scene import take_over
from VesselSegmentationLib.correcting.edit_log import read_log
from VesselSegmentationLib.reviewing.component_marks import ACCEPTED, REJECTED
from VesselSegmentationLib.reviewing.error_map_nodes import is_error_map
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.run_record import recorded_threshold
from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

SEGMENTATION = "vtkMRMLSegmentationNode"


@pytest.fixture
def case(page):
    """With real workers."""
    case = Case(page.scene)
    yield case
    case.review.stop()


@pytest.fixture
def names():
    """What scan and reference are called."""
    return "TOF head / ä", "truth"


@pytest.fixture
def worked(case, scan, label, find_vessels, names):
    """Everything that somebody can have done: vessels, mask, references, a comparison, an accepted error."""
    scan_name, reference = names
    find_vessels(scan_name)
    case.set_mask(scan.with_array(np.ones_like(label.array)), "brain")
    both = label.array.copy()
    both[0:2, 0, 0] = 1
    for _ in range(2):
        case.add_reference(label.with_array(both), reference)
    case.compare(f"{reference} (2)")
    assert case.review.wait()
    found = {each.voxels: each.component_id for each in case.review.navigator.components}
    case.edits.errors.decide(found[24], ACCEPTED, "A. Reader")
    case.edits.errors.decide(found[2], REJECTED, "A. Reader")
    return case


@pytest.fixture
def other():
    """A page elsewhere."""
    application = SlicerApp()
    case = Case(application.scene)
    yield case
    case.review.stop()
    case.edits.stop()
    application.scene.Clear(1)


def reload(case, path, folder):
    folder.mkdir()
    return restore_session(case, take_over(unpack(path, folder), folder))


@pytest.mark.parametrize(
    "names", [("TOF head / ä", "truth"), ("a & b", "truth"), ("TOF", "a & b / c"), ("a&amp;b", "<&>")]
)
def test_everything_goes_on(worked, other, tmp_path, names):
    scan_name, reference = names
    write_session(worked, tmp_path / "session.mrb")
    assert reload(other, tmp_path / "session.mrb", tmp_path / "a") == f"{reference} (2)"
    assert other.scan.GetName() == scan_name
    for one, two in ((worked.scan, other.scan), (worked.probability_node, other.probability_node)):
        before, after = volume_from_node(one), volume_from_node(two)
        np.testing.assert_array_equal(before.array, after.array)
        assert before.geometry.same_grid(after.geometry)
    np.testing.assert_array_equal(worked.label().array, other.label().array)
    assert list(other.references) == [reference, f"{reference} (2)"]
    assert other.mask.GetName() == "brain"
    assert recorded_threshold(other.vessels) == (0.5, 0.0)
    assert read_log(other.vessels) == read_log(worked.vessels) != []
    other.compare(f"{reference} (2)")
    assert other.review.wait()
    (rest,) = other.review.navigator.components
    assert other.review.navigator.mark_of(rest).decision == REJECTED
    assert other.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == (
        worked.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    )
    # And once more, without the files of the first time.
    write_session(other, tmp_path / "again.mrb")
    other.clear()
    reload(other, tmp_path / "again.mrb", tmp_path / "b")
    np.testing.assert_array_equal(worked.label().array, other.label().array)
    assert read_log(other.vessels) == read_log(worked.vessels)


def test_a_session_that_could_not_be_opened_again_is_not_written(worked, tmp_path, monkeypatch):
    monkeypatch.setattr(session_scene, "_MOST_NODES", 3)
    with pytest.raises(VesselSegError, match="could not be opened again"):
        write_session(worked, tmp_path / "session.mrb")


def test_what_is_to_be_known_of_a_reference_goes_on(case, other, label, find_vessels, tmp_path):
    find_vessels()
    name = "one; two: three"
    coarse = Volume(np.ones((3, 8, 10), np.uint8), Geometry((10, 8, 3), (1.2, 1.2, 1.2), label.geometry.origin))
    doubt = coarse.array.copy()
    doubt[:2] = 0
    notes = given_notes(case.references[case.add_reference(coarse, name, coarse.with_array(doubt))])
    assert ["on another grid" in note or "as unsure (255)" in note for note in notes] == [True, True]
    case.compare(name)
    told, errors = case.review.error_map.notes, case.review.error_map.errors.array.copy()
    assert "lies outside the image of the reference 'one; two: three' and counts as false positive" in told[-1]
    write_session(case, tmp_path / "session.mrb")
    reload(other, tmp_path / "session.mrb", tmp_path / "a")
    assert given_notes(other.references[name]) == notes
    other.compare(name)
    assert other.review.error_map.notes == told
    np.testing.assert_array_equal(other.review.error_map.errors.array, errors)


def test_nothing_of_the_page_is_in_a_session(worked, tmp_path):
    write_session(worked, tmp_path / "session.mrb")
    with zipfile.ZipFile(tmp_path / "session.mrb") as archive:
        (scene,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith(".mrml"))
    for name in ("<Slice", "<View", "<Layout", "<Crosshair", str(tmp_path)):
        assert name not in scene


def test_a_scan_alone(case, other, scan, tmp_path):
    with pytest.raises(VesselSegError, match="no scan"):
        write_session(case, tmp_path / "session.mrb")
    case.load_scan(scan, "TOF")
    write_session(case, tmp_path / "session.mrb")
    assert reload(other, tmp_path / "session.mrb", tmp_path / "a") == ""
    assert (other.scan.GetName(), other.vessels, other.references) == ("TOF", None, {})


def test_session_that_another_program_saved(worked, other, tmp_path):
    """Nothing says there what is what but the nodes themselves."""
    for index in range(worked.scene.GetNumberOfNodes()):
        for name in ("role", "name"):
            worked.scene.GetNthNode(index).RemoveAttribute(f"vesselseg.page.{name}")
    assert worked.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    assert reload(other, tmp_path / "scene.mrb", tmp_path / "a") == "truth (2)"
    assert other.scan.GetName() == "TOF head / ä"
    np.testing.assert_array_equal(worked.label().array, other.label().array)
    assert sorted(other.references) == ["brain", "truth", "truth (2)"]


def maps_shown(case):
    nodes = [
        case.scene.GetNthNodeByClass(i, SEGMENTATION) for i in range(case.scene.GetNumberOfNodesByClass(SEGMENTATION))
    ]
    return [bool(node.GetDisplayNode().GetVisibility()) for node in nodes if is_error_map(node)]


@pytest.mark.parametrize("program", ["page", "3D Slicer"])
def test_the_last_of_several_comparisons_goes_on(worked, other, tmp_path, program):
    worked.review.show_map(True)
    write_session(worked, tmp_path / "first.mrb")
    worked.compare("truth")
    worked.review.show_map(True)
    if program == "page":
        write_session(worked, tmp_path / "session.mrb")
    else:
        assert worked.scene.WriteToMRB(str(tmp_path / "session.mrb"))
    assert reload(other, tmp_path / "session.mrb", tmp_path / "a") == "truth"
    assert maps_shown(other) == [False, False]
    segment_id = segment_with_role(other.vessels)
    assert other.vessels.GetDisplayNode().GetSegmentVisibility(segment_id)
    other.compare("truth")
    other.review.show_map(True)
    assert maps_shown(other) == [False, True]


def test_comparison_that_is_not_shown_goes_on(worked, other, tmp_path):
    worked.review.show_map(False)
    write_session(worked, tmp_path / "session.mrb")
    assert reload(other, tmp_path / "session.mrb", tmp_path / "a") == "truth (2)"


def test_comparison_that_was_stopped_does_not_go_on(worked, other, tmp_path):
    write_session(worked, tmp_path / "first.mrb")
    worked.review.show_map(False)
    worked.review.stop()
    write_session(worked, tmp_path / "session.mrb")
    assert reload(other, tmp_path / "session.mrb", tmp_path / "a") == ""
    assert maps_shown(other) == [False]


@pytest.fixture
def with_label_volume(case, label, find_vessels):
    """As 3D Slicer compares with a label volume, of which one error was rejected."""
    find_vessels("TOF")
    volume_node = case.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "drawn")
    set_node_volume(volume_node, label)
    case.review.start(LabelSource(case.vessels), LabelSource(volume_node), volume_node=case.scan)
    case.review.show_map(True)
    assert case.review.wait()
    (error,) = case.review.navigator.components
    case.edits.errors.decide(error.component_id, REJECTED, "A. Reader")
    return case


def test_label_volume_of_3d_slicer_becomes_a_reference(with_label_volume, other, label, tmp_path):
    assert with_label_volume.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    assert reload(other, tmp_path / "scene.mrb", tmp_path / "a") == "drawn"
    np.testing.assert_array_equal(
        LabelSource(other.references["drawn"]).label_on(other.scan, "x")[0].array, label.array
    )
    assert other.scene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeNode") == 0
    assert maps_shown(other) == [False]
    segment_id = segment_with_role(other.vessels)
    assert other.vessels.GetDisplayNode().GetSegmentVisibility(segment_id)
    other.compare("drawn")
    assert other.review.wait()
    (error,) = other.review.navigator.components
    assert other.review.navigator.mark_of(error).decision == REJECTED


def test_vessels_are_shown_where_what_they_were_compared_with_is_not_in_the_session(with_label_volume, other, tmp_path):
    with_label_volume.scene.RemoveNode(with_label_volume.review.error_map.sources[1].node)
    write_session(with_label_volume, tmp_path / "session.mrb")
    assert reload(other, tmp_path / "session.mrb", tmp_path / "a") == ""
    assert maps_shown(other) == [False]
    segment_id = segment_with_role(other.vessels)
    assert other.vessels.GetDisplayNode().GetSegmentVisibility(segment_id)


def test_session_that_cannot_be_worked_on_leaves_everything_as_it_is(worked, other, scan, find_vessels, tmp_path):
    other.load_scan(scan, "elsewhere")
    other.add_reference(scan.with_array(np.ones(scan.array.shape, np.uint8)), "whole")
    worked.vessels.SetAttribute("vesselseg.edit_log", "{")
    write_session(worked, tmp_path / "session.mrb")
    with pytest.raises(VesselSegError) as caught:
        reload(other, tmp_path / "session.mrb", tmp_path / "a")
    assert caught.value.advice == "open it in 3D Slicer, or load the scan alone"
    assert (other.scan.GetName(), list(other.references), other.vessels) == ("elsewhere", ["whole"], None)
    assert other.scan.GetScene() is other.scene


def rewritten(path, *changes):
    """Change the scene description of a session."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    (description,) = (name for name in contents if name.endswith(".mrml"))
    text = contents[description].decode()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    contents[description] = text.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("display:vtkMRMLSegmentationDisplayNode1;", "display:vtkMRMLScalarVolumeDisplayNode1;"),
        ("display:vtkMRMLScalarVolumeDisplayNode1;", "display:vtkMRMLSegmentationDisplayNode1;"),
        ("display:vtkMRMLScalarVolumeDisplayNode1;", "display:vtkMRMLSliceDisplayNodepage;"),
        ("display:vtkMRMLSegmentationDisplayNode1;", ""),
        (
            'references="display:vtkMRMLSegmentationDisplayNode1;',
            'displayNodeRef="vtkMRMLScalarVolumeDisplayNode1" references="',
        ),
    ],
    ids=["of a volume", "of a segmentation", "of the page", "none", "of a volume, as in older scenes"],
)
def test_display_of_another_kind_is_not_taken_over(worked, other, tmp_path, before, after):
    of_page = slicer.vtkMRMLSliceDisplayNode()
    of_page.SetSingletonTag("page")
    other.scene.AddNode(of_page)
    write_session(worked, tmp_path / "session.mrb")
    reload(other, rewritten(tmp_path / "session.mrb", (before, after)), tmp_path / "a")
    assert other.scene.GetNodeByID("vtkMRMLSliceDisplayNodepage") is of_page
    assert other.scan.GetDisplayNode().IsA("vtkMRMLScalarVolumeDisplayNode")
    count = other.scene.GetNumberOfNodesByClass(SEGMENTATION)
    displays = [other.scene.GetNthNodeByClass(n, SEGMENTATION).GetDisplayNode() for n in range(count)]
    assert displays
    assert all(display.IsA("vtkMRMLSegmentationDisplayNode") for display in displays)


def test_nodes_of_one_id_are_refused(worked, tmp_path):
    write_session(worked, tmp_path / "session.mrb")
    change = ('id="vtkMRMLSegmentationDisplayNode1"', 'id="vtkMRMLScalarVolumeDisplayNode1"')
    with pytest.raises(VesselSegError, match="damaged"):
        take_over(unpack(rewritten(tmp_path / "session.mrb", change), _folder(tmp_path)), tmp_path / "a")


def test_a_session_that_cannot_be_written_leaves_nothing_behind(worked, tmp_path):
    (tmp_path / "own").mkdir()
    worked.scene.GetCacheManager().SetRemoteCacheDirectory(str(tmp_path / "own"))
    with pytest.raises(VesselSegError, match="could not be written"):
        write_session(worked, tmp_path / "no folder" / "session.mrb")
    assert list((tmp_path / "own").iterdir()) == []
    assert worked.scene.GetCacheManager().GetRemoteCacheDirectory() == str(tmp_path / "own")


def test_upload_of_a_session(page, views, question, worked, tmp_path):
    restored = []
    section = ScanLogic(page, worked, question, views, restored.append)
    worked.edits.mark_saved()
    expected = worked.label().array
    folder = tmp_path / "upload"
    folder.mkdir()
    write_session(worked, tmp_path / "session.mrb")
    (tmp_path / "session.mrb").rename(folder / "00000")
    assert asyncio.run(section.take_upload(folder, "Monday.mrb", SCAN))
    assert page.data.error == ""
    assert page.data.status == "Session Monday is restored."
    assert restored == ["truth (2)"]
    np.testing.assert_array_equal(worked.label().array, expected)
    assert not folder.exists()


def test_picture_in_colours_is_no_scan(session, other, tmp_path, scan):
    other.load_scan(scan, "elsewhere")
    sitk.WriteImage(sitk.Image([8, 8, 8], sitk.sitkVectorUInt8, 3), str(tmp_path / "rgb.nrrd"))
    files = {"s/Data/TOF.nrrd": (tmp_path / "rgb.nrrd").read_bytes()}
    with pytest.raises(VesselSegError, match="this session cannot be read"):
        reload(other, session(files=files), tmp_path / "a")
    assert other.scan.GetName() == "elsewhere"


SCENE = """<?xml version="1.0" encoding="UTF-8"?>
<MRML version="x" userTags="">
<Volume id="vtkMRMLScalarVolumeNode1" name="TOF"
  references="storage:vtkMRMLVolumeArchetypeStorageNode1;{more}"></Volume>
<VolumeArchetypeStorage id="vtkMRMLVolumeArchetypeStorageNode1" name="s" {attributes}></VolumeArchetypeStorage>
{nodes}</MRML>"""


@pytest.fixture
def session(tmp_path, scan):
    """Write a session by hand."""
    write_volume(scan, tmp_path / "scan.nrrd")
    data = (tmp_path / "scan.nrrd").read_bytes()

    def session(attributes='fileName="Data/TOF.nrrd"', more="", nodes="", scene=None, files=None):
        path = tmp_path / "session.mrb"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("s/s.mrml", scene or SCENE.format(attributes=attributes, more=more, nodes=nodes))
            for name, content in (files or {"s/Data/TOF.nrrd": data}).items():
                archive.writestr(name, content)
        return path

    return session


def test_session_by_hand(session, other, scan, tmp_path):
    reload(other, session(), tmp_path / "a")
    np.testing.assert_array_equal(volume_from_node(other.scan).array, scan.array)


@pytest.mark.parametrize(
    "name",
    ["/etc/hostname", "../../../etc/hostname", "Data/../../s/Data/TOF.nrrd", "file:///etc/hostname", "gone.nrrd"],
)
def test_files_outside_are_not_read(session, tmp_path, name):
    with pytest.raises(VesselSegError, match="is not in it"):
        take_over(unpack(session(f'fileName="{name}"'), _folder(tmp_path)), tmp_path / "a")


def test_nodes_inside_of_nodes_are_not_taken_over(session, other, tmp_path):
    (tmp_path / "secret.nrrd").write_bytes(b"secret")
    storage = f'<VolumeArchetypeStorage id="vtkMRMLVolumeArchetypeStorageNode2" fileName="{tmp_path}/secret.nrrd"/>'
    volume = '<Volume id="vtkMRMLScalarVolumeNode2" name="x" references="storage:vtkMRMLVolumeArchetypeStorageNode2;"/>'
    nodes = f'<VolumeDisplay id="vtkMRMLScalarVolumeDisplayNode1" name="d">{storage}{volume}</VolumeDisplay>'
    description = take_over(unpack(session(nodes=nodes), _folder(tmp_path)), tmp_path / "a")
    assert "secret" not in description.read_text()
    assert description.read_text().count("<Volume ") == 1


def test_volumes_without_voxels_are_left_out(session, other, scan, tmp_path):
    reload(other, session(nodes='<Volume id="vtkMRMLScalarVolumeNode2" name="empty"></Volume>'), tmp_path / "a")
    np.testing.assert_array_equal(volume_from_node(other.scan).array, scan.array)


def test_many_voxels_together_are_refused(session, tmp_path, monkeypatch):
    monkeypatch.setattr(session_scene, "MAX_VOXELS", 10)
    with pytest.raises(VesselSegError, match="too many voxels"):
        take_over(unpack(session(), _folder(tmp_path)), tmp_path / "a")


def test_addresses_and_lists_of_files_are_not_taken_over(session, other, tmp_path):
    attributes = 'fileName="Data/TOF.nrrd" uri="http://elsewhere.example/x.nrrd" fileListMember0="/etc/hostname"'
    nodes = '<Script id="x" name="/etc/hostname"></Script><Color id="vtkMRMLColorNode1" name="c"></Color>'
    description = take_over(unpack(session(attributes, nodes=nodes), _folder(tmp_path)), tmp_path / "a")
    text = description.read_text()
    for word in ("elsewhere", "hostname", "Script", "Color id"):
        assert word not in text
    restore_session(other, description)
    assert other.scan is not None


def test_data_that_point_elsewhere(session, tmp_path):
    header = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: raw\ndata file: /etc/hostname\n\n"
    with pytest.raises(VesselSegError, match="another file"):
        take_over(unpack(session(files={"s/Data/TOF.nrrd": header}), _folder(tmp_path)), tmp_path / "a")


def test_data_in_which_an_image_is_hidden(session, tmp_path, hide_image):
    write_volume(
        Volume(np.zeros((30, 30, 30), np.float32), Geometry((30, 30, 30), (1, 1, 1))),
        tmp_path / "x.nrrd",
        compress=False,
    )
    hide_image(tmp_path / "x.nrrd")
    files = {"s/Data/TOF.nrrd": (tmp_path / "x.nrrd").read_bytes()}
    with pytest.raises(VesselSegError, match="cannot be read"):
        take_over(unpack(session(files=files), _folder(tmp_path)), tmp_path / "a")


def test_damaged_data(session, tmp_path):
    header = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 40 40 40\nencoding: raw\n\nabc"
    with pytest.raises(VesselSegError, match="damaged"):
        take_over(unpack(session(files={"s/Data/TOF.nrrd": header}), _folder(tmp_path)), tmp_path / "a")


@pytest.mark.parametrize(
    ("scene", "expected"),
    [
        ("<MRML><Volume", "damaged"),
        ("<html></html>", "damaged"),
        ('<!DOCTYPE MRML [<!ENTITY a "aaaaaaaaaa">]><MRML>&a;</MRML>', "damaged"),
        ("<MRML></MRML>", "no scan"),
        ("<MRML>" + "<Volume/>" * 501 + "</MRML>", "too much"),
    ],
)
def test_scenes_that_are_none(session, tmp_path, scene, expected):
    started = time.monotonic()
    with pytest.raises(VesselSegError, match=expected):
        take_over(unpack(session(scene=scene), _folder(tmp_path)), tmp_path / "a")
    assert time.monotonic() - started < 5


def test_transforms_are_not_lost_in_silence(session, tmp_path):
    with pytest.raises(VesselSegError, match="under a transform"):
        take_over(unpack(session(more="transform:vtkMRMLLinearTransformNode1;"), _folder(tmp_path)), tmp_path / "a")


def _folder(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    return folder
