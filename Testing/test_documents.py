"""What the documents point to is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Resources/model_card.md"]


def extension(variable: str) -> str:
    """Return what the extension's CMake file says."""
    found = re.search(rf'set\(EXTENSION_{variable} "(.*?)"\)', (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def links(name: str) -> list[str]:
    """Return where a document points to."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_to_files_lead_somewhere(name: str) -> None:
    repository = extension("HOMEPAGE").split("github.com/")[1]
    own = rf"https://(?:github\.com/{repository}/blob|raw\.githubusercontent\.com/{repository})/main/"
    for target in links(name):
        path = re.sub(own, f"{ROOT}/", target)
        if "://" not in path:
            assert (ROOT / name).parent.joinpath(path).exists(), f"{name} points to {target}"


def test_the_readme_is_whole_where_its_folder_is_not() -> None:
    """As on the page of the package, and in 3D Slicer's catalogue."""
    assert all(target.startswith("https://") for target in links("README.md"))
    assert extension("SCREENSHOTURLS") in links("README.md")


def test_the_entry_of_the_extensions_index_says_what_the_extension_says() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    entry = json.loads(block)
    assert entry["build_dependencies"] == extension("DEPENDS").split()
    assert entry["category"] == extension("CATEGORY")
    assert entry["scm_url"] == extension("HOMEPAGE")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_tables_are_tables(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    for above, line in zip(lines, lines[1:]):
        if re.fullmatch(r"\|( :?-+:? \|)+", line):
            assert above.count("|") == line.count("|"), above  # else it is shown as text


def test_the_readme_names_the_two_commands_and_every_subcommand() -> None:
    from vesselseg.cli.main import COMMANDS

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in ["make demo", "make test", *(f"`{name}`" for name in COMMANDS)]:
        assert command in text
