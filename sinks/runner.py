"""Runs one sink: reading Kafka, decoding, batching, retrying, dead-lettering, committing.

Rules:

* dead letters, then the write, then the commit of the offsets, always in this order: a crash repeats at most what came since, and what
  the target holds never lies beyond a dead letter that was not made;
* a target that is down is retried with back-off for as long as it takes: nothing is dropped, and the group membership is kept;
* a record that can never be written (it does not decode, or the sink refuses it) goes whole to the topic's dead-letter twin; a registry
  that does not answer says nothing about a record, so that is waited for;
* only committed records are read;
* a sink whose target remembers how far it came tells so in `resume`, and reading starts there, whatever the group's offsets say;
* one thread does everything, so that a rebalance is never concurrent with a write; what was read of a partition before it went away is
  forgotten, and read again from its start by whoever has it next;
* a process that was suspended for long may write what is another's by then, which no client can exclude: the target's own rule (a key, a
  sequence number, a lock) must bear it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.records import Record
from sinks.base import Later, Place, Refused, Rewind, Row, Settings, Sink, Unusable
from sinks.letters import DeadLetters

log = logging.getLogger(__name__)

KAFKA_SECONDS = 15.0
IDLE_SECONDS = 0.2
AT_ONCE = 5_000  # records taken from the client in one call
_HOPELESS = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError._AUTHENTICATION,
)


@dataclass(slots=True)
class _Batch:
    rows: list[Row] = field(default_factory=list)
    letters: deque[tuple[Message, str, str]] = field(default_factory=deque)
    next_offsets: dict[Place, int] = field(default_factory=dict)
    since: float = 0.0


class Runner:
    """Runs `sink` as group `bestex.sink.<name>` until told to stop. `clock` gives microseconds since the epoch (for dead letters).

    `prefix` is put before every topic's name. `instance` makes the process a static member of the group: started again under the same
    name it has its partitions back at once, instead of after the session of its dead predecessor has run out. No two running processes
    may share it: the older one is put out.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        kafka: Mapping[str, Any],
        codec: Callable[[], Codec],
        clock: Callable[[], int],
        settings: Settings | None = None,
        prefix: str = "",
        instance: str | None = None,
    ) -> None:
        self._name, self._sink, self._make_codec, self._clock = name, sink, codec, clock
        self._settings = settings or sink.settings
        self._kafka, self._prefix = kafka, prefix
        self._consumer = Consumer(
            {
                "group.id": f"bestex.sink.{name}",
                "session.timeout.ms": 10_000,
                "topic.metadata.refresh.interval.ms": 30_000,
                **({"group.instance.id": instance} if instance else {}),
                **kafka,
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "range",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        self._passing: tuple[type[Exception], ...] = (KafkaException, *sink.transient)
        self._left: tuple[type[Exception], ...] = (Rewind, *self._passing)
        self._batch = _Batch()
        self._unopened: set[Place] = set()
        self._opened: dict[Place, int] = {}  # -> the group's committed offset when it was opened
        self._carried: list[Message] = []  # taken from the client while waiting for something else
        self._stop = threading.Event()
        self._codec: Codec
        self._dead: DeadLetters

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop`; what is in hand then is written and committed if the target takes it at once.

        Raises `Unusable`, `KafkaException` for what waiting will not mend, and whatever `write` raises that is not transient.
        """
        self._stop = stop
        try:
            self._again(self._ready, RegistryUnavailable)
            self._again(self._sink.setup)
            if stop.is_set():
                return
            topics = [self._prefix + t for t in self._sink.topics]
            self._consumer.subscribe(topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
            log.info("%s: reading %s", self._name, ", ".join(topics))
            while not stop.is_set():
                if self._unopened:
                    self._again(self._open)
                    continue
                self._take()
                if self._due():
                    try:
                        self._again(self._flush)
                    except Rewind as error:
                        log.warning("%s: reading again from where the target is: %s", self._name, error)
                        self._assigned(self._consumer, [self._at(p) for p in self._opened])
            self._drain()
        finally:
            self._consumer.close()
            self._sink.close()

    def _ready(self) -> None:
        self._codec = self._make_codec()
        self._dead = DeadLetters(self._kafka, self._codec, f"sink.{self._name}", self._clock)

    def _drain(self) -> None:
        if not self._batch.next_offsets:
            return
        try:
            self._flush()
        except self._left as error:
            log.warning("%s: left with records in hand, to be read again: %s", self._name, _text(error))

    # --- partitions

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Opening may need the target, which may be down: not in a callback. Till then nothing is read, and so nothing is assigned. To
        # assign and pause here and to resume at the opening will not do: one time in fifty librdkafka then never fetches a partition.
        consumer.assign([])
        self._forget()
        self._unopened = {self._of(p.topic, p.partition) for p in partitions}

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # All of them: with this assignor everything is given back before it is given anew.
        self._forget()

    def _forget(self) -> None:
        """Nothing in hand was committed: whoever opens the partitions next reads it again."""
        self._batch, self._carried = _Batch(), []
        self._unopened, self._opened = set(), {}

    def _open(self) -> None:
        """Start every assigned partition where the target left off, or else the group."""
        places = sorted(self._unopened)
        if not places:
            return
        group = self._consumer.committed([self._at(p) for p in places], timeout=KAFKA_SECONDS)
        for found in group:
            if found.error:
                raise KafkaException(found.error)
        opened = {self._of(found.topic, found.partition): max(found.offset, 0) for found in group}
        wanted = self._sink.resume(opened)
        starts, ahead = [], []
        for found in group:
            place = self._of(found.topic, found.partition)
            offset = wanted.get(place)
            if offset is not None:
                low, high = self._consumer.get_watermark_offsets(found, timeout=KAFKA_SECONDS)
                if offset > high:
                    raise Unusable(
                        f"{self._name} holds {place} up to {offset}, but the log ends at {high}: another log?"
                    )
                if offset < low:
                    log.warning("%s: %s begins at %d, the target needs it from %d", self._name, place, low, offset)
                found = self._at(place, max(offset, low))
                if found.offset > opened[place]:
                    ahead.append(found)
            starts.append(found)
        if ahead:
            # Written, and killed before the commit: said now, for those who read progress off the group.
            self._consumer.commit(offsets=ahead, asynchronous=False)
        self._consumer.assign(starts)
        self._opened, self._unopened = opened, set()
        log.info("%s: at %s", self._name, ", ".join(f"{t.topic}/{t.partition}@{max(t.offset, 0)}" for t in starts))

    def _at(self, place: Place, offset: int = OFFSET_INVALID) -> TopicPartition:
        return TopicPartition(self._prefix + place[0], place[1], offset)

    def _of(self, topic: str | None, partition: int | None) -> Place:
        return (topic or "").removeprefix(self._prefix), partition or 0

    # --- records

    def _take(self) -> None:
        """Read what there is, waiting no longer than the batch may."""
        if self._carried:
            messages, self._carried = self._carried, []
        elif not self._batch.next_offsets:
            messages = self._consumer.consume(1, IDLE_SECONDS)
            if messages:
                messages += self._consumer.consume(min(self._settings.rows, AT_ONCE), 0)
        else:
            room = self._settings.rows - len(self._batch.rows) - len(self._batch.letters)
            left = self._batch.since + self._settings.linger - time.monotonic()
            messages = self._consumer.consume(max(1, min(room, AT_ONCE)), max(0.0, min(left, IDLE_SECONDS)))
        for message in messages:
            self._read(message)

    def _read(self, message: Message) -> None:
        if (problem := message.error()) is not None:
            if problem.fatal() or problem.code() in _HOPELESS:
                raise KafkaException(problem)
            log.warning("%s: %s", self._name, problem)  # a broker that is away: the client goes on by itself
            return
        place = self._of(message.topic(), message.partition())
        if place not in self._opened:
            return  # revoked since it was taken
        offset, batch = message.offset() or 0, self._batch
        decoded: list[Record] = []
        try:
            self._again(lambda: decoded.append(self._decode(place[0], message)), RegistryUnavailable)
        except DecodeError as error:
            batch.letters.append((message, error.code, error.detail))
        if batch is not self._batch:
            return  # revoked while waiting for the registry
        if decoded:
            batch.rows.append(Row(*place, offset, message.timestamp()[1] * 1000, decoded[0], message))
        elif not batch.letters or batch.letters[-1][0] is not message:
            return  # told to stop while waiting for the registry
        if not batch.next_offsets:
            batch.since = time.monotonic()
        batch.next_offsets[place] = offset + 1

    def _decode(self, topic: str, message: Message) -> Record:
        return self._codec.decode(message.value(), *self._sink.topics[topic])

    def _due(self) -> bool:
        batch, most = self._batch, self._settings.rows
        if not batch.next_offsets:
            return False
        return len(batch.rows) + len(batch.letters) >= most or time.monotonic() - batch.since >= self._settings.linger

    def _flush(self) -> None:
        """Dead-letter, write, commit: in this order."""
        batch = self._batch
        self._bury(batch)
        while batch.rows:
            try:
                self._sink.write(batch.rows)
                break
            except Refused as refused:
                batch.letters.extend((row.message, code, detail) for row, code, detail in refused.rows)
                out = {id(row) for row, _, _ in refused.rows}
                batch.rows = [row for row in batch.rows if id(row) not in out]
                self._bury(batch)
        if batch.next_offsets:
            try:
                self._consumer.commit(
                    offsets=[self._at(place, offset) for place, offset in batch.next_offsets.items()],
                    asynchronous=False,
                )
            except KafkaException as error:
                if error.args[0].fatal():
                    raise
                # Written and not committed is repeated at worst, which `write` bears; a moved partition is its new owner's.
                log.warning("%s: offsets not committed: %s", self._name, error)
        self._batch = _Batch()

    def _bury(self, batch: _Batch) -> None:
        while batch.letters:
            message, code, detail = batch.letters[0]
            # Below the committed offset it was dead-lettered before, and is read again for the target's sake.
            if (message.offset() or 0) >= self._opened.get(self._of(message.topic(), message.partition()), 0):
                self._dead.bury(message, code, detail)
            batch.letters.popleft()
        self._dead.settle()

    # --- patience

    def _again(self, step: Callable[[], None], *also: type[Exception]) -> None:
        """Do `step` until it succeeds or we are told to stop, staying in the group meanwhile."""
        pause = self._settings.backoff
        while True:
            try:
                return step()
            except (*self._passing, *also) as error:
                if isinstance(error, KafkaException) and error.args[0].fatal():
                    raise
                wait = max(pause, error.after if isinstance(error, Later) else 0.0)
                log.warning("%s: %s; again in %.1f s", self._name, _text(error), wait)
            self._wait(wait)
            if self._stop.is_set():
                return None
            pause = min(pause * 2, self._settings.backoff_max)

    def _wait(self, seconds: float) -> None:
        """Let time pass while answering the group; no record is read."""
        deadline = time.monotonic() + seconds
        if self._opened:
            self._consumer.pause([self._at(p) for p in self._opened])
        while (left := deadline - time.monotonic()) > 0 and not self._stop.is_set():
            message = self._consumer.poll(min(left, IDLE_SECONDS))
            if message is None:
                continue
            if (problem := message.error()) is not None and problem.fatal():
                raise KafkaException(problem)
            if problem is None and self._of(message.topic(), message.partition()) in self._opened:
                self._carried.append(message)  # fetched before the pause took hold
        if self._opened:
            self._consumer.resume([self._at(p) for p in self._opened])


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip()[:500]
