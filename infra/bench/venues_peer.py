"""The processes of `bestex bench venues`, each of one role: `python -m infra.bench.venues_peer ROLE JSON`; what it found is one JSON line.

    serve   Binance's market data on localhost: a recording's diffs, as fast as who is connected reads them, over and over
    fast    our own path: picows, msgspec, our reader and sorted book, up to the records that are published
    ccxt    ccxt.pro's `watch_order_book`, as its documentation says it is used
    orders  orders through ccxt and httpx to a simulated venue

Both followers say how much processor time passed from the first diff to the last, and what the best levels were at some update ids.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import uvloop

SHOWN = 20  # levels a side that are compared at some update ids
LAST = 200  # and at the end
LOOKS = 100  # at most so many times
STREAM, SYMBOL = "btcusdt@depth@100ms", "BTC/USDT"
Looks = dict[str, list[list[list[int]]]]


# ---- serving


class Recording:
    """The diffs of a file that follow its snapshot, over and over with update ids that go on; made ones without a file."""

    def __init__(self, path: Path | None, rounds: int) -> None:
        self.snapshot, diffs = _made() if path is None else _recorded(path)
        first: int = msgspec.json.decode(self.snapshot)["lastUpdateId"]
        diffs = [d for d in diffs if d["u"] > first]
        span = diffs[-1]["u"] - first
        self.events: list[bytes] = []
        self.levels, last = 0, first
        for n in range(rounds):
            for d in diffs:
                # after the first round a round begins right after the one before
                begins = last + 1 if last > first else d["U"]
                last = d["u"] + n * span
                self.events.append(msgspec.json.encode({**d, "U": begins, "u": last}))
                self.levels += len(d["b"]) + len(d["a"])
        self.last = last


def _recorded(path: Path) -> tuple[bytes, list[dict[str, Any]]]:
    snapshot, diffs = b"", []
    head = b'{"stream":"' + STREAM.encode()
    with gzip.open(path, "rb") as file:
        for line in file:
            frame = line.partition(b" ")[2].strip()
            if frame.startswith(b'{"lastUpdateId"'):
                snapshot = snapshot or frame
            elif frame.startswith(head):
                diffs.append(msgspec.json.decode(frame)["data"])
    return snapshot, diffs


def _made() -> tuple[bytes, list[dict[str, Any]]]:
    chance = random.Random(7)

    def side(sign: int, count: int, absent: float) -> list[list[str]]:
        steps = {1 + int(chance.expovariate(1 / 300)) for _ in range(count)}
        return [
            [f"{61_000 + sign * n / 100:.2f}000000", f"{0 if chance.random() < absent else chance.uniform(0, 3):.8f}"]
            for n in steps
        ]

    snapshot = {"lastUpdateId": 100, "bids": side(-1, 3000, 0.0), "asks": side(1, 3000, 0.0)}
    diffs = [
        {"e": "depthUpdate", "E": 1_723_161_255_208 + n, "s": "BTCUSDT", "U": n, "u": n, "b": side(-1, 18, 0.4)}
        | {"a": side(1, 18, 0.4)}
        for n in range(101, 3500)
    ]
    return msgspec.json.encode(snapshot), diffs


async def serve(given: dict[str, Any]) -> None:
    """Until killed. Prints where, and how much there is to tell."""
    from aiohttp import web
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

    recording = Recording(Path(given["recording"]) if given["recording"] else None, given["rounds"])
    asked = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    class Outlet(WSListener):
        def __init__(self, wrapped: bool) -> None:
            self.wrapped, self.room = wrapped, asyncio.Event()
            self.room.set()

        def on_ws_connected(self, transport: WSTransport) -> None:
            task = asyncio.create_task(self.tell(transport))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type is WSMsgType.TEXT:
                number = msgspec.json.decode(frame.get_payload_as_bytes())["id"]
                transport.send(WSMsgType.TEXT, b'{"result":null,"id":%d}' % number)
            elif frame.msg_type is WSMsgType.CLOSE:
                transport.disconnect()

        def pause_writing(self) -> None:
            self.room.clear()

        def resume_writing(self) -> None:
            self.room.set()

        async def tell(self, transport: WSTransport) -> None:
            await asked.wait()
            asked.clear()
            await asyncio.sleep(0.3)  # who asked has its snapshot, so that it is followed and not caught up with
            head = b'{"stream":"%s","data":' % STREAM.encode()
            for n, event in enumerate(recording.events):
                if transport.is_disconnected:
                    return
                transport.send(WSMsgType.TEXT, head + event + b"}" if self.wrapped else event)
                if n % 64 == 0:
                    await asyncio.sleep(0)
                if not self.room.is_set():
                    await self.room.wait()

    def outlet(request: WSUpgradeRequest) -> Outlet:
        return Outlet(request.path.startswith(b"/stream?"))

    server = await ws_create_server(outlet, "127.0.0.1", 0)

    async def depth(request: web.Request) -> web.Response:
        asked.set()
        return web.Response(body=recording.snapshot, content_type="application/json")

    async def info(request: web.Request) -> web.Response:
        symbol = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
        ]
        more = {"isSpotTradingAllowed": True, "permissions": ["SPOT"], "orderTypes": ["LIMIT"], "filters": filters}
        return web.json_response({"symbols": [{**symbol, **more}]})

    app = web.Application()
    app.router.add_get("/api/v3/depth", depth)
    app.router.add_get("/api/v3/exchangeInfo", info)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    told = {"messages": len(recording.events), "levels": recording.levels, "last": recording.last}
    rest, ws = runner.addresses[0][1], server.sockets[0].getsockname()[1]
    print(json.dumps({"rest_url": f"http://127.0.0.1:{rest}", "ws_url": f"ws://127.0.0.1:{ws}", **told}), flush=True)
    await server.serve_forever()


def digest(levels: list[list[list[int]]]) -> str:
    """Of a whole book, for comparing."""
    return hashlib.sha256(json.dumps(levels).encode()).hexdigest()


# ---- following


async def fast(given: dict[str, Any]) -> dict[str, Any]:
    """The feed as it is in the product, with a counter in the publisher's place; `looks`: at which update ids to look at the levels.

    `until` is how far it goes: to the book, to the records of each change (`diffs`), or to their Avro (`avro`).
    """
    import aiohttp

    from connectors.feeds.binance import Binance
    from connectors.feeds.feed import Feed, FeedSettings, FeedVenue
    from connectors.feeds.follower import Follower
    from connectors.feeds.publisher import Publisher
    from connectors.feeds.rest import Snapshots
    from schemas.codec import Codec, LocalRegistry
    from schemas.records import BookUpdate, BookUpdateKind

    encode = Codec(LocalRegistry()).encode if given["until"] == "avro" else None
    wanted, last = set(given["looks"]), given["last"]
    looks: Looks = {}

    class Counter:
        began = 0.0
        stale = diffs = 0

        def book(self, update: BookUpdate) -> None:
            self.began = self.began or time.process_time()
            self.stale += update.kind is BookUpdateKind.STALE
            self.diffs += update.kind is BookUpdateKind.DIFF
            if encode is not None:
                encode(update)

    def look(venue: str, message: bytes) -> None:
        """Before a message is read: the book is as the one before has made it."""
        if follower.last_id in wanted:
            looks[str(follower.last_id)] = [[list(level) for level in side] for side in follower.best(SHOWN)]

    counter, binance = Counter(), Binance()
    venue = FeedVenue("binance", binance, given["rest_url"], given["ws_url"], (SYMBOL,))
    settings = FeedSettings(
        snapshot_seconds=3600, check_seconds=7200, silence_seconds=60, diffs=given["until"] != "book"
    )
    async with aiohttp.ClientSession() as http:
        snapshots = Snapshots("binance", binance, venue.rest_url, http, 1, 5.0)
        clock = lambda: time.time_ns() // 1000  # noqa: E731
        tap = look if wanted else None
        feed = Feed(venue, cast(Publisher, counter), snapshots, clock, random.random, settings, tap)
        follower = cast(Follower, feed.follower(SYMBOL))
        task = asyncio.create_task(feed.run())
        while follower.last_id != last and not task.done():  # noqa: ASYNC110 - reading goes on in the loop's callbacks
            await asyncio.sleep(0.005)
        ended, stale = time.process_time(), counter.stale
        end = [[list(level) for level in side] for side in follower.best(10**6)]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return {"cpu_s": ended - counter.began, "looks": looks, "end": digest(end), "stale": stale, "diffs": counter.diffs}


async def through_ccxt(given: dict[str, Any]) -> dict[str, Any]:
    """ccxt.pro, told where the recording is; `looks` are the levels at those update ids at which it happened to be looked at."""
    import ccxt.pro  # type: ignore[import-untyped, unused-ignore]  # upstream ships no types

    options = {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False, "defaultType": "spot", "ws": {"cost": 5}}
    exchange: Any = ccxt.pro.binance({"enableRateLimit": False, "options": options})
    exchange.has["fetchCurrencies"] = False
    for name in ("public", "private"):
        exchange.urls["api"][name] = given["rest_url"] + "/api/v3"
    exchange.urls["api"]["ws"]["spot"] = given["ws_url"] + "/ws"
    looks: Looks = {}
    await exchange.load_markets()
    book = await exchange.watch_order_book(SYMBOL)  # as its snapshot has it
    began, returns, last = time.process_time(), 0, given["last"]
    step, due = (last - book["nonce"]) // LOOKS, 0
    while book["nonce"] < last:
        book = await exchange.watch_order_book(SYMBOL)
        returns += 1
        if book["nonce"] >= due:
            due = book["nonce"] + step
            looks[str(book["nonce"])] = _units(book, SHOWN)
    ended = time.process_time()
    end = _units(book, LAST)
    await exchange.close()
    return {"cpu_s": ended - began, "looks": looks, "end": digest(end), "returns": returns}


def _units(book: Any, depth: int) -> list[list[list[int]]]:
    return [
        [[round(price * 10**8), round(quantity * 10**8)] for price, quantity, *_ in side[:depth]]
        for side in (book["bids"], book["asks"])
    ]


# ---- orders


async def orders(given: dict[str, Any]) -> dict[str, Any]:
    """So many orders that take a little, some in flight at once, through the adapter that trades."""
    from connectors.venues.adapter import VenueConfig
    from connectors.venues.outcomes import OutcomeKind
    from connectors.venues.registry import adapter
    from connectors.venues.transport import http_client
    from schemas.records import ChildOrder, OrderType, Side, TimeInForce

    config = VenueConfig("alpha", "binance", given["rest_url"], given["ws_url"], given["api_key"], given["secret"])
    async with http_client(5.0) as http:
        venue = adapter(config, http)
        await venue.load()
        run = f"{time.time_ns():x}"
        template = ChildOrder(
            child_id="",
            order_id="o",
            account_id="a",
            venue="alpha",
            symbol=SYMBOL,
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.IOC,
            quantity=10_000,
            price=70_000 * 10**8,
            created_at=0,
        )
        left = iter(range(given["orders"]))
        kinds: dict[str, int] = {}
        others: list[str] = []

        async def place() -> None:
            for n in left:
                outcome = await venue.place(replace_child(template, f"{run}-{n}"))
                kinds[outcome.kind.value] = kinds.get(outcome.kind.value, 0) + 1
                if outcome.kind is not OutcomeKind.ACCEPTED:
                    others.append(f"{outcome.kind} {outcome.code}: {outcome.reason}")

        def replace_child(child: ChildOrder, child_id: str) -> ChildOrder:
            return msgspec.structs.replace(child, child_id=child_id)

        for n in range(20):  # connections are made, and code is warm
            await venue.place(replace_child(template, f"{run}-w{n}"))
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(place() for _ in range(given["in_flight"])))
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        await venue.close()
    return {"seconds": wall, "cpu_s": cpu, "accepted": kinds.get(OutcomeKind.ACCEPTED.value, 0), "others": others}


ROLES: dict[str, Any] = {"serve": serve, "fast": fast, "ccxt": through_ccxt, "orders": orders}


def main(arguments: Sequence[str]) -> None:
    """`ROLE JSON`."""
    role, given = arguments
    found = uvloop.run(ROLES[role](json.loads(given)))
    if found is not None:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
