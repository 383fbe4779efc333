"""The fast path of the exchanges whose streams tell whole books: a feed between a venue under command and a publisher that keeps what it is told."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_venues import VENUES, Chain, LineVenue, Truth, text

from connectors.feeds.feed import Feed, FeedSettings, FeedVenue
from connectors.feeds.follow import connections, share
from connectors.feeds.publisher import Publisher
from connectors.feeds.raw.book import RawBook
from connectors.feeds.raw.words import Said
from connectors.feeds.registry import EXCHANGES
from connectors.feeds.told import Told
from schemas.records import BookUpdate, BookUpdateKind, Side, Trade

STALE, SNAPSHOT, DIFF = BookUpdateKind.STALE, BookUpdateKind.SNAPSHOT, BookUpdateKind.DIFF
SECONDS = 15.0
SETTINGS = FeedSettings(snapshot_seconds=60, silence_seconds=20, backoff=0.02, backoff_max=0.1)


class Kept:
    """In the publisher's place: gives each book to its chain."""

    def __init__(self, venue: LineVenue) -> None:
        self.chains = {s: Chain(t) for s, t in venue.truths.items()}
        self.trades: list[Trade] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._told = asyncio.Event()

    def book(self, update: BookUpdate) -> None:
        assert update.venue == "here"
        self.chains[update.symbol].take(update)
        self._told.set()

    def trade(self, trade: Trade) -> None:
        self.trades.append(trade)
        self._told.set()

    async def until(self, seen: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not seen():
            for task in self.tasks:
                if task.done():
                    task.result()
            kinds = {s: c.kinds[-5:] for s, c in self.chains.items()}
            assert time.monotonic() < deadline, f"not seen; the last: {kinds}"
            self._told.clear()
            try:
                await asyncio.wait_for(self._told.wait(), 0.05)
            except TimeoutError:
                continue

    async def equal(self) -> None:
        await self.until(lambda: all(c.book == c.truth.now() for c in self.chains.values()))


@asynccontextmanager
async def followed(
    name: str, settings: FeedSettings = SETTINGS, apart: bool = False
) -> AsyncIterator[tuple[LineVenue, Kept, list[Feed]]]:
    kind, ids = VENUES[name]
    venue = kind(ids)
    await venue.start()
    kept = Kept(venue)
    found = FeedVenue("here", EXCHANGES[name], "", venue.url, tuple(ids))
    parts = [replace(found, symbols=(s,)) for s in ids] if apart else [found]
    clock = lambda: time.time_ns() // 1000  # noqa: E731
    feeds = [Feed(p, cast(Publisher, kept), None, clock, random.random, settings) for p in parts]
    tasks = kept.tasks = [asyncio.create_task(feed.run()) for feed in feeds]
    try:
        await kept.equal()
        yield venue, kept, feeds
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await venue.stop()


@pytest.mark.parametrize("name", VENUES)
async def test_books_and_trades_are_told_as_they_are(name: str) -> None:
    async with followed(name, replace(SETTINGS, snapshot_seconds=0.3)) as (venue, kept, feeds):
        for _ in range(40):
            for symbol in venue.ids:
                await venue.move(symbol)
                await venue.trade(symbol)
        await kept.equal()
        await kept.until(lambda: len(kept.trades) == 80)
        seen = {s: c.kinds.count(SNAPSHOT) for s, c in kept.chains.items()}
        await kept.until(lambda: all(c.kinds.count(SNAPSHOT) >= seen[s] + 2 for s, c in kept.chains.items()))
        for chain in kept.chains.values():
            assert chain.kinds.count(DIFF) == 40 and STALE not in chain.kinds
            assert chain.at == 40
        assert {(t.price, t.quantity, t.side) for t in kept.trades} == {(10_050_000_000, 25_000_000, Side.SELL)}
        assert [t.trade_id for t in kept.trades] == [str(n) for n in range(1, 81)]
        assert venue.connections == 1 and feeds[0].live == 2
    assert all(c.kinds[-1] is STALE for c in kept.chains.values())


@pytest.mark.parametrize("name", VENUES)
async def test_after_every_fault_stale_comes_first_and_then_the_venues_book_again(name: str) -> None:
    async with followed(name) as (venue, kept, _):
        hurt = next(iter(venue.ids))
        faults = ["end", "garbage"]
        faults += ["lost"] if venue.counted else []
        faults += ["lie"] if venue.checksums else []
        for fault in faults * 2:
            chain, connected = kept.chains[hurt], venue.connections
            before = len(chain.kinds)
            if fault == "end":
                await venue.disconnect()
            elif fault == "garbage":
                await venue.raw("<html>502</html>")
            elif fault == "lost":
                venue.drop = True
                await venue.move(hurt, 2)
            else:
                venue.lie = True
                await venue.move(hurt)
            await kept.until(lambda: STALE in chain.kinds[before:])  # noqa: B023 - waited for here
            again = fault in ("end", "garbage") or venue.resets
            await kept.until(lambda: chain.book is not None)  # noqa: B023
            await venue.move(hurt, 3)
            await kept.equal()
            assert [k for k in chain.kinds[before:] if k is not DIFF] == [STALE, SNAPSHOT], fault
            assert (venue.connections > connected) is again, fault


@pytest.mark.parametrize("name", VENUES)
async def test_a_venue_that_says_nothing_is_left_for_a_new_connection(name: str) -> None:
    async with followed(name, replace(SETTINGS, silence_seconds=0.4)) as (venue, kept, _):
        connected = venue.connections
        venue.mute = True
        await venue.move(next(iter(venue.ids)), 3)
        await kept.until(lambda: venue.connections > connected)
        venue.mute = False
        await kept.equal()
        assert all(STALE in c.kinds for c in kept.chains.values())


@pytest.mark.parametrize("name", [n for n in VENUES if n != "coinbase"])
async def test_a_quiet_market_is_no_silence(name: str) -> None:
    async with followed(name, replace(SETTINGS, silence_seconds=0.3)) as (venue, kept, _):
        await asyncio.sleep(1.0)  # time in which nothing happens is what is tested
        assert venue.connections == 1
        assert all(STALE not in c.kinds for c in kept.chains.values())


@pytest.mark.parametrize("name", VENUES)
async def test_a_refused_subscription_is_said_and_tried_again(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with followed(name) as (venue, kept, _):
        venue.refuse = True
        await venue.disconnect()
        connected = venue.connections
        await kept.until(lambda: venue.connections >= connected + 3)
        assert all(c.kinds[-1] is STALE for c in kept.chains.values())
        assert "the venue says" in caplog.text
        venue.refuse = False
        await kept.equal()


async def test_a_connection_that_breaks_takes_only_its_own_books_with_it() -> None:
    async with followed("kraken", apart=True) as (venue, kept, feeds):
        assert venue.connections == 2 and [f.live for f in feeds] == [1, 1]
        first, second = venue.ids
        socket = next(s for s, told in venue.told.items() if ("book", first) in told)
        await socket.close()
        await kept.until(lambda: STALE in kept.chains[first].kinds)
        await venue.move(second, 3)
        await kept.equal()
        assert STALE not in kept.chains[second].kinds


async def test_what_is_asked_for_as_usdc_is_told_as_usd() -> None:
    found = EXCHANGES["coinbase"]
    feed = FeedVenue("here", found, "", "ws://nowhere", ("BTC/USDC", "ETH/USD", "ETH/USDC"))
    kept = Kept(VENUES["coinbase"][0]({s: s for s in feed.symbols}))
    followed = Feed(feed, cast(Publisher, kept), None, lambda: 1, random.random, SETTINGS)
    by_id = followed._by_id
    assert by_id["BTC-USD"].symbol == "BTC/USDC" and by_id["ETH-USD"].symbol == "ETH/USD"


@given(st.integers(0, 2**32), st.integers(3, 12))
def test_a_reader_never_keeps_what_fell_out_of_the_depth_that_is_told_of(seed: int, depth: int) -> None:
    """A venue that tells of its best levels only, and not of those that fall out: the reader's book is the venue's best levels, always."""
    rng = random.Random(seed)
    truth = Truth(rng)
    told = Told("here", "BTC/USD", RawBook(), 1000)
    reader: list[dict[int, int]] = [{}, {}]
    bids, asks = truth.best()

    def shown() -> tuple[dict[int, int], dict[int, int]]:
        best = truth.best()
        return dict(best[0][:depth]), dict(best[1][:depth])

    def texts(pairs: Any) -> tuple[tuple[str, str], ...]:
        return tuple((text(p), text(q)) for p, q in pairs)

    before = shown()
    updates = told.change(Said("x", True, texts(bids[:depth]), texts(asks[:depth]), depth=depth), 1)
    for at in range(2, 40):
        for update in updates:
            for mine, side in zip(reader, (update.bids, update.asks), strict=True):
                for level in side:
                    if level.quantity:
                        mine[level.price] = level.quantity
                    else:
                        mine.pop(level.price, None)
        assert (reader[0], reader[1]) == shown()
        truth.move(3)
        after = shown()
        # what is new or other in the best levels, and what was deleted; not what merely fell out
        changed = []
        for was, now, whole in zip(before, after, (truth.bids, truth.asks), strict=True):
            gone = [(p, 0) for p in was if p not in whole]
            changed.append(texts(gone + [(p, q) for p, q in now.items() if was.get(p) != q]))
        updates = told.change(Said("x", False, changed[0], changed[1], depth=depth), at)
        before = after


@given(st.sets(st.text(st.characters(codec="ascii", categories=["Lu"]), min_size=1, max_size=8)), st.integers(1, 5))
def test_shares_are_all_and_none_twice(symbols: set[str], of: int) -> None:
    shares = [share(sorted(symbols), n, of) for n in range(of)]
    assert sorted(s for each in shares for s in each) == sorted(symbols)


@given(st.lists(st.integers(), unique=True, min_size=1), st.integers(1, 10))
def test_connections_are_few_and_even(numbers: list[int], most: int) -> None:
    names = [str(n) for n in numbers]
    groups = list(connections(names, most))
    assert sorted(s for group in groups for s in group) == sorted(names)
    assert max(map(len, groups)) <= most and max(map(len, groups)) - min(map(len, groups)) <= 1
    assert len(groups) == -(-len(names) // most)
