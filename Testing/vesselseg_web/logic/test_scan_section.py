"""Loading scans: what people send, and what it does to the scene."""

from __future__ import annotations

import asyncio
import errno
import io
import threading
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk

from inputs import write_dicom
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_series, write_volume
from vesselseg.volume import Volume
from vesselseg_web.logic import page_logic, scan_logic
from vesselseg_web.logic.compare_logic import CompareLogic
from vesselseg_web.logic.scan_logic import MASK, REFERENCE, SCAN, ScanLogic
from vesselseg_web.uploads import arrivals
from VesselSegmentationLib.scene.label_source import segment_names


@pytest.fixture
def section(page, case, question, views):
    return ScanLogic(page, case, question, views)


@pytest.fixture
def send(section, tmp_path):
    """Send files as a browser does, under names of the server's own."""

    def send(contents, name="scan", kind=SCAN):
        folder = tmp_path / "upload"
        folder.mkdir()
        for index, content in enumerate(contents):
            (folder / f"{index:05d}").write_bytes(content)
        section.page.data.error = ""
        taken = asyncio.run(section.take_upload(folder, name, kind))
        assert section.page.data.busy == ""
        assert folder.exists() == bool(section.data.series)
        assert taken == (not section.page.data.error)
        return section.page.data.error

    return send


@pytest.fixture
def study(scan, tmp_path, make_scan):
    """Write series; returns their files."""

    def study(*descriptions, volume=scan, **tags):
        files = []
        for index, description in enumerate(descriptions):
            folder = tmp_path / "study" / str(index)
            write_dicom(volume, folder, series=f"1.2.3.{index}", SeriesDescription=description, **tags)
            files += sorted(folder.iterdir())
        return [path.read_bytes() for path in files]

    return study


@pytest.fixture
def make_scan():
    def make(slices=20, size=16):
        array = np.random.default_rng(0).uniform(0, 200, (slices, size, size)).astype(np.float32)
        return Volume(array, Geometry((size, size, slices), (0.5, 0.5, 0.8)))

    return make


def test_a_full_disk_is_told_by_its_name(send, scan, tmp_path, monkeypatch):
    def unpack(path, folder):
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(arrivals, "unpack", unpack)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("scan.nii", image_bytes(scan, ".nii", tmp_path))
    expected = "The server cannot keep the file: No space left on device. Tell whoever runs the server."
    assert send([archive.getvalue()]) == expected


def image_bytes(volume, suffix, tmp_path):
    path = tmp_path / f"image{suffix}"
    write_volume(volume, path, overwrite=True)
    return path.read_bytes()


def zipped(contents, **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["image", "DICOM"])
def test_viewer_on_a_cd_is_left_alone(send, section, scan, study, tmp_path, kind):
    """Programs and documents are archives, too."""
    images = [image_bytes(scan, ".nii.gz", tmp_path)] if kind == "image" else study("TOF")
    names = {f"IMAGES/{index}": image for index, image in enumerate(images)}
    viewer = {"VIEWER/lib/viewer.jar": zipped({"a": b"b"}), "README.DOCX": zipped({}), "AUTORUN.INF": b"[autorun]"}
    assert send([zipped({**viewer, **names})], "CD.zip") == ""
    assert section.data.grid.startswith("20 × 16 × 12 voxels")


def test_archive_beside_what_is_no_image_is_told(send, tmp_path):
    contents = {"scan.zip": zipped({"b.txt": b"c"}), "readme.txt": b"hello"}
    assert send([zipped(contents)]).startswith("This archive holds another archive.")


@pytest.mark.parametrize(("kind", "what"), [(REFERENCE, "reference"), (MASK, "brain mask")])
def test_label_on_another_grid_is_told(send, page, case, find_vessels, scan, tmp_path, kind, what):
    find_vessels()
    coarse = Volume(np.ones((6, 8, 10), np.uint8), Geometry((10, 8, 6), (1.2, 1.2, 1.2), scan.geometry.origin))
    assert send([image_bytes(coarse, ".nii.gz", tmp_path)], "coarse.nii.gz", kind) == ""
    note = f"The {what} 'coarse' lies on another grid: it was resampled to that of the scan."
    assert page.data.status == f"The {what} coarse is loaded. {note}"
    if kind == REFERENCE:
        compare = CompareLogic(page, case, lambda changed: None)
        compare.start()
        assert compare.data.notes == note


def test_voxels_marked_as_unsure_are_no_vessels(send, page, case, find_vessels, label, tmp_path):
    find_vessels()
    compare = CompareLogic(page, case, lambda changed: None)
    unsure = label.array.copy()
    unsure[:, 7:9, 12] = 255
    assert send([image_bytes(label.with_array(unsure), ".nii.gz", tmp_path)], "truth.nii.gz", REFERENCE) == ""
    note = "The reference 'truth' marks 24 voxels as unsure (255): they are not counted."
    assert page.data.status == f"The reference truth is loaded. {note}"
    compare.start()
    assert [entry["text"].partition(",")[0] for entry in compare.data.legend] == ["72 voxels", "0 voxels", "0 voxels"]
    assert compare.data.notes == note
    unsure = label.array.copy()
    unsure[:, 7:9, 11] = 255  # of which the vessels found are a part
    assert send([image_bytes(label.with_array(unsure), ".nii.gz", tmp_path)], "doubt.nii.gz", REFERENCE) == ""
    display_node = case.references["doubt"].GetDisplayNode()
    assert [display_node.GetSegmentVisibility(each) for _, each in segment_names(case.references["doubt"])] == [1, 0]
    compare.start()
    assert [entry["text"].partition(",")[0] for entry in compare.data.legend] == ["48 voxels", "0 voxels", "24 voxels"]
    # A mask of 0 and 255 alone is one of vessels.
    assert send([image_bytes(label.with_array(label.array * 255), ".nii.gz", tmp_path)], "mask.nii.gz", REFERENCE) == ""
    assert page.data.status == "The reference mask is loaded."
    compare.start()
    assert compare.data.legend[2]["text"].startswith("24 voxels")
    assert compare.data.notes == ""


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_image(send, section, case, views, scan, tmp_path, suffix):
    assert send([image_bytes(scan, suffix, tmp_path)], "../../TOF head.nii.gz") == ""
    assert section.data.name == "TOF head"
    assert section.data.grid == "20 × 16 × 12 voxels of 0.60 × 0.60 × 0.60 mm"
    assert views.shown is case.scan


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_image_in_an_archive(send, section, scan, tmp_path, suffix):
    content = image_bytes(scan, suffix, tmp_path)
    names = {f"../../etc/x{suffix}": content, "__MACOSX/._x": b"litter", "read me.txt": b"hello"}
    assert send([zipped(names)], "TOF.zip") == ""
    assert section.data.name == "TOF"


@pytest.mark.parametrize("packed", [False, True])
def test_dicom_series(send, section, case, study, make_scan, packed):
    scan = make_scan()
    files = [*study("TOF 3D", volume=scan), b"DICOMDIR or a letter"]
    if packed:
        files = [zipped({f"C:\\patient\\{index}.dcm": content for index, content in enumerate(files)})]
    assert send(files, "Miller^Peter") == ""
    assert section.data.name == "TOF 3D"
    np.testing.assert_array_equal(case.segmentation.scene and _array(case), np.floor(scan.array))


def _array(case):
    from VesselSegmentationLib.scene.volume_nodes import volume_from_node

    return volume_from_node(case.scan).array


def test_angiogram_of_a_study_is_taken(send, section, study, make_scan):
    assert send(study("T2 axial", "TOF_multislab", "FLAIR", volume=make_scan())) == ""
    assert section.data.name == "TOF_multislab"
    assert section.data.series == []


def test_series_can_be_chosen(send, section, case, study, make_scan, tmp_path):
    assert send(study("tof one", "tof two", volume=make_scan())) == ""
    assert case.scan is None
    titles = [each["title"] for each in section.data.series]
    assert sorted(titles) == [f"tof {n}: MR, 20 slices of 16 x 16" for n in ("one", "two")]
    asyncio.run(section.choose_series("7"))
    assert case.scan is None
    chosen = next(each["value"] for each in section.data.series if "two" in each["title"])
    asyncio.run(section.choose_series(chosen))
    assert section.data.name == "tof two"
    assert section.data.series == []
    assert not (tmp_path / "upload").exists()


def test_choice_can_be_left(send, section, case, study, make_scan, tmp_path):
    send(study("tof one", "tof two", volume=make_scan()))
    section.forget_choice()
    assert section.data.series == []
    assert not (tmp_path / "upload").exists()


def _four_dimensional(tmp_path):
    image = sitk.JoinSeries([sitk.Image(8, 8, 8, sitk.sitkUInt8)] * 3)
    sitk.WriteImage(image, str(tmp_path / "4d.nii.gz"))
    return [(tmp_path / "4d.nii.gz").read_bytes()]


def _colours(tmp_path):
    sitk.WriteImage(sitk.Image([8, 8, 8], sitk.sitkVectorUInt8, 3), str(tmp_path / "rgb.nrrd"))
    return [(tmp_path / "rgb.nrrd").read_bytes()]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda folder: [b""], "This file is empty. Copy or export it again."),
        (
            lambda folder: [b"MZ" + bytes(500)],
            "This file is no image that can be read here. Choose DICOM, NIfTI, NRRD or MHA.",
        ),
        (_four_dimensional, "'scan' is a series of 3 volumes."),
        (_colours, "'scan' has 3 values a voxel (a colour or vector image)."),
        (lambda folder: [zipped({})], "This archive is empty."),
        (lambda folder: [zipped({"a.txt": b"hello", "b.txt": b"hello"})], "There is no image among these files."),
        (lambda folder: [zipped({"a.zip": zipped({"b.txt": b"c"})})], "This archive holds another archive."),
        (lambda folder: [zipped({"a": b"hello"})[:-30]], "This archive is damaged."),
        (lambda folder: [b"hello", zipped({"a": b"hello"})], "There is an archive among these files."),
        (lambda folder: [bytes(128) + b"DICM" + bytes(500)], "These DICOM files hold no images."),
    ],
)
def test_what_is_no_scan_changes_nothing(send, case, scan, tmp_path, make, expected):
    case.load_scan(scan, "TOF")
    assert send(make(tmp_path)).startswith(expected)
    assert case.scan.GetName() == "TOF"
    assert case.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1


def test_two_images_are_not_one(send, scan, tmp_path):
    content = image_bytes(scan, ".nrrd", tmp_path)
    assert send([zipped({"a.nrrd": content, "b.nrrd": content})]) == "These are 2 images. Send one."


def test_series_with_a_missing_slice(send, case, study, make_scan):
    files = study("TOF", volume=make_scan(), leave_out=(7,))
    assert "not evenly spaced" in send(files, "head")
    assert case.scan is None


def test_broken_image(send, case, scan, tmp_path):
    write_volume(scan, tmp_path / "scan.nrrd", compress=False)
    error = send([(tmp_path / "scan.nrrd").read_bytes()[:-5000]], "head.nrrd")
    assert "'head'" in error
    assert str(tmp_path) not in error
    assert case.scan is None


@pytest.mark.parametrize("kind", [REFERENCE, MASK])
def test_labels(send, case, scan, label, tmp_path, kind):
    content = image_bytes(label, ".mha", tmp_path)
    assert send([content], "truth.mha", kind) == "There is no scan yet. Load the scan first."
    case.load_scan(scan, "TOF")
    assert send([content], "truth.mha", kind) == ""
    assert (list(case.references) == ["truth"]) == (kind == REFERENCE)
    assert (case.mask is not None) == (kind == MASK)
    archive = zipped({"scene.mrml": b"<MRML/>"})
    assert send([archive], "session.mrb", kind).startswith("This is no label.")


def test_synthetic_scan_is_made_once_for_a_double_click(section, case):
    loaded = []
    case.scan_changed.connect(lambda: loaded.append(case.scan))

    async def double_click():
        await asyncio.gather(section.load_phantom(), section.load_phantom())

    asyncio.run(double_click())
    assert [scan for scan in loaded if scan is not None] == [case.scan]
    assert list(case.references) == ["True vessels of the TOF phantom"]
    assert section.page.data.busy == ""
    assert section.page.data.section == "segment"


def test_nobody_waits_for_ever_for_a_slow_browser(page, monkeypatch):
    class Slow:
        running = True

        @property
        def network_completion(self):
            return asyncio.get_running_loop().create_future()

    monkeypatch.setattr(page_logic, "_SHOW_SECONDS", 0.05)
    monkeypatch.setattr(type(page), "server", Slow())

    async def work():
        async with page.busy("Working"):
            pass

    asyncio.run(asyncio.wait_for(work(), 5))
    assert page.data.busy == ""


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((12, 16, 20), np.float32), "Every voxel of the scan is 0. "),
        (np.arange(320, dtype=np.float32).reshape(1, 16, 20), "The scan has only 20 x 16 x 1 voxels. "),
    ],
)
def test_what_can_never_be_segmented_takes_the_place_of_no_scan(send, case, scan, tmp_path, array, expected):
    case.load_scan(scan, "TOF")
    useless = Volume(array, Geometry(array.shape[::-1], (0.6, 0.6, 0.6)))
    assert send([image_bytes(useless, ".nii.gz", tmp_path)]).startswith(expected)
    assert case.scan.GetName() == "TOF"


def test_label_in_place_of_a_scan_is_told(send, section, page, label, tmp_path):
    assert send([image_bytes(label, ".nii.gz", tmp_path)], "truth.nii.gz") == ""
    assert section.data.name == "truth"
    assert page.data.status == (
        "truth is loaded. It looks like a segmentation: load its scan first, then open it under Review as a reference."
    )
    assert page.data.section == "scan"


@pytest.mark.parametrize(
    ("kind", "voxels", "expected"),
    [
        (REFERENCE, 0, "The reference x is loaded. The reference 'x' marks no voxel of the scan."),
        (REFERENCE, 1, "The reference x is loaded."),
        (
            MASK,
            38,
            "The brain mask x is loaded. "
            "The brain mask 'x' covers only 1.0% of the scan: no vessel is found outside it.",
        ),
        (MASK, 100, "The brain mask x is loaded."),
    ],
)
def test_labels_that_mark_less_than_can_be_meant_are_told(send, page, case, scan, tmp_path, kind, voxels, expected):
    case.load_scan(scan, "TOF")
    array = np.zeros(scan.array.shape, np.uint8)
    array.flat[:voxels] = 1
    assert send([image_bytes(scan.with_array(array), ".nii.gz", tmp_path)], "x.nii.gz", kind) == ""
    assert page.data.status == expected


def test_nothing_else_is_taken_while_a_chosen_series_is_read(send, section, study, make_scan, monkeypatch):
    send(study("tof one", "tof two", volume=make_scan()))
    go_on = threading.Event()

    def read(series, *, where):
        assert go_on.wait(60)
        return read_series(series, where=where)

    monkeypatch.setattr(scan_logic, "read_series", read)

    async def choose():
        reading = asyncio.ensure_future(section.choose_series("0"))
        while not section.page.data.busy:
            await asyncio.sleep(0.01)
        assert section.data.why_not == "Another file is on its way. Wait until it is there."
        with pytest.raises(VesselSegError, match="on its way"), section.alone():
            pass
        go_on.set()
        await reading
        assert section.data.why_not == section.page.data.error == ""

    asyncio.run(choose())
    assert section.data.name.startswith("tof")
