"""The page around its sections: bar, drawer, views, status."""

from __future__ import annotations

from typing import Any

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

from vesselseg_web.correct_ui import CorrectUI
from vesselseg_web.review_ui import ReviewUI
from vesselseg_web.save_ui import SaveUI
from vesselseg_web.scan_ui import ScanUI
from vesselseg_web.segment_ui import SegmentUI
from vesselseg_web.states import PageState
from vesselseg_web.views import Views

_TITLE = "Vessel Segmentation"
_DRAWER_WIDTH = 380
_STYLE = """
html { overflow: hidden; }
.vs-drawer .v-expansion-panel-text__wrapper { padding: 4px 16px 16px; }
.vs-drawer .v-expansion-panel-title { min-height: 44px; font-weight: 600; }
.vs-swatch { display: inline-block; width: 12px; height: 12px; border-radius: 2px; flex: none; }
.vs-scroll { max-height: 260px; overflow-y: auto; }
"""
# No request to anywhere: the icon is drawn here.
_ICON = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
    "<path d='M8 15V9M8 9C8 6 3 6 3 2M8 9c0-3 5-3 5-7' stroke='%23d8654f' stroke-width='2.4' fill='none' "
    "stroke-linecap='round'/></svg>"
)


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
        with VAppLayout(server, template_name="main") as self.layout:
            self.layout.root.theme = (f"{name.dark} ? 'dark' : 'light'",)
            client.Style(_STYLE)
            with VAppBar(density="compact", flat=True, border="b"):
                VAppBarTitle(_TITLE)
                VSelect(
                    v_model=(name.layout,),
                    items=(name.layouts,),
                    label="Layout",
                    density="compact",
                    variant="outlined",
                    hide_details=True,
                    max_width=190,
                    classes="mr-2",
                )
                with VBtn(icon=True, title="Dark or light", click=f"{name.dark} = !{name.dark}"):
                    VIcon("mdi-theme-light-dark")
                # No message over the websocket: the answer has to be there when that is closed.
                with (
                    html.Form(action="leave", method="post"),
                    VBtn(
                        icon=True,
                        title="End: forget the scan and everything else",
                        raw_attrs=['type="submit"'],
                        classes="vs-leave",
                    ),
                ):
                    VIcon("mdi-logout")
            with (
                VNavigationDrawer(permanent=True, width=_DRAWER_WIDTH, classes="vs-drawer"),
                VExpansionPanels(v_model=(name.sections,), multiple=True, variant="accordion", flat=True),
            ):
                self.scan = ScanUI(server)
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
                    classes="vs-error flex-grow-0",
                )
                with html.Div(style="flex: 1; min-height: 0"):
                    views.draw(self.layout)
            with VFooter(app=True, border="t", height=32, classes="px-3 py-0 text-body-2"):
                html.Span(
                    f"{{{{ {name.busy} ? {name.busy} + ' ...' : {name.status} }}}}",
                    classes="vs-status text-truncate",
                )
                VProgressLinear(
                    v_if=(f"{name.busy}",), indeterminate=True, absolute=True, location="top", color="primary", height=3
                )
