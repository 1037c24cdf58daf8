"""The section "Scan"."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import (
    VBtn,
    VCard,
    VCardActions,
    VCardText,
    VCardTitle,
    VDialog,
    VList,
    VListItem,
    VSpacer,
)
from undo_stack import Signal

from vesselseg_web.logic.scan_logic import SCAN
from vesselseg_web.logic.states import PageState, ScanState
from vesselseg_web.ui.section_ui import SectionUI, action, names_of, upload_button

_WHICH_SERIES = "Which series is the scan?"


class ScanUI(SectionUI):
    """Loading a scan."""

    phantom_clicked = Signal()
    series_clicked = Signal(str)
    series_dismissed = Signal()

    def __init__(self, server: Any) -> None:
        super().__init__(server, "scan", "Scan")
        name = names_of(server, ScanState)
        with self.heading:
            # In sight whatever section is open.
            html.Span(
                f"{{{{ {name.name} }}}}",
                v_if=(name.name,),
                title=(name.name,),
                classes="ml-4 mr-2 text-truncate text-body-2 text-medium-emphasis vs-scan-name",
            )
        with self.body:
            upload_button(server, "Open a scan or a session", SCAN, variant="flat", color="primary")
            upload_button(server, "Open a DICOM folder", SCAN, is_folder=True)
            action(
                "Try the synthetic scan",
                self.phantom_clicked,
                why_not=f"{names_of(server, PageState).busy} || {name.why_not}",
                variant="text",
                classes="vs-phantom",
            )
            html.Div(f"{{{{ {name.grid} }}}}", v_if=(name.name,), classes="text-body-2 text-medium-emphasis mt-1")
            html.Div(
                "NIfTI, NRRD, MHA, a zip of one of them or of DICOM files, or a saved session (.mrb). "
                "Everything is deleted when you end the session.",
                v_else=True,
                classes="text-caption text-medium-emphasis mt-1",
            )
            self._draw_choice(name)

    def _draw_choice(self, name: Any) -> None:
        with (
            VDialog(
                model_value=(f"{name.series}.length > 0",),
                max_width=560,
                persistent=True,
                aria_label=_WHICH_SERIES,
            ),
            VCard(classes="vs-series"),
        ):
            VCardTitle(_WHICH_SERIES)
            with VCardText(), VList(density="compact"):
                VListItem(
                    v_for=f"each in {name.series}",
                    key=("each.value",),
                    title=("each.title",),
                    click=(self.series_clicked, "[each.value]"),
                )
            with VCardActions():
                VSpacer()
                VBtn("None of them", click=self.series_dismissed, classes="vs-keep")
