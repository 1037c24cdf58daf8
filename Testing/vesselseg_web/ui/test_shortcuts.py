from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest

import vesselseg_web
from chromium import launched
from vesselseg.errors import VesselSegError
from vesselseg_web.ui.shortcuts import LAYOUT_KEYS, SHORTCUTS, TRIGGER, Shortcuts
from vesselseg_web.viewing.views import _layouts

SCRIPT = Path(vesselseg_web.__file__).parent / "serve" / "shortcuts.js"
#: A page that has nothing but two buttons and a row, and notes what happens.
PAGE = """<button id=tool>Tool</button><button id=other>Other</button><div id=view tabindex=-1>View</div>
<table><tr id=row tabindex=0><td>Row</table><script>
window.done = [];
document.querySelectorAll("button").forEach((each) => (each.onclick = () => done.push(each.id)));
const keys = [{ key: "enter", action: "apply" }, { key: "n", action: "next" }];
window.trame = { state: { get: () => keys }, trigger: (_name, [action]) => done.push(action) };
</script>"""


@pytest.fixture
def pressed():
    return []


@pytest.fixture
def shortcuts(page, pressed):
    page.data.layouts = list(_layouts())
    return Shortcuts(page, {each.action: lambda name=each.action: pressed.append(name) for each in SHORTCUTS})


def test_every_key_is_listed_and_does_something(page, shortcuts, pressed):
    listed = page.state["ShortcutState__keys"]
    assert [each["action"] for each in listed] == [each.action for each in SHORTCUTS]
    assert len({each["key"] for each in listed}) == len(listed)
    assert all(each["shown"] and each["title"] for each in listed)
    for each in SHORTCUTS:
        shortcuts.press(each.action)
    layouts = [f"layout {number}" for number in range(1, LAYOUT_KEYS + 1)]
    assert pressed == [each.action for each in SHORTCUTS if each.action != "help"]
    assert set(layouts) <= set(pressed)


def test_layouts_are_those_that_the_sheet_names(page):
    page.data.layouts = list(_layouts())
    shortcuts = Shortcuts(page, {})
    titles = {each.action: each.title for each in SHORTCUTS}
    for number in range(1, LAYOUT_KEYS + 1):
        shortcuts.press(f"layout {number}")
        assert titles[f"layout {number}"].startswith(page.data.layout)


def test_held_keys_correct_nothing(page, shortcuts):
    repeating = {each["action"] for each in page.state["ShortcutState__keys"] if each["repeats"]}
    assert repeating == {"next", "previous", "undo", "redo"}


def test_help(page, shortcuts):
    for shown in (True, False):
        shortcuts.press("help")
        assert page.state["ShortcutState__help_shown"] is shown


def test_unknown_actions_do_nothing(page, shortcuts, pressed):
    shortcuts.press("rm -rf")
    assert pressed == []
    assert page.data.error == ""


def test_what_goes_wrong_is_one_line(page):
    def fail():
        raise VesselSegError("there is nothing to undo", "make a step first")

    Shortcuts(page, {"undo": fail}).press("undo")
    assert page.data.error == "There is nothing to undo. Make a step first."


def test_script_and_page_agree():
    script = SCRIPT.read_text()
    assert f'trigger("{TRIGGER}"' in script
    assert re.search(r'state\.get\("ShortcutState__keys"\)', script)


@contextlib.contextmanager
def opened():
    """Open the page with the script in a browser."""
    with launched() as chromium:
        page = chromium.new_page()
        page.set_content(PAGE)
        page.add_script_tag(path=SCRIPT)
        yield page


@pytest.mark.slow
def test_return_presses_the_button_that_tab_has_reached():
    with opened() as page:
        page.click("#tool")
        page.keyboard.press("Enter")  # a tool that a mouse has chosen: its edit is applied
        page.keyboard.press("n")
        page.keyboard.press("Enter")
        assert page.evaluate("done") == ["tool", "apply", "next", "apply"]
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.keyboard.press("n")
        assert page.evaluate("done.slice(4)") == ["other", "next"]
        page.click("#other")
        page.keyboard.press("Enter")
        page.click("#view")
        page.keyboard.press("Enter")
        assert page.evaluate("done.slice(6)") == ["other", "apply", "apply"]


@pytest.mark.slow
def test_return_leaves_a_row_of_a_list_to_itself_that_tab_has_reached():
    with opened() as page:
        page.focus("#other")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "row"
        page.keyboard.press("Enter")
        assert page.evaluate("done") == []
        page.keyboard.press("n")
        page.click("#row")
        page.keyboard.press("Enter")
        assert page.evaluate("done") == ["next", "apply"]


@pytest.mark.slow
def test_cover_of_a_page_that_cannot_be_used_has_keys_of_its_own():
    with opened() as page:
        page.click("#view")
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<div class=vs-lost></div>')")
        page.evaluate("document.querySelector('.vs-lost').append(other)")
        page.focus("#other")
        page.keyboard.press("Enter")
        page.keyboard.press("n")
        assert page.evaluate("done") == ["other"]
