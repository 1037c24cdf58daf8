"""Several processes that train together, as torchrun starts them for several GPUs; here on the processor."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from training_cases import curve, make_config
from vesselseg.errors import VesselSegError

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

MODULE = Path(__file__).parents[3] / "VesselSegmentation"

#: Tells, for each process, which patches it saw and whether its weights ended as those of the others.
SCRIPT = """
import hashlib, json, sys
from pathlib import Path
from vesselseg.training import trainer
from vesselseg.training.config import TrainingConfig

seen, run = [], []
class Run(trainer._Run):
    def _step(self, step, images, labels):
        seen.append(hashlib.sha256(images.numpy().tobytes()).hexdigest())
        run[:] = [self]
        return super()._step(step, images, labels)
trainer._Run = Run
trainer.train(TrainingConfig.read(Path(sys.argv[1])), Path(sys.argv[2]), device="cpu")
weights = b"".join(p.detach().numpy().tobytes() for p in run[0].bare.parameters())
rank = run[0].fabric.global_rank
Path(sys.argv[2], f"rank{rank}.json").write_text(json.dumps([seen, hashlib.sha256(weights).hexdigest()]))
"""


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port),
         *arguments],
        capture_output=True, text=True, timeout=300, check=False, cwd=MODULE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(MODULE)},
    )  # fmt: skip


@pytest.mark.slow
def test_two_processes_see_different_patches_and_share_their_weights(tmp_path: Path) -> None:
    make_config(tmp_path, steps=4, validate_every=2, patience=5, workers=1)
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    out = tmp_path / "out"
    done = torchrun(str(tmp_path / "script.py"), str(tmp_path / "c.json"), str(out))
    assert done.returncode == 0, done.stderr
    (one, weights), (two, others) = (json.loads((out / f"rank{k}.json").read_text()) for k in range(2))
    assert len(set(one + two)) == 8
    assert weights == others
    assert [row["step"] for row in curve(out)] == ["2", "4"]
    assert json.loads((out / "run.json").read_text(encoding="utf-8"))["processes"] == 2


@pytest.mark.slow
def test_the_command_runs_in_two_processes_and_one_of_them_talks(tmp_path: Path) -> None:
    make_config(tmp_path, steps=2)
    arguments = ["-m", "vesselseg", "train", str(tmp_path / "c.json"), "--output", str(tmp_path / "out")]
    done = torchrun(*arguments, "--device", "cpu", "--progress", "json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(event["event"] == "result" for event in events) == 1
    assert sum(event.get("message", "").startswith("step 2 of 2") for event in events) == 1
    # Nobody overwrites the finished model.
    assert torchrun(*arguments, "--device", "cpu", "--progress", "none").returncode != 0


def test_what_is_missing_for_training_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vesselseg.training.trainer import train

    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(VesselSegError, match=r"lightning_fabric.*vesselseg\[train\]"):
        train(make_config(tmp_path), tmp_path / "out")


def test_precision_follows_the_device(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    from vesselseg.training import backend

    monkeypatch.setattr(backend, "computes_in_bfloat16", lambda device: device == "cuda")
    assert backend.choose_precision("auto", "cuda") == "bfloat16"
    assert backend.choose_precision("auto", "cpu") == "float32"
    assert backend.choose_precision("float32", "cuda") == "float32"
    assert not caplog.records
    assert backend.choose_precision("bfloat16", "cpu") == "bfloat16"
    assert "slow" in caplog.text
