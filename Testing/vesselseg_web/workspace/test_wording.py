from __future__ import annotations

import pytest

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from vesselseg_web.workspace.wording import counted, stage_text


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
def test_stages(message, preview, expected):
    assert stage_text(message, preview=preview) == expected


def test_numbers():
    assert [counted(number, "voxel") for number in (0, 1, 2, 1500)] == [
        "0 voxels",
        "1 voxel",
        "2 voxels",
        "1,500 voxels",
    ]
