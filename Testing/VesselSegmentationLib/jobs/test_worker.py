from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import vesselseg
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from VesselSegmentationLib.jobs.worker import PythonCommand, Worker, folder_to_hand_over, private_folder, remove_folder
from VesselSegmentationLib.jobs.worker_job import WorkerJob, hand_over


def poll_until(worker, wanted, seconds=20.0):
    """Collect events until one of them is wanted, or the worker has ended."""
    events = []
    end = time.monotonic() + seconds
    while not worker.finished and not any(wanted(event) for event in events):
        assert time.monotonic() < end, events
        events += worker.poll()
        time.sleep(0.01)
    return events


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def ends_soon(pid):
    """Wait for a process that was told to end, which the system need not do at once."""
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(pid)


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


def test_events_come_in_order_and_other_lines_as_log(python):
    worker = Worker([], python=python("talk"))
    events = poll_until(worker, lambda event: False)
    assert worker.returncode == 0
    assert [event["event"] for event in events] == ["progress", "log", "log", *["progress"] * 3, "log", "log"]
    assert events[1]["message"] == "a library says hello"
    assert events[2]["message"] == '{"event": "unknown"}'
    assert events[-1]["message"] == "no newline at the end"
    assert worker.poll() == []
    worker.close()
    assert not worker.folder.exists()


def test_poll_never_waits(python):
    worker = Worker([], python=python("sleep"))
    poll_until(worker, lambda event: event["event"] == "log")
    begin = time.perf_counter()
    for _ in range(100):
        assert worker.poll() == []
    assert time.perf_counter() - begin < 0.5
    worker.close()


@needs_proc
def test_cancel_ends_the_worker_and_its_children_at_once(python):
    worker = Worker([], python=python("sleep"))
    child = int(poll_until(worker, lambda event: event["event"] == "log")[-1]["message"].split()[1])
    assert is_alive(child)
    begin = time.perf_counter()
    worker.cancel()
    assert time.perf_counter() - begin < 1.0
    assert worker.returncode is not None
    assert ends_soon(child)
    worker.close()
    assert not worker.folder.exists()


@needs_proc
def test_worker_and_folder_go_with_the_object(python):
    worker = Worker([], python=python("sleep"))
    child = int(poll_until(worker, lambda event: event["event"] == "log")[-1]["message"].split()[1])
    folder = worker.folder
    del worker
    assert not folder.exists()
    assert ends_soon(child)


@needs_proc
def test_worker_does_not_outlive_a_killed_application(python):
    script = (
        "import os, signal, sys, time\n"
        "from VesselSegmentationLib.jobs.worker import PythonCommand, Worker\n"
        f"worker = Worker([], python=PythonCommand({python('sleep').command!r}, {{'PRETEND': 'sleep'}}))\n"
        "while not worker.poll(): time.sleep(0.01)\n"
        "print(worker._process.pid, worker.folder, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    pid, folder = done.stdout.split()
    assert ends_soon(int(pid))
    shutil.rmtree(folder)  # nobody was left to do it


def test_worker_finds_the_same_library_and_keeps_its_temporary_files_in_the_folder(tmp_path):
    script = tmp_path / "show.py"
    script.write_text("import tempfile, vesselseg; print(vesselseg.__file__); print(tempfile.gettempdir())")
    worker = Worker([], python=PythonCommand((sys.executable, str(script)), {"PYTHONPATH": str(tmp_path)}))
    lines = [event["message"] for event in poll_until(worker, lambda event: False)]
    assert Path(lines[0]).samefile(vesselseg.__file__)
    assert Path(lines[1]) == worker.folder
    worker.close()


def test_long_standard_error_is_kept_in_whole_lines(tmp_path):
    script = tmp_path / "shout.py"
    script.write_text("import sys\nfor i in range(5000): print('line', i, 'é' * 20, file=sys.stderr)")
    worker = Worker([], python=PythonCommand((sys.executable, str(script))))
    poll_until(worker, lambda event: False)
    assert worker.last_error_lines(3) == [f"line {i} {'é' * 20}" for i in (4997, 4998, 4999)]
    assert all(line.startswith("line ") for line in worker.last_error_lines(1000))
    worker.close()


def test_missing_python_is_said_and_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir()
    with pytest.raises(VesselSegError, match="cannot be started") as caught:
        Worker([], folder=folder, python=PythonCommand((str(tmp_path / "no-python"),)))
    assert "no-python" in caught.value.advice
    assert not folder.exists()


def test_progress_never_falls(python):
    job = WorkerJob([], python=python("talk"))
    seen = [job.percent]
    while job.poll() == "running":
        seen.append(job.percent)
        time.sleep(0.005)
    assert seen == sorted(seen)
    assert max(seen) <= 50
    assert "warning: on the CPU" in job.log


@pytest.mark.parametrize(
    ("behaviour", "message", "advice"),
    [
        ("error", "^the scan has no contrast$", "export it again"),
        ("crash", "exit status 1.*Traceback.*libcudnn.so.9: cannot open shared object file", "last lines"),
        ("nothing", "ended without a result", "log"),
        pytest.param(
            "killed", r"killed by signal 9 \(out of memory\?\).*loading weights", "memory",
            marks=pytest.mark.skipif(os.name == "nt", reason="signals of POSIX"),
        ),
    ],
)  # fmt: skip
def test_failures_say_what_happened(python, behaviour, message, advice):
    job = WorkerJob([], python=python(behaviour))
    assert job.wait(20) == "failed"
    assert re.search(message, job.error.message, re.DOTALL), job.error.message
    assert advice in job.error.advice


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_worker_killed_behind_the_launcher_of_3d_slicer_is_told_as_one(python):
    job = WorkerJob([], python=python("killed", "launched_worker.py"))
    assert job.wait(20) == "failed"
    assert re.search(r"killed, or crashed \(out of memory\?\).*loading weights", job.error.message, re.DOTALL)
    assert "Report the problem" not in job.error.message
    assert "memory" in job.error.advice


def test_the_launcher_of_3d_slicer_hides_nothing_else(python):
    job = WorkerJob([], python=python("crash", "launched_worker.py"))
    assert job.wait(20) == "failed"
    assert re.search("exit status 1.*Traceback.*libcudnn.so.9", job.error.message, re.DOTALL)


def test_an_event_that_cannot_be_taken_loses_no_other(python):
    class Choosy(WorkerJob):
        def _take(self, event):
            if event.get("message") == "half":
                raise MemoryError
            super()._take(event)

    job, failures = Choosy([], python=python("talk")), 0
    while job.state == "running":
        try:
            job.wait(20)
        except MemoryError:
            failures += 1
    assert failures == 1
    assert job.message.startswith("the worker ended without a result")
    assert "warning: on the CPU" in job.log
    assert "no newline at the end" in job.log


def test_wait_gives_up_in_time_and_cancel_is_final(python):
    job = WorkerJob([], python=python("sleep"))
    assert job.wait(0.2) == "running"
    job.cancel()
    assert job.state == "cancelled"
    assert job.poll() == "cancelled"
    assert job.error is None
    job.cancel()
    assert job.wait() == "cancelled"


@needs_proc
def test_what_a_killed_application_left_goes_with_the_next_worker_and_nothing_else(tmp_path, monkeypatch, python):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    script = (
        "from VesselSegmentationLib.jobs.worker import PythonCommand, Worker, private_folder\n"
        "folder = private_folder()\n"
        "(folder / 'scan.nrrd').write_text('a patient')\n"
        f"python = PythonCommand({python('sleep').command!r}, {{'PRETEND': 'sleep'}})\n"
        "worker = Worker([], folder=folder, python=python)\n"
        "print(worker._process.pid, flush=True)\n"
        "input()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment, "text": True}
    with subprocess.Popen(command, **pipes) as lives, subprocess.Popen(command, **pipes) as killed:
        pids = [int(process.stdout.readline()) for process in (lives, killed)]
        living, left = (Path(os.readlink(f"/proc/{pid}/cwd")) for pid in pids)
        others = [temporary / "vesselseg-of-somebody", temporary / "another"]
        for folder in others:
            folder.mkdir()
        (others[1] / "lock").touch()
        killed.kill()
        assert ends_soon(pids[1])
        assert (left / "scan.nrrd").is_file()
        fresh = private_folder()  # what was made a moment ago may not be locked yet
        assert left.is_dir()
        for lock in temporary.glob("*/lock"):
            os.utime(lock, (lock.stat().st_mtime - 60,) * 2)
        worker = Worker([], python=python("talk"))
        assert sorted(temporary.iterdir()) == sorted([living, fresh, worker.folder, *others])
        assert (living / "scan.nrrd").is_file()
        worker.close()
        lives.communicate("\n")
    shutil.rmtree(fresh)
    assert ends_soon(pids[0])
    assert sorted(temporary.iterdir()) == sorted(others)
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.mark.parametrize("refusals", [1, 100])
def test_what_is_still_open_is_removed_a_little_later_or_by_the_next_worker(tmp_path, monkeypatch, refusals):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = private_folder()
    (folder / "scan.nrrd").write_text("a patient")
    tries, unlink = [], os.unlink

    def unlink_closed(path, **kwargs):  # as on Windows, where a killed process may keep its files for a moment
        if os.path.basename(path) == "scan.nrrd" and len(tries) < refusals:
            tries.append(path)
            raise PermissionError(13, "in use", path)
        unlink(path, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink_closed)
        remove_folder(str(folder))
    assert folder.exists() is (refusals > 1)
    for lock in tmp_path.glob("*/lock"):
        os.utime(lock, (lock.stat().st_mtime - 60,) * 2)
    remove_folder(str(private_folder()))
    assert list(tmp_path.iterdir()) == []


def test_temporary_files_that_have_no_place_are_an_error_with_advice(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(VesselSegError, match=r"gone: No such file or directory; make space there, or set TMPDIR"):
        private_folder()
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    with pytest.raises(VesselSegError, match="temporary files cannot be written: No usable temporary directory found"):
        private_folder()


def test_a_disk_that_is_full_is_told_without_the_names_of_temporary_files(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sitk, "WriteImage", fail)
    volume = Volume(np.zeros((2, 3, 4), np.uint8), Geometry((4, 3, 2)))
    with pytest.raises(VesselSegError) as caught, folder_to_hand_over() as folder:
        hand_over({"segmentation": volume}, folder)
    assert caught.value.message == f"temporary files cannot be written in {tmp_path}: No space left on device"
    assert "TMPDIR" in caught.value.advice
    assert list(tmp_path.iterdir()) == []
