"""The corrected label as files, in the section "Save" of 3D Slicer's panel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from vesselseg.output_files import portable_name
from VesselSegmentationLib.jobs.wording import sentence
from VesselSegmentationLib.jobs.worker_job import RUNNING
from VesselSegmentationLib.panel.panel_section import PanelSection, allow, ask_for_file, errors_shown, make_timer, say
from VesselSegmentationLib.saving.edit_export import SignedJob, signed_segments
from VesselSegmentationLib.saving.signed_record import files_beside, files_of_another

_SEGMENTATION, _SURFACE = ".seg.nrrd", ".stl"
_POLL_MILLISECONDS = 50


class SignedSection(PanelSection):
    """Label, log of the edits and automatic result, all of them or none. The views stay alive meanwhile.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        super().__init__(ui, logic)
        self._folder = os.path.expanduser("~")
        self._running = False
        self._job: SignedJob | None = None
        #: What was saved: if it has been edited since, the edits are still not saved.
        self._saving: Any = None
        self._holds_all = False
        self._timer = make_timer(_POLL_MILLISECONDS, self.poll)
        for text, ending, kinds in (
            (_("Segmentation"), _SEGMENTATION, _("Segmentations (*.seg.nrrd)")),
            (_("NIfTI"), ".nii.gz", _("Label images (*.nii.gz *.nii)")),
            (_("NRRD"), ".nrrd", _("Label images (*.nrrd *.mha)")),
            (_("DICOM SEG"), ".dcm", _("DICOM segmentations (*.dcm)")),
        ):
            ui.signedKindComboBox.addItem(text, (ending, kinds))
        ui.saveSignedButton.connect("clicked(bool)", self.save)

    def update(self, running: bool) -> None:
        """Bring the widgets up to date."""
        self._running = running
        reason = ""
        if self._job is not None:
            reason = _("Wait until the label is written.")
        elif running:
            reason = _("Wait until the segmentation is done, or cancel it.")
        elif self.logic.edits.target is None:
            reason = _("There are no vessels yet: segment a scan first.")
        tool_tip = _("Save the corrected label with the reader's name, the log of edits and the automatic result.")
        allow(self.ui.saveSignedButton, reason, tool_tip)

    def save(self) -> None:
        """Ask where, and save."""
        ui, target = self.ui, self.logic.edits.target
        if target is None:
            return
        ending, kinds = ui.signedKindComboBox.itemData(ui.signedKindComboBox.currentIndex)
        name = portable_name(str(target.node.GetName()))
        path = ask_for_file(_("Save label"), os.path.join(self._folder, name + ending), kinds)
        if not path:
            return
        self._folder = os.path.dirname(path)
        paths = [path]
        if ui.signedSurfaceCheckBox.checked:
            stem = path[: -len(ending)] if path.lower().endswith(ending) else os.path.splitext(path)[0]
            paths.append(stem + _SURFACE)
        # The dialogue has asked about the first one only: those beside it are of the same label, or of another one.
        if os.path.exists(path):
            with errors_shown(_("The label could not be saved."), wait_cursor=True):
                others = files_of_another(target, Path(path))
        else:
            others = [each for each in (*map(Path, paths[1:]), *files_beside(Path(path))) if each.exists()]
        question = _("There are files of another label: {names}. Replace them?")
        question = question.format(names=", ".join(f"'{each.name}'" for each in others))
        if not others or slicer.util.confirmOkCancelDisplay(question, _("Save label")):
            self._start(target, paths)

    def poll(self) -> None:
        """Go on writing, and say how it ended."""
        job = self._job
        if job is None:
            self._timer.stop()
            return
        with errors_shown(_("The label could not be saved.")):
            try:
                if job.poll() == RUNNING:
                    return
            finally:
                if job.state != RUNNING:
                    self._end(job)
            if job.error is not None:
                raise job.error

    def halt(self) -> None:
        """Write no more in the background."""
        self._timer.stop()

    def let_go(self) -> None:
        """Finish writing: what is written is named after what is in the scene."""
        while self._job is not None:
            self.poll()

    def _start(self, target: Any, paths: list[str]) -> None:
        with errors_shown(_("The label could not be saved."), wait_cursor=True):
            reader = self.ui.readerLineEdit.text
            self._job = SignedJob(target, paths, reader=reader, overwrite=True, file_of=_file_of_instance())
            self._saving = (target, self.logic.edits.state)
            # Label images know no names of vessels.
            edits = self.logic.edits
            holds_segments = paths[0].lower().endswith(_SEGMENTATION) and edits.changed_only(signed_segments(target))
            self._holds_all = holds_segments or edits.only_voxels
            say(self.ui.savingStatusLabel, _("Saving the label ..."))
            self._timer.start()
            self.update(self._running)

    def _end(self, job: SignedJob) -> None:
        self._timer.stop()
        self._job = None
        edits, output = self.logic.edits, job.output
        if job.error is not None:
            say(self.ui.savingStatusLabel, _("Not saved. {error}").format(error=sentence(job.error)))
        else:
            if self._holds_all and self._saving == (edits.target, edits.state):
                edits.mark_saved()
            files = [*output.files, output.log, *([output.automatic] if output.automatic is not None else [])]
            text = _("Saved in {folder}: {names}")
            names = ", ".join(each.name for each in files)
            text = text.format(folder=files[0].parent, names=names)
            if not self._holds_all:
                text += _(". Other segments, names and decisions on errors may be missing: save the scene, too.")
            say(self.ui.savingStatusLabel, text)
        if self.parameters is not None:
            self.update(self._running)


def _file_of_instance() -> Any:
    """Return what finds the files of DICOM images: Slicer's database, if it is open."""
    database = slicer.dicomDatabase if hasattr(slicer, "dicomDatabase") else None
    return database.fileForInstance if database is not None and database.isOpen else None
