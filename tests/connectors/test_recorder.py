"""What is recorded is what was sent: from a simulated venue by the command, from servers that speak as other exchanges do, and read back."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.feeds.raw.book import RawBook
from connectors.feeds.raw.registry import RAW
from connectors.feeds.raw.words import Said
from connectors.feeds.recorder import STREAMS, record
from connectors.recordings import Recorded, frames, read, settled, venues
from infra.book_check import check

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("BESTEX_DATA", ROOT / "../shared/data")) / "recordings"
KRAKEN = DATA / "kraken-v1-books-20210417.txt.gz"
SCALE = 10**8


@pytest.fixture
def alpha(tmp_path: Path) -> Iterator[str]:
    """REST address of a simulated venue that trades two symbols."""
    symbols = [
        {"symbol": s, "tick": "0.01", "lot": "0.00001", "min_quantity": "0.00001", "min_notional": "5"}
        for s in ("BTC/USDT", "ETH/USDT")
    ]
    books = {"kind": "generated", "mid": {"BTC/USDT": "60000", "ETH/USDT": "3000"}, "spread_bps": 2, "levels": 200}
    venue = {"name": "alpha", "port": 0, "maker_fee": "0", "taker_fee": "0", "latency_ms": 1, "accounts": []}
    config = {"seed": 7, "venues": [venue | {"symbols": symbols, "books": books | {"updates_per_s": 40}}]}
    (tmp_path / "venues.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "connectors.simulator", "--config", str(tmp_path / "venues.json")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["ready"]["alpha"]["rest_url"]
        finally:
            process.terminate()


def bestex(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "infra.cli", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("symbols", [["BTC/USDT"], ["BTC/USDT", "ETH/USDT"]], ids=["one", "two"])
def test_a_venue_is_recorded_and_its_books_are_what_it_quoted(alpha: str, symbols: list[str], tmp_path: Path) -> None:
    file = tmp_path / "alpha.gz"
    where = ("--ws-url", alpha.replace("http", "ws"), "--rest-url", alpha, "--home", str(tmp_path))
    said = bestex(
        "record", "--venue", "binance", "--symbols", ",".join(symbols), "--out", str(file), "--seconds", "4", *where
    )
    lines = gzip.decompress(file.read_bytes()).splitlines()
    assert (said["messages"], said["connections"], said["snapshots"]) == (len(lines), 1, len(symbols))
    assert said["messages"] > 100 and said["errors"] == []
    checked = check(file)
    assert (checked["symbols"], checked["mismatched"], checked["gaps"]) == (len(symbols), 0, 0)
    assert checked["compared"] > 20
    assert venues(file) == {"binance": symbols} or set(venues(file)["binance"]) == set(symbols)
    kinds = [item.kind for item in settled(read(file, "alpha"))]
    assert kinds.count("snapshot") == len(symbols) and kinds.count("diff") > 20


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.cli", "record", "--out", str(tmp_path / "x.gz"), "--json"]
    for more, why in (
        (["--venue", "nowhere", "--home", str(tmp_path)], "there is no venue nowhere"),
        (["--venue", "kraken", "--symbols", "BTCUSD"], "is not BASE/QUOTE"),
        (["--venue", "okx", "--ws-url", "ws://127.0.0.1:9", "--seconds", "0.5"], "sent nothing"),
    ):
        done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and why in json.loads(done.stdout.splitlines()[-1])["error"]


# What other exchanges send, in the shape that their documentation shows: a book, a change with a deletion, a trade.
SENT: dict[str, list[str]] = {
    "okx": [
        '{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"}}',
        '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[["101","2","0","1"],["102","3","0","1"]],'
        '"bids":[["99","1","0","1"]],"ts":"1597026383085","prevSeqId":-1,"seqId":5}]}',
        '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["101","0","0","0"]],'
        '"bids":[["100","4","0","1"]],"ts":"1597026383185","prevSeqId":5,"seqId":9}]}',
        '{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"7","px":"102","sz":"0.5",'
        '"side":"buy","ts":"1630048897897"}]}',
    ],
    "bybit": [
        '{"success":true,"op":"subscribe"}',
        '{"topic":"orderbook.200.BTCUSDT","type":"snapshot","ts":1687940967466,"data":{"s":"BTCUSDT","b":[["99","1"]],'
        '"a":[["101","2"],["102","3"]],"u":5,"seq":1},"cts":1}',
        '{"topic":"orderbook.200.BTCUSDT","type":"delta","ts":1687940967566,"data":{"s":"BTCUSDT","b":[["100","4"]],'
        '"a":[["101","0"]],"u":6,"seq":2},"cts":2}',
        '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT","S":"Buy",'
        '"v":"0.5","p":"102","i":"7"}]}',
    ],
    "coinbase": [
        '{"channel":"subscriptions","sequence_num":0,"events":[]}',
        '{"channel":"l2_data","timestamp":"2023-02-09T20:32:50.714964855Z","sequence_num":1,"events":[{"type":"snapshot",'
        '"product_id":"BTC-USDT","updates":[{"side":"bid","price_level":"99","new_quantity":"1"},{"side":"offer","price_level":'
        '"101","new_quantity":"2"},{"side":"offer","price_level":"102","new_quantity":"3"}]}]}',
        '{"channel":"l2_data","timestamp":"2023-02-09T20:32:50.814964855Z","sequence_num":2,"events":[{"type":"update",'
        '"product_id":"BTC-USDT","updates":[{"side":"bid","price_level":"100","new_quantity":"4"},{"side":"offer","price_level":'
        '"101","new_quantity":"0"}]}]}',
        '{"channel":"market_trades","timestamp":"2023-02-09T20:32:51Z","sequence_num":3,"events":[{"type":"update","trades":[{'
        '"trade_id":"7","product_id":"BTC-USDT","price":"102","size":"0.5","side":"SELL","time":"2023-02-09T20:32:51Z"}]}]}',
    ],
    "kraken": [
        '{"event":"systemStatus","status":"online","version":"1.9.0"}',
        '[1664,{"as":[["101","2","1618678132.214235"],["102","3","1618678132.214235"]],"bs":[["99","1","1618678131.0"]]},'
        '"book-1000","XBT/USDT"]',
        '[1664,{"a":[["101","0","1618678133.383209"]]},{"b":[["100","4","1618678133.383209"]],"c":"1"},"book-1000","XBT/USDT"]',
        '[0,[["102","0.5","1534614057.321597","b","l",""]],"trade","XBT/USDT"]',
    ],
    "bitfinex": [
        '{"event":"subscribed","channel":"book","chanId":1,"symbol":"tBTCUST","prec":"P0","len":"250"}',
        '{"event":"subscribed","channel":"trades","chanId":2,"symbol":"tBTCUST"}',
        "[1,[[99,1,1],[101,1,-2],[102,1,-3]],1]",
        "[1,[100,1,4],2]",
        "[1,[101,0,-1],3]",
        '[2,"te",[7,1574694478808,0.5,102],4]',
    ],
}


@pytest.mark.parametrize("exchange", sorted(SENT))
async def test_other_exchanges_are_asked_in_their_way_and_read_back(exchange: str, tmp_path: Path) -> None:
    """The stream breaks once: it is opened anew, and the book begins again."""
    asked: list[list[Any]] = []

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        hello = STREAMS[exchange].hello([STREAMS[exchange].symbol_id("BTC/USDT")])
        asked.append([await socket.receive_json() for _ in hello])
        for message in SENT[exchange]:
            await socket.send_str(message)
        if len(asked) == 2:
            await socket.receive()  # till the recorder leaves
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    file = tmp_path / f"{exchange}.gz"
    url = f"ws://127.0.0.1:{port}/"
    stop, written = asyncio.Event(), 0

    def clock() -> int:
        """Asked once a message: by this the end is known."""
        nonlocal written
        written += 1
        if written == 2 * len(SENT[exchange]):
            asyncio.get_running_loop().call_soon(stop.set)
        return time.time_ns()

    told = await record(exchange, ["BTC/USDT"], file, 30.0, clock, ws_url=url, stop=stop)
    await runner.cleanup()
    assert told.connections == 2 and len(told.errors) == 1 and "the stream ended" in told.errors[0]
    assert asked[0] == asked[1] == [json.loads(json.dumps(m)) for m in STREAMS[exchange].hello([_id(exchange)])]
    assert [data.decode() for _, data in frames(file)] == SENT[exchange] * 2
    items = list(read(file))
    assert {(i.venue, i.symbol) for i in items} == {(exchange, "BTC/USDT")}
    assert [i.kind for i in items].count("snapshot") == 2
    bids, asks = book(settled(items))
    assert (bids, asks) == ({99 * SCALE: SCALE, 100 * SCALE: 4 * SCALE}, {102 * SCALE: 3 * SCALE})
    trade = items[-1]
    assert (trade.kind, trade.price, trade.quantity, trade.side) == ("trade", 102 * SCALE, SCALE // 2, "BUY")


def _id(exchange: str) -> str:
    made = STREAMS[exchange].symbol_id("BTC/USDT")
    assert RAW[exchange].unified(made) == "BTC/USDT"
    return made


def book(items: Iterator[Recorded]) -> tuple[dict[int, int], dict[int, int]]:
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    for item in items:
        if item.kind == "snapshot":
            bids, asks = {}, {}
        for side, levels in ((bids, item.bids), (asks, item.asks)):
            for price, quantity in levels:
                side[price] = quantity
                if not quantity:
                    del side[price]
    return bids, asks


@pytest.mark.skipif(not KRAKEN.exists(), reason=f"{KRAKEN} is absent: set BESTEX_DATA")
def test_krakens_recording_is_read_as_its_own_checksums_say() -> None:
    """All ten books, message by message, against books that every checksum was found right of; levels that fall off unsaid included."""
    truth: dict[str, RawBook] = {}
    reader = RAW["kraken"].reader()
    mine: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
    items = (item for item in read(KRAKEN) if item.kind != "trade")
    compared = 0
    for _, data in frames(KRAKEN):
        for said in reader.words(data):
            if not isinstance(said, Said):
                continue
            raw = truth.setdefault(said.symbol_id, RawBook(RAW["kraken"].checksum))
            raw.hear(said)
            item = next(items)
            assert item.symbol == RAW["kraken"].unified(said.symbol_id)
            bids, asks = ({}, {}) if item.kind == "snapshot" else mine[item.symbol]
            for side, levels in ((bids, item.bids), (asks, item.asks)):
                for price, quantity in levels:
                    if quantity:
                        side[price] = quantity
                    else:
                        side.pop(price, None)
            mine[item.symbol] = bids, asks
            assert raw.live
            assert (sorted(bids, reverse=True), sorted(asks)) == ([-k for k in raw.bids.keys], raw.asks.keys)
            compared += 1
    assert compared == 4279 and next(items, None) is None and len(venues(KRAKEN)["kraken"]) == 10
    assert sum(raw.checked for raw in truth.values()) == 4269
