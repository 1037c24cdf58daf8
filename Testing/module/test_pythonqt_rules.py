"""What PySide6 would let pass and PythonQt would not, looked for in the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import host

MODULE = Path(host.module_file("VesselSegmentation"))
LIBRARY = MODULE.parent / "VesselSegmentationLib"
#: Files that run inside 3D Slicer with Qt.
WITH_QT = [MODULE, *sorted((LIBRARY / "panel").glob("*.py"))]


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Return each call with the dotted name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name)):
            yield node, ast.unparse(node.func)


@pytest.mark.parametrize("path", WITH_QT, ids=lambda path: path.name)
def test_rules(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    problems = []
    for call, name in calls(tree):
        parts = name.split(".")
        of_qt = parts[0] in ("qt", "ctk", "ui", "combo_box") or "ui" in parts[:2] or name.startswith("slicer.q")
        if of_qt and call.keywords:
            problems.append(f"line {call.lineno}: {name} takes no keyword arguments")
        if name in ("isinstance", "issubclass") and any(
            w in ast.unparse(call.args[1]) for w in ("qt.", "ctk.", "slicer.q")
        ):
            problems.append(f"line {call.lineno}: {name} is of no use with classes of Qt")
        if parts[-1] in ("Thread", "QThread", "ThreadPoolExecutor"):
            problems.append(f"line {call.lineno}: no Qt or MRML from a thread")
    assert problems == []


def test_what_the_web_page_shares_has_no_qt() -> None:
    shared = [path for path in LIBRARY.rglob("*.py") if path.parent.name != "panel"]
    assert len(shared) >= 40
    for path in shared:
        text = path.read_text()
        for word in ("import qt", "import ctk", "slicer.app", "slicer.mrmlScene", "slicer.modules", "slicer.util"):
            assert word not in text, f"{path.name} asks for {word}"


def test_the_module_has_no_package_file_beside_it() -> None:
    assert not (MODULE.parent / "__init__.py").exists()


def test_texts_are_translatable() -> None:
    """What is put into a widget goes through ``_()``."""
    shown = ("text", "toolTip", "title", "helpText", "acknowledgementText")
    for path in WITH_QT:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).split(".")[-1] in shown:
                untranslated = isinstance(node.value, (ast.Constant, ast.JoinedStr)) and ast.unparse(node.value) != "''"
                assert not untranslated, f"{path.name}:{node.lineno}"
