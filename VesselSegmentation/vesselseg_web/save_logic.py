"""What can be downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vesselseg.volume import Volume
from vesselseg_web.page_logic import PageLogic, SectionLogic
from vesselseg_web.states import SaveState
from vesselseg_web.upload_checks import shown_name

if TYPE_CHECKING:
    from vesselseg_web.case import Case

LABEL, PROBABILITY, ERROR_MAP = "label", "probability", "errormap"
#: Endings of the images that are offered.
FORMATS = (".nii.gz", ".nrrd", ".mha")


class SaveLogic(SectionLogic[SaveState]):
    """Answers to the section "Save".

    Parameters
    ----------
    page : PageLogic
    case : Case
    """

    def __init__(self, page: PageLogic, case: Case) -> None:
        super().__init__(page, case, SaveState)
        self._images: dict[str, Callable[[], Volume]] = {
            LABEL: case.label,
            PROBABILITY: case.probability,
            ERROR_MAP: case.error_map,
        }
        case.scan_changed.connect(self.update)
        case.labels_changed.connect(self.update)
        self.update()

    def update(self) -> None:
        """Say what can be saved."""
        self.data.why_no_label = "" if self.case.has_vessels else "Segment a scan first."
        compared = self.case.review.error_map is not None
        self.data.why_no_error_map = "" if compared else "Compare the vessels with a reference first."

    def comparison_changed(self, changed: set[str]) -> None:
        """See what can be saved."""
        self.update()

    def image(self, what: str) -> tuple[Volume, str]:
        """Return a copy of an image, and the name its file gets, without ending.

        Parameters
        ----------
        what : str
            `LABEL`, `PROBABILITY` or `ERROR_MAP`.

        Raises
        ------
        VesselSegError
            If there is no such image at present.
        """
        return self._images[what](), f"{shown_name(str(self.case.scan.GetName()))} {what}"
