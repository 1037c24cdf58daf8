"""Uploads and downloads as requests, with sections that only pretend."""

from __future__ import annotations

import asyncio
import errno

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from vesselseg.errors import VesselSegError
from vesselseg_web.logic import transfers as module
from vesselseg_web.logic.scan_logic import ScanLogic
from vesselseg_web.logic.states import ScanState
from vesselseg_web.logic.transfers import Transfers


class PretendedScan:
    alone = ScanLogic.alone

    def __init__(self):
        self.taken = []
        self.data = ScanState()

    async def take_upload(self, folder, name, kind):
        self.taken.append((name, kind, [path.read_bytes() for path in sorted(folder.iterdir())]))
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        return True


class PretendedSave:
    def __init__(self):
        self.all_sent = []

    def present(self):
        return "now"

    def sent(self, what, suffix, present):
        self.all_sent.append((what, suffix, present))

    async def write(self, what, path):
        if what == "probability":
            raise VesselSegError("there is nothing to save", "segment the scan first")
        path.write_bytes(b"content" * 1_000_000)
        return "Übung label"


@pytest.fixture
def ask(page, tmp_path):
    """Serve, and let a browser ask something."""
    scan, save = PretendedScan(), PretendedSave()

    def ask(question):
        async def serve():
            app = web.Application()
            app.add_routes(Transfers(tmp_path, page, scan, save).routes())
            async with TestClient(TestServer(app)) as client:
                result = await question(client)
                for _ in range(300):
                    if not list(tmp_path.iterdir()):
                        break
                    await asyncio.sleep(0.01)
            assert list(tmp_path.iterdir()) == []
            return result

        return asyncio.run(serve())

    ask.scan, ask.save = scan, save
    return ask


def form(*contents, name="scan"):
    data = aiohttp.FormData(default_to_multipart=True)
    data.add_field("name", name)
    for content in contents:
        data.add_field("file", content, filename="../../x")
    return data


def status(ask, data, kind="scan"):
    async def post(client):
        return (await client.post(f"/upload/{kind}", data=data)).status

    return ask(post)


def test_files_arrive(ask, page):
    assert status(ask, form(b"one", b"", b"x" * 3_000_000, name="Kopf für ..")) == 204
    assert ask.scan.taken == [("Kopf für ..", "scan", [b"one", b"", b"x" * 3_000_000])]
    assert page.data.error == ""


def test_nothing_but_forms(ask, page):
    assert status(ask, b"no form") == 422
    assert status(ask, form()) == 422
    assert page.data.error == "No file was sent. Choose one."
    assert status(ask, form(b"one"), kind="elsewhere") == 404
    assert ask.scan.taken == []


@pytest.mark.parametrize("slack", [0, 1 << 30])
def test_too_large(ask, page, monkeypatch, slack):
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2 << 20)
    monkeypatch.setattr(module, "_SLACK_BYTES", slack)  # without it, what is announced suffices
    assert status(ask, form(bytes(1 << 20), bytes(3 << 19))) == 422
    assert "more than the 2 MiB" in page.data.error
    assert ask.scan.taken == []


def test_too_many(ask, page, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILES", 3)
    assert status(ask, form(*[b"x"] * 4)) == 422
    assert "more than the 3 files" in page.data.error


async def begun_upload(client):
    """Send a third of an upload."""
    _reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
    writer.write(
        b"POST /upload/scan HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + bytes(300_000)
    )
    await writer.drain()
    return writer


def test_upload_that_breaks_off_leaves_nothing_and_another_is_taken(ask, page):
    async def break_off(client):
        writer = await begun_upload(client)
        await asyncio.sleep(0.2)
        ask.scan.data.upload_percent = 30.0
        busy = (await client.post("/upload/scan", data=form(b"one"))).status
        assert page.data.error == "Another file is on its way. Wait until it is there."
        assert ask.scan.data.upload_percent == 30.0
        writer.transport.abort()
        for _ in range(300):
            if ask.scan.data.upload_percent < 0:  # the page that counted is gone with the upload
                break
            await asyncio.sleep(0.02)
        assert ask.scan.data.upload_percent == -1.0
        for _ in range(300):
            again = (await client.post("/upload/scan", data=form(b"one"))).status
            if again == 204:
                break
            await asyncio.sleep(0.02)
        return busy, again

    assert ask(break_off) == (422, 204)
    assert len(ask.scan.taken) == 1


def test_upload_that_stalls_is_given_up_and_another_is_taken(ask, page, monkeypatch):
    monkeypatch.setattr(module, "_STALLED_SECONDS", 0.3)

    async def stall(client):
        writer = await begun_upload(client)
        for _ in range(300):
            if page.data.error:
                break
            await asyncio.sleep(0.02)
        given_up = page.data.error
        again = (await client.post("/upload/scan", data=form(b"one"))).status
        writer.close()
        return given_up, again

    assert ask(stall) == ("The upload broke off. Try again.", 204)


def test_headers_of_a_download_alone_save_nothing(ask, page):
    async def head(client):
        return (await client.head("/download/label?format=.nrrd")).status

    assert ask(head) == 405
    assert ask.save.all_sent == []
    assert "saved" not in page.data.status


def test_download(ask, page):
    async def get(client):
        answers = [await client.get(f"/download/{each}") for each in ("label?format=.nrrd", "label?format=.exe", "x")]
        return answers[0].headers["Content-Disposition"], len(await answers[0].read()), [a.status for a in answers]

    assert ask(get) == ("attachment; filename*=UTF-8''%C3%9Cbung%20label.nrrd", 7_000_000, [200, 404, 404])
    assert ask.save.all_sent == [("label", ".nrrd", "now")]
    assert page.data.status == "Übung label is saved."


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (ConnectionResetError(), "The transfer broke off. Try again."),
        (OSError(errno.EIO, "Input/output error"), "The server cannot keep the file"),
    ],
)
def test_download_that_breaks_off_is_not_saved(ask, page, monkeypatch, failure, expected):
    async def fail(response, data):
        raise failure

    async def get(client):
        with pytest.raises(aiohttp.ClientError):  # at once, rather than after a wait for the rest
            await (await client.get("/download/label?format=.nrrd")).read()

    monkeypatch.setattr(web.StreamResponse, "write", fail)
    page.data.status = "before"
    ask(get)
    assert page.data.error.startswith(expected)
    assert page.data.status == "before"
    assert ask.save.all_sent == []


def test_download_that_works_takes_the_error_of_a_former_one_away(ask, page):
    async def get(client):
        answers = [await client.get(f"/download/{each}?format=.nrrd") for each in ("probability", "label")]
        return [answer.status for answer in answers]

    assert ask(get) == [409, 200]
    assert page.data.error == ""


def test_download_of_what_is_not_there(ask, page):
    async def get(client):
        return (await client.get("/download/probability?format=.nrrd")).status

    assert ask(get) == 409
    assert page.data.error == "There is nothing to save. Segment the scan first."
    assert ask.save.all_sent == []
