"""Passing requests and websockets on to the process of a visitor."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeVar

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

#: Meant for the next station only, not to be passed on (RFC 9110, section 7.6.1); cookies are ours.
_NOT_FORWARDED = frozenset(
    (
        *("connection", "cookie", "host", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    )
)
_BLOCK_BYTES = 1 << 18
#: Browsers answer pings by themselves: who does not is not there any more.
_HEARTBEAT_SECONDS = 20.0
#: Messages of browsers are small: files come as requests.
_MAX_MESSAGE_BYTES = 8 << 20
#: How often to see whether a browser is still there.
_LOOK_SECONDS = 1.0

T = TypeVar("T")


class Forwarder:
    """Passes on what visitors ask for. To be used in the server's loop, and closed."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Let go of all connections."""
        await self._session.close()

    async def request(
        self, request: web.Request, address: str, headers: Mapping[str, str], moved: Callable[[], None]
    ) -> web.StreamResponse:
        """Pass a request on, and the answer back, both piece by piece.

        Parameters
        ----------
        request : aiohttp.web.Request
        address : str
            Of the process, as in "http://127.0.0.1:12345".
        headers : mapping of str to str
            Added to those of the request.
        moved : callable
            Called for each piece.

        Raises
        ------
        aiohttp.ClientError
            If the process does not answer.
        """
        answer = await self._session.request(
            request.method,
            f"{address}{request.raw_path}",
            headers={**_forwarded(request.headers), **headers},
            data=_telling(request.content.iter_any(), moved) if request.body_exists else None,
            allow_redirects=False,
        )
        response = web.StreamResponse(status=answer.status, headers=_forwarded(answer.headers))
        try:
            await response.prepare(request)
            async for block in _telling(answer.content.iter_chunked(_BLOCK_BYTES), moved):
                await response.write(block)
            await response.write_eof()
        except aiohttp.ClientError:
            # It has begun: all that is left to say is that it is not whole.
            if request.transport is not None:
                request.transport.abort()
        finally:
            answer.close()
        return response

    async def websocket(
        self, request: web.Request, address: str, headers: Mapping[str, str]
    ) -> tuple[web.WebSocketResponse, bool]:
        """Pass the messages of a websocket on in both directions until one side closes it.

        Parameters
        ----------
        request, address, headers
            As for `request`.

        Returns
        -------
        response : aiohttp.web.WebSocketResponse
        by_browser : bool
            Whether the browser has closed it; False if it is not heard of any more, or the process has gone.

        Raises
        ------
        aiohttp.ClientError, ConnectionError
            If the process does not answer, or the browser goes before it does.
        """
        connecting = self._session.ws_connect(
            f"{address}{request.raw_path}", headers=headers, max_msg_size=0, compress=0
        )
        async with await while_there(request, connecting) as process:
            # Pictures, which are nearly all there is to send, are packed already.
            browser = web.WebSocketResponse(
                heartbeat=_HEARTBEAT_SECONDS, max_msg_size=_MAX_MESSAGE_BYTES, compress=False
            )
            await browser.prepare(request)
            inwards = asyncio.ensure_future(_take_in(browser, process))
            outwards = asyncio.ensure_future(_pump(process, browser))
            try:
                ended = asyncio.wait([inwards, outwards], return_when=asyncio.FIRST_COMPLETED)
                with contextlib.suppress(ConnectionError):
                    await while_there(request, ended)
                by_browser = inwards.done() and inwards.exception() is None and inwards.result()
            finally:
                for task in (inwards, outwards):
                    task.cancel()
                await asyncio.gather(inwards, outwards, return_exceptions=True)
                await browser.close(code=aiohttp.WSCloseCode.GOING_AWAY)
        return browser, by_browser


async def _telling(pieces: AsyncIterator[bytes], moved: Callable[[], None]) -> AsyncIterator[bytes]:
    """Tell of each piece that it is on its way."""
    async for piece in pieces:
        moved()
        yield piece


async def while_there(request: web.Request, work: Awaitable[T]) -> T:
    """Do something for a browser; give it up, with a `ConnectionError`, when the browser has gone.

    aiohttp lets everything go on, and a process that hangs would never let it end.
    """
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            gone = request.transport is None
            # Even then some time is left: what ends by itself knows better why.
            await asyncio.wait([task], timeout=_LOOK_SECONDS)
            if gone and not task.done():
                raise ConnectionResetError("the browser has gone")
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _take_in(browser: web.WebSocketResponse, process: aiohttp.ClientWebSocketResponse) -> bool:
    """Forward what the browser sends; tells whether it has closed the connection, rather than that it broke off."""
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        while True:
            message = await browser.receive()
            if message.type not in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                return message.type == aiohttp.WSMsgType.CLOSE
            await _send(message, process)
    return False


async def _pump(process: aiohttp.ClientWebSocketResponse, browser: web.WebSocketResponse) -> None:
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        async for message in process:
            await _send(message, browser)


async def _send(message: aiohttp.WSMessage, target: web.WebSocketResponse | aiohttp.ClientWebSocketResponse) -> None:
    if message.type == aiohttp.WSMsgType.BINARY:
        await target.send_bytes(message.data)
    elif message.type == aiohttp.WSMsgType.TEXT:
        await target.send_str(message.data)


def _forwarded(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _NOT_FORWARDED)
