"""The page around its sections: bar, drawer, views, status."""

from __future__ import annotations

from typing import Any

from trame.ui.html import DivLayout
from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets.vuetify3 import (
    VAlert,
    VAppBar,
    VAppBarTitle,
    VBtn,
    VExpansionPanels,
    VFooter,
    VIcon,
    VMain,
    VNavigationDrawer,
    VProgressLinear,
    VSelect,
)
from trame_server.utils.typed_state import TypedState

from vesselseg_web.logic.layers import VESSELS, layer_state
from vesselseg_web.logic.states import CompareState, CorrectState, PageState, ScanState
from vesselseg_web.ui.correct_ui import CorrectUI
from vesselseg_web.ui.display_ui import DisplayUI
from vesselseg_web.ui.question_ui import END_FORM, QuestionUI
from vesselseg_web.ui.review_ui import ReviewUI
from vesselseg_web.ui.save_ui import SaveUI
from vesselseg_web.ui.scan_ui import ScanUI
from vesselseg_web.ui.section_ui import names_of
from vesselseg_web.ui.segment_ui import SegmentUI
from vesselseg_web.ui.shortcuts import TRIGGER, draw_help
from vesselseg_web.viewing import view_ui
from vesselseg_web.viewing.views import Views

_TITLE = "Vessel Segmentation"
_DRAWER_WIDTH = 380
_STYLE = """
html { overflow: hidden; }
.v-btn { text-transform: none; letter-spacing: normal; }
.vs-drawer .v-expansion-panel-text__wrapper { padding: 2px 16px 12px; }
.vs-drawer .v-expansion-panel-title { min-height: 36px !important; padding: 8px 16px;
  font-weight: 600; }
.vs-drawer .v-select .v-field__input { font-size: 14px; }
.vs-drawer .v-select__selection-text { white-space: normal; line-height: 1.25; }
.v-overlay .v-list-item-title, .v-overlay .v-list-item-subtitle { white-space: normal; font-size: 14px; }
.v-btn--disabled.v-btn--variant-flat { background: rgba(var(--v-theme-on-surface), 0.1) !important; }
.v-btn--disabled.v-btn--variant-flat { color: rgba(var(--v-theme-on-surface), 0.3) !important; }
.vs-swatch { display: inline-block; width: 12px; height: 12px; border-radius: 2px; flex: none; }
.vs-scroll { max-height: max(108px, calc(100vh - 612px)); overflow-y: auto; }
.vs-layer { gap: 6px; }
.vs-hint:empty { margin: 0 !important; }
.vs-layer .v-btn__prepend { margin-inline: 0 4px; }
.vs-device { width: 132px; }
.vs-number { flex: none; width: 38px; text-align: right; font-size: 12px; }
.vs-metrics { display: grid; grid-template-columns: 1fr 1fr; column-gap: 20px; font-size: 13px; line-height: 19px; }
.vs-drawer summary { cursor: pointer; }
.vs-errors { --v-table-row-height: 26px; --v-table-header-height: 26px; font-size: 13px; }
.vs-errors :is(th, td) { padding: 0 6px !important; }
.vs-errors td { cursor: pointer; }
.vs-errors tbody tr:focus-visible { outline: 2px solid rgb(var(--v-theme-primary)); outline-offset: -2px; }
.vs-drawer .v-switch { padding-left: 10px; }
.vs-drawer .v-switch .v-label { font-size: 14px; padding-left: 14px; }
.vs-help-columns { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; align-items: start; }
.vs-help-close { position: absolute; top: 8px; right: 8px; }
.vs-help .v-table { --v-table-row-height: 29px; }
.vs-help td:first-child { width: 1%; }
.vs-key { border: 1px solid currentColor; border-radius: 4px; padding: 1px 6px; font-size: 12px; opacity: 0.85; }
"""
# No request to anywhere: the icon is drawn here.
_ICON = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
    "<path d='M8 15V9M8 9C8 6 3 6 3 2M8 9c0-3 5-3 5-7' stroke='%23d8654f' stroke-width='2.4' fill='none' "
    "stroke-linecap='round'/></svg>"
)
#: White on the blue of Vuetify's dark theme, and its red on the drawer, have too little contrast to be read.
_THEMES = {"dark": {"colors": {"on-primary": "#000000", "error": "#DB7587", "on-error": "#000000"}}}
#: Name of the template of the views.
_VIEWS = "views"


class PageUI:
    """Draws the page.

    Parameters
    ----------
    server : Server
    views : Views
    """

    def __init__(self, server: Any, views: Views) -> None:
        state = TypedState(server.state, PageState)
        name = state.name
        server.state.trame__title, server.state.trame__favicon = _TITLE, _ICON
        # A template of their own: another arrangement makes its template anew, and all of the page were it the page's;
        # then clicks and what is being typed would be lost.
        with DivLayout(server, template_name=_VIEWS, style="height: 100%") as views_layout:
            views.draw(views_layout)
        with VAppLayout(server, vuetify_config={"theme": {"themes": _THEMES}}) as self.layout:
            self.layout.root.theme = (f"{name.dark} ? 'dark' : 'light'",)
            client.Style(_STYLE + view_ui.STYLE)
            with VAppBar(density="compact", flat=True, border="b"):
                VAppBarTitle(_TITLE)
                self._draw_switches(server)
                VSelect(
                    v_model=(name.layout,),
                    items=(name.layouts,),
                    title="Arrangement of the views (keys 1 to 4)",
                    aria_label="Layout",
                    density="compact",
                    variant="outlined",
                    hide_details=True,
                    max_width=190,
                    classes="mr-2",
                )
                for icon, title, click in (
                    ("mdi-keyboard-outline", "Keys and mouse (?)", _press("help")),
                    ("mdi-theme-light-dark", "Dark or light", f"{name.dark} = !{name.dark}"),
                ):
                    with VBtn(icon=True, title=title, click=click):
                        VIcon(icon)
                # No message over the websocket: the answer has to be there when that is closed. Only where corrections
                # would be lost, the server asks first.
                unsaved = names_of(server, CorrectState).unsaved
                with (
                    html.Form(action="leave", method="post", id=END_FORM),
                    VBtn(
                        icon=True,
                        title="End session: delete the scan and all results",
                        raw_attrs=[f""":type="{unsaved} ? 'button' : 'submit'\""""],
                        click=f"{unsaved} && {_press('end')}",
                        classes="vs-leave",
                    ),
                ):
                    VIcon("mdi-logout")
            with (
                VNavigationDrawer(permanent=True, width=_DRAWER_WIDTH, classes="vs-drawer"),
                VExpansionPanels(v_model=(name.section,), mandatory=True, variant="accordion", flat=True),
            ):
                self.scan = ScanUI(server)
                self.display = DisplayUI(server)
                self.segment = SegmentUI(server)
                self.review = ReviewUI(server)
                self.correct = CorrectUI(server)
                self.save = SaveUI(server)
            with VMain(style="height: 100vh"), html.Div(classes="d-flex flex-column", style="height: 100%"):
                VAlert(
                    v_if=(name.error,),
                    text=(name.error,),
                    type="error",
                    density="compact",
                    variant="flat",
                    tile=True,
                    closable=True,
                    click_close=f"{name.error} = ''",
                    classes="vs-error",
                    style="flex: none",  # as high as its text
                )
                with html.Div(style="flex: 1; min-height: 0"):
                    client.ServerTemplate(name=_VIEWS)
            with VFooter(app=True, border="t", height=32, classes="px-3 py-0 text-body-2"):
                sent = names_of(server, ScanState).upload_percent
                sending = f"{sent} >= 0"
                # Not of a live region: each percent would be read out.
                html.Span(f"Sending: {{{{ Math.round({sent}) }}}} %", v_if=f"!{name.busy} && {sending}")
                html.Span(
                    f"{{{{ {name.busy} ? {name.busy} + ' ...' : {sending} ? '' : {name.status} }}}}",
                    classes="vs-status text-truncate",
                    role="status",
                )
                VProgressLinear(
                    v_if=(f"{name.busy} || {sending}",),
                    indeterminate=(f"!!{name.busy}",),
                    model_value=(sent,),
                    absolute=True,
                    location="top",
                    color="primary",
                    height=3,
                    aria_label="Progress",
                )
            self.question = QuestionUI(server)
            draw_help(server)

    def _draw_switches(self, server: Any) -> None:
        """Draw what is switched all the time, at hand whatever the drawer shows."""
        compare, vessels = names_of(server, CompareState), layer_state(server.state, VESSELS).name
        map_shown = f"({compare.compared} && {compare.shown})"
        vessels_shown = f"(!{map_shown} && ({vessels.slices} || {vessels.three_d}))"
        for text, action, there, shown, title in (
            ("Vessels", "vessels", f"{vessels.there} && !{map_shown}", vessels_shown, "Show or hide the vessels (V)"),
            ("Error map", "map", compare.compared, map_shown, "Error map, or vessels (M)"),
        ):
            VBtn(
                text,
                size="small",
                prepend_icon=(f"{shown} ? 'mdi-eye' : 'mdi-eye-off'",),
                variant=(f"{shown} ? 'tonal' : 'text'",),
                disabled=(f"!({there})",),
                title=title,
                aria_pressed=(shown,),
                click=_press(action),
                classes=f"mr-2 vs-toggle-{action}",
            )


def _press(action: str) -> str:
    """Return what a button does that acts as a key."""
    return f"trigger('{TRIGGER}', ['{action}'])"
