from __future__ import annotations

import pytest

from VesselSegmentationLib.reviewing import review_listing


@pytest.fixture
def longer_than_lists(monkeypatch, case, scan, label):
    """Give a case a reference "truth" from which its vessels differ in four pieces, of which two fit into the list."""
    monkeypatch.setattr(review_listing, "MOST_AT_ONCE", 5)
    monkeypatch.setattr(review_listing, "LONGEST_LIST", 2)
    truth = label.array.copy()
    truth[0:2, 0:2, 0:2] = truth[6:8, 0:2, 0:2] = truth[10:12, 14:16, 0:2] = 1
    case.add_reference(scan.with_array(truth), "truth")
