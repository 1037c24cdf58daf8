"""Scenes of the real MRML core, without the application, and workers that only pretend."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core")

from subject_hierarchy import SubjectHierarchy  # noqa: E402
from vesselseg.geometry import Geometry  # noqa: E402
from vesselseg.volume import Volume  # noqa: E402
from VesselSegmentationLib.jobs.worker import PythonCommand  # noqa: E402
from VesselSegmentationLib.scene.node_geometry import matrix_from_array  # noqa: E402
from VesselSegmentationLib.scene.volume_nodes import set_node_volume  # noqa: E402


def _rotation(degrees_x, degrees_z):
    a, b = np.deg2rad([degrees_x, degrees_z])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return about_z @ about_x


def _ijk_to_ras(axes, spacing, origin):
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(axes) * np.asarray(spacing)
    matrix[:3, 3] = origin
    return matrix


#: Matrices from voxel indices to RAS of all the kinds that scanners and converters produce.
IJK_TO_RAS = {
    "identity": np.eye(4),
    "anisotropic": _ijk_to_ras(np.eye(3), (0.5, 0.6, 1.25), (-10.0, 20.0, 30.0)),
    "LPS": _ijk_to_ras(np.diag([-1.0, -1.0, 1.0]), (0.5, 0.5, 0.8), (90.0, 110.0, -60.0)),
    "oblique": _ijk_to_ras(_rotation(13.7, -21.3), (0.47, 0.61, 0.83), (12.3, -45.6, 78.9)),
    "left-handed": _ijk_to_ras(_rotation(5.0, 8.0) @ np.diag([1.0, 1.0, -1.0]), (0.5, 0.7, 0.9), (-1.0, 2.0, 3.0)),
    "sagittal": _ijk_to_ras([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (0.4, 0.4, 1.1), (-80.0, 100.0, 90.0)),
}


@pytest.fixture(params=list(IJK_TO_RAS))
def ijk_to_ras(request):
    return IJK_TO_RAS[request.param]


class _Application:
    """What of the application a scene needs, to keep alive beside it."""

    def __init__(self, folder):
        self.scene = slicer.vtkMRMLScene()
        self.logic = slicer.vtkSlicerApplicationLogic()
        self.logic.SetTemporaryPath(str(folder))
        self.logic.SetMRMLScene(self.scene)
        self.colors = slicer.vtkMRMLColorLogic()
        self.colors.SetMRMLScene(self.scene)
        self.subject_hierarchy = SubjectHierarchy(self.scene)
        self.segmentations = slicer.vtkSlicerSegmentationsModuleLogic()
        self.segmentations.SetMRMLApplicationLogic(self.logic)
        self.segmentations.SetMRMLScene(self.scene)
        # Scene bundles (.mrb) are not read without these.
        self.cache = slicer.vtkCacheManager()
        self.cache.SetRemoteCacheDirectory(str(folder))
        self.cache.SetMRMLScene(self.scene)
        self.data_io = slicer.vtkDataIOManager()
        self.data_io.SetCacheManager(self.cache)
        self.scene.SetCacheManager(self.cache)
        self.scene.SetDataIOManager(self.data_io)


@pytest.fixture
def make_scene(tmp_path):
    """Make scenes; they live until the end of the test."""
    applications = []

    def make():
        applications.append(_Application(tmp_path))
        return applications[-1].scene

    yield make
    errors = [error for application in applications for error in application.subject_hierarchy.errors]
    for application in applications:
        application.scene.Clear(1)
    assert not errors


@pytest.fixture
def scene(make_scene):
    return make_scene()


@pytest.fixture
def application():
    """An application with views."""
    from trame_slicer.core import SlicerApp

    application = SlicerApp()
    yield application
    application.scene.Clear(1)


@pytest.fixture
def add_scan(scene):
    """Add a volume with random voxels to the scene."""

    def add(shape=(6, 7, 8), ijk_to_ras=IJK_TO_RAS["oblique"], dtype=np.int16, name="TOF", seed=0):
        array = np.random.default_rng(seed).integers(0, 255, shape).astype(dtype)
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        set_node_volume(node, Volume(array, Geometry.from_ijk_to_ras(ijk_to_ras, shape[::-1])))
        return node

    return add


@pytest.fixture
def add_transform(scene):
    """Add a linear transform to the scene."""

    def add(matrix):
        node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        node.SetMatrixTransformToParent(matrix_from_array(matrix))
        return node

    return add


@pytest.fixture
def python():
    """Make a worker's Python run a script that pretends to be ``vesselseg``, in one of the ways it knows."""

    def command(behaviour, script="pretended_worker.py"):
        script = Path(__file__).with_name(script)
        return PythonCommand((sys.executable, str(script)), {"PRETEND": behaviour})

    return command
