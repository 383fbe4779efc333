"""A WebSocket that hands each whole message to a function in the moment in which it arrives: no queue, no task to be woken in between.

Rules:

* messages are handed on in order, whole, text and binary alike as bytes;
* what the function raises ends the connection and is what `ended` raises, as is whatever else ends it (`Ended`);
* compression is not offered: bytes are cheap here and time is not.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from time import monotonic

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

LARGEST = 1 << 26  # bytes of a message: a full-depth book of Coinbase's takes some megabytes

READ = 1 << 18  # bytes taken from the socket at once
TEXT = WSMsgType.TEXT

OnMessage = Callable[[bytes], None]


class Ended(Exception):
    """The connection ended, or could not be made; the message says how."""


class Socket(WSListener):
    """One connection. `ended` never has a result: it raises what ended the connection."""

    def __init__(self, on_message: OnMessage) -> None:
        self._on_message = on_message
        self._transport: WSTransport | None = None
        self._parts: list[bytes] = []
        self._open = True
        self.answered = 0.0  # when a ping was, by `monotonic`
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, text: bytes) -> None:
        """Send a text message; on a connection that has ended nothing happens."""
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, text)

    def ping(self) -> None:
        """Ask by the protocol's own ping whether the peer is there; see `answered`."""
        if self._transport is not None:
            self._transport.send_ping()

    async def close(self, seconds: float = 1.0) -> None:
        """Leave, waiting at most so long for the peer's word."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        transport.send_close()
        try:
            async with asyncio.timeout(seconds):
                await transport.wait_disconnected()
        except TimeoutError:
            transport.disconnect(graceful=False)

    # ---- picows's calls

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is TEXT and frame.fin and not self._parts and self._open:
            try:
                self._on_message(frame.get_payload_as_bytes())
            except Exception as error:
                self._fail(error, transport)
        else:
            self._other(kind, transport, frame)

    def _other(self, kind: WSMsgType, transport: WSTransport, frame: WSFrame) -> None:
        if kind is WSMsgType.CLOSE:
            code = frame.get_close_code()
            self._end(Ended(f"the venue closed: {code} {frame.get_close_message()!r:.200}"))
            transport.send_close()
            transport.disconnect()
            return
        if kind is WSMsgType.PONG:
            self.answered = monotonic()
        if not self._open or kind not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            return
        data = frame.get_payload_as_bytes()
        if not frame.fin:
            self._parts.append(data)
            if sum(map(len, self._parts)) > LARGEST:
                self._end(Ended("a message without end"))
                transport.disconnect(graceful=False)
            return
        if self._parts:
            data, self._parts = b"".join([*self._parts, data]), []
        try:
            self._on_message(data)
        except Exception as error:
            self._fail(error, transport)

    def _fail(self, error: Exception, transport: WSTransport) -> None:
        self._end(error)
        transport.disconnect(graceful=False)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        self._end(Ended("the connection was lost"))

    def _end(self, error: Exception) -> None:
        self._open = False
        if not self.ended.done():
            self.ended.set_exception(error)
            self.ended.exception()  # looked at: whoever waits is told, and nobody need wait


async def connect(url: str, on_message: OnMessage, seconds: float) -> Socket:
    """Connect within `seconds`. Raises `Ended`."""
    try:
        async with asyncio.timeout(seconds):
            _, socket = await ws_connect(
                lambda: Socket(on_message),
                url,
                ssl_context=ssl.create_default_context() if url.startswith("wss:") else None,
                websocket_handshake_timeout=seconds,
                max_frame_size=LARGEST,
                read_buffer_init_size=READ,
            )
    except (WSError, OSError, TimeoutError) as error:
        raise Ended(f"no connection to {url}: {str(error) or type(error).__name__}") from error
    assert isinstance(socket, Socket)
    return socket
