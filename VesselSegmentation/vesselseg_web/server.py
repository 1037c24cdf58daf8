"""Serving the page until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Callable, Sequence

from vesselseg.errors import VesselSegError

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def serve(files: Sequence[str], *, host: str, port: int, token: str | None, ready: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C or a request to terminate.

    Parameters
    ----------
    files : sequence of str
        A scan, and vessels to compare with.
    host : str
        Address to listen on.
    port : int
        0 for any that is free.
    token : str, optional
        That the address must hold; the default is a random one, and none where only this machine can connect.
    ready : callable
        Called with the address to open, once it can be.

    Raises
    ------
    VesselSegError
        If the port cannot be listened to.
    """
    from vesselseg_web.access import LOOPBACK_NAMES

    if token is None:
        token = "" if host in LOOPBACK_NAMES else secrets.token_urlsafe(16)
    # trame would take our arguments for its own, and wslink would print a line for a launcher.
    os.environ.update(TRAME_ARGS="", WSLINK_READY_MSG="")
    asyncio.run(_serve(files, host, port, token, ready))


async def _serve(files: Sequence[str], host: str, port: int, token: str, ready: Callable[[str], None]) -> None:
    from trame.app import get_server

    from vesselseg_web.access import Access
    from vesselseg_web.application import WebApplication

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in _SIGNALS:
        # Windows' loops know none; there Ctrl-C ends the loop by an exception, after the same cleaning up.
        with contextlib.suppress(AttributeError, NotImplementedError):
            loop.add_signal_handler(getattr(signal, name), stop.set)
    server = get_server("vesselseg", client_type="vue3")
    application = WebApplication(server, files, Access(token))
    tasks: list[asyncio.Future[object]] = []
    try:
        listening = asyncio.ensure_future(
            server.start(
                exec_mode="coroutine",
                host=host,
                port=port,
                thread=True,  # signals are ours
                timeout=0,
                open_browser=False,
                show_connection_info=False,
            )
        )
        tasks += [listening, asyncio.ensure_future(stop.wait())]
        await asyncio.wait([listening, server.ready], return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            ready(_address(host, server.port, token))
            tasks.append(asyncio.ensure_future(application.run()))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    except OSError as error:
        raise VesselSegError(
            f"{host} port {port} cannot be listened to: {error.strerror or error}", "give another --port, or 0 for any"
        ) from error
    finally:
        application.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _address(host: str, port: int, token: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
