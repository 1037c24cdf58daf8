from __future__ import annotations

import asyncio
import errno
import logging
import time
import zipfile

import pytest

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from trame.app import get_server

from vesselseg.image_io import write_volume
from vesselseg_web.application import STOP_AFTER_SECONDS, WebApplication
from vesselseg_web.logic.scan_logic import SCAN
from vesselseg_web.workspace.session import write_session


class PretendedPresence:
    """A visitor who is away for as long as a test says."""

    seconds_away = 0.0


async def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        await asyncio.sleep(0.02)
    assert condition()


def test_what_runs_is_stopped_when_the_visitor_is_away(tmp_path, python, scan):
    write_volume(scan, tmp_path / "TOF.nii.gz")
    presence = PretendedPresence()

    async def visit():
        server = get_server(f"test {tmp_path}", client_type="vue3")
        application = WebApplication(server, [str(tmp_path / "TOF.nii.gz")], presence, python("sleep"))
        running = asyncio.ensure_future(application.run())
        try:
            await until(lambda: application.scan.data.name == "TOF")
            application.segment.start()
            presence.seconds_away = STOP_AFTER_SECONDS - 1
            await asyncio.sleep(0.5)
            assert application.segment.data.running
            presence.seconds_away = STOP_AFTER_SECONDS + 1
            await until(lambda: not application.segment.data.running)
            assert application.case.scan is not None
        finally:
            running.cancel()
            application.close()

    asyncio.run(visit())


def test_a_failure_that_lasts_is_told_once_until_it_changes_or_ends(tmp_path, python, caplog):
    failures = []
    polls = []

    def poll():
        polls.append(None)
        if failures:
            raise failures[-1]

    async def told(failure):
        """Let a section fail, or not, for some rounds; returns what the log has got."""
        caplog.clear()
        failures.append(failure) if failure is not None else failures.clear()
        end = len(polls) + 5
        await until(lambda: len(polls) > end)
        return [record.exc_info[0] for record in caplog.records if record.levelno >= logging.ERROR]

    async def visit():
        server = get_server(f"test {tmp_path}", client_type="vue3")
        application = WebApplication(server, [], PretendedPresence(), python("sleep"))
        application.segment.poll = poll
        running = asyncio.ensure_future(application.run())
        try:
            assert await told(KeyError("a")) == [KeyError]
            assert "Something went wrong inside the program" in application.page.data.error
            application.page.data.error = ""  # as the visitor closes it
            assert await told(KeyError("a")) == []
            assert application.page.data.error == ""
            assert await told(ValueError("b")) == [ValueError]
            assert await told(FileNotFoundError(errno.ENOENT, "No such file")) == [FileNotFoundError]
            assert "Something went wrong inside the program" in application.page.data.error  # no disk is to blame
            assert await told(OSError(errno.ENOSPC, "No space left")) == [OSError]
            assert "No space left" in application.page.data.error
            assert await told(None) == []
            assert await told(ValueError("b")) == [ValueError]
        finally:
            running.cancel()
            application.close()

    asyncio.run(visit())


def test_session_with_displays_of_other_kinds_is_shown(tmp_path, python, scan, label):
    write_volume(scan, tmp_path / "TOF.nii.gz")
    write_volume(label, tmp_path / "truth.nii.gz")
    volume, segmentation = (f"display:vtkMRML{kind}DisplayNode1;" for kind in ("ScalarVolume", "Segmentation"))

    async def send(application, before, after):
        """Send a session of what there is, with another display."""
        folder = tmp_path / "upload"
        folder.mkdir()
        write_session(application.case, tmp_path / "session.mrb")
        with zipfile.ZipFile(tmp_path / "session.mrb") as saved, zipfile.ZipFile(folder / "00001", "w") as sent:
            for name in saved.namelist():
                content = saved.read(name)
                if name.endswith(".mrml"):
                    assert before.encode() in content
                    content = content.replace(before.encode(), after.encode())
                sent.writestr(name, content)
        assert await application.scan.take_upload(folder, "session.mrb", SCAN)

    async def visit():
        server = get_server(f"test {tmp_path}", client_type="vue3")
        application = WebApplication(server, [], PretendedPresence(), python("sleep"))
        try:
            paths = [str(tmp_path / "TOF.nii.gz"), str(tmp_path / "truth.nii.gz")]
            await application.scan.open_files(paths, tmp_path)
            for before, after in ((volume, segmentation), (segmentation, volume)):
                await send(application, before, after)
                assert application.page.data.error == ""
                assert application.scan.data.name == "TOF"
                assert list(application.case.references) == ["truth"]
        finally:
            application.close()

    asyncio.run(visit())
