"""The Binance adapter against a venue that speaks its dialect over real HTTP and WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from venue_peer import KEY, SCALE, SECRET, Peer

from connectors.venues import exchanges
from connectors.venues.adapter import VenueAdapter, VenueConfig
from connectors.venues.exchanges import DIALECTS
from connectors.venues.outcomes import (
    NotFound,
    OrderView,
    OutcomeKind,
    StreamUp,
    Unknown,
    VenueEvent,
    VenueOrderStatus,
)
from connectors.venues.registry import ADAPTERS, adapter
from connectors.venues.transport import http_client
from connectors.venues.units import text, units
from schemas.records import ChildOrder, Liquidity, OrderType, Side, TimeInForce

BTC = "BTC/USDT"


def order(child_id: str, quantity: int = SCALE, price: int = 100 * SCALE, **fields: object) -> ChildOrder:
    base = ChildOrder(
        child_id=child_id,
        order_id="o-1",
        account_id="a-1",
        venue="peer",
        symbol=BTC,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.IOC,
        quantity=quantity,
        price=price,
        created_at=0,
    )
    return ChildOrder(**{f: fields.get(f, getattr(base, f)) for f in base.__struct_fields__})


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer() as it:
        yield it


@pytest.fixture
async def venue(peer: Peer) -> AsyncIterator[VenueAdapter]:
    http = http_client(1.0)
    config = VenueConfig("peer", "binance", peer.rest_url, peer.ws_url, KEY, SECRET, timeout=0.5, recv_window_ms=1000)
    it = adapter(config, http)
    await it.load()
    yield it
    await it.close()
    await http.aclose()


def test_secrets_are_not_shown() -> None:
    assert "hush" not in repr(VenueConfig("v", api_key="hush", secret="hush"))


def test_units_are_exact() -> None:
    assert units("0.00000001") == 1 and units("123.45") == 12_345_000_000 and units("-1") == -SCALE
    assert text(150_000_000) == "1.5" and text(1) == "0.00000001" and text(10 * SCALE) == "10" and text(0) == "0"
    for wrong in ("0.000000001", "x", "NaN", 0.1, None, True):
        with pytest.raises(ValueError):
            units(wrong)


async def test_instruments_are_exact(venue: VenueAdapter) -> None:
    found = venue.instruments[BTC]
    assert (found.tick, found.lot, found.min_quantity) == (1_000_000, 100_000, 100_000)
    assert (found.min_notional, found.taker_fee, found.venue) == (5 * SCALE, 100_000, "peer")


async def test_full_fill_carries_its_trades(venue: VenueAdapter) -> None:
    outcome = await venue.place(order("c-1", 3 * SCALE))
    assert outcome.kind is OutcomeKind.ACCEPTED and outcome.view is not None
    assert outcome.view.status is VenueOrderStatus.FILLED and outcome.view.filled == 3 * SCALE
    assert [t.quantity for t in outcome.trades] == [2 * SCALE, SCALE]
    first = outcome.trades[0]
    assert (first.price, first.fee, first.fee_asset, first.liquidity) == (
        100 * SCALE,
        SCALE // 500,
        "BTC",
        Liquidity.TAKER,
    )
    told = await venue.trades(BTC, outcome.view.venue_order_id)
    assert isinstance(told, list) and [t.trade_id for t in told] == [t.trade_id for t in outcome.trades]


async def test_immediate_or_cancel_expires_with_what_it_got(peer: Peer, venue: VenueAdapter) -> None:
    peer.available = SCALE
    outcome = await venue.place(order("c-1", 3 * SCALE))
    assert outcome.view is not None and outcome.view.status is VenueOrderStatus.EXPIRED
    assert outcome.view.filled == SCALE == sum(t.quantity for t in outcome.trades)


async def test_resting_order_is_found_and_cancelled(venue: VenueAdapter) -> None:
    await venue.place(order("c-1", price=50 * SCALE, time_in_force=TimeInForce.GTC))
    found = await venue.query(BTC, "c-1")
    assert isinstance(found, OrderView) and found.status is VenueOrderStatus.OPEN
    assert [view.child_id for view in await venue.open_orders() or ()] == ["c-1"]  # type: ignore[union-attr]
    outcome = await venue.cancel(BTC, "c-1")
    assert outcome.view is not None and outcome.view.child_id == "c-1"
    assert outcome.view.status is VenueOrderStatus.CANCELLED
    again = await venue.cancel(BTC, "c-1")
    assert (again.kind, again.venue_code) == (OutcomeKind.REJECTED, "-2011")
    assert isinstance(await venue.query(BTC, "other"), NotFound)


async def test_refusal_has_status_and_codes(venue: VenueAdapter) -> None:
    outcome = await venue.place(order("c-1", 6000 * SCALE))
    assert outcome.kind is OutcomeKind.REJECTED
    assert (outcome.code, outcome.http_status, outcome.venue_code) == ("INSUFFICIENT_FUNDS", 400, "-2010")


async def test_taken_id_is_not_a_refusal(venue: VenueAdapter) -> None:
    await venue.place(order("c-1"))
    outcome = await venue.place(order("c-1"))
    assert (outcome.kind, outcome.code) == (OutcomeKind.UNKNOWN, "DUPLICATE")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"symbol": "DOGE/USDT"}, "UNKNOWN_SYMBOL"),
        ({"quantity": SCALE + 1}, "INVALID_QUANTITY"),
        ({"price": 1}, "INVALID_PRICE"),
        ({"child_id": "c" * 37}, "INVALID_CHILD_ID"),
        ({"order_type": OrderType.STOP}, "UNSUPPORTED_ORDER_TYPE"),
    ],
)
async def test_what_we_refuse_never_leaves(
    peer: Peer, venue: VenueAdapter, fields: dict[str, object], code: str
) -> None:
    outcome = await venue.place(order(**{"child_id": "c-1", **fields}))  # type: ignore[arg-type]
    assert (outcome.kind, outcome.code) == (OutcomeKind.NOT_SENT, code)
    assert peer.asked["POST order"] == 0


@pytest.mark.parametrize(("side", "sent"), [(Side.BUY, "99.99"), (Side.SELL, "100")])
async def test_price_is_quantised_to_the_safe_side(peer: Peer, venue: VenueAdapter, side: Side, sent: str) -> None:
    await venue.place(order("c-1", price=9_999_500_000, side=side, time_in_force=TimeInForce.GTC))
    assert peer.orders["c-1"]["price"] == sent


async def test_late_request_is_refused_by_the_venue(peer: Peer, venue: VenueAdapter) -> None:
    outcome = await venue.place(order("c-1"), signed_at=venue.now_ms() - 2000)
    assert (outcome.kind, outcome.venue_code) == (OutcomeKind.REJECTED, "-1021")
    assert not peer.accepted


@pytest.mark.parametrize(("fault", "accepted"), [("drop", 1), ("late", 1), ("lose", 0), ("busy", 0)])
async def test_broken_answers_are_unknown_until_asked(
    peer: Peer, venue: VenueAdapter, fault: str, accepted: int
) -> None:
    peer.faults.append(fault)
    outcome = await venue.place(order("c-1"))
    assert outcome.kind is OutcomeKind.UNKNOWN
    found = await venue.query(BTC, "c-1")
    assert isinstance(found, OrderView if accepted else NotFound)
    assert peer.accepted["c-1"] == accepted
    peer.release.set()


async def test_venue_that_is_away(peer: Peer, venue: VenueAdapter) -> None:
    peer.down = True
    assert not await venue.probe()
    assert isinstance(await venue.query(BTC, "c-1"), Unknown)
    assert isinstance(await venue.trades(BTC, "1"), Unknown)
    assert isinstance(await venue.open_orders(), Unknown)
    peer.down = False
    assert await venue.probe()


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
async def test_all_trades_of_an_order_are_found(peer: Peer, venue: VenueAdapter, count: int) -> None:
    lot = SCALE // 1000
    peer.slice = lot
    placed = await venue.place(order("c-1", 3 * SCALE, 50 * SCALE, time_in_force=TimeInForce.GTC))
    other = await venue.place(order("c-2", SCALE, 50 * SCALE, time_in_force=TimeInForce.GTC))
    assert placed.view is not None and other.view is not None
    await peer.fill("c-2", 3 * lot)
    await peer.fill("c-1", count * lot)
    trades = await venue.trades(BTC, placed.view.venue_order_id)
    assert isinstance(trades, list)
    assert [trade.trade_id for trade in trades] == [str(number) for number in range(4, 4 + count)]
    assert sum(trade.quantity for trade in trades) == count * lot


async def test_balances(venue: VenueAdapter) -> None:
    assert await venue.balances() == {"BTC": (100_000_001, 10_000_000)}


async def test_stream_misses_nothing_and_comes_back(peer: Peer, venue: VenueAdapter) -> None:
    events = venue.events()
    assert isinstance(await anext(events), StreamUp)
    await venue.place(order("c-1", 40 * SCALE))  # 1 NEW and 20 trades, while nobody listens
    seen = [await asyncio.wait_for(anext(events), 5) for _ in range(21)]
    trades = [e.trade for e in seen if isinstance(e, VenueEvent) and e.trade is not None]
    assert len({t.trade_id for t in trades}) == 20 and sum(t.quantity for t in trades) == 40 * SCALE
    await peer.cut_streams()
    assert isinstance(await asyncio.wait_for(anext(events), 10), StreamUp)
    await venue.place(order("c-2", price=50 * SCALE, time_in_force=TimeInForce.GTC))
    await venue.cancel(BTC, "c-2")
    seen = [await asyncio.wait_for(anext(events), 5) for _ in range(2)]
    views = [e.view for e in seen if isinstance(e, VenueEvent)]
    assert [v.child_id for v in views] == ["c-2", "c-2"]
    assert views[1].status is VenueOrderStatus.CANCELLED
    await events.aclose()  # type: ignore[attr-defined]


def test_every_adapter_is_named_in_the_registry() -> None:
    assert set(ADAPTERS) == set(DIALECTS) and len(ADAPTERS) == 20
    assert set(DIALECTS) == {path.stem for path in Path(exchanges.__file__ or "").parent.glob("[a-z]*.py")}
    with pytest.raises(ValueError, match="no adapter"):
        adapter(VenueConfig("v", "nowhere"), http_client(1.0))
