"""A tool in the hand without any front end: its clicks, what is offered, and what outdates it."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from compared_labels import SHAPE, add_segmentation, two_labels
from vesselseg.editing import edit_between
from vesselseg.errors import VesselSegError
from VesselSegmentationLib.correcting import edit_tools
from VesselSegmentationLib.correcting.edit_clicks import EditClicks
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.correcting.edit_tools import EditTool, ToolSettings
from VesselSegmentationLib.correcting.setting_choices import change_choices, extent_choices, vessel_choices
from VesselSegmentationLib.correcting.tool_in_hand import ToolInHand
from VesselSegmentationLib.reviewing.review_logic import ReviewLogic
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.segmentation_nodes import segment_label
from VesselSegmentationLib.scene.volume_nodes import volume_from_node

WAS, TRUTH = two_labels()


class Hand:
    """A tool in the hand, and who clicks."""

    def __init__(self, scene, scan, vessels, *, always_compared=False):
        for name in ("vtkMRMLInteractionNode", "vtkMRMLSelectionNode"):
            scene.AddNode(getattr(slicer, name)())
        self.scan, self.vessels = scan, vessels
        self.review = ReviewLogic(scene)
        self.edits = EditLogic(scene)
        self.edits.start(vessels[0], review=self.review)
        self.clicks = EditClicks(scene, lambda: None)
        self.suggested = []
        self.settings = ToolSettings(threshold=0.5)
        self.hand = ToolInHand(
            self.edits, self.review, self.clicks,
            settings=lambda: self.settings, suggest=self.suggested.append, always_compared=always_compared,
        )  # fmt: skip

    def place(self, voxel):
        k, j, i = voxel
        return tuple((volume_from_node(self.scan).geometry.ijk_to_ras() @ [i, j, k, 1.0])[:3])

    def click(self, voxel, *, same_place_counts=False):
        self.clicks.node.AddControlPointWorld(*self.place(voxel))
        return self.hand.take_clicks(same_place_counts=same_place_counts)

    def offer(self):
        preview = self.hand.preview()
        self.hand.make_offer(preview.edit, preview.text, preview.commit)
        return preview

    def compare(self, truth):
        self.review.start(LabelSource(*self.vessels), truth, volume_node=self.scan)

    @property
    def label(self):
        return segment_label(*self.vessels, self.scan).array

    def close(self):
        self.clicks.stop()
        self.edits.stop()
        self.review.stop()


class Suggesting(EditTool):
    """Adds a voxel at the last click."""

    def suggested_threshold(self, points, settings):
        return 0.25

    def preview(self, points, settings):
        label = self.edits.target.label()
        after = label.copy()
        after[tuple(np.round(self.edits.target.voxel_of(points[-1])).astype(int))] = 1
        return edit_between(label, after, tool="test", description="add a voxel")


class Twice(Suggesting):
    clicks = 2


class Clickless(Suggesting):
    clicks = 0


class Comparing(Suggesting):
    needs_comparison = True


class Beside(Suggesting):
    def suggested_threshold(self, points, settings):
        raise VesselSegError("nothing is there", "click elsewhere")


@pytest.fixture
def scan(add_scan):
    return add_scan(SHAPE, np.diag([0.6, 0.6, 0.6, 1.0]))


@pytest.fixture
def desk(scene, scan, vessels):
    desk = Hand(scene, scan, vessels)
    yield desk
    desk.close()


EMPTY = [tuple(int(v) for v in voxel) for voxel in np.argwhere(WAS == 0)[:3]]


def test_from_click_to_label(desk):
    hand = desk.hand
    hand.take(Suggesting)
    assert desk.clicks.placing
    assert hand.lacks_clicks
    assert not hand.follows_settings
    assert not hand.can_withdraw
    with pytest.raises(VesselSegError):
        hand.preview()
    assert desk.click(EMPTY[0])
    assert desk.suggested == [0.25]
    assert not hand.lacks_clicks
    assert hand.follows_settings
    assert hand.can_withdraw
    preview = desk.offer()
    assert (preview.text, hand.offer.text, preview.settings) == ("add a voxel", "add a voxel", desk.settings)
    assert desk.edits.preview.shown
    assert not desk.label[EMPTY[0]]
    hand.offer.commit()
    assert desk.label[EMPTY[0]]


def test_nothing_is_in_the_hand(desk):
    hand = desk.hand
    hand.take(Suggesting)
    desk.clicks.node.AddControlPointWorld(*desk.place(EMPTY[0]))
    hand.take(None)
    assert hand.tool is None
    assert not desk.clicks.placing
    assert not hand.take_clicks(same_place_counts=True)
    assert (hand.lacks_clicks, hand.follows_settings, hand.can_withdraw) == (False, False, False)
    with pytest.raises(VesselSegError):
        hand.preview()


def test_an_offer_needs_no_tool(desk):
    """As that of correcting many errors at once."""
    label = desk.edits.target.label()
    desk.hand.make_offer(edit_between(label, 1 - label, tool="test", description="all"), "all", lambda: None)
    assert desk.hand.can_withdraw
    desk.hand.withdraw()
    assert desk.hand.offer is None
    assert not desk.edits.preview.shown


def test_a_tool_of_one_click_begins_anew_with_each(desk):
    desk.hand.take(Suggesting)
    desk.click(EMPTY[0])
    assert desk.click(EMPTY[1])
    assert desk.hand.points == [pytest.approx(desk.place(EMPTY[1]))]
    assert desk.suggested == [0.25, 0.25]


@pytest.mark.parametrize("counts", [False, True])
def test_a_click_at_the_same_place(desk, counts):
    desk.hand.take(Suggesting)
    desk.click(EMPTY[0])
    assert desk.click(EMPTY[0], same_place_counts=counts) is counts
    assert len(desk.suggested) == 1 + counts
    assert len(desk.clicks.points) == 1
    assert not desk.hand.take_clicks(same_place_counts=True)  # nobody has clicked since


def test_a_tool_of_two_clicks_gathers_them_and_is_suggested_to_once(desk):
    desk.hand.take(Twice)
    desk.click(EMPTY[0])
    assert desk.hand.lacks_clicks
    assert desk.click(EMPTY[1])
    assert not desk.hand.lacks_clicks
    assert len(desk.hand.points) == 2
    assert desk.suggested == [0.25]


def test_a_tool_without_clicks(desk):
    hand = desk.hand
    hand.take(Clickless)
    assert not desk.clicks.placing
    assert hand.follows_settings
    assert not hand.lacks_clicks
    assert not hand.can_withdraw
    hand.await_click()
    assert not desk.clicks.placing


def test_what_cannot_be_suggested_is_left_to_the_preview(desk):
    desk.hand.take(Beside)
    assert desk.click(EMPTY[0])
    assert desk.suggested == []


def test_withdrawing_forgets_the_clicks_but_not_the_tool(desk):
    hand = desk.hand
    hand.take(Suggesting)
    desk.click(EMPTY[0])
    desk.offer()
    hand.drop_offer()
    assert (hand.offer, len(hand.points)) == (None, 1)
    desk.offer()
    hand.withdraw()
    assert (hand.offer, hand.points, desk.clicks.points) == (None, [], [])
    assert not desk.edits.preview.shown
    assert isinstance(hand.tool, Suggesting)
    assert not hand.take_clicks(same_place_counts=True)


def test_an_edit_of_others_outdates_an_offer(desk):
    desk.hand.take(Suggesting)
    desk.click(EMPTY[0])
    desk.offer().commit()
    desk.hand.withdraw()
    desk.click(EMPTY[1])
    desk.offer()
    assert not desk.hand.outdated
    desk.edits.undo()
    assert desk.hand.outdated
    desk.hand.withdraw()
    assert not desk.hand.outdated


@pytest.mark.parametrize(
    ("kind", "always", "outdated"),
    [(Suggesting, False, False), (Comparing, False, True), (Suggesting, True, True), (Comparing, True, True)],
)
def test_another_comparison(scene, scan, vessels, truth, kind, always, outdated):
    desk = Hand(scene, scan, vessels, always_compared=always)
    desk.hand.take(kind)
    desk.click(EMPTY[0])
    desk.offer()
    desk.compare(truth)
    assert desk.hand.outdated is outdated
    desk.close()


def test_what_is_kept_is_shown_in_one_colour(desk, monkeypatch):
    kept = []
    monkeypatch.setattr(desk.edits, "show_preview", lambda edit, *, kept=False, to=kept: to.append(kept))
    desk.hand.take(Suggesting)
    desk.click(EMPTY[0])
    preview = desk.offer()
    desk.hand.make_offer(preview.edit, "kept", preview.commit, kept=True)
    assert kept == [False, True]


def test_edits_are_measured_against_what_they_are_compared_with(desk, scene, scan, truth):
    assert desk.edits.compared_reference is None
    desk.compare(truth)
    assert desk.edits.compared_reference == truth
    other = LabelSource(*add_segmentation(scene, scan, WAS, "Other"))
    desk.review.start(other, truth, volume_node=scan)
    assert desk.edits.compared_reference is None
    desk.edits.stop()
    assert desk.edits.compared_reference is None


def test_choices_are_complete_and_can_be_translated():
    assert tuple(value for _text, value in extent_choices()) == edit_tools.EXTENTS
    assert tuple(value for _text, value in change_choices()) == edit_tools.CHANGES
    assert vessel_choices()[-1] == ("No name: back to the vessels", edit_tools.UNNAMED)
    for choices in (vessel_choices, extent_choices, change_choices):
        assert choices(str.upper) == tuple((text.upper(), value) for text, value in choices())
