"""What all sinks have from their runner, seen through the cheapest of them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
import redis
from confluent_kafka import Producer
from sink_bench import Log, SinkProcess, Wire, World

from schemas.letters import left_behind
from schemas.records import OrderEvent
from sinks.base import Place, Row, Sink
from sinks.readmodel import ReadModel
from sinks.registry import SINKS, load
from sinks.runner import Runner

ACCOUNTS = [f"acct {i}" for i in range(9)]
TOPICS = ("orders.events",)
SETTINGS = {"rows": 40, "linger": 0.005, "backoff": 0.05}


def test_a_registry_that_does_not_answer_condemns_nothing(log: Log, stack: Any, tmp_path: Path) -> None:
    """A schema id that the process has not met: while the registry is silent it may be a good one."""
    parts = urlsplit(stack.registry)
    wire = Wire((parts.hostname or "", parts.port or 0))
    registry = parts._replace(netloc=f"127.0.0.1:{wire.port}").geturl()
    wire.silent.set()
    path = tmp_path / "notices"
    log.write_much(World(51, ACCOUNTS), 120)
    process = SinkProcess(log, "notifier", tmp_path, file=str(path), registry=registry, settings=SETTINGS).start()
    process.until(lambda: "RegistryUnavailable" in process.said(), "a complaint at the start")
    wire.silent.clear()
    process.until_carried(TOPICS)
    wire.silent.set()
    log.write_bytes("orders.events", "a", b"\0\x7f\xff\xff\xff rest")
    log.write_much(World(52, ["late"]), 60)
    before = process.said().count("RegistryUnavailable")
    process.until(lambda: process.said().count("RegistryUnavailable") > before, "a complaint about the schema")
    assert not log.dead_letters("orders.events", 0)
    wire.silent.clear()
    process.until_carried(TOPICS)
    process.end()
    wire.close()
    assert [x.cause for x in log.dead_letters("orders.events", 1)] == ["UNKNOWN_SCHEMA"]
    told = {json.loads(line)["key"] for line in path.read_text().splitlines()}
    assert len(told) == len(path.read_text().splitlines())
    assert any(key.startswith("late:") for key in told)


def test_partitions_move_between_processes(log: Log, stack: Any, tmp_path: Path) -> None:
    """Processes come and go in the middle of the work, gently and by kill -9; nothing is missed and nothing is taken back."""
    chance = random.Random(53)
    prefix = f"sinktest-{uuid.uuid4().hex[:8]}:"
    log.write_much(World(53, ACCOUNTS), 1_500)
    processes = []
    for number in range(5):
        folder = tmp_path / str(number)
        folder.mkdir()
        process = SinkProcess(
            log, "readmodel", folder, instance=None, valkey=stack.valkey, valkey_prefix=prefix, settings=SETTINGS
        )
        processes.append(process.start())
        process.until(lambda p=process: ": at " in p.said(), "its partitions")  # type: ignore[misc]
        if number in (1, 3):
            leaver = processes.pop(0)
            if chance.random() < 0.5:
                leaver.kill()
            else:
                leaver.end()
        log.write_much(World(60 + number, [f"more {number}"]), 120)
    processes[-1].until_carried(("orders.events", "fills"))
    for process in processes:
        process.end()
    model = ReadModel.connect(stack.valkey, prefix)
    last: dict[str, int] = {}
    orders: dict[str, OrderEvent] = {}
    for e in sorted(log.of("orders.events").values(), key=lambda e: (e.account_id, e.account_seq)):
        last[e.account_id] = e.account_seq
        if e.order_id:
            orders[e.order_id] = e
    assert {a: model.account_seq(a) for a in last} == last
    for order_id, e in orders.items():
        found = model.order(order_id)
        assert found is not None
        assert (found.order_seq, found.state, found.filled) == (e.order_seq, e.state, e.filled)
    client = redis.Redis.from_url(stack.valkey)
    for key in list(client.scan_iter(f"{prefix}*")):
        client.delete(key)
    client.close()


class Forgetful(Sink):
    """A target in memory that is asked where it is, and reports what it was given."""

    topics: ClassVar = {"orders.events": (OrderEvent,)}

    def __init__(self) -> None:
        self.asked: list[Mapping[Place, int]] = []

    def setup(self) -> None:
        pass

    def resume(self, committed: Mapping[Place, int]) -> Mapping[Place, int]:
        self.asked.append(committed)
        return {}

    def write(self, batch: Sequence[Row]) -> None:
        raise ValueError("a fault of ours")


def test_a_fault_that_is_ours_ends_the_process_uncommitted(log: Log) -> None:
    log.write_much(World(54, ACCOUNTS), 60)
    sink = Forgetful()
    group = f"{log.prefix}fault"
    kafka = {**log.kafka, "group.id": group}
    runner = Runner("fault", sink, kafka, lambda: log.codec, lambda: 0, prefix=log.prefix)
    with pytest.raises(ValueError, match="a fault of ours"):
        runner.run(threading.Event())
    assert set(sink.asked[0].values()) == {0}
    assert not log.carried(group, TOPICS)


def test_the_table_of_sinks_is_whole(tmp_path: Path) -> None:
    config = {"clickhouse": "http://u:p@localhost:1", "valkey": "redis://localhost:1/0", "file": str(tmp_path / "f")}
    for name in SINKS:
        assert isinstance(load(name, config), Sink)
    with pytest.raises(KeyError):
        load("nothing", {})
    with pytest.raises(ValueError, match="one target"):
        load("notifier", {"webhook": "http://x/", "file": "f"})


@pytest.mark.parametrize(
    ("name", "foreign"), [("notifier", "redis clickhouse_connect httpx"), ("readmodel", "clickhouse_connect")]
)
def test_a_sink_loads_only_what_it_needs(name: str, foreign: str) -> None:
    code = f"import sys, sinks.runner, sinks.registry, {SINKS[name]}; print([m for m in {foreign.split()} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_a_configuration_that_lacks_something_ends_with_one(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"kafka": "127.0.0.1:1", "registry": "http://127.0.0.1:1"}))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "sinks", "clickhouse", "--config", str(path)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "'clickhouse'" in done.stderr
    assert time.monotonic() - began < 60


def test_a_record_as_large_as_the_broker_takes_is_dead_lettered_whole(log: Log, tmp_path: Path) -> None:
    """And one that a letter cannot carry, though it came compressed, is dead-lettered without its value; the rest goes on."""
    large = os.urandom(1_048_588 - 61 - 24)
    log.write_bytes("orders.events", "a", large)
    log.write_much(World(55, ["a"]), 60)
    process = SinkProcess(log, "notifier", tmp_path, file=str(tmp_path / "notices.jsonl")).start()
    process.until_carried(TOPICS)
    packed = Producer({**log.kafka, "compression.type": "zstd", "message.max.bytes": 64 << 20})
    packed.produce(f"{log.prefix}orders.events", bytes(10 << 20), b"a")
    assert packed.flush(30) == 0
    log.write_much(World(56, ["a"]), 60)
    process.until_carried(TOPICS)
    process.end()
    whole, without = log.dead_letters("orders.events", 2)
    assert (whole.value, whole.cause) == (large, "NOT_AVRO_FRAMED")
    assert without.value is None and left_behind(without.value, without.detail) and not left_behind(None, whole.detail)
    assert f"of {10 << 20} bytes" in without.detail
