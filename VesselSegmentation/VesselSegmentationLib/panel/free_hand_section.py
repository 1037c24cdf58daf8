"""Segment Editor inside the section "Correct" of 3D Slicer's panel."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from VesselSegmentationLib.correcting.free_hand import editor_node, mask_for_effect, prepare_free_hand
from VesselSegmentationLib.panel.panel_section import PanelSection, errors_shown

#: What corrects vessels by hand; the other effects are in the module Segment Editor.
_EFFECTS = ("Paint", "Erase", "Draw", "Scissors", "Islands", "Threshold")
#: Keys of the panel that Draw has, too: A closes the outline, X takes its last point away.
_KEYS_OF_DRAW = {"acceptButton": "A", "rejectButton": "X"}


class FreeHandSection(PanelSection):
    """The editor works on the segment that the vessel tools edit; its strokes are steps of their history.

    It is made when it is first asked for, and has neither an undo of its own nor keys.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        super().__init__(ui, logic)
        self._editor: Any = None
        self._target: Any = None
        self._node: Any = None
        self._observed = 0
        self._effect = ""
        ui.freeHandGroupBox.connect("toggled(bool)", self._on_toggled)
        ui.freeHandLabel.text = ""

    def update(self, running: bool) -> None:
        """Let the editor work on what is edited now; not while the vessels are being found anew."""
        ui, target = self.ui, self.logic.edits.target
        reason = ""
        if running:
            reason = _("Wait until the segmentation is done.")
        elif target is None:
            reason = _("There are no vessels yet: segment a scan first.")
        elif target is not self._target and target.node.GetSegmentation().GetSegment(target.segment_id) is None:
            reason = _("The vessels were deleted: undo that, and open this again.")
        if reason:
            self._put_down()
            ui.freeHandLabel.text = reason
        elif not ui.freeHandGroupBox.collapsed:
            self._bind(target)
        if self._editor is not None:
            self._editor.enabled = self._target is not None

    def leave(self) -> None:
        """Take no strokes any more: another module is opened."""
        if self._editor is not None:
            self._editor.setActiveEffect(None)
            self._editor.removeViewObservations()

    def let_go(self) -> None:
        """Let go of the scene."""
        self._put_down()

    def close(self) -> None:
        """Let go of the scene."""
        self._put_down()
        self._observe(None)

    def _on_toggled(self, shown: bool) -> None:
        if self.parameters is None:
            return
        if shown:
            self.update(False)
        else:
            self.leave()

    def _bind(self, target: Any) -> None:
        editor = self._made()
        node = editor_node(slicer.mrmlScene)
        self._observe(node)
        editor.setMRMLSegmentEditorNode(node)
        if target is not self._target:
            with errors_shown(_("The editor could not be prepared."), wait_cursor=True):
                editor.setSegmentationNode(target.node)
                editor.setSourceVolumeNode(target.volume_node)
                editor.setCurrentSegmentID(target.segment_id)
                low, high = prepare_free_hand(node, target)
                self._target = target
                text = _(
                    "Paint affects only voxels as bright as vessels ({low:.4g} to {high:.4g}); Erase affects all. "
                    "Change this under Masking; use Undo above."
                )
                self.ui.freeHandLabel.text = text.format(low=low, high=high)
        editor.setupViewObservations()
        editor.updateWidgetFromMRML()

    def _made(self) -> Any:
        if self._editor is None:
            editor = slicer.qMRMLSegmentEditorWidget()
            # First the node, then the scene: the editor keeps what it chooses by itself in the node.
            editor.setMRMLSegmentEditorNode(editor_node(slicer.mrmlScene))
            editor.setMRMLScene(slicer.mrmlScene)
            editor.setSegmentationNodeSelectorVisible(False)
            editor.setSourceVolumeNodeSelectorVisible(False)
            editor.setSwitchToSegmentationsButtonVisible(False)
            editor.setAddRemoveSegmentButtonsVisible(False)
            editor.setUndoEnabled(False)
            editor.setMaximumNumberOfUndoStates(0)
            editor.setEffectNameOrder(_EFFECTS)
            editor.unorderedEffectsVisible = False
            self.ui.freeHandGroupBox.layout().addWidget(editor)
            self._editor = editor
        return self._editor

    def _observe(self, node: Any) -> None:
        if node is self._node:
            return
        if self._node is not None:
            self._node.RemoveObserver(self._observed)
        self._node = node
        if node is not None:
            self._observed = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._on_effect)

    def _on_effect(self, caller: Any, event: Any) -> None:
        effect = str(caller.GetActiveEffectName() or "")
        if effect != self._effect:
            # Not with every event: the user may have switched masking on or off by hand.
            self._effect = effect
            mask_for_effect(caller)
            for button, key in _KEYS_OF_DRAW.items():
                getattr(self.ui, button).setShortcut(qt.QKeySequence("" if effect == "Draw" else key))

    def _put_down(self) -> None:
        self.leave()
        if self._editor is not None and self._target is not None:
            self._editor.setSegmentationNode(None)
        self._target = None
