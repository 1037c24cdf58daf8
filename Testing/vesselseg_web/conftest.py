"""The logic of the page without a browser: a scene, a server that is not started, workers that only pretend."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from trame.app import get_server
from trame_slicer.core import SlicerApp

import views as views_of_scenes
from correcting_desk import Desk, oblique_geometry
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from vesselseg_web.logic.page_logic import PageLogic
from vesselseg_web.logic.question_logic import QuestionLogic
from vesselseg_web.workspace.case import Case
from VesselSegmentationLib.jobs.worker import PythonCommand
from VesselSegmentationLib.scene.run_record import record_probability, record_threshold
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume

_PRETENDED_WORKER = Path(__file__).parents[1] / "VesselSegmentationLib" / "pretended_worker.py"
_numbers = itertools.count()


class PretendedViews:
    """Remembers what it was asked to show."""

    layouts = ("Four views", "3D")
    layout = "Four views"
    software = True
    limited = False

    def __init__(self):
        self.shown = None

    def set_layout(self, name):
        self.layout = name

    def show_scan(self, node):
        self.shown = node

    def fit_3d(self):
        pass

    def limit_3d(self, limited):
        self.limited = limited


@pytest.fixture
def python():
    """Make a worker's Python run a script that pretends to be ``vesselseg``, in one of the ways it knows."""

    def command(behaviour):
        return PythonCommand((sys.executable, str(_PRETENDED_WORKER)), {"PRETEND": behaviour})

    return command


@pytest.fixture
def views():
    return PretendedViews()


@pytest.fixture
def page(views):
    application = SlicerApp()
    # Servers are found again by their names.
    server = get_server(f"test {next(_numbers)}", client_type="vue3")
    server.state.ready()
    yield PageLogic(server, application, views)
    application.scene.Clear(1)


@pytest.fixture
def case(page, python):
    case = Case(page.scene, python("segment"))
    yield case
    case.review.stop()


@pytest.fixture
def question(page, case):
    return QuestionLogic(page, case)


@pytest.fixture
def find_vessels(case, scan):
    """Load the scan, and do what a segmentation leaves behind: brightness is the probability."""

    def find_vessels(name="TOF"):
        case.load_scan(scan, name)
        probability = scan.with_array(scan.array / scan.array.max())
        node = case.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "probability")
        set_node_volume(node, probability)
        vessels = case.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "vessels")
        set_segment_label(vessels, case.scan, scan.with_array((probability.array >= 0.5).astype(np.uint8)))
        record_probability(vessels, node)
        record_threshold(vessels, 0.5, 0.0)
        case.take_vessels(vessels)

    return find_vessels


@pytest.fixture
def scan():
    """A small scan with a bright tube in it."""
    array = np.random.default_rng(0).uniform(10, 60, (12, 16, 20)).astype(np.float32)
    array[:, 7:9, 9:12] = 200
    return Volume(array, Geometry((20, 16, 12), (0.6, 0.6, 0.6), (-10.0, 5.0, 3.0)))


@pytest.fixture
def label(scan):
    """What is true of it: the tube, and a bit more."""
    array = np.zeros(scan.array.shape, np.uint8)
    array[:, 7:9, 9:13] = 1
    return scan.with_array(array)


@pytest.fixture
def hide_image(tmp_path):
    """Hide an HDF5 image among the voxels of a file: such an image may take its own from any other file."""

    def hide_image(path):
        sitk.WriteImage(sitk.Image([5, 5, 5], sitk.sitkUInt8), str(tmp_path / "hidden.h5"))
        hidden = (tmp_path / "hidden.h5").read_bytes()
        content = bytearray(path.read_bytes())
        start = 2048  # a place at which HDF5 is looked for
        content[start : start + len(hidden)] = hidden
        path.write_bytes(content)
        assert sitk.ImageFileReader.GetImageIOFromFileName(str(path)) == "HDF5ImageIO"

    return hide_image


@pytest.fixture
def desk(page, case):
    desk = Desk(page, case, oblique_geometry())
    yield desk
    for view in (desk.axial, desk.solid):
        views_of_scenes.close(page.application, view)


@pytest.fixture
def edited(desk):
    desk.load()
    return desk
