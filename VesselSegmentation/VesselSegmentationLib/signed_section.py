"""The corrected label as files, in the section "Save" of 3D Slicer's panel. Only for 3D Slicer."""

from __future__ import annotations

import os
from typing import Any

import slicer
from slicer.i18n import tr as _

from VesselSegmentationLib.edit_export import export_signed
from VesselSegmentationLib.panel_section import PanelSection, allow, ask_for_file, say

_SURFACE = ".stl"


class SignedSection(PanelSection):
    """Label, log of the edits and automatic result, all of them or none.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        super().__init__(ui, logic)
        self._folder = os.path.expanduser("~")
        for text, ending, kinds in (
            (_("Segmentation"), ".seg.nrrd", _("Segmentations (*.seg.nrrd)")),
            (_("NIfTI"), ".nii.gz", _("Label images (*.nii.gz *.nii)")),
            (_("NRRD"), ".nrrd", _("Label images (*.nrrd *.mha)")),
            (_("DICOM SEG"), ".dcm", _("DICOM segmentations (*.dcm)")),
        ):
            ui.signedKindComboBox.addItem(text, (ending, kinds))
        ui.saveSignedButton.connect("clicked(bool)", self.save)

    def update(self, running: bool) -> None:
        """Bring the widgets up to date."""
        reason = ""
        if running:
            reason = _("Wait until the segmentation is done, or cancel it.")
        elif self.logic.edits.target is None:
            reason = _("There are no vessels yet: segment a scan first.")
        tool_tip = _("Save the corrected label in the reader's name, with the log of its edits and the first result.")
        allow(self.ui.saveSignedButton, reason, tool_tip)

    def save(self) -> None:
        """Ask where, and save."""
        ui, target = self.ui, self.logic.edits.target
        if target is None:
            return
        ending, kinds = ui.signedKindComboBox.itemData(ui.signedKindComboBox.currentIndex)
        name = str(target.node.GetName()).replace("/", "-")
        path = ask_for_file(_("Save label"), os.path.join(self._folder, name + ending), kinds)
        if not path:
            return
        self._folder = os.path.dirname(path)
        paths = [path]
        if ui.signedSurfaceCheckBox.checked:
            stem = path[: -len(ending)] if path.lower().endswith(ending) else os.path.splitext(path)[0]
            paths.append(stem + _SURFACE)
        with slicer.util.tryWithErrorDisplay(_("The label could not be saved."), waitCursor=True):
            saved = export_signed(
                target, paths, reader=ui.readerLineEdit.text, overwrite=True, file_of=_file_of_instance()
            )
            self.logic.edits.mark_saved()
            files = [*saved.files, saved.log, *([saved.automatic] if saved.automatic is not None else [])]
            text = _("Saved in {folder}: {names}")
            names = ", ".join(each.name for each in files)
            say(ui.savingStatusLabel, text.format(folder=self._folder, names=names))


def _file_of_instance() -> Any:
    """Return what finds the files of DICOM images: Slicer's database, if it is open."""
    database = slicer.dicomDatabase if hasattr(slicer, "dicomDatabase") else None
    return database.fileForInstance if database is not None and database.isOpen else None
