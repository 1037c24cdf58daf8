"""The section "Scan"."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VProgressLinear
from undo_stack import Signal

from vesselseg_web.scan_logic import SCAN
from vesselseg_web.section_ui import SectionUI, action, names_of, upload_button
from vesselseg_web.states import ScanState


class ScanUI(SectionUI):
    """Loading a scan."""

    phantom_clicked = Signal()

    def __init__(self, server: Any) -> None:
        super().__init__(server, "scan", "Scan")
        name = names_of(server, ScanState)
        with self.body:
            upload_button(server, "Open a scan", SCAN, name.upload_percent)
            VProgressLinear(
                v_if=(f"{name.upload_percent} >= 0",), model_value=(name.upload_percent,), color="primary", height=6
            )
            action("Try the synthetic scan", self.phantom_clicked, variant="text", classes="vs-phantom")
            with html.Div(v_if=(name.name,), classes="text-body-2 mt-2"):
                html.Div(f"{{{{ {name.name} }}}}", classes="font-weight-bold text-truncate vs-scan-name")
                html.Div(f"{{{{ {name.grid} }}}}", classes="text-medium-emphasis")
            html.Div(
                "NIfTI, NRRD or MHA. Nothing is kept when you end.",
                v_else=True,
                classes="text-caption text-medium-emphasis mt-1",
            )
