"""What can go wrong with one request or one event of the user stream, while the venue goes on: singly, or at random from a seed.

Of a request (`accepts`: whether the venue acts on it first):

    reset        the connection is cut                     page         an HTML page with `status` (500, 502, 503, 504, 523)
    429, 418     refused with Retry-After, never acted on  cut          acted on, the body ends in the middle
    empty        acted on, 200 without a body              braces       acted on, 200 with `{}`
    maintenance  "not now", in the dialect's words         late         acted on, the answer comes `latency` seconds late
    hang         no answer; cut after `hang` seconds       skew         for `skew_seconds` the venue's clock is `skew_ms` off, either way

Of a new order alone: `reject` (refused with `code`, or one of the dialect's own) and `partial` (another trader takes part of what it
would have taken, a moment before).

Of an event: `lose`, `double`, `delay`, `swap` (with the next), `terminate` (the stream ends as the dialect ends one), `break` (the
connection is cut, the event lost), `mute` (the connection stays and tells nothing more).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from aiohttp import web

from connectors.simulator.voice import Voice

ORDERS = ("reject", "partial")
REQUESTS = (
    *("reset", "page", "429", "418", "cut", "empty", "braces", "maintenance", "late", "hang", "skew"),
    *ORDERS,
)
EVENTS = ("lose", "double", "delay", "swap", "terminate", "break", "mute")
PAGES = (500, 502, 503, 504, 523)
PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
CUT = b""  # in the place of an event: the connection ends here
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Mishaps:
    """A source of them: each request or event meets one of `kinds` with probability `rate`, `times` times at most; of requests, new orders
    alone where `orders` says so."""

    kinds: Sequence[str] = ()
    rate: float = 1.0
    seed: int = 0
    times: int | None = None
    orders: bool = False
    accepts: bool | None = None  # None: either, at random
    status: int | None = None
    retry_after: int = 1
    latency: float = 0.5
    hang: float = 6.0
    skew_ms: int = 60_000
    skew_seconds: float = 2.0
    code: str | int | None = None
    words: str = "refused"
    counts: Counter[str] = field(default_factory=Counter)
    _random: Random = field(init=False)
    _skew: int = 0
    _skewed_until: float = 0.0

    def __post_init__(self) -> None:
        if unknown := set(self.kinds) - {*REQUESTS, *EVENTS}:
            raise ValueError(
                f"no such mishap: {', '.join(sorted(unknown))}; there are {', '.join((*REQUESTS, *EVENTS))}"
            )
        if not 0 <= self.rate <= 1:
            raise ValueError("rate is between 0 and 1")
        self._random = Random(self.seed)

    def draw(self, of: Sequence[str]) -> str | None:
        """Which one happens now, of these, if any."""
        possible = [kind for kind in self.kinds if kind in of]
        if not possible or (self.times is not None and self.counts.total() >= self.times):
            return None
        if self._random.random() >= self.rate:
            return None
        kind = self._random.choice(possible)
        self.counts[kind] += 1
        return kind

    @property
    def clock_ms(self) -> int:
        """How far off the venue's clock is now."""
        return self._skew if time.monotonic() < self._skewed_until else 0

    async def meet(
        self, request: web.Request, handler: Handler, voice: Voice, overtake: Callable[[], None]
    ) -> web.StreamResponse:
        """Have a request handled, and perhaps meet a mishap. `overtake`: the next order finds another was faster."""
        if self.orders and not voice.places(request):
            return await handler(request)
        kind = self.draw(REQUESTS if voice.places(request) else [kind for kind in REQUESTS if kind not in ORDERS])
        if kind is None:
            return await handler(request)
        if kind in ("429", "418"):
            return voice.limited(int(kind), self.retry_after)
        if kind == "maintenance":
            return voice.maintenance()
        if kind == "reject":
            own = (self.code, self.words) if self.code is not None else self._random.choice(voice.rejections)
            return voice.rejected(own[0], own[1])
        if kind == "partial":
            overtake()
            return await handler(request)
        if kind == "skew":
            self._skew = self.skew_ms * self._random.choice((-1, 1))
            self._skewed_until = time.monotonic() + self.skew_seconds
            return await handler(request)
        return await self._spoilt(kind, request, handler)

    async def _spoilt(self, kind: str, request: web.Request, handler: Handler) -> web.StreamResponse:
        acts = self._random.random() < 0.5 if self.accepts is None else self.accepts
        response = await handler(request) if acts or kind not in ("reset", "page", "hang") else None
        if kind == "hang":
            await asyncio.sleep(self.hang)
        if kind in ("reset", "hang"):
            if request.transport is not None:
                request.transport.abort()
            return response or web.Response(status=503)
        if kind == "page" or response is None:
            status = self.status or self._random.choice(PAGES)
            return web.Response(status=status, text=PAGE.format(status), content_type="text/html")
        if kind == "late":
            await asyncio.sleep(self.latency)
            return response
        body = getattr(response, "body", b"") or b""
        found = {"empty": b"", "braces": b"{}"}.get(kind, bytes(body)[: len(body) // 2])
        return web.Response(status=response.status, body=found, content_type="application/json")


class Shaken:
    """One connection's user events as they leave it: what goes out for each that comes in. `farewell` is how the dialect ends a stream."""

    def __init__(self, farewell: Sequence[bytes] = (CUT,)) -> None:
        self._farewell = farewell
        self._held: bytes | None = None
        self._mute = False

    async def after(self, mishaps: Mishaps | None, event: bytes) -> list[bytes]:
        """What to send, in order; `CUT` ends the connection."""
        if self._mute:
            return []
        held, self._held = self._held, None
        kind = mishaps.draw(EVENTS) if mishaps is not None else None
        out = [event]
        if kind in ("lose", "mute"):
            out, self._mute = [], kind == "mute"
        elif kind == "double":
            out = [event, event]
        elif kind == "swap":
            out, self._held = [], event
        elif kind == "terminate":
            out = [event, *self._farewell]
        elif kind == "break":
            out = [CUT]
        elif kind == "delay" and mishaps is not None:
            await asyncio.sleep(mishaps.latency)
        return [*out, held] if held is not None else out
