"""What all dialects' WebSocket ends share: connections, who listens to what, books as windows, and the exchange's `Listener`.

Rules:

* an event is made when it happens, numbered then as the dialect numbers, and may meet a mishap only on its way out (`Outlet`);
* a book is told by its best levels (`Window`): whole when it is subscribed, then every tenth of a second what changed since;
* private events go to those who have shown that they are the account, by the dialect's own login.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson
from aiohttp import WSMsgType, web

from connectors.simulator.dialects.base import Denied, Foreign
from connectors.simulator.exchange import Market, Order, Print, Trade
from connectors.simulator.faults import Faults
from connectors.simulator.matching import Book, Level
from connectors.simulator.streams import Outlet

HEARTBEAT = 30.0  # seconds; a peer that does not answer a ping is gone
LARGEST = 1 << 16  # bytes of a client's message


class Window:
    """The best `depth` levels of a book as a connection knows them."""

    __slots__ = ("asks", "bids", "depth", "told")

    def __init__(self, depth: int) -> None:
        self.depth, self.told = depth, 0
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}

    def move(self, book: Book, falls_silently: bool) -> tuple[list[Level], list[Level]]:
        """What changed since it moved last, bids and asks; a quantity of 0 is a level that is gone.

        `falls_silently`: a level that is only too far from the best now is not told of, for the client drops it himself.
        """
        changes = []
        for name, side in (("bids", book.bids), ("asks", book.asks)):
            before: dict[int, int] = getattr(self, name)
            now = dict(side.levels(self.depth))
            gone = [p for p in before if p not in now and not (falls_silently and p in side.total)]
            changed = [(p, q) for p, q in now.items() if before.get(p) != q]
            changes.append([*((price, 0) for price in gone), *changed])
            setattr(self, name, now)
        return changes[0], changes[1]


class Line:
    """One connection. `path` is where it was opened; `books` and `trades` are by the exchange's symbol id."""

    def __init__(self, outlet: Outlet, path: str) -> None:
        self.outlet, self.path = outlet, path
        self.account: str | None = None  # whose orders it hears of
        self.books: dict[str, Window] = {}
        self.trades: set[str] = set()
        self.channels: set[str] = set()
        self.count = itertools.count()  # of messages, or of private events: the dialect's

    def say(self, body: object, user: bool = False) -> None:
        """Queue a message."""
        self.outlet.send(body if isinstance(body, bytes) else orjson.dumps(body), user)

    def tell(self, body: object) -> None:
        """Queue market data, which a venue may lose."""
        self.outlet.tell(body if isinstance(body, bytes) else orjson.dumps(body))


class ForeignStreams:
    """The WebSocket end of one venue in a dialect; the exchange's `Listener`. `now` gives milliseconds."""

    paths: ClassVar[tuple[str, ...]]
    falls_silently: ClassVar[bool] = False

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.lines: set[Line] = set()
        self._open: set[web.WebSocketResponse] = set()
        self.foreign: Foreign
        self._faults: Faults

    def bind(self, foreign: Foreign, faults: Faults) -> None:
        """Before the first connection: where symbols and keys are known, and what may go wrong."""
        self.foreign, self._faults = foreign, faults

    # ---- what a dialect says

    def greet(self, line: Line) -> None:
        """A connection was opened."""

    def hear(self, line: Line, text: str) -> None:
        """What a client said. Raises `ValueError`, `KeyError`, `TypeError` for what cannot be read."""
        raise NotImplementedError

    def refused(self, line: Line, error: Exception) -> None:
        """What could not be read."""
        raise NotImplementedError

    def book(self, line: Line, market: Market, window: Window, bids: list[Level], asks: list[Level]) -> None:
        """Tell what changed in a window, or all of it when `window.told` is 0."""
        raise NotImplementedError

    def traded(self, line: Line, market: Market, public: Print) -> None:
        raise NotImplementedError

    def ordered(self, line: Line, order: Order, what: str, trade: Trade | None) -> None:
        """Tell an account of its order, as one who may be lied to: `Line.say(…, user=True)`."""
        raise NotImplementedError

    def heart(self) -> None:
        """A second has passed."""

    # ---- connections

    def routes(self) -> list[web.RouteDef]:
        return [web.get(path, self._handle) for path in self.paths]

    async def close(self) -> None:
        """Tell every peer that the venue goes away."""
        await asyncio.gather(*(s.close(code=1001, message=b"going away") for s in list(self._open)))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT, max_msg_size=LARGEST, compress=False, timeout=1.0, autoping=False
        )
        await socket.prepare(request)
        line = Line(Outlet(socket, request.transport, self._faults), request.path)
        self._open.add(socket)
        self.lines.add(line)
        writer = asyncio.create_task(line.outlet.run())
        try:
            self.greet(line)
            async for message in socket:
                if message.type is WSMsgType.PING:
                    line.outlet.pong(message.data)
                if message.type is not WSMsgType.TEXT:
                    continue
                try:
                    self.hear(line, message.data)
                except (ValueError, KeyError, TypeError, Denied) as error:
                    self.refused(line, error)
        finally:
            self._open.discard(socket)
            self.lines.discard(line)
            writer.cancel()
        return socket

    def follow(self, line: Line, market_id: object, depth: int) -> None:
        """Tell a book from now on. Raises `Denied`."""
        market = self.foreign.exchange.markets[self.foreign.rules(market_id).id]
        window = line.books[market.rules.id] = Window(depth)
        self._move(line, market, window)

    def _move(self, line: Line, market: Market, window: Window) -> None:
        if window.told == market.update_id or self._faults.mute:
            return
        bids, asks = window.move(market.book, self.falls_silently)
        if bids or asks or not window.told:
            self.book(line, market, window, bids, asks)
            window.told = market.update_id

    # ---- what the exchange tells

    def report(self, order: Order, what: str, trade: Trade | None, cancel_id: str) -> None:
        for line in self.lines:
            if line.account == order.account:
                self.ordered(line, order, what, trade)

    def balances(self, account: str, changed: Mapping[str, tuple[int, int]], at: int) -> None:
        """Not told: balances are asked for."""

    def printed(self, market: Market, public: Print) -> None:
        for line in self.lines:
            if market.rules.id in line.trades and not self._faults.mute:
                self.traded(line, market, public)

    def moved(self, market: Market) -> None:
        """Told with the next beat."""

    def flush(self, market: Market, slow: bool) -> None:
        """Tell what changed in the depth since the last beat."""
        for line in self.lines:
            if window := line.books.get(market.rules.id):
                self._move(line, market, window)
        market.book.bids.dirty.clear()
        market.book.asks.dirty.clear()


def parsed(text: str) -> dict[str, Any]:
    """A client's JSON object. Raises `ValueError`."""
    found = orjson.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def trimmed(value: str) -> str:
    """`60000.10000000` as `60000.1`."""
    return value.rstrip("0").rstrip(".") if "." in value else value
