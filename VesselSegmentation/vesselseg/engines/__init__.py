"""What computes a network: OpenVINO, ONNX Runtime or torch behind one interface.

`plan_run` chooses, `make_engine` loads. A new engine is one file beside this one and its lines in ``choice.py``.
"""

from vesselseg.engines.choice import ENGINE_CHOICES, PRECISION_CHOICES, Plan, make_engine, plan_run
from vesselseg.engines.interface import DeviceFailedError, DeviceOutOfMemoryError, Engine

__all__ = [
    "ENGINE_CHOICES",
    "PRECISION_CHOICES",
    "DeviceFailedError",
    "DeviceOutOfMemoryError",
    "Engine",
    "Plan",
    "make_engine",
    "plan_run",
]
