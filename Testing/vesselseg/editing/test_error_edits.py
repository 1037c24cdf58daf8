from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from editing_shortcuts import apply_edit, undo_edit
from vesselseg.editing import correct_component, correct_components, correct_error_at, select_components
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.review.error_components import error_components
from vesselseg.review.error_kinds import ErrorKind
from vesselseg.review.error_map import error_map
from vesselseg.volume import Volume


def two_labels(geometry: Geometry) -> tuple[np.ndarray, np.ndarray, Volume]:
    generator = np.random.default_rng(8)
    truth, found = (
        (ndimage.gaussian_filter(generator.normal(size=geometry.shape), 1.2) > 0.12).astype(np.uint8) for _ in range(2)
    )
    found[4:20], truth[:3] = truth[4:20], 0
    return found, truth, error_map(Volume(found, geometry), Volume(truth, geometry))


def test_each_error_corrected_alone_leads_to_the_reference(awkward_geometry: Geometry) -> None:
    found, truth, errors = two_labels(awkward_geometry)
    label, edits = found.copy(), []
    for component in error_components(errors):
        edit = correct_component(label, errors.array, awkward_geometry, component)
        assert (edit.voxels_added, edit.voxels_removed)[component.kind == ErrorKind.FALSE_POSITIVE] == component.voxels
        assert edit.voxels_added + edit.voxels_removed == component.voxels
        assert edit.measures["volume_mm3"] == pytest.approx(component.volume_mm3)
        apply_edit(label, edit)
        edits.append(edit)
    assert {edit.tool for edit in edits} == {"reject error", "accept error"}
    np.testing.assert_array_equal(label, truth)
    for edit in reversed(edits):
        undo_edit(label, edit)
    np.testing.assert_array_equal(label, found)


def test_a_batch_is_one_edit_with_counts(awkward_geometry: Geometry) -> None:
    found, truth, errors = two_labels(awkward_geometry)
    components = error_components(errors)
    label = found.copy()
    edit = correct_components(label, errors.array, awkward_geometry, components)
    apply_edit(label, edit)
    np.testing.assert_array_equal(label, truth)
    kinds = [component.kind for component in components]
    assert edit.measures["false_positives"] == kinds.count(ErrorKind.FALSE_POSITIVE)
    assert edit.measures["false_negatives"] == kinds.count(ErrorKind.FALSE_NEGATIVE)
    undo_edit(label, edit)
    np.testing.assert_array_equal(label, found)
    one = next(each for each in components if each.kind == ErrorKind.FALSE_NEGATIVE)
    said = correct_components(label, errors.array, awkward_geometry, [one]).description
    assert said.startswith("remove 0 false positives, add 1 false negative, ")


def test_errors_are_chosen_by_kind_volume_and_mask(awkward_geometry: Geometry) -> None:
    _, _, errors = two_labels(awkward_geometry)
    components = error_components(errors)
    brain = np.zeros(awkward_geometry.shape, np.uint8)
    brain[:, :, 10:] = 1
    to_ijk = np.linalg.inv(awkward_geometry.ijk_to_ras())
    limit = float(np.median([c.volume_mm3 for c in components]))
    chosen = select_components(
        components, awkward_geometry, kind=ErrorKind.FALSE_POSITIVE, below_mm3=limit, outside=brain
    )
    expected = [
        c for c in components if c.kind == 2 and c.volume_mm3 < limit and round((to_ijk @ [*c.centre_ras, 1.0])[0]) < 10
    ]
    assert 0 < len(chosen) < len(components)
    assert chosen == expected
    assert select_components(components, awkward_geometry) == components
    larger = select_components(components, awkward_geometry, at_least_mm3=limit)
    assert larger == [c for c in components if c.volume_mm3 >= limit]
    rims = select_components(components, awkward_geometry, rims=True)
    assert rims == [c for c in components if c.is_boundary]
    assert select_components(components, awkward_geometry, rims=False) == [c for c in components if not c.is_boundary]


def test_a_click_corrects_the_error_under_it(awkward_geometry: Geometry) -> None:
    found, _, errors = two_labels(awkward_geometry)
    pieces = error_components(errors)
    for component in pieces[:3]:
        first = next(iter(np.argwhere(errors.array == component.kind)), None)
        assert first is not None
        edit = correct_error_at(found, errors.array, awkward_geometry, first + 0.2)
        voxels = edit.added | edit.removed
        assert voxels[tuple(first - [part.start for part in edit.box])]
        assert voxels.sum() in {c.voxels for c in pieces if c.kind == component.kind}


def test_errors_that_are_not_there_are_said() -> None:
    geometry = Geometry((40, 36, 28), (0.6, 0.6, 0.6))
    found, truth, errors = two_labels(geometry)
    components = error_components(errors)
    with pytest.raises(VesselSegError, match="no longer there"):
        correct_component(found, np.zeros_like(errors.array), geometry, components[0])
    with pytest.raises(VesselSegError, match="no error within"):
        correct_error_at(truth, (errors.array == 1).astype(np.uint8), geometry, (10, 10, 10))
    with pytest.raises(VesselSegError, match="no such errors"):
        correct_components(found, errors.array, geometry, [])
