from __future__ import annotations

import numpy as np
import pytest

from editing_shortcuts import apply_edit, undo_edit
from vesselseg.editing import Edit, edit_between
from vesselseg.errors import VesselSegError


def two_states(dtype: type = np.uint8) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    before = (generator.random((12, 20, 17)) < 0.3).astype(dtype)
    after = before.copy()
    after[3:9, 4:15, 2:13] = generator.random((6, 11, 11)) < 0.5
    after[3, 4, 2], after[8, 14, 12] = not before[3, 4, 2], not before[8, 14, 12]
    return before, after


def edit(before: np.ndarray, after: np.ndarray) -> Edit:
    return edit_between(before, after, tool="paint", description="a stroke", measures={"length_mm": 3.0})


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int16])
def test_applying_and_undoing_give_the_very_same_voxels(dtype: type) -> None:
    before, after = two_states(dtype)
    change, array = edit(before, after), before.copy()
    apply_edit(array, change)
    np.testing.assert_array_equal(array, after)
    undo_edit(array, change)
    np.testing.assert_array_equal(array, before)


def test_an_edit_holds_what_changed_and_no_more() -> None:
    before, after = two_states()
    change = edit(before, after)
    assert change.box == (slice(3, 9), slice(4, 15), slice(2, 13))
    assert change.voxels_added == ((after == 1) & (before == 0)).sum()
    assert change.voxels_removed == ((after == 0) & (before == 1)).sum()
    assert not change.is_empty


def test_an_edit_made_in_a_box_belongs_to_the_whole() -> None:
    before, after = two_states()
    box = (slice(2, 11), slice(3, 18), slice(1, 16))
    inside = edit_between(before[box], after[box], tool="paint", description="", box=box)
    array = before.copy()
    apply_edit(array, inside)
    np.testing.assert_array_equal(array, after)


def test_nothing_changed_is_an_empty_edit() -> None:
    before, _ = two_states()
    change, array = edit(before, before.copy()), before.copy()
    assert change.is_empty
    assert change.voxels_added == change.voxels_removed == 0
    apply_edit(array, change.packed().unpacked())
    np.testing.assert_array_equal(array, before)


def test_an_edit_of_another_state_is_refused_and_changes_nothing() -> None:
    before, after = two_states()
    change = edit(before, after)
    for refused, array in ((apply_edit, after.copy()), (undo_edit, before.copy())):
        was = array.copy()
        with pytest.raises(VesselSegError, match="has changed since 'paint'"):
            refused(array, change)
        np.testing.assert_array_equal(array, was)
    with pytest.raises(VesselSegError, match="larger label"):
        apply_edit(before[:5], change)


def test_a_packed_edit_is_small_and_the_same() -> None:
    before = np.zeros((160, 200, 200), np.uint8)
    after = before.copy()
    after[20:150, 30:190, 100:104] = 1
    change = edit(before, after)
    packed = change.packed()
    assert packed.nbytes < change.added.nbytes / 50
    again = packed.unpacked()
    assert (again.box, again.tool, again.description, again.measures) == (
        change.box,
        change.tool,
        change.description,
        change.measures,
    )
    np.testing.assert_array_equal(again.added, change.added)
    np.testing.assert_array_equal(again.removed, change.removed)
    scattered = edit(*two_states())
    np.testing.assert_array_equal(scattered.packed().unpacked().removed, scattered.removed)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        edit_between(np.zeros((2, 2, 2)), np.zeros((2, 2, 3)), tool="", description="")
    with pytest.raises(ValueError, match="the box has shape"):
        Edit((slice(0, 2),) * 3, np.zeros((2, 2, 2), bool), np.zeros((2, 2, 1), bool), "", "")
