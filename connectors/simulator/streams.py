"""What the venue pushes: market streams, and the user streams of its accounts. The exchange's `Listener`.

Rules:

* An event is made when it happens, from the state as it then is, and only if somebody listens.
* Each connection has a queue and a task that empties it, so that a slow reader holds up nobody; one that falls too far behind is cut.
* Depth goes out in steps (100 ms and 1 s): one event tells each level that changed since the last, covers the update ids `U` to `u`, and
  begins where the one before ended. Nothing is sent when nothing changed.
* `/stream` wraps events as `{"stream", "data"}`, `/ws` does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from aiohttp import ClientConnectionError, WSMsgType, web

from connectors.simulator import dialect
from connectors.simulator.exchange import Market, Order, Print, Trade
from connectors.simulator.faults import Faults
from connectors.simulator.mishaps import CUT, Shaken

log = logging.getLogger(__name__)

BACKLOG = 20_000  # events a reader may be behind
FAST, SLOW = "depth@100ms", "depth"
KINDS = (FAST, SLOW, "trade", "bookTicker")


class Outlet:
    """One connection's way out."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        faults: Faults,
        wrapped: bool = False,
    ) -> None:
        self._socket, self._transport, self._faults, self.wrapped = socket, transport, faults, wrapped
        self._queue: asyncio.Queue[tuple[bytes, bool, WSMsgType]] = asyncio.Queue()
        self.streams: set[str] = set()
        self._shaken = Shaken(faults.voice.farewell)

    def send(self, data: bytes, user: bool = False) -> None:
        """Queue a message, or cut a connection whose reader is too far behind. What is a `user`'s may meet a mishap on its way."""
        if self._queue.qsize() < BACKLOG:
            self._queue.put_nowait((data, user, WSMsgType.TEXT))
        elif self._transport is not None:
            log.info("a reader is %d events behind: cut", BACKLOG)
            self._transport.abort()
            self._transport = None

    def tell(self, data: bytes) -> None:
        """Queue market data, unless the venue loses it."""
        if not self._faults.mute:
            self.send(data)

    def pong(self, data: bytes) -> None:
        """Answer a ping, in its turn: a venue that hangs answers none."""
        self._queue.put_nowait((data, False, WSMsgType.PONG))

    async def run(self) -> None:
        """Send what is queued, until the connection ends."""
        while True:
            data, user, kind = await self._queue.get()
            await self._faults.flowing()
            told = await self._shaken.after(self._faults.now.mishaps, data) if user else [data]
            try:
                for one in told:
                    if user and one == CUT:
                        await self._socket.close(code=1001, message=b"going away")
                        return
                    await self._socket.send_frame(one, kind)
            except (ClientConnectionError, ConnectionError):
                return  # who receives on it sees the end too, and cleans up


class _Depth:
    """What one cadence of a symbol's depth stream has not told yet."""

    __slots__ = ("asks", "bids", "told")

    def __init__(self, told: int) -> None:
        self.bids: set[int] = set()
        self.asks: set[int] = set()
        self.told = told


class Streams:
    """All subscriptions of one venue. `now` gives milliseconds."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._market: dict[str, set[Outlet]] = defaultdict(set)
        self._users: dict[str, dict[Outlet, int]] = defaultdict(dict)
        self._depths: dict[str, tuple[_Depth, _Depth]] = {}
        self._quoted: dict[str, tuple[Any, Any]] = {}

    # ---- who listens

    def subscribe(self, outlet: Outlet, names: Iterable[str]) -> None:
        """Add market streams (`btcusdt@trade`)."""
        for name in names:
            self._market[name].add(outlet)
            outlet.streams.add(name)

    def unsubscribe(self, outlet: Outlet, names: Iterable[str]) -> None:
        for name in names:
            self._market[name].discard(outlet)
            outlet.streams.discard(name)

    def subscribe_user(self, outlet: Outlet, account: str, number: int) -> None:
        """Events of an account, under a subscription number of the connection."""
        self._users[account][outlet] = number

    def unsubscribe_user(self, outlet: Outlet, number: int | None = None) -> None:
        for listening in self._users.values():
            if number is None or listening.get(outlet) == number:
                listening.pop(outlet, None)

    def leave(self, outlet: Outlet) -> None:
        """A connection ended."""
        self.unsubscribe(outlet, list(outlet.streams))
        self.unsubscribe_user(outlet)

    # ---- what the exchange tells

    def report(self, order: Order, what: str, trade: Trade | None, cancel_id: str) -> None:
        if self._users.get(order.account):
            event = dialect.execution_report(order, what, trade, cancel_id, self._now())
            self._to_user(order.account, event)

    def balances(self, account: str, changed: Mapping[str, tuple[int, int]], at: int) -> None:
        if self._users.get(account):
            self._to_user(account, dialect.account_position(changed, at, self._now()))

    def printed(self, market: Market, public: Print) -> None:
        name = f"{market.rules.id.lower()}@trade"
        if self._market.get(name):
            self._publish(name, dialect.trade_event(market.rules.id, public, self._now()))

    def moved(self, market: Market) -> None:
        name = f"{market.rules.id.lower()}@bookTicker"
        if not self._market.get(name):
            return
        quote = market.book.bids.best(), market.book.asks.best()
        if self._quoted.get(name) != quote:
            self._quoted[name] = quote
            self._publish(name, dialect.book_ticker_event(market))

    def heart(self) -> None:
        """A second has passed: nothing is said of that here."""

    def flush(self, market: Market, slow: bool) -> None:
        """Tell what changed in the depth; `slow` when the slow cadence is due as well."""
        book, symbol = market.book, market.rules.id.lower()
        if symbol not in self._depths:
            self._depths[symbol] = _Depth(market.first), _Depth(market.first)
        depths = self._depths[symbol]
        for depth in depths:
            depth.bids |= book.bids.dirty
            depth.asks |= book.asks.dirty
        book.bids.dirty.clear()
        book.asks.dirty.clear()
        for kind, depth in zip((FAST, SLOW), depths, strict=True):
            if kind == SLOW and not slow:
                continue
            name = f"{symbol}@{kind}"
            if depth.told < market.update_id and self._market.get(name):
                first = depth.told + 1
                self._publish(name, dialect.depth_update(market, first, depth.bids, depth.asks, self._now()))
            depth.told = market.update_id
            depth.bids.clear()
            depth.asks.clear()

    def _publish(self, name: str, event: object) -> None:
        plain = orjson.dumps(event)
        wrapped = b'{"stream":"%s","data":%s}' % (name.encode(), plain)
        for outlet in self._market[name]:
            outlet.tell(wrapped if outlet.wrapped else plain)

    def _to_user(self, account: str, event: object) -> None:
        body = orjson.dumps(event)
        for outlet, number in self._users[account].items():
            outlet.send(b'{"subscriptionId":%d,"event":%s}' % (number, body), user=True)
