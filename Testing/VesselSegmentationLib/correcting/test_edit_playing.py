from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from played_reader import PlayedReader
from vesselseg.image_io import read_label, read_volume
from vesselseg.models import list_models
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.phantom import make_phantom
from vesselseg.review.error_kinds import ErrorKind
from vesselseg.segmentation import segment
from vesselseg.volume import Volume
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.reviewing.review_logic import ReviewLogic
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic


def broken_probability(truth, seed=0):
    """What a network may give: unsure walls, faint stretches, gaps, and vessels where there are none."""
    generator = np.random.default_rng(seed)
    walls = ndimage.gaussian_filter(truth.astype(np.float32), 1.0)
    probability = 0.7 * truth + 0.2 * walls + generator.normal(0, 0.02, truth.shape)
    probability = np.clip(probability, 0, 1).astype(np.float32)
    points = np.argwhere(truth)
    away = np.indices(truth.shape, dtype=np.float32)

    def sphere(centre, radius):
        return ((away - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(axis=0) <= radius**2

    for factor, radius in ((0.5, 10), (0.5, 10), (0.5, 10), (0.5, 8), (0.0, 4), (0.0, 4)):
        centre = points[generator.integers(len(points))]
        probability[sphere(centre, radius)] *= factor
    for _ in range(5):
        centre = points[generator.integers(len(points))]
        ghost = np.roll(probability * sphere(centre, 9), generator.integers(12, 20, 3), axis=(0, 1, 2))
        probability = np.maximum(probability, ghost * (ndimage.maximum_filter(truth, 5) == 0))
    return probability


def start(scene, scan, truth, probability, threshold, min_component_mm3=0.0):
    """Put everything into a scene as the panel does, and begin to edit what the threshold gives."""
    volume_node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
    probability_node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Probability")
    set_node_volume(volume_node, scan)
    set_node_volume(probability_node, probability)
    nodes = [scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name) for name in ("Vessels", "Truth")]
    SegmentationLogic(scene).apply_threshold(probability_node, nodes[0], threshold, min_component_mm3, volume_node)
    set_segment_label(nodes[1], volume_node, truth, role="truth")
    review = ReviewLogic(scene)
    review.start(LabelSource(nodes[0]), LabelSource(nodes[1]), volume_node=volume_node)
    logic = EditLogic(scene, reader="played")
    logic.start(nodes[0], volume_node, review=review)
    return logic, review


def test_played_reader_corrects_a_phantom_by_clicks(scene):
    scan, truth = make_phantom(3)
    truth = truth.with_array((truth.array == 1).astype(np.uint8))
    logic, review = start(scene, scan, truth, scan.with_array(broken_probability(truth.array)), 0.5)
    reader = PlayedReader(logic, truth.array)
    before = reader.dice()
    assert before < 0.95
    reader.correct_by_clicks(0.97, most=10)
    print(f"Dice {before:.3f} to {reader.dice():.3f} in {len(reader.tools)} steps: {', '.join(reader.tools)}")
    assert reader.dice() > 0.97
    reader.correct_by_clicks(0.99, most=15)
    assert len(set(reader.tools)) >= 3
    final = logic.target.label().copy()
    assert reader.dice() == pytest.approx(2 * (final & truth.array).sum() / (final.sum() + truth.array.sum()))
    reader.undo_and_redo_everything()
    np.testing.assert_array_equal(logic.target.label(), final)
    assert len(logic.log.entries) == 3 * len(reader.tools)
    logic.stop()
    review.stop()


@pytest.mark.slow
def test_played_reader_corrects_the_models_result_on_a_real_scan(scene, data_folder):
    scan = read_volume(data_folder / "tof" / "MNI_0656_tof.nii.gz")
    truth = read_label(data_folder / "tof" / "MNI_0656_label.nii.gz")
    # Around the labelled vessels: the rest of the head would take as long again.
    box = bounding_box(truth.array != 0, 16)
    scan, truth = (Volume(whole.array[box], whole.geometry.cropped(box)) for whole in (scan, truth))
    result = segment(scan, brain_mask="none", device="cpu")
    logic, review = start(scene, scan, truth, result.probability, list_models()[0].threshold, 5.0)
    reader = PlayedReader(logic, truth.array)
    before = reader.dice()
    assert before < 0.9
    reader.correct_by_clicks(0.97, most=12)
    by_clicks = reader.dice()
    assert by_clicks > before
    batch = logic.errors.preview_batch(kind=ErrorKind.FALSE_POSITIVE)
    reader.did(logic.errors.commit_batch(batch, "played"))
    reader.accept_errors(0.97, most=100)
    print(f"Dice {before:.3f}, {by_clicks:.3f} after clicks, {reader.dice():.3f} after {len(reader.tools)} steps")
    assert reader.dice() > 0.97
    reader.undo_and_redo_everything()
    logic.stop()
    review.stop()
