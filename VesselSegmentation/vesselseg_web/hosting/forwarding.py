"""Passing requests and websockets on to the process of a visitor."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

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

    async def request(self, request: web.Request, address: str, headers: Mapping[str, str]) -> web.StreamResponse:
        """Pass a request on, and the answer back, both piece by piece.

        Parameters
        ----------
        request : aiohttp.web.Request
        address : str
            Of the process, as in "http://127.0.0.1:12345".
        headers : mapping of str to str
            Added to those of the request.

        Raises
        ------
        aiohttp.ClientError
            If the process does not answer.
        """
        answer = await self._session.request(
            request.method,
            f"{address}{request.raw_path}",
            headers={**_forwarded(request.headers), **headers},
            data=request.content if request.body_exists else None,
            allow_redirects=False,
        )
        response = web.StreamResponse(status=answer.status, headers=_forwarded(answer.headers))
        try:
            await response.prepare(request)
            async for block in answer.content.iter_chunked(_BLOCK_BYTES):
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
        """Pass the messages of a websocket on in both directions until one side closes it; parameters as `request`.

        Returns
        -------
        response : aiohttp.web.WebSocketResponse
        by_browser : bool
            Whether the browser has closed it; False if it is not heard of any more, or the process has gone.
        """
        async with self._session.ws_connect(
            f"{address}{request.raw_path}", headers=headers, max_msg_size=0, compress=0
        ) as process:
            # Pictures, which are nearly all there is to send, are packed already.
            browser = web.WebSocketResponse(
                heartbeat=_HEARTBEAT_SECONDS, max_msg_size=_MAX_MESSAGE_BYTES, compress=False
            )
            await browser.prepare(request)
            inwards = asyncio.ensure_future(_take_in(browser, process))
            outwards = asyncio.ensure_future(_pump(process, browser))
            try:
                await asyncio.wait([inwards, outwards], return_when=asyncio.FIRST_COMPLETED)
                by_browser = inwards.done() and inwards.exception() is None and inwards.result()
            finally:
                for task in (inwards, outwards):
                    task.cancel()
                await asyncio.gather(inwards, outwards, return_exceptions=True)
                await browser.close(code=aiohttp.WSCloseCode.GOING_AWAY)
        return browser, by_browser


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
