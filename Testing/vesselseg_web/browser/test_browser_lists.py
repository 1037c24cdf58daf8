"""Keys after a list was used, in a real Chromium: they act on the page, and no choice changes by itself."""

from __future__ import annotations

import pytest

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from chromium import Visit
from served_page import serving

pytestmark = pytest.mark.slow

OPEN = ".v-menu.v-overlay--active"


class Chooser(Visit):
    """Somebody who uses lists."""

    def choose(self, label, text):
        self.click(f".v-select:has-text('{label}'):visible")
        self.click(f"{OPEN} .v-list-item-title:has-text('{text}')")
        self.page.wait_for_function("document.activeElement.matches('.v-select input')", polling=100)

    def state(self, name):
        """Return a value of the state, after all that was pressed."""
        self.page.evaluate("window.trame.trigger('vesselseg_shortcut', ['nothing'])")
        return self.page.evaluate(f"window.trame.state.get('{name}')")


def test_keys_after_a_list(chromium, tmp_path):
    with serving(tmp_path) as served:
        visit = Chooser(chromium, served.address)
        press = visit.page.keyboard.press
        visit.segment_phantom()

        # Also letters that are no keys of the page.
        visit.choose("Brain mask", "Automatic")
        press("n")
        assert visit.state("SegmentState__mask") == "auto"
        visit.choose("Four views", "Coronal")
        for key in ("s", "f"):
            press(key)
        assert visit.state("PageState__layout") == "Coronal"
        press("1")
        visit.see(".v-app-bar .v-select:has-text('Four views')")

        visit.open_section("review")
        visit.click(".vs-compare-button")
        visit.see(".vs-errors tbody tr")
        press("n")
        visit.page.wait_for_function("window.trame.state.get('ErrorListState__chosen')", polling=100)
        visit.open_section("correct")
        visit.click(".vs-tool-error")
        visit.choose("Decision", "Reject")
        press("a")
        visit.see(".vs-status:text-is('The error was corrected.')")
        visit.see(".vs-step")
        assert visit.state("ToolsState__decision") == "rejected"
        press("Control+z")
        visit.page.wait_for_selector(".vs-step", state="detached")
        assert visit.state("ToolsState__decision") == "rejected"

        # Return is the page's where a mouse was used; what Tab reaches is opened by the keys for lists.
        press("Enter")
        assert visit.page.query_selector(OPEN) is None
        press("Shift+Tab")
        press("Tab")
        for key in ("Enter", "Space", "ArrowDown"):
            press(key)
            visit.see(OPEN)
            press("Escape")
            visit.page.wait_for_selector(OPEN, state="detached")
        assert visit.state("ToolsState__decision") == "rejected"
        press("Enter")
        visit.see(OPEN)
        press("a")
        press("Enter")
        visit.page.wait_for_selector(OPEN, state="detached")
        assert visit.state("ToolsState__decision") == "accepted"
        assert visit.mistakes == []
        assert "Traceback" not in served.text
