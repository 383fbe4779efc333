"""A log to be carried and the processes that carry it: what the tests of all sinks share.

`World` makes the events and fills that a few accounts would cause, seeded. `Log` writes them to topics of its own in transactions, some
aborted, and remembers what was committed where. `SinkProcess` is `python -m sinks`. `Wire` is a TCP proxy that loses answers and refuses.
"""

from __future__ import annotations

import hashlib
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra import kafka_log
from infra.topics import ensure, twin, wanted
from schemas.codec import Codec
from schemas.records import (
    BalanceChange,
    Candidate,
    DeadLetter,
    EventKind,
    ExecutionKind,
    ExecutionReport,
    Fill,
    Liquidity,
    OrderEvent,
    OrderState,
    OrderType,
    PlannedChild,
    Quote,
    Record,
    RoutePlan,
    Side,
    TimeInForce,
    VenueAlert,
    VenueAlertKind,
    VenueAlertState,
)
from schemas.registry import ConfluentRegistry

SCALE = 10**8
K, S = EventKind, OrderState
PARTITIONS = 3
TOPICS = ("orders.events", "fills", "market.quotes", "exchange.acks", "venue.alerts")
VENUES = ("alpha", "beta", "gamma")
DEADLINE = 90.0
LAST_OF_OCTOBER = 1_730_419_198_500_000  # a second and a half before a month ends


class World:
    """Makes plausible events: every order goes from its acceptance or denial to its end; balances add up.

    Prices and fees are not plausible: sums over them must be exact all the same.
    """

    def __init__(self, seed: int, accounts: Sequence[str]) -> None:
        self.seed, self.random, self.more = seed, random.Random(seed), random.Random(-seed)
        self.accounts = {a: {"seq": 0, "hash": b"", "USDT": [10**9 * SCALE, 0], "orders": []} for a in accounts}
        self.at = LAST_OF_OCTOBER
        self.orders = self.trades = 0

    def some(self, count: int) -> list[Record]:
        """At least `count` events and their fills, in the order of the log."""
        made: list[Record] = []
        while len(made) < count:
            account = self.random.choice(list(self.accounts))
            open_orders = self.accounts[account]["orders"]
            if open_orders and self.random.random() < 0.8:
                made += self.go_on(account, self.random.choice(open_orders))
            elif self.random.random() < 0.1:
                made.append(self.event(account, None, K.TRANSFERRED, S.INITIALIZED, available=5 * SCALE))
            else:
                made += self.place(account)
        return made

    def place(self, account: str) -> list[Record]:
        self.orders += 1
        order = {
            "id": f"{account}-{self.orders}",
            "seq": 0,
            "filled": 0,
            "quote": 0,
            "left": self.random.randint(1, 10**10),
        }
        order["quantity"] = order["left"]
        order["symbol"] = self.more.choice(["BTC/USDT", "ETH/USDT", "ETH/BTC"])
        order["side"] = self.more.choice(list(Side))
        order["arrival_mid"] = self.maybe(self.more.randint(1, 10**13))
        order["terms"] = {
            "stop_price": self.maybe(self.more.randint(1, 10**13)),
            "scheduled_at": self.maybe(self.at + 1_000_000),
            "expires_at": self.maybe(self.at + 2_000_000),
        }
        order["children"] = [
            (f"{order['id']}-1-{n}", venue) for n, venue in enumerate(self.more.sample(VENUES, self.more.randint(1, 3)))
        ]
        if self.random.random() < 0.15:
            return [self.event(account, order, K.DENIED, S.DENIED, code="MAX_ORDER_SIZE")]
        self.accounts[account]["orders"].append(order)
        return [
            self.event(account, order, K.ACCEPTED, S.ROUTING, available=-10, locked=10),
            *([self.plan(account, order)] if self.more.random() < 0.95 else []),
            self.report(account, order),
            self.event(account, order, K.WORKING, S.WORKING),
        ]

    def alert(self, number: int) -> list[VenueAlert]:
        """One that is raised and, mostly, cleared."""
        place = f"{self.seed} {number} {self.at}"
        chance = random.Random(place)
        kind, venue = chance.choice(list(VenueAlertKind)), chance.choice(VENUES)
        raised = VenueAlert(
            id=f"{venue}|{kind}|{place}",
            venue=venue,
            kind=kind,
            state=VenueAlertState.RAISED,
            asset=chance.choice([None, "USDT"]),
            expected=chance.choice([None, -chance.randint(1, 10**13)]),
            found=chance.choice([None, chance.randint(1, 10**13)]),
            venue_order_id=chance.choice([None, "77"]),
            detail="so it is",
            raised_at=self.at,
            at=self.at,
        )
        cleared = msgspec.structs.replace(raised, state=VenueAlertState.CLEARED, detail="over", at=self.at + 1)
        return [raised, cleared] if chance.random() < 0.8 else [raised]

    def maybe(self, value: int) -> int | None:
        return None if self.more.random() < 0.2 else value

    def plan(self, account: str, order: dict[str, Any]) -> RoutePlan:
        """Of three venues one to three are used; what an old version did not say is sometimes missing."""
        price, old = partial(self.more.randint, 1, 10**13), self.more.random() < 0.1
        single = self.maybe(price())
        return RoutePlan(
            order_id=order["id"],
            account_id=account,
            symbol=order["symbol"],
            attempt=1,
            children=tuple(
                PlannedChild(
                    child_id=child_id,
                    venue=venue,
                    price=price(),
                    quantity=order["quantity"],
                    time_in_force=self.more.choice([TimeInForce.IOC, TimeInForce.GTC]),
                    expected_fee=price(),
                    expected_price=None if old else price(),
                )
                for child_id, venue in order["children"]
            ),
            unrouted=0,
            reason="",
            candidates=tuple(
                Candidate(
                    venue=venue,
                    eligible=self.more.random() < 0.8,
                    reason="",
                    score=self.more.randint(0, SCALE),
                    price_score=SCALE,
                    latency_score=0,
                    reliability_score=1,
                    liquidity_score=2,
                    average_price=self.maybe(price()),
                    filled=order["quantity"],
                )
                for venue in VENUES
            ),
            arrival_mid=order["arrival_mid"],
            average_price=self.maybe(price()),
            best_single_venue=None if single is None else "alpha",
            best_single_price=single,
            planned_at=self.at,
            side=None if old else order["side"],
            quantity=None if old else order["quantity"],
        )

    def report(self, account: str, order: dict[str, Any]) -> ExecutionReport:
        return ExecutionReport(
            account_id=account,
            order_id=order["id"],
            child_id=order["children"][0][0],
            venue=order["children"][0][1],
            symbol=order["symbol"],
            kind=ExecutionKind.ACCEPTED,
            liquidity=Liquidity.NOT_KNOWN,
            reason_code="",
            reason="",
            at=self.at,
        )

    def go_on(self, account: str, order: dict[str, Any]) -> list[Record]:
        what, made = self.random.random(), list[Record]()
        if what < 0.7:
            self.trades += 1
            quantity = min(order["left"], self.random.randint(1, 5 * 10**9))
            price = self.random.randint(1, 10**13)
            order["left"] -= quantity
            order["filled"] += quantity
            order["quote"] += price * quantity // SCALE
            state = S.PARTIALLY_FILLED if order["left"] else S.FILLED
            made = [
                self.event(account, order, K.FILL, state, locked=-1, venue="alpha", trade=f"{self.trades}"),
                self.fill(account, order, price, quantity),
            ]
            if not order["left"]:
                made.append(self.event(account, order, K.CLOSED, S.FILLED))
        elif what < 0.8:
            state = S.PARTIALLY_FILLED if order["filled"] else S.WORKING
            made = [self.event(account, order, K.CANCEL_DENIED, state, code="TOO_LATE")]
        else:
            made = [
                self.event(account, order, K.CLOSED, S.CANCELLED, available=1, locked=-1, code="CANCELLED_BY_CLIENT")
            ]
        last = made[-1]
        if isinstance(last, OrderEvent) and last.kind is K.CLOSED:
            self.accounts[account]["orders"].remove(order)
        return made

    def event(
        self,
        account: str,
        order: dict[str, Any] | None,
        kind: EventKind,
        state: OrderState,
        available: int = 0,
        locked: int = 0,
        venue: str | None = None,
        trade: str | None = None,
        code: str = "",
    ) -> OrderEvent:
        of, self.at = self.accounts[account], self.at + self.random.randint(1, 5_000)
        of["seq"] += 1
        funds = of["USDT"]
        funds[0] += available
        funds[1] += locked
        changes = (
            BalanceChange(
                asset="USDT",
                available_delta=available,
                locked_delta=locked,
                available=funds[0],
                locked=funds[1],
                owed_delta=self.maybe(-3),
                owed=self.maybe(7),
                held_delta=self.maybe(11),
                held=self.maybe(13),
            ),
        )
        if order:
            order["seq"] += 1
        first = order is not None and order["seq"] == 1
        previous, of["hash"] = of["hash"], hashlib.sha256(of["hash"] + str(of["seq"]).encode()).digest()
        return OrderEvent(
            account_id=account,
            account_seq=of["seq"],
            order_id=order["id"] if order else "",
            order_seq=order["seq"] if order else 0,
            client_order_id=f"client-{order['id']}" if order else "",
            kind=kind,
            state=state,
            symbol=order["symbol"] if order else "",
            side=order["side"] if order else None,
            order_type=OrderType.LIMIT if first else None,
            time_in_force=TimeInForce.GTC if first else None,
            quantity=order["quantity"] if order else None,
            price=None if self.random.random() < 0.5 or not order else 60_000 * SCALE + 1,
            filled=order["filled"] if order else 0,
            filled_quote=order["quote"] if order else 0,
            reason_code=code,
            reason=f"because: {code} …" if code else "",
            venue=venue,
            child_id=f"{order['id']}-1" if venue and order else None,
            trade_id=trade,
            balances=changes if available or locked else (),
            cause_topic="orders.commands",
            cause_partition=0,
            cause_offset=of["seq"],
            is_outcome=first,
            actor="test",
            sent_at=self.at - 1_000 if first else None,
            at=self.at,
            previous_hash=previous,
            hash=of["hash"],
            **(order["terms"] if order else {}),
        )

    def fill(self, account: str, order: dict[str, Any], price: int, quantity: int) -> Fill:
        child_id, venue = self.more.choice(order["children"])
        return Fill(
            fill_id=f"{venue}:{order['symbol']}:{account}:{self.trades}",
            account_id=account,
            order_id=order["id"],
            client_order_id=f"client-{order['id']}",
            child_id=child_id,
            venue=venue,
            symbol=order["symbol"],
            side=order["side"],
            price=price,
            quantity=quantity,
            fee=self.more.choice([0, quantity // 1000]),
            fee_asset=self.more.choice([*order["symbol"].split("/"), "BNB"]),
            liquidity=self.more.choice(list(Liquidity)),
            arrival_mid=order["arrival_mid"],
            best_single_price=None,
            venue_at=self.at - 7,
            at=self.at,
        )

    def quote(self) -> Quote:
        self.at += 1
        one_sided = self.random.random() < 0.2
        return Quote(
            symbol="BTC/USDT",
            bid=None if one_sided else self.random.randint(1, 10**13),
            bid_quantity=None if one_sided else 1,
            bid_venue=None if one_sided else "alpha",
            ask=10**13,
            ask_quantity=10**19,
            ask_venue="beta",
            venues=2,
            at=self.at,
        )


class Log:
    """Topics of its own on a real cluster, and what was committed to them: `records`, (topic, partition, offset) -> record.

    `readers`: all processes that carry it away.
    """

    def __init__(self, stack: Any) -> None:
        self.prefix = f"sinktest-{uuid.uuid4().hex[:8]}."
        self.kafka = {"bootstrap.servers": stack.kafka}
        self.stack = stack
        self.codec = Codec(ConfluentRegistry(stack.registry))
        self.records: dict[tuple[str, int, int], Record] = {}
        self.readers: list[SinkProcess] = []
        names = [wanted(self.prefix + t, PARTITIONS) for t in TOPICS]
        self._topics = [*names, *(twin(t.name) for t in names)]
        ensure(self.kafka, self._topics)
        self._producer = Producer(
            {
                **self.kafka,
                "transactional.id": self.prefix,
                "partitioner": "murmur2_random",
                "message.max.bytes": 64 << 20,
            }
        )
        self._producer.init_transactions()

    def write(self, records: Sequence[Record], commit: bool = True) -> None:
        """One transaction."""
        places: dict[tuple[str, int, int], Record] = {}

        def delivered(record: Record, error: Any, message: Message) -> None:
            assert error is None, error
            places[message.topic().removeprefix(self.prefix), message.partition(), message.offset()] = record

        self._producer.begin_transaction()
        for record in records:
            topic, key = _where(record)
            value = self.codec.encode(record)
            self._producer.produce(self.prefix + topic, value, key, on_delivery=partial(delivered, record))
        self._producer.flush()  # also what is to be aborted must stand in the log
        assert len(places) == len(records)
        if commit:
            self._producer.commit_transaction()
            self.records |= places
        else:
            self._producer.abort_transaction()

    def write_bytes(self, topic: str, key: str, value: bytes | None) -> None:
        """One message as it is, committed."""
        self._producer.begin_transaction()
        self._producer.produce(self.prefix + topic, value, key)
        self._producer.commit_transaction()

    def write_much(self, world: World, events: int, transaction: int = 60) -> None:
        """At least `events` events with their fills and some quotes; every sixth transaction is followed by an aborted one."""
        for number in range(0, events, transaction):
            alerts = [a for i in range(3) for a in world.alert(number + i)]
            self.write([*world.some(transaction), *(world.quote() for _ in range(3)), *alerts])
            if number // transaction % 6 == 0:
                ghost = World(number, [f"aborted-{a}" for a in world.accounts])
                ghost.orders = number * 1000
                self.write(ghost.some(20), commit=False)

    def of(self, topic: str) -> dict[tuple[int, int], Any]:
        """(partition, offset) -> record of a topic, in the order of the log."""
        return {(p, o): r for (t, p, o), r in sorted(self.records.items(), key=lambda x: x[0]) if t == topic}

    def carried(self, group: str, topics: Sequence[str]) -> bool:
        """Whether a group has committed past everything."""
        last: dict[tuple[str, int], int] = {}
        for topic, partition, offset in self.records:
            if topic in topics:
                last[topic, partition] = max(offset, last.get((topic, partition), -1))
        with closing(kafka_log.outsider(self.kafka, group)) as consumer:
            found = kafka_log.committed(consumer, [TopicPartition(self.prefix + t, p) for t, p in last])
        return all(offset > last[t.removeprefix(self.prefix), p] for (t, p), offset in found.items())

    def dead_letters(self, topic: str, count: int) -> list[DeadLetter]:
        """The first `count` dead letters of a topic, and any more that come within a second."""
        consumer = Consumer(
            {**self.kafka, "group.id": self.prefix, "enable.auto.commit": False, "isolation.level": "read_committed"}
        )
        consumer.assign([TopicPartition(f"{self.prefix}{topic}.dlq", 0, 0)])
        found: list[DeadLetter] = []
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            message = consumer.poll(1.0)
            if message is None:
                if len(found) >= count:
                    break
                continue
            assert message.error() is None, message.error()
            found.append(self.codec.decode(message.value(), DeadLetter))
        consumer.close()
        return found

    def delete(self) -> None:
        admin = AdminClient(self.kafka)
        for future in admin.delete_topics([t.name for t in self._topics]).values():
            future.result(30)


class SinkProcess:
    """`python -m sinks NAME` with a group and topics of the log's. Static membership, so that a restart has its partitions at once."""

    def __init__(self, log: Log, name: str, folder: Path, instance: str | None = "one", **config: Any) -> None:
        self.log, self.name, self.folder = log, name, folder
        self.group = f"{log.prefix}{name}"
        self.path = folder / f"{name}-{instance}.json"
        self.stderr = folder / f"{name}-{instance}.log"
        config = {
            "kafka": {**log.kafka, "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000},
            "registry": log.stack.registry,
            "topic_prefix": log.prefix,
            "group": self.group,
            "instance": instance,
        } | config
        self.path.write_text(json.dumps(config))
        self.process: subprocess.Popen[bytes] | None = None
        self.began = 0
        log.readers.append(self)

    def start(self) -> SinkProcess:
        with self.stderr.open("ab") as log:
            self.began = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sinks", self.name, "--config", str(self.path)],
                stderr=log,
                stdout=(self.folder / "stdout").open("ab"),
            )
        return self

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self) -> None:
        """SIGTERM, and it must leave with 0."""
        assert self.process is not None
        self.until(lambda: ": reading " in self.stderr.read_text()[self.began :], "its readiness")
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.said()

    def said(self) -> str:
        return self.stderr.read_text()[-5000:]

    def until(self, reached: Callable[[], bool], what: str) -> None:
        """Wait for something that this process does."""
        deadline = time.monotonic() + DEADLINE
        while not reached():
            assert self.process is None or self.process.poll() is None, f"ended before {what}: {self.said()}"
            assert time.monotonic() < deadline, f"no sign of {what}: {self.said()}"
            time.sleep(0.05)

    def until_carried(self, topics: Sequence[str]) -> None:
        self.until(lambda: self.log.carried(self.group, topics), "everything being carried")

    def storm(self, kills: int, progress: Callable[[], int], total: int, chance: random.Random) -> None:
        """Start and kill -9 it `kills` times, each a little after it has come a random bit further."""
        for number in range(kills):
            goal = progress() + chance.randint(0, max(1, total // (kills + 1)))
            self.start()
            self.until(lambda goal=goal: progress() >= min(goal, total), f"{goal} of {total} in life {number}")  # type: ignore[misc]
            time.sleep(chance.random() * 0.1)  # so that it is hit anywhere in its work
            self.kill()


class Wire:
    """A TCP proxy to `address`. `lose_answers(n)`: the next n requests reach the target and their connections die unanswered."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.lost = 0
        self._lose = 0
        self._marker = b""
        self.silent = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answers(self, count: int, to: bytes) -> None:
        """To requests that contain `to`."""
        with self._lock:
            self._lose, self._marker = count, to

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        doomed = threading.Event()
        try:
            server = socket.create_connection(self.address)
        except OSError:
            client.close()
            return
        with client, server:

            def back() -> None:
                try:
                    while data := server.recv(65536):
                        if doomed.is_set() or self.silent.is_set():
                            with self._lock:
                                self.lost += 1
                            break  # it was done, and nobody hears of it
                        client.sendall(data)
                except OSError:
                    pass  # either end is gone: so is the connection
                finally:
                    _hang_up(client)

            thread = threading.Thread(target=back, daemon=True)
            thread.start()
            try:
                while data := client.recv(65536):
                    with self._lock:
                        if self._lose and self._marker in data:
                            self._lose -= 1
                            doomed.set()
                    server.sendall(data)
            except OSError:
                pass  # as above
            finally:
                _hang_up(server)

    def close(self) -> None:
        self.listener.close()


def _hang_up(end: socket.socket) -> None:
    """Close for both ends and for a thread that is reading."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is down already


def _where(record: Record) -> tuple[str, str]:
    if isinstance(record, OrderEvent):
        return "orders.events", record.account_id
    if isinstance(record, Fill):
        return "fills", record.account_id
    if isinstance(record, RoutePlan | ExecutionReport):
        return "exchange.acks", record.account_id
    if isinstance(record, VenueAlert):
        return "venue.alerts", record.id
    assert isinstance(record, Quote)
    return "market.quotes", record.symbol
