"""The section "Save"."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VProgressLinear, VSelect

from vesselseg_web.logic.save_logic import (
    DOWNLOADS,
    EDITS,
    ERROR_MAP,
    ERRORS,
    FIGURE,
    LABEL,
    METRICS,
    PROBABILITY,
    REPORT,
    SESSION,
)
from vesselseg_web.logic.states import SaveState
from vesselseg_web.ui.section_ui import ONCE, SectionUI, names_of

_TITLES = {
    SESSION: ("Session", "Everything, to go on with it later here or in 3D Slicer"),
    LABEL: ("Segmentation", "The vessels as they are now: image, segmentation of 3D Slicer, or surface"),
    PROBABILITY: ("Probability map", "Of each voxel, from 0 to 1"),
    ERROR_MAP: ("Error map", "1 true positive, 2 false positive, 3 false negative"),
    METRICS: ("Metrics", "Table of all metrics"),
    ERRORS: ("Errors", "List of the errors, with what was decided about them"),
    EDITS: ("Edits", "Who changed what, when and with which tool"),
    REPORT: ("Report", "Scan, settings, metrics, figures and errors"),
    FIGURE: ("Figure", "Of the error map, for a paper"),
}


class SaveUI(SectionUI):
    """Downloads."""

    def __init__(self, server: Any) -> None:
        super().__init__(server, "save", "Save")
        self._name = name = names_of(server, SaveState)
        with self.body:
            for what in _TITLES:
                self._draw_row(what)
            VSelect(
                label="Kind of figure",
                v_model=(name.figure,),
                items=(name.figures,),
                density="compact",
                variant="outlined",
                hide_details=True,
                classes="mt-2",
            )
            with html.Div(v_if=(f"{name.percent} >= 0",), classes="mt-2"):
                VProgressLinear(model_value=(name.percent,), color="primary", height=6, aria_label="Saving")
                html.Div(f"{{{{ {name.message} }}}}", classes="text-caption text-medium-emphasis vs-saving")

    def _draw_row(self, what: str) -> None:
        title, tip = _TITLES[what]
        why_not = f"{self._name.why_not}.{what}"
        tooltip = (f"{why_not} || '{tip}'",)
        with html.Div(classes="d-flex align-center ga-1 my-1", title=tooltip, raw_attrs=[ONCE]):
            html.Span(
                title,
                classes=(f"'text-body-2 flex-grow-1' + ({why_not} ? ' text-disabled' : '')",),
            )
            for index, suffix in enumerate(DOWNLOADS[what]):
                VBtn(
                    suffix[1:],
                    aria_label=f"{title}: download as {suffix[1:]}",
                    size="small",
                    variant="tonal",
                    href=f"download/{what}?format={suffix}",
                    raw_attrs=["download"],
                    disabled=(f"!!{why_not}",),
                    classes=f"px-2 vs-download-{what}" + (suffix.replace(".", "-") if index else ""),
                    style="min-width: 0",
                )
