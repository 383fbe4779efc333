"""What each exchange documents, read by its adapter; and what is made of answers that are not whole, or odd."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import httpx
import msgspec
import pytest
from ccxt.base import errors
from children import CHILD as ORDER
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from venue_answers import ANSWERS, FEES, MS, PRICES, QUANTITIES, Says
from venue_calls import SECRET

from connectors.venues import fees
from connectors.venues.adapter import VenueAdapter, VenueConfig
from connectors.venues.dialect import Context, Pair
from connectors.venues.exchanges import DIALECTS
from connectors.venues.generic import PAGES, DialectAdapter
from connectors.venues.names import LEEWAY_MS
from connectors.venues.outcomes import Listing, NotFound, OrderView, Unknown, VenueOrderStatus, VenueTrade
from connectors.venues.registry import adapter
from connectors.venues.units import SCALE, units
from connectors.venues.userstreams.kraken import _event as kraken_event
from schemas.records import Instrument, InstrumentStatus, Liquidity

BTC = "BTC/USDT"
CHILD = "ord-1-0"
STATES = {
    0: (VenueOrderStatus.OPEN, "0"),
    1: (VenueOrderStatus.OPEN, "0.4"),
    2: (VenueOrderStatus.FILLED, "1"),
    3: (VenueOrderStatus.CANCELLED, "0"),
    4: (VenueOrderStatus.CANCELLED, "0.4"),
}
Reply = Callable[[httpx.Request], Any]


class Rig:
    """An adapter whose venue answers by the longest part of the address that is known."""

    def __init__(self, exchange: str, secret: str = SECRET) -> None:
        self.exchange, self.dialect = exchange, DIALECTS[exchange]
        self.answers: dict[str, Any] = {}
        self.asked: list[httpx.Request] = []
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer), trust_env=False)
        config = VenueConfig("v", exchange, api_key="k", secret=secret, password="p", account_id="1")
        self.it: VenueAdapter = adapter(config, self.http)
        self.it.instruments = {BTC: instrument()}
        ex = self.it._ex  # type: ignore[attr-defined]
        base, quote = {"bitfinex": ("BTC", "UST"), "bitstamp": ("btc", "usdt")}.get(exchange, ("BTC", "USDT"))
        market: dict[str, Any] = {
            "id": self.dialect.market_id(Pair.of(BTC)),
            "symbol": BTC,
            "base": "BTC",
            "quote": "USDT",
        }
        market |= {
            "baseId": base,
            "quoteId": quote,
            "type": "spot",
            "spot": True,
            "precision": {"amount": 1e-8, "price": 0.01},
        }
        ex.set_markets([ex.safe_market_structure(market)])
        if exchange == "binance":
            self.it._ids = {BTC: "BTCUSDT"}  # type: ignore[attr-defined]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        known = [part for part in self.answers if part in str(request.url)]
        if not known:
            return httpx.Response(404, json={"nothing": str(request.url)})
        body = self.answers[max(known, key=len)]
        return httpx.Response(200, text=json.dumps(body(request) if callable(body) else body))

    @property
    def wire(self) -> str:
        return CHILD if self.exchange == "binance" else self.dialect.client_ids.of(CHILD)

    def state(self, says: Says, state: int) -> None:
        """The order is in a state, wherever it is asked for."""
        word, filled = says.words[state], STATES[state][1]
        ended = STATES[state][0] is not VenueOrderStatus.OPEN
        if says.done_at:
            row = (says.done_row or says.row)(self.wire, word, filled) if ended else says.row(self.wire, word, filled)
            nothing: dict[str, Any] = {"kraken": {"error": [], "result": {"open": {}}}}
            self.answers = {says.at: nothing.get(self.exchange, [])} if ended else {}
            self.answers[says.done_at if ended else says.at] = (says.done if ended and says.done else says.one)(row)
        else:
            self.answers = {says.at: says.one(says.row(self.wire, word, filled))}


def instrument(symbol: str = BTC) -> Instrument:
    base, quote = symbol.split("/")
    return Instrument(
        venue="v", symbol=symbol, base=base, quote=quote, tick=10**6, lot=1, min_quantity=1, max_quantity=10**15, min_notional=0,
        maker_fee=100_000, taker_fee=200_000, status=InstrumentStatus.OPEN, at=0,
    )  # fmt: skip


@pytest.fixture
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    it = Rig(request.param)
    yield it
    await it.it.close()
    await it.http.aclose()


each = pytest.mark.parametrize("rig", list(ANSWERS), indirect=True)


def test_every_exchange_has_its_answers() -> None:
    assert set(ANSWERS) == set(DIALECTS)


@each
async def test_an_order_in_each_of_its_states(rig: Rig) -> None:
    says = ANSWERS[rig.exchange]
    for state, (status, filled) in STATES.items():
        rig.state(says, state)
        rig.it.forget(CHILD)  # by our id, as after a crash
        view = await rig.it.query(BTC, CHILD)
        assert isinstance(view, OrderView), (state, view)
        assert (view.child_id, view.venue_order_id, view.status, view.filled) == (CHILD, "5", status, units(filled)), (
            state
        )
        assert view.at in (None, MS * 1000)
        assert rig.exchange == "binance" or view.symbol == BTC


@each
async def test_what_is_open(rig: Rig) -> None:
    says = ANSWERS[rig.exchange]
    make = says.open_row or says.row
    rig.it.know(CHILD, "5")
    for state in (0, 1):
        filled = STATES[state][1]
        rig.answers = {says.listed_at: says.listed([make(rig.wire, says.words[state], filled)])}
        # two ask for one symbol each, which comes to the same; Gate's answer for one has another address
        for symbol in (None,) if rig.exchange == "gate" else (None, BTC):
            listed = await rig.it.open_orders(symbol)
            assert isinstance(listed, Listing) and not listed.partial, listed
            (view,) = listed
            found = (view.child_id, view.venue_order_id, view.status, view.filled, view.symbol)
            assert found == (CHILD, "5", VenueOrderStatus.OPEN, units(filled), BTC)
    rig.answers = {says.listed_at: says.listed([])}
    assert await rig.it.open_orders(None if rig.exchange == "gate" else BTC) == []


@each
async def test_the_trades_of_an_order(rig: Rig) -> None:
    says = ANSWERS[rig.exchange]
    order = says.row(rig.wire, says.words[4], "0.4")
    rig.answers = {says.traded_at: says.traded(order, ["7", "8"])}
    if says.traded_first:
        rows = {"kraken": {"error": [], "result": order}}
        rig.answers[says.traded_first] = rows.get(rig.exchange) or says.one(order)
    if rig.exchange == "cryptocom":  # asked from the order's beginning on, in windows of a week
        rig.it.now_ms = lambda: MS + 1000  # type: ignore[method-assign]
    trades = await rig.it.trades(BTC, "5")
    assert isinstance(trades, list), trades
    upbit = {"7": "0.03", "8": "0.0101"}
    expected = [
        (
            n,
            "5",
            units(PRICES[n]),
            units(QUANTITIES[n]),
            units((upbit if rig.exchange == "upbit" else FEES)[n]),
            says.fee_asset,
        )
        for n in ("7", "8")
    ]
    assert [(t.trade_id, t.venue_order_id, t.price, t.quantity, t.fee, t.fee_asset) for t in trades] == expected
    assert {t.liquidity.value for t in trades} == {says.liquidity} and not any(t.estimated for t in trades)
    assert {t.at for t in trades} == {MS * 1000}


# ---- states that ccxt does not know


@pytest.mark.parametrize(
    ("rig", "word", "filled", "status"),
    [
        ("lbank", "4", "0.4", VenueOrderStatus.OPEN),  # being cancelled
        ("poloniex", "PENDING_CANCEL", "0.4", VenueOrderStatus.OPEN),
        ("coinbase", "CANCEL_QUEUED", "0", VenueOrderStatus.OPEN),
        ("coinbase", "PENDING", "0", VenueOrderStatus.OPEN),
        ("coinbase", "EXPIRED", "0.4", VenueOrderStatus.EXPIRED),
        ("cryptocom", "NEW", "0", VenueOrderStatus.OPEN),
        ("bitstamp", "Expired", "0", VenueOrderStatus.EXPIRED),
        ("bitstamp", "Finished", "0.4", VenueOrderStatus.CANCELLED),
        ("kucoin", "done", "0.4", VenueOrderStatus.CANCELLED),  # done with less than its quantity
        ("gemini", "done", "0.4", VenueOrderStatus.CANCELLED),
        ("gate", "cancelled stp", "0.4", VenueOrderStatus.CANCELLED),
        ("gate", "closed ioc", "1", VenueOrderStatus.FILLED),
        ("bitfinex", "CANCELED was: PARTIALLY FILLED @ 100.25(0.4)", "0.4", VenueOrderStatus.CANCELLED),
        ("bitfinex", "FILLORKILL CANCELED", "0", VenueOrderStatus.CANCELLED),
        ("bitfinex", "EXECUTED @ 100.0(0.6): was PARTIALLY FILLED @ 100.0(0.4)", "1", VenueOrderStatus.FILLED),
        ("bitfinex", "RSN_PAUSE (trading is paused)", "0", VenueOrderStatus.CANCELLED),
    ],
    indirect=["rig"],
)
async def test_words_for_a_state(rig: Rig, word: str, filled: str, status: VenueOrderStatus) -> None:
    says = ANSWERS[rig.exchange]
    rig.answers = {says.at: says.one(says.row(rig.wire, word, filled))}
    view = await rig.it.query(BTC, CHILD)
    assert isinstance(view, OrderView) and (view.status, view.filled) == (status, units(filled)), view


@pytest.mark.parametrize("rig", ["whitebit"], indirect=True)
@pytest.mark.parametrize(
    ("word", "filled", "status"),
    [
        ("", "0", "CANCELLED"),
        ("", "0.4", "CANCELLED"),
        ("", "1", "FILLED"),
        ("FILLED", "1", "FILLED"),
        ("CANCELED", "0", "CANCELLED"),
    ],
)
async def test_whitebit_ends_with_and_without_a_state(rig: Rig, word: str, filled: str, status: str) -> None:
    says = ANSWERS["whitebit"]
    assert says.done_row is not None
    rig.answers = {says.at: [], says.done_at: {"BTC_USDT": [says.done_row(rig.wire, word, filled)]}}
    view = await rig.it.query(BTC, CHILD)
    assert isinstance(view, OrderView) and (view.status.value, view.filled) == (status, units(filled))


# ---- more than a page


def _number(request: httpx.Request, name: str, otherwise: int = 0) -> int:
    told = request.url.params.get(name)
    if told is None and request.content[:1] == b"{":
        body = json.loads(request.content)
        told = body.get("params", body).get(name)
    return otherwise if told is None else int(told)


def _many(exchange: str, count: int) -> Reply:
    """A venue with so many trades of the order, that gives them as it documents."""
    says = ANSWERS[exchange]

    def row(n: int) -> Any:
        made = says.traded(says.row("1", says.words[1], "0.4"), ["7"])
        while isinstance(made, dict):
            made = made[next(key for key in ("data", "result", "records", "fills", "list", "items") if key in made)]
        one = dict(made[0])
        for name in ("id", "tradeId", "trade_id", "billId"):
            if name in one:
                one[name] = n if isinstance(one[name], int) else str(n)
        one |= {"time": MS + n} if exchange in ("mexc", "bingx") else {}
        one |= {"create_time": MS + n, "create_time_ns": str((MS + n) * 10**6)} if exchange == "cryptocom" else {}
        return one

    rows = [row(n) for n in range(count, 0, -1)]  # the newest first

    def reply(request: httpx.Request) -> Any:
        def cut(start: int, size: int) -> list[Any]:
            return rows[start : start + size]

        if exchange == "kucoin":
            page, size = _number(request, "currentPage", 1), _number(request, "pageSize", 50)
            body = {"currentPage": page, "pageSize": size, "totalNum": count, "totalPage": -(-count // size)}
            return {"code": "200000", "data": {**body, "items": cut((page - 1) * size, size)}}
        if exchange == "whitebit":
            return {
                "records": cut(_number(request, "offset"), _number(request, "limit", 50)),
                "offset": 0,
                "limit": 100,
            }
        if exchange == "gate":
            size = _number(request, "limit", 100)
            return cut((_number(request, "page", 1) - 1) * size, size)
        if exchange in ("bitget", "okx"):
            before = _number(request, "idLessThan" if exchange == "bitget" else "after", count + 1)
            found = [r for r in rows if int(r["tradeId"]) < before][:100]
            return {"code": "00000" if exchange == "bitget" else "0", "msg": "", "data": found}
        if exchange in ("mexc", "bingx"):
            until, size = _number(request, "endTime", MS * 2), _number(request, "limit")
            found = [r for r in rows if r["time"] <= until][:size]
            return found if exchange == "mexc" else {"code": 0, "msg": "", "data": {"fills": found}}
        since, until = _number(request, "start_time"), _number(request, "end_time")
        found = [r for r in rows if since <= int(r["create_time_ns"]) < until][:100]
        return {"id": 1, "method": "m", "code": 0, "result": {"data": found}}

    return reply


SIZES = {
    "kucoin": 500,
    "whitebit": 100,
    "gate": 1000,
    "bitget": 100,
    "okx": 100,
    "mexc": 100,
    "bingx": 1000,
    "cryptocom": 100,
}


@pytest.mark.parametrize("rig", list(SIZES), indirect=True)
async def test_all_trades_of_an_order_however_many(rig: Rig) -> None:
    says, size = ANSWERS[rig.exchange], SIZES[rig.exchange]
    rig.it.now_ms = lambda: MS + 10**9  # type: ignore[method-assign]  # in the second week
    for count in (0, 1, size - 1, size, size + 1, size * 2 + 50):
        rig.answers = {says.traded_at: _many(rig.exchange, count)}
        if says.traded_first:
            rig.answers[says.traded_first] = says.one(says.row(rig.wire, says.words[1], "0.4"))
        trades = await rig.it.trades(BTC, "5")
        assert isinstance(trades, list), (count, trades)
        assert sorted(int(t.trade_id) for t in trades) == list(range(1, count + 1)), count


@pytest.mark.parametrize("rig", ["mexc", "bitget"], indirect=True)
async def test_a_listing_without_an_end_is_not_whole(rig: Rig) -> None:
    says = ANSWERS[rig.exchange]
    full = says.traded(None, ["7"] * 100)  # the same again and again
    rig.answers = {says.traded_at: full}
    found = await rig.it.trades(BTC, "5")
    assert isinstance(found, Unknown) and found.code == "NOT_WHOLE"
    assert 2 <= len(rig.asked) <= PAGES


# ---- absence


@pytest.mark.parametrize("rig", ["coinbase"], indirect=True)
async def test_coinbase_has_no_such_order_only_when_it_listed_all(rig: Rig) -> None:
    other = {**ANSWERS["coinbase"].row("another", "OPEN", "0"), "order_id": "6"}
    ours = ANSWERS["coinbase"].row(rig.wire, "OPEN", "0")
    for listing, expected in (
        ({"orders": [], "has_next": False, "cursor": ""}, NotFound),
        ({"orders": [other], "has_next": False}, NotFound),
        ({"orders": [other]}, NotFound),
        ({"orders": [other], "has_next": True, "cursor": ""}, Unknown),
        ({"orders": [other], "has_next": None, "cursor": ""}, Unknown),
    ):
        rig.answers = {"historical/batch": listing}
        assert isinstance(await rig.it.query(BTC, CHILD), expected), listing

    def paged(request: httpx.Request) -> Any:
        last = request.url.params.get("cursor") == "next"
        return {"orders": [ours if last else other], "has_next": not last, "cursor": "" if last else "next"}

    rig.answers = {"historical/batch": paged}
    assert isinstance(await rig.it.query(BTC, CHILD), OrderView)


@pytest.mark.parametrize("rig", ["coinbase"], indirect=True)
async def test_a_thousand_in_doubt_cost_a_reading_and_not_a_thousand(rig: Rig) -> None:
    it: Any = rig.it
    says, names = ANSWERS["coinbase"], [f"o{n}-1-0" for n in range(1000)]
    wires = {name: rig.dialect.client_ids.of(name) for name in names}
    rows = [{**says.row(wires[name], "OPEN", "0"), "order_id": f"v{name}"} for name in names[::2]]
    odd: list[Any] = []

    def paged(request: httpx.Request) -> Any:
        at = int(request.url.params.get("cursor") or 0)
        part, more = (rows + odd)[at : at + 100], at + 100 < len(rows + odd)
        return {"orders": part, "has_next": more, "cursor": str(at + 100) if more else ""}

    rig.answers = {"historical/batch": paged}
    for n, name in enumerate(names):
        it.know(name, None, (MS + n) * 1000)
    assert all(it.together(name) for name in names)
    found = await asyncio.gather(*(it.query(BTC, name) for name in names))
    assert [type(one) for one in found] == [OrderView, NotFound] * 500
    assert [one.venue_order_id for one in found[::2]] == [f"v{name}" for name in names[::2]]
    assert len(rig.asked) == 5 and {r.url.params.get("start_date") for r in rig.asked} == {"2023-11-13T22:13:20.000Z"}
    # what was found is known by the venue's own id from now on; a row that cannot be read may be any of the others
    assert not it.together(names[0]) and it.together(names[1])
    odd = [{"order_id": "6", "client_order_id": "", "status": "OPEN"}, {"client_order_id": wires[names[1]]}]
    assert isinstance(await it.query(BTC, names[1]), Unknown)


@pytest.mark.parametrize("rig", ["bitfinex"], indirect=True)
async def test_bitfinex_has_no_such_order_only_when_its_history_is_not_full(rig: Rig) -> None:
    other = ANSWERS["bitfinex"].row("4", "CANCELED", "0")
    for count, expected in ((0, NotFound), (2499, NotFound), (2500, Unknown)):
        rig.answers = {"auth/r/orders/tBTCUST": [], "auth/r/orders/tBTCUST/hist": [other] * count}
        assert isinstance(await rig.it.query(BTC, CHILD), expected), count
    assert json.loads(rig.asked[-1].content)["limit"] == 2500


@each
async def test_one_row_that_cannot_be_read_hides_no_other(rig: Rig) -> None:
    says = ANSWERS[rig.exchange]
    row = (says.open_row or says.row)(rig.wire, says.words[0], "0")
    odd: Any = {"bitfinex": [None], "kraken": {"6": {"status": "strange"}}}.get(rig.exchange, {"id": None, "status": 3})
    rig.answers = {says.listed_at: says.listed([odd, row])}
    listed = await rig.it.open_orders(None if rig.exchange == "gate" else BTC)
    assert isinstance(listed, Listing) and listed.partial
    assert [view.venue_order_id for view in listed] == ["5"]


@pytest.mark.parametrize(
    "rig", ["kucoin", "gate", "bitget", "okx", "whitebit", "htx", "upbit", "lbank", "bybit"], indirect=True
)
async def test_open_orders_go_on_behind_a_page(rig: Rig) -> None:
    says, page = ANSWERS[rig.exchange], rig.dialect.open_orders(Pair.of(BTC), Context(0, "1")).page
    assert page is not None
    make = says.open_row or says.row

    def reply(request: httpx.Request) -> Any:
        first = len(rig.asked) == 1
        body = says.listed([make(rig.wire, says.words[0], "0")] * (page if first else 1))
        if rig.exchange == "kucoin":
            body["data"] |= {"currentPage": 1 if first else 2, "totalPage": 2}
        return body

    rig.answers = {says.listed_at: reply}
    listed = await rig.it.open_orders(None if rig.exchange == "gate" else BTC)
    assert isinstance(listed, Listing) and len(listed) == page + 1 and not listed.partial
    assert str(rig.asked[0].url) + str(rig.asked[0].content) != str(rig.asked[1].url) + str(rig.asked[1].content)


# ---- the exchange's own id


@pytest.mark.parametrize(
    ("rig", "part"),
    [("gate", "spot/orders/5"), ("htx", "v1/order/orders/5"), ("coinbase", "historical/5"), ("bitfinex", "")],
    indirect=["rig"],
)
async def test_an_order_is_asked_for_by_the_exchanges_id_where_it_is_known(rig: Rig, part: str) -> None:
    rig.it.know(CHILD, "5")
    await rig.it.query(BTC, CHILD)
    if part:
        assert part in str(rig.asked[-1].url)
    else:
        assert json.loads(rig.asked[-1].content)["id"] == [5]
    rig.it.forget(CHILD)
    await rig.it.query(BTC, CHILD)
    assert not part or part not in str(rig.asked[-1].url)


@pytest.mark.parametrize("rig", ["coinbase"], indirect=True)
async def test_an_order_is_looked_for_in_the_listing_of_its_time(rig: Rig) -> None:
    """Between the first time that it was signed and the last, or, after a restart, since the day before it was claimed."""
    adapter_: Any = rig.it

    async def asked() -> list[float | None]:
        rig.answers = {"/orders": {"orders": [], "has_next": False}}
        assert await rig.it.query(BTC, CHILD) == NotFound()
        given = [rig.asked[-1].url.params.get(k) for k in ("start_date", "end_date")]
        return [None if at is None else datetime.fromisoformat(at).timestamp() for at in given]

    assert await asked() == [None, None]
    rig.it.know(CHILD, None, MS * 1000)
    assert await asked() == [MS / 1000 - 86_400, None]
    rig.it.forget(CHILD)
    rig.answers = {"/orders": {"success": False, "error_response": {"error": "INSUFFICIENT_FUND"}}}
    adapter_.now_ms = lambda: MS
    order = msgspec.structs.replace(ORDER, child_id=CHILD, price=10**10, quantity=10**8)
    await rig.it.place(order)
    await rig.it.place(order, MS + 500_000)
    rig.it.know(CHILD, None, MS * 1000)  # as when its partition went and came back
    assert await asked() == [MS / 1000 - LEEWAY_MS / 1000, MS / 1000 + 500 + LEEWAY_MS / 1000]


async def test_a_token_is_signed_with_the_time_of_the_claim() -> None:
    """Coinbase's keys of today sign tokens: one that was claimed long ago must not become fresh by waiting."""
    pem = (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        .decode()
    )
    it = Rig("coinbase", pem)
    it.answers = {"/orders": {"success": False, "error_response": {"error": "INSUFFICIENT_FUND"}}}
    await it.it.place(msgspec.structs.replace(ORDER, child_id=CHILD, price=10**10, quantity=10**8), MS)
    token = it.asked[-1].headers["Authorization"].removeprefix("Bearer ")
    middle = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    assert (claims["nbf"], claims["exp"]) == (MS // 1000, MS // 1000 + 120)
    await it.it.close()
    await it.http.aclose()


@pytest.mark.parametrize("rig", ["coinbase"], indirect=True)
async def test_a_listing_for_which_more_proof_is_wanted_proves_nothing(rig: Rig) -> None:
    rig.answers = {"/orders": {"orders": [], "has_next": False, "proof_token_required": True}}
    assert isinstance(await rig.it.query(BTC, CHILD), Unknown)


@pytest.mark.parametrize("rig", ["gate"], indirect=True)
async def test_a_listing_tells_the_exchanges_id(rig: Rig) -> None:
    says = ANSWERS["gate"]
    rig.answers = {says.listed_at: says.listed([says.row(rig.wire, "open", "0")])}
    rig.it.know(CHILD)
    await rig.it.open_orders()
    await rig.it.query(BTC, CHILD)
    assert "spot/orders/5" in str(rig.asked[-1].url)


def test_for_how_long_an_order_is_remembered() -> None:
    known = {name: d.remembers_seconds for name, d in DIALECTS.items() if d.remembers_seconds is not None}
    assert known == {"gate": 3600, "htx": 7200}


async def test_the_adapter_tells_for_how_long() -> None:
    for name, expected in (("gate", 3600.0), ("binance", None), ("kraken", None)):
        it = Rig(name)
        assert it.it.remembers_seconds == expected
        await it.it.close()
        await it.http.aclose()


# ---- fees


def test_the_fee_of_several_parts() -> None:
    price = 100 * SCALE
    assert fees.told([], "BTC", "USDT", price) is None
    assert fees.told([("BTC", 0), ("GT", 5)], "BTC", "USDT", price) == fees.Fee(5, "GT")
    assert fees.told([("USDT", 3), ("USDT", 4)], "BTC", "USDT", price) == fees.Fee(7, "USDT")
    assert fees.told([("USDT", 0)], "BTC", "USDT", price) == fees.Fee(0, "USDT")
    assert fees.told([("USDT", 99), ("BTC", 1)], "BTC", "USDT", price) == fees.Fee(1, "BTC", True)
    assert fees.told([("USDT", 101), ("BTC", 1)], "BTC", "USDT", price) == fees.Fee(101, "USDT", True)
    assert fees.told([("GT", 10**9), ("BTC", 1)], "BTC", "USDT", price) == fees.Fee(1, "BTC", True)
    assert fees.told([("USDT", -5)], "BTC", "USDT", price) == fees.Fee(-5, "USDT")
    assert fees.told([(None, 5)], "BTC", "USDT", price) == fees.Fee(5, "USDT", True)


def test_a_fee_that_is_not_told_is_the_rates() -> None:
    it, price = instrument(), 100 * SCALE
    assert fees.at_rate(it, price, SCALE // 2, Liquidity.MAKER) == fees.Fee(5_000_000, "USDT", True)
    assert fees.at_rate(it, price, SCALE // 2, Liquidity.TAKER) == fees.Fee(10_000_000, "USDT", True)
    assert fees.at_rate(it, price, SCALE // 2, Liquidity.NOT_KNOWN) == fees.Fee(10_000_000, "USDT", True)
    assert fees.at_rate(it, 1, 1, Liquidity.TAKER).cost == 1, "rounded up"


@pytest.mark.parametrize("rig", ["poloniex"], indirect=True)
async def test_a_trade_without_a_fee_is_not_free(rig: Rig) -> None:
    says = ANSWERS["poloniex"]
    rows = [{k: v for k, v in row.items() if not k.startswith("fee")} for row in says.traded(None, ["7", "8"])]
    rig.answers = {says.traded_at: rows}
    trades = await rig.it.trades(BTC, "5")
    assert isinstance(trades, list)
    assert [(t.fee, t.fee_asset, t.estimated) for t in trades] == [(6_000_000, "USDT", True), (2_020_000, "USDT", True)]


@pytest.mark.parametrize("rig", ["upbit"], indirect=True)
async def test_upbits_paid_fee_is_shared_to_the_last_unit(rig: Rig) -> None:
    order = ANSWERS["upbit"].row(rig.wire, "done", "1") | {"paid_fee": "0.00000010"}
    rig.answers = {"v1/order": order}
    trades = await rig.it.trades(BTC, "5")
    assert isinstance(trades, list) and [t.fee for t in trades] == [7, 3]


def test_krakens_stream_tells_one_fee_of_two() -> None:
    row = {
        "order_id": "5", "cl_ord_id": "c", "exec_id": "7", "exec_type": "trade", "symbol": BTC, "last_qty": "1", "last_price": "100",
        "cum_qty": "1", "order_status": "filled", "timestamp": "2023-09-22T10:33:05.709982Z", "liquidity_ind": "m",
        "fees": [{"asset": "USDT", "qty": "0.1"}, {"asset": "BTC", "qty": "0.0001"}, {"asset": "USDT", "qty": "0.2"}],
    }  # fmt: skip
    trade = kraken_event(row).trade
    assert trade is not None and (trade.fee, trade.fee_asset, trade.estimated) == (30_000_000, "USDT", True)


# ---- odd answers

ODD: tuple[Any, ...] = (
    {}, [], [None], [[]], [1], {"data": None}, {"data": [None]}, {"data": {}}, {"result": None}, {"result": {"list": [7]}},
    {"result": {"open": []}}, {"balances": [{}]}, {"orders": None}, {"code": 0, "data": {"orders": [[]]}}, {"status": "ok", "data": [{}]},
    {"error": [], "result": {"XXBT": None}}, {"code": "00000", "data": [{}]}, {"code": "200000", "data": {"items": [None]}},
    {"accounts": [None]}, [["exchange", "BTC"]], [{"currency": "BTC"}], [{"balances": None}], {"BTC": None}, {"serverTime": None},
)  # fmt: skip


@each
async def test_odd_answers_raise_nothing_of_their_own(rig: Rig) -> None:
    for body in ODD:
        rig.answers = {"": body}
        assert not isinstance(await rig.it.query(BTC, CHILD), OrderView), body
        trades = await rig.it.trades(BTC, "5")
        assert isinstance(trades, Unknown) or trades == [], (body, trades)
        listed = await rig.it.open_orders(BTC)
        assert isinstance(listed, Unknown) or listed == [], (body, listed)
        assert isinstance(await rig.it.probe(), bool)
        try:
            held = await rig.it.balances()
            assert not any(map(any, held.values())), (body, held)
        except errors.BaseError:
            pass
        with pytest.raises(errors.BaseError):
            await rig.it.load()
        if isinstance(rig.it, DialectAdapter):
            assert not isinstance(await rig.it.cancel(BTC, CHILD), OrderView)


async def test_a_row_that_is_no_trade_is_not_one() -> None:
    it = Rig("bitvavo")
    order = ANSWERS["bitvavo"].row(it.wire, "filled", "1")
    for broken in ({"price": None}, {"price": "0"}, {"amount": None}, {"amount": "0"}, {"id": None}):
        it.answers = {"v2/order": {**order, "fills": [order["fills"][0] | broken]}}
        assert isinstance(await it.it.trades(BTC, "5"), Unknown), broken
    await it.it.close()
    await it.http.aclose()


@pytest.mark.parametrize("rig", ["cryptocom"], indirect=True)
async def test_a_trade_that_names_no_order_is_not_taken_where_all_are_listed(rig: Rig) -> None:
    says = ANSWERS["cryptocom"]
    rig.it.now_ms = lambda: MS  # type: ignore[method-assign]
    body = says.traded(None, ["7", "8"])
    body["result"]["data"][0] = {k: v for k, v in body["result"]["data"][0].items() if k != "order_id"}
    rig.answers = {says.traded_at: body, says.traded_first: says.one(says.row(rig.wire, "FILLED", "1"))}
    trades = await rig.it.trades(BTC, "5")
    assert isinstance(trades, list) and [t.trade_id for t in trades] == ["8"]


def test_a_trade_is_what_it_was_without_the_new_field() -> None:
    told = VenueTrade("1", "5", 1, 1, 0, "USDT", Liquidity.TAKER, None)
    assert not told.estimated and replace(told, estimated=True).estimated
