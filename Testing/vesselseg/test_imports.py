from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import vesselseg

ROOT = Path(vesselseg.__file__).parent
MODULES = sorted(
    ".".join(("vesselseg", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if path.name != "__main__.py"
)
BLOCKED = ("slicer", "qt", "ctk", "PySide6", "trame", "vtkmodules.vtkRenderingCore", "vtk")
#: Modules of which torch is the subject; everything else imports it only where it is used.
TORCH_MODULES = (
    "vesselseg.networks.dropout",
    "vesselseg.networks.unet2d",
    "vesselseg.networks.unet3d",
    "vesselseg.training",
)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)


def test_every_module_imports_without_slicer_qt_rendering_and_torch() -> None:
    quick = [name for name in MODULES if not name.startswith(TORCH_MODULES)]
    assert len(quick) > 20
    done = run(f"""
        import importlib, sys
        for name in {(*BLOCKED, "torch")!r}:
            sys.modules[name] = None
        for name in {quick!r}:
            importlib.import_module(name)
    """)
    assert done.returncode == 0, done.stderr


def test_modules_about_torch_import_without_slicer_qt_and_rendering() -> None:
    pytest.importorskip("torch")
    about_torch = [name for name in MODULES if name.startswith(TORCH_MODULES)]
    done = run(f"""
        import importlib, sys
        for name in {BLOCKED!r}:
            sys.modules[name] = None
        for name in {about_torch!r}:
            importlib.import_module(name)
    """)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("heavy", ["torch", "SimpleITK", "skimage", "scipy", "matplotlib", "openvino", "isal", "rich"])
def test_help_imports_nothing_heavy(heavy: str) -> None:
    done = run(f"""
        import sys
        from vesselseg.cli.main import main
        assert main(["--help"]) == 0
        assert {heavy!r} not in sys.modules
    """)
    assert done.returncode == 0, done.stderr


def test_the_command_line_asks_for_no_huge_pages():
    code = (
        "from vesselseg.cli.main import main; main(['segment', '--help']); import vesselseg.segmentation, numpy as np;"
        "core = vars(np).get('_core') or np.core; assert core.multiarray._set_madvise_hugepage(False) is False"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
