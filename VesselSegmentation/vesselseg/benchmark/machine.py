"""The machine a benchmark runs on: what it is, and how much of it others use meanwhile."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

#: Packages whose versions decide on the figures.
_PACKAGES = ("numpy", "SimpleITK", "openvino", "onnxruntime", "torch", "monai", "nnunetv2")

#: Load by others above which a measurement is doubtful, as a share of the usable cores.
BUSY = 0.1

_STATISTICS = Path("/proc/stat")


def usable_cores() -> int:
    """Return the number of processor cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> dict[str, object]:
    """Return the processor, the cores that may be used, the system and the versions of what computes."""
    import vesselseg
    from vesselseg.devices import choose_device

    versions = {"vesselseg": vesselseg.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": choose_device("cpu").label,
        "usable_cores": usable_cores(),
        "system": platform.platform(),
        "versions": versions,
    }


class OthersMeter:
    """Tells how much of the usable cores other processes take, from its making on.

    What this process and those it has started and waited for take is not counted; what a hypervisor takes away is.
    """

    def __init__(self) -> None:
        self._busy, self._own, self._started = _busy_seconds(), _own_seconds(), time.monotonic()

    def share(self) -> float | None:
        """Return the share so far, in [0, 1]; None where the system does not tell it as Linux does."""
        busy, seconds = _busy_seconds(), time.monotonic() - self._started
        if busy is None or self._busy is None or seconds <= 0:
            return None
        others = busy - self._busy - (_own_seconds() - self._own)
        return min(max(others / (seconds * usable_cores()), 0.0), 1.0)


def load_warning(shares: Sequence[float | None]) -> str:
    """Return what must be said if other processes disturbed measurements; empty if none did.

    Parameters
    ----------
    shares : sequence of float or None
        Of each measurement; see `OthersMeter.share`.

    Returns
    -------
    str
    """
    busy = [share for share in shares if share is not None and share > BUSY]
    if not busy:
        return ""
    return (
        f"other processes took up to {100 * max(busy):.0f} % of the cores during {len(busy)} of {len(shares)} "
        "measurements: the figures are too slow; repeat them on a free machine"
    )


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _busy_seconds() -> float | None:
    """Return the processor time used on the usable cores by anybody since the machine was started."""
    if not (_STATISTICS.is_file() and hasattr(os, "sched_getaffinity")):
        return None
    names = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    ticks = 0
    for line in _STATISTICS.read_text(encoding="ascii").splitlines():
        name, *numbers = line.split()
        if name in names:
            # user, nice, system, idle, waiting, interrupts (two kinds), stolen; guests are counted as users.
            user, nice, system, _idle, _waiting, *rest = (int(number) for number in numbers[:8])
            ticks += user + nice + system + sum(rest)
    return ticks / os.sysconf("SC_CLK_TCK")
