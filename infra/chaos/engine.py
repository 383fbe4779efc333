"""`bestex chaos engine`: records through workers that are killed, frozen and starved at random, and then the proof that each counted once.

Faults, drawn from a seed: `kill -9` at each step of a checkpoint and at no particular moment, SIGSTOP past the session time-out and
SIGCONT (a zombie), `kill -9` of the broker, a worker that leaves or joins, a disk that refuses every write, and a deleted local store. The
proof reads everything back, committed records only: every input has its output exactly once, a key's counts have no gap, the
changelog's last values equal what was fed, every timer fired exactly once, every poisoned record is a dead letter once.
"""

from __future__ import annotations

import contextlib
import random
import resource
import shutil
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]  # publishes no types
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.chaos.engine_worker import TIMER_EVERY
from infra.chaos.process import Worker
from infra.kafka_log import committed, outsider
from infra.settings import Addresses, Settings
from infra.stack.stack import Stack
from schemas.codec import Codec
from schemas.records import ClientId
from schemas.registry import ConfluentRegistry

PARTITIONS = 4
KEYS = 5000
ASKED = tuple(f"k{k:04d}" for k in range(0, KEYS, 5))
POISON_EVERY = 20_011
SESSION_SECONDS = 3.0
READY_SECONDS = 30.0
STEPS = ("begun", "processed", "produced", "committed", "applied")
KINDS = (*(f"kill_{step}" for step in STEPS), "kill", "freeze", "broker", "leave", "join", "disk_full", "store_deleted")
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does. `transactions` false takes the engine's heart out, to show that the proof can fail."""

    records: int = 1_000_000
    faults: int = 50
    workers: int = 2
    seed: int = 1
    transactions: bool = True
    pause: tuple[float, float] = (0.3, 1.5)
    settle_seconds: float = 120.0
    kinds: tuple[str, ...] = KINDS


@dataclass(slots=True)
class Verdict:
    """What the proof found."""

    lost: int = 0
    duplicated: int = 0
    violations: list[str] = field(default_factory=list)
    unresolved: int = 0


class Chaos:
    """One run over a stack of its own."""

    def __init__(self, plan: Plan, stack: Stack, home: Path, tell: Tell) -> None:
        self.plan, self.faults = plan, Counter[str]()
        self._stack, self._home, self._tell = stack, home, tell
        self._addresses: Addresses = stack.addresses
        self._random = random.Random(plan.seed)
        self._topic = f"chaos-{uuid.uuid4().hex[:8]}"
        self._stopped = threading.Event()
        self._fed = self._inflicted = self._missed = 0
        self._due = 0.5  # faults for which records may have been fed
        admin = AdminClient({"bootstrap.servers": self._addresses.kafka})
        names = [self._topic, *(f"{self._topic}.{x}" for x in ("out", "rang", "dlq"))]
        for made in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names]).values():
            made.result(30)
        self._workers = [self._worker(n) for n in range(plan.workers)]
        self._spare = self._worker(plan.workers)

    def _worker(self, number: int) -> Worker:
        config = {
            "topic": self._topic,
            "kafka": {"bootstrap.servers": self._addresses.kafka},
            "registry": self._addresses.registry,
            "instance": f"worker-{number}",
            "session_seconds": SESSION_SECONDS,
            "transactions": self.plan.transactions,
        }
        return Worker(self._home / f"worker-{number}", config, ["infra.chaos.engine_worker"])

    def run(self) -> Verdict:
        """Feed and torment, then let all settle, then prove."""
        plan = self.plan
        for worker in self._workers:
            worker.start()
        feeding = threading.Thread(target=self._feed, name="feed")
        feeding.start()
        try:
            if not plan.transactions:
                self._until_placed()
            # A fault that finds nobody to strike (a worker on its way up, no checkpoint to die in) does not count.
            owed, tried = list(plan.kinds), Counter[str]()
            for n in range(plan.faults * 3):
                if self._inflicted == plan.faults:
                    break
                self._stopped.wait(self._random.uniform(*plan.pause))
                # Every kind until it has struck, thrice at most; then by lot.
                kind = owed[n % len(owed)] if owed else self._random.choice(plan.kinds)
                tried[kind] += 1
                struck = self._inflict(kind)
                if struck:
                    self.faults[kind] += 1
                    self._inflicted += 1
                else:
                    self._missed += 1
                owed = [k for k in owed if k not in self.faults and tried[k] < 3]
                self._tell(f"{self._inflicted}/{plan.faults} {kind}{'' if struck else ' missed'}, {self._fed:,} fed")
                self._revive()
            self._stopped.set()
            feeding.join()
            settled = self._settle()
            recovered = self._recovered()
        finally:
            self._stopped.set()
            feeding.join()
            for worker in (*self._workers, self._spare):
                worker.kill()
        verdict = self._prove(recovered)
        verdict.unresolved = (0 if settled else 1) + max(0, plan.faults - self._inflicted)
        return verdict

    def _until_placed(self) -> None:
        """Until each task has offsets: without transactions a fault before would leave state without any, and the engine refuses to guess."""
        places = [TopicPartition(self._topic, n) for n in range(PARTITIONS)]
        group = outsider({"bootstrap.servers": self._addresses.kafka}, f"chaos-{self._topic}")
        deadline = time.monotonic() + 2 * READY_SECONDS
        try:
            while time.monotonic() < deadline:
                with contextlib.suppress(KafkaException):  # the group's coordinator is not there yet
                    placed = sum(offset >= 0 for offset in committed(group, places).values())
                    self._tell(f"{placed} of {PARTITIONS} tasks have offsets")
                    if placed == PARTITIONS:
                        return
                self._rest(0.25)
        finally:
            group.close()

    def _recovered(self) -> dict[bytes, int]:
        """What the tables hold of every fifth key after all workers were killed once more and recovered, asked of the workers themselves."""
        for worker in (*self._workers, self._spare):
            worker.kill()
        shutil.rmtree(
            self._workers[0].home / "state", ignore_errors=True
        )  # one from the changelog alone, the others from their disks
        for worker in self._workers:
            worker.start()
        deadline = time.monotonic() + READY_SECONDS
        found: dict[bytes, int] = {}
        while len(found) < len(ASKED) and time.monotonic() < deadline:  # what is missing then is a violation
            self._rest(0.5)
            for worker in self._workers:
                if worker.ready():
                    with contextlib.suppress(httpx.TransportError):  # it is on its way down or up: asked again
                        found |= {key.encode(): int(value) for key, value in worker.state("counts", ASKED).items()}
        return found

    # ---- what goes in

    def _feed(self) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._addresses.kafka,
                "linger.ms": 20,
                "enable.idempotence": True,
                "message.timeout.ms": 300_000,
                "queue.buffering.max.messages": 500_000,
                "compression.type": "lz4",
                "log_level": 0,  # a broker that is away is the test, not news
            }
        )
        total, began = self.plan.records, time.monotonic()
        # Spread over the faults, so that each meets records on their way.
        expected = self.plan.faults * (sum(self.plan.pause) / 2 + 3.0)
        for i in range(total):
            value = b"poison %d" % i if i % POISON_EVERY == POISON_EVERY - 1 else b"%d" % i
            while True:
                try:
                    producer.produce(self._topic, value, b"k%04d" % (i % KEYS), i % KEYS % PARTITIONS)
                    break
                except BufferError:
                    producer.poll(0.5)
            self._fed = i + 1
            if i % 1000 == 0:
                producer.poll(0)
                ahead = i / total * expected - (time.monotonic() - began)
                if ahead > 0:
                    self._stopped.wait(ahead)
                while i / total > self._due / self.plan.faults and not self._stopped.wait(0.02):
                    producer.poll(0)
        producer.flush(300)

    # ---- what goes wrong

    def _inflict(self, kind: str) -> bool:
        worker = self._random.choice(self._workers)
        if kind != "kill":  # which may come at any moment, at the start too
            deadline = time.monotonic() + READY_SECONDS
            while not worker.ready():
                if not worker.alive or time.monotonic() > deadline:
                    return False
                self._rest(0.05)
        # Its share of the records flows when it strikes; one that missed gets a little more.
        self._due = self._inflicted + 1 + 0.25 * self._missed
        if kind.startswith("kill_"):
            (worker.home / "fault").write_text(kind.removeprefix("kill_"))
            worker.signal(signal.SIGUSR1)
            if not worker.wait(5):  # it had no checkpoint to die in
                worker.kill()
                return False
        elif kind == "kill":
            worker.kill()
        elif kind == "freeze":
            worker.signal(signal.SIGSTOP)
            self._rest(SESSION_SECONDS * 1.8)
            worker.signal(signal.SIGCONT)
        elif kind == "broker":
            self._stack.kill("kafka")
            self._stack.restart("kafka")
        elif kind == "leave":
            worker.signal(signal.SIGTERM)
            if not worker.wait(40):
                worker.kill()
                return False
        elif kind == "join":
            return self._join()
        elif kind == "disk_full":
            return self._refuse_writes(worker)
        else:
            shutil.rmtree(worker.home / "state", ignore_errors=True)
            worker.kill()
        return True

    def _join(self) -> bool:
        """A further worker comes; at the next time it goes."""
        if self._spare.alive:
            self._spare.signal(signal.SIGTERM)
            return self._spare.wait(40)
        self._spare.start()
        return True

    def _refuse_writes(self, worker: Worker) -> bool:
        """Every write of the process to a file fails for a while, by the kernel's own limit on file sizes."""
        if not hasattr(resource, "prlimit"):
            return False
        process = psutil.Process(worker.pid)
        before = process.rlimit(psutil.RLIMIT_FSIZE)
        try:
            process.rlimit(psutil.RLIMIT_FSIZE, (0, before[1]))
            self._rest(3.0)
            process.rlimit(psutil.RLIMIT_FSIZE, before)
        except psutil.NoSuchProcess:
            return True
        return worker.wait(5)  # else nothing had to be written meanwhile

    def _rest(self, seconds: float) -> None:
        """Let it hurt; what is waited for is time itself."""
        threading.Event().wait(seconds)

    def _revive(self) -> None:
        for worker in self._workers:
            if not worker.alive:
                worker.start()

    # ---- what came out

    def _settle(self) -> bool:
        """Wait until everything fed is accounted for; restart whoever ends meanwhile."""
        deadline, consumer = time.monotonic() + self.plan.settle_seconds, self._reader("settle")
        places = [TopicPartition(f"{self._topic}.{x}", n) for x in ("out", "dlq", "rang") for n in range(PARTITIONS)]
        consumer.assign([TopicPartition(p.topic, p.partition, 0) for p in places])
        seen, expected = 0, self.plan.records + self._timers_expected()
        try:
            while time.monotonic() < deadline:
                self._revive()
                seen += sum(1 for m in consumer.consume(50_000, 0.5) if m.error() is None)
                if seen >= expected:
                    return True
            return False
        finally:
            consumer.close()

    def _counts(self) -> Counter[bytes]:
        """How often each key is to be counted."""
        total = Counter[bytes]()
        for k in range(KEYS):
            total[b"k%04d" % k] = len(range(k, self.plan.records, KEYS))
        for i in range(POISON_EVERY - 1, self.plan.records, POISON_EVERY):
            total[b"k%04d" % (i % KEYS)] -= 1
        return total

    def _timers_expected(self) -> int:
        return sum(n // TIMER_EVERY for n in self._counts().values())

    def _prove(self, recovered: Mapping[bytes, int]) -> Verdict:
        verdict, expected = Verdict(), self._counts()
        values, counts = Counter[bytes](), dict[bytes, int]()
        for key, value in self._read(f"{self._topic}.out"):
            number, _, body = value.partition(b":")
            values[body] += 1
            if int(number) != counts.get(key, 0) + 1:
                verdict.violations.append(f"{key!r}: {int(number)} after {counts.get(key, 0)}")
            counts[key] = int(number)
        poisoned = set(range(POISON_EVERY - 1, self.plan.records, POISON_EVERY))
        fed = {b"%d" % i for i in range(self.plan.records) if i not in poisoned}
        verdict.lost = len(fed - values.keys())
        verdict.duplicated = sum(n - 1 for n in values.values())
        verdict.violations += [f"{v!r} was never fed" for v in values.keys() - fed]
        self._prove_tables(verdict, expected, recovered)
        self._prove_timers(verdict, expected)
        letters = len(list(self._read(f"{self._topic}.dlq")))
        if letters != len(poisoned):
            verdict.violations.append(f"{letters} dead letters of {len(poisoned)} poisoned records")
        return verdict

    def _prove_tables(self, verdict: Verdict, expected: Counter[bytes], recovered: Mapping[bytes, int]) -> None:
        codec, table = Codec(ConfluentRegistry(self._addresses.registry)), dict[bytes, int]()
        for key, value in self._read(f"chaos-{self._topic}-counts-changelog"):
            table[key] = int(codec.decode(value, ClientId).order_id)
        wrong = [key for key, n in expected.items() if table.get(key, 0) != n]
        verdict.violations += [f"changelog: {k!r} is {table.get(k)}, not {expected[k]}" for k in wrong]
        differ = [key for key in map(str.encode, ASKED) if recovered.get(key) != table.get(key)]
        verdict.violations += [f"recovered: {k!r} is {recovered.get(k)}, not {table.get(k)}" for k in differ]

    def _prove_timers(self, verdict: Verdict, expected: Counter[bytes]) -> None:
        rang = Counter(key for key, _ in self._read(f"{self._topic}.rang"))
        due = {b"%b/%d" % (k, n) for k, total in expected.items() for n in range(TIMER_EVERY, total + 1, TIMER_EVERY)}
        verdict.violations += [f"timer {t!r} never fired" for t in due - rang.keys()]
        verdict.violations += [f"timer {t!r} fired {n} times" for t, n in rang.items() if n > 1 or t not in due]

    def _reader(self, what: str) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._addresses.kafka,
                "group.id": f"{what}-{uuid.uuid4().hex}",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "queued.min.messages": 200_000,
                "log_level": 0,
            }
        )

    def _read(self, topic: str) -> Any:
        """Key and value of every committed record, partition by partition."""
        consumer = self._reader("prove")
        try:
            for n in range(PARTITIONS):
                consumer.assign([TopicPartition(topic, n, 0)])
                ended = False
                while not ended:
                    for message in consumer.consume(20_000, 1.0):
                        error = message.error()
                        if error is not None:
                            ended = True  # the end of the partition: nothing more is written to it
                            continue
                        if message.value() is not None:
                            yield message.key(), message.value()
        finally:
            consumer.close()


def run(plan: Plan, home: Path, tell: Tell, keep: bool = False) -> dict[str, Any]:
    """Start a broker and a registry, run the plan, and say what was found; `keep`: leave the workers' folders also when all went well."""
    began = time.monotonic()
    settings = Settings(home=home, valkey="redis://none", clickhouse="http://none")
    with Stack(home, settings, lambda part, state: tell(f"{part}: {state}")) as stack:
        chaos = Chaos(plan, stack, home / "workers", tell)
        verdict = chaos.run()
    with contextlib.suppress(OSError):  # a big home is not worth keeping when all went well
        if (
            not keep
            and not verdict.violations
            and not verdict.lost
            and not verdict.duplicated
            and not verdict.unresolved
        ):
            shutil.rmtree(home / "workers")
    return {
        "records": plan.records,
        "faults": dict(chaos.faults),
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "violations": len(verdict.violations),
        "first_violations": verdict.violations[:10],
        "unresolved": verdict.unresolved,
        "transactions": plan.transactions,
        "seed": plan.seed,
        "seconds": round(time.monotonic() - began, 1),
    }
