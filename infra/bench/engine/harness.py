"""`bestex bench engine`: one work, one broker, one machine, every engine in turn.

A run of a contestant: fresh output and changelog topics, the same preloaded input, worker processes started, and the time from the first record
read to the last output that is safe. Afterwards the output is read back, committed records only, and must hold every order once with
its user's count complete (at-least-once contestants may hold more: here nothing fails, so they must not). Contestants alternate, so that a
machine that slows down slows all; the best run of each counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.bench.engine import work
from infra.bench.engine.generate import schema
from infra.kafka_log import read_to_end
from infra.settings import Addresses
from schemas.registry import ConfluentRegistry

HERE = Path(__file__).parent
PARTITIONS = 4
RUN_SECONDS, START_SECONDS = 300.0, 120.0
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Contestant:
    """`name` as in the results; `command` runs one worker; `slow` ones get a tenth of the records.

    `counts`: the topic of its table's changelog, by the names of its group and output, and how a count is written there; `None` for
    frameworks whose changelog has a form of its own.
    """

    name: str
    command: Sequence[str]
    mode: str = ""
    workers: int = 1
    slow: bool = False
    engine: Mapping[str, Any] = field(default_factory=dict)
    counts: tuple[str, Callable[[bytes], int]] | None = None


def _script(name: str) -> list[str]:
    return [sys.executable, str(HERE / f"{name}.py")]


def _isolated(name: str) -> list[str]:
    return ["uv", "run", "--quiet", "--script", str(HERE / f"{name}.py")]


TEXT = ("{out}.changelog", int)
INTS = ("{group}-counts-changelog", lambda raw: int.from_bytes(raw, "big", signed=True))
CONTESTANTS: tuple[Contestant, ...] = (
    Contestant("plain_faust", _script("plain_faust"), slow=True),
    Contestant("quix_at_least_once", _isolated("quix"), "at-least-once"),
    Contestant("quix_exactly_once", _isolated("quix"), "exactly-once"),
    Contestant("librdkafka_plain", _script("librdkafka_loop"), "plain", counts=TEXT),
    Contestant("librdkafka_transactional", _script("librdkafka_loop"), "transactional", counts=TEXT),
    Contestant("bestex_1", _script("bestex_worker"), counts=INTS),
    Contestant("bestex_1_fastavro", _script("bestex_worker"), "fastavro", counts=INTS),
    Contestant("bestex_2", _script("bestex_worker"), workers=2, counts=INTS),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one run: events per second, CPU seconds per million records, peak memory of the largest process (MB)."""

    events_per_s: float
    cpu_s_per_million: float
    peak_mb: float


class Bench:
    """Holds the loaded inputs; `run` measures one contestant once."""

    def __init__(self, addresses: Addresses, tell: Tell) -> None:
        self._addresses, self._tell = addresses, tell
        self._admin = AdminClient({"bootstrap.servers": addresses.kafka})
        self._inputs: dict[int, str] = {}
        self._schema_id = ConfluentRegistry(addresses.registry).register("bestex.BenchOrder", schema())

    def load(self, records: int) -> str:
        """The input topic with so many orders, made once."""
        if records in self._inputs:
            return self._inputs[records]
        topic = f"bench-{uuid.uuid4().hex[:8]}"
        self._create(topic, f"{topic}.dlq")
        self._tell(f"loading {records:,} orders")
        producer = Producer(
            {
                "bootstrap.servers": self._addresses.kafka,
                "linger.ms": 20,
                "compression.type": "lz4",
                "batch.num.messages": 10_000,
                "queue.buffering.max.messages": 1_000_000,
                "partitioner": "murmur2_random",  # by user, so that a user's count lives in one partition
            }
        )
        frame = b"\0" + self._schema_id.to_bytes(4, "big")
        for i in range(records):
            producer.produce(topic, work.encode(work.order(i), frame), work.user(i).encode())
            if i % 5000 == 0:
                producer.poll(0)
        producer.flush(60)
        self._inputs[records] = topic
        return topic

    def run(self, contestant: Contestant, records: int) -> Outcome:
        """Start it, wait until all is safe, check what it wrote. Raises `RuntimeError` if it failed or wrote something else."""
        topic = self.load(records)
        run = f"{contestant.name.replace('_', '-')}-{uuid.uuid4().hex[:8]}"
        out = f"{run}.out"
        self._create(out, compacted=f"{out}.changelog")
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
            workers = [
                running.enter_context(self._worker(contestant, n, Path(folder), topic, out, run))
                for n in range(contestant.workers)
            ]
            reports = self._until_done(contestant, workers, records)
        self._check(contestant, out, records)
        if contestant.counts is not None:
            self._check_counts(
                contestant.name, contestant.counts[0].format(out=out, group=run), contestant.counts[1], records
            )
        seconds = max(r["last"] for r in reports) - min(r["first"] for r in reports)
        return Outcome(
            records / seconds,
            sum(r["cpu"] for r in reports) / records * 1e6,
            max(r["rss_mb"] for r in reports),
        )

    @contextlib.contextmanager
    def _worker(
        self, contestant: Contestant, number: int, folder: Path, topic: str, out: str, group: str
    ) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        home = folder / str(number)
        home.mkdir()
        config = {
            "kafka": self._addresses.kafka,
            "registry": self._addresses.registry,
            "schema_id": self._schema_id,
            "topic": topic,
            "out": out,
            "group": group,
            "mode": contestant.mode,
            "folder": str(home),
            "engine": dict(contestant.engine),
        }
        log = home / "log"
        with log.open("wb") as output, (home / "errors").open("wb") as errors:
            process = subprocess.Popen(
                contestant.command,
                stdout=output,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "BENCH": json.dumps(config), "PYTHONPATH": str(HERE.parents[2])},
            )
            try:
                yield process, log
            finally:
                with contextlib.suppress(ProcessLookupError):  # it ended by itself
                    os.killpg(process.pid, 9)
                process.wait()

    def _until_done(
        self, contestant: Contestant, workers: Sequence[tuple[subprocess.Popen[bytes], Path]], records: int
    ) -> list[dict[str, Any]]:
        began = time.monotonic()
        deadline = began + RUN_SECONDS
        while True:
            reports = [r for r in (_last(log) for _, log in workers) if r and r["first"]]
            if sum(r["records"] for r in reports) >= records:
                return reports
            for process, log in workers:
                if process.poll() is not None:
                    words = (log.parent / "errors").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{contestant.name} ended with {process.returncode}:\n{words}")
            if not reports and time.monotonic() - began > START_SECONDS:
                raise RuntimeError(f"{contestant.name} read nothing in {START_SECONDS:.0f} s")
            if time.monotonic() > deadline:
                got = sum(r["records"] for r in reports)
                raise RuntimeError(f"{contestant.name}: {got:,} of {records:,} in {RUN_SECONDS:.0f} s")
            time.sleep(0.1)  # between two looks at the workers' reports

    def _check(self, contestant: Contestant, out: str, records: int) -> None:
        found = [work.decode(value)["order_id"] for _, value in self._read(out)]
        if len(found) != records or len(set(found)) != records:
            raise RuntimeError(
                f"{contestant.name} wrote {len(found):,} outputs of {len(set(found)):,} orders, not {records:,}"
            )

    def _check_counts(self, name: str, changelog: str, count: Callable[[bytes], int], records: int) -> None:
        found = {key.decode(): count(value) for key, value in self._read(changelog)}
        expected = Counter(work.user(i) for i in range(records))
        wrong = [user for user in found.keys() | expected.keys() if found.get(user) != expected.get(user)]
        if wrong:
            raise RuntimeError(f"{name}: the counts of {len(wrong):,} users are wrong in {changelog}")

    def _read(self, topic: str) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of all that is committed in a topic."""
        for message in read_to_end({"bootstrap.servers": self._addresses.kafka}, [topic]):
            yield bytes(message.key() or b""), bytes(message.value() or b"")

    def _create(self, *topics: str, compacted: str | None = None) -> None:
        new = [NewTopic(t, PARTITIONS, 1) for t in topics]
        if compacted:
            new.append(NewTopic(compacted, PARTITIONS, 1, config={"cleanup.policy": "compact"}))
        for made in self._admin.create_topics(new).values():
            made.result(30)


def _last(log: Path) -> dict[str, Any] | None:
    """The last whole report in a log."""
    for line in reversed(log.read_bytes().splitlines()):
        if line.startswith(b"{") and line.endswith(b"}"):
            found: dict[str, Any] = json.loads(line)
            if "records" in found:
                return found
    return None


def contestants(only: Sequence[str]) -> list[Contestant]:
    """Those of these names, or all. Raises `ValueError` for a name that is none, `RuntimeError` where one cannot run here."""
    names = [c.name for c in CONTESTANTS]
    if unknown := [name for name in only if name not in names]:
        raise ValueError(f"no contestant {', '.join(unknown)}; there are {', '.join(names)}")
    chosen = [c for c in CONTESTANTS if not only or c.name in only]
    if unavailable := [c.name for c in chosen if shutil.which(c.command[0]) is None]:
        raise RuntimeError(f"cannot run {', '.join(unavailable)}: uv is not on the path")
    return chosen


def bench(
    addresses: Addresses, records: int, runs: int, tell: Tell, only: Sequence[str] = ()
) -> dict[str, list[Outcome]]:
    """`runs` alternating runs of each contestant on `records` orders."""
    harness, chosen = Bench(addresses, tell), contestants(only)
    outcomes: dict[str, list[Outcome]] = {c.name: [] for c in chosen}
    for n in range(runs):
        for contestant in chosen:
            outcome = harness.run(contestant, records // 10 if contestant.slow else records)
            tell(f"{contestant.name} {n + 1}/{runs}: {outcome.events_per_s:,.0f} events/s")
            outcomes[contestant.name].append(outcome)
    return outcomes
