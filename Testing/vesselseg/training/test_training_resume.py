"""A run that was stopped, even killed, ends as if it had not been; patches do not depend on who makes them."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training_cases import MEDIAN, curve, make_config, tube_scan, write_config, write_scans
from vesselseg.errors import Cancelled, VesselSegError
from vesselseg.training.config import TrainingConfig
from vesselseg.training.data import as_training_scan, load_scans

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

#: Everything that has a state: moments of the optimiser, batch normalisation, dropout, a rate that changes.
STATEFUL = {
    "options": {"channels": [4, 8], "in_slices": 3, "norm": "batch", "dropout": 0.2},
    "optimiser": "adamw", "weight_decay": 0.01, "steps": 8, "validate_every": 3, "checkpoint_every": 2,
}  # fmt: skip


def stop_at(step: int):
    def progress(fraction: float, message: str) -> None:
        if message.startswith(f"step {step} "):
            raise Cancelled

    return progress


def weights(run: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(run / "tube.safetensors")


def assert_same_run(one: Path, two: Path) -> None:
    assert curve(one) == curve(two)
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize("entries", [{}, {"architecture": "unet3d", "options": {"channels": [4, 8]}, "depth": 8}])
@pytest.mark.parametrize("stop", [3, 5])
def test_a_stopped_run_ends_in_the_same_weights(tmp_path: Path, entries: dict, stop: int) -> None:
    from vesselseg.training.trainer import train

    config = make_config(tmp_path, **{**STATEFUL, **entries})
    train(config, tmp_path / "whole")
    with pytest.raises(Cancelled):
        train(config, tmp_path / "stopped", progress=stop_at(stop))
    assert (tmp_path / "stopped" / "checkpoint.safetensors").exists()
    # Whatever happened in between has no influence.
    torch.manual_seed(99)
    np.random.default_rng().random(5)
    train(config, tmp_path / "stopped")
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_the_number_of_workers_may_change_on_the_way(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    train(make_config(tmp_path, **STATEFUL), tmp_path / "whole")
    with pytest.raises(Cancelled):
        train(make_config(tmp_path, **STATEFUL, workers=2), tmp_path / "stopped", progress=stop_at(5))
    train(make_config(tmp_path, **STATEFUL, workers=1), tmp_path / "stopped")
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_an_unfinished_run_of_another_configuration_is_refused(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    with pytest.raises(Cancelled):
        train(make_config(tmp_path, **STATEFUL), tmp_path / "out", progress=stop_at(2))
    other = make_config(tmp_path, **{**STATEFUL, "learning_rate": 0.5})
    with pytest.raises(VesselSegError, match="learning_rate"):
        train(other, tmp_path / "out")
    assert train(other, tmp_path / "out", overwrite=True).training["configuration"]["learning_rate"] == 0.5
    with pytest.raises(VesselSegError, match="exists already"):
        train(other, tmp_path / "out")


def test_a_resumed_run_keeps_its_precision_and_warns_of_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from vesselseg.training import backend
    from vesselseg.training.trainer import train

    config = make_config(tmp_path, **STATEFUL, precision="auto")
    monkeypatch.setattr(backend, "computes_in_bfloat16", lambda device: False)
    with pytest.raises(Cancelled):
        train(config, tmp_path / "out", device="cpu", progress=stop_at(3))
    with pytest.raises(Cancelled):
        train(config, tmp_path / "out", device="cpu", progress=stop_at(5))
    assert "the run began" not in caplog.text
    monkeypatch.setattr(backend, "computes_in_bfloat16", lambda device: True)
    assert train(config, tmp_path / "out", device="cpu").training["precision"] == "float32"
    warning = "the run began on cpu in float32, and goes on in it on cpu, where a new one would be in bfloat16"
    assert warning in caplog.text


def test_a_checkpoint_that_does_not_tell_its_precision_is_gone_on_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    from vesselseg.training.trainer import train

    config = make_config(tmp_path, **STATEFUL, precision="auto")
    train(config, tmp_path / "whole", device="cpu")
    with pytest.raises(Cancelled):
        train(config, tmp_path / "old", device="cpu", progress=stop_at(3))
    path = tmp_path / "old" / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["vesselseg"])
    del header["state"]["precision"], header["state"]["device"]
    del header["state"]["config"]["initial_model_sha256"]  # an entry that it did not have
    save_file(load_file(path), path, metadata={"vesselseg": json.dumps(header)})
    train(config, tmp_path / "old", device="cpu")
    assert "the run began" not in caplog.text
    assert_same_run(tmp_path / "whole", tmp_path / "old")


def stopped_between_weights_and_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, step: int
) -> TrainingConfig:
    """Begin a run, validated after 3, 6 and 8 steps, each time better, and end it where a kill can."""
    from vesselseg.training import run_folder, trainer

    config = make_config(tmp_path, **{**STATEFUL, "monitor": "dice"})
    validated = trainer.validate

    def always_better(*arguments: Any, **options: Any) -> dict[str, float]:
        always_better.dice += 0.1
        return {**validated(*arguments, **options), "dice": always_better.dice}

    def killed(folder: run_folder.RunFolder, rows: list[dict[str, Any]], best_step: int) -> None:
        if rows[-1]["step"] == step:
            raise Cancelled

    always_better.dice = 0.1
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "validate", always_better)
        patch.setattr(run_folder.RunFolder, "write_curves", killed)
        with pytest.raises(Cancelled):
            trainer.train(config, tmp_path / "out", device="cpu")
    return config


def validated_otherwise(*_: Any, **__: Any) -> dict[str, float]:
    """Measure what is not better any more, as another device may."""
    return {"validation_loss": 1.0, "dice": 0.01, "precision": 0.0, "sensitivity": 0.1}


def steps_behind(run: Path) -> set[int]:
    """Return how many steps the weights of a model have been trained."""
    return {int(value) for name, value in weights(run).items() if name.endswith("num_batches_tracked")}


def test_a_kill_between_weights_and_checkpoint_does_not_change_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vesselseg.training import trainer

    config = stopped_between_weights_and_checkpoint(tmp_path, monkeypatch, step=6)
    monkeypatch.setattr(trainer, "validate", validated_otherwise)
    model = trainer.train(config, tmp_path / "out", device="cpu")
    assert model.training["last_validation"]["step"] == 3
    assert steps_behind(tmp_path / "out") == {3}
    assert not (tmp_path / "out" / "candidates").exists()


def leave_no_candidate_but(step: int, run: Path) -> None:
    """Leave a run as versions without candidates did: the weights after a step, under their final name."""
    for path in (run / "candidates" / f"step-{step}").iterdir():
        path.rename(run / path.name)
    shutil.rmtree(run / "candidates")


def test_a_run_without_its_best_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vesselseg.training.trainer import train

    config = stopped_between_weights_and_checkpoint(tmp_path, monkeypatch, step=6)
    out = tmp_path / "out"
    # Only the weights after step 6, of which the checkpoint does not know.
    leave_no_candidate_but(6, out)
    with pytest.raises(VesselSegError, match="without its best weights so far, those of step 3"):
        train(config, out, device="cpu")
    assert train(config, out, device="cpu", overwrite=True).training["configuration"]["steps"] == 8


def test_a_run_of_a_version_without_candidates_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vesselseg.training import trainer

    config = stopped_between_weights_and_checkpoint(tmp_path, monkeypatch, step=6)
    out = tmp_path / "out"
    leave_no_candidate_but(3, out)
    monkeypatch.setattr(trainer, "validate", validated_otherwise)
    assert trainer.train(config, out, device="cpu").training["last_validation"]["step"] == 3
    assert steps_behind(out) == {3}


def test_a_run_that_was_stopped_at_its_very_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vesselseg.training.run_folder import RunFolder
    from vesselseg.training.trainer import train

    config = make_config(tmp_path, **STATEFUL, choose_threshold=True)
    whole = train(config, tmp_path / "whole", device="cpu")
    remove = RunFolder.remove_candidates

    def killed(folder: RunFolder, kept: int | None = None) -> None:
        remove(folder, kept)
        if folder.model.exists():
            raise Cancelled

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "remove_candidates", killed)
        with pytest.raises(Cancelled):
            train(config, tmp_path / "out", device="cpu")
    assert (tmp_path / "out" / "checkpoint.safetensors").exists()
    assert train(config, tmp_path / "out", device="cpu").threshold == whole.threshold
    assert_same_run(tmp_path / "whole", tmp_path / "out")


def test_a_new_run_begins_without_what_a_former_one_left(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    config, out = make_config(tmp_path, **STATEFUL), tmp_path / "out"
    with pytest.raises(Cancelled):
        train(config, out, device="cpu", progress=stop_at(4))
    former = out / "cache" / "former.npy"
    former.touch()
    with pytest.raises(Cancelled):
        train(config, out, device="cpu", progress=stop_at(5))
    assert former.exists()
    assert (out / "candidates" / "step-3").exists()
    with pytest.raises(Cancelled):
        train(config, out, device="cpu", progress=stop_at(1), overwrite=True)
    assert not former.exists()
    assert not (out / "candidates").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    from vesselseg.training.trainer import train

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checkpoint.safetensors").write_bytes(content)
    with pytest.raises(VesselSegError, match="checkpoint"):
        train(make_config(tmp_path, **STATEFUL), tmp_path / "out")


def test_patches_are_a_function_of_seed_step_and_rank(tmp_path: Path) -> None:
    from vesselseg.networks import build_network
    from vesselseg.training.patches import PatchStream

    config = TrainingConfig.read(write_config(tmp_path / "c.json"))
    network = build_network(config.architecture, **config.options)
    scans = [as_training_scan(*tube_scan(), MEDIAN)]
    stream = PatchStream(config, scans, network)
    later = dict(enumerate(stream.batches(5, 7), start=5))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for step, (images, labels) in later.items():
            again = PatchStream(config, scans, network)[step]
            assert torch.equal(images, again[0])
            assert torch.equal(labels, again[1])
    finally:
        torch.set_num_threads(before)
    assert not torch.equal(later[5][0], later[6][0])
    assert not torch.equal(later[5][0], PatchStream(config, scans, network, rank=1)[5][0])


def test_workers_are_sent_the_place_of_the_scans_not_their_voxels(tmp_path: Path) -> None:
    write_scans(tmp_path / "train", 1)
    scans = load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    sent = pickle.dumps(scans)
    assert len(sent) < 2000
    np.testing.assert_array_equal(pickle.loads(sent)[0].scan, scans[0].scan)


def start(config: Path, output: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vesselseg", "train", str(config), "--output", str(output), "--progress", "json",
         "--device", "cpu"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3] / "VesselSegmentation",
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip


def wait_for_step(process: subprocess.Popen[str], wanted: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        words = json.loads(line).get("message", "").split()
        if words[:1] == ["step"] and words[1].isdigit() and int(words[1]) >= wanted:
            return
    raise AssertionError(f"ended before step {wanted}: {process.stderr.read() if process.stderr else ''}")


def children(pid: int) -> list[int]:
    return [int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()]


def all_gone(pids: list[int], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(is_running(pid) for pid in pids):
            return True
        time.sleep(0.2)
    return False


def is_running(pid: int) -> bool:
    try:
        # Of a process that nobody waits for only a line in the table is left.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_a_killed_process_resumes_exactly_and_leaves_no_workers(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    entries = {**STATEFUL, "steps": 60, "validate_every": 20, "checkpoint_every": 7, "workers": 2}
    config = make_config(tmp_path, **entries)
    train(config, tmp_path / "whole", device="cpu")
    for wanted in (10, 31):
        process = start(tmp_path / "c.json", tmp_path / "killed")
        wait_for_step(process, wanted)
        workers = children(process.pid)
        assert len(workers) >= 2
        process.kill()
        process.communicate()
        assert all_gone(workers, 30)
        assert not (tmp_path / "killed" / "run.json").read_text(encoding="utf-8").count("finished")
    process = start(tmp_path / "c.json", tmp_path / "killed")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "going on after step" in output
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_workers_end_with_an_interrupted_run(tmp_path: Path) -> None:
    make_config(tmp_path, **{**STATEFUL, "steps": 5000, "workers": 2})
    process = start(tmp_path / "c.json", tmp_path / "out")
    wait_for_step(process, 3)
    workers = children(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.count("\n") == 1, errors
    assert all_gone(workers, 10)


@pytest.mark.slow
def test_the_small_configuration_killed_in_the_middle_gives_the_same_curve(tmp_path: Path) -> None:
    values = TrainingConfig.read("small").to_dict()
    # Fewer and smaller scans and steps; all else is what ships.
    values |= {"steps": 60, "validate_every": 20, "checkpoint_every": 10, "threads": 1, "name": "tube"}
    for drawn, count in (("training", 2), ("validation", 1)):
        values["synthesize"][drawn] |= {"count": count, "size": [80, 96, 64]}
    path = tmp_path / "small.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    whole = start(path, tmp_path / "whole", VESSELSEG_DATA="")
    _, errors = whole.communicate(timeout=300)
    assert whole.returncode == 0, errors
    killed = start(path, tmp_path / "killed")
    wait_for_step(killed, 33)
    killed.kill()
    killed.communicate()
    scan = next((tmp_path / "killed" / "scans").glob("training-*/001_0000/tof.nii.gz"))
    drawn_at = scan.stat().st_mtime_ns
    resumed = start(path, tmp_path / "killed")
    _, errors = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, errors
    assert scan.stat().st_mtime_ns == drawn_at
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
