"""On which grid labels are compared, and what is told of what that leaves out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vesselseg.comparison import on_one_grid
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume

GEOMETRY = Geometry((12, 10, 20), (0.5, 0.5, 0.6), (3.0, -4.0, 5.0))
SCAN = Volume(np.zeros(GEOMETRY.shape, np.float32), GEOMETRY)
#: The lower half.
LOWER = (slice(0, 10), slice(0, 10), slice(0, 12))


@pytest.fixture
def vessel() -> Volume:
    """A vessel from bottom to top."""
    array = np.zeros(GEOMETRY.shape, np.uint8)
    array[:, 4:6, 4:6] = 1
    return Volume(array, GEOMETRY)


@pytest.fixture
def lower(vessel: Volume) -> Volume:
    """The same in an image of the lower half."""
    return Volume(np.ascontiguousarray(vessel.array[LOWER]), GEOMETRY.cropped(LOWER))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if "lies outside" in message]


def test_without_a_scan_the_image_of_the_reference_is_compared(
    vessel: Volume, lower: Volume, caplog: pytest.LogCaptureFixture
) -> None:
    found, truth, _ = on_one_grid(vessel, lower)
    assert found.geometry == truth.geometry == lower.geometry
    np.testing.assert_array_equal(found.array, truth.array)
    assert told(caplog) == ["50 % of the segmentation lies outside the image of the reference and is not compared"]


def test_labels_are_background_outside_their_images(
    vessel: Volume, lower: Volume, caplog: pytest.LogCaptureFixture
) -> None:
    found, truth, _ = on_one_grid(vessel, lower, scan=SCAN)
    np.testing.assert_array_equal(found.array, vessel.array)
    assert (int(truth.array[:10].sum()), int(truth.array[10:].sum())) == (40, 0)
    on_one_grid(lower, vessel, scan=SCAN, kinds=("only Ann", "only Bob"))
    assert told(caplog) == [
        "50 % of the segmentation lies outside the image of the reference and counts as false positive",
        "50 % of the reference lies outside the image of the segmentation and counts as only Bob",
    ]


def test_an_image_that_is_cut_down_to_the_vessels_is_nothing_to_tell(
    lower: Volume, caplog: pytest.LogCaptureFixture
) -> None:
    whole = np.zeros(GEOMETRY.shape, np.uint8)
    whole[:10, 4:6, 4:6] = 1
    box = (slice(0, 10), slice(4, 6), slice(4, 6))
    cut = Volume(np.ascontiguousarray(whole[box]), GEOMETRY.cropped(box))
    found, truth, _ = on_one_grid(Volume(whole, GEOMETRY), cut, scan=SCAN)
    np.testing.assert_array_equal(found.array, truth.array)
    assert told(caplog) == []


def test_what_lies_outside_the_scan_is_told(vessel: Volume, caplog: pytest.LogCaptureFixture) -> None:
    """On the lattice of the scan, too, where nothing is resampled."""
    shifted = dataclasses.replace(GEOMETRY, origin=(3.0, -4.0, 5.0 - 15 * 0.6))
    _, truth, _ = on_one_grid(vessel, vessel.with_array(vessel.array), scan=Volume(SCAN.array, shifted))
    assert int(truth.array.sum()) == 20
    assert told(caplog) == [
        f"75 % of the {what} lies outside the image of the scan and is not compared"
        for what in ("segmentation", "reference")
    ]


@pytest.mark.parametrize(("spacing", "coarser"), [((1.0, 1.0, 0.6), True), ((0.25, 0.5, 0.6), False)])
def test_detail_that_a_coarser_reference_cannot_show_is_told(
    vessel: Volume, spacing: tuple[float, float, float], coarser: bool, caplog: pytest.LogCaptureFixture
) -> None:
    grid = GEOMETRY.resampled(spacing)
    on_one_grid(vessel, Volume(np.ones(grid.shape, np.uint8), grid))
    (said,) = (message for message in caplog.messages if "another grid" in message)
    assert said.endswith("that of the reference, which is coarser: finer detail is not compared") == coarser


def test_what_is_unsure_goes_with_its_reference(lower: Volume, caplog: pytest.LogCaptureFixture) -> None:
    found, truth, unsure = on_one_grid(lower, lower.with_array(0 * lower.array), lower, scan=SCAN)
    assert unsure is not None
    np.testing.assert_array_equal(unsure.array, found.array)
    assert not truth.array.any()
    assert sum("the reference lies on another grid" in message for message in caplog.messages) == 1
