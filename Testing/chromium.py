"""A visitor in a real Chromium."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

#: Before anything of the page: tells why a promise was rejected, for which Playwright itself says "Object".
_TELL_REASONS = """
addEventListener("unhandledrejection", ({ reason }) => {
  let text = String(reason);
  try { text = reason?.stack || JSON.stringify(reason) || text; } catch {}
  window.tellMistake(`unhandled rejection: ${text}`);
});
"""
#: Milliseconds that a step may take on a machine that is busy with other things.
_PATIENCE = 240_000
#: Whether no section is on its way to being open or closed: between press and release a button would move away.
_AT_REST = "() => !document.querySelector('.v-expansion-panels [class*=expand-transition]')"
_ARTEFACTS = Path(__file__).parents[1] / "artefacts" / "web"


@contextlib.contextmanager
def launched(**options):
    """Start the system's Chromium, or skip the test; Playwright brings only the driver, which takes the options."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("needs Chromium (Debian package chromium)")
    with playwright.sync_playwright() as driver:
        # Chromium's sandbox does not start as root, as which containers run.
        sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=path, args=sandbox, **options)
        yield browser
        browser.close()


class Visit:
    """A tab in a browser of its own."""

    def __init__(self, chromium, address):
        self.page = chromium.new_context(viewport={"width": 1280, "height": 720}).new_page()
        self.page.set_default_timeout(_PATIENCE)
        self.requests, self.refused, self.mistakes = [], [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("response", lambda answer: self.refused.append(answer.url) if answer.status >= 400 else None)
        self.page.on("pageerror", lambda error: self.mistakes.append(str(error.stack or error)))
        # Beside what Playwright says of it.
        self.page.expose_function("tellMistake", lambda text: self.mistakes.append(text))
        self.page.add_init_script(_TELL_REASONS)
        self.page.goto(address)

    def click(self, selector):
        self.page.wait_for_function(_AT_REST)
        self.page.click(selector)

    def double_click(self, selector):
        """Click twice as a hand does: what the first click changes is there when the second one comes."""
        self.click(selector)
        self.page.wait_for_timeout(200)
        self.page.mouse.down(click_count=2)
        self.page.mouse.up(click_count=2)

    def see(self, selector):
        from playwright.sync_api import TimeoutError

        try:
            return self.page.wait_for_selector(selector)
        except TimeoutError as error:
            # Elsewhere and once in a hundred runs: whoever reads only what the test printed has to see what it saw.
            error.add_note(f"The page at that time:\n{self.page.inner_text('body')}\nMistakes: {self.mistakes}")
            raise

    def choose_layout(self, name):
        self.click(".v-app-bar .v-select")
        self.click(f".v-overlay .v-list-item-title:text-is('{name}')")

    def open_section(self, name):
        self.click(f".vs-{name} .v-expansion-panel-title")
        self.see(f".vs-{name}.v-expansion-panel--active")

    def segment_phantom(self):
        """Load the synthetic scan and segment it."""
        self.click(".vs-phantom")
        self.see(".vs-scan-name")
        # Without looking for the brain: that takes longer than all the rest.
        self.click(".vs-segment .v-select:has-text('Brain mask')")
        self.click(".v-overlay .v-list-item-title:has-text('None')")
        self.click(".vs-segment-button")
        self.see(".vs-run:has-text('cores')")

    def send(self, kind, files):
        self.page.set_input_files(f".vs-upload-{kind}", files)

    def error(self):
        """Wait for a line that says what went wrong, and return it."""
        return self.see(".vs-error").inner_text()

    def close_error(self):
        self.click(".vs-error .v-alert__close button")
        self.page.wait_for_selector(".vs-error", state="detached")

    def picture(self, name="", until=lambda pixels: True):
        """Return the pixels of the views, once they show what is waited for; kept under a name for people."""
        from playwright.sync_api import Error

        for _ in range(100):
            try:
                shot = self.page.locator(".layout-grid-container").first.screenshot()
            except Error as error:
                if "not attached" not in error.message:
                    raise
                continue  # another arrangement of the views has just taken its place
            pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)
            if until(pixels):
                break
            self.page.wait_for_timeout(200)
        if name:
            self.page.wait_for_timeout(1500)  # pictures are sharp once nothing moves
            self.keep(name)
        return pixels

    def keep(self, name):
        """Keep a picture of the page for people."""
        _ARTEFACTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=_ARTEFACTS / f"{name}.png")

    def download(self, what, path):
        """Save what is offered; returns the name that it gets."""
        with self.page.expect_download() as download:
            self.click(f".vs-download-{what}")
        download.value.save_as(path)
        return download.value.suggested_filename
