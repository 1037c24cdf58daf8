from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from vesselseg import devices
from vesselseg.devices import Device, available_devices, choose_device
from vesselseg.errors import VesselSegError
from vesselseg.segmentation import segment
from vesselseg.volume import Volume

GPUS = [Device("cuda:0", "First", 8 << 30), Device("cuda:1", "Second", 16 << 30)]
CPU = Device("cpu", "The CPU", 32 << 30)


def test_the_cpu_is_always_there_and_comes_last() -> None:
    last = available_devices()[-1]
    assert last.name == "cpu"
    assert last.memory_bytes > 1 << 30
    torch.zeros(1, device=last.name)


@pytest.mark.parametrize(
    ("wish", "name"), [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_a_wish_is_granted(wish: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available_devices", lambda *_: [*GPUS, CPU])
    assert choose_device(wish).name == name


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """No GPU is at hand, so that torch's answers are played; this one is too old."""
    card = SimpleNamespace(name="Card", total_memory=1 << 33, major=6, minor=1)
    monkeypatch.setattr(devices, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80", "sm_90a", "compute_120"])
    return card


@pytest.mark.parametrize(
    ("capability", "usable"), [((8, 6), True), ((12, 1), True), ((6, 1), False), ((7, 0), False), ((7, 5), True)]
)
def test_a_gpu_for_which_torch_has_no_code_is_left_out(
    capability: tuple[int, int], usable: bool, card: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    card.major, card.minor = capability
    names = [device.name for device in available_devices()]
    assert names == (["cuda:0", "cpu"] if usable else ["cpu"])
    assert ("no code for it" in caplog.text) != usable


@pytest.mark.usefixtures("card")
def test_a_gpu_that_is_left_out_is_said_once_and_noted(make_scan: Callable[..., Volume], tiny_model: str) -> None:
    """Not while the model is loaded: then messages of ITK are kept off the screen, and others with them."""
    threads = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "no code for it" in record.getMessage():
                threads.append(threading.current_thread())

    listener = Listener()
    logging.getLogger("vesselseg").addHandler(listener)
    try:
        run = segment(make_scan(), model=tiny_model, brain_mask="none").run
    finally:
        logging.getLogger("vesselseg").removeHandler(listener)
    assert run.device == "cpu"
    assert sum("Card is left out" in note for note in run.notes) == 1
    assert threads == [threading.main_thread()]


@pytest.mark.usefixtures("card")
def test_what_is_left_out_is_told_where_it_was_wished_for(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(VesselSegError, match=r"no device 'cuda' .*; Card is left out: .*no code for it"):
        choose_device("cuda")
    assert caplog.text == ""


def test_a_gpu_that_torch_cannot_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(devices, "_has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for built_for, why in ((None, "was built without CUDA"), ("12.6", "needs a newer driver")):
        monkeypatch.setattr(torch.version, "cuda", built_for)
        notes: list[str] = []
        assert choose_device("auto", notes).name == "cpu"
        assert len(notes) == 1
        assert notes[0].startswith("the NVIDIA GPU is left out: the installed torch")
        assert notes[0].endswith(why)


def test_without_a_driver_there_is_no_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert not devices._has_nvidia_gpu()


def test_a_torch_that_cannot_be_loaded_leaves_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('[WinError 126] c10.dll')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(devices, "_may_have_gpu", lambda: True)
    notes: list[str] = []
    assert choose_device("auto", notes).name == "cpu"
    assert "torch cannot be loaded" in notes[0]


@pytest.mark.parametrize("right", [True, False])
def test_an_apple_gpu_that_computes_something_else_is_left_out(right: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some versions of torch compute three-dimensional networks wrongly there, or not at all; its answer is played."""
    monkeypatch.setattr(devices, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    moved = torch.Tensor.to

    def to(self: torch.Tensor, device: str) -> torch.Tensor:
        return moved(self, "cpu") * (1.0 if right or device == "cpu" else 1.01)

    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(devices, "_computes_blocks", devices._computes_blocks.__wrapped__)  # remembers no answer
    notes: list[str] = []
    names = [device.name for device in available_devices(notes)]
    assert names == (["mps", "cpu"] if right else ["cpu"])
    assert any("the Apple GPU is left out" in note for note in notes) != right


@pytest.mark.parametrize("wish", ["cuda", "cuda:0", "mps", "tpu", ""])
def test_nothing_is_taken_in_the_stead_of_what_is_not_there(wish: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available_devices", lambda *_: [CPU])
    with pytest.raises(VesselSegError, match="choose auto or one of: cpu"):
        choose_device(wish)


def test_torch_is_not_imported_where_there_is_no_gpu() -> None:
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    code = (
        "import sys; from vesselseg.devices import choose_device; print(choose_device().name, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["cpu", "False"]
