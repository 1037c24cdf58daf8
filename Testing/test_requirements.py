"""The packages that the project asks for are those that it was tested with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def versions(lines: list[str], relation: str) -> dict[str, str]:
    """Return the versions that requirements name with a relation, by package."""
    found = (re.match(rf"([\w-]+){relation}([\d.]+)$", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def test_lower_bounds_are_the_oldest_packages_that_are_tested() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest = versions(project["dependencies"], ">=")
    tested = versions((ROOT / "Testing" / "oldest-requirements.txt").read_text(encoding="utf-8").splitlines(), "==")
    assert {"numpy", "scipy", "SimpleITK", "vtk"} <= set(tested)
    assert tested == {name: lowest[name] for name in tested}
