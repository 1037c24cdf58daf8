from __future__ import annotations

import pytest

from VesselSegmentationLib.jobs.stages import stage_text


@pytest.mark.parametrize(
    ("message", "preview", "expected"),
    [
        ("starting", False, "Starting"),
        ("brain mask", False, "Finding the brain"),
        ("preview shown", True, "Finding the vessels. The preview is coarse."),
        ("preview shown; brain mask", True, "Finding the brain. The preview is coarse."),
        ("preview shown; part 2 of 5", True, "Finding the vessels, part 2 of 5. The preview is coarse."),
        ("something new", False, "Something new"),
        ("", False, ""),
    ],
)
def test_stages(message: str, preview: bool, expected: str) -> None:
    assert stage_text(message, preview=preview) == expected
