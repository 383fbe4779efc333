"""`bestex bench latency`, `recovery` and `timers`: how long the engine makes one wait, on a real broker."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.bench.engine import work
from infra.bench.engine.generate import schema
from infra.chaos.process import Worker
from infra.kafka_log import watermarks
from infra.settings import Addresses
from schemas.registry import ConfluentRegistry

PARTITIONS = 4
HERE = Path(__file__).parent
READY_SECONDS = 120.0
Tell = Callable[[str], None]


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


def create(addresses: Addresses, *topics: str) -> None:
    """Topics of a bench."""
    admin = AdminClient({"bootstrap.servers": addresses.kafka})
    for made in admin.create_topics([NewTopic(t, PARTITIONS, 1) for t in topics]).values():
        made.result(30)


def reader(addresses: Addresses, topic: str, *, at_end: bool = False, partitions: int = PARTITIONS) -> Consumer:
    """A consumer of all partitions of a topic: committed records, at once."""
    consumer = Consumer(
        {
            "bootstrap.servers": addresses.kafka,
            "group.id": uuid.uuid4().hex,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 10,
            "queued.min.messages": 200_000,
        }
    )
    places = [TopicPartition(topic, n, 0) for n in range(partitions)]
    if at_end:
        for place in places:
            place.offset = watermarks(consumer, place)[1]
    consumer.assign(places)
    return consumer


def producer(addresses: Addresses, linger_ms: float) -> Producer:
    """A producer that is not what is measured."""
    return Producer(
        {
            "bootstrap.servers": addresses.kafka,
            "linger.ms": linger_ms,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
        }
    )


@contextmanager
def order_worker(addresses: Addresses, topic: str, folder: Path) -> Iterator[None]:
    """One process of the bench's agent."""
    config = {
        "kafka": addresses.kafka,
        "registry": addresses.registry,
        "schema_id": ConfluentRegistry(addresses.registry).register("bestex.BenchOrder", schema()),
        "topic": topic,
        "out": f"{topic}.out",
        "group": f"{topic}-worker",
        "mode": "",
        "folder": str(folder),
    }
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "bestex_worker.py")],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, "BENCH": json.dumps(config), "PYTHONPATH": str(HERE.parents[2])},
        )
    try:
        try:
            until(lambda: b'"ready"' in (folder / "out").read_bytes(), process)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {(folder / 'err').read_text(errors='replace')[-2000:]}") from error
        yield
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for another process. Raises `RuntimeError` when it ended, or takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while not condition():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the worker ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing happened in {READY_SECONDS:.0f} s")
        time.sleep(0.01)  # between two looks at it


def latency(addresses: Addresses, rate: int, seconds: float, tell: Tell) -> dict[str, float]:
    """From handing an order to the producer to its output in the hands of a read-committed consumer, at `rate` orders a second."""
    topic = f"latency-{uuid.uuid4().hex[:8]}"
    create(addresses, topic, f"{topic}.out", f"{topic}.dlq")
    warm = 2.0
    schema_id = ConfluentRegistry(addresses.registry).register("bestex.BenchOrder", schema())
    with tempfile.TemporaryDirectory() as folder, order_worker(addresses, topic, Path(folder)):
        tell(f"{rate}/s for {seconds:.0f} s")
        expected = int(rate * (warm + seconds))
        consumer = reader(addresses, f"{topic}.out")
        began = time.time() + 1.5  # by then the load's process is there
        sending = multiprocessing.get_context("spawn").Process(
            target=_send, args=(addresses, topic, schema_id, rate, began, expected), daemon=True
        )
        sending.start()
        waits: list[float] = []
        got, deadline = 0, time.monotonic() + warm + seconds + 60
        while got < expected and time.monotonic() < deadline:
            for message in consumer.consume(5000, 0.005):
                if message.error() is None:
                    got += 1
                    sent = work.decode(message.value() or b"")["created_at"] / 1e6
                    if sent - began > warm:
                        waits.append(time.time() - sent)
        sending.join()
        consumer.close()
    if got != expected or sending.exitcode:
        raise RuntimeError(f"{got} of {expected} outputs came; the load ended with {sending.exitcode}")
    waits.sort()
    return {
        "p50_ms": round(percentile(waits, 0.5) * 1000, 1),
        "p99_ms": round(percentile(waits, 0.99) * 1000, 1),
        "max_ms": round(waits[-1] * 1000, 1),
    }


def _send(addresses: Addresses, topic: str, schema_id: int, rate: int, began: float, total: int) -> None:
    """The load, in a process of its own. An order's time is when it was due: what sends late makes no wait look shorter."""
    out, frame = producer(addresses, 0), b"\0" + schema_id.to_bytes(4, "big")
    sent = 0
    while sent < total:
        due = max(sent, min(total, int((time.time() - began) * rate)))  # it may not have begun
        for i in range(sent, due):
            order = work.order(i)
            order["created_at"] = int((began + i / rate) * 1e6)
            out.produce(topic, work.encode(order, frame), work.user(i).encode())
        sent = due
        out.poll(0)
        time.sleep(0.001)  # the pace of the load
    out.flush(30)


def recovery(addresses: Addresses, keys: int, tell: Tell) -> dict[str, float]:
    """From the start of a process, or the death of its neighbour, to the first new output, with `keys` keys in the table."""
    topic = f"recovery-{uuid.uuid4().hex[:8]}"
    create(addresses, topic, f"{topic}.out", f"{topic}.rang", f"{topic}.dlq")
    out = producer(addresses, 20)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)

        def worker(name: str, instance: str | None) -> Worker:
            config = {
                "topic": topic,
                "kafka": {"bootstrap.servers": addresses.kafka},
                "registry": addresses.registry,
                "instance": instance,
                "session_seconds": 6.0,
            }
            return Worker(folder / name, config, ["infra.chaos.engine_worker"])

        def probe(began: float) -> float:
            """Seconds from `began` until a record of each partition, fed now, has its output."""
            consumer = reader(addresses, f"{topic}.out", at_end=True)
            mark = uuid.uuid4().hex.encode()
            for n in range(PARTITIONS):
                out.produce(topic, mark, b"probe%d" % n, n)
            out.flush(30)
            missing, deadline = set(range(PARTITIONS)), time.monotonic() + READY_SECONDS
            while missing:
                for message in consumer.consume(1000, 0.02):
                    if message.error() is None and (message.value() or b"").endswith(mark):
                        missing.discard(message.partition() or 0)
                if time.monotonic() > deadline:
                    raise RuntimeError(f"no output of partitions {missing} in {READY_SECONDS:.0f} s")
            consumer.close()
            return time.monotonic() - began

        first = worker("first", "first")
        first.start()
        tell(f"{keys:,} keys")
        for i in range(keys):
            out.produce(topic, b"1", b"key%09d" % i, i % PARTITIONS)
            if i % 10_000 == 0:
                out.poll(0)
        out.flush(60)
        probe(time.monotonic())
        until(lambda: _unwritten(first) == 0)
        results: dict[str, float] = {"keys": keys}

        tell("restart with its state on disk")
        first.kill()
        began = time.monotonic()
        first.start()
        results["restart_s"] = round(probe(began), 2)

        tell("restart without it")
        first.kill()
        shutil.rmtree(first.home / "state")
        began = time.monotonic()
        first.start()
        results["full_s"] = round(probe(began), 2)
        opened = _opening_seconds(first)
        results["changelog_records_per_s"] = round(keys / opened) if opened else 0.0

        tell("killed, and all of it taken over by a process that has none of it")
        first.kill()
        second = worker("second", None)
        began = time.monotonic()
        second.start()
        results["takeover_s"] = round(probe(began), 2)
        second.kill()
    return results


def _unwritten(worker: Worker) -> float:
    return worker.metric("state_unwritten")


def _opening_seconds(worker: Worker) -> float:
    return worker.metric("open_seconds_sum")


def timers(addresses: Addresses, pending: int, seconds: float, tell: Tell) -> dict[str, float]:
    """`pending` timers in one worker, due evenly over `seconds`: how late their effects are visible to a read-committed consumer."""
    topic = f"timers-{uuid.uuid4().hex[:8]}"
    create(addresses, topic, f"{topic}.rang", f"{topic}.dlq")
    out = producer(addresses, 20)
    with tempfile.TemporaryDirectory() as temporary:
        config = {"topic": topic, "kafka": {"bootstrap.servers": addresses.kafka}, "registry": addresses.registry}
        worker = Worker(Path(temporary) / "timers", config, ["infra.bench.engine.timer_worker"])
        worker.start()
        until(worker.ready)
        tell(f"setting {pending:,} timers")
        # Far enough ahead that all are set before the first is due.
        start = time.time_ns() // 1000 + int((10 + pending / 15_000) * 1e6)
        for i in range(pending):
            due = start + int(i * seconds * 1e6 / pending)
            out.produce(topic, b"%d" % due, b"t%09d" % i, i % PARTITIONS)
            if i % 10_000 == 0:
                out.poll(0)
        out.flush(60)
        until(lambda: worker.metric("timers_pending") >= pending or time.time_ns() // 1000 > start)
        all_set = worker.metric("timers_pending")
        tell(f"{all_set:,.0f} pending")
        consumer, late, seen = reader(addresses, f"{topic}.rang"), list[float](), set[bytes]()
        deadline = time.monotonic() + seconds + 120
        fired = 0
        first = last = 0.0
        while fired < pending and time.monotonic() < deadline:
            for message in consumer.consume(20_000, 0.01):
                if message.error() is None:
                    now = time.time()
                    first, last = first or now, now
                    fired += 1
                    seen.add(bytes(message.key() or b""))
                    late.append(now - int(message.value() or b"0") / 1e6)
        consumer.close()
        worker.kill()
    if fired != pending or len(seen) != pending:
        raise RuntimeError(f"{fired} firings of {len(seen)} timers, of {pending}")
    late.sort()
    return {
        "pending": round(all_set),
        "fired_per_s": round(fired / (last - first)),
        "late_p50_ms": round(percentile(late, 0.5) * 1000, 1),
        "late_p99_ms": round(percentile(late, 0.99) * 1000, 1),
    }
