"""The machine a benchmark runs on: what it is, and how much of it others use meanwhile."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path

#: Packages whose versions decide on the figures.
_PACKAGES = ("numpy", "SimpleITK", "openvino", "onnxruntime", "torch", "monai", "nnunetv2")

_STATISTICS = Path("/proc/stat")


def usable_cores() -> int:
    """Return the number of processor cores this process may run on."""
    return len(_usable_cores()) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _usable_cores() -> set[int]:
    return os.sched_getaffinity(0)


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


@dataclass(frozen=True)
class ProcessorTime:
    """Processor time that has been used on the cores this process may run on, by anybody.

    Parameters
    ----------
    busy : float
        Seconds, of all these cores together, since the machine was started. What a hypervisor took away counts.
    """

    busy: float

    @classmethod
    def now(cls) -> ProcessorTime | None:
        """Return the time used so far; None where the system does not tell it as Linux does."""
        if not (_STATISTICS.is_file() and hasattr(os, "sched_getaffinity")):
            return None
        names = {f"cpu{core}" for core in _usable_cores()}
        ticks = 0
        for line in _STATISTICS.read_text(encoding="ascii").splitlines():
            name, *numbers = line.split()
            if name in names:
                # user, nice, system, idle, waiting, interrupts (two kinds), stolen; guests are counted as users.
                user, nice, system, _idle, _waiting, *rest = (int(number) for number in numbers[:8])
                ticks += user + nice + system + sum(rest)
        return cls(ticks / os.sysconf("SC_CLK_TCK"))


def load_by_others(
    before: ProcessorTime | None, after: ProcessorTime | None, own_seconds: float | None, seconds: float
) -> float | None:
    """Return the share of the usable cores that other processes took meanwhile.

    Parameters
    ----------
    before, after : ProcessorTime or None
        At the beginning and at the end.
    own_seconds : float or None
        Processor time of what was measured.
    seconds : float
        How long it took.

    Returns
    -------
    float or None
        In [0, 1]; None where it could not be measured.

    Examples
    --------
    >>> load_by_others(ProcessorTime(100.0), ProcessorTime(100.0 + 3.0 * usable_cores()), 0.0, 4.0)
    0.75
    """
    if before is None or after is None or own_seconds is None or seconds <= 0:
        return None
    share = (after.busy - before.busy - own_seconds) / (seconds * usable_cores())
    return min(max(share, 0.0), 1.0)
