"""Files that come and go in a real Chromium, visitors who leave, and files that mean harm."""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from chromium import Visit
from inputs import make_bad_files, write_dicom
from served_page import serving, until
from vesselseg.image_io import read_label, read_volume, write_volume
from vesselseg.phantom import make_phantom

pytestmark = pytest.mark.slow


def archive_of(folder, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in sorted(folder.iterdir()):
            archive.write(each, f"../../{each.name}")
    return path


def segment(visit):
    visit.click(".vs-segment-button")
    visit.see(".vs-run:has-text('cores')")


def test_dicom_segmented_saved_and_gone_on_with_elsewhere(chromium, tmp_path):
    scan, truth = make_phantom(2)
    write_dicom(scan, tmp_path / "dicom", SeriesDescription="TOF_3D")
    write_volume(truth, tmp_path / "truth.nrrd")
    with serving(tmp_path) as served:
        first = Visit(chromium, served.address)
        first.see(".vs-phantom")
        first.page.set_input_files(".vs-upload-scan-folder", tmp_path / "dicom")
        first.see(".vs-scan-name:text-is('TOF_3D')")
        first.keep("7-dicom")
        segment(first)
        first.open_section("review")
        first.send("reference", tmp_path / "truth.nrrd")
        first.see(".v-select:has-text('truth')")
        first.click(".vs-compare-button")
        first.see(".vs-errors tbody tr")
        first.open_section("save")
        assert first.download("session", tmp_path / "session.mrb") == "TOF_3D session.mrb"
        first.download("label", tmp_path / "label.nii.gz")
        first.download("probability", tmp_path / "probability.nii.gz")
        first.click(".v-select:has-text('Overview')")
        first.click(".v-overlay .v-list-item-title:text-is('Projections')")
        assert first.download("figure", tmp_path / "figure.png") == "TOF_3D figure.png"
        first.keep("8-save")
        first.click(".vs-leave")
        assert "deleted" in first.see("body").inner_text()

        second = Visit(chromium, served.address)
        second.see(".vs-phantom")
        assert "TOF_3D" not in second.page.inner_text("body")
        second.send("scan", tmp_path / "session.mrb")
        second.see(".vs-scan-name:text-is('TOF_3D')")
        second.see(".vs-errors tbody tr")
        second.keep("9-session")
        second.open_section("save")
        for what, read in (("label", read_label), ("probability", read_volume)):
            second.download(what, tmp_path / "again.nii.gz")
            before, after = read(tmp_path / f"{what}.nii.gz"), read(tmp_path / "again.nii.gz")
            np.testing.assert_array_equal(before.array, after.array)
            assert before.geometry.same_grid(after.geometry)
        until(lambda: not served.files())  # metrics may still be computed
        assert first.mistakes == second.mistakes == []
        assert "Traceback" not in served.text


def test_what_cannot_be_used_is_one_clear_line(chromium, tmp_path):
    bad = make_bad_files(tmp_path)
    write_dicom(make_phantom(1)[0], tmp_path / "dicom", SeriesDescription="TOF in a zip")
    contents = {
        "4D": (bad["4D"].read_bytes(), "series of 3 volumes"),
        "truncated": (bad["truncated"].read_bytes(), "breaks off"),
        "bomb.zip": (_bomb(), "unpacks to more than is taken"),
        "nested.zip": (_zipped("a.zip", _zipped("b.nii", b"")), "holds another archive"),
        "scene.mrb": (
            _zipped("s.mrml", b'<MRML><VolumeArchetypeStorage fileName="/etc/hostname"/></MRML>'),
            "is not in it",
        ),
        "empty.nii": (b"", "empty"),
        "fat.nii.gz": (gzip.compress(bytes(1 << 20)), "no image"),
    }
    with serving(tmp_path) as served:
        visit = Visit(chromium, served.address)
        visit.see(".vs-phantom")
        visit.send("scan", archive_of(tmp_path / "dicom", tmp_path / "dicom.zip"))
        visit.see(".vs-scan-name:text-is('TOF in a zip')")
        visit.open_section("scan")
        for name, (content, expected) in contents.items():
            # Until the upload has been answered, which is a moment after its error is shown, no other file is taken.
            with visit.page.expect_response(lambda answer: "/upload/" in answer.url):
                visit.send("scan", {"name": f"../../{name}", "mimeType": "application/octet-stream", "buffer": content})
            line = visit.error()
            assert expected in line, name
            assert "Something went wrong" not in line
            assert "/tmp" not in line
            visit.close_error()
            assert visit.page.inner_text(".vs-scan-name") == "TOF in a zip"
        visit.send("scan", {"name": "../../x", "mimeType": "a/b", "buffer": bad["4D"].read_bytes()})
        assert "'x' is a series" in visit.error()
        line, text = (visit.page.locator(each).bounding_box() for each in (".vs-error", ".vs-error .v-alert__content"))
        assert line["y"] <= text["y"]
        assert text["y"] + text["height"] <= line["y"] + line["height"]
        visit.page.wait_for_timeout(1000)  # the views have become smaller
        visit.keep("10-refused")
        until(lambda: not served.files())
        assert "Traceback" not in served.text


def test_closed_tab_leaves_nothing_and_another_goes_on(chromium, tmp_path):
    with serving(tmp_path, "--visitors", "2") as served:
        leaving, staying = Visit(chromium, served.address), Visit(chromium, served.address)
        for visit in (leaving, staying):
            visit.click(".vs-phantom")
            visit.see(".vs-scan-name")
        third = Visit(chromium, served.address)
        assert "All places are taken" in third.page.inner_text("body")
        leaving.click(".vs-segment-button")
        leaving.see(".vs-cancel-button")
        until(lambda: served.descendants(" segment "))
        processes = set(served.descendants(" web "))
        leaving.page.close()
        until(lambda: not served.descendants(" segment "))
        until(lambda: len(processes & set(served.descendants(" web "))) == 1)
        # The page that is left goes on, also after it was loaded anew.
        staying.page.reload()
        assert staying.see(".vs-scan-name").inner_text() == "TOF phantom"
        third.page.goto(served.address)
        third.see(".vs-phantom")
        assert third.page.query_selector(".vs-scan-name") is None
        until(lambda: not served.files())


def _zipped(name, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def _bomb():
    """Half a gigabyte of nothing."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(8):
            archive.writestr(str(index), bytes(64 << 20))
    return file.getvalue()
