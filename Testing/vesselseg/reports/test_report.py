from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from vesselseg.cli.main import main
from vesselseg.errors import VesselSegError
from vesselseg.figures.parts import FigureStyle
from vesselseg.geometry import Geometry
from vesselseg.image_io import write_volume
from vesselseg.metrics import evaluate
from vesselseg.reports.report import Picture, Report, Section, Table, build_report, read_run
from vesselseg.reports.report_html import report_html
from vesselseg.reports.report_pdf import write_report_pdf
from vesselseg.review.error_kinds import wording_of_two
from vesselseg.volume import Volume

STYLE = FigureStyle(background="white", dpi=60)
RUN = {"model": "tiny", "model_sha256": "ab" * 32, "threshold": 0.4, "notes": ["<script>alert(1)</script>"]}


@pytest.fixture
def case(make_scan: Callable[..., Volume]) -> tuple[Volume, Volume, Volume]:
    scan = make_scan()
    truth = scan.with_array((scan.array > 180).astype(np.uint8))
    return scan, truth.with_array(np.roll(truth.array, 1, axis=2)), truth


class Reader(HTMLParser):
    """Gathers tags, attributes and text; an unclosed or unknown tag would show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())


def test_html_says_what_was_measured_and_loads_nothing(case: tuple[Volume, Volume, Volume]) -> None:
    scan, found, truth = case
    mask = truth.with_array((np.indices(truth.array.shape)[2] > 10).astype(np.uint8))
    probability = scan.with_array(np.clip(scan.array / 250, 0, 1).astype(np.float32))
    report = build_report(
        found, truth, scan=scan, mask=mask, probability=probability, run=RUN, case="A & <b>B</b>", style=STYLE
    )
    page = Reader(report_html(report))
    assert "script" not in page.tags
    assert page.tags.count("img") == 3
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"(https?:)?//\w", re.sub(r"base64,[^\"]*", "", report_html(report)))
    assert "Vessel segmentation: A & <b>B</b>" in page.text
    assert {"tiny", "ab" * 32, "0.4", "<script>alert(1)</script>"} <= set(page.text)
    values = evaluate(found, truth)
    assert f"{values['dice']:.3f}" in page.text
    assert f"{evaluate(found, truth, mask=mask)['cldice']:.3f}" in page.text
    # The best Dice of that figure is not the one of the whole volume.
    assert any(text.endswith("its calibration, inside the mask.") for text in page.text)
    assert f"{values['true_positives']:,}" in page.text
    assert {"48 × 44 × 24", "0.6 × 0.6 × 0.6 mm", "R to L, A to P, I to S"} <= set(page.text)
    assert page.tags.count("h2") == 6


def test_two_results_are_called_by_their_names(case: tuple[Volume, Volume, Volume]) -> None:
    scan, found, truth = case
    report = build_report(
        found, truth, probability=scan.with_array(scan.array * 0),
        style=FigureStyle(wording=wording_of_two("Ann", "Bob"), background="white", dpi=60), figures=("projections",),
    )  # fmt: skip
    text = " ".join(Reader(report_html(report)).text)
    assert "only Ann" in text
    assert "agreement" in text
    assert "Differences" in text
    assert "differences are drawn over agreement" in text
    assert "Segmentation" not in text  # nothing ran
    assert "report by" in text
    for word in ("reference", "positive", "precision", "sensitivity", "Thresholds", "error"):
        assert word not in text


def test_captions_say_what_pictures_show(case: tuple[Volume, Volume, Volume]) -> None:
    scan, found, truth = case
    for behind in (None, scan):
        report = build_report(found, truth, scan=behind, style=STYLE)
        captions = " ".join(block.caption for each in report.sections for block in each.blocks if hasattr(block, "png"))
        assert "errors are drawn over true positives" in captions
        assert "most of the smallest vessels" in captions
        assert ("maximum intensity projection" in captions) == (behind is not None)


def test_places_have_no_negative_zero() -> None:
    geometry = Geometry((9, 9, 9), (0.4, 0.4, 0.4), (0.2, 0.2, -0.2))
    truth = np.zeros((9, 9, 9), np.uint8)
    truth[0, 0, :8] = 1
    found = np.zeros_like(truth)
    found[0, 0, 0] = 1
    report = build_report(Volume(found, geometry), Volume(truth, geometry), style=STYLE, figures=("projections",))
    (table,) = report.sections[-1].blocks
    assert isinstance(table, Table)
    assert table.rows[0][5] == "-2, 0, 0"


@pytest.mark.parametrize("which", ["nothing found", "no reference", "no reference in the mask", "identical"])
def test_extreme_cases_are_reported(case: tuple[Volume, Volume, Volume], which: str, tmp_path: Path) -> None:
    scan, found, truth = case
    empty = truth.with_array(np.zeros_like(truth.array))
    outside = truth.with_array((truth.array == 0).astype(np.uint8))
    found, truth, mask = {
        "nothing found": (empty, truth, None),
        "no reference": (found, empty, None),
        "no reference in the mask": (found, truth, outside),
        "identical": (truth, truth, None),
    }[which]
    probability = scan.with_array(np.clip(scan.array / 250, 0, 1).astype(np.float32))
    report = build_report(found, truth, scan=scan, mask=mask, probability=probability, style=STYLE)
    dice = "1.000" if which == "identical" else "0.000"
    assert dice in Reader(report_html(report)).text
    write_report_pdf(report, tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def pages(path: Path) -> int:
    return len(re.findall(rb"/Type /Page\b", path.read_bytes()))


def test_pdf_breaks_pages_and_is_the_same_every_time(tmp_path: Path) -> None:
    rows = [(f"FN-{number}", "$not a formula$ " * 5, "1.0") for number in range(120)]
    picture = build_picture(wide=400, high=900)
    sections = [
        Section("Long", [Table(("id", "text", "mm"), rows, (0.3, 0.5, 0.2), "a note")]),
        Section("P", [picture]),
    ]
    report = Report("Vessel segmentation: $x$ & \\alpha", sections)
    for name in ("one.pdf", "two.pdf"):
        write_report_pdf(report, tmp_path / name)
    assert pages(tmp_path / "one.pdf") >= 4
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()


def test_a_table_has_its_header_on_every_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    shown: list[list[str]] = []
    save = PdfPages.savefig

    def saved(self: PdfPages, figure: Figure) -> None:
        shown.append([text.get_text() for text in figure.texts])
        save(self, figure)

    monkeypatch.setattr(PdfPages, "savefig", saved)
    rows = [(f"FN-{number}", "1.0") for number in range(150)]
    table = Table(("piece", "mm"), rows, (0.5, 0.5), "")
    write_report_pdf(Report("R", [Section("Long", [table])]), tmp_path / "r.pdf")
    assert len(shown) == pages(tmp_path / "r.pdf") >= 3
    assert all(page.count("piece") == 1 for page in shown)
    assert sum(text.startswith("FN-") for page in shown for text in page) == 150


def build_picture(wide: int, high: int) -> Picture:
    import io

    from matplotlib.image import imsave

    stream = io.BytesIO()
    imsave(stream, np.zeros((high, wide, 3)), format="png")
    return Picture(stream.getvalue(), "tall")


def test_what_ran_is_read_from_what_segment_printed(tmp_path: Path) -> None:
    events = [{"event": "progress", "percent": 3}, {"event": "result", **RUN}]
    (tmp_path / "log").write_text("\n".join(json.dumps(event) for event in events))
    assert read_run(tmp_path / "log")["model_sha256"] == "ab" * 32
    for encoding in ("utf-16", "utf-8-sig"):  # of Windows PowerShell
        (tmp_path / "windows").write_text(json.dumps(events[1]), encoding=encoding)
        assert read_run(tmp_path / "windows")["model_sha256"] == "ab" * 32
    (tmp_path / "alone.json").write_text(json.dumps(RUN, indent=2))
    assert read_run(tmp_path / "alone.json") == RUN
    (tmp_path / "other").write_text("{}")
    for name in ("other", "missing"):
        with pytest.raises(VesselSegError):
            read_run(tmp_path / name)


def test_command_names_neither_patient_nor_files(case: tuple[Volume, Volume, Volume], tmp_path: Path) -> None:
    folder = tmp_path / "DOE_JOHN"
    folder.mkdir()
    for name, volume in zip(("tof", "found", "truth"), case):
        write_volume(volume, folder / f"doe_john_{name}.nii.gz")
    # What the header says about the patient must not get out either.
    import nibabel

    image = nibabel.load(folder / "doe_john_tof.nii.gz")
    image.header["descrip"] = b"DOE JOHN 1950"
    nibabel.save(image, folder / "doe_john_scan.nii.gz")
    (folder / "run.json").write_text(json.dumps(RUN | {"input": "/home/DOE_JOHN.nii"}))
    outputs = [str(tmp_path / "report.html"), str(tmp_path / "report.pdf")]
    arguments = [
        "report", str(folder / "doe_john_found.nii.gz"), str(folder / "doe_john_truth.nii.gz"), "--output", *outputs,
        "--scan", str(folder / "doe_john_scan.nii.gz"), "--run", str(folder / "run.json"), "--no-3d",
        "--progress", "none",
    ]  # fmt: skip
    assert main(arguments) == 0
    for output in outputs:
        assert b"doe" not in Path(output).read_bytes().lower().split(b"base64")[0]
    assert "doe" not in " ".join(Reader(Path(outputs[0]).read_text(encoding="utf-8")).text).lower()
    assert main(arguments) == 1  # they exist now
    assert main([*arguments, "--overwrite", "--case", "Case 7"]) == 0
    assert "Vessel segmentation: Case 7" in Reader(Path(outputs[0]).read_text(encoding="utf-8")).text
