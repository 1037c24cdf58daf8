"""What the sections of the drawer have in common."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VExpansionPanel, VExpansionPanelText, VExpansionPanelTitle
from trame_server.utils.typed_state import TypedState

from vesselseg_web.logic.scan_logic import on_its_way
from vesselseg_web.logic.states import PageState, ScanState
from vesselseg_web.uploads.upload_checks import MAX_FILE_BYTES, MAX_FILES
from VesselSegmentationLib.jobs.wording import sentence

_LABEL_ENDINGS = ".nii,.gz,.nrrd,.mha,.zip"
#: Of what holds a button: the second click of a double click does nothing. It would land on whatever the first one has
#: put in place of the button, or act on the next error.
ONCE = '@click.capture="if ($event.detail > 1) { $event.preventDefault(); $event.stopPropagation(); }"'
_ENDINGS = {"scan": f"{_LABEL_ENDINGS},.dcm,.mrb", "reference": _LABEL_ENDINGS, "mask": _LABEL_ENDINGS}


class SectionUI(VExpansionPanel):
    """A section of the drawer: subclasses draw into `body`, or beside the title into `heading`, from their own state.

    Parameters
    ----------
    server : Server
    value : str
        By which the section is opened and closed.
    title : str
    """

    def __init__(self, server: Any, value: str, title: str) -> None:
        super().__init__(value=value, classes=f"vs-{value}")
        with self:
            self.heading = VExpansionPanelTitle(title)
            self.body = VExpansionPanelText()


def names_of(server: Any, state_type: type) -> Any:
    """Return the names under which the browser knows the fields of a state."""
    return TypedState(server.state, state_type).name


def action(text: str, click: Any, *, why_not: str = "", **options: Any) -> None:
    """Draw a button over the whole width; where it cannot be pressed, it says why.

    Parameters
    ----------
    text : str
    click : callable or str
    why_not : str
        Expression for the browser: why the button cannot be pressed, empty if it can.
    **options
        Of the button.
    """
    disabled = {"disabled": (f"!!({why_not})",)} if why_not else {}
    # A button that cannot be pressed shows no tooltip of its own.
    with html.Div(title=(why_not or "''",), classes="my-1", raw_attrs=[ONCE]):
        VBtn(text, block=True, click=click, **{"variant": "tonal", **disabled, **options})


def icon_action(icon: str, text: str, click: Any, *, why_not: str = "", **options: Any) -> None:
    """Draw a small button that says what it does where the pointer rests; parameters as `action`."""
    reason = why_not or "''"
    with html.Div(title=(f"({reason}) || '{text}'",)):
        VBtn(
            icon=icon, click=click, aria_label=text, disabled=(f"!!({reason})",),
            **{"size": "small", "variant": "tonal", "rounded": "lg", **options},
        )  # fmt: skip


def upload_button(
    server: Any,
    text: str,
    kind: str,
    *,
    why_not: str = "''",
    is_folder: bool = False,
    icon: str = "",
    **options: Any,
) -> None:
    """Draw a button that sends a file, or all files of a folder; with `icon` a small one. See `transfers`."""
    page, scan = names_of(server, PageState), names_of(server, ScanState)
    why_not = f"{scan.why_not} || {why_not}"
    click = "$event.currentTarget.parentElement.nextElementSibling.click()"
    if icon:
        icon_action(icon, text, click, why_not=why_not, **options)
    else:
        action(text, click, why_not=why_not, **options)
    names = f"{{ percent: '{scan.upload_percent}', whyNot: '{scan.why_not}', error: '{page.error}' }}"
    limits = f"{{ bytes: {MAX_FILE_BYTES}, files: {MAX_FILES}, wait: '{sentence(on_its_way())}' }}"
    html.Input(
        type="file",
        style="display: none",
        classes=f"vs-upload-{kind}" + ("-folder" if is_folder else ""),
        change=f"window.vesselseg.upload($event, '{kind}', {names}, {limits})",
        **({"raw_attrs": ["webkitdirectory"]} if is_folder else {"accept": _ENDINGS[kind]}),
    )
