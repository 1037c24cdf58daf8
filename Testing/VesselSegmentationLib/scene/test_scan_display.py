from __future__ import annotations

import numpy as np
import pytest
import slicer

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.scan_display import (
    PROJECTION,
    STYLES,
    VESSELS,
    Slabs,
    hide_volume_rendering,
    largest_slab,
    set_slab,
    show_volume_rendering,
    shown_style,
    slab_thickness,
    vessel_window,
    volume_rendering_of,
)
from VesselSegmentationLib.scene.volume_nodes import set_node_volume

SHAPE = (40, 40, 40)


def tof(shape=SHAPE):
    """A head of tissue in air, with two thin bright arteries and noise."""
    rng = np.random.default_rng(0)
    array = rng.normal(20, 4, shape)
    array[4:-4, 4:-4, 4:-4] = rng.normal(100, 10, tuple(n - 8 for n in shape))
    array[4:-4, 12:14, 12:14] = array[20:22, 26:28, 4:-4] = 250
    return Volume(np.clip(array, 0, 255).astype(np.float32), Geometry(shape[::-1]))


@pytest.fixture
def scan(scene):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
    set_node_volume(node, tof())
    node.CreateDefaultDisplayNodes()
    return node


@pytest.fixture
def view_node(scene):
    node = scene.AddNewNodeByClass("vtkMRMLViewNode")
    node.SetRaycastTechnique(slicer.vtkMRMLViewNode.MinimumIntensityProjection)
    return node


@pytest.fixture
def slice_nodes(scene):
    nodes = []
    for name in ("Red", "Green"):
        node = slicer.vtkMRMLSliceNode()
        node.SetLayoutName(name)
        nodes.append(scene.AddNode(node))
    return nodes


def test_window_separates_arteries_from_tissue():
    window = vessel_window(tof())
    assert 80 < window.tissue < 115 < window.faint < window.full <= 255


@pytest.mark.parametrize(
    "array", [np.arange(27.0), np.repeat([0.0, 255.0], [20, 7]), np.full(27, -3.0) + np.eye(27)[0]]
)
def test_window_always_rises(array):
    window = vessel_window(Volume(array.reshape(3, 3, 3), Geometry((3, 3, 3))))
    assert window.tissue < window.faint < window.full


def test_scan_of_one_value_is_refused():
    with pytest.raises(VesselSegError, match="same value"):
        vessel_window(Volume(np.ones((3, 3, 3)), Geometry((3, 3, 3))))


@pytest.mark.parametrize("style", STYLES)
def test_arteries_show_and_tissue_does_not(scene, scan, view_node, style):
    node = show_volume_rendering(scene, scan, style)
    opacity = node.GetVolumePropertyNode().GetScalarOpacity()
    assert opacity.GetValue(20) == 0
    assert opacity.GetValue(100) < 0.15
    assert opacity.GetValue(250) > 0.8
    assert node.GetVisibility()
    assert shown_style(scan) == style
    expected = slicer.vtkMRMLViewNode.MaximumIntensityProjection if style == PROJECTION else 0
    assert view_node.GetRaycastTechnique() == expected


def test_scan_can_be_mere_context(scene, scan):
    node = show_volume_rendering(scene, scan, VESSELS, opacity=0.3)
    assert node.GetVolumePropertyNode().GetScalarOpacity().GetValue(255) == pytest.approx(0.27)
    with pytest.raises(ValueError, match="opacity"):
        show_volume_rendering(scene, scan, VESSELS, opacity=0)
    with pytest.raises(ValueError, match="style"):
        show_volume_rendering(scene, scan, "X-ray")


def test_everything_is_as_before_when_it_is_switched_off(scene, scan, view_node):
    own = slicer.vtkMRMLGPURayCastVolumeRenderingDisplayNode()
    own = scene.AddNode(own)
    scan.AddAndObserveDisplayNodeID(own.GetID())
    window_before = scan.GetScalarVolumeDisplayNode().GetWindow()
    count = scene.GetNumberOfNodes()
    first = show_volume_rendering(scene, scan, PROJECTION)
    assert show_volume_rendering(scene, scan, VESSELS) is first
    assert first is not own
    hide_volume_rendering(scene, scan)
    assert scene.GetNumberOfNodes() == count
    assert volume_rendering_of(scan) is None
    assert shown_style(scan) is None
    assert view_node.GetRaycastTechnique() == slicer.vtkMRMLViewNode.MinimumIntensityProjection
    assert scan.GetScalarVolumeDisplayNode().GetWindow() == window_before
    assert scan.GetNumberOfDisplayNodes() == 2
    hide_volume_rendering(scene, scan)  # nothing to hide: nothing happens


def test_slab_shows_and_goes(scene, scan, slice_nodes):
    red, _green = slice_nodes
    red.SetSlabReconstructionThickness(3.5)
    red.SetSlabReconstructionType(red.GetSlabReconstructionTypeFromString("Mean"))
    before = [node.GetSlabReconstructionType() for node in slice_nodes]
    set_slab(scene, 10.0)
    set_slab(scene, 25.0)
    for node in slice_nodes:
        assert node.GetSlabReconstructionEnabled()
        assert node.GetSlabReconstructionThickness() == 25.0
        assert node.GetSlabReconstructionTypeAsString(node.GetSlabReconstructionType()) == "Max"
    assert slab_thickness(scene) == 25.0
    set_slab(scene, 0.0)
    assert slab_thickness(scene) == 0.0
    assert not any(node.GetSlabReconstructionEnabled() for node in slice_nodes)
    assert [node.GetSlabReconstructionType() for node in slice_nodes] == before
    assert red.GetSlabReconstructionThickness() == 3.5
    assert red.GetSlabReconstructionOversamplingFactor() == 2.0
    set_slab(scene, 0.0)
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(VesselSegError, match="slab"):
            set_slab(scene, wrong)
    assert largest_slab(scan) == pytest.approx(40 * 3**0.5)


@pytest.fixture
def add_view(scene):
    """Add slice views with 3D Slicer's own logic, which say how thick a slab they show, in mm."""
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    scan = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
    grid = Geometry((60, 60, 30), (0.5, 0.5, 1.0))
    set_node_volume(scan, Volume(np.zeros(grid.shape, np.float32), grid))
    scan.CreateDefaultDisplayNodes()
    logics = []

    def add(name):
        logic = slicer.vtkMRMLSliceLogic()
        logics.append(logic)
        logic.SetMRMLScene(scene)
        node = logic.AddSliceNode(name)
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(scan.GetID())
        node.SetDimensions(256, 256, 1)

        def turned(orientation):
            node.SetOrientation(orientation)
            logic.FitSliceToAll()
            logic.UpdatePipeline()
            reslice = logic.GetBackgroundLayer().GetReslice()
            reslice.Update()
            distance = node.GetFieldOfView()[2] / node.GetDimensions()[2]
            return reslice.GetSlabNumberOfSlices() * reslice.GetSlabSliceSpacingFraction() * distance

        return node, turned

    yield add
    for logic in logics:
        logic.SetMRMLScene(None)


def test_slab_stays_as_thick_as_it_says_when_views_are_turned_and_come(scene, add_view):
    _red, turned = add_view("Red")
    thin = turned("Axial")
    slabs = Slabs(scene)
    slabs.set_thickness(10.0)
    for orientation in ("Axial", "Sagittal", "Coronal", "Axial"):
        assert turned(orientation) == pytest.approx(10.0, abs=1.0), orientation
    green, green_turned = add_view("Green")
    for orientation in ("Axial", "Sagittal"):
        assert green_turned(orientation) == pytest.approx(10.0, abs=1.0), orientation
    assert slab_thickness(scene) == 10.0
    slabs.set_thickness(0.0)
    assert not green.GetSlabReconstructionEnabled()
    assert green.GetSlabReconstructionOversamplingFactor() == 2.0
    assert turned("Axial") == thin
    _yellow, yellow_turned = add_view("Yellow")
    assert yellow_turned("Axial") == thin


def test_slabs_that_are_not_followed_are_left_alone(scene, add_view):
    node, turned = add_view("Red")
    turned("Axial")
    slabs = Slabs(scene)
    slabs.set_thickness(10.0)
    slabs.close()
    factor = node.GetSlabReconstructionOversamplingFactor()
    turned("Sagittal")
    assert node.GetSlabReconstructionOversamplingFactor() == factor
    slabs.follow()  # as for slabs of a scene that was loaded
    assert turned("Coronal") == pytest.approx(10.0, abs=1.0)
    node.SetSlabReconstructionThickness(4.0)  # by 3D Slicer's own slider, in this view only
    assert turned("Axial") == pytest.approx(4.0, abs=1.0)
    slabs.close()
