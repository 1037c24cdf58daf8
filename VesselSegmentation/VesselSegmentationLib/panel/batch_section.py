"""Many errors corrected in one step, in the section "Correct" of 3D Slicer's panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from vesselseg.review.error_kinds import ErrorKind
from VesselSegmentationLib.panel.panel_section import PanelSection, allow, errors_shown, say


class BatchSection(PanelSection):
    """Which errors, and a preview of what correcting them would do.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    offer : callable
        Shows an edit and waits for Apply or Cancel: see `CorrectSection.offer`.
    """

    def __init__(self, ui: Any, logic: Any, offer: Callable[[Any, str, Callable[[], Any]], None]) -> None:
        super().__init__(ui, logic)
        self._offer = offer
        self._running = False
        self._kinds = (None, ErrorKind.FALSE_POSITIVE, ErrorKind.FALSE_NEGATIVE)
        for text in (_("Of both kinds"), _("False positives"), _("False negatives")):
            ui.batchKindComboBox.addItem(text)
        self._rims = (None, True, False)
        for text in (_("Including edge errors"), _("Only edge errors"), _("Without edge errors")):
            ui.batchRimsComboBox.addItem(text)
        ui.previewBatchButton.connect("clicked(bool)", self.preview)

    def update(self, running: bool) -> None:
        """Bring the widgets up to date."""
        self._running = running
        errors = self.logic.edits.errors
        reason = ""
        if running:
            reason = _("Wait until the segmentation is done, or cancel it.")
        elif errors is None or not errors.applies:
            reason = _("Compare these vessels with a reference first.")
        allow(self.ui.previewBatchButton, reason, _("Show what correcting these errors would do, before it is done."))
        if not reason and self.logic.review.mask_node is None:
            reason = _("No brain mask is known: choose one in the section Metrics and compare again.")
        allow(self.ui.outsideBrainCheckBox, reason, _("Only errors whose centre lies outside the brain mask."))

    def comparison_changed(self, changed: set[str]) -> None:
        """See what can be done."""
        self.update(self._running)

    def preview(self) -> None:
        """Show what correcting the errors would do."""
        ui, errors = self.ui, self.logic.edits.errors
        with errors_shown(_("The errors could not be shown."), wait_cursor=True):
            batch = errors.preview_batch(
                kind=self._kinds[ui.batchKindComboBox.currentIndex],
                below_mm3=ui.batchVolumeSlider.value or None,
                at_least_mm3=ui.batchLeastSlider.value or None,
                rims=self._rims[ui.batchRimsComboBox.currentIndex],
                outside_brain=ui.outsideBrainCheckBox.isEnabled() and ui.outsideBrainCheckBox.checked,
            )
            if batch.components:
                text, listing = batch.text, self.logic.review.listing
                if listing is not None and listing.count > len(errors.components()):
                    text = _("{text}, of those that are listed; there are more").format(text=text)
                self._offer(batch.edit, text, lambda: errors.commit_batch(batch, self.logic.edits.reader))
            else:
                text = _("There are no such errors.")
                if batch.left_out:
                    text = _("There are no such errors; left out: {errors}.").format(errors=batch.left_out)
                say(ui.toolHintLabel, text)
