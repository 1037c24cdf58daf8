"""Clicks in slice and 3D views, taken as 3D Slicer's own modules do: points placed into a markups node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

_NODE_CLASS = "vtkMRMLMarkupsFiducialNode"
_COLOR = (0.1, 1.0, 1.0)
_GLYPH_SCALE = 2.0


class EditClicks:
    """Points that a tool asks for; they are not saved with the scene.

    Views place one point at a time: whoever has looked at it calls `start` again for the next one. A point that follows
    the mouse is no click yet.

    Parameters
    ----------
    scene : vtkMRMLScene
    changed : callable
        Called when a point was placed, moved or removed, or when the views stopped placing points, for example because
        the user has chosen something else to do with the mouse. It is called in the middle of the view's work: do no
        more there than noting it.
    """

    def __init__(self, scene: Any, changed: Callable[[], None]) -> None:
        self.scene = scene
        self.node: Any = None
        self._changed = changed
        self._observed: list[tuple[Any, int]] = []
        self._former: tuple[int, str | None, str | None] | None = None

    @property
    def placing(self) -> bool:
        """Whether the next click in a view places a point."""
        if not self._exists():
            return False
        interaction, selection = self._singletons()
        places = interaction.GetCurrentInteractionMode() == interaction.Place
        return bool(places and selection.GetActivePlaceNodeID() == self.node.GetID())

    @property
    def points(self) -> list[tuple[float, float, float]]:
        """The points placed so far, in mm, RAS of the world."""
        if not self._exists():
            return []
        places = []
        for index in range(self.node.GetNumberOfControlPoints()):
            if self.node.GetNthControlPointPositionStatus(index) == self.node.PositionDefined:
                position = [0.0, 0.0, 0.0]
                self.node.GetNthControlPointPositionWorld(index, position)
                places.append((position[0], position[1], position[2]))
        return places

    def start(self) -> None:
        """Let the next click in a view place a point."""
        if not self._exists():
            self._make_node()
        interaction, selection = self._singletons()
        if self._former is None:
            active = selection.GetActivePlaceNodeID(), selection.GetActivePlaceNodeClassName()
            self._former = interaction.GetPlaceModePersistence(), *active
        selection.SetReferenceActivePlaceNodeClassName(_NODE_CLASS)
        selection.SetActivePlaceNodeID(self.node.GetID())
        # Only with one point at a time does no half-placed point stand in the way of what `keep_last` removes.
        interaction.SetPlaceModePersistence(0)
        interaction.SetCurrentInteractionMode(interaction.Place)

    def keep_last(self) -> None:
        """Forget all points but the last one: a tool that takes one click begins anew with each."""
        while len(self.points) > 1:
            self.node.RemoveNthControlPoint(0)

    def clear(self) -> None:
        """Forget the points; the views go on placing them if they did."""
        if self._exists():
            self.node.RemoveAllControlPoints()

    def stop(self) -> None:
        """Give the mouse back to the views, and leave nothing in the scene."""
        placing = self.placing
        self._observe_no_more()
        if self._exists():
            interaction, selection = self._singletons()
            if placing:
                interaction.SetCurrentInteractionMode(interaction.ViewTransform)
            if selection.GetActivePlaceNodeID() == self.node.GetID() and self._former is not None:
                persistence, former, class_name = self._former
                present = former is not None and self.scene.GetNodeByID(former) is not None
                if present:
                    selection.SetReferenceActivePlaceNodeClassName(class_name)
                selection.SetActivePlaceNodeID(former if present else None)
                interaction.SetPlaceModePersistence(persistence)
            display_node = self.node.GetDisplayNode()
            self.scene.RemoveNode(self.node)
            if display_node is not None and self.scene.IsNodePresent(display_node):
                self.scene.RemoveNode(display_node)
        self.node = self._former = None

    def _exists(self) -> bool:
        return self.node is not None and bool(self.scene.IsNodePresent(self.node))

    def _singletons(self) -> tuple[Any, Any]:
        """Return the nodes that say what the mouse does and what is placed."""
        return tuple(
            self.scene.GetNodeByID(f"{name}Singleton") or self.scene.AddNode(getattr(slicer, name)())
            for name in ("vtkMRMLInteractionNode", "vtkMRMLSelectionNode")
        )

    def _observe_no_more(self) -> None:
        for observed, tag in self._observed:
            observed.RemoveObserver(tag)
        self._observed = []

    def _make_node(self) -> None:
        self._observe_no_more()  # others may have removed the former one
        node = getattr(slicer, _NODE_CLASS)()
        node.SetName("Clicks")
        node.SetHideFromEditors(True)
        node.SaveWithSceneOff()
        self.node = self.scene.AddNode(node)
        self.node.CreateDefaultDisplayNodes()
        display_node = self.node.GetDisplayNode()
        display_node.SaveWithSceneOff()
        display_node.SetPointLabelsVisibility(False)
        display_node.SetGlyphScale(_GLYPH_SCALE)
        display_node.SetSelectedColor(*_COLOR)
        interaction, _selection = self._singletons()
        events = (node.PointPositionDefinedEvent, node.PointEndInteractionEvent, node.PointRemovedEvent)
        self._observed = [(self.node, self.node.AddObserver(event, self._on_event)) for event in events]
        mode = interaction.InteractionModeChangedEvent
        self._observed.append((interaction, interaction.AddObserver(mode, self._on_event)))

    def _on_event(self, caller: Any, event: Any) -> None:
        if not self.scene.IsClosing():
            self._changed()
