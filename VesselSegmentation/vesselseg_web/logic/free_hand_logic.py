"""Strokes in the views: trame-slicer's paint, erase and scissors on the vessels, in the one history of all edits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer
from trame_slicer.segmentation import (
    BrushDiameterMode,
    ScissorsEffectFillMode,
    ScissorsEffectRangeMode,
    SegmentationEffectNoTool,
    SegmentationEffectScissors,
)

from vesselseg_web.logic.page_logic import PageLogic, SectionLogic
from vesselseg_web.logic.states import FreeHandState
from vesselseg_web.logic.tool_list import ERASE, PAINT, SCISSORS
from vesselseg_web.viewing.free_hand_editor import Erase, FreeHandEditor, Paint
from VesselSegmentationLib.correcting.free_hand import mask_for_effect, prepare_free_hand
from VesselSegmentationLib.scene.scan_display import slab_thickness
from VesselSegmentationLib.scene.segmentation_nodes import named_arteries
from VesselSegmentationLib.scene.volume_nodes import volume_from_node

if TYPE_CHECKING:
    from vesselseg_web.workspace.case import Case

_BRUSHES = {PAINT: Paint, ERASE: Erase}
_EFFECTS = {**_BRUSHES, SCISSORS: SegmentationEffectScissors}
_CUTS = {
    "erase inside": ("Erase inside the line", ScissorsEffectFillMode.ERASE_INSIDE),
    "erase outside": ("Erase outside the line", ScissorsEffectFillMode.ERASE_OUTSIDE),
    "fill inside": ("Fill inside the line", ScissorsEffectFillMode.FILL_INSIDE),
}


_DARK = "Nothing else there is as bright as vessels: widen the range, or switch 'Only as bright as vessels' off."
_NOT_PAINTED, _NOT_ERASED = "Nothing was added there.", "Nothing was erased there."
_NAMED = "Vessels with a name are removed with the vessel tools."
_IN_THE_MIDDLE = "The slab is on: strokes act on the slice in its middle."


class FreeHandLogic(SectionLogic[FreeHandState]):
    """Puts paint, erase and scissors into the hand, and sets them.

    The strokes change the segmentation, which the history of `EditLogic` notices by itself.

    Parameters
    ----------
    page : PageLogic
    case : Case
    """

    def __init__(self, page: PageLogic, case: Case) -> None:
        super().__init__(page, case, FreeHandState)
        application = page.application
        effects = [SegmentationEffectNoTool, *_EFFECTS.values()]
        self._editor = FreeHandEditor(
            application.scene, application.segmentations_logic, application.view_manager, builtin_effects=effects
        )
        self._target: Any = None
        self._node: Any = None
        self._state: tuple[int, int] = (0, 0)
        self._stroke_ended = False
        self.data.cuts = [{"title": title, "value": value} for value, (title, _mode) in _CUTS.items()]
        self.data.cut = next(iter(_CUTS))
        name = self.name
        self.bind_changes(
            {
                (name.brush, name.sphere): self._set_brush,
                (name.masked, name.mask): self._set_mask,
                (name.cut, name.depth): self._set_scissors,
            }
        )
        case.scan_changed.connect(self.let_go)

    @property
    def name_in_hand(self) -> str:
        """Name of the tool in the hand; empty for none."""
        active = self._editor.active_effect_name
        return next((name for name, effect in _EFFECTS.items() if effect.get_effect_name() == active), "")

    def take(self, name: str) -> None:
        """Take `PAINT`, `ERASE` or `SCISSORS` into the hand; a `VesselSegError` if the vessels cannot be edited."""
        target, editor = self.case.edits.target, self._editor
        if target is None:
            return
        if target.node is not self._node:
            # Once for each segmentation: the editor never takes its observers back.
            editor.set_active_segmentation(target.node, target.volume_node)
            self._node = target.node
        node = editor.editor_node
        node.SetActiveEffectName(name.capitalize())
        if target is not self._target:
            low, high = prepare_free_hand(node, target)
            scan = volume_from_node(target.volume_node).array
            self.data.mask_limits = [float(scan.min()), float(scan.max())]
            self.data.mask = [low, high]
            others = target.history.describe_outside
            target.history.describe_outside = lambda: self._describe() or others()
            self._target = target
        self._draw_models(name in _BRUSHES)
        editor.set_active_segment_id(target.segment_id)
        editor.set_active_effect_type(_EFFECTS[name])
        self._set_brush()
        self._set_mask()
        self._set_scissors()
        self._state, self._stroke_ended = self.case.edits.state, False

    def take_stroke(self) -> str | None:
        """Return why the last stroke has changed nothing, after the history was polled.

        Returns
        -------
        str or None
            Empty if it has changed something; None if there was none since the last time.
        """
        before, self._state = self._state, self.case.edits.state
        ended, self._stroke_ended = self._stroke_ended, False
        if not ended:
            return None
        return "" if self._state != before else self._why_nothing()

    def _why_nothing(self) -> str:
        parts = []
        if self.name_in_hand == PAINT:
            parts.append(_DARK if self.data.masked else _NOT_PAINTED)
        elif self.name_in_hand == ERASE:
            named = self._target is not None and named_arteries(self._target.node)
            parts += [_NOT_ERASED, _NAMED] if named else [_NOT_ERASED]
        if slab_thickness(self.case.scene) > 0:
            parts.append(_IN_THE_MIDDLE)
        return " ".join(parts)

    def _on_stroke(self) -> None:
        self._stroke_ended = True

    def put_down(self) -> None:
        """Give the mouse back to the views."""
        if self.name_in_hand:
            self.case.edits.poll()  # the last stroke is still to be named after its tool
            self._editor.deactivate_effect()
            self._draw_models(False)
            self._editor.editor_node.SetActiveEffectName("")

    def let_go(self) -> None:
        """Let go of the scan: another one takes its place."""
        self._editor.clear()
        self._draw_models(False)
        self._editor.editor_node.SetActiveEffectName("")
        self._target = self._node = None

    def _draw_models(self, drawn: bool) -> None:
        """Draw the brush in slices, where it is a model; without it there is none, and `Views` draws faster."""
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        name = slicer.vtkMRMLModelSliceDisplayableManager.__name__
        if drawn != factory.IsDisplayableManagerRegistered(name):
            (factory.RegisterDisplayableManager if drawn else factory.UnRegisterDisplayableManager)(name)

    def _set_brush(self, *_: Any) -> None:
        if self._target is None:
            return
        for effect_type in _BRUSHES.values():
            effect = self._editor.get_effect(effect_type)
            effect.stroke_ended = self._on_stroke
            effect.set_use_sphere_brush(self.data.sphere)
            effect.set_brush_diameter(self.data.brush, BrushDiameterMode.Absolute)

    def _set_mask(self, *_: Any) -> None:
        if self._target is None:
            return
        node = self._editor.editor_node
        low, high = self.data.mask
        node.SetSourceVolumeIntensityMaskRange(low, high)
        mask_for_effect(node)
        if not self.data.masked:
            node.SetSourceVolumeIntensityMask(False)

    def _set_scissors(self, *_: Any) -> None:
        if self._target is None:
            return
        effect = self._editor.get_effect(SegmentationEffectScissors)
        effect.set_fill_mode(_CUTS[self.data.cut][1])
        limited = self.data.depth > 0
        effect.set_range_mode(ScissorsEffectRangeMode.SYMMETRIC if limited else ScissorsEffectRangeMode.UNLIMITED)
        effect.set_symmetric_distance(self.data.depth)

    def _describe(self) -> tuple[str, str] | None:
        name = self.name_in_hand
        return (f"free hand: {name}", f"{name} by hand") if name else None
