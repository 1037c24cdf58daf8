"""Serving the page until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence

from vesselseg.errors import VesselSegError
from vesselseg_web.hosting.visits import MOST_VISITORS, Visits

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_LOOK_SECONDS = 1.0
#: Hosts that mean all addresses of this machine.
_EVERY_ADDRESS = ("0.0.0.0", "::")


def serve(
    files: Sequence[str] = (),
    *,
    host: str,
    port: int,
    ready: Callable[[str], None],
    token: str | None = None,
    visitors: int = MOST_VISITORS,
    idle_minutes: float = math.inf,
) -> None:
    """Serve the page until Ctrl-C or a request to terminate.

    Parameters
    ----------
    files : sequence of str
        A scan, and vessels to compare with: every visitor begins with them.
    host : str
        Address to listen on.
    port : int
        0 for any that is free.
    ready : callable
        Called with the address to open, once it can be.
    token : str, optional
        That the address must hold; the default is a random one, and none where only this machine can connect.
    visitors : int
        How many there can be at a time.
    idle_minutes : float
        Also stop when there has been no visitor for so long.

    Raises
    ------
    VesselSegError
        If the port cannot be listened to, or the page cannot be started.
    """
    from vesselseg_web.hosting.access import LOOPBACK_NAMES

    # An empty one would be none.
    token = token or ("" if host in LOOPBACK_NAMES else secrets.token_urlsafe(16))
    visits = Visits(files, most=visitors)
    asyncio.run(_serve(visits, host, port, token, ready, 60 * idle_minutes))


async def _serve(
    visits: Visits, host: str, port: int, token: str, ready: Callable[[str], None], idle_seconds: float
) -> None:
    from aiohttp import web

    from vesselseg_web.hosting.access import Access
    from vesselseg_web.hosting.forwarding import Forwarder
    from vesselseg_web.hosting.reception import Reception

    stop = asyncio.ensure_future(stop_signal())
    forwarder = Forwarder()
    runner = web.AppRunner(
        Reception(Access(token), visits, forwarder).application(), access_log=None, shutdown_timeout=1.0
    )
    try:
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise VesselSegError(
                f"{host} port {port} cannot be listened to: {error.strerror or error}",
                "give another --port, or 0 for any",
            ) from error
        await _until(stop, visits.prepare())
        if not stop.done():
            ready(_address(host, runner.addresses[0][1], token))
        while not stop.done() and visits.seconds_idle < idle_seconds:
            await visits.look_after()
            await asyncio.wait([stop], timeout=_LOOK_SECONDS)
    finally:
        stop.cancel()
        await visits.close()
        await forwarder.close()
        await runner.cleanup()


async def stop_signal() -> None:
    """Wait for Ctrl-C or a request to terminate."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in _SIGNALS:
        # Windows' loops know none; there Ctrl-C ends the loop by an exception, after the same cleaning up.
        with contextlib.suppress(AttributeError, NotImplementedError):
            loop.add_signal_handler(getattr(signal, name), stop.set)
    await stop.wait()


async def _until(stop: asyncio.Future[None], work: Coroutine[object, object, None]) -> None:
    """Do something, at most until it is time to stop; what goes wrong is raised."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([stop, task], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    task.cancel()


def _address(host: str, port: int, token: str) -> str:
    if host in _EVERY_ADDRESS:
        host = socket.gethostname()  # visitors from other machines cannot open "all addresses of this one"
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
