from __future__ import annotations

import pytest

from page_polling import poll
from vesselseg_web.logic.compare_logic import CompareLogic
from vesselseg_web.logic.error_list_logic import ErrorListLogic
from vesselseg_web.logic.segment_logic import SegmentLogic
from VesselSegmentationLib.reviewing import review_listing


@pytest.fixture
def segment_section(page, case, question):
    return SegmentLogic(page, case, question)


@pytest.fixture
def segmented(case, scan, segment_section):
    case.load_scan(scan, "TOF")
    segment_section.data.threshold = 0.5
    segment_section.start()
    poll(segment_section, lambda: not segment_section.data.running)
    return segment_section


@pytest.fixture
def errors_section(page, case):
    return ErrorListLogic(page, case)


@pytest.fixture
def compare_section(page, case, errors_section):
    return CompareLogic(page, case, errors_section.comparison_changed)


@pytest.fixture
def longer_than_lists(monkeypatch, case, scan, label):
    """Give a case a reference "truth" from which its vessels differ in four pieces, of which two fit into the list."""
    monkeypatch.setattr(review_listing, "MOST_AT_ONCE", 5)
    monkeypatch.setattr(review_listing, "LONGEST_LIST", 2)
    truth = label.array.copy()
    truth[0:2, 0:2, 0:2] = truth[6:8, 0:2, 0:2] = truth[10:12, 14:16, 0:2] = 1
    case.add_reference(scan.with_array(truth), "truth")
