"""The feed as a process of its own, between a venue under command and a real Kafka: what is in the log is the venue's book, whatever happens."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from confluent_kafka import Consumer, TopicPartition
from feed_venue import FeedVenue, Reader, Sides, VenueBook, Witnessed

from connectors.feeds.binance import Binance
from connectors.feeds.follower import Follower
from connectors.feeds.publisher import BOOKS, PRINTS, Publisher
from infra.kafka_log import watermarks
from infra.settings import Addresses
from infra.topics import create_topic
from schemas.codec import Codec
from schemas.records import BookUpdate, BookUpdateKind, Side, Trade
from schemas.registry import ConfluentRegistry
from schemas.topics import BY_NAME

STALE, SNAPSHOT, DIFF = BookUpdateKind.STALE, BookUpdateKind.SNAPSHOT, BookUpdateKind.DIFF
SECONDS = 20.0


@pytest.fixture(scope="module")
def codec(stack: Addresses) -> Codec:
    for name in (BOOKS, PRINTS):
        create_topic({"bootstrap.servers": stack.kafka}, name, 4, retention_ms=BY_NAME[name].retention_ms)
    return Codec(ConfluentRegistry(stack.registry))


@pytest.fixture
def name() -> str:
    return f"feed-{uuid.uuid4().hex[:8]}"


class Watch:
    """Reads both topics from where they end now, keeps one venue's records, and gives each book to its reader."""

    def __init__(self, stack: Addresses, codec: Codec, venue: str, readers: dict[str, Reader]) -> None:
        self._codec, self._venue, self.readers = codec, venue, readers
        self.updates: list[BookUpdate] = []
        self.trades: list[Trade] = []
        self._consumer = Consumer(
            {"bootstrap.servers": stack.kafka, "group.id": f"watch-{venue}", "isolation.level": "read_committed"}
        )
        places = []
        for topic in (BOOKS, PRINTS):
            for partition in self._consumer.list_topics(topic, timeout=SECONDS).topics[topic].partitions:
                end = watermarks(self._consumer, TopicPartition(topic, partition))[1]
                places.append(TopicPartition(topic, partition, end))
        self._consumer.assign(places)

    async def until(self, seen: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not seen():
            assert time.monotonic() < deadline, f"not seen; the last: {[u.kind.value for u in self.updates[-10:]]}"
            for message in await asyncio.to_thread(self._consumer.consume, 500, 0.05):
                assert message.error() is None
                record = self._codec.decode(message.value(), BookUpdate, Trade)
                if record.venue != self._venue:
                    continue
                assert message.key() == record.symbol.encode()
                if isinstance(record, Trade):
                    self.trades.append(record)
                else:
                    self.updates.append(record)
                    self.readers[record.symbol].take(record)

    async def reaches(self, symbol: str, last_id: int) -> None:
        """Until the symbol's book is known to be as far as an update of the venue."""
        reader = self.readers[symbol]
        await self.until(lambda: reader.last_id is not None and reader.last_id >= last_id)

    def of(self, symbol: str) -> list[BookUpdateKind]:
        return self.readers[symbol].kinds

    def close(self) -> None:
        self._consumer.close()


class World:
    """A venue of two symbols, a watch on the log, and the feed's process."""

    def __init__(self, venue: FeedVenue, watch: Watch, config: Path) -> None:
        self.venue, self.watch, self._config = venue, watch, config
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        log = self._config.with_suffix(".log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "connectors.feeds", "--config", str(self._config), stderr=log
        )
        log.close()

    async def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), SECONDS)

    def log(self) -> str:
        return self._config.with_suffix(".log").read_text()

    async def equal(self) -> None:
        """Until the readers hold the venue's books."""
        books, readers = self.venue.books, self.watch.readers
        await self.watch.until(
            lambda: all(readers[s].book == books[i].now() for s, i in zip(readers, books, strict=True))
        )


@asynccontextmanager
async def a_world(stack: Addresses, codec: Codec, name: str, folder: Path, **settings: float) -> AsyncIterator[World]:
    symbols = {"BTC/USDT": "BTCUSDT", "ETH/USDT": "ETHUSDT"}
    venue = FeedVenue(list(symbols.values()))
    async with AsyncExitStack() as ends:
        await venue.start()
        ends.push_async_callback(venue.stop)
        watch = Watch(stack, codec, name, {s: Reader(venue.books[i].history) for s, i in symbols.items()})
        ends.callback(watch.close)
        config: dict[str, Any] = {
            "kafka": {"bootstrap.servers": stack.kafka},
            "registry": stack.registry,
            "venues": [venue.config(name, list(symbols))],
            "snapshot_seconds": settings.pop("snapshot_seconds", 60),
            "settings": {"silence_seconds": 30, "backoff": 0.02, "backoff_max": 0.2, **settings},
        }
        path = folder / "feed.json"
        path.write_text(json.dumps(config))
        world = World(venue, watch, path)
        try:
            await world.start()
            yield world
        finally:
            if world.process is not None and world.process.returncode is None:
                world.process.kill()
                await world.process.wait()


async def test_books_and_trades_are_told_as_they_are(stack: Addresses, codec: Codec, name: str, tmp_path: Path) -> None:
    async with a_world(stack, codec, name, tmp_path, snapshot_seconds=0.4) as world:
        venue, watch = world.venue, world.watch
        await world.equal()
        for _ in range(50):
            for symbol in venue.books:
                await venue.move(symbol, 3)
                await venue.trade(symbol)
        await world.equal()
        await watch.until(lambda: len(watch.trades) == 100)
        for symbol in watch.readers:
            # Said before anything else: a predecessor's book is not to be trusted.
            assert watch.of(symbol)[:2] == [STALE, SNAPSHOT]
            assert watch.of(symbol).count(STALE) == 1
            assert watch.of(symbol).count(DIFF) == 150
            mine = [t for t in watch.trades if t.symbol == symbol]
            assert [t.trade_id for t in mine] == [str(n) for n in range(1, 51)]
            assert {(t.price, t.quantity, t.side, t.venue_at) for t in mine} == {
                (10_050_000_000, 25_000_000, Side.SELL, 1_700_000_000_001_000)
            }
        diffs = [u for u in watch.updates if u.kind is DIFF]
        assert {u.venue_at for u in diffs} == {1_700_000_000_000_000}
        assert all(abs(u.received_at / 1e6 - time.time()) < 60 for u in watch.updates)
        # Whole books come round, so that a reader who starts late is not blind for long.
        seen = {s: watch.of(s).count(SNAPSHOT) for s in watch.readers}
        await watch.until(lambda: all(watch.of(s).count(SNAPSHOT) >= seen[s] + 2 for s in seen))
        assert await world.end(signal.SIGTERM) == 0
        await watch.until(lambda: all(watch.of(s)[-1] is STALE for s in watch.readers))
        assert venue.connections == 1 and venue.snapshots_asked == 2


FAULTS = ("lost change", "end of stream", "cut", "garbage", "unknown symbol", "refused snapshot", "old snapshot")


async def test_after_every_fault_stale_comes_first_and_then_the_venues_book_again(
    stack: Addresses, codec: Codec, name: str, tmp_path: Path
) -> None:
    async with a_world(stack, codec, name, tmp_path) as world:
        venue, watch = world.venue, world.watch
        await world.equal()
        hurt = "BTC/USDT"
        rng = random.Random(5)
        for fault in [*FAULTS, *rng.sample(FAULTS, len(FAULTS))]:
            before = len(watch.of(hurt))
            asked, connections = venue.snapshots_asked, venue.connections
            gap = fault in ("lost change", "refused snapshot", "old snapshot")
            if fault == "refused snapshot":
                venue.refuse = 503
            elif fault == "old snapshot":
                venue.stale_snapshots = 2
            if gap:
                venue.drop = True
                await venue.move("BTCUSDT", 2)
            elif fault == "end of stream":
                await venue.disconnect()
            elif fault == "cut":
                await venue.disconnect(rudely=True)
            elif fault == "garbage":
                await venue.raw("<html>502</html>")
            elif fault == "unknown symbol":
                await venue.raw(
                    '{"stream":"xxxusdt@trade","data":{"s":"XXXUSDT","t":1,"p":"1","q":"1","T":1,"m":true}}'
                )
            if not gap:
                await venue.until(lambda: venue.connections > connections)  # noqa: B023 - waited for here
            if fault == "refused snapshot":
                await venue.until(lambda: venue.snapshots_asked >= asked + 3)  # noqa: B023
                await watch.until(lambda: watch.of(hurt)[-1] is STALE)
                venue.refuse = 0
            for symbol in venue.books:
                await venue.move(symbol, 5)
            await world.equal()
            kinds = watch.of(hurt)[before:]
            assert [k for k in kinds if k is not DIFF] == [STALE, SNAPSHOT], fault
        assert world.process is not None and world.process.returncode is None


async def test_a_killed_feed_is_mistrusted_by_the_next(
    stack: Addresses, codec: Codec, name: str, tmp_path: Path
) -> None:
    async with a_world(stack, codec, name, tmp_path) as world:
        venue, watch = world.venue, world.watch
        await world.equal()
        for _ in range(3):
            lives = {s: len(watch.of(s)) for s in watch.readers}
            await venue.move("BTCUSDT", 5)
            assert await world.end(signal.SIGKILL) == -signal.SIGKILL
            for symbol in venue.books:
                await venue.move(symbol, 5)
            await world.start()
            await watch.until(lambda: all(STALE in watch.of(s)[lives[s] :] for s in lives))  # noqa: B023
            await world.equal()
            for symbol in lives:
                assert [k for k in watch.of(symbol)[lives[symbol] :] if k is not DIFF] == [STALE, SNAPSHOT]


async def test_a_dead_stream_on_a_live_socket_is_found_out_and_not_believed_before_it_speaks(
    stack: Addresses, codec: Codec, name: str, tmp_path: Path
) -> None:
    async with a_world(stack, codec, name, tmp_path, quiet_seconds=0.4) as world:
        venue, watch = world.venue, world.watch
        await world.equal()
        venue.muted = True
        before = venue.connections
        while venue.connections < before + 3:
            await venue.move("BTCUSDT", 1)
            await asyncio.sleep(0.05)  # the venue's own pace
        await watch.until(lambda: watch.of("BTC/USDT")[-1] is STALE)
        assert [k for k in watch.of("BTC/USDT") if k is not DIFF] == [STALE, SNAPSHOT, STALE]
        assert "books move, and the stream does not tell" in world.log()
        venue.muted = False
        await world.equal()
        assert [k for k in watch.of("BTC/USDT") if k is not DIFF] == [STALE, SNAPSHOT, STALE, SNAPSHOT]


async def test_a_quiet_market_is_no_dead_stream(stack: Addresses, codec: Codec, name: str, tmp_path: Path) -> None:
    async with a_world(stack, codec, name, tmp_path, quiet_seconds=0.2, silence_seconds=0.6) as world:
        venue, watch = world.venue, world.watch
        await world.equal()
        asked = venue.snapshots_asked
        await venue.until(lambda: venue.snapshots_asked >= asked + 8)
        assert venue.connections == 1
        for symbol in watch.readers:
            assert [k for k in watch.of(symbol) if k is not DIFF] == [STALE, SNAPSHOT]
        await venue.move("BTCUSDT", 3)
        await world.equal()


async def test_a_stream_that_tells_trades_and_no_books_is_found_out(
    stack: Addresses, codec: Codec, name: str, tmp_path: Path
) -> None:
    async with a_world(
        stack, codec, name, tmp_path, silence_seconds=0.4, connect_seconds=0.4, check_seconds=0.5, snapshot_seconds=0.5
    ) as world:
        venue, watch = world.venue, world.watch
        await world.equal()
        venue.muted = True
        await venue.move("BTCUSDT", 3)
        connections = venue.connections
        deadline = time.monotonic() + SECONDS
        while venue.connections == connections:
            assert time.monotonic() < deadline
            await venue.trade("BTCUSDT")
            trades = len(watch.trades)
            await watch.until(lambda: len(watch.trades) > trades or venue.connections > connections)  # noqa: B023
        venue.muted = False
        await world.equal()
        assert "BTC/USDT has changed, and the stream does not tell" in world.log()


async def test_a_venue_that_is_not_there_yet(stack: Addresses, codec: Codec, name: str, tmp_path: Path) -> None:
    async with a_world(stack, codec, name, tmp_path) as world:
        venue, watch = world.venue, world.watch
        await world.equal()
        port = venue.port
        await venue.stop()
        await watch.until(lambda: watch.of("BTC/USDT")[-1] is STALE)
        await venue.move("BTCUSDT", 5)
        await venue.start(port)
        await world.equal()
        assert [k for k in watch.of("BTC/USDT") if k is not DIFF] == [STALE, SNAPSHOT, STALE, SNAPSHOT]


async def test_a_venue_that_asks_to_be_left_alone_is(stack: Addresses, codec: Codec, name: str, tmp_path: Path) -> None:
    async with a_world(stack, codec, name, tmp_path) as world:
        venue, watch = world.venue, world.watch
        await world.equal()
        asked, venue.refuse, venue.drop = venue.snapshots_asked, 429, True
        await venue.move("BTCUSDT", 2)
        await venue.until(lambda: venue.refused)
        venue.refuse = 0
        await venue.disconnect()  # both books are wanted now, on a new connection
        await world.equal()
        refused, *later = venue.asked_at[asked:]
        assert len(later) == 2
        assert min(later) - refused > 0.95
        assert watch.of("BTC/USDT").count(SNAPSHOT) == 2


# --- the way out


async def test_a_full_queue_merges_changes_and_loses_none(stack: Addresses, codec: Codec, name: str) -> None:
    venue = VenueBook(random.Random(3))
    reader = Reader(venue.history)
    watch = Watch(stack, codec, name, {"BTC/USDT": reader})
    lost: list[tuple[str, str]] = []
    publisher = Publisher(
        {"bootstrap.servers": stack.kafka, "queue.buffering.max.messages": 5}, codec, lambda *key: lost.append(key)
    )
    follower = Follower(name, "BTC/USDT", Binance())
    publisher.book(follower.stale(1))
    for update in follower.snapshot(venue.snapshot(), 1):
        publisher.book(update)
    said = 0
    for _ in range(1000):
        for update in follower.change(venue.move(), 2):
            publisher.book(update)
            said += 1
        publisher.trade(
            Trade(venue=name, symbol="BTC/USDT", trade_id=str(said), price=1, quantity=1, side=None, received_at=1)
        )
    assert await publisher.drain(SECONDS)
    await watch.until(lambda: reader.last_id == venue.update and len(watch.trades) == said)
    assert reader.book == venue.now()
    assert [t.trade_id for t in watch.trades] == [str(n) for n in range(1, said + 1)]
    assert 0 < reader.kinds.count(DIFF) < said and publisher.conflated > 0
    assert lost == []
    watch.close()


async def test_what_kafka_does_not_take_is_known(codec: Codec) -> None:
    lost: list[tuple[str, str]] = []
    publisher = Publisher(
        {"bootstrap.servers": "127.0.0.1:9", "message.timeout.ms": 100}, codec, lambda *key: lost.append(key)
    )
    follower = Follower("alpha", "BTC/USDT", Binance())
    publisher.book(follower.stale(1))
    assert not await publisher.drain(SECONDS)
    assert lost == [("alpha", "BTC/USDT")]


# --- against the simulator


async def simulator(config: Path) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connectors.simulator", "--config", str(config), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), SECONDS)
    return process, json.loads(line)["ready"]


async def test_the_simulators_books_are_followed_through_its_death(
    stack: Addresses, codec: Codec, name: str, tmp_path: Path
) -> None:
    symbols = [{"symbol": s, "tick": "0.01", "lot": "0.00001"} for s in ("BTC/USDT", "ETH/USDT")]
    books = {"kind": "generated", "mid": {"BTC/USDT": "60000", "ETH/USDT": "2500"}, "updates_per_s": 15}
    venue = {"name": name, "port": 0, "symbols": symbols, "books": books}
    config = tmp_path / "simulator.json"
    config.write_text(json.dumps({"seed": 7, "venues": [venue]}))
    process, ready = await simulator(config)
    config.write_text(
        json.dumps({"seed": 8, "venues": [venue | {"port": int(ready[name]["rest_url"].split(":")[-1])}]})
    )
    names = [s["symbol"] for s in symbols]
    truth: dict[str, dict[int, Sides]] = {s: Witnessed() for s in names}
    watch = Watch(stack, codec, name, {s: Reader(truth[s]) for s in names})
    feed_config = tmp_path / "feed.json"
    feed_config.write_text(
        json.dumps(
            {
                "kafka": {"bootstrap.servers": stack.kafka},
                "registry": stack.registry,
                "venues": [{"name": name, "exchange": "binance", **ready[name], "symbols": names}],
                "snapshot_seconds": 1,
            }
        )
    )
    feed = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connectors.feeds", "--config", str(feed_config), stderr=asyncio.subprocess.DEVNULL
    )
    exchange = Binance()
    try:
        async with aiohttp.ClientSession() as http:
            for life in range(2):
                same: Counter[str] = Counter()
                # The venue's answer between two steps of its stream is a state that the log has or is about to have.
                while min(same[s] for s in names) < 5:
                    for symbol in names:
                        async with http.get(exchange.snapshot_url(ready[name]["rest_url"], symbol)) as answer:
                            said = exchange.snapshot(await answer.read())
                        await watch.reaches(symbol, said.last_id)
                        if (told := truth[symbol].get(said.last_id)) is not None:
                            assert told == (dict(said.bids), dict(said.asks))
                            same[symbol] += 1
                await watch.until(lambda: len(watch.trades) > 0)
                if life == 0:
                    process.kill()
                    await process.wait()
                    await watch.until(lambda: all(watch.of(s)[-1] is STALE for s in names))
                    for seen in truth.values():
                        seen.clear()
                    process, _ = await simulator(config)
        feed.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(feed.wait(), SECONDS) == 0
    finally:
        watch.close()
        for started in (feed, process):
            if started.returncode is None:
                started.kill()
                await started.wait()
