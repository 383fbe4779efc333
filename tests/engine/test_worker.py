"""Worker processes of the counting agent on a real broker: faults by real signals, state by real restarts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.settings import Addresses
from schemas.codec import Codec
from schemas.records import DeadLetter
from schemas.registry import ConfluentRegistry

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Cluster:
    """Topics of a test's own, and workers over them."""

    def __init__(self, stack: Addresses, folder: Path) -> None:
        self.stack, self.folder, self.topic = stack, folder, f"eng-{uuid.uuid4().hex[:8]}"
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self.create(self.topic, f"{self.topic}.out", f"{self.topic}.rang", f"{self.topic}.dlq")

    def create(self, *topics: str, partitions: int = 4) -> None:
        admin = AdminClient({"bootstrap.servers": self.stack.kafka})
        for made in admin.create_topics([NewTopic(t, partitions, 1) for t in topics]).values():
            made.result(30)

    def feed(self, pairs: list[tuple[str, bytes]]) -> None:
        producer = Producer({"bootstrap.servers": self.stack.kafka, "partitioner": "murmur2_random", "linger.ms": 5})
        for key, value in pairs:
            producer.produce(self.topic, value, key.encode())
        assert producer.flush(30) == 0

    def start(self, name: str, **config: Any) -> subprocess.Popen[bytes]:
        home = self.folder / name
        home.mkdir(exist_ok=True)
        path = home / "config.json"
        path.write_text(
            json.dumps(
                {
                    "topic": self.topic,
                    "kafka": {"bootstrap.servers": self.stack.kafka},
                    "registry": self.stack.registry,
                    "home": str(home),
                    "instance": name,
                    "session_seconds": 3.0,
                    "web_port": 0,
                    **config,
                }
            )
        )
        with (home / "out").open("ab") as out, (home / "err").open("ab") as err:
            self._workers[name] = subprocess.Popen(
                [sys.executable, str(HERE / "counting.py"), str(path)],
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        return self._workers[name]

    def announcements(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name / "out").read_text().splitlines()]

    def web(self, name: str) -> str:
        return f"http://127.0.0.1:{self.announcements(name)[-1]['web_port']}"

    def metric(self, name: str, metric: str) -> float:
        text = httpx.get(f"{self.web(name)}/metrics").text
        return sum(
            float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"bestex_engine_{metric}{{")
        )

    def read(self, suffix: str, at_least: int, seconds: float = 60.0) -> list[tuple[bytes, bytes]]:
        """Committed records of one of the outputs, once there are so many and then none for a second."""
        topic = f"{self.topic}.{suffix}"
        consumer = Consumer(
            {
                "bootstrap.servers": self.stack.kafka,
                "group.id": uuid.uuid4().hex,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            }
        )
        consumer.assign([TopicPartition(topic, n, 0) for n in range(4)])
        found: list[tuple[bytes, bytes]] = []
        deadline = time.monotonic() + seconds
        while True:
            messages = [m for m in consumer.consume(10_000, 1.0) if m.error() is None]
            found += [(bytes(m.key() or b""), m.value() or b"") for m in messages]
            if len(found) >= at_least and not messages:
                break
            assert time.monotonic() < deadline, f"{topic}: {len(found)} of {at_least}"
        consumer.close()
        return found

    def stop(self) -> None:
        for worker in self._workers.values():
            if worker.poll() is None:
                worker.kill()
            worker.wait()


@pytest.fixture
def cluster(stack: Addresses, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(stack, tmp_path)
    yield made
    made.stop()


def eventually(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)  # between two looks at another process


def ready(cluster: Cluster, name: str, times: int = 1) -> None:
    eventually(lambda: len(cluster.announcements(name)) >= times)


def sequences(outputs: list[tuple[bytes, bytes]]) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = {}
    for key, value in outputs:
        found.setdefault(key, []).append(int(value.split(b":")[0]))
    return found


def test_a_killed_worker_loses_and_doubles_nothing_and_reads_only_the_tail(cluster: Cluster) -> None:
    cluster.start("a", engine={"write_seconds": 0.2})
    ready(cluster, "a")
    cluster.feed([(f"k{i % 300}", b"first") for i in range(6000)])
    cluster.read("out", 6000)
    eventually(lambda: cluster.metric("a", "state_unwritten") == 0)
    cluster._workers["a"].send_signal(signal.SIGTERM)
    assert cluster._workers["a"].wait(30) == 0
    cluster.start("a", engine={"write_seconds": 0.2})
    ready(cluster, "a", 2)
    assert cluster.metric("a", "recovered_records_total") == 0  # all of it was on disk
    cluster.feed([(f"k{i % 300}", b"second") for i in range(3000)])
    cluster.read("out", 9000)
    cluster._workers["a"].kill()
    cluster._workers["a"].wait()
    cluster.start("a", engine={"write_seconds": 0.2})
    ready(cluster, "a", 3)
    cluster.feed([(f"k{i % 300}", b"third") for i in range(3000)])
    outputs = cluster.read("out", 12000)
    assert len(outputs) == 12000
    assert sequences(outputs) == {f"k{k}".encode(): list(range(1, 41)) for k in range(300)}
    assert httpx.get(f"{cluster.web('a')}/state/counts/k7").json() == {"order_id": "40"}
    missing = httpx.get(f"{cluster.web('a')}/state/counts/nobody")
    assert missing.status_code == 404 and missing.json()["error"]["code"] == "NOT_FOUND"


def test_a_second_worker_takes_its_share_and_gives_it_back(cluster: Cluster) -> None:
    cluster.start("a")
    ready(cluster, "a")
    cluster.feed([(f"k{i % 100}", b"x") for i in range(2000)])
    cluster.read("out", 2000)
    cluster.start("b")

    def shared() -> bool:
        mine, other = cluster.announcements("a"), cluster.announcements("b")
        return bool(other) and len(other[-1]["ready"]) == 2 == len(mine[-1]["ready"])

    eventually(shared)
    cluster.feed([(f"k{i % 100}", b"y") for i in range(2000)])
    cluster.read("out", 4000)
    leaving = cluster._workers["b"]
    leaving.send_signal(signal.SIGTERM)
    assert leaving.wait(30) == 0
    cluster.feed([(f"k{i % 100}", b"z") for i in range(2000)])
    outputs = cluster.read("out", 6000)
    assert sequences(outputs) == {f"k{k}".encode(): list(range(1, 61)) for k in range(100)}


def test_a_frozen_worker_that_thaws_writes_nothing_more(cluster: Cluster) -> None:
    for name in ("a", "b"):
        cluster.start(name)
    ready(cluster, "a")
    ready(cluster, "b")
    cluster.feed([(f"k{i % 100}", b"x") for i in range(5000)])
    frozen = cluster._workers["a"]
    frozen.send_signal(signal.SIGSTOP)
    cluster.feed([(f"k{i % 100}", b"y") for i in range(5000)])
    outputs = cluster.read("out", 10000)  # the other has taken over
    frozen.send_signal(signal.SIGCONT)
    cluster.feed([(f"k{i % 100}", b"z") for i in range(5000)])
    outputs = cluster.read("out", 15000)
    assert sequences(outputs) == {f"k{k}".encode(): list(range(1, 151)) for k in range(100)}
    assert len(outputs) == 15000


def test_poison_is_put_aside_with_its_origin_and_timers_fire_after_a_crash(cluster: Cluster) -> None:
    cluster.start("a")
    ready(cluster, "a")
    due = time.time_ns() // 1000 + 4_000_000
    cluster.feed([("p", b"1"), ("p", b"poison pill"), ("p", b"2"), ("t", b"later@%d" % due)])
    assert [v for k, v in cluster.read("out", 3) if k == b"p"] == [b"1:1", b"2:2"]
    codec = Codec(ConfluentRegistry(cluster.stack.registry))
    ((key, raw),) = cluster.read("dlq", 1)
    letter = codec.decode(raw, DeadLetter)
    assert (key, letter.value, letter.cause, letter.origin_topic) == (
        b"p",
        b"poison pill",
        "HANDLER_FAILED",
        cluster.topic,
    )
    cluster._workers["a"].kill()
    cluster._workers["a"].wait()
    cluster.start("a")
    rang = cluster.read("rang", 1)
    assert rang == [(b"t/1", b"%d" % due)]
    assert time.time_ns() // 1000 >= due


def test_a_bug_that_fails_every_record_stops_the_worker(cluster: Cluster) -> None:
    worker = cluster.start("a", engine={"bug_limit": 20, "batch": 10})
    ready(cluster, "a")
    cluster.feed([("k", b"poison %d" % i) for i in range(500)])
    assert worker.wait(40) == 1
    assert 20 <= len(cluster.read("dlq", 20)) <= 60  # not the whole topic
    assert "could not be handled" in (cluster.folder / "a" / "err").read_text()


def test_inputs_with_other_partition_counts_are_refused_at_start(stack: Addresses, tmp_path: Path) -> None:
    cluster = Cluster(stack, tmp_path)
    cluster.create(f"count-{cluster.topic}-counts-changelog", partitions=3)
    worker = cluster.start("a")
    assert worker.wait(40) == 1
    assert "changelogs must have 4 partitions like the inputs" in (tmp_path / "a" / "err").read_text()


def test_damaged_local_state_is_rebuilt_from_the_changelog(cluster: Cluster) -> None:
    cluster.start("a", engine={"write_seconds": 0.1})
    ready(cluster, "a")
    cluster.feed([(f"k{i % 50}", b"x") for i in range(500)])
    cluster.read("out", 500)
    eventually(lambda: cluster.metric("a", "state_unwritten") == 0)
    cluster._workers["a"].send_signal(signal.SIGTERM)
    cluster._workers["a"].wait(30)
    for current in (cluster.folder / "a" / "state").rglob("CURRENT"):
        current.write_bytes(b"not a manifest")
    cluster.start("a")
    ready(cluster, "a", 2)
    assert cluster.metric("a", "recovered_records_total") >= 50
    cluster.feed([(f"k{i % 50}", b"y") for i in range(50)])
    assert set(Counter(v for _, v in cluster.read("out", 550))) >= {b"11:y"}
