"""What the feed's tests share: a venue under their command, and a reader that believes nothing.

`VenueBook` is a venue's one true book: it changes at random, counts its updates and remembers how it was at each. `FeedVenue` serves such
books in Binance's dialect over real HTTP and WebSocket, with faults at exact places. `Reader` rebuilds a book from `market.books` as a
router does and asserts the contract at each record.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

from aiohttp import WSMsgType, web

from connectors.feeds.market import Depth
from schemas.records import BookUpdate, BookUpdateKind

SCALE = 10**8
Sides = tuple[dict[int, int], dict[int, int]]


def text(value: int) -> str:
    return f"{value // SCALE}.{value % SCALE:08d}"


class VenueBook:
    """Bids below 100, asks above; each move changes some levels and takes one to three update ids."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.bids = {(100 - i) * SCALE: rng.randint(1, 9) * SCALE for i in range(1, 21)}
        self.asks = {(100 + i) * SCALE: rng.randint(1, 9) * SCALE for i in range(1, 21)}
        self.update = rng.randint(1, 10**9)
        self.history: dict[int, Sides] = {self.update: self.now()}

    def now(self) -> Sides:
        return dict(self.bids), dict(self.asks)

    def move(self) -> Depth:
        first, before = self.update + 1, self.update
        changed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for _ in range(self.rng.randint(1, 3)):
            self.update += 1
            side = self.rng.randint(0, 1)
            mine = (self.bids, self.asks)[side]
            price = (100 + (self.rng.randint(1, 25) if side else -self.rng.randint(1, 25))) * SCALE
            quantity = self.rng.choice((0, self.rng.randint(1, 10**12)))
            if len(mine) < 3 and not quantity:
                quantity = SCALE
            if quantity:
                mine[price] = quantity
            else:
                mine.pop(price, None)
            changed[side][price] = quantity
            self.history[self.update] = self.now()
        assert self.update > before
        return Depth(first, self.update, None, tuple(changed[0].items()), tuple(changed[1].items()), None)

    def snapshot(self) -> Depth:
        return Depth(None, self.update, None, tuple(self.bids.items()), tuple(self.asks.items()), None)


class Witnessed(dict[int, Sides]):
    """A truth that is not known beforehand: the book first read at an update id, which every later reading must repeat."""


class Reader:
    """Rebuilds one venue's book of one symbol; `truth` is the venue's book at each update id."""

    def __init__(self, truth: dict[int, Sides]) -> None:
        self.truth = truth
        self.book: Sides | None = None
        self.last_id: int | None = None
        self.kinds: list[BookUpdateKind] = []

    def take(self, update: BookUpdate) -> None:
        self.kinds.append(update.kind)
        if update.kind is BookUpdateKind.STALE:
            self.book = self.last_id = None
            return
        bids, asks = ({level.price: level.quantity for level in side} for side in (update.bids, update.asks))
        if update.kind is BookUpdateKind.SNAPSHOT:
            if self.last_id == update.last_id:
                assert self.book == (bids, asks), "a snapshot of the same update is another book"
            else:
                assert self.last_id is None, "a snapshot jumped, and no STALE said why"
            self.book, self.last_id = (bids, asks), update.last_id
        else:
            assert self.book is not None, "a diff of a book that is not known"
            assert update.previous_id == self.last_id and update.first_id == (self.last_id or 0) + 1
            for mine, levels in zip(self.book, (bids, asks), strict=True):
                for price, quantity in levels.items():
                    if quantity:
                        mine[price] = quantity
                    else:
                        mine.pop(price, None)
            self.last_id = update.last_id
        assert self.last_id is not None
        if isinstance(self.truth, Witnessed):
            self.truth.setdefault(self.last_id, (dict(self.book[0]), dict(self.book[1])))
        assert self.book == self.truth[self.last_id], f"not the venue's book at update {self.last_id}"


class FeedVenue:
    """`symbols` are Binance's ids. Faults: `refuse` answers snapshots with that status; `stale_snapshots` answers that many with the
    book as it was at first; `muted` changes books without telling; `drop` does so once."""

    def __init__(self, symbols: list[str], seed: int = 7) -> None:
        self.rng = random.Random(seed)
        self.books = {s: VenueBook(self.rng) for s in symbols}
        self.trades: dict[str, list[str]] = {s: [] for s in symbols}
        self.refuse = self.stale_snapshots = 0
        self.muted = self.drop = False
        self.sockets: set[web.WebSocketResponse] = set()
        self.connections = self.snapshots_asked = self.refused = 0
        self.asked_at: list[float] = []
        self.changed = asyncio.Condition()
        self._first = {s: b.snapshot() for s, b in self.books.items()}
        self._runner: web.AppRunner
        self.port = 0

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/api/v3/depth", self._depth)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self.disconnect()
        await self._runner.cleanup()

    def config(self, name: str, symbols: list[str]) -> dict[str, Any]:
        at = f"127.0.0.1:{self.port}"
        return {
            "name": name,
            "exchange": "binance",
            "rest_url": f"http://{at}",
            "ws_url": f"ws://{at}",
            "symbols": symbols,
        }

    async def until(self, told: Any) -> None:
        """Wait until `told()` of what the feed has done here."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(told), 20)

    async def move(self, symbol: str, times: int = 1) -> None:
        for _ in range(times):
            c = self.books[symbol].move()
            if self.muted or self.drop:
                self.drop = False
                continue
            data = {"e": "depthUpdate", "E": 1_700_000_000_000, "s": symbol, "U": c.first_id, "u": c.last_id}
            data |= {"b": [[text(p), text(q)] for p, q in c.bids], "a": [[text(p), text(q)] for p, q in c.asks]}
            await self.say(f"{symbol.lower()}@depth@100ms", data)

    async def trade(self, symbol: str) -> None:
        number = len(self.trades[symbol]) + 1
        self.trades[symbol].append(str(number))
        data = {
            "e": "trade",
            "E": 1,
            "s": symbol,
            "t": number,
            "p": "100.5",
            "q": "0.25",
            "T": 1_700_000_000_001,
            "m": True,
        }
        await self.say(f"{symbol.lower()}@trade", data)

    async def say(self, stream: str, data: object) -> None:
        await self.raw(json.dumps({"stream": stream, "data": data}))

    async def raw(self, message: str) -> None:
        for socket in list(self.sockets):
            await socket.send_str(message)

    async def disconnect(self, rudely: bool = False) -> None:
        for socket in list(self.sockets):
            self.sockets.discard(socket)
            if rudely and (transport := socket._req and socket._req.transport):
                transport.abort()
            else:
                await socket.close()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        streams = request.query["streams"].split("/")
        assert sorted(streams) == sorted(f"{s.lower()}@{k}" for s in self.books for k in ("depth@100ms", "trade"))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        async with self.changed:
            self.connections += 1
            self.changed.notify_all()
        try:
            async for message in socket:
                assert message.type is not WSMsgType.TEXT
        finally:
            self.sockets.discard(socket)
        return socket

    async def _depth(self, request: web.Request) -> web.StreamResponse:
        symbol = request.query["symbol"]
        assert request.query["limit"] == "1000"
        book = self.books[symbol].snapshot()
        status = 200
        if self.refuse:
            status = self.refuse
        elif self.stale_snapshots:
            self.stale_snapshots -= 1
            book = self._first[symbol]
        async with self.changed:
            self.snapshots_asked += 1
            self.asked_at.append(time.monotonic())
            self.changed.notify_all()
        if status != 200:
            busy = web.Response(status=status, text="busy", headers={"Retry-After": "1"} if status == 429 else {})
            await busy.prepare(request)
            await busy.write_eof()
            async with self.changed:
                self.refused += 1
                self.changed.notify_all()
            return busy
        levels = {k: [[text(p), text(q)] for p, q in side] for k, side in (("bids", book.bids), ("asks", book.asks))}
        return web.json_response({"lastUpdateId": book.last_id, **levels})
