"""Packages are installed only after the user has agreed, and Slicer's own are left alone."""

from __future__ import annotations

import re
import sys
import types
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import host

REQUIREMENTS = Path(host.module_file("VesselSegmentation")).parent / "Resources" / "requirements.txt"


@pytest.fixture
def installation(slicer_host: host.Host, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, in a Slicer that lacks some packages."""
    from VesselSegmentationLib.panel import installation

    slicer_host.dialogs.shown.clear()
    slicer_host.dialogs.answer = True
    return installation


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of packages that seem not to be installed."""
    names: set[str] = set()
    version = metadata.version

    def look(name: str) -> str:
        if name in names:
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", look)
    return names


@pytest.fixture
def new_pip(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `slicer.packaging.pip_ensure` was asked for."""
    import slicer

    calls: list[Any] = []

    def pip_ensure(requirements: Any, constraints: Any = None, requester: Any = None) -> None:
        calls.append((requirements, Path(constraints).read_text(), requester))
        if not slicer.util.confirmOkCancelDisplay("install?"):
            raise RuntimeError("User declined package installation")

    module = types.ModuleType("slicer.packaging")
    module.pip_ensure = pip_ensure
    monkeypatch.setitem(sys.modules, "slicer.packaging", module)
    return calls


@pytest.fixture
def old_pip(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `slicer.util.pip_install` was asked for, in a 3D Slicer without `slicer.packaging`."""
    import slicer

    calls: list[Any] = []
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", lambda arguments: calls.append((arguments, constraints(arguments))))
    return calls


def constraints(arguments: list[str]) -> str:
    return Path(arguments[arguments.index("--constraint") + 1]).read_text()


def test_nothing_is_asked_where_nothing_is_missing(
    installation: Any, slicer_host: host.Host, new_pip: list[Any]
) -> None:
    installation.ensure_requirements(REQUIREMENTS, "me")
    assert new_pip == []
    assert slicer_host.dialogs.shown == []


def test_missing_packages_are_installed_with_consent(installation: Any, new_pip: list[Any], absent: set[str]) -> None:
    absent |= {"deepbet", "safetensors"}
    installation.ensure_requirements(REQUIREMENTS, "me")
    ((requirements, kept, requester),) = new_pip
    assert requirements == ["safetensors>=0.4", "deepbet==1.0.2"]
    assert requester == "me"
    for name in ("numpy", "SimpleITK", "vtk", "torch"):
        assert re.search(rf"^{name}==\S+$", kept, re.MULTILINE), kept


def test_declining_is_an_error_with_advice(
    installation: Any, slicer_host: host.Host, new_pip: list[Any], absent: set[str]
) -> None:
    absent.add("deepbet")
    slicer_host.dialogs.answer = False
    with pytest.raises(installation.VesselSegError, match="deepbet") as caught:
        installation.ensure_requirements(REQUIREMENTS, "me")
    assert "agree" in caught.value.advice


@pytest.mark.parametrize("consent", [True, False])
def test_older_slicer(
    installation: Any, slicer_host: host.Host, old_pip: list[Any], absent: set[str], consent: bool
) -> None:
    absent.add("deepbet")
    slicer_host.dialogs.answer = consent
    if consent:
        installation.ensure_requirements(REQUIREMENTS, "me")
        ((arguments, kept),) = old_pip
        assert arguments[-1] == "deepbet==1.0.2"
        assert "numpy==" in kept
    else:
        with pytest.raises(installation.VesselSegError):
            installation.ensure_requirements(REQUIREMENTS, "me")
        assert old_pip == []
    assert "deepbet" in slicer_host.dialogs.shown[0]


def test_one_installation_at_a_time(
    installation: Any, slicer_host: host.Host, absent: set[str], old_pip: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application lives on while pip runs: a click on another button must not start a second one."""
    import slicer

    def pip_install(arguments: list[str]) -> None:
        old_pip.append(arguments)
        with pytest.raises(installation.VesselSegError, match="being installed"):
            installation.ensure_requirements(REQUIREMENTS, "another")
        raise RuntimeError("no network")

    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    absent.add("deepbet")
    for count in (1, 2):  # what failed can be tried again
        with pytest.raises(RuntimeError, match="no network"):
            installation.ensure_requirements(REQUIREMENTS, "me")
        assert len(old_pip) == count


def test_torch_without_its_extension(installation: Any, absent: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    absent.add("torch")
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(installation.VesselSegError, match="PyTorch") as caught:
        installation.ensure_requirements(REQUIREMENTS, "me")
    assert "Extensions Manager" in caught.value.advice


@pytest.mark.parametrize("consent", [True, False])
def test_torch_through_its_extension(
    installation: Any, absent: set[str], monkeypatch: pytest.MonkeyPatch, consent: bool
) -> None:
    absent.add("torch")
    calls: list[dict] = []

    class PyTorchUtilsLogic:
        def installTorch(self, askConfirmation: bool = False, torchVersionRequirement: str | None = None) -> Any:
            calls.append({"ask": askConfirmation, "version": torchVersionRequirement})
            if consent:
                absent.discard("torch")
            return sys if consent else None

    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    if consent:
        installation.ensure_requirements(REQUIREMENTS, "me")
    else:
        with pytest.raises(installation.VesselSegError, match="was not installed"):
            installation.ensure_requirements(REQUIREMENTS, "me")
    assert calls == [{"ask": True, "version": ">=2.2"}]


def test_requirements_agree_with_the_package() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((REQUIREMENTS.parents[2] / "pyproject.toml").read_text())["project"]
    lines = [line.strip() for line in REQUIREMENTS.read_text().splitlines()]
    required = [line for line in lines if line and not line.startswith("#")]
    assert set(required) <= set(project["dependencies"])
    for kept in ("numpy", "scipy", "SimpleITK", "vtk", "torch"):
        assert not any(re.match(rf"{kept}\b", line, re.IGNORECASE) for line in required)


def test_python_slicer(installation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installation.python_slicer().endswith("PythonSlicer")
    monkeypatch.setenv("PATH", "")
    assert installation.python_slicer() == sys.executable
    # Slicer itself must not be started a second time.
    monkeypatch.setattr(sys, "executable", "/opt/Slicer/bin/SlicerApp-real")
    with pytest.raises(installation.VesselSegError, match="PythonSlicer"):
        installation.python_slicer()
