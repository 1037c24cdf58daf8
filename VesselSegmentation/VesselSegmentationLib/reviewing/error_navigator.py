"""Walking through the errors of a map, and saying what each of them is."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.review.error_components import (
    ErrorComponent,
    VoxelExtent,
    component_mask,
    error_components,
    update_components,
)
from vesselseg.volume import Volume
from VesselSegmentationLib.reviewing.component_marks import Mark, clear_mark, read_marks, set_mark
from VesselSegmentationLib.reviewing.error_map_nodes import ErrorMapNode
from VesselSegmentationLib.reviewing.named_segments import NamedSegments
from VesselSegmentationLib.scene.highlight import Highlight
from VesselSegmentationLib.scene.view_navigation import jump_to


class ErrorNavigator:
    """The list of the connected errors of a map.

    Parameters
    ----------
    scene : vtkMRMLScene
    error_map : ErrorMapNode

    Attributes
    ----------
    components : list of ErrorComponent
        All of them, what matters most first.
    hide_boundary : bool
        Whether `shown` leaves out rims one voxel thick along vessels that both labels have.
    hide_marked : bool
        Whether `shown` leaves out what a reader has marked.
    current : ErrorComponent or None
        The one that was chosen, as long as it exists.
    outdated : bool
        Whether the list is not that of the map as it is now.
    """

    def __init__(self, scene: Any, error_map: ErrorMapNode) -> None:
        self.scene = scene
        self.components: list[ErrorComponent] = []
        self.hide_boundary = True
        self.hide_marked = False
        self.outdated = True
        self.highlight = Highlight(scene)
        self._map = error_map
        self._names = NamedSegments(error_map.volume_node, error_map.sources)
        self._current_id = ""
        self._highlighted: ErrorComponent | None = None
        self._position = -1

    @property
    def current(self) -> ErrorComponent | None:
        """The component that was chosen; None if none was, or an edit has removed or changed it."""
        return next((each for each in self.components if each.component_id == self._current_id), None)

    def shown(self) -> list[ErrorComponent]:
        """Return the components that are not hidden, what matters most first."""
        marks = self.current_marks() if self.hide_marked else {}
        return [
            component
            for component in self.components
            if not (self.hide_boundary and component.is_boundary) and component.component_id not in marks
        ]

    def list_all(self, probability: Volume | None = None) -> None:
        """List the components of the whole map.

        Parameters
        ----------
        probability : Volume, optional
            On the grid of the map.
        """
        self.components = error_components(self._map.errors, probability=probability)
        self._after_update()

    def list_changes(self, changed: VoxelExtent, probability: Volume | None = None) -> None:
        """Bring the list up to date after an edit.

        Parameters
        ----------
        changed : VoxelExtent
            Holds everything that has changed since the list was made.
        probability : Volume, optional
            As for `list_all`.
        """
        self.components = update_components(self.components, self._map.errors, changed, probability=probability)
        self._after_update()

    def use_list(self, components: list[ErrorComponent]) -> None:
        """Take a list that was made elsewhere, what matters most first."""
        self.components = components
        self._after_update()

    def choose(self, component_id: str) -> ErrorComponent:
        """Show a component: all views go there, and it is marked.

        Parameters
        ----------
        component_id : str

        Returns
        -------
        ErrorComponent

        Raises
        ------
        VesselSegError
            If there is no such component, or no longer.
        """
        component = self._find(component_id)
        place = self.position_of(component)
        self._current_id = component_id
        self._position = _position(self.shown(), component_id, self._position)
        jump_to(self.scene, place)
        self._show_highlight(component)
        return component

    def next(self) -> ErrorComponent | None:
        """Choose the next component that is shown, after the last one the first; None if there is none."""
        return self._step(1)

    def previous(self) -> ErrorComponent | None:
        """Choose the one before; before the first one the last."""
        return self._step(-1)

    def position_of(self, component: ErrorComponent) -> tuple[float, float, float]:
        """Return the centre of a component in mm, RAS of the world, in which the views show it."""
        to_world = vtkGeneralTransform()  # no matrix: the scan may lie under a transform that warps
        transform_node = self._map.volume_node.GetParentTransformNode()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(transform_node, None, to_world)
        x, y, z = to_world.TransformPoint(component.centre_ras)
        return float(x), float(y), float(z)

    def nearest_segment(self, component: ErrorComponent) -> tuple[str, float] | None:
        """Return name and distance (mm) of the named segment nearest to a component's voxels; see `NamedSegments`."""
        mask, geometry = self.voxels_of(component)
        ijk = np.argwhere(mask)[:, ::-1]
        to_ras = geometry.ijk_to_ras()
        positions = ijk @ to_ras[:3, :3].T + to_ras[:3, 3]
        return self._names.nearest(positions if len(ijk) else np.array([component.centre_ras]))

    def voxels_of(self, component: ErrorComponent) -> tuple[NDArray[np.bool_], Geometry]:
        """Return the voxels of a component in the box around it, and the grid of that box.

        If an edit has just taken its middle away, which the list does not know yet: what is left of it.
        """
        errors = self._map.errors
        try:
            box, mask = component_mask(errors.array, errors.geometry, component)
        except VesselSegError:
            k, j, i = (slice(low, high + 1) for low, high in zip(component.box[0][::-1], component.box[1][::-1]))
            box = (k, j, i)
            mask = errors.array[box] == component.kind
        return mask, errors.geometry.cropped(box)

    def mark(self, component_id: str, decision: str, reader: str) -> Mark:
        """Remember what a reader says about a component; see `component_marks.set_mark`."""
        return set_mark(self._map.node, self._find(component_id), decision, reader)

    def unmark(self, component_id: str) -> None:
        """Forget it."""
        clear_mark(self._map.node, component_id)

    def mark_of(self, component: ErrorComponent) -> Mark | None:
        """Return what was said about a component as it is now, or None."""
        mark = read_marks(self._map.node).get(component.component_id)
        return mark if mark is not None and mark.is_of(component) else None

    def decision_of(self, component_id: str) -> str:
        """Return the decision about a component as it is now; empty where there is none."""
        mark = self.mark_of(self._find(component_id))
        return "" if mark is None else mark.decision

    def marks(self) -> list[Mark]:
        """Return everything that was said, also about components that have been corrected or edited since."""
        return list(read_marks(self._map.node).values())

    def current_marks(self) -> dict[str, Mark]:
        """Return what was said about the components as they are now, by their IDs."""
        present = {component.component_id: component for component in self.components}
        marks = read_marks(self._map.node)
        return {name: mark for name, mark in marks.items() if name in present and mark.is_of(present[name])}

    def close(self) -> None:
        """Take the mark of the chosen component away."""
        self.highlight.remove()

    def _find(self, component_id: str) -> ErrorComponent:
        for component in self.components:
            if component.component_id == component_id:
                return component
        raise VesselSegError(f"there is no component '{component_id}' any more", "choose one from the list")

    def _step(self, step: int) -> ErrorComponent | None:
        shown = self.shown()
        if not shown:
            self.highlight.remove()
            return None
        here = _position(shown, self._current_id, -1)
        if here >= 0:
            target = here + step
        elif self._position < 0:
            target = 0 if step > 0 else -1
        else:
            # The chosen one is gone: whatever took its place in the list is the next.
            target = self._position if step > 0 else self._position - 1
        return self.choose(shown[target % len(shown)].component_id)

    def _show_highlight(self, component: ErrorComponent) -> None:
        mask, geometry = self.voxels_of(component)
        display_node = self._map.node.GetDisplayNode()
        three_d = bool(display_node.GetVisibility() and display_node.GetVisibility3D())
        self.highlight.mark(mask, geometry, self._map.volume_node, three_d=three_d)
        self._highlighted = component

    def _after_update(self) -> None:
        self.outdated = False
        current = self.current
        if current is None:
            self.highlight.remove()
        elif current != self._highlighted and self.highlight.has_content:
            # An edit has changed it, and left its first voxel, by which it is known.
            visible = self.highlight.shown
            self._show_highlight(current)
            self.highlight.set_visible(visible)


def _position(components: list[ErrorComponent], component_id: str, otherwise: int) -> int:
    return next((n for n, component in enumerate(components) if component.component_id == component_id), otherwise)
