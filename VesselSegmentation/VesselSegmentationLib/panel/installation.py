"""3D Slicer's Python: where it is, and the packages it lacks, installed after asking."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from vesselseg.errors import VesselSegError

TORCH = "torch>=2.2"
#: Whether packages are being installed: the application lives on meanwhile, and two pips would undo each other.
_installing = False
#: Shipped with 3D Slicer, or installed by the PyTorch extension: what else is installed must do with these versions.
KEPT = ("numpy", "scipy", "SimpleITK", "vtk", "torch")


def python_slicer() -> str:
    """Return the path of 3D Slicer's Python interpreter, which runs the worker processes.

    Raises
    ------
    VesselSegError
        If it is not on the path, where 3D Slicer's launcher puts it, and this process is no Python interpreter itself.
    """
    path = shutil.which("PythonSlicer")
    if path is not None:
        return path
    if Path(sys.executable).name.lower().startswith("python"):
        return sys.executable
    raise VesselSegError(
        _("PythonSlicer was not found"), _("start 3D Slicer with its launcher, which puts it on the path")
    )


def ensure_requirements(path: str | os.PathLike[str], requester: str) -> None:
    """Make sure that the packages of a requirements file and torch are there; ask before anything is installed.

    Parameters
    ----------
    path : path-like
        Requirements file: one requirement a line, no options.
    requester : str
        Who asks, for the dialogue.

    Raises
    ------
    VesselSegError
        If the user declines, torch is missing and so is the extension that installs it, or another call of this is not
        done yet.
    """
    global _installing
    if _installing:
        raise VesselSegError(_("packages are being installed"), _("wait until that is done"))
    _installing = True
    try:
        _install_missing(path, requester)
    finally:
        _installing = False


def _install_missing(path: str | os.PathLike[str], requester: str) -> None:
    if _missing([TORCH]):
        _install_torch()
    missing = missing_requirements(path)
    if not missing:
        return
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in _kept_versions()), encoding="utf-8")
        _install(missing, constraints, requester)
    importlib.invalidate_caches()


def missing_requirements(path: str | os.PathLike[str]) -> list[str]:
    """Return the requirements of a file, and torch, that are not met."""
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return _missing([TORCH, *(line for line in lines if line and not line.startswith("#"))])


def _missing(requirements: list[str]) -> list[str]:
    from packaging.requirements import Requirement

    missing = []
    for text in requirements:
        requirement = Requirement(text)
        try:
            found = requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
        except metadata.PackageNotFoundError:
            found = False
        if not found:
            missing.append(text)
    return missing


def _kept_versions() -> list[tuple[str, str]]:
    kept = []
    for name in KEPT:
        try:
            kept.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue  # Slicer builds some of them without the metadata that pip reads
    return kept


def _install(missing: list[str], constraints: Path, requester: str) -> None:
    declined = VesselSegError(
        _("packages that the segmentation needs are not installed: {packages}").format(packages=", ".join(missing)),
        _("agree to install them, or install them yourself"),
    )
    try:
        from slicer.packaging import pip_ensure
    except ImportError:  # 3D Slicer 5.10 and older
        question = _("These Python packages are needed and not installed yet:\n\n{packages}\n\nInstall them now?")
        if not slicer.util.confirmOkCancelDisplay(question.format(packages="\n".join(missing)), requester):
            raise declined from None
        with slicer.util.WaitCursor():
            slicer.util.pip_install(["--constraint", str(constraints), *missing])
        return
    try:
        pip_ensure(missing, constraints=str(constraints), requester=requester)
    except RuntimeError as error:  # how it says that the user declined
        raise declined from error


def _install_torch() -> None:
    try:
        utils: Any = importlib.import_module("PyTorchUtils")
    except ImportError as error:
        raise VesselSegError(
            _("PyTorch ({version}) is not installed").format(version=TORCH),
            _("install the extension PyTorch with the Extensions Manager and restart 3D Slicer"),
        ) from error
    # Asks, and picks the build for this machine's graphics card.
    installed = utils.PyTorchUtilsLogic().installTorch(
        askConfirmation=True, torchVersionRequirement=TORCH[len("torch") :]
    )
    if installed is None or _missing([TORCH]):
        raise VesselSegError(
            _("PyTorch ({version}) was not installed").format(version=TORCH),
            _("agree to install it, or install it with the module PyTorch Utils"),
        )
