"""Strokes of the brush, the eraser and scissors in slices and in 3D, in the one history of all edits."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

import views
from correcting_case import ALONG_MISSED, PIECE, TRUNK, drawn
from mouse import drag, pixel_of
from VesselSegmentationLib.scene.scan_display import set_slab
from VesselSegmentationLib.scene.segmentation_nodes import set_surface_shown, surface_shown


def test_strokes_and_clicks_are_steps_of_one_history(edited):
    states = [edited.label]
    edited.tools.toggle("paint")
    edited.data.hint = ""
    edited.stroke(edited.axial, ALONG_MISSED[0], ALONG_MISSED[1])
    states.append(edited.label)
    assert np.all(states[1] >= states[0])
    assert states[1][ALONG_MISSED[0]]
    assert states[1][18, 8, 14]
    assert not states[1][ALONG_MISSED[2]]
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


def test_strokes_that_do_nothing_say_why(edited):
    edited.tools.toggle("paint")
    hint = edited.data.hint
    edited.stroke(edited.axial, (18, 14, 20), (18, 14, 30))
    assert "as bright as vessels: widen the range" in edited.data.hint
    assert edited.page.data.status == edited.data.hint
    edited.stroke(edited.axial, ALONG_MISSED[0], ALONG_MISSED[1])
    assert (len(edited.steps), edited.data.hint) == (1, hint)
    edited.correct.free_hand.data.masked = False
    edited.page.state.flush()
    for expected in (hint, "Nothing was added there."):
        edited.stroke(edited.axial, ALONG_MISSED[2])
        assert edited.data.hint == expected
    edited.tools.toggle("erase")
    edited.stroke(edited.axial, (18, 14, 20), (18, 14, 30))
    assert edited.data.hint == "Nothing was erased there."
    assert edited.page.data.error == ""
    assert len(edited.steps) == 2


def test_stroke_on_a_named_vessel_says_how_it_is_removed(edited):
    edited.tools.toggle("name")
    edited.click(PIECE)
    edited.tools.apply()
    edited.tools.toggle("erase")
    edited.stroke(edited.axial, PIECE)
    assert edited.data.hint == "Nothing was erased there. Vessels with a name are removed with the vessel tools."
    assert len(edited.steps) == 1


def test_slab_is_told_where_a_stroke_or_click_has_missed(edited):
    set_slab(edited.case.scene, 5.0)
    edited.tools.toggle("erase")
    edited.stroke(edited.axial, (18, 14, 20), (18, 14, 30))
    assert edited.data.hint.endswith("The slab is on: strokes act on the slice in its middle.")
    edited.tools.toggle("removePiece")
    edited.click((12, 40, 2))
    assert "no vessel within" in edited.data.hint
    assert edited.data.hint.endswith("The slab is on: clicks in a slice act in its middle.")


def test_turning_the_3d_view_is_no_stroke(edited):
    edited.tools.toggle("erase")
    hint = edited.data.hint
    drag(edited.solid, (2, 2), (30, 10))
    edited.poll()
    assert edited.data.hint == hint


def test_erasing_on_a_vessel_in_3d(edited):
    edited.tools.toggle("erase")
    drag(edited.solid, pixel_of(edited.solid, edited.place(PIECE)))
    edited.poll()
    removed = np.argwhere(drawn()[0] > edited.label)
    assert len(removed)
    np.testing.assert_allclose(removed.mean(axis=0), PIECE, atol=2.5)
    assert edited.steps == ["erase by hand"]


def test_brush_is_seen_in_slices_while_it_is_in_the_hand(edited):
    interactor = edited.axial.interactor()
    x, y = pixel_of(edited.axial, edited.place(TRUNK))

    def picture():
        for event in ("EnterEvent", "MouseMoveEvent"):
            interactor.SetEventInformation(x, y, 0, 0, chr(0), 0, None)
            interactor.InvokeEvent(event)
        return views.pixels(edited.axial).astype(int)

    # As `Views` leaves it.
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    if factory.IsDisplayableManagerRegistered("vtkMRMLModelSliceDisplayableManager"):
        factory.UnRegisterDisplayableManager("vtkMRMLModelSliceDisplayableManager")
    before = picture()
    for name in ("paint", "erase"):
        edited.tools.toggle(name)
        assert np.any(picture() != before), name
    edited.tools.choose("")
    np.testing.assert_array_equal(picture(), before)


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
