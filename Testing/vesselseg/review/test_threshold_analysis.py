from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from vesselseg.errors import VesselSegError
from vesselseg.figures.error_maps import save_figure
from vesselseg.figures.parts import FigureStyle
from vesselseg.figures.thresholds import draw_threshold_figure
from vesselseg.geometry import Geometry
from vesselseg.metrics import evaluate
from vesselseg.review.threshold_analysis import ThresholdAnalysis, analyse_thresholds
from vesselseg.volume import Volume

GEOMETRY = Geometry((30, 28, 26), (0.5, 0.6, 0.7))


@pytest.fixture(scope="module")
def maps() -> tuple[Volume, Volume]:
    """A tube and a probability that says something about it; many values are hundredths exactly."""
    generator = np.random.default_rng(0)
    k, j, _ = np.indices(GEOMETRY.shape)
    truth = (k - 13) ** 2 + (j - 14) ** 2 <= 9
    probability = np.clip(0.3 + 0.4 * truth + generator.normal(0, 0.2, GEOMETRY.shape), 0, 1)
    probability = np.where(generator.random(GEOMETRY.shape) < 0.5, np.round(probability, 2), probability)
    return Volume(probability.astype(np.float32), GEOMETRY), Volume(truth.astype(np.uint8), GEOMETRY)


@pytest.fixture(scope="module")
def analysis(maps: tuple[Volume, Volume]) -> ThresholdAnalysis:
    return analyse_thresholds(*maps, detailed=(0.3, 0.5))


@pytest.mark.parametrize("number", [0, 6, 28, 29, 49, 56, 57, 69, 98, 99])
def test_overlap_is_that_of_the_label_at_each_threshold(
    maps: tuple[Volume, Volume], analysis: ThresholdAnalysis, number: int
) -> None:
    threshold = float(analysis.thresholds[number])
    assert threshold == pytest.approx((number + 1) / 100)
    found, truth = maps[0].array >= threshold, maps[1].array > 0
    both = np.count_nonzero(found & truth)
    assert analysis.dice[number] == pytest.approx(2 * both / (found.sum() + truth.sum()))
    assert analysis.sensitivity[number] == pytest.approx(both / truth.sum())
    assert analysis.precision[number] == pytest.approx(both / max(found.sum(), 1))


def test_best_threshold_is_measured_in_full(maps: tuple[Volume, Volume], analysis: ThresholdAnalysis) -> None:
    assert analysis.best_dice == analysis.dice.max()
    assert set(analysis.detailed) == {0.3, 0.5, analysis.best_threshold}
    label = maps[0].with_array((maps[0].array >= analysis.best_threshold).astype(np.uint8))
    assert analysis.detailed[analysis.best_threshold] == pytest.approx(evaluate(label, maps[1]), nan_ok=True)
    assert analysis.detailed[analysis.best_threshold]["dice"] == pytest.approx(analysis.best_dice)


def test_distances_can_be_left_out(maps: tuple[Volume, Volume], analysis: ThresholdAnalysis) -> None:
    quick = analyse_thresholds(*maps, detailed=(0.3,), distances=False).detailed[0.3]
    whole = analysis.detailed[0.3]
    missing = set(whole) - set(quick)
    assert missing == {"nsd", *(name for name in whole if name.endswith(("_mm", "_voxels")))}
    assert quick == pytest.approx({name: whole[name] for name in quick}, nan_ok=True)


def test_calibration_agrees_with_a_plain_count(maps: tuple[Volume, Volume], analysis: ThresholdAnalysis) -> None:
    probability, truth = maps[0].array.astype(float), maps[1].array > 0
    error = 0.0
    for number in range(10):
        inside = (probability >= number / 10) & ((probability < (number + 1) / 10) | (number == 9))
        assert analysis.calibration.voxels[number] == pytest.approx(inside.sum(), abs=3)  # rounding at the bounds
        assert analysis.calibration.mean_probability[number] == pytest.approx(probability[inside].mean(), abs=0.01)
        assert analysis.calibration.vessel_share[number] == pytest.approx(truth[inside].mean(), abs=0.02)
        error += abs(probability[inside].mean() - truth[inside].mean()) * inside.mean()
    assert analysis.calibration.expected_error == pytest.approx(error, abs=0.005)
    assert analysis.calibration.voxels.sum() == probability.size


def test_perfect_probabilities_are_calibrated_and_their_middle_is_best() -> None:
    truth = np.zeros(GEOMETRY.shape, np.uint8)
    truth[5:9, 5:9, 5:20] = 1
    label = Volume(truth, GEOMETRY)
    perfect = truth.astype(np.float32)
    perfect[0, 0, 0] = 1e-6  # of 0 and 1 alone it would be a label
    analysis = analyse_thresholds(label.with_array(perfect), label, detailed=())
    assert analysis.best_dice == 1
    assert analysis.best_threshold == pytest.approx(0.5, abs=0.02)
    assert analysis.calibration.expected_error == pytest.approx(0, abs=1e-9)
    nothing = analyse_thresholds(label.with_array(np.zeros(truth.shape, np.float32)), label, detailed=(0.5,))
    assert nothing.best_dice == 0
    assert np.isnan(nothing.calibration.vessel_expected_error)


def test_mask_limits_what_counts(maps: tuple[Volume, Volume]) -> None:
    mask = np.zeros(GEOMETRY.shape, np.uint8)
    mask[:, :, :12] = 1
    masked = analyse_thresholds(*maps, mask=Volume(mask, GEOMETRY), detailed=(0.5,))
    grid = GEOMETRY.cropped((slice(0, 26), slice(0, 28), slice(0, 12)))
    cut = [Volume(np.ascontiguousarray(v.array[:, :, :12]), grid) for v in maps]
    alone = analyse_thresholds(*cut, detailed=(0.5,))
    np.testing.assert_allclose(masked.dice, alone.dice)
    assert masked.detailed[0.5]["hd95_mm"] == pytest.approx(alone.detailed[0.5]["hd95_mm"])


def test_what_cannot_be_analysed_is_refused(maps: tuple[Volume, Volume]) -> None:
    probability, reference = maps
    with pytest.raises(VesselSegError, match="outside 0 to 1"):
        analyse_thresholds(probability.with_array(probability.array * 255), reference)
    with pytest.raises(VesselSegError, match="is a label, not a probability map"):
        analyse_thresholds(reference, reference)
    with pytest.raises(VesselSegError, match="reference is empty"):
        analyse_thresholds(probability, reference.with_array(np.zeros(GEOMETRY.shape, np.uint8)))
    outside = reference.with_array((reference.array == 0).astype(np.uint8))
    with pytest.raises(VesselSegError, match="no vessel inside the mask"):
        analyse_thresholds(probability, reference, mask=outside)
    with pytest.raises(VesselSegError, match="mask is empty"):
        analyse_thresholds(probability, reference, mask=reference.with_array(np.zeros(GEOMETRY.shape, np.uint8)))


def test_csv_has_a_line_for_every_hundredth(analysis: ThresholdAnalysis) -> None:
    rows = list(csv.DictReader(io.StringIO(analysis.csv())))
    assert [row["threshold"] for row in rows] == [f"{n / 100:.2f}" for n in range(1, 101)]
    assert float(rows[49]["dice"]) == pytest.approx(analysis.dice[49], abs=1e-6)
    assert float(rows[49]["cldice"]) == pytest.approx(analysis.detailed[0.5]["cldice"], abs=1e-5)
    assert rows[50]["cldice"] == ""


@pytest.mark.parametrize("background", ["black", "white"])
def test_figure_marks_the_best_threshold(analysis: ThresholdAnalysis, background: str, tmp_path: Path) -> None:
    style = FigureStyle(background=background, title="Thresholds", dpi=80)
    figure = draw_threshold_figure(analysis, style=style, current=0.35)
    assert f"{analysis.best_dice:.3f} at {analysis.best_threshold:.2f}" in figure.axes[0].get_title()
    save_figure(tmp_path / "t.png", figure)
    assert imread(tmp_path / "t.png").std() > 0.05
