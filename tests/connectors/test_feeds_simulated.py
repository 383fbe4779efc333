"""The feed as a process, between simulated venues of four dialects and a real Kafka, along both its paths: all end with the one true book."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from redis import Redis

from infra.kafka_log import watermarks
from infra.settings import Addresses
from infra.topics import create_topic
from schemas.codec import Codec
from schemas.records import BookUpdate, BookUpdateKind, Trade
from schemas.registry import ConfluentRegistry
from schemas.topics import BY_NAME

SCALE, SYMBOL, SECONDS = 10**8, "BTC/USDT", 120.0
DIALECTS = ("binance", "coinbase", "kraken", "okx")
Sides = tuple[dict[int, int], dict[int, int]]
QUIET = {"silence_seconds": 120, "general_silence_seconds": 120}  # a recording that is over says nothing more
SEEN = 50  # levels a side that are compared: ccxt's defaults show no fewer but Kraken's ten


def recording(path: Path, changes: int) -> Sides:
    """Write a recording of random changes, 50 ms apart, each with a trade, some time after the first book; the book at its end."""
    rng = random.Random(11)
    sides: Sides = {}, {}

    def rows(side: int, count: int, whole: bool) -> list[list[str]]:
        found: dict[int, int] = {}
        for _ in range(count):
            price = 60_000 * 100 + (1 if side else -1) * rng.randint(1, 80)
            found[price] = rng.randint(1, 500_000) if whole or rng.random() < 0.7 else 0
        for price, lots in found.items():
            if lots:
                sides[side][price * SCALE // 100] = lots * SCALE // 100_000
            else:
                sides[side].pop(price * SCALE // 100, None)
        return [[f"{p / 100:.2f}", f"{q / 100_000:.8f}"] for p, q in found.items()]

    at = 1_700_000_000_000_000_000
    with path.open("w") as file:
        book = {"lastUpdateId": 1, "bids": rows(0, 300, True), "asks": rows(1, 300, True)}
        file.write(f"{at} {json.dumps(book)}\n")
        at += 35_000_000_000  # in which the feed comes up
        for n in range(2, changes + 2):
            at += 50_000_000
            diff = {"e": "depthUpdate", "E": at // 10**6, "s": "BTCUSDT", "U": n, "u": n}
            data = diff | {"b": rows(0, 4, False), "a": rows(1, 4, False)}
            file.write(f"{at} {json.dumps({'stream': 'btcusdt@depth@100ms', 'data': data})}\n")
            trade = {"e": "trade", "E": at // 10**6, "s": "BTCUSDT", "t": n, "p": "60000.00", "q": "0.00100000"}
            data = trade | {"T": at // 10**6, "m": n % 2 == 0, "M": True}
            file.write(f"{at} {json.dumps({'stream': 'btcusdt@trade', 'data': data})}\n")
    return sides


class Rebuilt:
    """One venue's book, from what is published of it."""

    def __init__(self) -> None:
        self.book: Sides | None = None
        self.last_id: int | None = None
        self.kinds: list[BookUpdateKind] = []
        self.trades = 0

    def take(self, update: BookUpdate) -> None:
        self.kinds.append(update.kind)
        if update.kind is BookUpdateKind.STALE:
            self.book = None
            return
        sides = tuple({level.price: level.quantity for level in side} for side in (update.bids, update.asks))
        if update.kind is BookUpdateKind.SNAPSHOT:
            self.book = sides[0], sides[1]
        else:
            assert self.book is not None and update.previous_id == self.last_id
            for mine, levels in zip(self.book, sides, strict=True):
                mine.update(levels)
                for price in [p for p, q in levels.items() if not q]:
                    mine.pop(price, None)
        self.last_id = update.last_id

    def best(self, depth: int) -> Any:
        return None if self.book is None else best(self.book, depth)


def best(book: Sides, depth: int) -> Any:
    return sorted(book[0].items(), reverse=True)[:depth], sorted(book[1].items())[:depth]


@pytest.fixture
def log(stack: Addresses) -> Iterator[tuple[Consumer, Codec]]:
    codec = Codec(ConfluentRegistry(stack.registry))
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": uuid.uuid4().hex})
    places = []
    for name in ("market.books", "market.trades"):
        create_topic({"bootstrap.servers": stack.kafka}, name, 4, retention_ms=BY_NAME[name].retention_ms)
        for partition in consumer.list_topics(name, timeout=20).topics[name].partitions:
            places.append(TopicPartition(name, partition, watermarks(consumer, TopicPartition(name, partition))[1]))
    consumer.assign(places)
    yield consumer, codec
    consumer.close()


async def started(*arguments: str, **more: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdout=asyncio.subprocess.PIPE, **more
    )


async def test_both_paths_end_with_the_venues_book_in_every_dialect(
    stack: Addresses, log: tuple[Consumer, Codec], tmp_path: Path
) -> None:
    truth = recording(tmp_path / "recording.txt", 160)
    run = uuid.uuid4().hex[:6]
    rules = {"symbol": SYMBOL, "tick": "0.01", "lot": "0.00001", "min_quantity": "0.00001", "min_notional": "5"}
    books = {"kind": "recording", "file": str(tmp_path / "recording.txt"), "venue": "binance"}
    venues = [{"name": f"{d}-{run}", "port": 0, "dialect": d, "symbols": [rules], "books": books} for d in DIALECTS]
    config = tmp_path / "simulator.json"
    config.write_text(json.dumps({"seed": 1, "venues": venues}))
    simulator = await started("connectors.simulator", "--config", str(config))
    assert simulator.stdout is not None
    at = json.loads(await asyncio.wait_for(simulator.stdout.readline(), SECONDS))["ready"]
    rows = [
        {"name": f"{d}-{path}-{run}", "exchange": d, "path": path, "symbols": [SYMBOL], **at[f"{d}-{run}"]}
        for d in DIALECTS
        for path in ("fast", "ccxt")
    ]
    feed_config = tmp_path / "feed.json"
    given = {"kafka": {"bootstrap.servers": stack.kafka}, "registry": stack.registry, "limits": stack.valkey}
    feed_config.write_text(
        json.dumps({**given, "venues": rows, "processes": 2, "snapshot_seconds": 2, "settings": QUIET})
    )
    feed = await started("connectors.feeds", "--config", str(feed_config), "--json")
    consumer, codec = log
    rebuilt = {row["name"]: Rebuilt() for row in rows}

    def depth(name: str) -> int:
        return 10 if name.startswith("kraken-ccxt") else SEEN

    def done() -> bool:
        return all(r.best(depth(name)) == best(truth, depth(name)) and r.trades > 0 for name, r in rebuilt.items())

    try:
        deadline = time.monotonic() + SECONDS
        while not done():
            left = [n for n, r in rebuilt.items() if r.best(depth(n)) != best(truth, depth(n)) or not r.trades]
            assert time.monotonic() < deadline, f"not yet the venue's: {left}"
            for message in await asyncio.to_thread(consumer.consume, 500, 0.1):
                record = codec.decode(message.value(), BookUpdate, Trade)
                if record.venue not in rebuilt:
                    continue
                if isinstance(record, Trade):
                    rebuilt[record.venue].trades += 1
                else:
                    rebuilt[record.venue].take(record)
        for name, seen in rebuilt.items():
            assert seen.kinds.count(BookUpdateKind.DIFF) > 20, name
        with Redis.from_url(stack.valkey) as valkey:
            for name in (f"binance-fast-{run}", f"binance-ccxt-{run}"):  # who counts by the minute
                assert list(valkey.scan_iter(f"bestex:budget:{{{name}}}*")), f"{name} asked no budget"
        feed.send_signal(signal.SIGTERM)
        said, _ = await asyncio.wait_for(feed.communicate(), SECONDS)
        assert feed.returncode == 0
        stats = json.loads(said.splitlines()[-1])
        assert stats["venues"].keys() == rebuilt.keys() and stats["lost"] == 0
        assert all(row["live"] == row["symbols"] == 1 or row["connections"] for row in stats["venues"].values())
    finally:
        for process in (feed, simulator):
            if process.returncode is None:
                process.kill()
                await process.wait()
