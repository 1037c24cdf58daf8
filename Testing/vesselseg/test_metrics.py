from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from skimage.morphology import skeletonize

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.metrics import evaluate
from vesselseg.volume import Volume

GEOMETRY = Geometry((40, 36, 30), (0.5, 0.6, 0.9))


def tubes(seed: int) -> np.ndarray:
    """Some crossing tubes of several calibres."""
    generator = np.random.default_rng(seed)
    k, j, i = np.meshgrid(*(np.arange(n) * s for n, s in zip(GEOMETRY.shape, GEOMETRY.spacing_zyx)), indexing="ij")
    label = np.zeros(GEOMETRY.shape, bool)
    for radius in (0.5, 0.8, 1.6):
        slope = generator.uniform(-0.4, 0.4, 2)
        start = generator.uniform(7, 14, 2)
        label |= (j - start[0] - slope[0] * i) ** 2 + (k - start[1] - slope[1] * i) ** 2 <= radius**2
    return label.astype(np.uint8)


@pytest.fixture(scope="module")
def pair() -> tuple[Volume, Volume]:
    truth = tubes(1)
    found = ndimage.shift(truth, (0, 1, 0), order=0)
    found[:, :, 30:] = 0
    found[2:4, 2:5, 2:5] = 1
    return Volume(found, GEOMETRY), Volume(truth, GEOMETRY)


@pytest.fixture(scope="module")
def values(pair: tuple[Volume, Volume]) -> dict[str, float]:
    return evaluate(*pair)


def test_overlap_agrees_with_simpleitk(pair: tuple[Volume, Volume], values: dict[str, float]) -> None:
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(pair[1].to_sitk(), pair[0].to_sitk())  # source: reference, target: segmentation
    assert values["dice"] == pytest.approx(overlap.GetDiceCoefficient(1))


def test_sensitivity_and_precision_agree_with_simpleitk(pair: tuple[Volume, Volume], values: dict[str, float]) -> None:
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(pair[0].to_sitk(), pair[1].to_sitk())  # source: segmentation, target: reference
    assert values["sensitivity"] == pytest.approx(1 - overlap.GetFalseNegativeError(1))
    assert values["precision"] == pytest.approx(1 - overlap.GetFalseDiscoveryRate(1))
    volumes = [v.array.sum() * np.prod(GEOMETRY.spacing) / 1000 for v in pair]
    assert [values["segmentation_ml"], values["reference_ml"]] == pytest.approx(volumes)


def test_overlap_and_surface_distances_agree_with_monai(pair: tuple[Volume, Volume], values: dict[str, float]) -> None:
    torch, monai = pytest.importorskip("torch"), pytest.importorskip("monai.metrics")
    tensors = [torch.from_numpy(v.array)[None, None] for v in pair]
    options = {"include_background": True, "spacing": GEOMETRY.spacing_zyx}
    assert values["dice"] == pytest.approx(float(monai.DiceMetric()(*tensors)))
    average = monai.compute_average_surface_distance(*tensors, symmetric=True, **options)
    assert values["assd_mm"] == pytest.approx(float(average), rel=1e-5)
    hausdorff = monai.compute_hausdorff_distance(*tensors, percentile=95, **options)
    assert values["hd95_mm"] == pytest.approx(float(hausdorff), rel=1e-5)
    surface_dice = monai.SurfaceDiceMetric([0.5], include_background=True, distance_metric="euclidean")
    assert values["nsd"] == pytest.approx(float(surface_dice(*tensors, spacing=GEOMETRY.spacing_zyx)), abs=1e-6)


def brute_force_surface_distances(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances between surface voxels by comparing every pair, nothing cropped."""
    cross = ndimage.generate_binary_structure(3, 1)
    points = [
        np.argwhere(m & ~ndimage.binary_erosion(m, cross)) * np.asarray(GEOMETRY.spacing_zyx) for m in (a > 0, b > 0)
    ]
    distances = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
    return distances.min(axis=1), distances.min(axis=0)


def test_surface_distances_agree_with_all_pairs(pair: tuple[Volume, Volume], values: dict[str, float]) -> None:
    there, back = brute_force_surface_distances(pair[0].array, pair[1].array)
    assert values["hd95_mm"] == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert values["assd_mm"] == pytest.approx(np.concatenate([there, back]).mean())
    assert values["nsd"] == pytest.approx(np.mean(np.concatenate([there, back]) <= 0.5))


def test_distances_over_all_voxels(pair: tuple[Volume, Volume], values: dict[str, float]) -> None:
    def directed(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...] | None) -> np.ndarray:
        return ndimage.distance_transform_edt(b == 0, sampling=spacing)[a > 0]

    a, b = pair[0].array, pair[1].array
    voxels = [directed(a, b, None), directed(b, a, None)]
    assert values["taha_avd_voxels"] == pytest.approx(max(d.mean() for d in voxels))
    assert values["taha_hd95_voxels"] == pytest.approx(max(np.percentile(d, 95) for d in voxels))
    mm = [directed(a, b, GEOMETRY.spacing_zyx), directed(b, a, GEOMETRY.spacing_zyx)]
    assert values["balanced_avd_mm"] == pytest.approx((mm[0].sum() + mm[1].sum()) / 2 / np.count_nonzero(b))


def test_topology(pair: tuple[Volume, Volume], values: dict[str, float]) -> None:
    found, truth = pair[0].array > 0, pair[1].array > 0
    precision = (skeletonize(found) & truth).sum() / skeletonize(found).sum()
    sensitivity = (skeletonize(truth) & found).sum() / skeletonize(truth).sum()
    assert values["cldice"] == pytest.approx(2 * precision * sensitivity / (precision + sensitivity))
    pieces = [sitk.GetArrayFromImage(sitk.ConnectedComponent(v.to_sitk(), True)).max() for v in pair]
    assert values["betti0_error"] == abs(int(pieces[0]) - int(pieces[1])) > 0


def test_sensitivity_by_calibre_misses_only_the_calibre_that_is_missing() -> None:
    k, j, _ = np.meshgrid(*(np.arange(n) * 0.3 for n in (40, 60, 60)), indexing="ij")
    geometry = Geometry((60, 60, 40), (0.3, 0.3, 0.3))
    thin = (j - 3.0) ** 2 + (k - 6) ** 2 <= 0.4**2
    thick = (j - 12.0) ** 2 + (k - 6) ** 2 <= 1.8**2
    values = evaluate(Volume(thick.astype(np.uint8), geometry), Volume((thin | thick).astype(np.uint8), geometry))
    assert values["sensitivity_small"] == 0.0
    assert values["sensitivity_large"] == 1.0
    assert np.isnan(values["sensitivity_medium"])


def one(*voxel: int) -> np.ndarray:
    array = np.zeros(GEOMETRY.shape, np.uint8)
    array[voxel] = 1
    return array


EMPTY = np.zeros(GEOMETRY.shape, np.uint8)
PERFECT = {"dice": 1, "precision": 1, "sensitivity": 1, "cldice": 1, "nsd": 1, "hd95_mm": 0, "assd_mm": 0}
NOTHING_SHARED = {"dice": 0, "precision": 0, "sensitivity": 0, "cldice": 0, "nsd": 0}
INFINITELY_FAR = {"hd95_mm": np.inf, "assd_mm": np.inf, "taha_hd95_voxels": np.inf, "balanced_avd_mm": np.inf}


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        (EMPTY, EMPTY, PERFECT | {"betti0_error": 0, "taha_avd_voxels": 0, "balanced_avd_mm": 0}),
        (EMPTY, one(3, 3, 3), NOTHING_SHARED | INFINITELY_FAR | {"betti0_error": 1}),
        (one(3, 3, 3), EMPTY, NOTHING_SHARED | INFINITELY_FAR | {"betti0_error": 1}),
        (one(0, 0, 0), one(0, 0, 0), PERFECT | {"betti0_error": 0, "taha_hd95_voxels": 0}),
        (
            one(5, 5, 5),
            one(5, 5, 7),
            {"dice": 0, "hd95_mm": 1, "assd_mm": 1, "taha_avd_voxels": 2, "balanced_avd_mm": 1},
        ),
    ],
    ids=["both-empty", "nothing-found", "no-reference", "corner", "apart"],
)
def test_defined_values(found: np.ndarray, truth: np.ndarray, expected: dict[str, float]) -> None:
    values = evaluate(Volume(found, GEOMETRY), Volume(truth, GEOMETRY))
    assert {key: values[key] for key in expected} == pytest.approx(expected)


def test_mask_limits_what_counts(pair: tuple[Volume, Volume]) -> None:
    mask = np.zeros(GEOMETRY.shape, np.uint8)
    mask[:, :, :20] = 1
    limited = evaluate(*pair, mask=Volume(mask, GEOMETRY))
    cut = evaluate(*(Volume(v.array * mask, GEOMETRY) for v in pair))
    # A vessel that the mask cuts stays as thick as it is, see below.
    calibres = ("sensitivity_small", "sensitivity_medium", "sensitivity_large")
    limited, cut = ({k: v for k, v in values.items() if k not in calibres} for values in (limited, cut))
    assert limited == pytest.approx(cut, nan_ok=True)
    with pytest.raises(VesselSegError, match="mask is empty"):
        evaluate(*pair, mask=Volume(0 * mask, GEOMETRY))


def tube(radius: float, *, at: tuple[int, int]) -> np.ndarray:
    """A straight vessel along the first axis of a grid of (16, 40, 40) voxels."""
    _, y, x = np.indices((16, 40, 40))
    return (y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2


def label(array: np.ndarray) -> Volume:
    return Volume(array.astype(np.uint8), Geometry((40, 40, 16), (0.5, 0.5, 0.5)))


def test_a_mask_does_not_make_vessels_thin() -> None:
    vessel = label(tube(5, at=(20, 20)))
    mask = label(np.indices((16, 40, 40))[1] >= 18)  # its face runs along the vessel
    whole, inside = evaluate(vessel, vessel), evaluate(vessel, vessel, mask=mask)
    for values in (whole, inside):
        assert math.isnan(values["sensitivity_small"])
        assert values["sensitivity_large"] == 1
    lost = evaluate(label(np.zeros((16, 40, 40))), vessel, mask=mask)
    assert lost["sensitivity_large"] == 0


@pytest.mark.parametrize("drawn", [0, 1, 1.5, 2, 2.5])
def test_nothing_is_counted_where_the_reference_is_unsure(drawn: float) -> None:
    """However thick the segmentation draws a vessel that the reference is unsure about."""
    sure, unsure = tube(2.5, at=(10, 10)), tube(2, at=(28, 28))
    found = sure | tube(drawn, at=(28, 28)) if drawn else sure
    values = evaluate(label(found), label(sure), unsure=label(unsure))
    rim = int(np.count_nonzero(found & ~sure & ~unsure))
    assert values["false_positives"] == rim
    assert values["true_positives"] == np.count_nonzero(sure)
    assert values["cldice"] == 1
    assert values["betti0_error"] == 0
    assert values["hd95_mm"] <= 0.71  # the rim lies beside what may be a vessel
    if not rim:
        assert values == pytest.approx(evaluate(label(sure), label(sure)), nan_ok=True)


def test_a_missed_vessel_counts_beside_an_unsure_one() -> None:
    sure, unsure = tube(2.5, at=(10, 10)), tube(2, at=(28, 28))
    values = evaluate(label(unsure), label(sure), unsure=label(unsure))
    assert values["dice"] == values["cldice"] == values["precision"] == 0
    assert values["hd95_mm"] == math.inf
    empty = evaluate(label(unsure), label(np.zeros_like(sure)), unsure=label(unsure))
    assert (empty["dice"], empty["cldice"], empty["hd95_mm"]) == (1, 1, 0)
    with pytest.raises(VesselSegError, match="unsure everywhere inside the mask"):
        evaluate(label(sure), label(sure), unsure=label(unsure), mask=label(tube(1, at=(28, 28))))


@pytest.mark.parametrize("tolerance_mm", [-0.5, float("nan")])
def test_a_tolerance_that_is_none_is_refused(pair: tuple[Volume, Volume], tolerance_mm: float) -> None:
    with pytest.raises(VesselSegError, match="cannot be compared within"):
        evaluate(*pair, nsd_tolerance_mm=tolerance_mm)


def test_another_grid_is_resampled_and_said(pair: tuple[Volume, Volume], caplog: pytest.LogCaptureFixture) -> None:
    same_place = Volume.from_sitk(sitk.DICOMOrient(pair[0].to_sitk(), "RAS"))
    assert evaluate(same_place, pair[1]) == pytest.approx(evaluate(*pair), nan_ok=True)
    assert "another grid" in caplog.text
    elsewhere = Volume(pair[0].array, Geometry(GEOMETRY.size, GEOMETRY.spacing, (1000.0, 0, 0)))
    with pytest.raises(VesselSegError, match="do not overlap"):
        evaluate(elsewhere, pair[1])


def test_calibre_is_that_of_the_distance_transform(pair: tuple[Volume, Volume], values: dict[str, float]) -> None:
    found, truth = (volume.array > 0 for volume in pair)
    box = ndimage.find_objects((found | truth).astype(int))[0]
    centreline = skeletonize(truth[box])
    radius = ndimage.distance_transform_edt(np.pad(truth, 1), sampling=GEOMETRY.spacing_zyx)[1:-1, 1:-1, 1:-1][box]
    for name, inside in {
        "small": radius < 0.6 - 1e-6,
        "medium": (radius >= 0.6 - 1e-6) & (radius <= 1.0 + 1e-6),
        "large": radius > 1.0 + 1e-6,
    }.items():
        expected = found[box][centreline & inside].mean() if (centreline & inside).any() else np.nan
        assert values[f"sensitivity_{name}"] == pytest.approx(expected, nan_ok=True)


def test_masks_that_touch_every_border_agree_with_themselves() -> None:
    everything = Volume(np.ones(GEOMETRY.shape, np.uint8), GEOMETRY)
    values = evaluate(everything, everything)
    assert {key: values[key] for key in PERFECT} == pytest.approx(PERFECT)
    shell = everything.array.copy()
    shell[1:-1, 1:-1, 1:-1] = 0
    assert evaluate(Volume(shell, GEOMETRY), everything)["hd95_mm"] == 0  # the same surface, seen from outside


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_identical_straight_vessels_of_any_width_agree(width: int) -> None:
    label = np.zeros(GEOMETRY.shape, np.uint8)
    label[5 : 5 + width, 5 : 5 + width, 3:30] = 1
    values = evaluate(Volume(label, GEOMETRY), Volume(label, GEOMETRY))
    assert {key: values[key] for key in PERFECT} == pytest.approx(PERFECT)


def test_a_straight_vessel_of_even_width_counts_where_it_is_missed_among_others() -> None:
    # Its skeleton is empty by scikit-image; all of clDice would be 1.
    found = np.zeros(GEOMETRY.shape, np.uint8)
    found[20:23, 20:23, 3:33] = 1
    truth = found.copy()
    truth[5:7, 5:7, 3:33] = 1
    missed = evaluate(Volume(found, GEOMETRY), Volume(truth, GEOMETRY))
    assert missed["topology_precision"] == 1
    assert missed["topology_sensitivity"] == pytest.approx(0.5, abs=0.05)
    too_much = evaluate(Volume(truth, GEOMETRY), Volume(found, GEOMETRY))
    assert too_much["topology_precision"] == pytest.approx(0.5, abs=0.05)


def test_a_distance_of_the_tolerance_is_within_it_though_nifti_rounds_spacings() -> None:
    spacing = float(np.float32(0.6))  # 0.60000002384
    geometry = Geometry(GEOMETRY.size, (spacing,) * 3)
    found, truth = (Volume(one(5, 5, column), geometry) for column in (4, 5))
    assert evaluate(found, truth, nsd_tolerance_mm=0.6)["nsd"] == 1
