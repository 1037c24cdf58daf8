"""Looking at a scan in a real Chromium: window, slab, the scan in 3D, keys, help, themes, a lost connection."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from chromium import Visit, launched
from served_page import serving

pytestmark = pytest.mark.slow


def window_shown(visit):
    """Return window and level as the page says them."""
    return tuple(float(part) for part in visit.page.inner_text(".vs-window").split("/"))


def until(visit, condition):
    """Wait until something is true of the page."""
    for _ in range(300):
        if condition():
            return
        visit.page.wait_for_timeout(200)
    raise AssertionError("it did not come true")


def parts(pixels):
    """Return the axial view and the 3D view of a picture of four views."""
    rows, columns = (size // 2 for size in pixels.shape[:2])
    # Without what is written over them.
    return pixels[30 : rows - 50, 30 : columns - 30], pixels[30 : rows - 30, columns + 30 : -30]


def test_looking_at_a_scan(tmp_path):
    with launched() as chromium, serving(tmp_path) as served:
        visit = Visit(chromium, served.address)
        visit.see(".vs-phantom")
        visit.click(".vs-phantom")
        visit.see(".vs-scan-name")
        # A list that is open is closed by its own keys.
        visit.click(".vs-segment .v-select >> nth=0")
        visit.see(".v-menu .v-list-item-subtitle")
        visit.page.keyboard.press("Escape")
        visit.page.wait_for_selector(".v-menu .v-list-item-subtitle", state="hidden")
        visit.open_section("view")
        before, _ = parts(visit.picture(until=lambda pixels: np.mean(parts(pixels)[0] > 60) > 0.2))

        automatic = window_shown(visit)
        box = visit.page.locator(".layout-grid-item").first.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        visit.page.mouse.move(x, y)
        visit.page.mouse.down()
        for step in range(1, 11):
            visit.page.mouse.move(x + 6 * step, y + 4 * step)
            visit.page.wait_for_timeout(30)
        visit.page.mouse.up()
        until(visit, lambda: window_shown(visit) != automatic)
        dragged, _ = parts(visit.picture(until=lambda pixels: np.mean(parts(pixels)[0] != before) > 0.3))
        assert np.mean(dragged != before) > 0.3
        visit.page.keyboard.press("w")
        until(visit, lambda: window_shown(visit) == automatic)

        # A slab shows more of the vessels than a slice.
        track = visit.page.locator(".vs-view .v-slider:not(.v-range-slider)").first.bounding_box()
        visit.page.mouse.click(track["x"] + track["width"] / 3, track["y"] + track["height"] / 2)
        until(visit, lambda: visit.page.inner_text(".vs-slab").endswith("mm"))
        bright = np.mean(before > 200)
        slab, _ = parts(visit.picture(until=lambda pixels: np.mean(parts(pixels)[0] > 200) > 2 * bright))
        assert np.mean(slab > 200) > 2 * bright

        for number, text in ((1, "MIP"), (2, "Vessels")):
            visit.click(f".vs-rendering button:has-text('{text}')")
            _, solid = parts(visit.picture(until=lambda pixels: np.mean(parts(pixels)[1] > 120) > 0.002))
            assert np.mean(solid > 120) > 0.002
            visit.picture(f"view-{number}-{text}")
        visit.page.keyboard.press("2")
        visit.see(".v-app-bar .v-select:has-text('3D and slices')")

        visit.page.keyboard.press("?")
        visit.see(".vs-help:visible")
        assert "Next error" in visit.page.inner_text(".vs-help")
        visit.page.keyboard.press("3")  # the sheet is in front: nothing happens behind it
        visit.picture("view-3-help")
        visit.page.keyboard.press("?")
        visit.page.wait_for_selector(".vs-help", state="hidden")
        visit.see(".v-app-bar .v-select:has-text('3D and slices')")

        # Typed letters stay in the field.
        visit.open_section("correct")
        visit.page.locator(".vs-correct input[type=text]").first.fill("")
        visit.page.locator(".vs-correct input[type=text]").first.press_sequentially("3?w1")
        visit.page.wait_for_timeout(1000)
        assert visit.page.locator(".vs-correct input[type=text]").first.input_value() == "3?w1"
        visit.see(".v-app-bar .v-select:has-text('3D and slices')")
        assert not visit.page.is_visible(".vs-help")

        # What the dark theme is changed in, and what it keeps.
        colours = {"on-primary": "0,0,0", "error": "219,117,135", "on-error": "0,0,0", "primary": "33,150,243"}
        style = "getComputedStyle(document.querySelector('.v-application'))"
        found = visit.page.evaluate(
            f"names => names.map(name => {style}.getPropertyValue(`--v-theme-${{name}}`))", [*colours]
        )
        assert found == list(colours.values())

        # Nothing is cut where the page is small.
        assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        rights = "[...document.querySelectorAll('.v-app-bar .v-btn')].map(e => e.getBoundingClientRect().right)"
        assert max(visit.page.evaluate(rights)) <= 1280
        assert visit.mistakes == []

        served.stop()
        assert "connection to the server is lost" in visit.see(".vs-lost").inner_text()
        assert visit.page.evaluate("document.activeElement.textContent") == "Reload the page"
        visit.keep("view-4-lost")
