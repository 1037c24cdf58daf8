"""Archives that mean harm, and such that only look so."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from vesselseg.errors import VesselSegError
from vesselseg_web.uploads import archives
from vesselseg_web.uploads.archives import unpack


def archive(folder, contents, method=zipfile.ZIP_DEFLATED):
    path = folder / "sent"
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in contents:
            file.writestr(name, content)
    return path


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def test_no_name_is_a_path(tmp_path, target):
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    names = ["../../x", "/etc/x", "C:\\x", "a/../../x", "x\x00y", "x" * 300, "con", "ordnung/ä.nii"]
    contents = [(name, f"content {index}".encode()) for index, name in enumerate(names)]
    files = unpack(archive(tmp_path, [*contents, (link, b"/etc/passwd")]), target)
    assert sorted(files.values()) == sorted(target.iterdir())
    assert [path.name for path in sorted(files.values())] == [f"{index:05d}" for index in range(len(names) + 1)]
    assert not any(path.is_symlink() for path in files.values())
    assert files["../../x"].read_bytes() == b"content 0"
    assert files["link"].read_bytes() == b"/etc/passwd"  # a file like any other
    assert {path.name for path in tmp_path.iterdir()} == {"sent", "target"}


def test_bomb(tmp_path, target, monkeypatch):
    monkeypatch.setattr(archives, "_UNSUSPICIOUS_BYTES", 1 << 20)
    with pytest.raises(VesselSegError, match="unpacks to more"):
        unpack(archive(tmp_path, [("zeros", bytes(4 << 20))]), target)
    assert list(target.iterdir()) == []


def test_empty_space_is_no_bomb(tmp_path, target):
    files = unpack(archive(tmp_path, [("label.nii", bytes(4 << 20))]), target)
    assert files["label.nii"].stat().st_size == 4 << 20


def test_too_much_in_all(tmp_path, target, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 1 << 20)
    with pytest.raises(VesselSegError, match="unpacks to more"):
        unpack(archive(tmp_path, [(f"{index}", bytes(1 << 19)) for index in range(3)]), target)


def test_size_that_is_not_what_is_announced(tmp_path, target, monkeypatch):
    path = archive(tmp_path, [("zeros", bytes(4 << 20))])
    content = path.read_bytes()
    # Both headers announce ten bytes.
    path.write_bytes(content.replace(struct.pack("<I", 4 << 20), struct.pack("<I", 10)))
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 1 << 20)
    with pytest.raises(VesselSegError):
        unpack(path, target)
    assert sum(each.stat().st_size for each in target.iterdir()) <= 1 << 20


def test_overlapping_files(tmp_path, target):
    path = archive(tmp_path, [("a", b"x" * 5000), ("b", b"y" * 5000)], zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    content[second + 20 : second + 28] = struct.pack("<II", 9000, 9000)
    path.write_bytes(content)
    with pytest.raises(VesselSegError, match="overlap"):
        unpack(path, target)


def test_too_many_files(tmp_path, target, monkeypatch):
    monkeypatch.setattr(archives, "MAX_FILES", 10)
    with pytest.raises(VesselSegError, match="more than the 10 files"):
        unpack(archive(tmp_path, [(str(index), b"") for index in range(11)]), target)
    # Of very many not even a list is made.
    monkeypatch.setattr(zipfile, "ZipFile", None)
    entries = io.BytesIO()
    entries.write(b"PK\x03\x04" + b"PK\x01\x02" * 100)
    (tmp_path / "many").write_bytes(entries.getvalue())
    with pytest.raises(VesselSegError, match="more than the 10 files"):
        unpack(tmp_path / "many", target)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_to_pack(tmp_path, target, method):
    with pytest.raises(VesselSegError, match="not known here"):
        unpack(archive(tmp_path, [("a", b"hello")], method), target)


def test_password(tmp_path, target):
    path = archive(tmp_path, [("a", b"hello")])
    content = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(VesselSegError, match="password"):
        unpack(path, target)
