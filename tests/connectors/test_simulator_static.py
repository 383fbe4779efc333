"""Venues whose books stand as they are given: what is displayed, what others trade, and refusals that are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.simulator.config import ConfigError, settings
from connectors.simulator.venue import Simulator
from connectors.venues.adapter import VenueAdapter, VenueConfig
from connectors.venues.outcomes import OutcomeKind
from connectors.venues.registry import adapter
from connectors.venues.transport import http_client
from schemas.records import ChildOrder, OrderType, Side, TimeInForce

KEY, SECRET, SCALE, BTC = "k", "s", 10**8, "BTC/USDT"
BOOK = {"bids": [["99", "2"], ["98", "3"]], "asks": [["100", "2"], ["101", "3"]]}


def configuration(book: object = BOOK) -> dict[str, Any]:
    venue = {
        "name": "alpha",
        "symbols": [{"symbol": BTC}],
        "accounts": [{"api_key": KEY, "secret": SECRET, "balances": {"USDT": "100000", "BTC": "100"}}],
        "books": {"kind": "static", "books": {BTC: book}},
    }
    return {"venues": [venue]}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    it = Simulator(settings(configuration(), Path()))
    await it.start()
    running = asyncio.create_task(it.run())
    yield it
    running.cancel()
    await it.stop()


@pytest.fixture
async def venue(simulator: Simulator) -> AsyncIterator[VenueAdapter]:
    there, http = simulator.venues["alpha"], http_client(5.0)
    it = adapter(VenueConfig("alpha", "binance", there.rest_url, there.ws_url, KEY, SECRET), http)
    await it.load()
    yield it
    await it.close()
    await http.aclose()


def order(child_id: str, quantity: int, price: int) -> ChildOrder:
    return ChildOrder(
        child_id=child_id,
        order_id="o-1",
        account_id="a-1",
        venue="alpha",
        symbol=BTC,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        quantity=quantity * SCALE,
        price=price * SCALE,
        created_at=0,
    )


async def tell(it: Simulator, what: str, **body: object) -> int:
    async with httpx.AsyncClient() as http:
        return (await http.post(f"{it.venues['alpha'].rest_url}/sim/{what}", json=body)).status_code


async def depth(it: Simulator) -> tuple[list[list[float]], list[list[float]]]:
    async with httpx.AsyncClient() as http:
        raw = (await http.get(f"{it.venues['alpha'].rest_url}/api/v3/depth", params={"symbol": "BTCUSDT"})).json()
    bids, asks = ([[float(p), float(q)] for p, q in raw[side]] for side in ("bids", "asks"))
    return bids, asks


async def test_a_book_stands_until_it_is_taken_or_set(simulator: Simulator, venue: VenueAdapter) -> None:
    assert await depth(simulator) == ([[99, 2], [98, 3]], [[100, 2], [101, 3]])
    assert (await venue.place(order("c-1", 1, 100))).kind is OutcomeKind.ACCEPTED
    assert (await depth(simulator))[1] == [[100, 1], [101, 3]]
    # what is set is there whole, though the level showed as much before it was taken
    assert await tell(simulator, "book", symbol=BTC, **BOOK) == 200
    assert (await depth(simulator))[1] == [[100, 2], [101, 3]]
    assert await tell(simulator, "book", symbol=BTC, bids=[["90", "1"]], asks=[]) == 200
    assert await depth(simulator) == ([[90, 1]], [])


async def test_what_rests_is_reached_by_a_book_and_by_trades(simulator: Simulator, venue: VenueAdapter) -> None:
    assert (await venue.place(order("c-1", 3, 95))).kind is OutcomeKind.ACCEPTED
    assert await tell(simulator, "trade", symbol=BTC, price="95", quantity="1", side="SELL") == 200
    assert simulator.venues["alpha"].exchange.orders_of("account-1")[0].filled == SCALE
    assert await tell(simulator, "book", symbol=BTC, bids=[["90", "1"]], asks=[["94", "1"]]) == 200
    assert simulator.venues["alpha"].exchange.orders_of("account-1")[0].filled == 2 * SCALE
    assert simulator.venues["alpha"].exchange.conserved()


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("book", {"symbol": "ETH/USDT", **BOOK}),
        ("book", {"symbol": BTC, "bids": [["100", "1"]], "asks": [["100", "1"]]}),
        ("book", {"symbol": BTC, "bids": [["100", "0"]]}),
        ("book", {"symbol": BTC, "bids": [["100"]]}),
        ("book", {"symbol": BTC, "colour": 1}),
        ("trade", {"symbol": BTC, "price": "95", "quantity": "0", "side": "SELL"}),
        ("trade", {"symbol": BTC, "price": "95", "quantity": "1", "side": "BOTH"}),
        ("trade", {"price": "95", "quantity": "1", "side": "SELL"}),
    ],
)
async def test_what_cannot_be_is_refused(simulator: Simulator, what: str, body: dict[str, Any]) -> None:
    assert await tell(simulator, what, **body) == 400
    assert await depth(simulator) == ([[99, 2], [98, 3]], [[100, 2], [101, 3]])


@pytest.mark.parametrize(
    "book", [{"bids": [["1", "1"]], "asks": [["1", "1"]]}, {"asks": [["0", "1"]]}, {"sides": []}, []]
)
def test_wrong_books_are_named(book: object) -> None:
    with pytest.raises(ConfigError, match="BTC/USDT"):
        settings(configuration(book), Path())


async def test_refusals_are_counted(simulator: Simulator, venue: VenueAdapter) -> None:
    assert await tell(simulator, "fault", kind="reject", times=1) == 200
    assert (await venue.place(order("c-1", 1, 95))).kind is OutcomeKind.REJECTED
    assert (await venue.place(order("c-2", 1, 95))).kind is OutcomeKind.ACCEPTED
    assert await tell(simulator, "fault", kind="reject", times=1, cancels=True) == 200
    assert (await venue.place(order("c-3", 1, 95))).kind is OutcomeKind.ACCEPTED
    assert (await venue.cancel(BTC, "c-2")).kind is OutcomeKind.REJECTED
    assert (await venue.cancel(BTC, "c-2")).kind is OutcomeKind.ACCEPTED


async def test_a_mishap_may_be_for_orders_alone(simulator: Simulator, venue: VenueAdapter) -> None:
    assert await tell(simulator, "fault", kind="shaken", kinds=["page"], times=1, orders=True, accepts=True) == 200
    assert await venue.probe()
    assert (await venue.place(order("c-1", 1, 95))).kind is OutcomeKind.UNKNOWN
    assert (await venue.place(order("c-2", 1, 95))).kind is OutcomeKind.ACCEPTED
