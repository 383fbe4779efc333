"""Worker processes of the counting agent on a real broker: faults by real signals, state by real restarts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from infra.settings import Addresses
from infra.topics import twin
from schemas.codec import Codec, schema_text
from schemas.partitioner import partition_of
from schemas.records import ClientId, DeadLetter
from schemas.registry import ConfluentRegistry
from streams.engine.transactions import Link, TransactionalProducer

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
        letters = dict(twin(self.topic).config)
        news = [NewTopic(t, partitions, 1, config=letters if t.endswith(".dlq") else {}) for t in topics]
        for made in admin.create_topics(news).values():
            made.result(30)

    def feed(self, pairs: list[tuple[str, bytes]]) -> None:
        options = {"partitioner": "murmur2_random", "linger.ms": 5, "message.max.bytes": 2 << 20}
        producer = Producer({"bootstrap.servers": self.stack.kafka, **options})
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


def test_a_record_as_large_as_the_broker_takes_is_dead_lettered_whole(cluster: Cluster) -> None:
    """With its cause it is larger than its own topic would take: nothing may stand still for that."""
    most = 1_048_588 - 61 - 16  # of a batch by default, without what a batch and a record add
    large = [b"poison" + os.urandom(most - 8), b"poison" + os.urandom(most - 8), os.urandom(most // 2)]
    cluster.start("a")
    ready(cluster, "a")
    cluster.feed([("k", large[0]), ("k", b"small"), ("k", large[1]), ("k", large[2])])
    assert [value for _, value in cluster.read("out", 2)] == [b"1:small", b"2:" + large[2]]
    codec = Codec(ConfluentRegistry(cluster.stack.registry))
    letters = [codec.decode(raw, DeadLetter) for _, raw in cluster.read("dlq", 2)]
    assert [x.value for x in letters] == large[:2]
    assert all(x.cause == "HANDLER_FAILED" and "poisoned" in x.detail for x in letters)


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
    assert httpx.get(f"{cluster.web('a')}/view/count/k7?in=words").json() == {"in": "words", "count": "40"}
    for path, code in (("view/count/nobody", "NOT_FOUND"), ("view/nothing/k7", "UNKNOWN_VIEW")):
        refused = httpx.get(f"{cluster.web('a')}/{path}")
        assert refused.status_code == 404 and refused.json()["error"]["code"] == code
    missing = httpx.get(f"{cluster.web('a')}/state/counts/nobody")
    assert missing.status_code == 404 and missing.json()["error"]["code"] == "NOT_FOUND"


def test_records_of_a_quiet_input_without_an_effect_cost_few_transactions_and_are_not_forgotten(
    cluster: Cluster,
) -> None:
    group, still = f"count-{cluster.topic}", [(f"k{k}", b"still") for k in range(20)]
    reader = Consumer({"bootstrap.servers": cluster.stack.kafka, "group.id": group, "enable.auto.commit": False})
    places = [TopicPartition(cluster.topic, n) for n in range(4)]

    def left() -> int:
        ends = [reader.get_watermark_offsets(place, 10)[1] for place in places]
        return sum(end - max(0, at.offset) for end, at in zip(ends, reader.committed(places, 10), strict=True))

    cluster.start("a", quiet=True)
    ready(cluster, "a")
    for n in range(40):
        cluster.feed(still)
        eventually(lambda n=n: cluster.metric("a", "records_total") == 20 * (n + 1))  # type: ignore[misc]
    assert 0 < cluster.metric("a", "checkpoints_total") < 80  # of 40 rounds over 4 tasks
    eventually(lambda: left() == 0)
    cluster.feed([*still, *((f"k{k}", b"x") for k in range(20)), *still])
    cluster.read("out", 20)
    cluster.feed(still)
    eventually(lambda: cluster.metric("a", "records_total") == 20 * 44)
    cluster.stop()  # by force: what was seen without an effect may be shown again
    cluster.start("a", quiet=True)
    ready(cluster, "a", 2)
    cluster.feed([(f"k{k}", b"y") for k in range(20)])
    assert sequences(cluster.read("out", 40)) == {f"k{k}".encode(): [1, 2] for k in range(20)}
    eventually(lambda: left() == 0)
    reader.close()


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


def test_a_bug_that_fails_every_record_stops_the_worker_and_no_start_empties_the_topic(cluster: Cluster) -> None:
    for attempt in range(1, 3):
        worker = cluster.start("a", engine={"bug_limit": 20})
        if attempt == 1:
            ready(cluster, "a")
            cluster.feed([("k", b"poison %d" % i) for i in range(500)])
        assert worker.wait(40) == 1
        assert (cluster.folder / "a" / "err").read_text().count("could not be handled") >= attempt
    assert len(cluster.read("dlq", 0)) < 20  # the first batch may have been smaller than the limit


def test_a_record_whose_output_the_broker_refuses_is_put_aside_and_the_rest_goes_on(cluster: Cluster) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.stack.kafka})
    limit = ConfigEntry("max.message.bytes", "60000", incremental_operation=AlterConfigOpType.SET)
    place = ConfigResource(ResourceType.TOPIC, f"{cluster.topic}.out", incremental_configs=[limit])
    for done in admin.incremental_alter_configs([place]).values():
        done.result(30)
    cluster.start("a")
    ready(cluster, "a")
    cluster.feed([("k", b"%d" % n if n != 13 else os.urandom(80_000)) for n in range(40)])
    outputs = cluster.read("out", 39)
    assert [v for _, v in outputs] == [b"%d:%d" % (i + 1, n) for i, n in enumerate(n for n in range(40) if n != 13)]
    ((_, raw),) = cluster.read("dlq", 1)
    letter = Codec(ConfluentRegistry(cluster.stack.registry)).decode(raw, DeadLetter)
    assert (letter.cause, letter.value) == ("OUTPUT_REFUSED", None)


def test_an_owner_that_was_shut_out_but_is_still_the_groups_member_comes_back(cluster: Cluster) -> None:
    cluster.start("a")
    ready(cluster, "a")
    cluster.feed([(f"k{i % 100}", b"x") for i in range(400)])
    cluster.read("out", 400)

    async def shut_out() -> None:
        link = Link(bootstrap_servers=cluster.stack.kafka, client_id="zombie")
        await link.start([cluster.topic])
        for n in range(4):
            await TransactionalProducer(link, f"count-{cluster.topic}-{n}", n).fence()
        await link.stop()

    asyncio.run(shut_out())
    cluster.feed([(f"k{i % 100}", b"y") for i in range(400)])
    outputs = cluster.read("out", 800)
    assert sequences(outputs) == {f"k{k}".encode(): list(range(1, 9)) for k in range(100)}
    assert cluster.metric("a", "fenced_total") > 0


def test_state_without_offsets_is_refused_until_somebody_says_where_to_go_on(cluster: Cluster) -> None:
    worker = cluster.start("a")
    ready(cluster, "a")
    cluster.feed([(f"k{i % 20}", b"x") for i in range(200)])
    cluster.read("out", 200)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    admin, group = AdminClient({"bootstrap.servers": cluster.stack.kafka}), f"count-{cluster.topic}"

    def deleted() -> bool:
        try:
            admin.delete_consumer_groups([group])[group].result(10)
        except KafkaException:
            return False  # its static member is still remembered
        return True

    eventually(deleted)
    assert cluster.start("a").wait(40) == 1
    assert "has state, but its consumer group has no offsets" in (cluster.folder / "a" / "err").read_text()
    ends = Consumer({"bootstrap.servers": cluster.stack.kafka, "group.id": group})
    places = [TopicPartition(cluster.topic, n) for n in range(4)]
    said = [TopicPartition(p.topic, p.partition, ends.get_watermark_offsets(p)[1]) for p in places]
    ends.close()

    def set_to_ends() -> bool:
        try:
            answer = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, said)])[group].result(10)
        except KafkaException:
            return False  # as above
        return all(place.error is None for place in answer.topic_partitions)

    eventually(set_to_ends)
    cluster.start("a")
    ready(cluster, "a", 2)
    cluster.feed([(f"k{i % 20}", b"y") for i in range(200)])
    assert sequences(cluster.read("out", 400)) == {f"k{k}".encode(): list(range(1, 21)) for k in range(20)}


def test_offsets_whose_records_are_gone_are_refused(cluster: Cluster) -> None:
    worker = cluster.start("a")
    ready(cluster, "a")
    cluster.feed([("k", b"x") for _ in range(20)])
    cluster.read("out", 20)
    worker.kill()
    worker.wait()
    cluster.feed([("k", b"y") for _ in range(20)])
    admin = AdminClient({"bootstrap.servers": cluster.stack.kafka})
    number = partition_of(b"k", 4)
    place = TopicPartition(cluster.topic, number, 30)
    next(iter(admin.delete_records([place]).values())).result(10)
    assert cluster.start("a").wait(40) == 1
    assert "records were deleted unread" in (cluster.folder / "a" / "err").read_text()


def test_a_block_that_goes_bad_under_a_running_worker_costs_no_record(cluster: Cluster) -> None:
    engine = {"write_seconds": 0.1, "cached": 10}
    worker = cluster.start("a", engine=engine)
    ready(cluster, "a")
    cluster.feed([(f"k{i % 6000}", b"x") for i in range(6000)])
    cluster.read("out", 6000)
    eventually(lambda: cluster.metric("a", "state_unwritten") == 0)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    for table in (cluster.folder / "a" / "state").rglob("*.sst"):
        raw = bytearray(table.read_bytes())
        for at in range(0, len(raw) - 3000, 2000):
            raw[at : at + 16] = b"x" * 16  # blocks of 4096 bytes, each damaged; the index behind them is not
        table.write_bytes(raw)
    cluster.start("a", engine=engine)
    ready(cluster, "a", 2)
    cluster.feed([(f"k{i % 6000}", b"y") for i in range(6000)])
    assert sequences(cluster.read("out", 12000)) == {f"k{k}".encode(): [1, 2] for k in range(6000)}
    assert cluster.read("dlq", 0) == []
    assert "cannot be read and is rebuilt" in (cluster.folder / "a" / "err").read_text()


def test_inputs_with_other_partition_counts_are_refused_at_start(stack: Addresses, tmp_path: Path) -> None:
    cluster = Cluster(stack, tmp_path)
    cluster.create(f"count-{cluster.topic}-counts-changelog", partitions=3)
    worker = cluster.start("a")
    assert worker.wait(40) == 1
    assert "changelogs must have 4 partitions like the inputs" in (tmp_path / "a" / "err").read_text()


class Valve:
    """A registry behind a door that can be shut: then it takes requests and answers none."""

    def __init__(self, url: str) -> None:
        valve, self.open = self, threading.Event()
        self.open.set()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                valve.open.wait()
                kind = self.headers.get("Content-Type", "application/json")
                to = f"{url.removesuffix('/')}{self.path}"
                answer = httpx.request(self.command, to, content=body, headers={"Content-Type": kind})
                with contextlib.suppress(OSError):  # who asked has gone
                    self.send_response(answer.status_code)
                    self.send_header("Content-Type", answer.headers["Content-Type"])
                    self.send_header("Content-Length", str(len(answer.content)))
                    self.end_headers()
                    self.wfile.write(answer.content)

            do_POST = do_PUT = do_GET

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()


def test_a_registry_that_hangs_holds_up_the_task_that_asks_and_no_other(cluster: Cluster) -> None:
    valve, codec = Valve(cluster.stack.registry), Codec(ConfluentRegistry(cluster.stack.registry))
    theirs = json.loads(schema_text(ClientId))
    theirs["fields"].append({"name": cluster.topic.replace("-", "_"), "type": "string", "default": ""})
    number = ConfluentRegistry(cluster.stack.registry).register(cluster.topic, json.dumps(theirs))
    cluster.start("a", registry=valve.url, typed=True)
    ready(cluster, "a")
    valve.open.clear()
    mine, known = b"held", codec.encode(ClientId(order_id="o"))
    others = [f"k{n}" for n in range(100) if partition_of(b"k%d" % n, 4) != partition_of(mine, 4)]
    cluster.feed([("held", b"\0" + number.to_bytes(4, "big") + known[5:] + b"\0")])
    eventually(lambda: "again in" in (cluster.folder / "a" / "err").read_text())
    began = time.monotonic()
    cluster.feed([(key, known) for key in others])
    assert len(cluster.read("out", len(others))) == len(others)
    assert time.monotonic() - began < 10
    assert httpx.get(f"{cluster.web('a')}/live", timeout=2).status_code == 200
    valve.open.set()
    assert [k for k, _ in cluster.read("out", len(others) + 1)].count(mine) == 1
    assert cluster.metric("a", "commit_failures_total") == 0
    valve.close()


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
