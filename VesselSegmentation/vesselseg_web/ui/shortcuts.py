"""Keys, for what is done a hundred times, and the sheet that lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VCard, VCardText, VDialog, VTable
from trame_server.utils.typed_state import TypedState

from vesselseg_web.logic.page_logic import PageLogic
from vesselseg_web.logic.states import ShortcutState
from vesselseg_web.ui.section_ui import names_of

#: By which `serve/shortcuts.js` tells that a key was pressed.
TRIGGER = "vesselseg_shortcut"


@dataclass(frozen=True)
class Shortcut:
    """A key.

    Parameters
    ----------
    key : str
        As the script names it: the character, or with "ctrl+" and "shift+" before a letter.
    title : str
        What it does.
    action : str
        By which the page knows what to do.
    shown : str
        How people name the key; the default is `key` in capitals.
    repeats : bool
        Whether it acts again and again while it is held: nothing that would correct what nobody has seen.
    """

    key: str
    title: str
    action: str
    shown: str = ""
    repeats: bool = False


#: The same letters as in 3D Slicer's panel.
SHORTCUTS = (
    Shortcut("n", "Next error", "next", repeats=True),
    Shortcut("p", "Previous error", "previous", repeats=True),
    Shortcut("a", "Accept: the segmentation is wrong", "accept"),
    Shortcut("x", "Reject: the reference is wrong", "reject"),
    Shortcut("s", "Seen: only note it", "seen"),
    Shortcut("enter", "Apply what a tool shows", "apply", "Return"),
    Shortcut("escape", "Cancel it, or put the tool down", "cancel", "Esc"),
    Shortcut("ctrl+z", "Undo", "undo", "Ctrl Z", repeats=True),
    Shortcut("ctrl+shift+z", "Redo", "redo", "Ctrl Shift Z", repeats=True),
    Shortcut("ctrl+y", "Redo", "redo", "Ctrl Y", repeats=True),
    Shortcut("m", "Error map, or vessels", "map"),
    Shortcut("v", "Vessels shown or hidden", "vessels"),
    Shortcut("w", "Fit window and level to the scan", "window"),
    Shortcut("1", "Four views", "layout 1"),
    Shortcut("2", "3D and slices", "layout 2"),
    Shortcut("3", "Axial and 3D", "layout 3"),
    Shortcut("4", "3D alone", "layout 4"),
    Shortcut("?", "This sheet", "help"),
)
#: Layouts that have a key.
LAYOUT_KEYS = 4
_HELP = "Keys and mouse"
#: What a mouse does in the views.
_MOUSE = (
    ("Left drag", "Slice: window, level; 3D: turn"),
    ("Wheel", "Slice: next, previous; 3D: zoom"),
    ("Middle drag, Shift + left drag", "Move"),
    ("Right drag, Ctrl + wheel", "Zoom"),
    ("Shift + move", "All views follow the pointer"),
)


class Shortcuts:
    """Does what keys ask for.

    Parameters
    ----------
    page : PageLogic
    actions : mapping of str to callable
        By the actions of `SHORTCUTS`; layouts and help are known here.
    """

    def __init__(self, page: PageLogic, actions: Mapping[str, Callable[[], Any]]) -> None:
        self._page = page
        self._state = TypedState(page.state, ShortcutState)
        self._state.data.keys = [
            {
                "key": each.key,
                "shown": each.shown or each.key.upper(),
                "title": each.title,
                "action": each.action,
                "repeats": each.repeats,
            }
            for each in SHORTCUTS
        ]
        layouts = [self._layout(name) for name in page.data.layouts[:LAYOUT_KEYS]]
        numbered = {f"layout {number}": layout for number, layout in enumerate(layouts, 1)}
        self._actions = {**numbered, **actions, "help": self._toggle_help}
        page.server.trigger(TRIGGER)(self.press)

    def press(self, action: str) -> None:
        """Do what a key asks for. What the browser sends is not trusted: unknown actions do nothing."""
        act = self._actions.get(action)
        if act is not None:
            with self._page.reporting(keep=True):
                act()

    def _toggle_help(self) -> None:
        self._state.data.help_shown = not self._state.data.help_shown

    def _layout(self, name: str) -> Callable[[], None]:
        def choose() -> None:
            self._page.data.layout = name

        return choose


def draw_help(server: Any) -> None:
    """Draw the sheet."""
    name = names_of(server, ShortcutState)
    with (
        VDialog(v_model=(name.help_shown,), max_width=980, scrollable=True, aria_label=_HELP),
        VCard(title=_HELP, classes="vs-help"),
    ):
        with html.Div(classes="vs-help-close"):
            VBtn(icon="mdi-close", variant="text", title="Close (Esc)", click=f"{name.help_shown} = false")
        with VCardText(classes="pt-0"), html.Div(classes="vs-help-columns"):
            with VTable(density="compact"), html.Tbody(), html.Tr(v_for=f"each in {name.keys}"):
                with html.Td(classes="text-no-wrap"):
                    html.Kbd("{{ each.shown }}", classes="vs-key")
                html.Td("{{ each.title }}")
            with VTable(density="compact"), html.Tbody():
                for what, effect in _MOUSE:
                    with html.Tr():
                        html.Td(what, classes="text-no-wrap")
                        html.Td(effect)
