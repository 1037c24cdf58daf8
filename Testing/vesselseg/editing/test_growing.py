from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from drawn_tubes import GRIDS, ISOTROPIC, at, tube
from editing_shortcuts import apply_edit, grow, undo_edit
from vesselseg.editing import prepare_growth, rethreshold
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry

CUBE = np.ones((3, 3, 3), bool)
grids = pytest.mark.parametrize("geometry", GRIDS.values(), ids=GRIDS)


def faint_branch(geometry: Geometry) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A labelled trunk with an unsure wall, a branch that the network saw faintly, and another far away."""
    trunk = tube(geometry, 1.6, (0.0, 0.5, 0.3), (1.0, 0.5, 0.3))
    branch = tube(geometry, 0.8, (0.5, 0.5, 0.3), (0.5, 0.5, 0.95))
    other = tube(geometry, 0.8, (0.1, 0.1, 0.6), (0.9, 0.1, 0.9))
    probability = np.zeros(geometry.shape, np.float32)
    probability[ndimage.binary_dilation(trunk, CUBE)] = 0.35
    probability[branch | other] = 0.3
    probability[trunk] = 0.9
    return trunk.astype(np.uint8), branch, probability


@grids
@pytest.mark.parametrize("click", [(0.5, 0.5, 0.6), (0.5, 0.5, 0.34)], ids=["on the branch", "where it leaves"])
def test_a_faint_branch_grows_to_its_vessel_and_not_along_its_wall(geometry: Geometry, click: tuple) -> None:
    label, branch, probability = faint_branch(geometry)
    edit = grow(label, probability, geometry, at(geometry, *click), threshold=0.2, length_mm=40)
    grown = label.copy()
    apply_edit(grown, edit)
    assert grown[branch].all()
    # Beside the branch itself, only the wall close by, and at the click.
    extra = np.argwhere((grown != 0) & (label == 0) & ~branch)
    near = np.array(at(geometry, 0.5, 0.5, 0.34))
    assert np.all(np.linalg.norm((extra - near) * geometry.spacing_zyx, axis=1) < 4)
    assert ndimage.label(grown, CUBE)[1] == 1
    undo_edit(grown, edit)
    np.testing.assert_array_equal(grown, label)


@grids
def test_the_length_of_the_way_is_limited(geometry: Geometry) -> None:
    label, branch, probability = faint_branch(geometry)
    click = at(geometry, 0.5, 0.5, 0.7)
    edit = grow(label, probability, geometry, click, threshold=0.2, length_mm=4)
    grown = np.zeros(geometry.shape, bool)
    grown[edit.box] = edit.added
    distance = np.linalg.norm((np.argwhere(grown) - click) * geometry.spacing_zyx, axis=1)
    assert distance.max() <= 4.5
    assert edit.measures["length_mm"] <= 4
    straight = np.abs(np.argwhere(branch)[:, 2] - click[2]) * geometry.spacing_zyx[2]
    assert grown[tuple(np.argwhere(branch)[straight < 2.5].T)].all()


def test_one_preparation_serves_every_threshold() -> None:
    label, _, probability = faint_branch(ISOTROPIC)
    probability[:, :, 50:] *= 0.5
    click = at(ISOTROPIC, 0.5, 0.5, 0.6)
    growth = prepare_growth(label, probability, ISOTROPIC, click, length_mm=30)
    sizes = []
    for threshold in (0.1, 0.2, 0.31):
        edit, fresh = (
            growth.edit(threshold),
            grow(label, probability, ISOTROPIC, click, threshold=threshold, length_mm=30),
        )
        assert edit.box == fresh.box
        np.testing.assert_array_equal(edit.added, fresh.added)
        sizes.append(edit.voxels_added)
    assert sizes[0] > sizes[1] > sizes[2] == 0
    assert growth.edit(0.31).is_empty
    assert growth.highest == pytest.approx(0.3)
    assert growth.edit(growth.suggested_threshold).voxels_added == sizes[0]
    shorter = prepare_growth(label, probability, ISOTROPIC, click, length_mm=5)
    assert 0 < shorter.edit(0.1).voxels_added < sizes[0]


def test_the_threshold_said_is_the_one_used() -> None:
    label, _, probability = faint_branch(ISOTROPIC)
    probability[probability > 0] = 0.006
    growth = prepare_growth(label, probability, ISOTROPIC, at(ISOTROPIC, 0.5, 0.5, 0.6), length_mm=30)
    assert growth.suggested_threshold == 0.005
    edit = growth.edit(0.001)
    assert not edit.is_empty
    assert edit.measures["threshold"] == 0.005
    assert "of 0.005 or more" in edit.description
    np.testing.assert_array_equal(edit.added, growth.edit(0.005).added)


def test_growth_closes_a_gap_of_a_voxel() -> None:
    vessel = tube(ISOTROPIC, 0.8, (0.5, 0.5, 0.1), (0.5, 0.5, 0.9))
    label, probability = vessel.astype(np.uint8), np.where(vessel, 0.9, 0).astype(np.float32)
    label[:, :, 34], probability[:, :, 34] = 0, np.where(vessel[:, :, 34], 0.2, 0)
    edit = grow(label, probability, ISOTROPIC, at(ISOTROPIC, 0.5, 0.5, 0.5), threshold=0.15)
    apply_edit(label, edit)
    np.testing.assert_array_equal(label, vessel)


@pytest.mark.parametrize("x", [19, 20, 21])
def test_growth_begins_beyond_a_gap_of_no_probability(x: int) -> None:
    vessel = tube(ISOTROPIC, 0.8, (0.5, 0.5, 0.1), (0.5, 0.5, 0.9))
    label, probability = vessel.astype(np.uint8), np.where(vessel, 0.3, 0).astype(np.float32)
    label[:, :, 20:], probability[:, :, 20:22] = 0, 0
    edit = grow(label, probability, ISOTROPIC, (29.5, 34.5, x), length_mm=60)
    assert edit.voxels_added == np.count_nonzero(vessel[:, :, 22:])


def test_growth_at_the_border_of_the_scan() -> None:
    label, branch, probability = faint_branch(ISOTROPIC)
    probability[tube(ISOTROPIC, 0.8, (0.5, 0.5, 0.95), (0.5, 0.5, 1.0))] = 0.3
    edit = grow(label, probability, ISOTROPIC, (29.5, 34.5, 68.9), threshold=0.2, length_mm=60)
    assert edit.box[2].stop == ISOTROPIC.size[0]
    apply_edit(label, edit)
    assert label[branch].all()


def test_what_cannot_grow_is_said() -> None:
    label, _, probability = faint_branch(ISOTROPIC)
    with pytest.raises(VesselSegError, match=r"probability of 0\.005 or more"):
        grow(label, probability, ISOTROPIC, at(ISOTROPIC, 0.9, 0.9, 0.9))
    with pytest.raises(VesselSegError, match="outside the scan"):
        grow(label, probability, ISOTROPIC, (0.0, 0.0, 99.0))
    with pytest.raises(VesselSegError, match="length of 0 mm"):
        grow(label, probability, ISOTROPIC, at(ISOTROPIC, 0.5, 0.5, 0.6), length_mm=0)
    for threshold in (0.0, 1.5, float("nan")):
        with pytest.raises(VesselSegError, match="threshold"):
            grow(label, probability, ISOTROPIC, at(ISOTROPIC, 0.5, 0.5, 0.6), threshold=threshold)
    with pytest.raises(ValueError, match="probability has shape"):
        grow(label, probability[1:], ISOTROPIC, (0, 0, 0))


@grids
def test_the_brush_thresholds_anew_inside_its_sphere_only(geometry: Geometry) -> None:
    generator = np.random.default_rng(0)
    label = (generator.random(geometry.shape) < 0.5).astype(np.uint8)
    probability = generator.random(geometry.shape).astype(np.float32)
    centre = (0.4, *at(geometry, 0, 0.5, 0.97)[1:])
    edit = rethreshold(label, probability, geometry, centre, threshold=0.6, radius_mm=4.2)
    painted = label.copy()
    apply_edit(painted, edit)
    grid = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    sphere = np.linalg.norm((grid - centre) * geometry.spacing_zyx, axis=-1) <= 4.2
    np.testing.assert_array_equal(painted, np.where(sphere, probability >= np.float32(0.6), label))
    undo_edit(painted, edit)
    np.testing.assert_array_equal(painted, label)
    only_adds = rethreshold(label, probability, geometry, centre, threshold=0.6, radius_mm=4.2, removes=False)
    only_removes = rethreshold(label, probability, geometry, centre, threshold=0.6, radius_mm=4.2, adds=False)
    assert (only_adds.voxels_added, only_adds.voxels_removed) == (edit.voxels_added, 0)
    assert (only_removes.voxels_added, only_removes.voxels_removed) == (0, edit.voxels_removed)


def test_brushes_out_of_range_are_said() -> None:
    label, _, probability = faint_branch(ISOTROPIC)
    for wrong in ({"threshold": 0.0}, {"threshold": 0.5, "radius_mm": -1.0}):
        with pytest.raises(VesselSegError):
            rethreshold(label, probability, ISOTROPIC, (5, 5, 5), **wrong)
    with pytest.raises(VesselSegError, match="outside the scan"):
        rethreshold(label, probability, ISOTROPIC, (5, 5, 500), threshold=0.5)
