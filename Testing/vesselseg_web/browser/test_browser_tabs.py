"""One visitor with two windows of different sizes, or who goes to another page and back, in a real Chromium."""

from __future__ import annotations

import pytest

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from chromium import Visit, launched
from served_page import serving

pytestmark = pytest.mark.slow

#: Whether every view shows a picture of its own size.
FITS = """() => {
  const pictures = [...document.querySelectorAll(".image-display-area")];
  return pictures.length && pictures.every((each) => Math.abs(each.naturalWidth - each.clientWidth) <= 1);
}"""


def test_the_page_can_be_used_in_one_window_at_a_time(tmp_path):
    with launched() as chromium, serving(tmp_path) as served:
        visit = Visit(chromium, served.address)
        visit.click(".vs-phantom")
        visit.see(".vs-scan-name")
        visit.page.wait_for_function(FITS)
        small = visit.page.context.new_page()
        small.set_viewport_size({"width": 1000, "height": 600})
        small.goto(served.address)
        small.wait_for_selector(".vs-scan-name")
        small.wait_for_function(FITS)
        assert "open in another tab or window" in visit.see(".vs-lost").inner_text()
        assert small.query_selector(".vs-lost") is None
        assert visit.mistakes == []
        # What the covered window does is nobody's business any more.
        visit.page.set_viewport_size({"width": 1200, "height": 700})
        small.wait_for_timeout(1000)
        assert small.evaluate(FITS)

        visit.page.click(".vs-lost button")
        small.wait_for_selector(".vs-lost button:has-text('Use it here')")
        visit.mistakes.clear()  # of the window that was covered: it could not tell its size
        visit.see(".vs-scan-name")
        visit.page.wait_for_function(FITS)
        assert visit.page.query_selector(".vs-lost") is None
        small.close()
        visit.page.wait_for_timeout(1000)
        assert visit.page.query_selector(".vs-lost") is None
        assert visit.mistakes == []


def test_back_at_the_page_it_can_be_used(tmp_path):
    # Playwright switches it off, which browsers do not.
    with launched(ignore_default_args=["--disable-back-forward-cache"]) as chromium, serving(tmp_path) as served:
        visit = Visit(chromium, served.address)
        visit.click(".vs-phantom")
        visit.see(".vs-scan-name")
        visit.page.goto(f"{served.address}about")
        visit.page.go_back(wait_until="commit")
        visit.see(".vs-scan-name")
        visit.page.wait_for_function(FITS)
        assert visit.page.query_selector(".vs-lost") is None
        visit.open_section("view")
