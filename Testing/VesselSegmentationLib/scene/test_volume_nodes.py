from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonDataModel import vtkImageData

import VesselSegmentationLib
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.node_geometry import geometry_from_extent, grid_offset, matrix_from_array
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node, volume_geometry


def test_voxels_lie_where_the_node_says(scene, add_scan, ijk_to_ras):
    node = add_scan(ijk_to_ras=ijk_to_ras)
    image = volume_from_node(node).to_sitk()
    for ijk in [(0, 0, 0), (7, 0, 0), (0, 6, 0), (0, 0, 5), (3, 4, 2)]:
        # By the matrix that the node was given, not by the library's own geometry.
        ras = ijk_to_ras @ [*ijk, 1]
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(ijk), ras[:3] * [-1, -1, 1], atol=1e-9)
        assert image[ijk] == node.GetImageData().GetScalarComponentAsDouble(*ijk, 0)


def test_file_written_by_simpleitk_is_read_by_mrml_at_the_same_place(scene, ijk_to_ras, tmp_path):
    array = np.random.default_rng(1).integers(0, 255, (4, 5, 6)).astype(np.uint8)
    volume = Volume(array, Geometry.from_ijk_to_ras(ijk_to_ras, (6, 5, 4)))
    sitk.WriteImage(volume.to_sitk(), str(tmp_path / "scan.nrrd"))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(tmp_path / "scan.nrrd"))
    assert storage.ReadData(node)
    # Slicer reverses the slices of a left-handed image when it reads it; the place in the patient is what counts.
    read = sitk.Resample(volume_from_node(node).to_sitk(), volume.to_sitk(), sitk.Transform(), sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), array)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_round_trip_keeps_voxels_type_and_geometry(scene, ijk_to_ras, dtype):
    array = np.random.default_rng(2).integers(0, 100, (3, 4, 5)).astype(dtype)
    volume = Volume(array, Geometry.from_ijk_to_ras(ijk_to_ras, (5, 4, 3)))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    set_node_volume(node, volume)
    read = volume_from_node(node)
    assert read.array.dtype == dtype
    np.testing.assert_array_equal(read.array, array)
    np.testing.assert_allclose(read.geometry.ijk_to_ras(), ijk_to_ras, atol=1e-12)


def test_node_keeps_a_copy(scene):
    array = np.zeros((2, 2, 2), dtype=np.float32)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    set_node_volume(node, Volume(array, Geometry((2, 2, 2))))
    array[:] = 7
    assert volume_from_node(node).array.max() == 0


def test_image_whose_first_index_is_not_zero(scene, ijk_to_ras):
    image = vtkImageData()
    image.SetExtent(2, 4, -1, 2, 5, 6)
    image.GetPointData().SetScalars(numpy_to_vtk(np.arange(24, dtype=np.int16), deep=True))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(matrix_from_array(ijk_to_ras))
    first = volume_geometry(node).ijk_to_ras() @ [0, 0, 0, 1]
    np.testing.assert_allclose(first, ijk_to_ras @ [2, -1, 5, 1], atol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda scene: None, "no volume is chosen"),
        (lambda scene: scene.AddNewNodeByClass("vtkMRMLModelNode", "M"), "'M' is not a volume"),
        (lambda scene: scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "V"), "'V' holds no image"),
    ],
)
def test_what_is_no_scan_is_refused_with_advice(scene, make, message):
    with pytest.raises(VesselSegError, match=message) as caught:
        volume_from_node(make(scene))
    assert caught.value.advice


def test_colour_image_is_refused(scene):
    image = vtkImageData()
    image.SetDimensions(2, 2, 2)
    image.GetPointData().SetScalars(numpy_to_vtk(np.zeros((8, 3), dtype=np.uint8), deep=True))
    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "RGB")
    node.SetAndObserveImageData(image)
    with pytest.raises(VesselSegError, match="3 values a voxel"):
        volume_from_node(node)


def test_offset_of_a_box_in_its_grid(ijk_to_ras):
    grid = Geometry.from_ijk_to_ras(ijk_to_ras, (20, 21, 22))
    box = geometry_from_extent(ijk_to_ras, (3, 7, 4, 8, 5, 9))
    assert grid_offset(box, grid) == (3, 4, 5)
    moved = ijk_to_ras.copy()
    moved[:3, 3] += 0.5 * ijk_to_ras[:3, 0]
    assert grid_offset(Geometry.from_ijk_to_ras(moved, (5, 5, 5)), grid) is None
    assert grid_offset(grid.resampled((0.3, 0.3, 0.3)), grid) is None


def test_what_front_ends_share_asks_for_no_application_no_qt_and_no_torch():
    folder = Path(VesselSegmentationLib.__file__).resolve().parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "for name in ('qt', 'ctk', 'torch'): sys.modules[name] = None\n"
        "import VesselSegmentationLib.segmenting.segmentation_logic, slicer\n"
        "assert not hasattr(slicer, 'mrmlScene') and not hasattr(slicer, 'app') and not hasattr(slicer, 'modules')\n"
        "print('SimpleITK' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"  # its half second belongs to the first run, not to the start
