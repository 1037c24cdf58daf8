"""Two files that are sent at a time, in a real Chromium with a slow connection."""

from __future__ import annotations

import pytest

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from chromium import Visit
from served_page import serving
from vesselseg.image_io import write_volume
from vesselseg.phantom import make_phantom

pytestmark = pytest.mark.slow

WAIT = "Another file is on its way. Wait until it is there."
#: Notes how far the page says that an upload is.
WATCH = """() => {
  window.percents = [];
  window.trame.state.addListener(() => percents.push(window.trame.state.get("ScanState__upload_percent")));
}"""


def limit_speed(visit, bytes_per_second):
    session = visit.page.context.new_cdp_session(visit.page)
    session.send("Network.enable")
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second}
    session.send("Network.emulateNetworkConditions", limits)
    return session


def test_one_file_is_sent_at_a_time(chromium, tmp_path):
    scan, _truth = make_phantom(1)
    for name in ("first", "second"):
        write_volume(scan, tmp_path / f"{name}.nii.gz")
    size = (tmp_path / "first.nii.gz").stat().st_size
    with serving(tmp_path) as served:
        visit = Visit(chromium, served.address)
        button = ".vs-scan button:has-text('Open a scan')"
        visit.see(f"{button}:enabled")
        visit.page.evaluate(WATCH)
        session = limit_speed(visit, size / 20)
        visit.send("scan", tmp_path / "first.nii.gz")
        for text in ("Open a scan", "DICOM folder", "synthetic scan"):
            visit.see(f".vs-scan [title='{WAIT}'] > button:has-text('{text}'):disabled")
        visit.send("scan", tmp_path / "second.nii.gz")
        assert visit.error() == WAIT
        visit.see(".vs-scan-name:text-is('first')")
        percents = [each for each in visit.page.evaluate("percents") if each >= 0]
        assert percents == sorted(percents)
        assert len(set(percents)) > 2
        session.detach()
        visit.open_section("scan")
        visit.see(f"{button}:enabled")
        visit.send("scan", tmp_path / "second.nii.gz")
        visit.see(".vs-scan-name:text-is('second')")
        assert sum("/upload/" in each for each in visit.requests) == 2
        assert visit.mistakes == []
