from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from vesselseg.errors import VesselSegError
from vesselseg.image_io import read_volume, write_volume
from vesselseg.output_files import atomic_output, check_output, check_outputs
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
