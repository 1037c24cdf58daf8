"""Stand-in for ``slicer.packaging``: notes what would be installed, and asks as the real one does."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from packaging.requirements import Requirement

dialogs: Any = None
installed: list[str] = []


def load_requirements(path: Any) -> list[Requirement]:
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def pip_check(req: Any) -> bool:
    requirements = req if isinstance(req, list) else [req]
    for each in (Requirement(str(r)) for r in requirements):
        try:
            if metadata.version(each.name) not in each.specifier:
                return False
        except metadata.PackageNotFoundError:
            return False
    return True


def pip_ensure(
    requirements: Any,
    constraints: Any = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    missing = [str(each) for each in requirements if not pip_check(each)]
    if missing:
        if prompt_install and not dialogs.ask(f"{requester}: install {missing}?"):
            raise RuntimeError("User declined package installation")
        installed.extend(missing)
    return None
