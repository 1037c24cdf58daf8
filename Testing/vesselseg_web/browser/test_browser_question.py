"""Corrections that would be lost, in a real Chromium: the page asks, and so does the browser before it closes a tab."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from chromium import Visit, launched
from served_page import serving
from vesselseg.image_io import read_label, write_volume
from vesselseg.phantom import make_phantom

pytestmark = pytest.mark.slow


def corrector(chromium, served):
    """Return a visitor with vessels to correct, and a list of the dialogs of the browser, each declined."""
    visit, closing = Visit(chromium, served.address), []
    visit.page.on("dialog", lambda dialog: (closing.append(dialog.type), dialog.dismiss()))
    visit.segment_phantom()
    return visit, closing


def test_corrections_are_not_lost_unasked(tmp_path):
    scan, _truth = make_phantom(1)
    write_volume(scan, tmp_path / "patient-8.nii.gz")
    with launched() as chromium, serving(tmp_path) as served:
        visit, closing = corrector(chromium, served)
        visit.open_section("review")
        visit.click(".vs-compare-button")
        visit.see(".vs-errors tbody tr")

        def correct():
            visit.page.keyboard.press("n")
            visit.page.wait_for_function("window.trame.state.get('ErrorListState__chosen')", polling=100)
            steps = visit.page.locator(".vs-step").count()
            for _ in range(4):
                visit.page.keyboard.down("a")  # held: it must not go on with the next errors
            visit.page.keyboard.up("a")
            visit.page.wait_for_function(
                "number => document.querySelectorAll('.vs-step').length > number", arg=steps, polling=100
            )
            visit.page.wait_for_function("window.trame.state.get('CorrectState__unsaved')", polling=100)
            visit.page.evaluate("window.trame.trigger('vesselseg_shortcut', ['nothing'])")  # after all that was pressed
            assert visit.page.locator(".vs-step").count() == steps + 1

        def label():
            visit.page.wait_for_selector(".vs-question", state="hidden")
            visit.download("label", tmp_path / "label.nii.gz")
            return read_label(tmp_path / "label.nii.gz").array

        visit.open_section("correct")
        correct()
        answer = visit.page.request.get(f"{served.address}download/label?format=.stl")  # no way to go on from
        assert answer.ok

        # Another scan, by a click and by a file that is sent; and the end.
        visit.open_section("scan")
        for number, (lose, words) in enumerate(
            (
                (lambda: visit.click(".vs-phantom"), "'TOF phantom' takes the place of everything"),
                (
                    lambda: visit.send("scan", tmp_path / "patient-8.nii.gz"),
                    "'patient-8' takes the place of everything",
                ),
                (lambda: visit.click(".vs-leave"), "Ending deletes them"),
            )
        ):
            lose()
            question = visit.see(".vs-question:visible")
            assert words in question.inner_text()
            assert "download the session first" in question.inner_text()
            visit.page.wait_for_timeout(500)
            visit.keep(f"question-{number}")
            if number == 1:
                visit.page.keyboard.press("Escape")
            else:
                visit.click(".vs-keep")
            visit.page.wait_for_selector(".vs-question", state="hidden")
        assert visit.page.inner_text(".vs-scan-name") == "TOF phantom"
        assert "is not loaded" in visit.page.inner_text(".vs-status")

        # The tab; browsers ask only whoever has done something on the page.
        visit.page.close(run_before_unload=True)
        visit.page.wait_for_timeout(1000)
        assert closing == ["beforeunload"]
        assert not visit.page.is_closed()
        assert visit.page.query_selector(".vs-lost") is None

        # What is saved is lost by nothing.
        visit.open_section("save")
        corrected = label()
        visit.download("session", tmp_path / "session.mrb")
        visit.page.wait_for_function("!window.trame.state.get('CorrectState__unsaved')", polling=100)
        visit.open_section("scan")
        visit.send("scan", tmp_path / "session.mrb")
        visit.see(".vs-status:has-text('is restored')")
        visit.open_section("save")
        np.testing.assert_array_equal(label(), corrected)

        # Whoever agrees loses what there is.
        visit.open_section("review")
        visit.see(".vs-errors tbody tr")
        visit.open_section("correct")
        correct()
        visit.open_section("scan")
        visit.send("scan", tmp_path / "patient-8.nii.gz")
        visit.see(".vs-question:visible")
        visit.click(".vs-go-on")
        visit.see(".vs-scan-name:text-is('patient-8')")
        visit.page.wait_for_selector(".vs-question", state="hidden")
        assert visit.page.query_selector(".vs-step") is None
        visit.click(".vs-leave")
        assert "deleted" in visit.see("body").inner_text()
        assert visit.mistakes == []
        assert closing == ["beforeunload"]
        assert "Traceback" not in served.text


def test_end_goes_on_if_the_visitor_agrees(tmp_path):
    with launched() as chromium, serving(tmp_path) as served:
        visit, closing = corrector(chromium, served)
        visit.open_section("correct")
        visit.click(".vs-tool-smallPieces")
        slider = visit.page.locator(".vs-correct .v-slider").first.bounding_box()
        visit.page.mouse.click(slider["x"] + slider["width"] - 12, slider["y"] + slider["height"] / 2)
        visit.see(".vs-hint:has-text('Apply or Cancel')")
        visit.page.keyboard.press("Enter")
        visit.see(".vs-step")
        visit.page.wait_for_function("window.trame.state.get('CorrectState__unsaved')", polling=100)
        visit.click(".vs-leave")
        visit.see(".vs-question:visible")
        visit.click(".vs-go-on")
        assert "deleted" in visit.see("body:has-text('deleted')").inner_text()
        assert closing == []
        assert visit.mistakes == []
