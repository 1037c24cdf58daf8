"""What lies over the scan, each with its visibility and opacity in slices and in 3D."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from trame_server.utils.typed_state import TypedState

from vesselseg.review.error_kinds import ErrorKind
from vesselseg_web.logic.states import LayerState
from VesselSegmentationLib.reviewing.error_map_display import kind_display, set_kind_opacity, set_kind_visible
from VesselSegmentationLib.scene.segmentation_nodes import set_surface_shown, surface_shown

#: Names of the layers' states; those of error kinds are `kind_layer_name`.
VESSELS, REFERENCE = "vessels", "reference"
#: Outlines are so much denser than what they surround.
_OUTLINE_DENSITY = 2.0


def kind_layer_name(kind: ErrorKind) -> str:
    """Return the name of the state of a kind of error."""
    return kind.name.lower()


def layer_state(state: Any, name: str) -> Any:
    """Return the state of a layer, for the logic and for drawing it."""
    return TypedState(state, LayerState, namespace=name)


class Layer(ABC):
    """One layer: brings the page and the scene together, whichever has changed.

    Parameters
    ----------
    state : trame_server.state.State
    name : str
    reporting : callable
        As `PageLogic.reporting`.
    """

    def __init__(self, state: Any, name: str, reporting: Callable[[], Any]) -> None:
        self._typed = layer_state(state, name)
        self._reporting = reporting
        names = self._typed.name
        fields = (names.slices, names.three_d, names.slices_opacity, names.three_d_opacity)
        self._typed.bind_changes({fields: self._on_changed})

    @property
    def data(self) -> LayerState:
        """What the page shows."""
        data: LayerState = self._typed.data
        return data

    def show(self) -> None:
        """Show on the page what the scene has."""
        present = self._present()
        if present != self._typed.get_dataclass():
            self._typed.set_dataclass(present)

    def write(self) -> None:
        """Make the scene as the page has it."""
        # What the page has not been told to be there, it has not changed.
        if self.data.there and self._present().there:
            with self._reporting():
                self._write(self._typed.get_dataclass())

    def _present(self) -> LayerState:
        """Return what the scene has."""
        if not self._is_there():
            return LayerState()
        shown = self._read()
        # As sliders have them.
        shown.slices_opacity, shown.three_d_opacity = round(shown.slices_opacity), round(shown.three_d_opacity)
        return shown

    def _on_changed(self, *values: Any) -> None:
        if self._typed.get_dataclass() != self._present():
            self.write()

    @abstractmethod
    def _is_there(self) -> bool:
        """Tell whether the scene has something to show."""

    @abstractmethod
    def _read(self) -> LayerState:
        """Return how it is shown."""

    @abstractmethod
    def _write(self, wanted: LayerState) -> None:
        """Show it in another way."""


class SegmentationLayer(Layer):
    """A whole segmentation.

    Parameters
    ----------
    state, name, reporting
        As of `Layer`.
    node : callable
        Returns the vtkMRMLSegmentationNode at present, or None.
    outlined : callable
        Returns whether only outlines are to be shown in slices.
    """

    def __init__(
        self,
        state: Any,
        name: str,
        reporting: Callable[[], Any],
        node: Callable[[], Any],
        outlined: Callable[[], bool],
    ) -> None:
        super().__init__(state, name, reporting)
        self._node, self._outlined = node, outlined

    def toggle(self) -> None:
        """Hide it in all views, or show it again in those in which it was shown, in all where it was in none."""
        if self._is_there():
            display_node = self._node().GetDisplayNode()
            display_node.SetVisibility(not display_node.GetVisibility())
            self.show()
            if display_node.GetVisibility() and not (self.data.slices or self.data.three_d):
                self.data.slices = self.data.three_d = True
                self.write()

    def _is_there(self) -> bool:
        node = self._node()
        return node is not None and node.GetDisplayNode() is not None

    def _read(self) -> LayerState:
        node = self._node()
        display_node = node.GetDisplayNode()
        return LayerState(
            there=True,
            slices=bool(display_node.GetVisibility() and display_node.GetVisibility2DOutline()),
            three_d=surface_shown(node),
            slices_opacity=100 * float(display_node.GetOpacity2DFill()),
            three_d_opacity=100 * float(display_node.GetOpacity3D()),
        )

    def _write(self, wanted: LayerState) -> None:
        node = self._node()
        display_node = node.GetDisplayNode()
        opacity = wanted.slices_opacity / 100
        blocker = display_node.StartModify()
        display_node.SetVisibility2DOutline(wanted.slices)
        display_node.SetVisibility2DFill(wanted.slices and not self._outlined())
        display_node.SetOpacity2DFill(opacity)
        display_node.SetOpacity2DOutline(min(1.0, _OUTLINE_DENSITY * opacity))
        display_node.SetOpacity3D(wanted.three_d_opacity / 100)
        display_node.SetVisibility(wanted.slices or wanted.three_d)
        display_node.EndModify(blocker)
        if wanted.three_d != surface_shown(node):
            set_surface_shown(node, wanted.three_d)


class KindLayer(Layer):
    """A kind of error of an error map.

    Parameters
    ----------
    state, reporting
        As of `Layer`.
    kind : ErrorKind
    node : callable
        Returns the vtkMRMLSegmentationNode of the error map at present, or None.
    """

    def __init__(self, state: Any, reporting: Callable[[], Any], kind: ErrorKind, node: Callable[[], Any]) -> None:
        super().__init__(state, kind_layer_name(kind), reporting)
        self._kind, self._node = kind, node

    def _is_there(self) -> bool:
        return self._node() is not None

    def _read(self) -> LayerState:
        display = kind_display(self._node(), self._kind)
        (slices, slices_opacity), (three_d, three_d_opacity) = display["slices"], display["three_d"]
        return LayerState(True, slices, three_d, 100 * slices_opacity, 100 * three_d_opacity)

    def _write(self, wanted: LayerState) -> None:
        node = self._node()
        set_kind_visible(node, self._kind, slices=wanted.slices, three_d=wanted.three_d)
        set_kind_opacity(node, self._kind, slices=wanted.slices_opacity / 100, three_d=wanted.three_d_opacity / 100)
