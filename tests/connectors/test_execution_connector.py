"""The execution connector as a process of its own, on a real Kafka, against a venue under the test's command."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from venue_peer import KEY, SCALE, SECRET, Peer

from infra import topics
from infra.settings import Addresses
from schemas.codec import Codec
from schemas.records import (
    ChildCancel,
    ChildOrder,
    DeadLetter,
    ExecutionKind,
    ExecutionReport,
    ExecutionState,
    Instrument,
    OrderType,
    Record,
    Side,
    TimeInForce,
    VenueAlert,
    VenueBalance,
    VenueHealth,
    VenueStatus,
)
from schemas.registry import ConfluentRegistry

READ = ["exchange.acks", "venue.orders.dlq", "venue.health", "venue.balances", "venue.alerts", "instruments"]
TERMINAL = {
    ExecutionKind.REJECTED,
    ExecutionKind.NOT_SENT,
    ExecutionKind.CANCELLED,
    ExecutionKind.EXPIRED,
}
K = ExecutionKind


class Bench:
    """Sends orders, runs connector processes, collects what comes back."""

    def __init__(self, stack: Addresses, peer: Peer, folder: Path) -> None:
        self.kafka = {"bootstrap.servers": stack.kafka}
        self.registry, self.peer, self.folder = stack.registry, peer, folder
        self.venue = f"peer-{uuid.uuid4().hex[:8]}"
        self.codec = Codec(ConfluentRegistry(stack.registry))
        self.reports: dict[str, list[ExecutionReport]] = defaultdict(list)
        self.others: list[Record] = []
        self.quantities: dict[str, int] = {}
        self._producer = Producer({**self.kafka, "partitioner": "murmur2_random"})
        self._consumer = Consumer(
            {**self.kafka, "group.id": self.venue, "auto.offset.reset": "earliest", "isolation.level": "read_committed"}
        )
        self.prefix = (
            f"{self.venue}."  # topics of this test alone: another test's connector would answer for unknown venues
        )
        named = {self.prefix + name for name in (*READ, "venue.orders", "execution.journal")}
        self._topics = [t for t in topics.table(2, prefix=self.prefix) if t.name in named]
        topics.ensure(self.kafka, self._topics)
        self._consumer.subscribe([self.prefix + name for name in READ])

    def order(
        self, child_id: str, quantity: int = SCALE, price: int = 100 * SCALE, at_ms: int = 0, **fields: Any
    ) -> None:
        values: dict[str, Any] = {
            "venue": self.venue,
            "symbol": "BTC/USDT",
            "side": Side.BUY,
            "order_type": OrderType.LIMIT,
            "time_in_force": TimeInForce.IOC,
        }
        self.quantities[child_id] = quantity
        sent = ChildOrder(
            child_id=child_id,
            order_id=f"o-{child_id}",
            account_id="a-1",
            quantity=quantity,
            price=price,
            created_at=0,
            **{**values, **fields},
        )
        self.send(self.codec.encode(sent), at_ms)

    def cancel(self, child_id: str) -> None:
        cancel = ChildCancel(
            child_id=child_id,
            order_id=f"o-{child_id}",
            account_id="a-1",
            venue=self.venue,
            symbol="BTC/USDT",
            created_at=0,
        )
        self.send(self.codec.encode(cancel))

    def send(self, value: bytes, at_ms: int = 0) -> None:
        """`at_ms`: the record's stamp; 0 is now."""
        self._producer.produce(f"{self.prefix}venue.orders", value, key=self.venue.encode(), timestamp=at_ms)
        self._producer.flush(10)

    def close(self) -> None:
        self._consumer.close()
        admin = AdminClient(self.kafka)
        for future in admin.delete_topics([t.name for t in self._topics]).values():
            future.result(30)

    def delete_orders(self) -> None:
        """As retention does: all of `venue.orders` up to now is gone."""
        self._producer.flush(10)
        admin, topic = AdminClient(self.kafka), f"{self.prefix}venue.orders"
        ends = [TopicPartition(topic, n, -1) for n in range(2)]
        for done in admin.delete_records(ends).values():
            done.result(30)

    def venue_config(self) -> dict[str, Any]:
        (self.folder / "secret").write_text(SECRET + "\n")
        return {
            "name": self.venue,
            "rest_url": self.peer.rest_url,
            "ws_url": self.peer.ws_url,
            "api_key": KEY,
            "secret_file": "secret",
            "timeout": 0.7,
            "recv_window_ms": 1000,
        }

    @asynccontextmanager
    async def connector(
        self, instance: str | None = "one", **settings: Any
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """One process; ended by force at the end if it still runs."""
        venue = self.venue_config()
        chosen = {
            "group": f"g-{self.venue}",
            "instance": instance,
            "claim_ttl": 1.0,
            "poll": 1.0,
            "breaker_seconds": 1.0,
            "session_timeout_ms": 6000,
            "prefix": self.prefix,
            **settings,
        }
        config = {"kafka": self.kafka, "registry": self.registry, "venues": [venue], "settings": chosen}
        path = self.folder / f"{uuid.uuid4().hex}.json"
        path.write_text(json.dumps(config))
        with (self.folder / "connector.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "connectors.execution", "--config", str(path), stderr=log
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def until(self, done: Callable[[], bool], seconds: float = 100) -> None:
        """Collect until `done`; fails with the connector's log otherwise."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                log = (self.folder / "connector.log").read_text()[-4000:]
                told = {child_id: [r.kind.value for r in reports] for child_id, reports in self.reports.items()}
                pytest.fail(f"not done: {told}\n{log}")
            for message in await asyncio.to_thread(self._receive):
                if message.error() is None:
                    self._collect(message.value())

    def _receive(self) -> list[Message]:
        """What is there, at once: `consume` alone would wait for as many as it was asked for."""
        first = self._consumer.poll(0.1)
        return [] if first is None else [first, *self._consumer.consume(100, 0)]

    def _collect(self, value: bytes | None) -> None:
        record: Any = self.codec.decode(
            value, ExecutionReport, DeadLetter, VenueHealth, VenueBalance, VenueAlert, Instrument
        )
        if not isinstance(record, ExecutionReport):
            self.others.append(record)
        elif record.child_id in self.quantities or record.venue == self.venue:
            self.reports[record.child_id].append(record)

    def health(self) -> list[VenueHealth]:
        return [r for r in self.others if isinstance(r, VenueHealth) and r.venue == self.venue]

    def kinds(self, child_id: str) -> list[ExecutionKind]:
        return [r.kind for r in self.reports[child_id]]

    def filled(self, child_id: str) -> int:
        fills = [r for r in self.reports[child_id] if r.kind is K.FILL]
        assert len({r.trade_id for r in fills}) == len(fills), "a fill was reported twice"
        return sum(r.quantity or 0 for r in fills)

    def closed(self, child_id: str) -> bool:
        return bool(TERMINAL & set(self.kinds(child_id))) or self.filled(child_id) == self.quantities[child_id]

    def check(self) -> None:
        """What must hold whatever happened."""
        for child_id in self.quantities:
            kinds = self.kinds(child_id)
            assert self.peer.accepted[child_id] <= 1, f"{child_id} was accepted twice"
            assert kinds.count(K.ACCEPTED) == self.peer.accepted[child_id], (child_id, kinds)
            assert sum(kind in TERMINAL for kind in kinds) <= 1, (child_id, kinds)
            at_venue = self.peer.orders.get(child_id)
            told = [r for r in self.reports[child_id] if r.kind in TERMINAL]
            if at_venue is not None:
                assert f"{self.filled(child_id) / SCALE:.8f}" == at_venue["executedQty"]
                assert all(r.cumulative_quantity == self.filled(child_id) for r in told)


@pytest.fixture
async def bench(stack: Addresses, tmp_path: Path) -> AsyncIterator[Bench]:
    async with Peer() as peer:
        it = Bench(stack, peer, tmp_path)
        yield it
        it.close()


async def test_children_end_as_the_venue_says(bench: Bench) -> None:
    v, peer = bench.venue, bench.peer
    bench.order(f"{v}-full", 5 * SCALE)
    bench.order(f"{v}-rich", 6000 * SCALE)
    bench.order(f"{v}-fine", SCALE + 1)
    bench.order(f"{v}-away", venue=f"{v}-elsewhere")
    bench.order(f"{v}-rest", 3 * SCALE, 50 * SCALE, time_in_force=TimeInForce.GTC)
    bench.order(f"{v}-part", 3 * SCALE, 50 * SCALE, time_in_force=TimeInForce.GTC)
    bench.cancel(f"{v}-part")
    bench.cancel(f"{v}-none")
    bench.send(b"poison")
    async with bench.connector() as process:
        await bench.until(lambda: f"{v}-rest" in bench.reports and f"{v}-none" in bench.reports)
        await bench.until(lambda: bench.closed(f"{v}-full") and bench.closed(f"{v}-part"))
        peer.available = SCALE
        bench.order(f"{v}-some", 4 * SCALE)
        bench.order(f"{v}-left", 3 * SCALE, 50 * SCALE, time_in_force=TimeInForce.GTC)
        bench.cancel(f"{v}-full")
        await bench.until(lambda: bench.closed(f"{v}-some") and K.CANCEL_REJECTED in bench.kinds(f"{v}-full"))
        await bench.until(lambda: K.ACCEPTED in bench.kinds(f"{v}-left"))
        bench.cancel(f"{v}-left")
        await bench.until(lambda: bench.closed(f"{v}-left"))
        await peer.fill(f"{v}-rest", SCALE)  # told by the stream
        await bench.until(lambda: bench.filled(f"{v}-rest") == SCALE)
        await peer.cut_streams()
        await peer.fill(f"{v}-rest", 9 * SCALE)  # told by nobody: found on reconciling
        await bench.until(lambda: bench.closed(f"{v}-rest"))
        await bench.until(lambda: any(r.latency_us > 0 and r.status is VenueStatus.ACTIVE for r in bench.health()))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    assert bench.kinds(f"{v}-full") == [K.ACCEPTED, K.FILL, K.FILL, K.FILL, K.CANCEL_REJECTED]
    assert bench.reports[f"{v}-full"][-1].reason_code == "TOO_LATE"
    assert bench.kinds(f"{v}-some") == [K.ACCEPTED, K.FILL, K.EXPIRED]
    assert bench.kinds(f"{v}-left") == [K.ACCEPTED, K.CANCELLED]
    # its cancel was there before it was sent
    assert [r.reason_code for r in bench.reports[f"{v}-part"]] == ["CALLED_OFF", "TOO_LATE"]
    assert bench.kinds(f"{v}-part") == [K.NOT_SENT, K.CANCEL_REJECTED]
    assert [(r.kind, r.reason_code) for r in bench.reports[f"{v}-none"]] == [(K.CANCEL_REJECTED, "UNKNOWN_CHILD")]
    assert [(r.kind, r.reason_code) for r in bench.reports[f"{v}-fine"]] == [(K.NOT_SENT, "INVALID_QUANTITY")]
    assert [(r.kind, r.reason_code) for r in bench.reports[f"{v}-away"]] == [(K.NOT_SENT, "UNKNOWN_VENUE")]
    refused = bench.reports[f"{v}-rich"]
    assert [(r.kind, r.venue_code, r.http_status) for r in refused] == [(K.REJECTED, "-2010", 400)]
    assert any(
        isinstance(r, DeadLetter) and r.value == b"poison" and r.cause == "NOT_AVRO_FRAMED" for r in bench.others
    )
    assert any(isinstance(r, Instrument) and (r.venue, r.symbol) == (v, "BTC/USDT") for r in bench.others)
    bench.check()


async def test_balances_are_told_also_when_they_are_gone(bench: Bench) -> None:
    def last() -> dict[str, tuple[int, int]]:
        told = [r for r in bench.others if isinstance(r, VenueBalance) and r.venue == bench.venue]
        assert [r.at for r in told] == sorted(r.at for r in told)
        return {r.asset: (r.free, r.locked) for r in told}

    bench.peer.balances = {"USDT": ("150.5", "49.5"), "BTC": ("2", "0")}
    async with bench.connector(balance_seconds=0.2):
        await bench.until(lambda: last() == {"USDT": (15_050_000_000, 4_950_000_000), "BTC": (2 * SCALE, 0)})
        bench.peer.balances = {"BTC": ("1", "1")}
        await bench.until(lambda: last() == {"USDT": (0, 0), "BTC": (SCALE, SCALE)})


async def test_unknown_outcomes_are_asked_about_and_never_sent_again(bench: Bench) -> None:
    v, peer = bench.venue, bench.peer
    peer.faults += ["drop", "lose", "late"]
    for name in ("drop", "lose", "late"):
        bench.order(f"{v}-{name}", 3 * SCALE)
    async with bench.connector(in_flight=1):  # one at a time, so that the faults meet the orders in order
        await bench.until(lambda: all(bench.closed(f"{v}-{name}") for name in ("drop", "lose", "late")))
        peer.release.set()
    for name in ("drop", "late"):  # the stream may tell before the broken answer does: then it was never unknown
        assert [kind for kind in bench.kinds(f"{v}-{name}") if kind is not K.UNKNOWN] == [K.ACCEPTED, K.FILL, K.FILL]
    assert bench.kinds(f"{v}-lose") == [K.UNKNOWN, K.REJECTED]
    lost = bench.reports[f"{v}-lose"]
    assert [(r.kind, r.reason_code) for r in lost][-1] == (K.REJECTED, "NEVER_ARRIVED")
    assert peer.asked["POST order"] == 3
    bench.check()


async def test_killed_between_claim_and_result(bench: Bench) -> None:
    v, peer = bench.venue, bench.peer
    names = [f"{v}-{i}" for i in range(12)]
    # Four on their way when the process dies: one is accepted before, three after. The rest is claimed and was never sent.
    peer.faults += ["late", "hold", "hold", "hold"]
    for name in names:
        bench.order(name, 3 * SCALE)
    async with bench.connector(in_flight=4, claim_ttl=3.0) as process:
        await asyncio.wait_for(peer.posted.wait(), 100)
        await bench.until(lambda: peer.asked["POST order"] == 4)
        process.kill()
        await process.wait()
    peer.release.set()
    async with bench.connector(in_flight=4, claim_ttl=3.0):
        await bench.until(lambda: all(bench.closed(name) for name in names))
        bench.order(f"{v}-after")
        await bench.until(lambda: bench.closed(f"{v}-after"))
    assert peer.asked["POST order"] == 5, "a claimed child was sent again"
    ends = [bench.reports[name][-1].reason_code for name in names]
    assert ends.count("NEVER_ARRIVED") == 8 and sum(peer.accepted[name] for name in names) == 4
    bench.check()


async def test_killed_again_and_again(bench: Bench) -> None:
    v, names = bench.venue, []
    for run in range(3):
        async with bench.connector() as process:
            before = len(bench.reports)
            for i in range(40):
                names.append(f"{v}-{run}-{i}")
                resting = {"price": 50 * SCALE, "time_in_force": TimeInForce.GTC} if i % 4 == 3 else {}
                bench.order(names[-1], 3 * SCALE, **resting)
                if resting:
                    bench.cancel(names[-1])
            await bench.until(lambda before=before: len(bench.reports) > before + 5)  # type: ignore[misc]
            process.kill()
            await process.wait()
    async with bench.connector():
        await bench.until(lambda: all(bench.closed(name) for name in names))
    bench.check()


async def test_frozen_process_does_not_trade_for_its_successor(bench: Bench) -> None:
    v, peer = bench.venue, bench.peer
    names = [f"{v}-{i}" for i in range(6)]
    peer.faults += ["hold"]
    async with bench.connector("one", in_flight=1) as first:
        for name in names:
            bench.order(name, SCALE)
        await asyncio.wait_for(peer.posted.wait(), 100)
        first.send_signal(signal.SIGSTOP)
        async with bench.connector("two", in_flight=1):
            await bench.until(lambda: all(bench.closed(name) for name in names))
            first.send_signal(signal.SIGCONT)
            peer.release.set()  # the request that was on its way is by now later than the venue takes
            bench.order(f"{v}-after")
            await bench.until(lambda: bench.closed(f"{v}-after"))
    assert all(bench.reports[name][-1].reason_code == "NEVER_ARRIVED" for name in names)
    assert not any(peer.accepted[name] for name in names)
    bench.check()


async def test_venue_that_goes_away_and_comes_back(bench: Bench) -> None:
    v, peer = bench.venue, bench.peer

    def status() -> VenueStatus | None:
        return bench.health()[-1].status if bench.health() else None

    async with bench.connector():
        bench.order(f"{v}-first")
        await bench.until(lambda: bench.closed(f"{v}-first") and status() is VenueStatus.ACTIVE)
        peer.down = True
        bench.order(f"{v}-lost")
        await bench.until(lambda: status() is VenueStatus.DOWN)
        bench.order(f"{v}-turned")
        await bench.until(lambda: bench.closed(f"{v}-turned"))
        peer.down = False
        await bench.until(lambda: status() in (VenueStatus.ACTIVE, VenueStatus.DEGRADED))
        bench.order(f"{v}-again")
        await bench.until(lambda: bench.closed(f"{v}-again") and bench.closed(f"{v}-lost"))
    assert [(r.kind, r.reason_code) for r in bench.reports[f"{v}-turned"]] == [(K.NOT_SENT, "VENUE_DOWN")]
    assert bench.reports[f"{v}-lost"][-1].reason_code == "NEVER_ARRIVED"
    bench.check()


async def test_journal_forgets_closed_children_in_time(bench: Bench) -> None:
    v = bench.venue
    async with bench.connector(retention=4.0, max_age=3.9):
        await bench.until(lambda: bool(bench.health()))  # it runs: the order will not wait
        bench.order(f"{v}-c")
        await bench.until(lambda: bench.closed(f"{v}-c"))
        found: list[ExecutionState | None] = []
        consumer = Consumer(
            {**bench.kafka, "group.id": f"{v}-j", "auto.offset.reset": "earliest", "isolation.level": "read_committed"}
        )
        consumer.subscribe([f"{bench.prefix}execution.journal"])
        deadline = time.monotonic() + 20
        while (not found or found[-1] is not None) and time.monotonic() < deadline:
            for m in await asyncio.to_thread(consumer.consume, 100, 0.1):
                if m.error() is None and m.key() == f"{v}-c".encode():
                    value = m.value()
                    found.append(None if value is None else bench.codec.decode(value, ExecutionState))
        consumer.close()
    assert [None if s is None else s.phase.value for s in found] == ["CLAIMED", "DONE", None]


async def test_a_group_that_lost_its_offsets_sends_nothing_again(bench: Bench) -> None:
    v, peer = bench.venue, bench.peer
    names = [f"{v}-{i}" for i in range(5)]
    async with bench.connector() as process:
        for name in names:
            bench.order(name, 3 * SCALE)
        await bench.until(lambda: all(bench.closed(name) for name in names))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    before = {name: list(bench.kinds(name)) for name in names}
    bench.order(f"{v}-old", at_ms=int((time.time() - 400) * 1000))
    async with bench.connector(group=f"another-{v}"):  # reads all from the beginning
        bench.order(f"{v}-new")
        await bench.until(lambda: bench.closed(f"{v}-new") and bench.closed(f"{v}-old"))
    assert {name: bench.kinds(name) for name in names} == before
    assert [(r.kind, r.reason_code) for r in bench.reports[f"{v}-old"]] == [(K.NOT_SENT, "TOO_OLD")]
    assert peer.asked["POST order"] == len(names) + 1
    bench.check()


async def test_orders_that_were_deleted_unread_are_not_passed_over(bench: Bench) -> None:
    v = bench.venue
    async with bench.connector() as process:
        bench.order(f"{v}-first")
        await bench.until(lambda: bench.closed(f"{v}-first"))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    bench.order(f"{v}-lost")
    bench.delete_orders()
    bench.order(f"{v}-next")
    async with bench.connector() as process:
        assert await asyncio.wait_for(process.wait(), 60) != 0
    assert "PositionLost" in (bench.folder / "connector.log").read_text()
    assert bench.peer.asked["POST order"] == 1


async def test_a_report_is_seen_soon(bench: Bench) -> None:
    """From a record on venue.orders to its report, read committed: claim, request and report are two transactions and a round trip."""
    v = bench.venue
    waits = []
    async with bench.connector():
        bench.order(f"{v}-first")
        await bench.until(lambda: bench.closed(f"{v}-first"))
        for i in range(100):
            started = time.perf_counter()
            bench.order(f"{v}-{i}")
            await bench.until(lambda name=f"{v}-{i}": bench.closed(name))  # type: ignore[misc]
            waits.append(time.perf_counter() - started)
    waits.sort()
    print(f"order to report: p50 {waits[50] * 1000:.1f} ms, p90 {waits[90] * 1000:.1f}, p99 {waits[98] * 1000:.1f}")
    assert waits[50] < 0.15, waits
    bench.check()
