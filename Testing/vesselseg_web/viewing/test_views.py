"""The views themselves, drawn without a browser."""

from __future__ import annotations

import asyncio
import itertools

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from trame.app import get_server
from trame_slicer.core import SlicerApp
from trame_slicer.views import ScheduledRenderStrategy

from vesselseg_web.viewing.views import Views
from vesselseg_web.workspace.case import Case
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label, set_surface_shown

_numbers = itertools.count()


class Noted(ScheduledRenderStrategy):
    """Notes who asks to be drawn."""

    def __init__(self, name, asked):
        super().__init__()
        self._name, self._asked = name, asked

    def schedule_render(self):
        self._asked.add(self._name)


@pytest.fixture
def in_views(scan):
    """Run something with views of a scan, inside the event loop that they need."""

    def run(act):
        async def in_loop():
            server = get_server(f"test views {next(_numbers)}", client_type="vue3")
            application = SlicerApp()
            views, case = Views(server, application), Case(application.scene)
            try:
                case.load_scan(scan, "TOF")
                views.show_scan(case.scan)
                act(application, views, case)
            finally:
                case.clear()
                tasks = asyncio.all_tasks() - {asyncio.current_task()}
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run(in_loop())

    return run


def asked_to_draw(application, act):
    asked = set()
    for view in application.view_manager.get_views():
        view.set_scheduled_render(Noted(view.get_singleton_tag(), asked))
    act()
    return asked


def test_only_the_view_that_changes_is_drawn(in_views):
    def act(application, views, case):
        axial, *_others = application.view_manager.get_slice_views()
        step = axial.get_slice_step()
        asked = asked_to_draw(application, lambda: axial.set_slice_value(axial.get_slice_value() + step))
        assert asked == {axial.get_singleton_tag()}

    in_views(act)


def test_all_slices_are_drawn_when_the_window_changes(in_views):
    def act(application, views, case):
        slices = {view.get_singleton_tag() for view in application.view_manager.get_slice_views()}
        display_node = case.scan.GetDisplayNode()
        for window in ((50, 100), (60, 90)):
            assert slices <= asked_to_draw(application, lambda w=window: display_node.SetWindowLevel(*w))

    in_views(act)


def test_nothing_is_multisampled(in_views):
    def act(application, views, case):
        assert {view.render_window().GetMultiSamples() for view in application.view_manager.get_views()} == {0}

    in_views(act)


def test_3d_view_fits_what_it_shows_until_it_is_turned(in_views, label):
    def act(application, views, case):
        (view,) = application.view_manager.get_threed_views()
        view.update_size(300, 200)
        camera = view.renderer().GetActiveCamera()

        def moved(change):
            before = camera.GetPosition()
            change()
            views.fit_3d()
            return camera.GetPosition() != before

        def shown(voxels):
            node = case.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "shown")
            set_segment_label(node, case.scan, label.with_array(voxels.astype(np.uint8)))
            set_surface_shown(node, True)

        small, large = np.zeros((2, *label.array.shape), bool)
        small[4:8, 6:10, 8:12] = large[2:10, 3:13, 4:16] = True
        assert not moved(lambda: None)
        assert moved(lambda: shown(small))
        assert not moved(lambda: None)
        assert moved(lambda: shown(large))
        assert not moved(lambda: shown(small))
        camera.Azimuth(30)
        large[:] = True
        assert not moved(lambda: shown(large))
        views.show_scan(case.scan)
        assert moved(lambda: None)

    in_views(act)


def test_slice_fills_a_view_of_another_size_as_before(in_views):
    def act(application, views, case):
        for view in application.view_manager.get_slice_views():
            whole = [0.0] * 3
            application.app_logic.GetSliceLogic(view.get_view_node()).GetBackgroundSliceDimensions(whole, [0.0] * 3)

            def shares(whole=whole, view=view):
                return np.array(view.get_view_node().GetFieldOfView()[:2]) / whole[:2]

            view.interactor().UpdateSize(300, 200)
            view.reset_view()
            for zoom in (1.0, 0.5):
                view.zoom(1.0 - zoom)
                for size in ((150, 400), (400, 150), (300, 200)):
                    view.interactor().UpdateSize(*size)
                    view.interactor().InvokeEvent("WindowResizeEvent")
                    width, height = view.get_view_node().GetFieldOfView()[:2]
                    assert width / height == pytest.approx(size[0] / size[1])
                    assert min(shares()) == pytest.approx(zoom)

    in_views(act)


def test_drag_in_a_slice_changes_the_window(in_views):
    from trame_rca.rca import VtkRemoteControlledArea

    def act(application, views, case):
        view = application.view_manager.get_slice_views()[0]
        view.update_size(300, 200)
        view.render_window().Render()
        display_node = case.scan.GetDisplayNode()
        before = display_node.GetWindow(), display_node.GetLevel()
        area = VtkRemoteControlledArea(view.render_window())

        def send(kind, x, y):
            keys = {"shiftKey": 0, "ctrlKey": 0, "altKey": 0, "keyCode": "", "repeatCount": 0}
            area.process_interaction_event({"type": kind, "x": x, "y": y, "w": 300, "h": 200, **keys})

        send("MouseMove", 150, 100)
        send("LeftButtonPress", 150, 100)
        for step in range(5):
            send("MouseMove", 150 + 5 * step, 100 + 2 * step)
        send("LeftButtonRelease", 170, 108)
        assert (display_node.GetWindow(), display_node.GetLevel()) != before

    in_views(act)


def test_fewer_pixels_while_software_casts_rays(in_views):
    def act(application, views, case):
        (view,) = application.view_manager.get_threed_views()
        assert isinstance(views.software, bool)
        adapter = views._threed.get_factory_view(view.get_singleton_tag()).view_adapter
        adapter.update_size("", {"w": 1500, "h": 1000, "p": 1})
        assert adapter.image_size == (1500, 1000)
        views.software = True
        views.limit_3d(True)
        assert adapter.image_size[0] * adapter.image_size[1] < 400_000
        views.limit_3d(False)
        assert adapter.image_size == (1500, 1000)

    in_views(act)
