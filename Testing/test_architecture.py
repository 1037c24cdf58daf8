"""Dependencies between the folders of a package go one way, as CONTRIBUTING.md says."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[1] / "VesselSegmentation"


def imported(path: Path) -> set[str]:
    """Return the dotted names of the modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
        elif isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
    return names


@pytest.mark.parametrize("package", ["vesselseg", "VesselSegmentationLib", "vesselseg_web"])
def test_folders_make_no_circle(package: str) -> None:
    root = PACKAGES / package
    folders = {path.parent.name for path in root.glob("*/__init__.py")}
    assert len(folders) >= 6
    graph = {
        folder: {
            name.split(".")[1]
            for path in (root / folder).rglob("*.py")
            for name in imported(path)
            if name.startswith(f"{package}.")
        }
        & folders - {folder}
        for folder in folders
    }
    assert sum(map(len, graph.values())) >= len(folders) - 2  # else nothing was looked at
    graphlib.TopologicalSorter(graph).prepare()  # raises where there is a circle


def test_packages_know_only_those_below() -> None:
    below = {
        "vesselseg": {"VesselSegmentationLib", "vesselseg_web", "VesselSegmentation"},
        "VesselSegmentationLib": {"vesselseg_web", "VesselSegmentation"},
        "vesselseg_web": {"VesselSegmentation"},
    }
    # The command line starts the page, and measures the tools of the panel.
    allowed = {PACKAGES / "vesselseg" / name for name in ("cli/web.py", "cli/demo.py", "benchmark/scene_tools.py")}
    for package, above in below.items():
        for path in (PACKAGES / package).rglob("*.py"):
            if path not in allowed:
                assert not {name.split(".")[0] for name in imported(path)} & above, path
