"""Faults of a whole venue, on command: what an exchange's bad day looks like to those who trade on it.

    down    the port is closed and every connection cut
    hang    requests are taken and not answered, streams fall silent
    503     every request gets a 503 that says nothing
    slow    every request takes `latency_ms` longer
    reject  new orders are refused with `code`, `words`, `status`, the next `times` of them; or cancels, where `cancels` says so
    feed    market data is lost: the sockets stay and answer, and so does all else
    skew    the venue's clock goes `skew_ms` ahead
    shaken  single requests and events meet what `mishaps` lists: `kinds`, `rate`, `seed`, `times`, and what `Mishaps` takes beside
    ok      none of these

`accepts` tells on which side of the venue's matching it happens: without it a request that hangs, is slow or gets a 503 has not been
acted on (a hanging or slow one will be, if it still is in time); with it the request has been acted on, and only the answer suffers.
`seconds` ends a fault by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from aiohttp import web

from connectors.simulator.mishaps import EVENTS, REQUESTS, Mishaps
from connectors.simulator.voice import Voice

log = logging.getLogger(__name__)

FaultKind = Literal["down", "hang", "503", "slow", "reject", "feed", "skew", "shaken", "ok"]
CONTROL = "/sim/"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Spared = asyncio.BaseTransport | None


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """One fault; `over` is set when another takes its place."""

    kind: FaultKind = "ok"
    accepts: bool = False
    seconds: float | None = None
    latency: float = 1.0
    code: str | int | None = None  # None: one of the dialect's own
    words: str = "refused"
    status: int | None = None
    times: int | None = None
    cancels: bool = False
    skew_ms: int = 0
    mishaps: Mishaps | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


def fault(raw: Mapping[str, Any]) -> Fault:
    """What a command asks for. Raises `ValueError`."""
    given = dict(raw)
    kind = given.pop("kind", None)
    if kind not in get_args(FaultKind):
        raise ValueError(f"kind is one of {', '.join(get_args(FaultKind))}")
    if "latency_ms" in given:
        given["latency"] = float(given.pop("latency_ms")) / 1000
    if kind == "shaken":
        return _shaken(given)
    readers: Mapping[str, Callable[[Any], Any]] = {
        "accepts": bool,
        "seconds": float,
        "latency": float,
        "code": lambda code: code if isinstance(code, int) else str(code),
        "words": str,
        "status": int,
        "times": int,
        "cancels": bool,
        "skew_ms": int,
    }
    if unknown := given.keys() - readers.keys():
        raise ValueError(f"no such field: {', '.join(sorted(unknown))}")
    try:
        return Fault(kind, **{name: readers[name](value) for name, value in given.items()})
    except TypeError as error:
        raise ValueError(str(error)) from error


def _shaken(given: dict[str, Any]) -> Fault:
    seconds = given.pop("seconds", None)
    given.setdefault("kinds", [*REQUESTS, *EVENTS])
    try:
        return Fault("shaken", seconds=None if seconds is None else float(seconds), mishaps=Mishaps(**given))
    except TypeError as error:
        raise ValueError(str(error)) from error


class Faults:
    """The present fault of one venue, which speaks with `voice`.

    `changed` is called with each new one, and with the connection over which it was asked for; `overtake` has another be faster than
    the next order.
    """

    def __init__(
        self,
        venue: str,
        changed: Callable[[Fault, Spared], Awaitable[None]],
        voice: Voice,
        overtake: Callable[[], None],
    ) -> None:
        self._venue, self._changed, self.voice, self._overtake = venue, changed, voice, overtake
        self.now = Fault()
        self._met: Counter[str] = Counter()
        self._refused = 0  # by the present fault
        self._tasks: set[asyncio.Task[None]] = set()

    async def set(self, new: Fault, spared: Spared = None) -> None:
        """Put `new` in the place of what was; `spared` is a connection that still has to carry an answer."""
        before, self.now, self._refused = self.now, new, 0
        if before.mishaps is not None:
            self._met.update(before.mishaps.counts)
        log.info("%s: fault %s%s", self._venue, new.kind, f" for {new.seconds} s" if new.seconds else "")
        before.over.set()
        await self._changed(new, spared)
        if new.seconds is not None and new.kind != "ok":
            task = asyncio.create_task(self._end(new, new.seconds))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _end(self, of: Fault, seconds: float) -> None:
        try:
            await asyncio.wait_for(of.over.wait(), seconds)
        except TimeoutError:
            try:
                await self.set(Fault())
            except OSError as error:
                log.error("%s: cannot come back: %s", self._venue, error)

    @property
    def met(self) -> dict[str, int]:
        """How often each mishap has happened."""
        return dict(self._met + (self.now.mishaps.counts if self.now.mishaps is not None else Counter()))

    @property
    def clock_ms(self) -> int:
        """How far the venue's clock is ahead."""
        now = self.now
        return now.skew_ms + (0 if now.mishaps is None else now.mishaps.clock_ms)

    @property
    def mute(self) -> bool:
        """Whether market data is lost."""
        return self.now.kind == "feed"

    async def flowing(self) -> None:
        """Return when the streams may speak."""
        while self.now.kind == "hang":
            await self.now.over.wait()

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Have a request handled as the present fault has it."""
        now = self.now
        if now.kind == "ok" or request.path.startswith(CONTROL):
            return await handler(request)
        if now.kind == "down":
            # a connection that was spared when the fault was asked for over it
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        streams = request.headers.get("Upgrade", "").lower() == "websocket"
        if now.kind in ("skew", "feed") or (now.kind == "shaken" and streams):
            return await handler(request)
        if now.mishaps is not None:
            return await now.mishaps.meet(request, handler, self.voice, self._overtake)
        acts = now.accepts and not streams
        if now.kind == "reject":
            left = now.times is None or self._refused < now.times
            if left and (self.voice.cancels(request) if now.cancels else self.voice.places(request)):
                self._refused += 1
                code, words = self.voice.rejections[0] if now.code is None else (now.code, now.words)
                return self.voice.rejected(code, words, now.status)
            return await handler(request)
        response = await handler(request) if acts else None
        if now.kind == "503":
            return web.Response(status=503, text="Service Unavailable")
        if now.kind == "hang":
            await self.flowing()
        elif now.kind == "slow":
            await asyncio.sleep(now.latency)
        return await handler(request) if response is None else response
