from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_volume, write_image, write_volume
from vesselseg.output_files import (
    atomic_output,
    atomic_outputs,
    check_output,
    check_output_folder,
    check_outputs,
    portable_name,
    remove_leftovers,
    write_texts,
)
from vesselseg.volume import Volume


def test_existing_output_is_kept_unless_asked(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    path = tmp_path / "out.nii.gz"
    path.write_text("precious")
    with pytest.raises(VesselSegError, match="exists already"):
        write_volume(make_scan(), path)
    assert path.read_text() == "precious"
    write_volume(make_scan(), path, overwrite=True)
    assert read_volume(path).geometry.size == (48, 44, 24)


@pytest.mark.parametrize("has_links", [True, False])
def test_output_that_appears_meanwhile_is_kept_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if not has_links:
        monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "out.nii.gz"

    def write(overwrite: bool) -> None:
        with atomic_output(path, overwrite=overwrite) as temporary:
            temporary.write_text("ours")
            path.write_text("precious")

    with pytest.raises(VesselSegError, match="exists already"):
        write(overwrite=False)
    assert path.read_text() == "precious"
    write(overwrite=True)
    assert path.read_text() == "ours"
    with atomic_output(tmp_path / "other") as temporary:
        temporary.write_text("ours")
    assert (tmp_path / "other").read_text() == "ours"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "out.nii.gz"]


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool, durable: bool
) -> None:
    done: list[tuple[str, int]] = []
    name = "replace" if overwrite else "link"
    put = getattr(os, name)

    def note_put(source: Path, target: Path) -> None:
        done.append(("put", os.stat(source).st_ino))
        put(source, target)

    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append(("flush", os.fstat(descriptor).st_ino)))
    monkeypatch.setattr(os, name, note_put)
    path = tmp_path / "out.json"
    with atomic_output(path, overwrite=overwrite, durable=durable) as temporary:
        temporary.write_text("{}")
    file, folder = path.stat().st_ino, tmp_path.stat().st_ino
    if not durable:
        assert done == [("put", file)]
    elif sys.platform == "win32":  # where folders cannot be flushed
        assert done == [("flush", file), ("put", file)]
    else:
        assert done == [("flush", file), ("put", file), ("flush", folder)]


def test_a_folder_that_cannot_be_flushed_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flush(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", flush)
    write_texts({tmp_path / "out.json": "{}"})
    assert (tmp_path / "out.json").read_text() == "{}"


def test_outputs_are_left_together_and_the_last_takes_its_place_first(tmp_path: Path) -> None:
    first, last = tmp_path / "first.CSV", tmp_path / "last"

    def write_both(*, fail: bool) -> None:
        with atomic_outputs([first, None, last]) as (csv, none, other):
            assert none is None
            assert csv.suffix == ".csv"
            csv.write_text("1")
            other.write_text("2")
            if fail:
                raise KeyboardInterrupt
            first.write_text("precious")

    with pytest.raises(KeyboardInterrupt):
        write_both(fail=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(VesselSegError, match=r"first\.CSV exists already"):
        write_both(fail=False)
    assert (first.read_text(), last.read_text()) == ("precious", "2")


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("full", ["first", "last"])
def test_a_disk_that_is_full_when_one_of_several_is_flushed_leaves_all_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str, overwrite: bool
) -> None:
    def flush(descriptor: int) -> None:
        if os.pread(descriptor, 100, 0) == full.encode():
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", flush)
    paths = [tmp_path / "first", tmp_path / "last"]
    if overwrite:
        for path in paths:
            path.write_text("precious")
    with pytest.raises(VesselSegError, match=f"{full} cannot be written: No space left"):
        write_texts({path: path.name for path in paths}, overwrite=overwrite)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == (
        {"first": "precious", "last": "precious"} if overwrite else {}
    )


def test_texts_that_are_not_asked_for_are_not_written(tmp_path: Path) -> None:
    write_texts({str(tmp_path / "a.csv"): "ä\n", None: "nothing"})
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["ä\n"]
    with pytest.raises(VesselSegError, match="exists already"):
        write_texts({tmp_path / "a.csv": "b"})
    write_texts({tmp_path / "a.csv": "b"}, overwrite=True)
    assert (tmp_path / "a.csv").read_text() == "b"


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".vesselseg-00ff").mkdir()
    (tmp_path / ".vesselseg-00ff" / "output.json").touch()
    (tmp_path / ".vesselseg-11ff").touch()
    (tmp_path / "run.json").touch()
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_failing_block_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with atomic_output(tmp_path / "out.nii.gz") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(VesselSegError, match="a device or a pipe"):
        check_outputs([tmp_path / "pipe.json"], overwrite=True)
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe.json").st_mode)


def test_outputs_must_be_others_than_the_inputs_and_each_other(tmp_path: Path) -> None:
    (tmp_path / "in.nii").touch()
    (tmp_path / "link.nii").symlink_to(tmp_path / "in.nii")
    check_outputs([tmp_path / "a.nii", None, tmp_path / "b.nii"], inputs=[tmp_path / "in.nii", None])
    with pytest.raises(VesselSegError, match="same file"):
        check_outputs([tmp_path / "a.nii", tmp_path / "." / "a.nii"])
    with pytest.raises(VesselSegError, match="is an input"):
        check_outputs([tmp_path / "link.nii"], inputs=[tmp_path / "in.nii"], overwrite=True)


def test_other_spellings_of_a_name_are_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scan.nii").touch()
    os.link(tmp_path / "scan.nii", tmp_path / "SCAN.nii")  # as the disk of a Mac shows one file under both names
    with pytest.raises(VesselSegError, match="is an input"):
        check_outputs([tmp_path / "SCAN.nii"], inputs=[tmp_path / "scan.nii"], overwrite=True)
    new = [tmp_path / "Größe.nii", tmp_path / "GRO\u0308SSE.NII"]
    check_outputs(new)  # two files on other disks
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(VesselSegError, match="same file"):
        check_outputs(new)
    check_outputs([new[0], tmp_path / "other.nii"], inputs=[tmp_path / "scan.nii"])


def test_a_link_that_leads_nowhere_is_not_replaced_unasked(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    (tmp_path / "out.nii").symlink_to(tmp_path / "unplugged")
    with pytest.raises(VesselSegError, match="exists already"):
        write_volume(make_scan(), tmp_path / "out.nii")


def test_check_output_names_a_missing_folder_and_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(VesselSegError, match="there is no folder"):
        check_output(tmp_path / "nowhere" / "out.nii.gz")
    with pytest.raises(VesselSegError, match="is a folder"):
        check_output(tmp_path)
    with pytest.raises(VesselSegError, match="cannot be written"):
        check_output(Path("/proc/out.nii.gz"))


@pytest.mark.parametrize("refused", ["open", "mkdir"])
def test_without_permission_it_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    tries = []

    def refuse(path: str, *_: object, **__: object) -> None:
        tries.append(path)
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, refused, refuse)
    # On Windows tempfile takes this for a name that is in use, and tries others.
    monkeypatch.setattr(tempfile, "_os", SimpleNamespace(**{**vars(os), "name": "nt"}))
    monkeypatch.setattr(tempfile, "TMP_MAX", 20)
    with pytest.raises(VesselSegError, match="cannot be written: Permission denied"), atomic_output(tmp_path / "out"):
        pass
    if refused == "open":
        with pytest.raises(VesselSegError, match="cannot be made: Permission denied"):
            check_output_folder(tmp_path / "new")
    assert len(tries) == (2 if refused == "open" else 1)
    assert list(tmp_path.iterdir()) == []


def test_suggested_names_are_names_on_every_system() -> None:
    assert portable_name("5: TOF_3D Müller (2)") == "5- TOF_3D Müller (2)"
    assert portable_name('a\\b/c:d*e?f"g<h>i|j\nk\x7fl') == "a-b-c-d-e-f-g-h-i-j-k-l"


#: Writes a volume of a type into a file that may hold 100 kB only, and says what comes of it.
_FULL_DISK = """
import resource, sys
import numpy as np
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import write_volume
from vesselseg.volume import Volume
path, dtype = sys.argv[1:]
voxels = (np.random.default_rng(0).random((40, 100, 100)) * 250).astype(dtype)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for compress in (True, False):
    try:
        write_volume(Volume(voxels, Geometry((100, 100, 40))), path, overwrite=True, compress=compress)
        print("written")
    except VesselSegError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of the size of files")
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_full_disk_is_said_and_keeps_what_was_there(suffix: str, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(b"precious")
    done = subprocess.run([sys.executable, "-c", _FULL_DISK, str(path), dtype], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.startswith(f"{path} cannot be written: ") for line in done.stdout.splitlines()] == [True, True]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"precious"


def test_of_outputs_that_are_written_together_the_one_that_fails_is_named(
    make_scan: Callable[..., Volume], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(sitk, "WriteImage", full)
    names = [tmp_path / "first.nii.gz", tmp_path / "second.nii.gz"]
    for number, name in enumerate(names):
        with contextlib.ExitStack() as stack:
            stack.enter_context(pytest.raises(VesselSegError, match=f"{name} cannot be written"))
            paths = [stack.enter_context(atomic_output(each)) for each in names]
            write_image(make_scan(), paths[number])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_same_image_is_the_same_file(dtype: type, tmp_path: Path) -> None:
    voxels = np.zeros((20, 30, 40), dtype)
    voxels[5:9, 10:20, 10:30] = 1
    files = []
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(Volume(voxels, Geometry((40, 30, 20))), tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
    assert files[0][3:8] == bytes(5)  # neither a name nor a time
