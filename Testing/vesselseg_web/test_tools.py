"""The tools of the page in real views, drawn without a display: clicks, strokes, previews and one history."""

from __future__ import annotations

import time

import numpy as np
import pytest
from trame_server.utils.typed_state import TypedState
from trame_slicer.views import ViewLayoutDefinition
from trame_slicer.views.direct_view_factory import DirectViewFactory

import views
from mouse import click, drag, pixel_of
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from vesselseg_web.compare_logic import CompareLogic
from vesselseg_web.correct_logic import CorrectLogic
from vesselseg_web.error_list_logic import ErrorListLogic
from vesselseg_web.states import SegmentState
from vesselseg_web.tool_list import TOOLS
from VesselSegmentationLib import edit_tools
from VesselSegmentationLib.edit_tools import EditTool
from VesselSegmentationLib.run_record import record_probability, record_threshold
from VesselSegmentationLib.segmentation_nodes import set_segment_label, set_surface_shown, surface_shown
from VesselSegmentationLib.volume_nodes import set_node_volume

SHAPE = (24, 44, 48)
#: Voxels (k, j, i): two places on the trunk, on a branch of it, a loose piece, and places along a missed vessel.
TRUNK, BRANCH, PIECE = (12, 20, 10), (12, 34, 24), (4, 6, 10)
MISSED = ((18, 8, 4), (18, 8, 24), (18, 8, 43))


def drawn():
    """Return what was found, a trunk with a branch and a loose piece, and the truth: no piece, but a missed vessel."""
    found = np.zeros(SHAPE, np.uint8)
    found[11:14, 19:22, 2:46] = 1
    found[11:14, 22:40, 23:26] = 1
    truth = found.copy()
    found[3:6, 5:8, 4:16] = 1
    truth[17:20, 7:10, 4:44] = 1
    return found, truth


@pytest.fixture
def geometry():
    """An oblique grid of voxels that are no cubes."""
    a, b = np.deg2rad([12.0, -20.0])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = (about_z @ about_x) * [0.5, 0.6, 0.8]
    matrix[:3, 3] = 12.0, -30.0, 40.0
    return Geometry.from_ijk_to_ras(matrix, SHAPE[::-1])


class Desk:
    """The section "Correct" and the views in front of it."""

    def __init__(self, page, case, geometry):
        self.page, self.case, self.geometry = page, case, geometry
        manager = page._slicer_app.view_manager
        manager.register_factory(DirectViewFactory(True))
        self.axial, self.solid = (
            manager.create_view(each)
            for each in (ViewLayoutDefinition.axial_view(), ViewLayoutDefinition.threed_view())
        )
        for view in (self.axial, self.solid):
            view.render_window().SetMultiSamples(0)
            view.interactor().UpdateSize(300, 300)
        self.errors = ErrorListLogic(page, case)
        self.compare = CompareLogic(page, case, self._compared)
        self.correct = CorrectLogic(page, case, self.compare.tell)
        self.tools = self.correct.tools

    def _compared(self, changed):
        self.errors.comparison_changed(changed)
        self.correct.comparison_changed(changed)

    def load(self):
        found, truth = drawn()
        noise = np.random.default_rng(0).normal(20, 2, SHAPE)
        self.case.load_scan(Volume((noise + 100 * (truth | found)).astype(np.float32), self.geometry), "TOF")
        scene, scan = self.case.scene, self.case.scan
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "TOF vessels")
        set_segment_label(node, scan, Volume(found, self.geometry))
        probability = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF vessel probability")
        values = np.where(found, 0.9, np.where(truth, 0.4, 0.001)).astype(np.float32)
        set_node_volume(probability, Volume(values, self.geometry))
        record_probability(node, probability)
        record_threshold(node, 0.5, 0.0)
        self.case.take_vessels(node)
        set_surface_shown(node, True)
        self.axial.set_background_volume_id(scan.GetID())
        for view in (self.axial, self.solid):
            view.reset_view()
        self.poll()

    def poll(self, seconds=0.0):
        """Let the page do what it does some times a second, and go on whatever happens, as it does."""
        end = time.monotonic() + seconds
        while True:
            for section in (self.compare, self.correct):
                with self.page.reporting(keep=True):
                    section.poll()
            self.page.state.flush()
            if time.monotonic() >= end:
                return
            time.sleep(0.02)

    def wait(self, until):
        """Poll until something is so."""
        end = time.monotonic() + 30
        while not until():
            assert time.monotonic() < end
            self.poll()
            time.sleep(0.02)

    def place(self, voxel):
        """Return where a voxel (k, j, i) lies in the world."""
        k, j, i = voxel
        return tuple(float(v) for v in (self.geometry.ijk_to_ras() @ [i, j, k, 1.0])[:3])

    def click_at_once(self, voxel, view=None):
        """Click; the page has had no time yet to look at it."""
        click(view or self.axial, self.place(voxel))

    def click(self, voxel, view=None):
        self.click_at_once(voxel, view)
        self.poll()

    def stroke(self, view, *voxels):
        pixel_of(view, self.place(voxels[0]))  # slices come first
        drag(view, *(pixel_of(view, self.place(voxel)) for voxel in voxels))
        self.poll()

    @property
    def label(self):
        return self.case.label().array.copy()

    @property
    def data(self):
        return self.tools.data

    @property
    def steps(self):
        return self.correct.data.steps


@pytest.fixture
def desk(page, case, geometry):
    desk = Desk(page, case, geometry)
    yield desk
    for view in (desk.axial, desk.solid):
        views.close(page._slicer_app, view)


@pytest.fixture
def edited(desk):
    desk.load()
    return desk


@pytest.fixture
def compared(edited):
    edited.case.add_reference(Volume(drawn()[1], edited.geometry), "truth")
    edited.compare.start()
    edited.wait(lambda: len(edited.errors.data.rows) == 2)
    return edited


def test_every_tool_of_the_panel_is_offered():
    kinds = {each for each in vars(edit_tools).values() if isinstance(each, type) and issubclass(each, EditTool)}
    offered = [tool.kind for tool in TOOLS if tool.kind is not None]
    assert all(any(issubclass(each, kind) for each in offered) for kind in kinds)


def test_without_vessels_every_button_says_why(desk):
    assert {tool["why_not"] for tool in desk.data.tools} == {"Segment a scan first."}
    desk.tools.toggle("paint")
    assert desk.data.tool == ""
    assert desk.data.why_no_apply == "Segment a scan first."


def test_what_a_tool_needs_is_said_on_its_button(edited):
    why_not = {tool["name"]: tool["why_not"] for tool in edited.data.tools}
    assert why_not.pop("error") == "Compare with a reference first."
    assert set(why_not.values()) == {""}
    edited.case.scene.RemoveNode(edited.case.probability_node)
    edited.poll()
    why_not = {tool["name"]: tool["why_not"] for tool in edited.data.tools}
    assert "segment the scan again" in why_not["grow"]
    assert why_not["trace"] == ""


def test_one_tool_is_in_the_hand(edited):
    edited.tools.toggle("grow")
    assert (edited.data.tool, edited.data.settings) == ("grow", ["threshold", "length"])
    assert edited.data.hint == "Click on the vessel that is missing, then move the slider."
    edited.tools.toggle("paint")
    assert (edited.data.tool, edited.data.settings) == ("paint", ["brush", "shape", "mask"])
    edited.tools.toggle("paint")
    assert (edited.data.tool, edited.data.hint) == ("", "")


@pytest.mark.parametrize("three_d", [False, True])
def test_piece_is_removed_by_a_click_and_undone(edited, three_d):
    before = edited.label
    edited.tools.toggle("removePiece")
    edited.click(PIECE, edited.solid if three_d else edited.axial)
    assert "108 removed" in edited.data.hint
    np.testing.assert_array_equal(edited.label, before)
    assert edited.case.edits.preview.shown
    edited.tools.apply()
    expected = before.copy()
    expected[3:6, 5:8, 4:16] = 0
    np.testing.assert_array_equal(edited.label, expected)
    assert not edited.case.edits.preview.shown
    assert len(edited.steps) == 1
    assert edited.data.tool == "removePiece"
    edited.correct.undo()
    np.testing.assert_array_equal(edited.label, before)
    edited.correct.redo()
    np.testing.assert_array_equal(edited.label, expected)


def test_drag_turns_the_3d_view_and_is_no_click(edited):
    edited.tools.toggle("removePiece")
    camera = edited.solid.renderer().GetActiveCamera()
    before = camera.GetPosition()
    x, y = pixel_of(edited.solid, edited.place(PIECE))
    drag(edited.solid, (x, y), (x + 30, y + 10))
    edited.poll()
    assert camera.GetPosition() != before
    assert not edited.case.edits.preview.shown


def test_click_beside_everything(edited):
    edited.tools.toggle("removePiece")
    drag(edited.solid, (2, 2))
    assert edited.data.hint == "Nothing is there: click on a vessel."
    edited.click((12, 40, 2))
    assert "no vessel within" in edited.data.hint
    assert edited.page.data.error == ""
    assert edited.data.why_no_apply


def test_cancel_takes_back_the_preview_and_then_puts_the_tool_down(edited):
    before = edited.label
    edited.tools.toggle("removeBranch")
    edited.click(BRANCH)
    assert edited.data.why_no_apply == ""
    edited.tools.cancel()
    assert not edited.case.edits.preview.shown
    assert edited.data.tool == "removeBranch"
    edited.tools.cancel()
    assert edited.data.tool == ""
    assert edited.case.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 0
    np.testing.assert_array_equal(edited.label, before)


def test_branch_is_removed_without_its_parent(edited):
    edited.tools.toggle("removeBranch")
    edited.click(BRANCH)
    edited.tools.apply()
    label = edited.label
    assert label[TRUNK]
    assert not label[BRANCH]


def test_growth_follows_the_slider(edited):
    edited.tools.toggle("grow")
    edited.click(MISSED[1])
    edited.data.length = 40.0
    edited.data.threshold = 0.3
    edited.page.state.flush()
    edited.poll(0.3)
    added = edited.data.hint
    edited.data.threshold = 0.95
    edited.page.state.flush()
    edited.poll(0.3)
    assert edited.data.hint != added
    edited.data.threshold = 0.3
    edited.page.state.flush()
    edited.poll(0.3)
    edited.tools.apply()
    np.testing.assert_array_equal(edited.label, drawn()[0] | drawn()[1])


def test_trace_through_several_clicks(edited):
    edited.tools.toggle("trace")
    edited.click(MISSED[0])
    assert edited.data.hint == "Click the next place along the vessel."
    assert edited.data.why_no_apply
    for voxel in MISSED[1:]:
        edited.click(voxel)
        assert edited.data.why_no_apply == ""
    edited.tools.apply()
    added = edited.label.astype(bool) & ~drawn()[0].astype(bool)
    truth = drawn()[1].astype(bool) & ~drawn()[0].astype(bool)
    assert 2 * np.count_nonzero(added & truth) / (np.count_nonzero(added) + np.count_nonzero(truth)) > 0.7


def test_local_threshold(edited):
    edited.tools.toggle("threshold")
    edited.data.threshold, edited.data.radius = 0.3, 3.0
    edited.page.state.flush()
    edited.click(MISSED[1])
    edited.tools.apply()
    label = edited.label
    assert label[MISSED[1]]
    assert not label[MISSED[0]]


def test_branch_gets_a_name(edited):
    edited.tools.toggle("name")
    edited.data.vessel = "MCA left"
    edited.click(BRANCH)
    assert "Left middle cerebral artery" in edited.data.hint
    edited.tools.apply()
    assert "MCA left" in edited.case.edits.arteries.segments()
    assert len(edited.steps) == 1
    edited.correct.undo()
    np.testing.assert_array_equal(edited.label, drawn()[0])


def test_keeping_one_piece(edited):
    edited.tools.toggle("keepPiece")
    edited.click(TRUNK)
    edited.tools.apply()
    np.testing.assert_array_equal(edited.label, drawn()[0] & drawn()[1])


def test_small_pieces_need_no_click(edited):
    edited.data.volume = 20.0
    edited.tools.toggle("smallPieces")
    assert "Nothing would change" in edited.data.hint
    edited.data.volume = 30.0
    edited.page.state.flush()
    edited.poll(0.3)
    assert "108 removed" in edited.data.hint
    edited.tools.apply()
    np.testing.assert_array_equal(edited.label, drawn()[0] & drawn()[1])


def test_error_is_accepted_by_a_click(compared):
    compared.tools.toggle("error")
    compared.click(MISSED[1])
    compared.tools.apply()
    compared.wait(lambda: len(compared.errors.data.rows) == 1)
    assert compared.compare.data.legend[2]["text"].startswith("0 voxels")
    compared.correct.undo()
    np.testing.assert_array_equal(compared.label, drawn()[0])
    compared.wait(lambda: len(compared.errors.data.rows) == 2)


def test_error_is_rejected_by_a_click_in_3d(compared):
    before = compared.label
    compared.tools.toggle("error")
    compared.data.decision = "rejected"
    compared.click(PIECE, compared.solid)
    assert "keep the vessels" in compared.data.hint
    compared.tools.apply()
    np.testing.assert_array_equal(compared.label, before)
    assert len(compared.correct.data.steps) == 1
    marks = compared.case.review.navigator
    assert marks is not None
    compared.correct.undo()
    assert compared.correct.data.steps == []


@pytest.mark.parametrize("decision", ["accepted", "rejected"])
def test_decision_is_kept_where_metrics_cannot_be_measured(compared, decision):
    compared.tools.toggle("error")
    compared.data.decision = decision
    compared.case.review.use_mask(None)
    time.sleep(0.4)
    compared.compare.poll()  # now a worker is asked for metrics, as which the pretended one fails
    compared.click_at_once(MISSED[1])
    time.sleep(4)  # it has failed, but nobody has looked
    compared.tools.apply()
    assert len(compared.steps) == 1
    assert compared.label[MISSED[1]] == (decision == "accepted")
    assert compared.page.data.error == ""
    compared.wait(lambda: "worker ended unexpectedly" in compared.page.data.error)
    assert compared.case.review.error_map is not None


def test_click_counts_though_apply_follows_at_once(edited):
    edited.tools.toggle("removePiece")
    edited.click_at_once(PIECE)
    edited.tools.apply()
    assert not edited.label[PIECE]
    assert len(edited.steps) == 1


def test_last_click_counts_though_apply_follows_at_once(edited):
    edited.tools.toggle("removePiece")
    edited.click(TRUNK)
    edited.click_at_once(PIECE)
    edited.tools.apply()
    assert edited.label[TRUNK]
    assert not edited.label[PIECE]
    edited.click(TRUNK)
    edited.click_at_once((12, 40, 2))
    edited.tools.apply()
    assert edited.label[TRUNK]
    assert "no vessel within" in edited.data.hint


def test_click_counts_that_follows_undo_at_once(edited):
    edited.tools.toggle("removePiece")
    edited.click(PIECE)
    edited.tools.apply()
    edited.click(BRANCH)
    edited.correct.undo()
    edited.click_at_once(PIECE)
    edited.poll()
    assert "108 removed" in edited.data.hint
    edited.tools.apply()
    np.testing.assert_array_equal(edited.label, drawn()[0] & drawn()[1])


def test_click_on_nothing_leaves_what_is_shown(edited):
    edited.tools.toggle("removePiece")
    edited.click(PIECE)
    drag(edited.solid, (2, 2))
    edited.poll()
    assert "still waits" in edited.data.hint
    edited.tools.apply()
    assert not edited.label[PIECE]
    drag(edited.solid, (2, 2))
    assert "waits" not in edited.data.hint


def test_apply_does_nothing_while_a_scan_is_segmented(edited):
    edited.tools.toggle("removePiece")
    edited.click(PIECE)
    running = TypedState(edited.page.state, SegmentState).data
    running.running = True
    edited.tools.apply()
    assert edited.steps == []
    edited.poll()
    assert (edited.data.tool, edited.data.hint) == ("", "")
    assert not edited.case.edits.preview.shown
    running.running = False
    edited.poll()
    edited.tools.apply()
    np.testing.assert_array_equal(edited.label, drawn()[0])


def test_line_below_the_views_says_nothing_of_a_tool_that_was_put_down(edited):
    edited.tools.toggle("grow")
    assert edited.page.data.status == edited.data.hint != ""
    edited.tools.toggle("grow")
    assert edited.page.data.status == ""
    edited.tools.toggle("removePiece")
    edited.click(PIECE)
    edited.tools.apply()
    edited.correct.undo()
    edited.tools.toggle("removePiece")
    assert edited.page.data.status.startswith("Undone")


def test_strokes_and_clicks_are_steps_of_one_history(edited):
    states = [edited.label]
    edited.tools.toggle("paint")
    edited.data.hint = ""
    edited.stroke(edited.axial, MISSED[0], MISSED[1])
    states.append(edited.label)
    assert np.all(states[1] >= states[0])
    assert states[1][MISSED[0]]
    assert states[1][18, 8, 14]
    assert not states[1][MISSED[2]]
    edited.tools.toggle("removePiece")
    edited.click(PIECE)
    edited.tools.apply()
    states.append(edited.label)
    edited.tools.toggle("erase")
    edited.stroke(edited.axial, TRUNK, (12, 20, 20))
    states.append(edited.label)
    assert np.all(states[3] <= states[2])
    assert not states[3][12, 20, 15]
    assert edited.steps[0] == "erase by hand"
    assert edited.steps[2] == "paint by hand"
    assert len(edited.steps) == 3
    for state in states[-2::-1]:
        edited.correct.undo()
        np.testing.assert_array_equal(edited.label, state)
    assert not edited.correct.data.can_undo
    for state in states[1:]:
        edited.correct.redo()
        np.testing.assert_array_equal(edited.label, state)


def test_paint_stays_where_the_scan_is_bright(edited):
    edited.tools.toggle("paint")
    edited.stroke(edited.axial, (18, 14, 20), (18, 14, 30))
    assert edited.steps == []
    edited.correct.free_hand.data.masked = False
    edited.page.state.flush()
    edited.stroke(edited.axial, (18, 14, 20), (18, 14, 30))
    assert edited.label[18, 14, 25]


def test_erasing_on_a_vessel_in_3d(edited):
    edited.tools.toggle("erase")
    drag(edited.solid, pixel_of(edited.solid, edited.place(PIECE)))
    edited.poll()
    removed = np.argwhere(drawn()[0] > edited.label)
    assert len(removed)
    np.testing.assert_allclose(removed.mean(axis=0), PIECE, atol=2.5)
    assert edited.steps == ["erase by hand"]


def test_scissors_in_a_slice(edited):
    edited.tools.toggle("scissors")
    edited.stroke(edited.axial, (12, 30, 16), (12, 30, 32), (12, 43, 32), (12, 43, 16))
    label = edited.label
    assert not label[12, 35, 24]
    assert label[12, 25, 24]
    assert label[PIECE]
    assert len(edited.steps) == 1
    edited.correct.undo()
    np.testing.assert_array_equal(edited.label, drawn()[0])


@pytest.mark.parametrize("shown", [True, False])
def test_surface_follows_a_stroke_where_it_is_shown(edited, shown):
    set_surface_shown(edited.case.vessels, shown)
    edited.tools.toggle("erase")
    edited.stroke(edited.axial, TRUNK, (12, 20, 20))
    assert len(edited.steps) == 1
    assert surface_shown(edited.case.vessels) == shown


def test_undo_while_something_is_shown(edited):
    edited.tools.toggle("removePiece")
    edited.click(PIECE)
    edited.tools.apply()
    edited.click(BRANCH)
    assert edited.case.edits.preview.shown
    edited.correct.undo()
    edited.poll()
    assert edited.data.why_no_apply
    edited.tools.apply()
    np.testing.assert_array_equal(edited.label, drawn()[0])


def test_another_scan_takes_the_tool_out_of_the_hand(edited):
    edited.tools.toggle("paint")
    edited.load()
    assert edited.data.tool == ""
    edited.tools.toggle("erase")
    edited.stroke(edited.axial, TRUNK, (12, 20, 20))
    assert not edited.label[12, 20, 15]
    assert edited.steps == ["erase by hand"]
    edited.case.clear()
    edited.poll()
    assert edited.data.tool == ""
    assert {tool["why_not"] for tool in edited.data.tools} == {"Segment a scan first."}


def test_nothing_of_a_reader_is_left(edited):
    edited.correct.data.reader = "Dr. Reader"
    edited.page.state.flush()
    assert edited.case.edits.reader == "Dr. Reader"
    edited.correct.stop()
    assert edited.correct.data.reader == ""
    assert edited.case.edits.reader == ""
