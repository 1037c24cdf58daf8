"""A desk to correct vessels at: the section "Correct" of the page, and real views drawn without a display before it."""

from __future__ import annotations

import time

import numpy as np
from trame_slicer.views import ViewLayoutDefinition
from trame_slicer.views.direct_view_factory import DirectViewFactory

from correcting_case import SHAPE, drawn
from mouse import click, drag, pixel_of
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from vesselseg_web.logic.compare_logic import CompareLogic
from vesselseg_web.logic.correct_logic import CorrectLogic
from vesselseg_web.logic.error_list_logic import ErrorListLogic
from VesselSegmentationLib.scene.run_record import record_probability, record_threshold
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label, set_surface_shown
from VesselSegmentationLib.scene.volume_nodes import set_node_volume


def oblique_geometry():
    """An oblique grid of voxels that are no cubes."""
    a, b = np.deg2rad([12.0, -20.0])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = (about_z @ about_x) * [0.5, 0.6, 0.8]
    matrix[:3, 3] = 12.0, -30.0, 40.0
    return Geometry.from_ijk_to_ras(matrix, SHAPE[::-1])


class Desk:
    """The section "Correct" and the views in front of it."""

    def __init__(self, page, case, geometry):
        self.page, self.case, self.geometry = page, case, geometry
        manager = page.application.view_manager
        manager.register_factory(DirectViewFactory(True))
        self.axial, self.solid = (
            manager.create_view(each)
            for each in (ViewLayoutDefinition.axial_view(), ViewLayoutDefinition.threed_view())
        )
        for view in (self.axial, self.solid):
            view.render_window().SetMultiSamples(0)
            view.interactor().UpdateSize(300, 300)
        self.errors = ErrorListLogic(page, case)
        self.compare = CompareLogic(page, case, self._compared)
        self.correct = CorrectLogic(page, case, self.compare.tell)
        self.tools = self.correct.tools

    def _compared(self, changed):
        self.errors.comparison_changed(changed)
        self.correct.comparison_changed(changed)

    def load(self):
        found, truth = drawn()
        noise = np.random.default_rng(0).normal(20, 2, SHAPE)
        self.case.load_scan(Volume((noise + 100 * (truth | found)).astype(np.float32), self.geometry), "TOF")
        scene, scan = self.case.scene, self.case.scan
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "TOF vessels")
        set_segment_label(node, scan, Volume(found, self.geometry))
        probability = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF vessel probability")
        values = np.where(found, 0.9, np.where(truth, 0.4, 0.001)).astype(np.float32)
        set_node_volume(probability, Volume(values, self.geometry))
        record_probability(node, probability)
        record_threshold(node, 0.5, 0.0)
        self.case.take_vessels(node)
        set_surface_shown(node, True)
        self.axial.set_background_volume_id(scan.GetID())
        for view in (self.axial, self.solid):
            view.reset_view()
        self.poll()

    def poll(self, seconds=0.0):
        """Let the page do what it does some times a second, and go on whatever happens, as it does."""
        end = time.monotonic() + seconds
        while True:
            for section in (self.compare, self.correct):
                with self.page.reporting(keep=True):
                    section.poll()
            self.page.state.flush()
            if time.monotonic() >= end:
                return
            time.sleep(0.02)

    def wait(self, until):
        """Poll until something is so."""
        end = time.monotonic() + 30
        while not until():
            assert time.monotonic() < end
            self.poll()
            time.sleep(0.02)

    def place(self, voxel):
        """Return where a voxel (k, j, i) lies in the world."""
        k, j, i = voxel
        return tuple(float(v) for v in (self.geometry.ijk_to_ras() @ [i, j, k, 1.0])[:3])

    def click_at_once(self, voxel, view=None):
        """Click; the page has had no time yet to look at it."""
        click(view or self.axial, self.place(voxel))

    def click(self, voxel, view=None):
        self.click_at_once(voxel, view)
        self.poll()

    def stroke(self, view, *voxels):
        pixel_of(view, self.place(voxels[0]))  # slices come first
        drag(view, *(pixel_of(view, self.place(voxel)) for voxel in voxels))
        self.poll()

    @property
    def label(self):
        return self.case.label().array.copy()

    @property
    def data(self):
        return self.tools.data

    @property
    def steps(self):
        return self.correct.data.steps
