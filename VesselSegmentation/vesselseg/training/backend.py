"""Where a network is trained: device, precision, and the processes that train together."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vesselseg.devices import choose_device
from vesselseg.errors import VesselSegError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

logger = logging.getLogger("vesselseg")


def start_fabric(device: str, precision: str) -> tuple[Fabric, str]:
    """Set up Lightning Fabric for this process, or for all that ``torchrun`` started.

    Parameters
    ----------
    device : str
        See `vesselseg.devices.choose_device`. With several processes each takes the GPU of its number.
    precision : {"auto", "float32", "bfloat16"}

    Returns
    -------
    fabric : lightning_fabric.Fabric
        Launched.
    precision : {"float32", "bfloat16"}
        In which it computes.

    Raises
    ------
    VesselSegError
        If Lightning Fabric is not installed, or the device is not there.
    """
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy
    except ImportError as error:
        raise VesselSegError(
            f"training needs a package that is not installed: {error.name}",
            'install it: pip install "vesselseg[train]"',
        ) from error
    chosen = choose_device(device).name
    kind, _, index = chosen.partition(":")
    precision = choose_precision(precision, chosen)
    processes = process_count()
    with _quiet():
        mixed: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if precision == "bfloat16" else "32-true"
        if processes > 1:
            here = int(os.environ.get("LOCAL_WORLD_SIZE", str(processes)))
            # Builds of torch for Windows have no NCCL. One process draws and reads scans for all, as long as it takes.
            strategy = DDPStrategy(
                process_group_backend="gloo" if sys.platform == "win32" else None, timeout=timedelta(days=1)
            )
            fabric = Fabric(
                accelerator=kind, strategy=strategy, devices=here, num_nodes=processes // here, precision=mixed
            )
        else:
            fabric = Fabric(accelerator=kind, devices=[int(index)] if index else 1, precision=mixed)
        fabric.launch()
    return fabric, precision


def process_count() -> int:
    """Return how many processes train together: those that ``torchrun`` started, else this one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def choose_precision(wish: str, device: str) -> str:
    """Return the precision for a wish.

    Parameters
    ----------
    wish : {"auto", "float32", "bfloat16"}
        "auto" takes bfloat16 where the device computes in it; an explicit wish is granted, with a warning where it
        makes training slower.
    device : str
        As torch names it.
    """
    fast = computes_in_bfloat16(device)
    if wish == "auto":
        return "bfloat16" if fast else "float32"
    if wish == "bfloat16" and not fast:
        logger.warning("this device has no instructions for bfloat16: training in it will be slow")
    return wish


def computes_in_bfloat16(device: str) -> bool:
    """Tell whether a device has instructions for bfloat16; without them it is several times slower than float32."""
    import torch

    from vesselseg.engines.torch_engine import computes_natively

    if device != "cpu" or hasattr(torch.cpu, "get_capabilities"):
        return computes_natively("bf16", device)
    try:  # older versions of torch do not tell, and the engine keeps to single precision with them
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # What Fabric tells about its set-up is said here in other words, and where needed.
    fabric = logging.getLogger("lightning_fabric")
    before = fabric.level
    fabric.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning_fabric")
            yield
    finally:
        fabric.setLevel(before)
