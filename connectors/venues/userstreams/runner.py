"""Following an account's private stream at one exchange: connect, log in, read, notice silence, start over.

    connect ─► opening ─► say … ─► up (StreamUp: reconcile) ─► events …
                                       └─► gap (StreamUp again) · silence, end, refusal, unreadable: connect anew

Rules:

* whatever was missed is not replayed: after each login, and after each jump of an exchange's own count, `StreamUp` says to ask;
* a connection on which nothing at all was heard for `silence` seconds is broken, whatever TCP thinks; exchanges that say nothing by
  themselves are pinged in time for that;
* what cannot be read breaks the connection, so that what it told is asked for.

A `UserStream` is one exchange's part of it: I/O-free, one object for all connections, told of each new one by `opening`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import aiohttp
from ccxt.base import errors  # type: ignore[import-untyped, unused-ignore]  # upstream ships no types

from connectors.venues.dialect import Send
from connectors.venues.outcomes import StreamUp, VenueEvent

log = logging.getLogger(__name__)

RECONNECT = (0.1, 5.0)  # seconds: the first and the longest wait between attempts
LOGIN = 10.0  # seconds until the stream must be up


class StreamBroken(Exception):
    """The connection cannot be followed any further."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who listens. `now_ms` is the venue's clock; `ask` sends a signed request over REST; `token(seconds)` makes a JWT of the key, None
    where the key signs with a shared secret."""

    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    password: str = field(repr=False)
    now_ms: Callable[[], int]
    ask: Callable[[Send], Awaitable[Any]]
    token: Callable[[int], str] | None = None


@dataclass(slots=True)
class Heard:
    """What a message says. `events` name orders by our id on the wire ("" where it is not told); `say` is to be answered, `up`: the
    subscription stands, `gap`: something was missed."""

    events: list[VenueEvent] = field(default_factory=list)
    say: list[str] = field(default_factory=list)
    up: bool = False
    gap: bool = False


class UserStream(ABC):
    """One exchange's private stream for one account."""

    address: ClassVar[str]
    sandbox: ClassVar[str | None] = None
    ping: ClassVar[str | None] = None  # what makes the exchange say something

    def __init__(self, account: Account) -> None:
        self.account = account

    @abstractmethod
    async def opening(self) -> list[str]:
        """What to say first on a new connection. Raises what asking over REST raises."""

    @abstractmethod
    def read(self, message: str) -> Heard:
        """Raises `StreamBroken` when the exchange refuses or ends the stream, `ValueError`, `KeyError`, `TypeError` for what cannot be read."""


class Runner:
    """Follows one stream at `url`. `silence` in seconds."""

    def __init__(self, name: str, stream: UserStream, url: str, silence: float) -> None:
        self._name, self._stream, self._url, self._silence = name, stream, url, silence
        self._broken = asyncio.Event()

    def doubt(self) -> None:
        """Others know better what the stream should have told: connect anew."""
        self._broken.set()

    async def run(self) -> AsyncIterator[StreamUp | VenueEvent]:
        """For ever."""
        wait, longest = RECONNECT
        async with aiohttp.ClientSession() as http:
            while True:
                try:
                    async for event in self._connection(http):
                        wait = RECONNECT[0]
                        yield event
                except (StreamBroken, aiohttp.ClientError, OSError, TimeoutError, errors.BaseError) as error:
                    log.warning("%s: user stream: %s", self._name, str(error)[:200] or type(error).__name__)
                except (ValueError, KeyError, TypeError) as error:
                    log.error("%s: unreadable on the user stream: %r", self._name, error)
                await asyncio.sleep(wait)
                wait = min(wait * 2, longest)

    async def _connection(self, http: aiohttp.ClientSession) -> AsyncIterator[StreamUp | VenueEvent]:
        self._broken.clear()
        began = last = time.monotonic()
        up = False
        timeout = aiohttp.ClientWSTimeout(ws_close=1.0)
        async with asyncio.timeout(LOGIN):
            socket = await http.ws_connect(self._url, timeout=timeout, max_msg_size=0)
        take = asyncio.ensure_future(socket.receive())
        broken = asyncio.ensure_future(self._broken.wait())
        try:
            for text in await self._stream.opening():
                await socket.send_str(text)
            while True:
                await asyncio.wait({take, broken}, timeout=self._silence / 3, return_when=asyncio.FIRST_COMPLETED)
                now = time.monotonic()
                if broken.done():
                    raise StreamBroken("it should have told what was asked for")
                if not up and now - began > LOGIN:
                    raise StreamBroken("no answer to the login")
                if not take.done():
                    if now - last > self._silence:
                        raise StreamBroken(f"nothing heard for {self._silence:.0f} s")
                    if self._stream.ping is not None:
                        await socket.send_str(self._stream.ping)
                    continue
                message, last = take.result(), now
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise StreamBroken(f"it ended ({message.type.name} {message.data})")
                take = asyncio.ensure_future(socket.receive())
                heard = self._stream.read(message.data)
                for text in heard.say:
                    await socket.send_str(text)
                for event in heard.events:
                    yield event
                if heard.up or heard.gap:
                    if heard.gap:
                        log.info("%s: the user stream left something out", self._name)
                    up = True
                    yield StreamUp()
        finally:
            for task in (take, broken):
                task.cancel()
            await asyncio.gather(take, broken, return_exceptions=True)
            await socket.close()
