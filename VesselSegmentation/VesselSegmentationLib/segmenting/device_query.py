"""Which devices a network can run on, asked in a worker process: torch never enters this one."""

from __future__ import annotations

from typing import Any

from vesselseg.errors import VesselSegError
from VesselSegmentationLib.jobs.worker import PythonCommand
from VesselSegmentationLib.jobs.worker_job import WorkerJob


class DeviceQuery(WorkerJob):
    """Ask for the devices.

    Parameters
    ----------
    python : PythonCommand, optional
        How to start Python.

    Attributes
    ----------
    devices : list of dict
        The fastest first, each with "name" (as torch has it: "cuda:0", "mps", "cpu"), "label" (the product) and
        "memory_bytes". Empty until the job is done.
    """

    def __init__(self, python: PythonCommand | None = None) -> None:
        self.devices: list[dict[str, Any]] = []
        super().__init__(["devices"], python=python)

    def _use_result(self, result: dict[str, Any]) -> None:
        devices = result.get("devices")
        if not isinstance(devices, list) or not all(isinstance(device, dict) for device in devices):
            raise VesselSegError("the worker's list of devices cannot be read", "choose the device 'auto'")
        self.devices = devices
