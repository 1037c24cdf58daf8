from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from skimage.color import deltaE_ciede2000, rgb2lab

from vesselseg.comparison import on_grid_of
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.review.error_components import error_components
from vesselseg.review.error_kinds import ErrorKind, find_palette, wording_of_two
from vesselseg.review.error_map import count_kinds, error_map, legend
from vesselseg.volume import Volume


@pytest.fixture
def labels(awkward_geometry: Geometry) -> tuple[Volume, Volume]:
    found = np.zeros(awkward_geometry.shape, np.uint8)
    truth = np.zeros(awkward_geometry.shape, np.uint8)
    found[5:10, 5:25, 5:9] = 1
    truth[5:10, 8:30, 5:9] = 1
    truth[20, 20, 20:23] = 1
    return Volume(found, awkward_geometry), Volume(truth, awkward_geometry)


def test_values_follow_their_definition(labels: tuple[Volume, Volume]) -> None:
    errors = error_map(*labels)
    found, truth = (label.array > 0 for label in labels)
    assert errors.geometry == labels[1].geometry
    np.testing.assert_array_equal(errors.array == 1, found & truth)
    np.testing.assert_array_equal(errors.array == 2, found & ~truth)
    np.testing.assert_array_equal(errors.array == 3, ~found & truth)
    assert count_kinds(errors) == {
        ErrorKind.TRUE_POSITIVE: np.sum(found & truth),
        ErrorKind.FALSE_POSITIVE: np.sum(found & ~truth),
        ErrorKind.FALSE_NEGATIVE: np.sum(~found & truth),
    }


def test_scan_gives_the_grid_and_what_is_resampled_is_said(
    labels: tuple[Volume, Volume], caplog: pytest.LogCaptureFixture
) -> None:
    turned = Volume.from_sitk(sitk.DICOMOrient(labels[0].to_sitk(), "RSP"))
    expected = error_map(*labels)
    on_scan = error_map(turned, labels[1], scan=labels[0])
    assert on_scan.geometry == labels[0].geometry
    np.testing.assert_array_equal(on_scan.array, expected.array)
    assert "the segmentation lies on another grid: it was resampled to that of the scan" in caplog.text
    elsewhere = Volume(labels[0].array, Geometry(labels[0].geometry.size, (0.6, 0.6, 0.6), (500.0, 0, 0)))
    with pytest.raises(VesselSegError, match="the segmentation and the reference do not overlap"):
        error_map(elsewhere, labels[1])


def test_a_label_of_decimal_numbers_is_not_blurred_by_resampling(labels: tuple[Volume, Volume]) -> None:
    decimals = labels[0].with_array(labels[0].array.astype(np.float32))
    grid = labels[0].geometry
    finer = Volume(
        np.zeros((60, 60, 60), np.uint8), Geometry((60, 60, 60), (0.3, 0.3, 0.3), grid.origin, grid.direction)
    )
    np.testing.assert_array_equal(
        error_map(decimals, finer).array == ErrorKind.FALSE_POSITIVE, on_grid_of(labels[0], finer).array == 1
    )


def test_legend_counts_in_the_words_and_colours_asked_for(labels: tuple[Volume, Volume]) -> None:
    errors = error_map(*labels)
    entries = legend(errors)
    assert [entry.title for entry in entries] == ["true positive", "false positive", "false negative"]
    assert [entry.voxels for entry in entries] == [np.sum(errors.array == value) for value in (1, 2, 3)]
    assert entries[2].volume_mm3 == pytest.approx(entries[2].voxels * errors.geometry.voxel_volume)
    assert [np.argmax(entry.colour) for entry in entries] == [0, 1, 2]
    other = legend(errors, wording=wording_of_two("model", "reader"), palette=find_palette("colour-blind"))
    assert [entry.title for entry in other] == ["agreement", "only model", "only reader"]
    assert len({entry.colour for entry in entries + other}) == 6


def test_names_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(VesselSegError, match="told apart"):
        wording_of_two("A", " A")
    with pytest.raises(VesselSegError, match="palette"):
        find_palette("pretty")


#: Machado et al. 2009, full severity, linear RGB.
COLOUR_BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("matrix", COLOUR_BLINDNESS.values(), ids=COLOUR_BLINDNESS)
def test_colour_blind_palette_can_be_told_apart(matrix: list[list[float]]) -> None:
    colours = np.array(find_palette("colour-blind").colours)
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(matrix).T, 0, 1)
    seen = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(seen[None])[0]
    for a, b in itertools.combinations(lab, 2):
        assert deltaE_ciede2000(a, b) > 28


def test_nothing_to_compare_is_no_crash() -> None:
    empty = Volume(np.zeros((8, 8, 8), np.uint8), Geometry((8, 8, 8)))
    assert error_components(error_map(empty, empty)) == []
    assert [entry.voxels for entry in legend(error_map(empty, empty))] == [0, 0, 0]
