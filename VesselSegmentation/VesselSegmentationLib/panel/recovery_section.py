"""Edits that a crash has left, offered at the top of 3D Slicer's panel."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from VesselSegmentationLib.correcting.recovery import Recoverable, discard, find_recoverable, restore, scan_for
from VesselSegmentationLib.panel.panel_section import PanelSection, errors_shown, say


class RecoverySection(PanelSection):
    """One offer after another: restore, discard, or decide later.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        super().__init__(ui, logic)
        self._offers: list[Recoverable] = []
        self._looked = False
        ui.restoreButton.connect("clicked(bool)", self.restore)
        ui.discardButton.connect("clicked(bool)", self.discard)
        ui.laterButton.connect("clicked(bool)", self.later)
        self._show()

    def update(self, running: bool) -> None:
        """Look for what a crash has left, once a scene."""
        if not self._looked:
            self._looked = True
            self._offers = find_recoverable(slicer.app.temporaryPath)
        self._show()

    def let_go(self) -> None:
        """Look again: edits of this scene may have been kept."""
        self._looked = False

    def restore(self) -> None:
        """Bring the edits back as a segmentation of their own, and go on with it where its scan is there."""
        offer = self._offers[0]
        scan = scan_for(slicer.mrmlScene, offer)
        if scan is None:
            text = _("Load the scan '{name}' first, or give it this name again: the edits belong to it.")
            slicer.util.infoDisplay(text.format(name=offer.scan))
            return
        with errors_shown(_("The edits could not be restored."), wait_cursor=True):
            node = restore(slicer.mrmlScene, offer, scan)
            self._next()
            self.parameters.inputVolume = scan
            self.parameters.outputSegmentation = node
            edits = self.logic.edits
            if edits.target is not None and edits.target.node is node:
                # On the disk again before the only copy goes.
                edits.mark_unsaved(offer.edits)
                edits.save_against_crash()
                discard(offer)

    def discard(self) -> None:
        """Remove the edits for good, after asking."""
        offer = self._offers[0]
        question = _("These edits will be lost for good:\n\n{text}\n\nDiscard them?").format(text=offer.text)
        if slicer.util.confirmOkCancelDisplay(question, _("Discard edits?")):
            discard(offer)
            self._next()

    def later(self) -> None:
        """Leave them where they are; they are offered again at the next start."""
        self._next()

    def _next(self) -> None:
        del self._offers[0]
        self._show()

    def _show(self) -> None:
        self.ui.recoveryFrame.setVisible(bool(self._offers))
        text = _("Edits that were not saved when 3D Slicer ended or the scene was closed: {text}.")
        say(self.ui.recoveryLabel, text.format(text=self._offers[0].text) if self._offers else "")
        self.ui.restoreButton.toolTip = _("Add them to the scene as a new segmentation, and go on editing it.")
        self.ui.discardButton.toolTip = _("Remove them for good.")
        self.ui.laterButton.toolTip = _("Keep them; they are offered again at the next start.")
