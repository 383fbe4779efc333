"""What can go wrong with one request or one event of the user stream, while the venue goes on: singly, or at random from a seed.

Of a request (`accepts`: whether the venue acts on it first):

    reset        the connection is cut                     page         an HTML page with `status` (500, 502, 503, 504, 523)
    429, 418     refused with Retry-After, never acted on  cut          acted on, the body ends in the middle
    empty        acted on, 200 without a body              braces       acted on, 200 with `{}`
    maintenance  503, as JSON                              late         acted on, the answer comes `latency` seconds late

Of an event: `lose`, `double`, `delay`, `swap` (with the next), `terminate` (the subscription ends with `eventStreamTerminated`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import orjson
from aiohttp import web

REQUESTS = ("reset", "page", "429", "418", "cut", "empty", "braces", "maintenance", "late")
EVENTS = ("lose", "double", "delay", "swap", "terminate")
PAGES = (500, 502, 503, 504, 523)
REFUSALS = ("429", "418", "maintenance")
PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TERMINATED = orjson.dumps({"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 0}})


@dataclass(slots=True)
class Mishaps:
    """A source of them: each request or event meets one of `kinds` with probability `rate`, `times` times at most."""

    kinds: Sequence[str] = ()
    rate: float = 1.0
    seed: int = 0
    times: int | None = None
    accepts: bool | None = None  # None: either, at random
    status: int | None = None
    retry_after: int = 1
    latency: float = 0.5
    counts: Counter[str] = field(default_factory=Counter)
    _random: Random = field(init=False)

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

    async def answer(self, kind: str, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Have a request meet a mishap."""
        if kind in ("429", "418"):
            headers = {"Retry-After": str(self.retry_after)}
            return web.json_response({"code": -1003, "msg": "Too many requests."}, status=int(kind), headers=headers)
        if kind == "maintenance":
            return web.json_response({"code": -1016, "msg": "This service is no longer available."}, status=503)
        acts = self._random.random() < 0.5 if self.accepts is None else self.accepts
        response = await handler(request) if acts or kind not in ("reset", "page") else None
        if kind == "reset":
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
    """One connection's user events as they leave it: what goes out for each that comes in."""

    def __init__(self) -> None:
        self._held: bytes | None = None

    async def after(self, mishaps: Mishaps | None, event: bytes) -> list[bytes]:
        held, self._held = self._held, None
        kind = mishaps.draw(EVENTS) if mishaps is not None else None
        out = [event]
        if kind == "lose":
            out = []
        elif kind == "double":
            out = [event, event]
        elif kind == "swap":
            out, self._held = [], event
        elif kind == "terminate":
            out = [event, TERMINATED]
        elif kind == "delay" and mishaps is not None:
            await asyncio.sleep(mishaps.latency)
        return [*out, held] if held is not None else out
