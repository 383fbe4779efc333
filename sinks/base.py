"""What every sink shares: reading Kafka, decoding, batching, retrying, dead-lettering, committing. An author writes `setup` and `write`.

Rules:

* offsets are committed after the write that they stand for, never before; a crash repeats at most the records since;
* a target that is down is retried with back-off for as long as it takes: nothing is dropped, and the group membership is kept;
* a record that can never be written (it does not decode, or the sink refuses it) goes whole to the topic's dead-letter twin, and
  only then is its offset committed; a registry that does not answer says nothing about a record, so that is waited for;
* only committed records are read;
* a sink whose target remembers how far it came tells so in `resume`, and reading starts there, whatever the group's offsets say;
* one thread does everything, so that a rebalance is never concurrent with a write.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.records import DeadLetter, Record
from schemas.topics import dead_letters

log = logging.getLogger(__name__)

Place = tuple[str, int]  # topic, partition
KAFKA_SECONDS = 15.0


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A decoded record and where it stood in the log. `timestamp` is Kafka's, in microseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    record: Any
    message: Message


class Refused(Exception):
    """`write` was given rows that the target will never take: `(row, stable code, detail)` each. The others are offered again."""

    def __init__(self, rows: Sequence[tuple[Row, str, str]]) -> None:
        super().__init__(f"{len(rows)} rows refused, the first: {rows[0][1]}: {rows[0][2]}")
        self.rows = rows


class Unusable(Exception):
    """The target contradicts the log (it is ahead of it): a person must decide, so the process ends."""


class Sink(ABC):
    """One target. `transient` are the errors that mean *try again later*; any other error ends the process uncommitted."""

    topics: ClassVar[Mapping[str, tuple[type[Record], ...]]]
    transient: ClassVar[tuple[type[Exception], ...]] = (OSError,)

    @abstractmethod
    def setup(self) -> None:
        """Connect and make what is missing at the target. Repeated until it succeeds."""

    @abstractmethod
    def write(self, batch: Sequence[Row]) -> None:
        """Make the rows durable before returning. May see rows again after a failure: must be repeatable.

        Rows of one partition come in the order of the log. Raises `Refused`, or one of `transient`.
        """

    def resume(self, places: Sequence[Place]) -> Mapping[Place, int]:
        """The next offset that the target needs of each place; a place left out is read from the group's committed offset."""
        return {}

    def close(self) -> None:  # noqa: B027 - most targets have nothing to close
        """Let go of connections."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A batch is written when it has `rows` rows or is `linger` seconds old. Back-off doubles from `backoff` to `backoff_max` seconds."""

    rows: int = 20_000
    linger: float = 0.25
    backoff: float = 0.1
    backoff_max: float = 5.0


@dataclass(slots=True)
class _Batch:
    rows: list[Row] = field(default_factory=list)
    letters: list[tuple[Message, str, str]] = field(default_factory=list)
    next_offsets: dict[Place, int] = field(default_factory=dict)
    since: float = 0.0

    def forget(self, places: set[Place]) -> None:
        """Drop what belongs to partitions that are another's now: it is not committed, so they read it again."""
        self.rows = [r for r in self.rows if (r.topic, r.partition) not in places]
        self.letters = [x for x in self.letters if _place(x[0]) not in places]
        for place in places:
            self.next_offsets.pop(place, None)


class Runner:
    """Runs one sink until `stop` is set. `clock` gives microseconds since the epoch (for dead letters)."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        kafka: Mapping[str, Any],
        codec: Callable[[], Codec],
        clock: Callable[[], int],
        settings: Settings | None = None,
    ) -> None:
        self._name, self._sink, self._make_codec, self._clock = name, sink, codec, clock
        self._settings = settings or Settings()
        self._consumer = Consumer(
            {
                "group.id": f"bestex.sink.{name}",
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "range",
                **kafka,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        self._dead = Producer({**kafka, "acks": "all", "enable.idempotence": True, "partitioner": "murmur2_random"})
        self._batch = _Batch()
        self._unopened: set[Place] = set()
        self._opened: dict[Place, int] = {}  # -> the group's committed offset when it was opened
        self._waiting = False
        self._carried: list[Message] = []
        self._stop = threading.Event()
        self._codec: Codec

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop`; what is in hand then is written and committed if the target takes it at once."""
        self._stop = stop
        try:
            self._again(self._ready, RegistryUnavailable)
            if stop.is_set():
                return
            self._consumer.subscribe(
                list(self._sink.topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
            )
            self._again(self._sink.setup)
            log.info("%s: reading %s", self._name, ", ".join(self._sink.topics))
            while not stop.is_set():
                if self._unopened:
                    self._again(self._open)
                    continue
                self._take()
                if self._due():
                    self._again(self._flush)
            if self._due(now=True):
                self._flush()
        finally:
            self._consumer.close()
            self._sink.close()

    def _ready(self) -> None:
        self._codec = self._make_codec()

    # --- partitions

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Opening may need the target, which may be down: not in a callback. Till then nothing is read.
        consumer.assign(partitions)
        consumer.pause(partitions)
        self._unopened = {(p.topic, p.partition) for p in partitions}

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {(p.topic, p.partition) for p in partitions}
        self._batch.forget(gone)
        self._unopened -= gone
        for place in gone:
            self._opened.pop(place, None)

    def _open(self) -> None:
        """Start every assigned partition where the target left off, or else the group."""
        places = sorted(self._unopened)
        wanted = self._sink.resume(places)
        starts = []
        for committed in self._consumer.committed([TopicPartition(*p) for p in places], timeout=KAFKA_SECONDS):
            if committed.error:
                raise KafkaException(committed.error)
            place = (committed.topic, committed.partition)
            self._opened[place] = max(committed.offset, 0)
            offset = wanted.get(place)
            if offset is not None:
                low, high = self._consumer.get_watermark_offsets(committed, timeout=KAFKA_SECONDS)
                if offset > high:
                    raise Unusable(f"{self._name} holds {place} up to {offset}, but the log ends at {high}: another log?")
                committed = TopicPartition(*place, max(offset, low))
            starts.append(committed)
        self._consumer.assign(starts)
        self._unopened = set()
        self._batch = _Batch()

    # --- records

    def _take(self) -> None:
        room = self._settings.rows - len(self._batch.rows)
        messages = self._carried or self._consumer.consume(min(room, 5_000), timeout=min(self._settings.linger, 0.1))
        self._carried = []
        for message in messages:
            self._read(message)

    def _read(self, message: Message) -> None:
        if (error := message.error()) is not None:
            if error.fatal() or error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._AUTHENTICATION):
                raise KafkaException(error)
            log.warning("%s: %s", self._name, error)  # a broker that is away: the client goes on by itself
            return
        place = _place(message)
        topic, partition = place
        offset = message.offset() or 0
        decoded: list[Record] = []

        def decode() -> None:
            decoded.append(self._codec.decode(message.value(), *self._sink.topics[topic]))

        try:
            self._again(decode, RegistryUnavailable)
        except DecodeError as error:
            if place not in self._opened:
                return
            self._batch.letters.append((message, error.code, error.detail))
        else:
            if place not in self._opened or not decoded:
                return  # revoked while waiting for the registry, or stopping
            self._batch.rows.append(Row(topic, partition, offset, message.timestamp()[1] * 1000, decoded[0], message))
        if not self._batch.next_offsets:
            self._batch.since = time.monotonic()
        self._batch.next_offsets[place] = offset + 1

    def _due(self, now: bool = False) -> bool:
        batch = self._batch
        if not batch.next_offsets:
            return False
        return now or len(batch.rows) >= self._settings.rows or time.monotonic() - batch.since >= self._settings.linger

    def _flush(self) -> None:
        """Write, dead-letter, commit: in this order."""
        batch = self._batch
        while batch.rows:
            try:
                self._sink.write(batch.rows)
                break
            except Refused as refused:
                batch.letters.extend((row.message, code, detail) for row, code, detail in refused.rows)
                out = {id(row) for row, _, _ in refused.rows}
                batch.rows = [row for row in batch.rows if id(row) not in out]
        self._bury(batch.letters)
        if batch.next_offsets:
            offsets = [TopicPartition(*place, offset) for place, offset in batch.next_offsets.items()]
            try:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:
                # Written and not committed is repeated at worst, which `write` bears; a moved partition is its new owner's.
                log.warning("%s: offsets not committed: %s", self._name, error)
        self._batch = _Batch()

    def _bury(self, letters: Iterable[tuple[Message, str, str]]) -> None:
        failed: list[KafkaError] = []
        for message, code, detail in letters:
            topic, partition = place = _place(message)
            offset = message.offset() or 0
            if offset < self._opened.get(place, 0):
                continue  # read again for the target's sake: it was dead-lettered before its offset was committed
            log.error("%s: dead letter %s/%d@%d: %s: %s", self._name, topic, partition, offset, code, detail)
            letter = DeadLetter(
                origin_topic=topic,
                origin_partition=partition,
                origin_offset=offset,
                origin_timestamp=message.timestamp()[1] * 1000,
                key=_bytes(message.key()),
                value=_bytes(message.value()),
                cause=code,
                detail=detail,
                app=f"sink.{self._name}",
                at=self._clock(),
            )
            self._dead.produce(
                dead_letters(topic),
                self._codec.encode(letter),
                message.key(),
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )
        if self._dead.flush(KAFKA_SECONDS) or failed:
            raise KafkaException(failed[0] if failed else KafkaError(KafkaError._MSG_TIMED_OUT))

    # --- patience

    def _again(self, step: Callable[[], None], *also: type[Exception]) -> None:
        """Do `step` until it succeeds or we are told to stop, staying in the group meanwhile."""
        pause = self._settings.backoff
        while True:
            try:
                return step()
            except (*self._sink.transient, KafkaException, *also) as error:
                if isinstance(error, KafkaException) and error.args[0].fatal():
                    raise
                log.warning("%s: %s; again in %.1f s", self._name, str(error).strip()[:500], pause)
            self._wait(pause)
            if self._stop.is_set():
                return None
            pause = min(pause * 2, self._settings.backoff_max)

    def _wait(self, seconds: float) -> None:
        """Let time pass while answering the group; no record is read."""
        deadline = time.monotonic() + seconds
        paused = [TopicPartition(*p) for p in self._opened]
        if paused:
            self._consumer.pause(paused)
        while (left := deadline - time.monotonic()) > 0 and not self._stop.is_set():
            message = self._consumer.poll(min(left, 0.2))
            if message is not None and message.error() is None and _place(message) in self._opened:
                self._carried.append(message)  # fetched before the pause took hold
        still = [TopicPartition(*p) for p in self._opened if p not in self._unopened]
        if still:
            self._consumer.resume(still)


def _place(message: Message) -> Place:
    return message.topic() or "", message.partition() or 0


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
