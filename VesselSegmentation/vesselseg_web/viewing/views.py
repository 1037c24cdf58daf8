"""The four views and how they are arranged."""

from __future__ import annotations

from typing import Any

import slicer
from trame_slicer.core import LayoutManager
from trame_slicer.rca_view import RemoteSliceViewFactory, RemoteThreeDViewFactory
from trame_slicer.views import Layout, LayoutDirection, ViewLayoutDefinition
from vtkmodules.vtkCommonCore import vtkCommand
from vtkmodules.vtkCommonDataModel import vtkBoundingBox

from vesselseg_web.viewing.view_ui import draw_3d_view, draw_slice_view

_DEFAULT_LAYOUT = "Four views"
#: Bytes of a picture, over the network and in time, go with its quality while something moves.
_MOVING_QUALITY = 60
#: Pictures a second of the view under the pointer, and of the others.
_FPS, _OTHERS_FPS = 30.0, 10.0
#: Pixels of a 3D view in which software casts rays: more would take long.
_RAYS = 300_000
#: As their drivers name themselves.
_SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swrast", "software")


class Views:
    """Axial, sagittal, coronal and 3D view of a scene.

    Parameters
    ----------
    server : Server
        Must not have been started.
    application : SlicerApp

    Attributes
    ----------
    layouts : list of str
        Names of the arrangements.
    software : bool
        Whether no graphics card draws.
    """

    def __init__(self, server: Any, application: Any) -> None:
        self._application = application
        self._server = server
        #: Where the camera was put, and what for.
        self._fitted: tuple[tuple[float, ...], vtkBoundingBox] | None = None
        options = {"target_fps": _FPS, "blur_fps": _OTHERS_FPS, "interactive_quality": _MOVING_QUALITY}
        slices = RemoteSliceViewFactory(server, populate_view_ui_f=draw_slice_view, **options)
        self._threed = RemoteThreeDViewFactory(server, populate_view_ui_f=draw_3d_view, **options)
        for factory in (slices, self._threed):
            application.view_manager.register_factory(factory)
        self._layout_manager = LayoutManager(application.scene, application.view_manager, server)
        self._layout_manager.register_layout_dict(_layouts())
        self._layout_manager.set_layout(_DEFAULT_LAYOUT)
        self.layouts: list[str] = self._layout_manager.get_layout_ids()
        for view in application.view_manager.get_views():
            # Software takes two thirds of the time of a slice for multisampling, which changes nothing in an image, and
            # loses translucent surfaces where it combines that with depth peeling.
            view.render_window().SetMultiSamples(0)
        for view in application.view_manager.get_threed_views():
            # It takes seconds a picture where it peels volumes.
            view.renderer().SetUseDepthPeelingForVolumes(False)
            view.set_box_visible(False)
        # It draws nothing here but the brush, for which `FreeHandLogic` takes it back, and would have every slice view
        # drawn with each step of another one. What else it was good for is done here: pictures follow whatever makes a
        # slice another one.
        slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance().UnRegisterDisplayableManager(
            slicer.vtkMRMLModelSliceDisplayableManager.__name__
        )
        for view in application.view_manager.get_slice_views():
            view.modified.connect(type(view).schedule_render)
            # Before the view itself, for which nothing is left to do then.
            view.interactor().AddObserver(vtkCommand.WindowResizeEvent, lambda *_, view=view: self._resize(view), 1.0)
        self.software = self._drawn_by_software()

    @property
    def layout(self) -> str:
        """Name of the arrangement that is shown."""
        return str(self._layout_manager.layout_id)

    def set_layout(self, name: str) -> None:
        """Arrange the views."""
        if self._layout_manager.has_layout(name):
            self._layout_manager.set_layout(name)

    def draw(self, layout: Any) -> None:
        """Put the views into a place of the page."""
        self._layout_manager.initialize_layout_grid(layout)

    def show_scan(self, volume_node: Any) -> None:
        """Show a scan, or with None nothing, in the slice views, and turn all views to it."""
        self._set_mouse()
        display = self._application.display_manager
        display.show_volume_in_slice_background(volume_node)
        display.show_volume_in_slice_foreground(None)
        display.reset_views()
        self._fitted = None

    def limit_3d(self, limited: bool) -> None:
        """Draw the 3D view with fewer pixels, so that software can cast rays through all of them, or in full again."""
        for view in self._application.view_manager.get_threed_views():
            adapter = self._threed.get_factory_view(view.get_singleton_tag()).view_adapter
            adapter.max_pixel_count = _RAYS if limited and self.software else 0

    def fit_3d(self) -> None:
        """Turn the 3D view to all that it shows of a scan, until the user has turned it."""
        for view in self._application.view_manager.get_threed_views():
            bounds = vtkBoundingBox(view.renderer().ComputeVisiblePropBounds())
            if not bounds.IsValid():
                continue
            camera = view.renderer().GetActiveCamera()
            if self._fitted is not None:
                place, fitted = self._fitted
                if fitted.Contains(bounds) or place != camera.GetPosition():
                    continue
            view.reset_view()
            self._fitted = camera.GetPosition(), bounds

    def _resize(self, view: Any) -> None:
        """Let a slice fill a view of another size as it did before; Slicer would cut off its sides in a narrow one."""
        node = view.get_view_node()
        logic = self._application.app_logic.GetSliceLogic(node)
        before = _share_seen(logic)
        logic.ResizeSliceNode(*view.render_window().GetSize())
        if before:
            factor = _share_seen(logic) / before
            width, height, depth = node.GetFieldOfView()
            node.SetFieldOfView(width * factor, height * factor, depth)

    def _set_mouse(self) -> None:
        """Let a drag in slices change the window; clearing the scene has undone that."""
        node = self._application.app_logic.GetInteractionNode()
        node.SetCurrentInteractionMode(node.AdjustWindowLevel)

    def _drawn_by_software(self) -> bool:
        (view, *_others) = self._application.view_manager.get_threed_views()
        said = view.render_window().ReportCapabilities().lower()
        return any(name in said for name in _SOFTWARE_RENDERERS)


def _share_seen(logic: Any) -> float:
    """Return how much larger the scan is than what a slice view shows of it: 1 where it just fits in; 0 without one."""
    size, center = [0.0] * 3, [0.0] * 3
    logic.GetBackgroundSliceDimensions(size, center)
    return max(mm / shown for mm, shown in zip(size[:2], logic.GetSliceNode().GetFieldOfView()))


def _layouts() -> dict[str, Layout]:
    axial, coronal = ViewLayoutDefinition.axial_view(), ViewLayoutDefinition.coronal_view()
    sagittal, three_d = ViewLayoutDefinition.sagittal_view(), ViewLayoutDefinition.threed_view()
    column, row = LayoutDirection.Vertical, LayoutDirection.Horizontal
    return {
        _DEFAULT_LAYOUT: Layout(row, [Layout(column, [axial, coronal]), Layout(column, [three_d, sagittal])]),
        "3D and slices": Layout(row, [three_d, Layout(column, [axial, coronal, sagittal])], ["2", "1"]),
        "Axial and 3D": Layout(row, [axial, three_d]),
        "3D": Layout(row, [three_d]),
        "Axial": Layout(row, [axial]),
        "Sagittal": Layout(row, [sagittal]),
        "Coronal": Layout(row, [coronal]),
    }
