"""Tools in the hand: what is offered, what clicks, Apply and Cancel do, whatever the tool."""

from __future__ import annotations

import numpy as np
from trame.ui.html import DivLayout
from trame_server.utils.typed_state import TypedState

from correcting_case import BRANCH, PIECE, TRUNK, drawn
from mouse import drag, pixel_of
from vesselseg_web.logic.states import SegmentState
from vesselseg_web.logic.tool_list import TOOLS
from vesselseg_web.ui.tools_ui import ToolsUI
from VesselSegmentationLib.correcting import edit_tools
from VesselSegmentationLib.correcting.edit_tools import EditTool


def test_every_tool_of_the_panel_is_offered():
    kinds = {each for each in vars(edit_tools).values() if isinstance(each, type) and issubclass(each, EditTool)}
    offered = [tool.kind for tool in TOOLS if tool.kind is not None]
    assert all(any(issubclass(each, kind) for each in offered) for kind in kinds)


def test_range_of_few_intensities_has_digits(page):
    """A scan in 0..1 would be painted from 0 to 1, whatever the range."""
    with DivLayout(page.server, template_name="tools") as layout:
        ToolsUI(page.server)
    assert "Number(value).toFixed((DisplayState__step < 1 ? 2 : 0))" in layout.html


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


def test_return_says_why_nothing_is_applied(edited):
    edited.tools.apply()
    assert edited.page.data.status == edited.data.why_no_apply != ""
    edited.tools.toggle("removePiece")
    edited.tools.apply()
    assert edited.page.data.status == edited.data.why_no_apply
    assert edited.data.hint == "Click on it in a slice or in 3D."
    edited.click_at_once((12, 40, 2))
    edited.tools.apply()
    assert "no vessel within" in edited.page.data.status


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
