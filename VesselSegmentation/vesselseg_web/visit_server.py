"""The process of one visitor: serves the page to the reception, on a port of this machine only."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from typing import Any

from vesselseg_web.hosting.server import stop_signal
from vesselseg_web.hosting.visits import SECRET_VARIABLE


def serve_visit(files: Sequence[str], folder: str, ready: Callable[[int], None]) -> None:
    """Serve the page of one visitor until a signal comes.

    The secret that requests must know is in the environment.

    Parameters
    ----------
    files : sequence of str
        A scan, and vessels to compare with.
    folder : str
        A private folder for temporary files; it is removed in the end, for whoever started this may be gone.
    ready : callable
        Called with the port.
    """
    # trame would take our arguments for its own, and wslink would print a line for a launcher.
    os.environ.update(TRAME_ARGS="", WSLINK_READY_MSG="", WSLINK_WS_COMPRESS="0")
    secret = os.environ.pop(SECRET_VARIABLE)  # no worker needs to know
    asyncio.run(_serve(files, secret, ready))
    # Not after an exception: whoever started this finds its traceback there.
    shutil.rmtree(folder, ignore_errors=True)


async def _serve(files: Sequence[str], secret: str, ready: Callable[[int], None]) -> None:
    from trame.app import get_server

    from vesselseg_web.application import WebApplication
    from vesselseg_web.hosting.presence import Presence

    stop = asyncio.ensure_future(stop_signal())
    server = get_server("vesselseg", client_type="vue3")
    application = WebApplication(server, files, Presence(secret))
    tasks: list[asyncio.Future[Any]] = [stop]
    try:
        listening = asyncio.ensure_future(
            server.start(
                exec_mode="coroutine",
                host="127.0.0.1",
                port=0,
                thread=True,  # signals are ours
                timeout=0,
                open_browser=False,
                show_connection_info=False,
            )
        )
        tasks.append(listening)
        await asyncio.wait([*tasks, server.ready], return_when=asyncio.FIRST_COMPLETED)
        if not stop.done() and not listening.done():
            ready(server.port)
            tasks.append(asyncio.ensure_future(application.run()))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        application.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
