"""The whole work in a real Chromium, as a visitor does it who knows nothing but the address."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

import views
from chromium import Visit
from served_page import serving, until
from vesselseg.image_io import read_label, write_volume
from vesselseg.phantom import make_phantom
from vesselseg.review.error_kinds import STANDARD_PALETTE
from VesselSegmentationLib.scene.segmentation_nodes import ARTERY_COLOR

pytestmark = pytest.mark.slow

#: Whether a row of the list of errors is the chosen one, and in sight.
CHOSEN_IN_SIGHT = """number => {
  const list = document.querySelector(".vs-scroll"), row = list.querySelectorAll("tbody tr")[number];
  const [outer, inner] = [list, row].map((each) => each.getBoundingClientRect());
  return row.style.background && inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
}"""


def kinds_shown(pixels):
    """Return the shares of the picture in the three colours of an error map."""
    return [views.share_of(pixels, colour) for colour in STANDARD_PALETTE.colours]


def vessels_shown(pixels):
    """Return the share of a picture in the colour of arteries."""
    return views.share_of(pixels, ARTERY_COLOR)


def legend_of(visit):
    """Return how much the legend says there is of each kind, to the last voxel."""
    return visit.page.eval_on_selector_all(".vs-legend", "lines => lines.map((line) => line.title)")


def wait_for_legend(visit, condition, legend):
    """Wait until the legend, as JavaScript's `now`, and a former one fulfil a condition."""
    visit.see(".vs-legend")
    now = "JSON.stringify([...document.querySelectorAll('.vs-legend')].map((line) => line.title))"
    visit.page.wait_for_function(
        f"legend => {{ const [now, former] = [{now}, JSON.stringify(legend)]; return {condition}; }}", arg=legend
    )


def drawer_fits(visit):
    """Tell whether everything of the drawer is in sight."""
    content = "document.querySelector('.v-navigation-drawer__content')"
    return visit.page.evaluate(f"{content}.scrollHeight <= {content}.clientHeight")


def coronal(pixels):
    """Return the part of a picture of four views that shows the coronal one."""
    rows, columns = pixels.shape[:2]
    return pixels[rows // 2 :, : columns // 2]


def test_whole_work(chromium, tmp_path):
    with serving(tmp_path) as served:
        visit = Visit(chromium, served.address)
        visit.see(".vs-phantom")
        visit.page.dblclick(".vs-phantom")
        visit.see(".vs-scan-name")
        visit.picture("1-scan", until=lambda pixels: np.mean(pixels > 60) > 0.2)

        visit.double_click(".vs-segment-button")
        visit.see(".vs-cancel-button")
        visit.see(".vs-run:has-text('cores')")
        assert drawer_fits(visit)
        # Left below is the coronal view: vessels are seen in slices, too, without moving them.
        pixels = visit.picture("2-vessels", until=lambda pixels: vessels_shown(coronal(pixels)) > 0.0005)
        assert vessels_shown(coronal(pixels)) > 0.0005
        assert vessels_shown(pixels) > 0.002

        visit.open_section("review")
        visit.click(".vs-compare-button")
        visit.see(".vs-errors tbody tr")
        drawer = visit.page.query_selector(".vs-drawer")
        visit.choose_layout("3D")
        visit.see(".vs-metric:has-text('clDice'):has-text('0.')")
        pixels = visit.picture("3-error-map", until=lambda pixels: min(kinds_shown(pixels)) > 0.0005)
        assert min(kinds_shown(pixels)) > 0.0005
        # It is the one that was there, with what was typed in it, and no click on it gets lost.
        assert drawer.evaluate("element => element.isConnected")

        visit.choose_layout("Four views")
        former = visit.picture()
        visit.click(".vs-errors tbody tr >> nth=0")
        visit.see(".vs-details")
        assert drawer_fits(visit)
        pixels = visit.picture("4-error", until=lambda pixels: views.share_of(pixels, (1.0, 0.95, 0.1)) > 0.0005)
        assert views.share_of(pixels, (1.0, 0.95, 0.1)) > 0.0005
        assert np.mean(pixels != former) > 0.05

        # With keys alone, too.
        visit.page.focus(".vs-errors tbody tr >> nth=1")
        visit.page.keyboard.press("Space")
        visit.see(".vs-errors tbody tr >> nth=1 >> xpath=self::*[@aria-current='true']")
        visit.page.keyboard.press("p")
        visit.see(".vs-errors tbody tr >> nth=0 >> xpath=self::*[@aria-current='true']")

        # Farther down the list than it is high.
        for _ in range(6):
            visit.page.keyboard.press("n")
        visit.page.wait_for_function(CHOSEN_IN_SIGHT, arg=6)

        legend = legend_of(visit)
        assert len(legend) == 3
        visit.open_section("correct")
        visit.see(".vs-accepted")
        assert drawer_fits(visit)
        visit.double_click(".vs-accepted")
        visit.see(".vs-step")
        visit.picture("5-corrected")
        visit.open_section("review")
        wait_for_legend(visit, "now !== former", legend)
        visit.open_section("correct")
        visit.click(".vs-undo")
        visit.page.wait_for_selector(".vs-step", state="detached")
        visit.open_section("review")
        wait_for_legend(visit, "now === former", legend)

        visit.open_section("save")
        assert drawer_fits(visit)
        assert visit.download("label", tmp_path / "label.nii.gz") == "TOF phantom label.nii.gz"
        _scan, truth = make_phantom(0)
        label = read_label(tmp_path / "label.nii.gz")
        assert label.geometry.same_grid(truth.geometry)
        common = np.count_nonzero(label.array & truth.array)
        assert 2 * common / (label.array.sum() + truth.array.sum()) > 0.6
        visit.click("button[title='Dark or light']")
        visit.picture("6-light")

        host = served.address.rstrip("/")
        strangers = [
            url for url in visit.requests if not url.startswith((host, host.replace("http", "ws"), "data:", "blob:"))
        ]
        assert strangers == visit.refused == []
        assert visit.mistakes == []
        assert "Traceback" not in served.text


def test_files_of_the_visitor_and_nobody_elses(chromium, tmp_path):
    scan, truth = make_phantom(1)
    write_volume(scan, tmp_path / "patient-7.nii.gz")
    write_volume(truth, tmp_path / "truth.nrrd")
    (tmp_path / "letter.nii.gz").write_text("no image")
    with serving(tmp_path) as served:
        first = Visit(chromium, served.address)
        first.see(".vs-phantom")
        first.page.set_input_files(".vs-upload-scan", tmp_path / "letter.nii.gz")
        assert "no image" in first.see(".vs-error").inner_text()
        first.page.set_input_files(".vs-upload-scan", tmp_path / "patient-7.nii.gz")
        first.see(".vs-scan-name:text-is('patient-7')")
        first.page.wait_for_selector(".vs-error", state="detached")
        first.open_section("review")
        first.page.set_input_files(".vs-upload-reference", tmp_path / "truth.nrrd")
        first.see(".v-select:has-text('truth')")

        second = Visit(chromium, served.address)
        second.see(".vs-phantom")
        assert "patient-7" not in second.page.inner_text("body")
        assert second.page.query_selector(".vs-cancel-button") is None
        first.open_section("segment")
        first.click(".vs-segment-button")
        first.see(".vs-cancel-button")
        assert served.descendants(" segment ")
        first.click(".vs-leave")
        assert "deleted" in first.see("body").inner_text()
        assert served.descendants(" segment ") == []
        second.click(".vs-phantom")
        second.see(".vs-scan-name")
        until(lambda: not served.files())
