from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import reference, vtkStringArray
from vtkmodules.vtkCommonTransforms import vtkThinPlateSplineTransform
from vtkmodules.vtkFiltersSources import vtkSphereSource

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.segmentation_nodes import (
    label_from_node,
    segment_label,
    segment_with_role,
    set_segment_label,
    set_surface_shown,
    surface_shown,
)
from VesselSegmentationLib.scene.vessel_label import changed_since_written
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

SHIFT = np.array([[1.0, 0, 0, 30], [0, 0.8, -0.6, -20], [0, 0.6, 0.8, 10], [0, 0, 0, 1]])


@pytest.fixture
def segmentation_node(scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "S")
    node.CreateDefaultDisplayNodes()
    return node


def random_label(node, seed=0, share=0.2):
    volume = volume_from_node(node)
    return volume.with_array((np.random.default_rng(seed).random(volume.array.shape) < share).astype(np.uint8))


def exported(scene, segmentation_node, segment_id, volume_node):
    """What Slicer's own export makes of a segment: an opinion independent of ours."""
    ids = vtkStringArray()
    ids.InsertNextValue(segment_id)
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    assert logic.ExportSegmentsToLabelmapNode(segmentation_node, ids, node, volume_node)
    volume = volume_from_node(node)
    scene.RemoveNode(node)
    return volume


def add_own_segments(scene, segmentation_node, volume_node, seed=7):
    """Add two segments of the user that share a layer, as an import of a label volume makes them."""
    volume = volume_from_node(volume_node)
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    array = np.random.default_rng(seed).integers(0, 3, volume.array.shape).astype(np.uint8)
    set_node_volume(node, volume.with_array(array))
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    assert slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(node, segmentation_node)
    scene.RemoveNode(node)
    segmentation = segmentation_node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]
    assert len(ids) == 2
    assert segmentation.GetNumberOfLayers() == 1
    return {segment_id: (array == value).astype(np.uint8) for value, segment_id in enumerate(ids, start=1)}


def set_one_voxel(segmentation_node, segment_id, value):
    """Edit a segment as the segment editor's effects do."""
    image = slicer.vtkOrientedImageData()
    segmentation_node.GetBinaryLabelmapRepresentation(segment_id, image)
    voxels = vtk_to_numpy(image.GetPointData().GetScalars())
    voxels[np.flatnonzero(voxels != value)[0]] = value
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    assert logic.SetBinaryLabelmapToSegment(image, segmentation_node, segment_id)


def test_label_comes_back_and_slicer_sees_it_at_the_same_place(scene, add_scan, segmentation_node, ijk_to_ras):
    scan = add_scan(ijk_to_ras=ijk_to_ras)
    label = random_label(scan)
    segment_id = set_segment_label(segmentation_node, scan, label)
    np.testing.assert_array_equal(segment_label(segmentation_node, segment_id, scan).array, label.array)
    by_slicer = exported(scene, segmentation_node, segment_id, scan)
    np.testing.assert_array_equal(by_slicer.array, label.array)
    np.testing.assert_allclose(by_slicer.geometry.ijk_to_ras(), ijk_to_ras, atol=1e-9)


def test_saved_segmentation_is_read_by_simpleitk_at_the_same_place(
    scene, add_scan, segmentation_node, ijk_to_ras, tmp_path
):
    scan = add_scan(ijk_to_ras=ijk_to_ras)
    label = random_label(scan)
    set_segment_label(segmentation_node, scan, label)
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(tmp_path / "vessels.seg.nrrd"))
    assert storage.WriteData(segmentation_node)
    image = sitk.Resample(
        sitk.ReadImage(str(tmp_path / "vessels.seg.nrrd")), label.to_sitk(), sitk.Transform(), sitk.sitkNearestNeighbor
    )
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), label.array)


def test_segment_is_replaced_and_other_segments_stay(scene, add_scan, segmentation_node):
    scan = add_scan()
    own = add_own_segments(scene, segmentation_node, scan)
    ids = {set_segment_label(segmentation_node, scan, random_label(scan, seed, 0.5)) for seed in range(3)}
    assert len(ids) == 1  # it overlaps with both others, whose voxels must neither be lost nor be taken
    np.testing.assert_array_equal(
        segment_label(segmentation_node, ids.pop(), scan).array, random_label(scan, 2, 0.5).array
    )
    for segment_id, array in own.items():
        np.testing.assert_array_equal(exported(scene, segmentation_node, segment_id, scan).array, array)


def test_other_segments_stay_on_their_grid_when_the_scan_has_another_one(scene, add_scan, segmentation_node):
    first = add_scan()
    own = add_own_segments(scene, segmentation_node, first)
    finer = np.diag([0.5, 0.5, 0.5, 1.0])
    second = add_scan((11, 12, 13), ijk_to_ras=finer, name="other")
    label = random_label(second)
    segment_id = set_segment_label(segmentation_node, second, label)
    np.testing.assert_array_equal(segment_label(segmentation_node, segment_id, second).array, label.array)
    for own_id, array in own.items():
        np.testing.assert_array_equal(segment_label(segmentation_node, own_id, first).array, array)
    assert segmentation_node.GetNodeReference("referenceImageGeometryRef") is second


def test_segment_in_a_layer_that_the_user_merged(scene, add_scan, segmentation_node):
    scan = add_scan()
    label = np.zeros((6, 7, 8), dtype=np.uint8)
    label[0, 0, 0] = 1
    volume = volume_from_node(scan)
    vessels = set_segment_label(segmentation_node, scan, volume.with_array(label))
    other = set_segment_label(segmentation_node, scan, volume.with_array(np.roll(label, 2)), role="other", name="Other")
    segmentation_node.GetSegmentation().CollapseBinaryLabelmaps(True)
    assert segmentation_node.GetSegmentation().GetNumberOfLayers() == 1
    assert not changed_since_written(segmentation_node)
    set_segment_label(segmentation_node, scan, volume.with_array(np.ones_like(label)))
    assert segment_label(segmentation_node, vessels, scan).array.all()
    np.testing.assert_array_equal(segment_label(segmentation_node, other, scan).array, np.roll(label, 2))


def test_the_users_segment_of_the_same_name_is_left_alone(scene, add_scan, segmentation_node):
    scan = add_scan()
    segmentation = segmentation_node.GetSegmentation()
    own_id = segmentation.AddEmptySegment("Vessels", "Vessels")
    segment_id = set_segment_label(segmentation_node, scan, random_label(scan))
    assert segment_id != own_id
    assert segmentation.GetSegment(segment_id).GetName() == "Vessels 2"
    assert not segment_label(segmentation_node, own_id, scan).array.any()


def test_name_and_colour_that_the_user_gave_are_kept(scene, add_scan, segmentation_node):
    scan = add_scan()
    segment_id = set_segment_label(segmentation_node, scan, random_label(scan))
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    segment.SetName("Arteries")
    segment.SetColor(1.0, 1.0, 0.0)
    assert set_segment_label(segmentation_node, scan, random_label(scan, 1)) == segment_id
    assert segment.GetName() == "Arteries"
    assert segment.GetColor() == (1.0, 1.0, 0.0)


def test_label_on_a_part_of_the_grid(scene, add_scan, segmentation_node, ijk_to_ras):
    scan = add_scan(ijk_to_ras=ijk_to_ras)
    label = random_label(scan)
    box = (slice(1, 5), slice(2, 6), slice(3, 7))
    segment_id = set_segment_label(segmentation_node, scan, Volume(label.array[box], label.geometry.cropped(box)))
    expected = np.zeros_like(label.array)
    expected[box] = label.array[box]
    np.testing.assert_array_equal(segment_label(segmentation_node, segment_id, scan).array, expected)


def test_empty_label_and_back(scene, add_scan, segmentation_node):
    scan = add_scan()
    label = random_label(scan)
    empty = label.with_array(np.zeros_like(label.array))
    for wanted in (empty, label, empty, label):
        segment_id = set_segment_label(segmentation_node, scan, wanted)
        np.testing.assert_array_equal(segment_label(segmentation_node, segment_id, scan).array, wanted.array)
        assert not changed_since_written(segmentation_node)


def test_label_on_another_grid_is_refused(scene, add_scan, segmentation_node):
    scan = add_scan()
    label = random_label(scan)
    shifted = Geometry(label.geometry.size, label.geometry.spacing, (0.0, 0.0, 0.0), label.geometry.direction)
    with pytest.raises(ValueError, match="grid"):
        set_segment_label(segmentation_node, scan, Volume(label.array, shifted))


def test_new_segmentation_goes_under_the_transform_of_the_scan(scene, add_scan, add_transform, segmentation_node):
    scan = add_scan()
    scan.SetAndObserveTransformNodeID(add_transform(SHIFT).GetID())
    label = random_label(scan)
    segment_id = set_segment_label(segmentation_node, scan, label)
    assert segmentation_node.GetParentTransformNode() is scan.GetParentTransformNode()
    np.testing.assert_array_equal(segment_label(segmentation_node, segment_id, scan).array, label.array)


def test_segmentation_with_segments_keeps_its_transform(scene, add_scan, add_transform, segmentation_node):
    scan = add_scan()
    own = add_own_segments(scene, segmentation_node, scan)
    scan.SetAndObserveTransformNodeID(add_transform(SHIFT).GetID())
    label = random_label(scan)
    segment_id = set_segment_label(segmentation_node, scan, label)
    assert segmentation_node.GetParentTransformNode() is None
    np.testing.assert_array_equal(segment_label(segmentation_node, segment_id, scan).array, label.array)
    # In the world: a voxel of the scan moves with its transform, a voxel of the segmentation does not.
    np.testing.assert_array_equal(exported(scene, segmentation_node, segment_id, scan).array, label.array)
    scan.SetAndObserveTransformNodeID(None)
    for own_id, array in own.items():
        np.testing.assert_array_equal(segment_label(segmentation_node, own_id, scan).array, array)


def test_warping_transform_between_scan_and_segments_is_refused(scene, add_scan, segmentation_node):
    scan = add_scan()
    add_own_segments(scene, segmentation_node, scan)
    warp = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    warp.SetAndObserveTransformToParent(vtkThinPlateSplineTransform())
    scan.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(VesselSegError, match="warping transform"):
        set_segment_label(segmentation_node, scan, random_label(scan))
    assert segment_with_role(segmentation_node) is None


def test_segmentation_made_of_surfaces_is_refused(scene, add_scan, segmentation_node):
    sphere = vtkSphereSource()
    sphere.Update()
    segmentation_node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    segmentation_node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "Sphere")
    with pytest.raises(VesselSegError, match="not made of voxels"):
        set_segment_label(segmentation_node, add_scan(), random_label(add_scan()))


def test_brain_mask_given_as_surface_or_on_another_grid(scene, add_scan, segmentation_node):
    scan = add_scan((20, 20, 20), ijk_to_ras=np.eye(4))
    sphere = vtkSphereSource()
    sphere.SetCenter(10, 10, 10)
    sphere.SetRadius(6)
    sphere.SetPhiResolution(60)
    sphere.SetThetaResolution(60)
    sphere.Update()
    segmentation_node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    segmentation_node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "Brain")
    segmentation_node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    distance = np.linalg.norm(np.indices((20, 20, 20)) - 10, axis=0)
    ball = label_from_node(segmentation_node, scan).array
    assert ball[distance < 5].all()
    assert not ball[distance > 7].any()
    coarse = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    geometry = Geometry.from_ijk_to_ras(np.diag([2.0, 2.0, 2.0, 1.0]), (10, 10, 10))
    set_node_volume(coarse, Volume(np.pad(np.full((4, 4, 4), 5, np.uint8), 3), geometry))
    box = label_from_node(coarse, scan).array
    assert set(np.unique(box)) == {0, 1}
    assert box[6:13, 6:13, 6:13].all()
    assert box.sum() <= 9**3  # voxels halfway between two may fall on either side


def test_missing_segment_is_named(add_scan, segmentation_node):
    with pytest.raises(VesselSegError, match="no segment 'X'"):
        segment_label(segmentation_node, "X", add_scan())


def test_edits_are_noticed_and_undone_ones_are_not(scene, add_scan, segmentation_node):
    scan = add_scan()
    assert not changed_since_written(segmentation_node)
    segment_id = set_segment_label(segmentation_node, scan, random_label(scan))
    assert not changed_since_written(segmentation_node)
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(segmentation_node.GetSegmentation())
    history.SaveState()
    set_one_voxel(segmentation_node, segment_id, 1)
    assert changed_since_written(segmentation_node)
    assert history.RestorePreviousState()
    assert not changed_since_written(segmentation_node)
    set_one_voxel(segmentation_node, segment_id, 0)
    assert changed_since_written(segmentation_node)
    set_segment_label(segmentation_node, scan, random_label(scan, 3))
    assert not changed_since_written(segmentation_node)


def test_a_moved_segment_is_an_edited_one(scene, add_scan, segmentation_node):
    scan = add_scan()
    array = np.zeros((6, 7, 8), dtype=np.uint8)
    array[2, 2, 2:5] = 1
    volume = volume_from_node(scan)
    segment_id = set_segment_label(segmentation_node, scan, volume.with_array(array))
    image = segmentation_node.GetBinaryLabelmapInternalRepresentation(segment_id)
    first, last, *rest = image.GetExtent()
    image.SetExtent(first + 1, last + 1, *rest)
    assert changed_since_written(segmentation_node)


def test_names_colours_other_segments_and_transforms_are_no_edits(scene, add_scan, add_transform, segmentation_node):
    scan = add_scan()
    segment_id = set_segment_label(segmentation_node, scan, random_label(scan))
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    segment.SetName("A")
    segment.SetColor(0, 1, 0)
    set_segment_label(segmentation_node, scan, random_label(scan, 5, 0.5), role="other")
    segmentation_node.SetAndObserveTransformNodeID(add_transform(SHIFT).GetID())
    assert not changed_since_written(segmentation_node)


def test_thin_vessel_shows_in_3d(scene, add_scan, segmentation_node):
    scan = add_scan((20, 20, 20), ijk_to_ras=np.diag([0.5, 0.5, 0.5, 1.0]))
    array = np.zeros((20, 20, 20), dtype=np.uint8)
    array[10, 10, 3:17] = 1
    segment_id = set_segment_label(segmentation_node, scan, volume_from_node(scan).with_array(array))
    assert not surface_shown(segmentation_node)
    set_surface_shown(segmentation_node, True)
    assert surface_shown(segmentation_node)
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    bounds = segment.GetRepresentation("Closed surface").GetBounds()
    # Half a voxel beyond the centres of the outermost ones: nothing was smoothed away.
    np.testing.assert_allclose(bounds, [1.25, 8.25, 4.75, 5.25, 4.75, 5.25], atol=1e-6)
    set_segment_label(segmentation_node, scan, volume_from_node(scan).with_array(np.roll(array, 2, axis=1)))
    bounds = segment.GetRepresentation("Closed surface").GetBounds()
    np.testing.assert_allclose(bounds[2:4], [5.75, 6.25], atol=1e-6)
    set_surface_shown(segmentation_node, False)
    assert not surface_shown(segmentation_node)
    assert not segmentation_node.GetSegmentation().ContainsRepresentation("Closed surface")
    assert segment_label(segmentation_node, segment_id, scan).array.sum() == 14


def test_segment_that_comes_when_surfaces_are_shown_gets_one(scene, add_scan, segmentation_node):
    scan = add_scan((12, 12, 12))
    add_own_segments(scene, segmentation_node, scan)
    set_surface_shown(segmentation_node, True)
    segment_id = set_segment_label(segmentation_node, scan, random_label(scan))
    surface = segmentation_node.GetSegmentation().GetSegment(segment_id).GetRepresentation("Closed surface")
    assert surface.GetNumberOfPolys() > 0


def test_smoothing_that_somebody_chose_is_kept(scene, add_scan, segmentation_node):
    scan = add_scan()
    segmentation = segmentation_node.GetSegmentation()
    segmentation.SetConversionParameter("Smoothing factor", "0.2")
    set_segment_label(segmentation_node, scan, random_label(scan))
    set_surface_shown(segmentation_node, True)
    assert segmentation.GetConversionParameter("Smoothing factor") == "0.2"


def test_nothing_to_show_is_said(segmentation_node):
    with pytest.raises(VesselSegError, match="cannot be shown in 3D"):
        set_surface_shown(segmentation_node, True)


def test_terminology_is_one_that_slicer_reads(scene, add_scan, segmentation_node):
    scan = add_scan()
    segment_id = set_segment_label(segmentation_node, scan, random_label(scan))
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    entry = slicer.vtkSlicerTerminologyEntry()
    text = reference("")
    assert segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), text)
    assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(str(text), entry)
    assert entry.GetTypeObject().GetCodeMeaning() == "Artery"
    assert entry.GetCategoryObject().GetCodeMeaning() == "Tissue"
    np.testing.assert_allclose(segment.GetColor(), np.array([216, 101, 79]) / 255, atol=1e-6)
