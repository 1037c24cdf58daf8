from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vesselseg.error_map import ERROR_COLOURS, ErrorKind, count_kinds, error_components, error_map
from vesselseg.figures import save_error_figure
from vesselseg.geometry import Geometry
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


def test_components_are_listed_where_they_lie(labels: tuple[Volume, Volume]) -> None:
    errors = error_map(*labels)
    components = error_components(errors)
    assert [(c.kind.name, c.voxels) for c in components] == [
        ("FALSE_NEGATIVE", 5 * 5 * 4), ("FALSE_POSITIVE", 5 * 3 * 4), ("FALSE_NEGATIVE", 3)
    ]  # fmt: skip
    small = components[-1]
    assert small.volume_mm3 == pytest.approx(3 * errors.geometry.voxel_volume)
    np.testing.assert_allclose(small.centre_ras, (errors.geometry.ijk_to_ras() @ [21, 20, 20, 1])[:3])
    for component in components:
        i, j, k = np.rint(np.linalg.inv(errors.geometry.ijk_to_ras()) @ [*component.centre_ras, 1])[:3].astype(int)
        assert errors.array[k, j, i] == component.kind


def test_figure_shows_the_three_colours(
    make_scan: Callable[..., Volume], labels: tuple[Volume, Volume], tmp_path: Path
) -> None:
    from matplotlib.image import imread

    errors = error_map(*labels)
    save_error_figure(tmp_path / "map.png", errors, scan=make_scan(errors.geometry), title="Errors")
    picture = imread(tmp_path / "map.png")[..., :3]
    # In the projections, above the legend: shades of the colours, hence compared by direction.
    upper = picture[: int(0.88 * len(picture))].reshape(-1, 3)
    bright = upper[upper.max(axis=1) > 0.3]
    for colour in ERROR_COLOURS.values():
        wanted = np.asarray(colour) / np.linalg.norm(colour)
        likeness = bright @ wanted / np.linalg.norm(bright, axis=1)
        assert np.count_nonzero(likeness > 0.995) > 50


def test_nothing_to_show_is_no_crash(tmp_path: Path) -> None:
    empty = Volume(np.zeros((8, 8, 8), np.uint8), Geometry((8, 8, 8)))
    assert error_components(error_map(empty, empty)) == []
    save_error_figure(tmp_path / "map.png", error_map(empty, empty))
    assert (tmp_path / "map.png").stat().st_size > 1000
