"""`bestex bench orders`: orders through risk and routing to the venues' doors, on a real broker, exactly once.

What runs is what runs in production: one accounts worker and one router worker, with their tables, changelogs, hash chains and
transactions. The bench feeds books and publishes commands made beforehand; nothing answers the child orders, so each order's way ends at
`venue.orders`. Four measurements:

* sustained: many orders published as fast as the broker takes them; orders divided by the time until the last of
  them is answered, routed and recorded, which is when both workers have committed everything;
* burst: the same with 100,000 published at once; afterwards each must have exactly one answer;
* acknowledgement: at 5,000 orders a second, from handing a command to the producer to its answer at a read-committed consumer;
* curve: the sustained rate again with more accounts, and with orders pending on schedule; each time twice: of the same thousand accounts,
  which shows what the number of the others costs, and of all, where as good as every order is the first of its account and
  finds none of its state at hand.

After each, the log is read back: one answer for every order, one route for every accepted one, and children for all of its quantity.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # publishes no types
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from infra.bench.engine.timing import percentile, reader, until
from infra.bench.order_scene import MID, SCALE, SYMBOLS, VENUES, account_id, command, deposit, instrument, snapshot
from infra.chaos.process import Worker
from infra.kafka_log import committed, outsider
from infra.settings import Addresses
from infra.topics import ensure, table
from schemas.binary import long
from schemas.codec import Codec
from schemas.records import (
    BookUpdate,
    BookUpdateKind,
    ChildOrder,
    EventKind,
    Level,
    OrderEvent,
    SetLimits,
    VenueHealth,
    VenueStatus,
)
from schemas.registry import ConfluentRegistry

ENDLESS = 30 * 86_400_000_000  # microseconds until what is scheduled starts
WAIT_SECONDS = 600.0
QUIET_SECONDS = 20.0
MARKERS = 400  # so few may be nothing but the ends of transactions
FRAME = 5  # bytes before a record
FEW = 1000  # accounts
KINDS = tuple(EventKind)
ANSWERS = (EventKind.ACCEPTED, EventKind.DENIED, EventKind.DUPLICATE)
Tell = Callable[[str], None]
# Who reads what: when these groups have committed to the ends of their inputs, everything is done.
READS = {
    "accounts": ("orders.commands", "account.transfers", "account.limits", "exchange.acks"),
    "router": ("orders.routable",),
}


@dataclass(slots=True)
class Tally:
    """What the log says of a run's orders."""

    answers: Counter[str] = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    routed: Counter[str] = field(default_factory=Counter)
    quantity: dict[str, int] = field(default_factory=dict)
    placed: Counter[str] = field(default_factory=Counter)

    def faults(self, expected: Sequence[str]) -> dict[str, int]:
        """How many orders have no answer, more than one, or not all of their quantity at the venues."""
        wanted = set(expected)
        return {
            "lost": len(wanted - self.answers.keys()),
            "answered_twice": sum(1 for n in self.answers.values() if n > 1),
            "unknown": len(self.answers.keys() - wanted),
            "not_routed": sum(1 for one in self.accepted if self.routed[one] != 1),
            "wrong_quantity": sum(1 for one in self.accepted if self.placed[one] != self.quantity[one]),
        }


class Pipeline:
    """Both workers, a market that is kept fresh, and the means to publish and to see when everything is done."""

    def __init__(self, addresses: Addresses, tell: Tell) -> None:
        self.kafka: dict[str, str | int | float | bool] = {"bootstrap.servers": addresses.kafka}
        self.codec = Codec(ConfluentRegistry(addresses.registry))
        self.tell, self.addresses = tell, addresses
        self._admin = AdminClient(self.kafka)
        self.out = Producer(
            {
                **self.kafka,
                "linger.ms": 5,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 2_000_000,
            }
        )
        self._groups = {group: outsider(self.kafka, group) for group in READS}
        self._fresh = threading.Event()
        self._workers: dict[str, Worker] = {}

    @contextmanager
    def running(self, folder: Path) -> Iterator[None]:
        """Topics, instruments, books and both workers, ready."""
        ensure(self.kafka, table())
        now = _now()
        everybody = SetLimits(account_id="*", command_id="bench", max_open_orders=2**31 - 1, sent_at=now)
        self.send("risk.defaults", "*", self.codec.encode(everybody))
        for venue in VENUES:
            health = VenueHealth(
                venue=venue, status=VenueStatus.ACTIVE, latency_us=5000, success_rate=SCALE, reason="", at=now
            )
            self.send("venue.health", venue, self.codec.encode(health))
            for symbol in SYMBOLS:
                one = instrument(venue, symbol, now)
                self.send("instruments", f"{venue}|{symbol}", self.codec.encode(one))
        self.out.flush(30)
        config = {"kafka": self.kafka, "registry": self.addresses.registry, "web_port": 0}
        workers = [Worker(folder / n, config, ("streams.worker", n, "--config")) for n in READS]
        self._workers = dict(zip(READS, workers, strict=True))
        market = threading.Thread(target=self._market, name="market", daemon=True)
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                until(worker.ready)
            market.start()
            self._quoted()
            yield
        finally:
            self._fresh.set()
            market.join()
            for worker in workers:
                worker.kill()
            for group in self._groups.values():
                group.close()

    def _market(self) -> None:
        """Every book whole now and then, and new to the router every two seconds: no venue falls silent."""
        number = 0
        while not self._fresh.wait(2.0 if number else 0.0):
            number += 1
            now = _now()
            for venue in VENUES:
                for symbol in SYMBOLS:
                    if number % 10 == 1:
                        update = snapshot(venue, symbol, number, now)
                    else:
                        bid = (Level(price=MID - 2 * SCALE, quantity=number * SCALE),)
                        update = BookUpdate(
                            venue=venue,
                            symbol=symbol,
                            kind=BookUpdateKind.DIFF,
                            bids=bid,
                            asks=(),
                            received_at=now,
                        )
                    self.send("market.books", symbol, self.codec.encode(update))
                health = VenueHealth(
                    venue=venue, status=VenueStatus.ACTIVE, latency_us=5000, success_rate=SCALE, reason="", at=now
                )
                self.send("venue.health", venue, self.codec.encode(health))
            self.out.poll(0)

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time that each worker has used."""
        found = {}
        for name, worker in self._workers.items():
            times = psutil.Process(worker.pid).cpu_times()
            found[name] = times.user + times.system
        return found

    def _quoted(self) -> None:
        """Wait until the market has a quote of every symbol."""
        consumer, seen = reader(self.addresses, "market.quotes"), set[bytes]()
        deadline = time.monotonic() + 60
        while len(seen) < len(SYMBOLS):
            seen |= {bytes(m.key() or b"") for m in consumer.consume(1000, 0.1) if m.error() is None}
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(seen)} of {len(SYMBOLS)} symbols have a quote")
        consumer.close()

    def send(self, topic: str, key: str, value: bytes) -> None:
        """Publish a record."""
        while True:
            try:
                self.out.produce(topic, value, key.encode())
            except BufferError:
                self.out.poll(0.1)
            else:
                return

    def load(self, topic: str, rows: Sequence[tuple[str, bytes]]) -> None:
        """Publish many, as fast as the broker takes them."""
        for n, (key, value) in enumerate(rows):
            self.send(topic, key, value)
            if n % 5000 == 0:
                self.out.poll(0)
        self.out.flush(120)

    def done(self, what: str) -> None:
        """Wait until both workers have committed all of their inputs. Raises `RuntimeError` when they do not come on for long."""
        last, since = -1, time.monotonic()
        deadline = since + WAIT_SECONDS
        while (left := self._lag()) > 0:
            now = time.monotonic()
            if left != last:
                last, since = left, now
            if now > deadline or now - since > QUIET_SECONDS:
                raise RuntimeError(f"{what}: {left:,} records are left and nothing happens")
            time.sleep(0.02)  # between two looks at the offsets

    def _lag(self) -> int:
        """Records that a worker has not committed. Offsets count the markers of transactions too, so the last few are looked at."""
        total, tails = 0, list[TopicPartition]()
        for group, topics in READS.items():
            places = [TopicPartition(topic, n) for topic in topics for n in range(4)]
            found = committed(self._groups[group], places)
            reached = {place: max(offset, 0) for place, offset in found.items()}
            for (topic, n), end in self.ends(topics).items():
                if end > reached.get((topic, n), 0):
                    total += end - reached.get((topic, n), 0)
                    tails.append(TopicPartition(topic, n, reached.get((topic, n), 0)))
        return total if total > MARKERS else self._records(tails)

    def _records(self, places: Sequence[TopicPartition]) -> int:
        """How many records, not markers, lie from these places on."""
        if not places:
            return 0
        consumer, count = self._consumer(), 0
        consumer.assign(list(places))
        open_ = {(p.topic, p.partition) for p in places}
        while open_:
            for message in consumer.consume(1000, 1.0):
                if message.error() is None:
                    count += 1
                else:
                    open_.discard((message.topic() or "", message.partition() or 0))
        consumer.close()
        return count

    def _consumer(self) -> Consumer:
        """Reads what is committed, and says where a partition ends."""
        return Consumer(
            {
                **self.kafka,
                "group.id": "bench",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "queued.min.messages": 200_000,
                "fetch.wait.max.ms": 10,
            }
        )

    def ends(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        """Where the partitions of topics end: that of the last whole transaction, as a read-committed reader sees it."""
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # has no annotations
        places = {TopicPartition(topic, n): latest for topic in topics for n in range(4)}
        return {
            (place.topic, place.partition): answer.result(30).offset
            for place, answer in self._admin.list_offsets(places).items()
        }

    def tally(self, since: Mapping[tuple[str, int], int], prefix: str) -> Tally:
        """Read the log from `since` to its end: the answers, routes and children of orders whose client id begins with `prefix`."""
        tally, ends = Tally(), self.ends(("orders.events", "venue.orders"))
        consumer = self._consumer()
        consumer.assign([TopicPartition(topic, n, since[topic, n]) for topic, n in ends])
        open_ = {place for place, end in ends.items() if end > since[place]}
        while open_:
            for message in consumer.consume(20_000, 1.0):
                error = message.error()
                if error is not None:
                    open_.discard((message.topic() or "", message.partition() or 0))
                    continue
                record = self.codec.decode(message.value(), OrderEvent, ChildOrder)
                if isinstance(record, ChildOrder):
                    tally.placed[record.order_id] += record.quantity
                elif record.client_order_id.startswith(prefix):
                    if record.is_outcome:
                        tally.answers[record.client_order_id] += 1
                        if record.kind is EventKind.ACCEPTED and not record.reason_code:
                            tally.accepted.add(record.order_id)
                            tally.quantity[record.order_id] = record.quantity or 0
                    elif record.kind is EventKind.ROUTED:
                        tally.routed[record.order_id] += 1
        consumer.close()
        return tally


def _now() -> int:
    return time.time_ns() // 1000


def answered(event: bytes) -> str:
    """The client order id in an encoded `OrderEvent` that answers a PlaceOrder, of any other the empty string.

    Only its first fields are read: who measures uses the cores that are measured.
    """
    size, at = long(event, FRAME)  # account_id
    _, at = long(event, at + size)  # account_seq
    size, at = long(event, at)  # order_id
    _, at = long(event, at + size)  # order_seq
    size, at = long(event, at)
    kind, _ = long(event, at + size)
    return event[at : at + size].decode() if KINDS[kind] in ANSWERS else ""


class Bench:
    """The measurements, on one running pipeline."""

    def __init__(self, pipeline: Pipeline, seed: int = 1) -> None:
        self._pipeline, self._chance = pipeline, random.Random(seed)
        self._accounts = self._runs = 0
        self._reached = 0.0

    def open_accounts(self, number: int) -> None:
        """Have so many accounts."""
        if number > self._accounts:
            self._pipeline.tell(f"opening {number - self._accounts:,} accounts")
            encode = self._pipeline.codec.encode
            rows = [(account_id(n), encode(deposit(n))) for n in range(self._accounts, number)]
            self._pipeline.load("account.transfers", rows)
            self._pipeline.done("deposits")
            self._accounts = number

    def schedule(self, number: int) -> None:
        """Have so many more orders wait for a time that does not come."""
        self._pipeline.tell(f"scheduling {number:,} orders")
        at = _now() + ENDLESS
        self._pipeline.load("orders.commands", self._commands(number, f"later{self._runs}-", at)[1])
        self._pipeline.done("scheduled orders")

    def _commands(
        self, number: int, prefix: str, scheduled_at: int | None = None, active: int | None = None
    ) -> tuple[list[str], list[tuple[str, bytes]]]:
        among = self._accounts if active is None else active
        names = [f"{prefix}{n}" for n in range(number)]
        made = [command(self._chance, self._chance.randrange(among), name, scheduled_at) for name in names]
        return names, [(one.account_id, self._pipeline.codec.encode(one)) for one in made]

    def all_at_once(self, number: int, active: int | None = None) -> dict[str, Any]:
        """Publish so many orders at once, of the first `active` accounts or of all; the time until all is done, and what is wrong with the result."""
        self._runs += 1
        prefix = f"run{self._runs}-"
        names, rows = self._commands(number, prefix, active=active)
        since = self._pipeline.ends(("orders.events", "venue.orders"))
        used = self._pipeline.cpu()
        began = time.monotonic()
        self._pipeline.load("orders.commands", rows)
        published = time.monotonic() - began
        self._pipeline.done(f"{number:,} orders")
        seconds = time.monotonic() - began
        cpu = {name: round((at - used[name]) / number * 1e6, 1) for name, at in self._pipeline.cpu().items()}
        tally = self._pipeline.tally(since, prefix)
        faults = tally.faults(names)
        if wrong := {name: n for name, n in faults.items() if n}:
            raise RuntimeError(f"of {number:,} orders: {wrong}")
        self._pipeline.tell(
            f"{number:,} orders ({len(tally.accepted):,} accepted) in {seconds:.1f} s: {number / seconds:,.0f}/s, "
            f"processor time an order: {cpu} us"
        )
        return {
            "orders": number,
            "seconds": round(seconds, 2),
            "published_s": round(published, 2),
            "accepted": len(tally.accepted),
            "denied": len(tally.answers) - len(tally.accepted),
            "lost": faults["lost"],
            "cpu_us_per_order": cpu,
        }

    def acknowledged(self, rate: int, seconds: float) -> dict[str, float]:
        """The wait for the answer at `rate` orders a second, the first seconds left out."""
        self._runs += 1
        prefix, warm = f"ack{self._runs}-", 3.0
        total = int(rate * (warm + seconds))
        names, rows = self._commands(total, prefix)
        sent: dict[str, float] = {}
        consumer = reader(self._pipeline.addresses, "orders.events", at_end=True)
        sending = threading.Thread(target=self._paced, args=(names, rows, rate, sent))
        waits: list[float] = []
        got, began = 0, time.monotonic()
        deadline = began + warm + seconds + 60
        sending.start()
        while got < total and time.monotonic() < deadline:
            for message in consumer.consume(5000, 0.005):
                value = message.value()
                if message.error() is not None or value is None:
                    continue
                at = sent.pop(answered(value), None)
                if at is not None:
                    got += 1
                    if at - began > warm:
                        waits.append(time.monotonic() - at)
        sending.join()
        consumer.close()
        if got != total:
            raise RuntimeError(f"{got:,} of {total:,} orders were answered")
        if self._reached < 0.95 * rate:
            raise RuntimeError(f"the load came to {self._reached:,.0f} of {rate:,} orders a second")
        self._pipeline.done("the last orders")
        waits.sort()
        return {
            "rate": round(self._reached),
            "p50": round(percentile(waits, 0.5) * 1000, 1),
            "p99": round(percentile(waits, 0.99) * 1000, 1),
        }

    def _paced(
        self, names: Sequence[str], rows: Sequence[tuple[str, bytes]], rate: int, sent: dict[str, float]
    ) -> None:
        began, n = time.monotonic(), 0
        while n < len(rows):
            due = min(len(rows), int((time.monotonic() - began) * rate))
            for i in range(n, due):
                sent[names[i]] = began + i / rate  # when it was due: what sends late makes no wait look shorter
                self._pipeline.send("orders.commands", *rows[i])
            n = due
            self._pipeline.out.poll(0)
            time.sleep(0.001)  # the pace of the load
        self._reached = len(rows) / (time.monotonic() - began)


def measure(quick: bool, runs: int, addresses: Addresses, tell: Tell) -> dict[str, Any]:
    """All four; the best of `runs` for the sustained rate."""
    sustained, burst, seconds = (20_000, 20_000, 4.0) if quick else (300_000, 100_000, 20.0)
    point = 10_000 if quick else 60_000
    many, scheduled = ((20_000,), 20_000) if quick else ((100_000, 1_000_000), 1_000_000)
    with tempfile.TemporaryDirectory(prefix="bestex-orders-") as folder:
        pipeline = Pipeline(addresses, tell)
        with pipeline.running(Path(folder)):
            bench = Bench(pipeline)
            bench.open_accounts(FEW)
            bench.all_at_once(5_000 if quick else 30_000)  # warms up
            found = [bench.all_at_once(sustained) for _ in range(runs)]
            rates = [round(one["orders"] / one["seconds"]) for one in found]
            best = max(found, key=lambda one: one["orders"] / one["seconds"])
            results: dict[str, Any] = {"sustained_per_s": max(rates), "sustained_runs": rates}
            results["cpu_us_per_order"] = best["cpu_us_per_order"]
            results["burst"] = bench.all_at_once(burst)
            results["ack_ms"] = bench.acknowledged(5_000, seconds)
            curve: list[dict[str, Any]] = []

            def take(accounts: int, pending: int) -> None:
                for active in sorted({FEW, accounts}):
                    one = bench.all_at_once(point, active)
                    curve.append(
                        {
                            "accounts": accounts,
                            "active": active,
                            "scheduled": pending,
                            "per_s": round(one["orders"] / one["seconds"]),
                            "cpu_us_per_order": one["cpu_us_per_order"],
                        }
                    )

            take(FEW, 0)
            for accounts in many:
                bench.open_accounts(accounts)
                take(accounts, 0)
            bench.schedule(scheduled)
            take(many[-1], scheduled)
            results["curve"] = curve
    return results
