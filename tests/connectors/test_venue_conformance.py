"""One numbered suite that every simulated dialect passes: the adapter of the exchange against a venue that speaks its dialect over HTTP.

Books are still (one update an hour) and 60000 in the middle, so that what fills is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from venue_calls import SECRET

from connectors.simulator.budget import Budget
from connectors.simulator.config import FEES_IN_QUOTE, settings
from connectors.simulator.dialects import coinbase as coinbase_simulated
from connectors.simulator.venue import Simulator
from connectors.venues.adapter import VenueAdapter, VenueConfig, wall_ms
from connectors.venues.outcomes import (
    NotFound,
    OrderView,
    Outcome,
    OutcomeKind,
    StreamUp,
    Unknown,
    VenueEvent,
    VenueOrderStatus,
)
from connectors.venues.registry import adapter
from connectors.venues.transport import http_client
from schemas.records import ChildOrder, Liquidity, OrderType, Side, TimeInForce

SCALE, BTC = 10**8, "BTC/USDT"
DIALECTS = ("binance", "coinbase", "kraken", "okx")
ACCEPTED, REJECTED, UNKNOWN, NOT_SENT = (
    OutcomeKind.ACCEPTED,
    OutcomeKind.REJECTED,
    OutcomeKind.UNKNOWN,
    OutcomeKind.NOT_SENT,
)
OPEN, FILLED, CANCELLED, EXPIRED = (
    VenueOrderStatus.OPEN,
    VenueOrderStatus.FILLED,
    VenueOrderStatus.CANCELLED,
    VenueOrderStatus.EXPIRED,
)


@dataclass
class Rig:
    """A venue, the adapter of its exchange, and what the venue itself knows."""

    simulator: Simulator
    venue: VenueAdapter
    http: httpx.AsyncClient
    config: VenueConfig
    audits: list[dict[str, Any]]

    @property
    def exchange(self) -> Any:
        return self.simulator.venues["it"].exchange

    async def audit(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get(f"{self.config.rest_url}/sim/audit")).json()
        return found

    async def fault(self, **fault: Any) -> None:
        (await self.http.post(f"{self.config.rest_url}/sim/fault", json=fault)).raise_for_status()

    async def query(self, child_id: str) -> OrderView:
        found = await self.venue.query(BTC, child_id)
        assert isinstance(found, OrderView), found
        return found

    def venue_name(self, wire: str) -> str:
        """The child that an id on the wire stands for."""
        names = getattr(self.venue, "_names", None)
        return wire if names is None else names.child(wire) or wire

    async def another(self) -> VenueAdapter:
        """As after a restart: nothing is remembered."""
        it = adapter(self.config, self.http)
        await it.load()
        return it

    def show(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        """The book as it shall be; prices in whole quote, quantities in 1e-8."""
        market = self.exchange.markets["BTCUSDT"]
        self.exchange.show(market, [(p * SCALE, q) for p, q in bids], [(p * SCALE, q) for p, q in asks], 1, whole=True)


def child(child_id: str, **fields: Any) -> ChildOrder:
    base: dict[str, Any] = {
        "child_id": child_id,
        "order_id": "o-1",
        "account_id": "a-1",
        "venue": "it",
        "symbol": BTC,
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "quantity": SCALE,
        "price": 59_000 * SCALE,
        "created_at": 0,
    }
    return ChildOrder(**{**base, **fields})


@pytest.fixture(params=DIALECTS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    raw = {
        "venues": [
            {
                "name": "it",
                "dialect": request.param,
                "maker_fee": "0.0008",
                "taker_fee": "0.001",
                "symbols": [{"symbol": BTC, "min_notional": "5"}],
                "accounts": [{"api_key": "k", "secret": SECRET, "balances": {"USDT": "1000000", "BTC": "100"}}],
                "books": {"kind": "generated", "mid": {BTC: "60000"}, "levels": 1, "updates_per_s": 0.0003},
            }
        ]
    }
    simulator = Simulator(settings(raw, Path()))
    place = (await simulator.start())["it"]
    config = VenueConfig(
        *("it", request.param, place["rest_url"], place["ws_url"], "k", SECRET),
        timeout=0.5,
        recv_window_ms=2_000,
        password="p",
        stream_silence=2.1,
    )
    http = http_client(0.5)
    venue = adapter(config, http)
    it = Rig(simulator, venue, http, config, [])
    it.show([(59_990, 2 * SCALE)], [(60_010, 2 * SCALE), (60_020, 3 * SCALE)])
    await venue.load()
    yield it
    audit = await it.audit()
    assert audit["conserved"]
    assert all(times == 1 for times in audit["accepted"].values()), "no order is taken twice"
    await venue.close()
    await simulator.stop()
    await http.aclose()


async def test_01_instruments_are_read_exactly(rig: Rig) -> None:
    found = rig.venue.instruments[BTC]
    assert (found.tick, found.lot, found.min_quantity) == (SCALE // 100, 1_000, 1_000)
    if rig.config.exchange in FEES_IN_QUOTE:  # where the list of markets tells the rates
        assert (found.maker_fee, found.taker_fee) == (80_000, 100_000)


async def test_02_an_order_that_rests_is_open(rig: Rig) -> None:
    outcome = await rig.venue.place(child("c02"))
    assert outcome.kind is ACCEPTED and outcome.view is not None and outcome.view.status is OPEN
    view = await rig.query("c02")
    assert (view.child_id, view.venue_order_id, view.status, view.filled) == (
        "c02",
        outcome.view.venue_order_id,
        OPEN,
        0,
    )


async def test_03_an_order_fills_and_its_trades_say_how(rig: Rig) -> None:
    outcome = await rig.venue.place(
        child("c03", quantity=4 * SCALE, price=60_030 * SCALE, time_in_force=TimeInForce.IOC)
    )
    assert outcome.kind is ACCEPTED
    view = await rig.query("c03")
    assert (view.status, view.filled) == (FILLED, 4 * SCALE)
    trades = await rig.venue.trades(BTC, view.venue_order_id)
    assert isinstance(trades, list)
    assert [(t.price, t.quantity) for t in trades] == [(60_010 * SCALE, 2 * SCALE), (60_020 * SCALE, 2 * SCALE)]
    assert len({t.trade_id for t in trades}) == 2
    assert all(t.liquidity is Liquidity.TAKER for t in trades)
    in_quote = rig.config.exchange in FEES_IN_QUOTE
    assert [(t.fee, t.fee_asset) for t in trades] == [
        (worth // 1000, "USDT" if in_quote else "BTC")
        for worth in ((120_020 * SCALE, 120_040 * SCALE) if in_quote else (2 * SCALE, 2 * SCALE))
    ]
    fees, free = sum(t.fee or 0 for t in trades), await rig.venue.balances()
    assert free["USDT"] == (1_000_000 * SCALE - 240_060 * SCALE - (fees if in_quote else 0), 0)
    assert free["BTC"] == (104 * SCALE - (0 if in_quote else fees), 0)


async def test_04_what_an_ioc_does_not_get_ends(rig: Rig) -> None:
    await rig.venue.place(child("c04", quantity=9 * SCALE, price=60_010 * SCALE, time_in_force=TimeInForce.IOC))
    view = await rig.query("c04")
    assert view.status in (CANCELLED, EXPIRED) and view.filled == 2 * SCALE


async def test_05_all_or_nothing(rig: Rig) -> None:
    outcome = await rig.venue.place(
        child("c05", quantity=9 * SCALE, price=60_020 * SCALE, time_in_force=TimeInForce.FOK)
    )
    assert outcome.kind in (ACCEPTED, REJECTED)
    if outcome.kind is ACCEPTED:
        view = await rig.query("c05")
        assert view.status in (CANCELLED, EXPIRED) and view.filled == 0
    await rig.venue.place(child("c05b", quantity=5 * SCALE, price=60_020 * SCALE, time_in_force=TimeInForce.FOK))
    assert (await rig.query("c05b")).filled == 5 * SCALE


async def test_06_a_resting_order_fills_in_parts(rig: Rig) -> None:
    await rig.venue.place(child("c06", price=60_000 * SCALE))
    rig.show([(59_990, SCALE)], [(60_000, SCALE // 4)])
    view = await rig.query("c06")
    assert (view.status, view.filled) == (OPEN, SCALE // 4)
    rig.show([(59_990, SCALE)], [(60_000, 0), (59_999, 2 * SCALE)])
    view = await rig.query("c06")
    assert (view.status, view.filled) == (FILLED, SCALE)
    trades = await rig.venue.trades(BTC, view.venue_order_id)
    assert isinstance(trades, list) and sum(t.quantity for t in trades) == SCALE
    assert all(t.liquidity is Liquidity.MAKER for t in trades)


async def test_07_cancel(rig: Rig) -> None:
    await rig.venue.place(child("c07"))
    outcome = await rig.venue.cancel(BTC, "c07")
    assert outcome.kind is ACCEPTED and outcome.view is not None and outcome.view.status is CANCELLED
    assert (await rig.query("c07")).status is CANCELLED


async def test_08_cancel_of_what_is_partly_filled(rig: Rig) -> None:
    await rig.venue.place(child("c08", price=60_010 * SCALE, quantity=3 * SCALE))
    outcome = await rig.venue.cancel(BTC, "c08")
    assert outcome.kind is ACCEPTED and outcome.view is not None
    assert (outcome.view.status, outcome.view.filled) == (CANCELLED, 2 * SCALE)


async def test_09_a_cancel_that_crosses_a_fill_tells_of_the_fill(rig: Rig) -> None:
    await rig.venue.place(child("c09", price=60_000 * SCALE))
    rig.show([(59_990, SCALE)], [(59_999, 2 * SCALE)])
    outcome = await rig.venue.cancel(BTC, "c09")
    assert outcome.kind is not ACCEPTED or (outcome.view is not None and outcome.view.status is FILLED)
    assert (await rig.query("c09")).filled == SCALE


async def test_10_cancel_of_what_never_was(rig: Rig) -> None:
    outcome = await rig.venue.cancel(BTC, "c10")
    assert outcome.kind is REJECTED


async def test_11_refused_for_want_of_money(rig: Rig) -> None:
    outcome = await rig.venue.place(child("c11", quantity=100 * SCALE))
    assert (
        outcome.kind is REJECTED and outcome.code == "INSUFFICIENT_FUNDS"
    ) or outcome.venue_code == "INSUFFICIENT_FUND"
    assert outcome.http_status is not None and outcome.venue_code and outcome.reason
    assert isinstance(await rig.venue.query(BTC, "c11"), NotFound)


async def test_12_what_we_know_to_be_wrong_is_not_sent(rig: Rig) -> None:
    for wrong in (
        {"quantity": 1},
        {"quantity": 0},
        {"symbol": "NO/SUCH"},
        {"order_type": OrderType.STOP},
        {"price": 1},
    ):
        assert (await rig.venue.place(child("c12", **wrong))).kind is NOT_SENT, wrong
    assert (await rig.audit())["orders"] == []


async def test_13_an_id_that_is_taken_never_makes_a_second_order(rig: Rig) -> None:
    first = await rig.venue.place(child("c13"))
    again = await rig.venue.place(child("c13"))
    assert first.kind is ACCEPTED and first.view is not None
    # refused, unknown (so it is asked), or answered with the order that has it: never another order
    assert again.kind is not ACCEPTED or (
        again.view is not None and again.view.venue_order_id == first.view.venue_order_id
    )
    assert (await rig.audit())["accepted"] == {next(iter((await rig.audit())["accepted"])): 1}


async def test_14_no_such_order_is_said_for_sure(rig: Rig) -> None:
    assert isinstance(await rig.venue.query(BTC, "c14"), NotFound)
    await rig.venue.place(child("c14b"))
    assert isinstance(await rig.venue.query(BTC, "c14"), NotFound)


async def test_15_open_orders_and_balances(rig: Rig) -> None:
    await rig.venue.place(child("c15"))
    await rig.venue.place(child("c15s", side=Side.SELL, price=61_000 * SCALE, quantity=2 * SCALE))
    for symbol in (BTC, None):
        listed = await rig.venue.open_orders(symbol)
        assert not isinstance(listed, Unknown) and {v.child_id for v in listed} == {"c15", "c15s"}
    balances = await rig.venue.balances()
    fee = 59 * SCALE if rig.config.exchange in FEES_IN_QUOTE else 0  # locked with the price
    assert balances["USDT"] == (941_000 * SCALE - fee, 59_000 * SCALE + fee)
    assert balances["BTC"] == (98 * SCALE, 2 * SCALE)


@pytest.mark.parametrize("acts", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["hang", "503"])
async def test_16_what_is_unknown_is_found_out(rig: Rig, kind: str, acts: bool) -> None:
    await rig.fault(kind=kind, accepts=acts)
    outcome = await rig.venue.place(child("c16"))
    assert outcome.kind is UNKNOWN
    assert isinstance(await rig.venue.query(BTC, "c16"), Unknown), "a venue that fails says nothing"
    await rig.fault(kind="ok")
    found = await rig.venue.query(BTC, "c16")
    if acts:
        assert isinstance(found, OrderView) and found.status is OPEN
    elif kind == "503":
        assert isinstance(found, NotFound)


async def test_17_after_a_restart_orders_are_found_by_the_child_alone(rig: Rig) -> None:
    await rig.venue.place(child("c17"))
    other = await rig.another()
    found = await other.query(BTC, "c17")
    assert isinstance(found, OrderView) and found.child_id == "c17"
    outcome = await other.cancel(BTC, "c17")
    assert outcome.kind is ACCEPTED and outcome.view is not None and outcome.view.status is CANCELLED
    await other.close()


async def test_18_a_venue_that_is_gone_was_sent_nothing_and_comes_back(rig: Rig) -> None:
    await rig.venue.place(child("c18"))
    await rig.fault(kind="down", seconds=0.4)
    await asyncio.sleep(0)
    outcome = await rig.venue.place(child("c18b"))
    assert outcome.kind in (NOT_SENT, UNKNOWN)
    assert not await rig.venue.probe()

    await asyncio.wait_for(_answers(rig.venue), 5)
    assert (await rig.query("c18")).status is OPEN
    if outcome.kind is NOT_SENT:
        assert isinstance(await rig.venue.query(BTC, "c18b"), NotFound)


async def _answers(venue: VenueAdapter) -> None:
    while not await venue.probe():
        continue


async def test_19_a_wrong_key_or_secret_is_refused_for_sure(rig: Rig) -> None:
    for wrong in ({"api_key": "other"}, {"secret": SECRET[::-1].strip("=") + "="}):
        it = adapter(replace(rig.config, **wrong), rig.http)
        it.instruments = rig.venue.instruments
        if hasattr(it, "_ids"):
            it._ids = {BTC: "BTCUSDT"}
        outcome = await it.place(child("c19"))
        assert outcome.kind is REJECTED or (outcome.kind is UNKNOWN and outcome.http_status == 401), outcome
        await it.close()
    assert (await rig.audit())["orders"] == []


async def test_20_an_order_that_comes_too_late_is_not_taken(rig: Rig) -> None:
    """Signed long ago: the venue itself refuses, so a process that slept can do no harm."""
    late = rig.venue.now_ms() - int(max(rig.venue.takes_seconds, 31.0) * 1000) - 1_000
    outcome = await rig.venue.place(child("c20"), signed_at=late)
    assert outcome.kind in (REJECTED, UNKNOWN), outcome
    assert (await rig.audit())["orders"] == []
    assert isinstance(await rig.venue.query(BTC, "c20"), NotFound)


async def test_21_a_clock_that_is_off_is_measured(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours goes 40 seconds ahead: orders are refused until the venue's clock is asked for, and then taken."""
    from connectors.venues import binance, generic

    ahead: Callable[[], int] = lambda: wall_ms() + 40_000  # noqa: E731  # a clock, not a function of the suite
    for module in (binance, generic):
        monkeypatch.setattr(module, "wall_ms", ahead)
    if hasattr(rig.venue, "_ids"):
        monkeypatch.setattr(rig.venue._ex, "milliseconds", ahead)
    if rig.config.exchange != "kraken":  # which signs a counter, not a time
        assert (await rig.venue.place(child("c21"))).kind is not ACCEPTED
    assert await rig.venue.probe()
    assert (await rig.venue.place(child("c21b"))).kind is ACCEPTED


async def test_22_many_at_once_each_once(rig: Rig) -> None:
    outcomes: list[Outcome] = await asyncio.gather(
        *(rig.venue.place(child(f"m{n}", quantity=SCALE // 100)) for n in range(40))
    )
    assert [o.kind for o in outcomes] == [ACCEPTED] * 40
    listed = await rig.venue.open_orders(BTC)
    assert not isinstance(listed, Unknown) and {v.child_id for v in listed} == {f"m{n}" for n in range(40)}
    cancels = await asyncio.gather(*(rig.venue.cancel(BTC, f"m{n}") for n in range(40)))
    assert [c.kind for c in cancels] == [ACCEPTED] * 40
    audit = await rig.audit()
    assert len(audit["accepted"]) == 40 and {o["status"] for o in audit["orders"]} == {"CANCELED"}


async def test_23_a_post_only_order_never_takes(rig: Rig) -> None:
    """It rests with the venue as what may not take; where it would take, the venue refuses it and nothing is traded."""
    rests = await rig.venue.place(child("c23a", post_only=True))
    assert rests.kind is ACCEPTED and (await rig.query("c23a")).status is OPEN
    assert [order.asked.kind for order in rig.exchange.orders.values()] == ["LIMIT_MAKER"]
    takes = await rig.venue.place(child("c23b", price=60_010 * SCALE, post_only=True))
    # a refusal that the adapter does not take for sure is asked about, and then is
    sure = takes.kind is REJECTED or isinstance(await rig.venue.query(BTC, "c23b"), NotFound)
    assert sure and takes.kind in (REJECTED, UNKNOWN), takes
    assert not [t for t in (await rig.audit())["trades"] if rig.venue_name(t["client_order_id"]) == "c23b"]
    immediate = await rig.venue.place(child("c23c", post_only=True, time_in_force=TimeInForce.IOC))
    assert (immediate.kind, immediate.code) == (NOT_SENT, "UNSUPPORTED_TIME_IN_FORCE")


# ---- the private stream


class Told:
    """What an adapter's stream says, as it comes."""

    def __init__(self, venue: VenueAdapter) -> None:
        self._venue, self.queue = venue, asyncio.Queue[StreamUp | VenueEvent]()
        self.seen: list[VenueEvent] = []
        self.ups = 0

    async def __aenter__(self) -> Told:
        self._task = asyncio.create_task(self._listen())
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        async for event in self._venue.events():
            self.queue.put_nowait(event)

    async def up(self) -> None:
        """Until the stream says that it stands (again)."""
        before = self.ups
        while self.ups == before:
            await self._one()

    async def until(self, child_id: str, status: VenueOrderStatus, filled: int) -> VenueEvent:
        """The first event, already seen or not, that shows the order so."""
        while True:
            for event in self.seen:
                if (event.view.child_id, event.view.status, event.view.filled) == (child_id, status, filled):
                    return event
            await self._one()

    async def _one(self) -> None:
        event = await asyncio.wait_for(self.queue.get(), 10)
        if isinstance(event, StreamUp):
            self.ups += 1
        else:
            self.seen.append(event)


async def test_23_the_stream_tells_every_state_of_an_order(rig: Rig) -> None:
    async with Told(rig.venue) as told:
        outcome = await rig.venue.place(child("c23", price=60_000 * SCALE))
        assert outcome.view is not None
        event = await told.until("c23", OPEN, 0)
        assert event.view.venue_order_id == outcome.view.venue_order_id
        rig.show([(59_990, SCALE)], [(60_000, SCALE // 4)])
        await told.until("c23", OPEN, SCALE // 4)
        rig.show([(59_990, SCALE)], [(60_000, 0), (59_999, 2 * SCALE)])
        await told.until("c23", FILLED, SCALE)
        await rig.venue.place(child("c23b"))
        await told.until("c23b", OPEN, 0)
        await rig.venue.cancel(BTC, "c23b")
        await told.until("c23b", CANCELLED, 0)


async def test_24_a_fill_by_stream_and_by_poll_is_one_and_the_same(rig: Rig) -> None:
    async with Told(rig.venue) as told:
        await rig.venue.place(child("c24", quantity=4 * SCALE, price=60_030 * SCALE, time_in_force=TimeInForce.IOC))
        event = await told.until("c24", FILLED, 4 * SCALE)
        polled = await rig.venue.trades(BTC, event.view.venue_order_id)
    assert isinstance(polled, list) and len(polled) == 2
    streamed = [e.trade for e in told.seen if e.trade is not None]
    if rig.config.exchange == "coinbase":  # which streams orders alone
        assert streamed == []
    else:
        assert streamed == polled, "trade id, price, quantity, fee, liquidity and time"


async def test_25_what_was_missed_is_asked_for_after_reconnecting(rig: Rig) -> None:
    async with Told(rig.venue) as told:
        await rig.venue.place(child("c25", price=60_000 * SCALE))
        await told.until("c25", OPEN, 0)
        await rig.fault(kind="down", seconds=0.3)
        rig.show([(59_990, SCALE)], [(59_999, 2 * SCALE)])
        await told.up()
        assert (await rig.query("c25")).status is FILLED, "the stream is back, and so the venue answers"
        await rig.venue.place(child("c25b"))
        await told.until("c25b", OPEN, 0)


async def test_26_silence_is_noticed(rig: Rig) -> None:
    """The venue's streams fall silent, with the connection standing: it is given up and made anew."""
    beats = asyncio.create_task(rig.simulator.run())  # some dialects tell that they live
    try:
        async with Told(rig.venue) as told:
            ups = told.ups
            with pytest.raises(TimeoutError):  # one that is quiet and lives is left alone
                await asyncio.wait_for(told.queue.get(), 3.0)
            await rig.fault(kind="hang", seconds=4.0)
            await told.up()
            assert told.ups == ups + 1
            await rig.venue.place(child("c26"))
            await told.until("c26", OPEN, 0)
    finally:
        beats.cancel()
        await asyncio.gather(beats, return_exceptions=True)


async def test_27_a_stream_with_a_wrong_secret_stays_down(rig: Rig) -> None:
    it = adapter(replace(rig.config, secret=SECRET[::-1].strip("=") + "="), rig.http)
    events = it.events()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(events), 1.0)
    await it.close()
    assert await rig.venue.probe()


async def test_28_too_many_requests_are_refused_and_the_wait_is_told(rig: Rig) -> None:
    waits: list[float] = []
    rig.venue._ex.limited = waits.append  # type: ignore[attr-defined]
    await rig.fault(kind="shaken", kinds=["429"], times=1, retry_after=3)
    outcome = await rig.venue.place(child("c28"))
    assert (outcome.kind, outcome.http_status, waits) == (REJECTED, 429, [3.0])
    assert (await rig.venue.place(child("c28b"))).kind is ACCEPTED


async def test_29_a_market_order_is_never_changed_into_another(rig: Rig) -> None:
    """Sells everywhere; buys where the exchange takes a quantity. Elsewhere they are not sent: the router sends limits, which all take."""
    sell = await rig.venue.place(child("c29", side=Side.SELL, order_type=OrderType.MARKET, price=0, quantity=SCALE))
    assert sell.kind is ACCEPTED and (await rig.query("c29")).filled == SCALE
    buy = await rig.venue.place(child("c29b", order_type=OrderType.MARKET, price=0, quantity=SCALE))
    if rig.config.exchange == "coinbase":
        assert (buy.kind, buy.code) == (NOT_SENT, "MARKET_BUY_NEEDS_COST")
    else:
        assert buy.kind is ACCEPTED and (await rig.query("c29b")).filled == SCALE
    limit = await rig.venue.place(child("c29c", time_in_force=TimeInForce.IOC, price=60_020 * SCALE))
    assert limit.kind is ACCEPTED and (await rig.query("c29c")).filled == SCALE


async def test_30_the_venues_own_limit(rig: Rig) -> None:
    """A venue that counts refuses for itself what is too much, whoever asks."""
    venue = rig.simulator.venues["it"]
    venue.budget = Budget({"orders": (3, 60.0)}, venue.faults.voice)
    outcomes = [await rig.venue.place(child(f"c30-{n}", quantity=SCALE // 100)) for n in range(5)]
    assert [o.kind for o in outcomes] == [ACCEPTED] * 3 + [REJECTED] * 2
    assert outcomes[-1].http_status == 429 and venue.budget.report()["orders"]["exceeded"] == 2


async def test_31_an_order_behind_more_than_a_page_is_found_and_absence_is_sure(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coinbase_simulated, "PAGE", 3)
    for n in range(8):
        await rig.venue.place(child(f"c31-{n}", quantity=SCALE // 100))
    it = await rig.another()
    it.know("c31-0", None, wall_ms() * 1000)
    assert isinstance(await it.query(BTC, "c31-0"), OrderView)
    assert isinstance(await it.query(BTC, "c31-never"), NotFound)
    listed = await it.open_orders(BTC)
    assert not isinstance(listed, Unknown) and (len(listed), listed.partial) == (8, False)
    await it.close()
