"""The four views and how they are arranged."""

from __future__ import annotations

from typing import Any

from trame_slicer.core import LayoutManager
from trame_slicer.rca_view import register_rca_factories
from trame_slicer.views import Layout, LayoutDirection, ViewLayoutDefinition

_DEFAULT_LAYOUT = "Four views"


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
    """

    def __init__(self, server: Any, application: Any) -> None:
        self._application = application
        self._server = server
        # Bytes of a picture, over the network and in time, go with its quality while something moves.
        register_rca_factories(application.view_manager, server, interactive_quality=60)
        self._layout_manager = LayoutManager(application.scene, application.view_manager, server)
        self._layout_manager.register_layout_dict(_layouts())
        self._layout_manager.set_layout(_DEFAULT_LAYOUT)
        self.layouts: list[str] = self._layout_manager.get_layout_ids()
        for view in application.view_manager.get_threed_views():
            # Software rendering loses translucent surfaces where it combines depth peeling and multisampling, and
            # takes seconds a picture where it peels volumes.
            view.render_window().SetMultiSamples(0)
            view.renderer().SetUseDepthPeelingForVolumes(False)
            view.set_box_visible(False)

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
        display = self._application.display_manager
        display.show_volume_in_slice_background(volume_node)
        display.show_volume_in_slice_foreground(None)
        display.reset_views()

    def draw_slices_anew(self) -> None:
        """Show what came into the scene in one batch: slice views put it into place only when they are changed next."""
        for view in self._application.view_manager.get_slice_views():
            view.get_view_node().Modified()

    def centre_3d(self) -> None:
        """Turn the 3D view to what it shows."""
        for view in self._application.view_manager.get_threed_views():
            view.reset_view()


def _layouts() -> dict[str, Layout]:
    axial, coronal = ViewLayoutDefinition.axial_view(), ViewLayoutDefinition.coronal_view()
    sagittal, three_d = ViewLayoutDefinition.sagittal_view(), ViewLayoutDefinition.threed_view()
    column, row = LayoutDirection.Vertical, LayoutDirection.Horizontal
    return {
        _DEFAULT_LAYOUT: Layout(row, [Layout(column, [axial, coronal]), Layout(column, [three_d, sagittal])]),
        "3D and slices": Layout(row, [three_d, Layout(column, [axial, coronal, sagittal])], ["2", "1"]),
        "Axial and 3D": Layout(row, [axial, three_d]),
        "Axial": Layout(row, [axial]),
        "Sagittal": Layout(row, [sagittal]),
        "Coronal": Layout(row, [coronal]),
        "3D": Layout(row, [three_d]),
    }
