"""The CMake files: what Slicer installs is what lies on the disk, and they configure."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "VesselSegmentation"
# Made by running and installing, or not for 3D Slicer.
NOT_INSTALLED = ("__pycache__", "vesselseg.egg-info", "vesselseg_web", "CMakeLists.txt")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The build folder of the configured extension, and what CMake said."""
    for program in ("cmake", "c++"):  # CMake looks for a compiler, though there is nothing to compile
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on the path")
    folder = tmp_path_factory.mktemp("build")
    arguments = ["-S", ROOT, "-B", folder, f"-DSlicer_DIR={Path(__file__).parent}", "-DBUILD_TESTING=ON"]
    done = subprocess.run(["cmake", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return folder, done.stdout


def listed_files() -> list[str]:
    text = (MODULE / "CMakeLists.txt").read_text().replace("${MODULE_NAME}", "VesselSegmentation")
    blocks = re.findall(r"set\(MODULE_PYTHON_\w+\n(.*?)\)", text, re.DOTALL)
    return [name for block in blocks for name in block.split()]


def test_every_file_is_listed_once() -> None:
    paths = [path.relative_to(MODULE) for path in MODULE.rglob("*") if path.is_file()]
    on_disk = {
        path.as_posix() for path in paths if not any(part in NOT_INSTALLED or part[0] == "." for part in path.parts)
    }
    listed = listed_files()
    assert len(listed) == len(set(listed))
    assert set(listed) == on_disk


def test_the_extension_configures(build: tuple[Path, str]) -> None:
    folder, said = build
    assert "EXTENSION_DEPENDS=PyTorch" in said
    tests = subprocess.run(["ctest", "-N"], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert "py_VesselSegmentation" in tests


def test_pictures_of_the_extension_index_are_there(build: tuple[Path, str]) -> None:
    urls = re.findall(r"https://raw.githubusercontent.com/\S+", build[1])
    assert len(urls) >= 2
    for url in set(urls):
        path = ROOT / url.split("/main/")[1]
        assert path.suffix in (".png", ".jpg")
        assert path.is_file(), path


def test_the_licence_is_installed(build: tuple[Path, str], tmp_path: Path) -> None:
    subprocess.run(["cmake", "--install", build[0], "--prefix", tmp_path], capture_output=True, check=True)
    (installed,) = tmp_path.rglob("LICENSE")
    assert installed.read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_what_is_installed_is_whole(build: tuple[Path, str]) -> None:
    (installed,) = build[0].glob("lib/Slicer-*/qt-scripted-modules")
    code = (
        "import sys; import vesselseg.cli.main as main; print(main.__file__); sys.exit(main.main(['models', 'list']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed), "VESSELSEG_MODELS": "", "HOME": str(build[0])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=build[0], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert str(installed) in done.stdout
    assert (installed / "Resources" / "UI" / "VesselSegmentation.ui").is_file()
