"""`bestex bench books`: level updates a second through one venue's book, ours and two peers'; memory; and record to quote on a real broker.

Every contestant gets the same encoded `market.books` records (those of the recording, or a made stream of the same shape where none is at
hand), decodes them with the same codec, and after each record looks at the best bid and offer, as whoever routes must. One process, one
core. Contestants alternate; the best run of each counts.
"""

from __future__ import annotations

import gc
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # publishes no types
from confluent_kafka import Producer

from connectors.recordings import Recorded, read, settled
from infra.bench.engine.timing import percentile, reader, until
from infra.chaos.process import Worker
from infra.settings import Addresses
from infra.topics import ensure, table
from schemas.binary import time as avro_time
from schemas.codec import Codec, LocalRegistry
from schemas.records import BookUpdate, BookUpdateKind, Level, Quote
from schemas.registry import ConfluentRegistry
from streams.domain.book import Book, Ladder

SCALE = 100_000_000
SYMBOL = "BTC/USDT"
RECORDING = "recordings/binance-spot-btcusdt-20240808.gz"
Tell = Callable[[str], None]
Top = tuple[tuple[int, int] | None, tuple[int, int] | None]


def recording() -> Path | None:
    """The recording to replay: under BESTEX_DATA, else beside the project."""
    path = Path(os.environ.get("BESTEX_DATA", "../shared/data")) / RECORDING
    return path if path.exists() else None


def updates(path: Path | None) -> list[BookUpdate]:
    """The records that the feed would publish of the recording; of a made stream without one."""
    if path is None:
        return list(_made(3500))
    return [_record(item) for item in settled(read(path)) if item.kind != "trade"]


def _record(item: Recorded) -> BookUpdate:
    return BookUpdate(
        venue=item.venue,
        symbol=item.symbol,
        kind=BookUpdateKind.SNAPSHOT if item.kind == "snapshot" else BookUpdateKind.DIFF,
        first_id=item.first_id,
        last_id=item.last_id,
        previous_id=item.previous_id,
        bids=tuple([Level(price=price, quantity=quantity) for price, quantity in item.bids]),
        asks=tuple([Level(price=price, quantity=quantity) for price, quantity in item.asks]),
        venue_at=item.venue_at_us,
        received_at=item.at_us,
    )


def _made(count: int) -> Iterator[BookUpdate]:
    chance = random.Random(7)
    mid, at = 61_000 * SCALE, 1_723_161_255_000_000

    def side(sign: int, levels: int) -> tuple[Level, ...]:
        prices = {mid + sign * SCALE // 100 * (1 + int(chance.expovariate(1 / 300))) for _ in range(levels)}
        return tuple([Level(price=p, quantity=chance.choice((0, chance.randrange(1, 3 * SCALE)))) for p in prices])

    for n in range(count):
        whole = n == 0
        yield BookUpdate(
            venue="binance",
            symbol=SYMBOL,
            kind=BookUpdateKind.SNAPSHOT if whole else BookUpdateKind.DIFF,
            first_id=None if whole else n + 1,
            last_id=n + 1,
            bids=side(-1, 1000 if whole else 18),
            asks=side(1, 1000 if whole else 18),
            received_at=at + n * 100_000,
        )


# ---- contestants: records in, best levels out


def _ours(codec: Codec, messages: Iterable[bytes]) -> Iterator[Top]:
    book = Book()
    for message in messages:
        book.apply(codec.decode(message, BookUpdate))
        yield book.bid, book.ask


def _ccxt(codec: Codec, messages: Iterable[bytes]) -> Iterator[Top]:
    from ccxt.async_support.base.ws.order_book import OrderBook

    book = OrderBook()
    bids, asks = book["bids"], book["asks"]
    for message in messages:
        update = codec.decode(message, BookUpdate)
        if update.kind is BookUpdateKind.SNAPSHOT:
            book.reset(
                {
                    "bids": [[level.price / SCALE, level.quantity / SCALE] for level in update.bids if level.quantity],
                    "asks": [[level.price / SCALE, level.quantity / SCALE] for level in update.asks if level.quantity],
                }
            )
        else:
            for level in update.bids:
                bids.storeArray([level.price / SCALE, level.quantity / SCALE])
            for level in update.asks:
                asks.storeArray([level.price / SCALE, level.quantity / SCALE])
        yield tuple([(round(s[0][0] * SCALE), round(s[0][1] * SCALE)) if s else None for s in (bids, asks)])  # type: ignore[misc]


def _sorted(codec: Codec, messages: Iterable[bytes]) -> Iterator[Top]:
    from sortedcontainers import SortedDict  # type: ignore[import-untyped]  # publishes no types

    bids, asks = SortedDict(), SortedDict()
    for message in messages:
        update = codec.decode(message, BookUpdate)
        if update.kind is BookUpdateKind.SNAPSHOT:
            bids.clear()
            asks.clear()
        for side, levels in ((bids, update.bids), (asks, update.asks)):
            for level in levels:
                if level.quantity:
                    side[level.price] = level.quantity
                else:
                    side.pop(level.price, None)
        yield bids.peekitem(-1) if bids else None, asks.peekitem(0) if asks else None


CONTESTANTS: dict[str, Callable[[Codec, Iterable[bytes]], Iterator[Top]]] = {
    "level_updates_per_s": _ours,
    "ccxt_level_updates_per_s": _ccxt,
    "sorted_level_updates_per_s": _sorted,
}


def throughput(rows: list[BookUpdate], runs: int, tell: Tell) -> dict[str, int]:
    """Level updates a second of each contestant. Raises `RuntimeError` when one ends with other best levels than ours."""
    codec = Codec(LocalRegistry())
    messages = [codec.encode(row) for row in rows]
    levels = sum(len(row.bids) + len(row.asks) for row in rows)
    best = dict.fromkeys(CONTESTANTS, 0.0)
    last: dict[str, Top] = {}
    for run in range(runs):
        for name, contestant in CONTESTANTS.items():
            next(contestant(codec, messages[:1]))  # imports are not what is measured
            began = time.process_time()
            for top in contestant(codec, messages):
                last[name] = top
            best[name] = max(best[name], levels / (time.process_time() - began))
        tell(f"run {run + 1}: " + ", ".join(f"{name} {value:,.0f}" for name, value in best.items()))
    if len(set(last.values())) != 1:
        raise RuntimeError(f"the contestants' books differ: {last}")
    return {name: round(value) for name, value in best.items()}


# ---- memory


def memory(symbols: int, venues: int, levels: int) -> dict[str, float]:
    """Books of so many symbols, venues and levels a side: MB, and bytes a level. Measured by the process's own memory."""
    chance = random.Random(3)
    process = psutil.Process()
    before = process.memory_info().rss
    kept: list[Ladder] = []
    for _ in range(symbols * venues):
        mid = chance.randrange(10_000, 10_000_000) * 1_000_000
        for sign in (-1, 1):
            ladder = Ladder(bids=sign < 0)
            ladder.replace(
                [
                    Level(price=mid + sign * n * 1_000_000, quantity=chance.randrange(1, 10**10))
                    for n in range(1, levels + 1)
                ]
            )
            kept.append(ladder)
    used = process.memory_info().rss - before
    return {"memory_mb": round(used / 1e6), "bytes_per_level": round(used / (symbols * venues * levels * 2), 1)}


# ---- record on Kafka to consolidated quote


def end_to_end(addresses: Addresses, rate: int, warm: float, seconds: float, tell: Tell) -> dict[str, float]:
    """Replay the rows on some symbols at `rate` level updates a second through a router process; the wait for 50 marked ones a second.

    A mark is a book of another venue with one bid, better than any: the quote that shows it tells when the record had been applied. The first
    `warm` seconds count for nothing: there the broker's compiler works on the cores that are measured. Whoever sends is a process of
    its own, as in life: in one process the reader would wait for the sender, and that would be measured.
    """
    codec = Codec(ConfluentRegistry(addresses.registry))
    ensure({"bootstrap.servers": addresses.kafka}, table())
    apart = get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="bestex-books-") as folder:
        config = {"kafka": {"bootstrap.servers": addresses.kafka}, "registry": addresses.registry}
        worker = Worker(Path(folder) / "router", config, ("streams.worker", "router", "--config"))
        ours, its = apart.Pipe(duplex=False)
        sender = apart.Process(target=_send, args=(addresses, rate, warm, seconds, its), daemon=True)
        worker.start()
        try:
            until(worker.ready)
            consumer = reader(addresses, "market.quotes", at_end=True)
            sender.start()
            its.close()  # the sender has the other end: that it has gone is seen here
            marks: dict[tuple[str, int], float] = {}
            waits: list[float] = []
            reached: float | None = None
            deadline = time.monotonic() + warm + seconds + 60
            while time.monotonic() < deadline and (reached is None or marks):
                messages = consumer.consume(1000, 0.005)
                while reached is None and ours.poll():  # a mark is told before it is sent
                    said = ours.recv()
                    if isinstance(said, float):
                        reached, deadline = said, time.monotonic() + 20
                    else:
                        marks[said[0], said[1]] = said[2]
                for message in messages:
                    value = message.value()
                    if message.error() is not None or value is None:
                        continue
                    quote = codec.decode(value, Quote)
                    # a later mark of the symbol shows that the earlier ones had been applied
                    for key in [k for k in marks if k[0] == quote.symbol and k[1] <= (quote.bid or 0)]:
                        waits.append((time.time() - marks.pop(key)) * 1000)
            consumer.close()
        finally:
            worker.kill()
            if sender.pid is not None:
                sender.kill()
                sender.join()
    if reached is None:
        raise RuntimeError("the sender did not come to its end")
    tell(f"end to end: {len(waits)} marks seen, {len(marks)} not, {reached:,.0f} level updates/s")
    if not waits or len(marks) > len(waits) // 20:
        raise RuntimeError(f"{len(marks)} of {len(waits) + len(marks)} marked records were never quoted")
    waits.sort()
    p50, p99 = (round(percentile(waits, share), 1) for share in (0.5, 0.99))
    return {"rate": round(reached), "p50": p50, "p99": p99, "marks": len(waits)}


def _send(addresses: Addresses, rate: int, warm: float, seconds: float, out: Connection) -> None:
    """The sender's process: tells each mark (symbol, price, when in seconds since the epoch), and in the end what rate it came to."""
    replay = _Replay(addresses, Codec(ConfluentRegistry(addresses.registry)), updates(recording()), rate, out.send)
    gc.collect()
    gc.freeze()  # what was made beforehand is no garbage, and looking through it would be waited for as the pipeline's
    out.send(replay.run(warm, seconds))


class _Replay:
    """Sends the rows as records of several symbols, paced, and marks some."""

    SYMBOLS = tuple(f"BOOK{n}/USDT" for n in range(8))
    MARKS_PER_S = 50

    def __init__(
        self,
        addresses: Addresses,
        codec: Codec,
        rows: list[BookUpdate],
        rate: int,
        told: Callable[[tuple[str, int, float]], None],
    ) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": addresses.kafka,
                "linger.ms": 2,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
            }
        )
        self._codec, self._rate, self._told = codec, rate, told
        self._rows: dict[str, list[tuple[bytes, int]]] = {}
        tail = len(avro_time(rows[0].received_at))
        for symbol in self.SYMBOLS:
            self._rows[symbol] = [
                (codec.encode(_without_ids(row, symbol))[:-tail], len(row.bids) + len(row.asks)) for row in rows
            ]

    def run(self, warm: float, seconds: float) -> float:
        """Send for so long; the level updates a second that it came to."""
        began = time.monotonic()
        sent = records = 0
        marked = 0.0
        places = dict.fromkeys(self.SYMBOLS, 0)
        mark = 0
        while (elapsed := time.monotonic() - began) < warm + seconds:
            if sent >= elapsed * self._rate:
                self._producer.poll(0)
                time.sleep(0.001)  # pacing is the point
                continue
            symbol = self.SYMBOLS[records % len(self.SYMBOLS)]
            rows = self._rows[symbol]
            place = places[symbol]
            places[symbol] = place + 1 if place + 1 < len(rows) else 0
            body, levels = rows[place]
            self._send(symbol, body + avro_time(time.time_ns() // 1000))
            sent += levels
            records += 1
            if elapsed - marked >= 1 / self.MARKS_PER_S and elapsed > warm:
                marked = elapsed
                mark += 1
                self._mark(symbol, mark)
        reached = sent / (time.monotonic() - began)
        self._producer.flush(30)
        return reached

    def _mark(self, symbol: str, number: int) -> None:
        price = _MARK + number
        bid = (Level(price=price, quantity=1),)
        now = time.time_ns() // 1000
        update = BookUpdate(
            venue="marker", symbol=symbol, kind=BookUpdateKind.SNAPSHOT, bids=bid, asks=(), received_at=now
        )
        self._told((symbol, price, time.time()))
        self._send(symbol, self._codec.encode(update))

    def _send(self, symbol: str, value: bytes) -> None:
        self._producer.produce("market.books", value, symbol.encode())


_MARK = 100_000 * SCALE


def _without_ids(row: BookUpdate, symbol: str) -> BookUpdate:
    return BookUpdate(
        venue=row.venue, symbol=symbol, kind=row.kind, bids=row.bids, asks=row.asks, received_at=row.received_at
    )


def measure(quick: bool, runs: int, addresses: Addresses | None, tell: Tell) -> dict[str, Any]:
    """All of it; without addresses all but the end to end part."""
    path = recording()
    tell(f"replaying {path}" if path else f"no {RECORDING} under BESTEX_DATA: a made stream instead")
    results: dict[str, Any] = {**throughput(updates(path), runs, tell), "recorded": path is not None}
    if addresses is not None:
        results["end_to_end_ms"] = end_to_end(addresses, 200_000, *((2.0, 4.0) if quick else (90.0, 30.0)), tell)
    symbols, venues = (50, 10) if quick else (500, 10)
    results |= memory(symbols, venues, 1000)
    results["books"] = {"symbols": symbols, "venues": venues, "levels_a_side": 1000}
    return results
