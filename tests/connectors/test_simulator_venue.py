"""The simulator as a venue, over real HTTP and WebSocket, through the adapter that trades on the real one."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import ccxt.pro  # type: ignore[import-untyped, unused-ignore]  # upstream ships no types
import httpx
import pytest

from connectors.simulator import streams
from connectors.simulator.amounts import parse
from connectors.simulator.config import settings
from connectors.simulator.venue import Simulator
from connectors.venues.adapter import VenueAdapter, VenueConfig
from connectors.venues.outcomes import NotFound, OrderView, Outcome, OutcomeKind, StreamUp, VenueEvent, VenueOrderStatus
from connectors.venues.registry import adapter
from connectors.venues.transport import http_client
from schemas.records import ChildOrder, Liquidity, OrderType, Side, TimeInForce

SCALE = 100_000_000
BTC = "BTC/USDT"
KEY, SECRET = "key", "secret"
STILL = {
    "bids": [["99.00", "2"], ["98.00", "3"]],
    "asks": [["100.00", "2"], ["101.00", "3"], ["102.00", "100"]],
}


def configuration(folder: Path, **fields: Any) -> dict[str, Any]:
    """A venue whose displayed book stands still."""
    frame = {"stream": "btcusdt@depth@100ms", "data": {"e": "depthUpdate", "E": 1_700_000_000_001, "s": "BTCUSDT"}}
    frame["data"] |= {"U": 2, "u": 2, "b": [], "a": []}  # type: ignore[operator]
    stamp = 1_700_000_000_000_000_000
    (folder / "still").write_text(
        f"{stamp} {json.dumps({'lastUpdateId': 1, **STILL})}\n{stamp + 1_000_000} {json.dumps(frame)}\n"
    )
    venue = {
        "name": "alpha",
        "maker_fee": "0.0008",
        "taker_fee": "0.0010",
        "symbols": [{"symbol": BTC, "tick": "0.01", "lot": "0.001", "min_quantity": "0.001", "min_notional": "5"}],
        "accounts": [{"api_key": KEY, "secret": SECRET, "balances": {"USDT": "100000", "BTC": "100"}}],
        "books": {"kind": "recording", "file": str(folder / "still")},
    }
    return {"seed": 7, "venues": [{**venue, **fields}]}


GENERATED = {"kind": "generated", "mid": {BTC: "60000"}, "spread_bps": 2, "levels": 200, "updates_per_s": 50}


async def until(so: Callable[[], bool]) -> None:
    """Return when it is so. Raises `TimeoutError` after ten seconds."""
    async with asyncio.timeout(10):
        while not so():  # noqa: ASYNC110 - nothing of the venue's tells, and nothing should for a test
            await asyncio.sleep(0.001)


async def serve(simulator: Simulator) -> AsyncIterator[Simulator]:
    await simulator.start()
    running = asyncio.create_task(simulator.run())
    markets = [m for v in simulator.venues.values() for m in v.exchange.markets.values()]
    await until(lambda: all(m.book.asks.keys for m in markets))
    yield simulator
    running.cancel()
    await simulator.stop()


@pytest.fixture
async def still(tmp_path: Path) -> AsyncIterator[Simulator]:
    async for it in serve(Simulator(settings(configuration(tmp_path), tmp_path))):
        yield it


@pytest.fixture
async def moving(tmp_path: Path) -> AsyncIterator[Simulator]:
    async for it in serve(Simulator(settings(configuration(tmp_path, books=GENERATED), tmp_path))):
        yield it


def at(simulator: Simulator, **fields: Any) -> VenueConfig:
    it = simulator.venues["alpha"]
    given = {"timeout": 1.0, "recv_window_ms": 1000, **fields}
    return VenueConfig("alpha", "binance", it.rest_url, it.ws_url, KEY, given.pop("secret", SECRET), **given)


@pytest.fixture
async def venue(still: Simulator) -> AsyncIterator[VenueAdapter]:
    http = http_client(1.0)
    it = adapter(at(still), http)
    await it.load()
    yield it
    await it.close()
    await http.aclose()


def order(child_id: str, quantity: int = SCALE, price: int = 100 * SCALE, **fields: Any) -> ChildOrder:
    base = ChildOrder(
        child_id=child_id,
        order_id="o-1",
        account_id="a-1",
        venue="alpha",
        symbol=BTC,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        quantity=quantity,
        price=price,
        created_at=0,
    )
    return ChildOrder(**{f: fields.get(f, getattr(base, f)) for f in base.__struct_fields__})


def market_order(child_id: str, quantity: int, side: Side = Side.BUY) -> ChildOrder:
    return order(child_id, quantity, order_type=OrderType.MARKET, side=side, time_in_force=TimeInForce.IOC)


async def audit(simulator: Simulator) -> dict[str, Any]:
    async with httpx.AsyncClient() as http:
        found = (await http.get(simulator.venues["alpha"].rest_url + "/sim/audit")).json()
    assert found["conserved"] is True
    return dict(found)


def filled(outcome: Outcome, status: VenueOrderStatus) -> int:
    assert outcome.kind is OutcomeKind.ACCEPTED and outcome.view is not None, outcome
    assert outcome.view.status is status
    assert outcome.view.filled == sum(t.quantity for t in outcome.trades)
    return outcome.view.filled


# ---- through the adapter


async def test_instruments(venue: VenueAdapter) -> None:
    found = venue.instruments[BTC]
    assert (found.tick, found.lot, found.min_quantity, found.min_notional) == (SCALE // 100, 10**5, 10**5, 5 * SCALE)
    assert (found.base, found.quote, found.max_quantity) == ("BTC", "USDT", 1_000_000 * SCALE)
    assert await venue.probe()


async def test_orders_end_as_asked_and_the_audit_agrees(still: Simulator, venue: VenueAdapter) -> None:
    sent = {
        "market": market_order("market", SCALE),
        "limit": order("limit", SCALE),
        "ioc": order("ioc", 5 * SCALE, 101 * SCALE, time_in_force=TimeInForce.IOC),
        "fok-no": order("fok-no", 200 * SCALE, 102 * SCALE, time_in_force=TimeInForce.FOK),
        "fok": order("fok", 50 * SCALE, 102 * SCALE, time_in_force=TimeInForce.FOK),
        "sell": market_order("sell", 3 * SCALE, Side.SELL),
        "rest": order("rest", 2 * SCALE, 97 * SCALE),
    }
    outcomes = {child_id: await venue.place(child) for child_id, child in sent.items()}
    assert filled(outcomes["market"], VenueOrderStatus.FILLED) == SCALE
    assert filled(outcomes["limit"], VenueOrderStatus.FILLED) == SCALE
    assert filled(outcomes["ioc"], VenueOrderStatus.EXPIRED) == 3 * SCALE  # 100 was sold out before
    assert filled(outcomes["fok-no"], VenueOrderStatus.EXPIRED) == 0
    assert filled(outcomes["fok"], VenueOrderStatus.FILLED) == 50 * SCALE
    assert filled(outcomes["sell"], VenueOrderStatus.FILLED) == 3 * SCALE
    assert filled(outcomes["rest"], VenueOrderStatus.OPEN) == 0
    trades = [t for o in outcomes.values() for t in o.trades]
    assert {(t.fee_asset, t.liquidity) for t in trades} == {("BTC", Liquidity.TAKER), ("USDT", Liquidity.TAKER)}
    assert all(t.fee == t.quantity // 1000 for t in trades if t.fee_asset == "BTC")
    assert [(t.price, t.quantity) for t in outcomes["sell"].trades] == [(99 * SCALE, 2 * SCALE), (98 * SCALE, SCALE)]

    found = await audit(still)
    assert found["venue"] == "alpha" and found["accepted"] == dict.fromkeys(sent, 1)
    for row in found["orders"]:
        child, view = sent[row["client_order_id"]], outcomes[row["client_order_id"]].view
        assert view is not None
        assert (row["symbol"], row["side"], parse(row["quantity"])) == (BTC, child.side.value, child.quantity)
        assert parse(row["filled"]) == view.filled
    told = {
        (r["trade_id"], r["client_order_id"], parse(r["price"]), parse(r["quantity"]), parse(r["fee"]), r["fee_asset"])
        for r in found["trades"]
    }
    assert told == {
        (t.trade_id, cid, t.price, t.quantity, t.fee, t.fee_asset) for cid, o in outcomes.items() for t in o.trades
    }
    assert not any(r["maker"] for r in found["trades"])
    (balances,) = found["balances"].values()
    assert await venue.balances() == {a: (parse(b["free"]), parse(b["locked"])) for a, b in balances.items()}
    spent = sum(t.price * t.quantity // SCALE * (1 if t.fee_asset == "BTC" else -1) for t in trades)
    fees = sum(t.fee or 0 for t in trades if t.fee_asset == "USDT")
    free, locked = (await venue.balances())["USDT"]
    assert locked == 194 * SCALE and free + locked == 100_000 * SCALE - spent - fees


async def test_partial_fill_rests_and_is_cancelled(venue: VenueAdapter) -> None:
    outcome = await venue.place(order("c-1", 3 * SCALE))
    assert filled(outcome, VenueOrderStatus.OPEN) == 2 * SCALE
    found = await venue.query(BTC, "c-1")
    assert isinstance(found, OrderView) and (found.status, found.filled) == (VenueOrderStatus.OPEN, 2 * SCALE)
    opened = await venue.open_orders(BTC)
    assert not isinstance(opened, tuple) and [v.child_id for v in opened] == ["c-1"]  # type: ignore[union-attr]
    cancelled = await venue.cancel(BTC, "c-1")
    assert cancelled.view is not None and cancelled.view.status is VenueOrderStatus.CANCELLED
    assert cancelled.view.filled == 2 * SCALE and await venue.open_orders() == []
    again = await venue.cancel(BTC, "c-1")
    assert (again.kind, again.venue_code) == (OutcomeKind.REJECTED, "-2011")
    found = await venue.query(BTC, "c-1")
    assert isinstance(found, OrderView) and found.status is VenueOrderStatus.CANCELLED
    assert outcome.view is not None
    told = await venue.trades(BTC, outcome.view.venue_order_id)
    assert isinstance(told, list) and [t.trade_id for t in told] == [t.trade_id for t in outcome.trades]


async def test_cancel_of_what_is_filled_or_unknown(venue: VenueAdapter) -> None:
    await venue.place(order("c-1"))
    for child_id in ("c-1", "c-2"):
        outcome = await venue.cancel(BTC, child_id)
        assert (outcome.kind, outcome.venue_code) == (OutcomeKind.REJECTED, "-2011")
    assert isinstance(await venue.query(BTC, "c-2"), NotFound)


async def test_an_id_is_accepted_once_even_after_its_order_ended(still: Simulator, venue: VenueAdapter) -> None:
    await venue.place(order("c-1"))
    outcome = await venue.place(order("c-1"))
    assert (outcome.kind, outcome.code) == (OutcomeKind.UNKNOWN, "DUPLICATE")
    assert (await audit(still))["accepted"] == {"c-1": 1}


@pytest.mark.parametrize(
    ("child", "code", "words"),
    [
        (order("c", 1_000_000 * SCALE), "INSUFFICIENT_FUNDS", "insufficient balance"),
        (order("c", SCALE // 100), "BAD_REQUEST", "Filter failure: NOTIONAL"),
        (order("c", 2_000_000 * SCALE), "INVALID_ORDER", "Filter failure: LOT_SIZE"),
    ],
)
async def test_refusals(still: Simulator, venue: VenueAdapter, child: ChildOrder, code: str, words: str) -> None:
    outcome = await venue.place(child)
    assert (outcome.kind, outcome.code, outcome.http_status) == (OutcomeKind.REJECTED, code, 400)
    assert words in outcome.reason
    assert (await audit(still))["accepted"] == {}


async def test_late_or_wrongly_signed_requests_do_nothing(still: Simulator, venue: VenueAdapter) -> None:
    outcome = await venue.place(order("c-1"), signed_at=venue.now_ms() - 1_500)
    assert (outcome.kind, outcome.venue_code) == (OutcomeKind.REJECTED, "-1021")
    outcome = await venue.place(order("c-1"), signed_at=venue.now_ms() + 5_000)
    assert (outcome.kind, outcome.venue_code) == (OutcomeKind.REJECTED, "-1021")
    http = http_client(1.0)
    forger = adapter(at(still, secret="guess"), http)
    await forger.load()
    outcome = await forger.place(order("c-1"))
    assert (outcome.kind, outcome.venue_code) == (OutcomeKind.REJECTED, "-1022")
    await forger.close()
    await http.aclose()
    assert (await audit(still))["accepted"] == {}


async def test_user_stream_tells_every_state(still: Simulator, venue: VenueAdapter) -> None:
    events = venue.events()
    assert isinstance(await asyncio.wait_for(anext(events), 5), StreamUp)
    placed = await venue.place(order("c-1", 3 * SCALE))
    market = still.venues["alpha"].exchange.market("BTCUSDT")
    still.venues["alpha"].exchange.printed(market, 100 * SCALE, SCALE // 2, "SELL", 1)
    await venue.cancel(BTC, "c-1")
    await venue.place(order("c-2", 10 * SCALE, 101 * SCALE, time_in_force=TimeInForce.IOC))
    seen: list[VenueEvent] = []
    while len(seen) < 7:
        event = await asyncio.wait_for(anext(events), 5)
        assert isinstance(event, VenueEvent)
        seen.append(event)
    open_, done = VenueOrderStatus.OPEN, VenueOrderStatus
    assert [(e.view.child_id, e.view.status, e.view.filled) for e in seen] == [
        ("c-1", open_, 0),
        ("c-1", open_, 2 * SCALE),
        ("c-1", open_, 2 * SCALE + SCALE // 2),
        ("c-1", done.CANCELLED, 2 * SCALE + SCALE // 2),
        ("c-2", open_, 0),
        ("c-2", open_, 3 * SCALE),
        ("c-2", done.EXPIRED, 3 * SCALE),
    ]
    assert seen[1].trade is not None and seen[1].trade.trade_id == placed.trades[0].trade_id
    maker = seen[2].trade
    assert maker is not None and maker.liquidity is Liquidity.MAKER and maker.fee == SCALE // 2 * 8 // 10_000
    await events.aclose()  # type: ignore[attr-defined]


# ---- the dialect itself


def signed(params: Mapping[str, object], secret: str = SECRET) -> str:
    query = urlencode({"timestamp": int(time.time() * 1000), **params})
    return f"{query}&signature={hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()}"


LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "50"}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": None}, -1102),
        ({"symbol": "DOGEUSDT"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"type": "STOP"}, -1116),
        ({"timeInForce": "GTX"}, -1115),
        ({"quantity": None}, -1102),
        ({"quantity": "1e3"}, -1100),
        ({"quantity": "-1"}, -1100),
        ({"quantity": "0.123456789"}, -1111),
        ({"quantity": "0.0005"}, -1013),
        ({"price": "50.001"}, -1013),
        ({"price": "0"}, -1013),
        ({"newClientOrderId": "a b"}, -1100),
        ({"newClientOrderId": "a" * 37}, -1100),
        ({"newOrderRespType": "ALL"}, -1130),
        ({"recvWindow": "60001"}, -1131),
        ({"recvWindow": "x"}, -1102),
        ({"timestamp": "yesterday"}, -1102),
        ({"type": "MARKET"}, -1106),
        ({"type": "LIMIT_MAKER", "timeInForce": None, "price": "100"}, -2010),
    ],
)
async def test_parameters_are_checked(still: Simulator, changes: dict[str, str | None], code: int) -> None:
    params = {k: v for k, v in {**LIMIT, **changes}.items() if v is not None}
    async with httpx.AsyncClient(base_url=still.venues["alpha"].rest_url) as http:
        answer = await http.post("/api/v3/order", content=signed(params), headers={"X-MBX-APIKEY": KEY})
    assert (answer.status_code, answer.json()["code"]) == (400, code), answer.text
    assert (await audit(still))["accepted"] == {}


@pytest.mark.parametrize(("key", "code"), [(None, -2014), ("wrong", -2015)])
async def test_keys_are_checked(still: Simulator, key: str | None, code: int) -> None:
    async with httpx.AsyncClient(base_url=still.venues["alpha"].rest_url) as http:
        headers = {} if key is None else {"X-MBX-APIKEY": key}
        answer = await http.get(f"/api/v3/account?{signed({})}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        answer = await http.get("/api/v3/account?timestamp=1", headers={"X-MBX-APIKEY": KEY})
        assert answer.json()["code"] == -1102


async def test_lists_and_responses(still: Simulator) -> None:
    headers = {"X-MBX-APIKEY": KEY}
    async with httpx.AsyncClient(base_url=still.venues["alpha"].rest_url, headers=headers) as http:

        async def post(params: dict[str, object]) -> Any:
            # part in the query, part in the body: the signature is over both
            query, body = (
                "newOrderRespType=" + str(params.pop("newOrderRespType", "FULL")),
                urlencode({"timestamp": int(time.time() * 1000), **params}),
            )
            mac = hmac.new(SECRET.encode(), (query + body).encode(), hashlib.sha256).hexdigest()
            return (await http.post(f"/api/v3/order?{query}", content=f"{body}&signature={mac}")).json()

        async def get(path: str, method: str = "GET", **params: object) -> Any:
            return (await http.request(method, f"/api/v3/{path}?{signed({'symbol': 'BTCUSDT', **params})}")).json()

        full = await post({**MARKET})
        assert full["status"] == "FILLED" and full["cummulativeQuoteQty"] == "100.00000000" and full["clientOrderId"]
        assert "fills" not in await post({**MARKET, "newOrderRespType": "RESULT"})
        ack = await post({**LIMIT, "newOrderRespType": "ACK"})
        assert set(ack) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
        await post({**LIMIT, "newClientOrderId": "second"})
        assert [o["orderId"] for o in await get("openOrders")] == [3, 4]
        assert [o["orderId"] for o in await get("allOrders")] == [1, 2, 3, 4]
        assert [o["orderId"] for o in await get("allOrders", orderId=2, limit=2)] == [2, 3]
        assert [t["orderId"] for t in await get("myTrades")] == [1, 2]
        assert [t["orderId"] for t in await get("myTrades", orderId=2)] == [2]
        assert (await get("order", orderId=4))["clientOrderId"] == "second"
        assert (await get("order", orderId=99))["code"] == -2013 and (await get("order"))["code"] == -1102
        gone = await get("openOrders", "DELETE")
        assert [o["status"] for o in gone] == ["CANCELED"] * 2 and gone[1]["origClientOrderId"] == "second"
        assert (await get("openOrders", "DELETE"))["code"] == -2011
        rates = (await get("account"))["commissionRates"]
        assert (rates["maker"], rates["taker"]) == ("0.00080000", "0.00100000")

        public = {path: (await http.get(f"/api/v3/{path}")).json() for path in ("ping", "time", "ticker/bookTicker")}
        assert public["ping"] == {} and abs(public["time"]["serverTime"] / 1000 - time.time()) < 5
        (ticker,) = public["ticker/bookTicker"]
        assert (ticker["bidPrice"], ticker["askPrice"], ticker["askQty"]) == (
            "99.00000000",
            "101.00000000",
            "3.00000000",
        )
        printed = (await http.get("/api/v3/trades?symbol=BTCUSDT")).json()
        assert [(t["price"], t["qty"], t["isBuyerMaker"]) for t in printed] == [
            ("100.00000000", "1.00000000", False)
        ] * 2
        book = (await http.get("/api/v3/depth?symbol=BTCUSDT&limit=1")).json()
        assert (book["bids"], book["asks"]) == (
            [["99.00000000", "2.00000000"]],
            [["101.00000000", "3.00000000"]],
        )
        assert (await http.get("/api/v3/depth?symbol=NOPE")).json()["code"] == -1121
        assert (await http.get("/api/v3/depth")).json()["code"] == -1102
        assert (await http.get("/api/v3/exchangeInfo?symbols=%5B%22NOPE%22%5D")).json()["code"] == -1121


async def test_latency_is_a_request_s_own(tmp_path: Path) -> None:
    async for slow in serve(Simulator(settings(configuration(tmp_path, latency_ms=300), tmp_path))):
        http = http_client(5.0)
        venue = adapter(at(slow), http)
        await venue.load()
        started = time.monotonic()
        outcomes = await asyncio.gather(*(venue.place(order(f"c-{n}", SCALE, 50 * SCALE)) for n in range(20)))
        took = time.monotonic() - started
        assert (
            all(o.kind is OutcomeKind.ACCEPTED for o in outcomes) and 0.3 <= took < 5.5
        )  # one after the other would take 6
        await venue.close()
        await http.aclose()


# ---- market streams


async def test_snapshot_and_diffs_rebuild_the_book(moving: Simulator) -> None:
    """As Binance's documentation tells how to keep a book, while orders of ours take and rest."""
    it = moving.venues["alpha"]
    http = http_client(2.0)
    venue = adapter(at(moving), http)
    await venue.load()
    sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
    compared = 0
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{it.ws_url}/stream") as stream:
        await stream.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@depth@100ms"], "id": 1})
        assert await stream.receive_json() == {"id": 1, "result": None}
        early = await stream.receive_json(timeout=5)
        snapshot = (await http.get(f"{it.rest_url}/api/v3/depth?symbol=BTCUSDT&limit=5000")).json()
        for side, levels in zip(sides, (snapshot["bids"], snapshot["asks"]), strict=True):
            side.update(levels)
        last, synced, taken = snapshot["lastUpdateId"], False, 0
        books = {last: snapshot}
        event, number = early, 0
        while compared < 5:
            data = event["data"]
            assert event["stream"] == "btcusdt@depth@100ms" and data["s"] == "BTCUSDT" and data["U"] <= data["u"]
            if data["u"] > last:
                assert data["U"] == last + 1 if synced else data["U"] <= last + 1
                synced, last = True, data["u"]
                for side, levels in zip(sides, (data["b"], data["a"]), strict=True):
                    side.update(levels)
            if last in books:
                for side, levels in zip(sides, (books[last]["bids"], books[last]["asks"]), strict=True):
                    assert {p: q for p, q in side.items() if float(q)} == dict(levels)
                compared += 1
            number += 1
            best = it.exchange.market("BTCUSDT").book.bids.best()
            assert best is not None and number < 500
            await venue.place(market_order(f"take-{number}", SCALE // 2))
            await venue.place(order(f"rest-{number}", SCALE // 10, best[0] // 10**6 * 10**6))
            taken += 1
            event = await stream.receive_json(timeout=5)
            # what REST says now is what the stream must come to at that id, if it stops there
            now = (await http.get(f"{it.rest_url}/api/v3/depth?symbol=BTCUSDT&limit=5000")).json()
            books[now["lastUpdateId"]] = now
    assert taken >= 5 and (await audit(moving))["accepted"]
    await venue.close()
    await http.aclose()


async def test_stream_forms(moving: Simulator) -> None:
    it = moving.venues["alpha"]
    kinds = ("bookTicker", "trade", "depth@100ms")
    async with aiohttp.ClientSession() as session:
        for path in ("/ws/", "/stream?streams=", "/stream/ws/0?streams="):
            async with session.ws_connect(it.ws_url + path + "/".join(f"btcusdt@{k}" for k in kinds)) as stream:
                seen: set[str] = set()
                while len(seen) < len(kinds):
                    event = await stream.receive_json(timeout=10)
                    assert ("stream" in event) == path.startswith("/stream?")
                    data = event.get("data", event)
                    seen.add(data.get("e", "bookTicker"))
                    if "A" in data:
                        assert float(data["b"]) < float(data["a"]) and data["u"] > 0
        async with session.ws_connect(it.ws_url + "/ws") as stream:
            turns: list[tuple[dict[str, Any], list[str] | None]] = [
                ({"method": "SUBSCRIBE", "params": ["btcusdt@depth"]}, None),
                ({"method": "LIST_SUBSCRIPTIONS"}, ["btcusdt@depth"]),
                ({"method": "UNSUBSCRIBE", "params": ["btcusdt@depth"]}, None),
                ({"method": "LIST_SUBSCRIPTIONS"}, []),
            ]
            for number, (asked, result) in enumerate(turns):
                await stream.send_json({**asked, "id": number})
                assert await stream.receive_json(timeout=5) == {"id": number, "result": result}
            wrongs: list[Any] = [{"method": "SUBSCRIBE", "params": ["dogeusdt@depth"]}, {"method": "SING"}, [], "x"]
            for wrong in wrongs:
                await stream.send_str(json.dumps(wrong))
                assert (await stream.receive_json(timeout=5))["error"]["code"] == 2


async def test_a_reader_too_far_behind_is_cut(still: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BACKLOG", 50)
    it = still.venues["alpha"]
    market = it.exchange.market("BTCUSDT")
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{it.ws_url}/ws/btcusdt@trade") as stream:
        await stream.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        assert (await stream.receive_json(timeout=5))["result"] == ["btcusdt@trade"]
        for burst in (50, 60):
            for _ in range(burst):
                it.exchange.printed(market, 98 * SCALE, SCALE, "SELL", 1)
            if burst == 50:
                assert [(await stream.receive_json(timeout=5))["t"] for _ in range(50)] == list(range(1, 51))
        async with asyncio.timeout(5):
            while (message := await stream.receive()).type is aiohttp.WSMsgType.TEXT:
                continue
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert (await audit(still))["trades"] == []


async def test_user_stream_needs_a_signature_in_time(still: Simulator) -> None:
    def params(secret: str, age: int = 0) -> dict[str, object]:
        given: dict[str, object] = {"apiKey": KEY, "timestamp": int(time.time() * 1000) - age}
        payload = "&".join(f"{k}={v}" for k, v in sorted(given.items()))
        return {**given, "signature": hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()}

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(still.venues["alpha"].ws_url + "/ws-api/v3") as stream,
    ):

        async def ask(method: str, given: object) -> Any:
            await stream.send_json({"id": "1", "method": method, "params": given})
            return await stream.receive_json(timeout=5)

        subscribe = "userDataStream.subscribe.signature"
        assert (await ask(subscribe, params("guess")))["error"]["code"] == -1022
        assert (await ask(subscribe, params(SECRET, 9_000)))["error"]["code"] == -1021
        assert (await ask(subscribe, {"apiKey": "who"}))["status"] == 401
        assert (await ask("order.place", {}))["error"]["code"] == -1000
        assert (await ask("ping", {}))["status"] == 200
        assert (await ask(subscribe, params(SECRET)))["result"] == {"subscriptionId": 0}
        exchange = still.venues["alpha"].exchange
        exchange.printed(exchange.market("BTCUSDT"), 100 * SCALE, SCALE, "BUY", 1)  # nobody's: not told here
        async with httpx.AsyncClient(base_url=still.venues["alpha"].rest_url) as http:
            await http.post("/api/v3/order", content=signed({**LIMIT}), headers={"X-MBX-APIKEY": KEY})
        report, position = await stream.receive_json(timeout=5), await stream.receive_json(timeout=5)
        assert report["subscriptionId"] == 0 and report["event"]["X"] == "NEW"
        assert position["event"]["B"] == [{"a": "USDT", "f": "99950.00000000", "l": "50.00000000"}]
        assert (await ask("userDataStream.unsubscribe", {}))["status"] == 200


async def test_ccxt_keeps_the_book(moving: Simulator) -> None:
    it = moving.venues["alpha"]
    rest = it.rest_url + "/api/v3"
    urls = {"public": rest, "private": rest, "ws": {"spot": f"{it.ws_url}/stream/ws"}}
    options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
    exchange = ccxt.pro.binance({"urls": {"api": urls}, "options": {**options, "ws": {"cost": 5, "compress": 0}}})
    try:
        for _ in range(10):
            book = await asyncio.wait_for(exchange.watch_order_book(BTC), 10)
            assert book["bids"][0][0] < book["asks"][0][0] and len(book["asks"]) >= 150
        (trade, *_) = await asyncio.wait_for(exchange.watch_trades(BTC), 10)
        assert trade["symbol"] == BTC and trade["amount"] > 0
    finally:
        await exchange.close()


# ---- faults


async def set_fault(it: Simulator, **fields: object) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.post(it.venues["alpha"].rest_url + "/sim/fault", json=fields)


@pytest.mark.parametrize(
    ("fields", "kind", "accepted"),
    [
        ({"kind": "503"}, OutcomeKind.UNKNOWN, 0),
        ({"kind": "503", "accepts": True}, OutcomeKind.UNKNOWN, 1),
        ({"kind": "hang"}, OutcomeKind.UNKNOWN, 0),
        ({"kind": "hang", "accepts": True}, OutcomeKind.UNKNOWN, 1),
        ({"kind": "slow", "latency_ms": 50}, OutcomeKind.ACCEPTED, 1),
        ({"kind": "slow", "latency_ms": 3000}, OutcomeKind.UNKNOWN, 0),
        ({"kind": "reject"}, OutcomeKind.REJECTED, 0),
        ({"kind": "down", "seconds": 0.5}, OutcomeKind.NOT_SENT, 0),
    ],
)
async def test_faults(
    still: Simulator, venue: VenueAdapter, fields: dict[str, object], kind: OutcomeKind, accepted: int
) -> None:
    assert (await set_fault(still, **fields)).status_code == 200
    assert (await venue.place(order("c-1"))).kind is kind
    if fields["kind"] == "down":
        await until(lambda: still.venues["alpha"].faults.now.kind == "ok")
    else:
        assert (await audit(still))["accepted"] == ({"c-1": 1} if accepted else {})
        await set_fault(still, kind="ok")
    assert await venue.probe()
    assert isinstance(await venue.query(BTC, "c-1"), OrderView if accepted else NotFound)


async def test_streams_break_and_come_back(still: Simulator, venue: VenueAdapter) -> None:
    events = venue.events()
    assert isinstance(await asyncio.wait_for(anext(events), 5), StreamUp)
    await set_fault(still, kind="down", seconds=0.2)
    assert isinstance(await asyncio.wait_for(anext(events), 10), StreamUp)
    await set_fault(still, kind="hang", accepts=True)
    waiting = asyncio.create_task(venue.place(order("c-1", SCALE, 50 * SCALE)))
    silent = asyncio.ensure_future(anext(events))
    done, _ = await asyncio.wait({silent}, timeout=0.3)
    assert not done and (await audit(still))["accepted"] == {"c-1": 1}
    await set_fault(still, kind="ok")
    event = await asyncio.wait_for(silent, 5)
    assert isinstance(event, VenueEvent) and event.view.child_id == "c-1"
    assert (await waiting).kind is OutcomeKind.ACCEPTED
    await events.aclose()  # type: ignore[attr-defined]


async def test_wrong_faults_are_refused(still: Simulator) -> None:
    for fields in ({"kind": "fire"}, {"kind": "ok", "colour": 1}, {"kind": "down"}, {"kind": "ok", "venue": "beta"}):
        assert (await set_fault(still, **fields)).status_code == 400


# ---- the process


async def test_process(tmp_path: Path) -> None:
    beta = configuration(tmp_path, name="beta", books=GENERATED)["venues"]
    raw = configuration(tmp_path)
    raw["venues"] += beta
    (tmp_path / "config").write_text(json.dumps(raw))
    command = (sys.executable, "-m", "connectors.simulator", "--config", str(tmp_path / "config"))
    started = time.time() * 1000
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))["ready"]
        assert set(ready) == {"alpha", "beta"}
        async with aiohttp.ClientSession() as session:
            for place in ready.values():
                async with session.get(place["rest_url"] + "/api/v3/exchangeInfo") as answer:
                    assert (await answer.json())["symbols"][0]["symbol"] == "BTCUSDT"
            async with session.ws_connect(ready["beta"]["ws_url"] + "/ws/btcusdt@depth@100ms") as stream:
                event = await stream.receive_json(timeout=5)
                # numbers of an earlier start do not come again
                assert event["e"] == "depthUpdate" and started <= event["U"] / 1000 <= time.time() * 1000
                os.kill(process.pid, signal.SIGTERM)
                while (message := await stream.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT:
                    continue
                assert message.type is aiohttp.WSMsgType.CLOSE and message.data == 1001
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_process_with_a_wrong_configuration(tmp_path: Path) -> None:
    (tmp_path / "config").write_text('{"venues": []}')
    command = (sys.executable, "-m", "connectors.simulator", "--config", str(tmp_path / "config"))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1 and b"venues need names" in said and b"Traceback" not in said
