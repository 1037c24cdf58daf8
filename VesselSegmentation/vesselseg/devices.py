"""On what a network can run here."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import logging
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from vesselseg.errors import VesselSegError

logger = logging.getLogger("vesselseg")


@dataclass(frozen=True)
class Device:
    """One device.

    Parameters
    ----------
    name : str
        As torch names it: "cuda:0", "mps", "cpu".
    label : str
        For people: the product's name.
    memory_bytes : int
        Its memory; for the CPU and MPS the machine's.
    """

    name: str
    label: str
    memory_bytes: int

    def __str__(self) -> str:
        return f"{self.name} ({self.label}, {self.memory_bytes / 2**30:.0f} GiB)"


def available_devices(notes: list[str] | None = None) -> list[Device]:
    """Return what this machine can run networks on, the fastest first; the last is always the CPU.

    Parameters
    ----------
    notes : list of str, optional
        What is left out, and why, is added here; unless it is given, that is logged.
    """
    left_out: list[str] = []
    devices = [*_gpus(left_out), cpu_device()]
    if notes is not None:
        notes += left_out
    else:
        _log(left_out)
    return devices


def _log(notes: list[str]) -> None:
    for note in notes:
        logger.warning("%s", note)


def cpu_device() -> Device:
    """Return the CPU."""
    return Device("cpu", _cpu_name(), _machine_memory())


def _gpus(left_out: list[str]) -> list[Device]:
    # torch takes seconds to import: it is not asked where there is plainly no GPU.
    if not _may_have_gpu() or importlib.util.find_spec("torch") is None:
        return []
    try:
        import torch
    except (ImportError, OSError) as error:  # on Windows, where a library is missing
        left_out.append(f"GPUs are left out: torch cannot be loaded ({error})")
        return []
    devices = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            if torch.version.hip is None and not _has_kernels(properties.major, properties.minor):
                left_out.append(
                    f"{properties.name} is left out: the installed torch {torch.__version__} has no code for it"
                )
                continue
            devices.append(Device(f"cuda:{index}", properties.name, properties.total_memory))
    elif _has_nvidia_gpu():
        why = "was built without CUDA" if torch.version.cuda is None else "needs a newer driver"
        left_out.append(f"the NVIDIA GPU is left out: the installed torch {torch.__version__} {why}")
    if torch.backends.mps.is_available():
        if _computes_blocks("mps"):
            devices.append(Device("mps", "Apple GPU", _machine_memory()))
        else:
            left_out.append(
                f"the Apple GPU is left out: the installed torch {torch.__version__} does not compute "
                "three-dimensional networks on it, or wrongly; 2.9 or later may"
            )
    return devices


@functools.cache  # the GPU's programs are compiled for it
def _computes_blocks(device: str) -> bool:
    """Whether a device computes what three-dimensional networks are made of, and as the CPU does."""
    import torch
    from torch.nn import functional

    random = torch.Generator().manual_seed(0)
    block, weights = (torch.randn(16, 16, n, n, n, generator=random) for n in (8, 3))

    def compute(name: str) -> torch.Tensor:
        features = functional.conv3d(block[:1].to(name), weights.to(name), padding=1)
        return functional.interpolate(functional.max_pool3d(features, 2), scale_factor=2.0, mode="nearest").cpu()

    try:
        return bool(torch.allclose(compute(device), compute("cpu"), rtol=1e-3, atol=1e-2))
    except RuntimeError:
        return False


def _has_nvidia_gpu() -> bool:
    """Whether NVIDIA's driver tells of a GPU; torch may be unable to use it."""
    with contextlib.suppress(OSError, AttributeError):
        driver, count = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"), ctypes.c_int(0)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    return False


def _has_kernels(major: int, minor: int) -> bool:
    """Whether the installed torch was compiled for CUDA GPUs of a compute capability; for old ones it may not be."""
    import torch

    for architecture in torch.cuda.get_arch_list():  # such as "sm_75", "sm_90a", "compute_120"
        kind, _, number = architecture.partition("_")
        digits = number.rstrip("abcdefghijklmnopqrstuvwxyz")
        own = int(digits[:-1]), int(digits[-1])
        # Machine code runs on later GPUs of its generation, the intermediate language on all later ones.
        if own <= (major, minor) and (kind == "compute" or own[0] == major):
            return True
    return False


def _may_have_gpu() -> bool:
    """Whether there may be a GPU that torch can use: there is not without the library of a driver."""
    if sys.platform == "darwin":
        return True
    if Path("/dev/kfd").exists():  # AMD's driver, which torch's version for ROCm uses and calls CUDA
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def choose_device(wish: str = "auto", notes: list[str] | None = None) -> Device:
    """Return the device for a wish.

    Parameters
    ----------
    wish : str
        "auto" takes CUDA, then MPS, then the CPU; a device's name, or "cuda" for the first GPU, takes that one.
    notes : list of str, optional
        As `available_devices` takes it.

    Raises
    ------
    VesselSegError
        If the device wished for is not there. Nothing else is taken in its stead.
    """
    if wish == "cpu":
        return cpu_device()
    left_out: list[str] = []
    devices = available_devices(left_out)
    for device in devices:
        if wish in ("auto", device.name, device.name.split(":")[0]):
            if notes is None:
                _log(left_out)
            else:
                notes += left_out
            return device
    names = ", ".join(device.name for device in devices)
    reasons = "".join(f"; {note}" for note in left_out)
    raise VesselSegError(
        f"this machine has no device '{wish}' that torch can use{reasons}", f"choose auto or one of: {names}"
    )


def _machine_memory() -> int:
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows

        class MemoryStatus(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
                (name, ctypes.c_ulonglong) for name in ("total", "free", "p_total", "p_free", "v_total", "v_free", "x")
            ]

        status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
        return int(status.total)


def _cpu_name() -> str:
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # only Linux tells the product's name here
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = " ".join(line.partition(":")[2].split())
                break
    return f"{name}, {os.cpu_count() or 1} cores"
