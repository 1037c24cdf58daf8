"""The section "Save"."""

from __future__ import annotations

from typing import Any

from trame.widgets.vuetify3 import VSelect

from vesselseg_web.save_logic import ERROR_MAP, FORMATS, LABEL, PROBABILITY
from vesselseg_web.section_ui import SectionUI, action, names_of
from vesselseg_web.states import SaveState


class SaveUI(SectionUI):
    """Downloads."""

    def __init__(self, server: Any) -> None:
        super().__init__(server, "save", "Save")
        name = names_of(server, SaveState)
        with self.body:
            VSelect(
                label="Format",
                v_model=(name.format,),
                items=(list(FORMATS),),
                density="compact",
                variant="outlined",
                hide_details=True,
                classes="mb-2",
            )
            for text, what, why_not in (
                ("Segmentation", LABEL, name.why_no_label),
                ("Probability map", PROBABILITY, name.why_no_label),
                ("Error map", ERROR_MAP, name.why_no_error_map),
            ):
                action(
                    text,
                    None,
                    why_not=why_not,
                    href=(f"'download/{what}?format=' + encodeURIComponent({name.format})",),
                    raw_attrs=["download"],
                    prepend_icon="mdi-download",
                    classes=f"vs-download-{what}",
                )
