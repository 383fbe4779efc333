"""The simulated venues' market data, read by the parsers of the feeds: every rule of sequence and checksum holds, and the book is the venue's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import aiohttp
import pytest
from test_venue_conformance import BTC, SCALE, Rig, child, rig

from connectors.feeds.amounts import floor_units
from connectors.feeds.raw.book import Heard, RawBook
from connectors.feeds.raw.registry import RAW, Reader
from connectors.feeds.raw.words import Said, Traded
from schemas.records import Side, TimeInForce

__all__ = ["rig"]

DEPTH = 10
PATHS = {"coinbase": "/", "kraken": "/v2", "okx": "/ws/v5/public"}
SUBSCRIBE: dict[str, list[dict[str, Any]]] = {
    "coinbase": [
        {"type": "subscribe", "product_ids": ["BTC-USDT"], "channel": "level2"},
        {"type": "subscribe", "product_ids": ["BTC-USDT"], "channel": "market_trades"},
        {"type": "subscribe", "channel": "heartbeats"},
    ],
    "kraken": [
        {"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USDT"], "depth": DEPTH}},
        {"method": "subscribe", "params": {"channel": "trade", "symbol": ["BTC/USDT"], "snapshot": False}},
    ],
    "okx": [
        {"op": "subscribe", "args": [{"channel": c, "instId": "BTC-USDT"} for c in ("books", "trades")]},
    ],
}
foreign = pytest.mark.parametrize("rig", list(PATHS), indirect=True)


class Listener:
    """One connection as a feed has it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, exchange: str) -> None:
        self.socket, self.exchange = socket, exchange
        self.reader: Reader = RAW[exchange].reader()
        self.book = RawBook(RAW[exchange].checksum)
        self.trades: list[Traded] = []
        self.heard: list[Heard] = []

    async def books(self, count: int) -> None:
        """Until so many messages of the book were taken over."""
        while count:
            for word in self.reader.words((await self.socket.receive_str(timeout=5)).encode()):
                if isinstance(word, Traded):
                    self.trades.append(word)
                elif isinstance(word, Said):
                    # the depth is what was subscribed: Kraken does not say it again
                    it = word._replace(depth=DEPTH) if self.exchange == "kraken" else word
                    self.heard.append(self.book.hear(it))
                    count -= 1

    def levels(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        bids, asks = ([(floor_units(p), floor_units(q)) for p, q in side] for side in (self.book.bids, self.book.asks))
        return bids, asks


@asynccontextmanager
async def listener(rig: Rig) -> AsyncIterator[Listener]:
    exchange = rig.config.exchange
    async with aiohttp.ClientSession() as http:
        url = rig.simulator.venues["it"].ws_url + PATHS[exchange]
        async with http.ws_connect(url) as socket:
            for asked in SUBSCRIBE[exchange]:
                await socket.send_str(json.dumps(asked))
            it = Listener(socket, exchange)
            await it.books(1)
            yield it


def beat(rig: Rig) -> None:
    rig.simulator.venues["it"].streams.flush(rig.exchange.markets["BTCUSDT"], False)


@foreign
async def test_the_feeds_parsers_read_the_same_book(rig: Rig) -> None:
    random, market = Random(5), rig.exchange.markets["BTCUSDT"]
    depth = DEPTH if rig.config.exchange == "kraken" else None
    async with listener(rig) as it:
        assert it.heard == [Heard.CHANGED]
        for n in range(150):
            bids = [
                (60_000 - random.randint(1, 30), random.randint(0, 5) * SCALE // 3 // 1000 * 1000) for _ in range(4)
            ]
            asks = [
                (60_000 + random.randint(1, 30), random.randint(0, 5) * SCALE // 3 // 1000 * 1000) for _ in range(4)
            ]
            before = market.update_id
            rig.exchange.show(market, [(p * SCALE, q) for p, q in bids], [(p * SCALE, q) for p, q in asks], 1)
            ours = (
                [(p, q) for p, q in market.book.bids.levels(depth)],
                [(p, q) for p, q in market.book.asks.levels(depth)],
            )
            seen = it.levels()
            beat(rig)
            if market.update_id != before and ours != seen:
                await it.books(1)
            assert it.levels() == ours, n
            assert it.book.live and not it.reader.gap
        assert set(it.heard) == {Heard.CHANGED}
        if RAW[rig.config.exchange].checksum is not None:
            assert it.book.checked == len(it.heard) > 100


@foreign
async def test_one_lost_change_is_noticed(rig: Rig) -> None:
    market = rig.exchange.markets["BTCUSDT"]
    async with listener(rig) as it:
        for price in (59_991, 59_992, 59_993):
            rig.exchange.show(market, [(price * SCALE, SCALE)], [], 1)
            beat(rig)
        await it.books(1)
        while True:  # the second is lost
            words = RAW[rig.config.exchange].parser()((await it.socket.receive_str(timeout=5)).encode())
            if any(isinstance(word, Said) for word in words):
                break
        await it.books(1)
        assert it.reader.gap or not it.book.live


@foreign
async def test_trades_are_told_with_their_taker(rig: Rig) -> None:
    async with listener(rig) as it:
        for name, side, price in (("t1", Side.BUY, 60_010), ("t2", Side.SELL, 59_990)):
            await rig.venue.place(
                child(name, side=side, price=price * SCALE, quantity=SCALE // 4, time_in_force=TimeInForce.IOC)
            )
        beat(rig)
        await it.books(1)
        prints = rig.exchange.markets["BTCUSDT"].prints
        assert [(t.print.trade_id, t.print.price, t.print.quantity, t.print.side.value) for t in it.trades] == [
            (str(p.trade_id), p.price, p.quantity, p.taker_side) for p in prints
        ]
        assert [t.print.side for t in it.trades] == [Side.BUY, Side.SELL]
        assert {RAW[rig.config.exchange].unified(t.symbol_id) for t in it.trades} == {BTC}


@foreign
async def test_a_wrong_subscription_is_answered_and_harms_nobody(rig: Rig) -> None:
    async with listener(rig) as it:
        for wrong in ("[]", "{", "{}", '{"op":"subscribe","args":[{"channel":"books","instId":"NO-PE"}]}', '"x"'):
            await it.socket.send_str(wrong)
            said = await it.socket.receive_str(timeout=5)
            while "rror" not in said:
                said = await it.socket.receive_str(timeout=5)
        rig.exchange.show(rig.exchange.markets["BTCUSDT"], [(59_999 * SCALE, SCALE)], [], 1)
        beat(rig)
        await it.books(1)
        assert it.book.live
