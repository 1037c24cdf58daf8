"""What the documents point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Resources/model_card.md"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_to_files_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text(encoding="utf-8")):
        assert (ROOT / name).parent.joinpath(target).exists(), f"{name} points to {target}"


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
