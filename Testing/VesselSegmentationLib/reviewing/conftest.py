"""Two labels to compare, and the logic that compares them."""

from __future__ import annotations

import pytest

from compared_labels import SHAPE, two_sources
from VesselSegmentationLib.reviewing.review_logic import ReviewLogic


@pytest.fixture
def scan(add_scan):
    return add_scan(SHAPE)


@pytest.fixture
def sources(scene, scan):
    return two_sources(scene, scan)


@pytest.fixture
def logic(scene):
    logic = ReviewLogic(scene)
    yield logic
    logic.stop()
