from __future__ import annotations

import asyncio
import time

import pytest

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from trame.app import get_server

from vesselseg.image_io import write_volume
from vesselseg_web.application import STOP_AFTER_SECONDS, WebApplication


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
