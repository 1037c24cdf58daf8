from __future__ import annotations

import pytest

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from vesselseg_web.workspace.wording import counted


def test_numbers():
    assert [counted(number, "voxel") for number in (0, 1, 2, 1500)] == [
        "0 voxels",
        "1 voxel",
        "2 voxels",
        "1,500 voxels",
    ]
