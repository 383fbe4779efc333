"""Dead letters: look at what was put aside, and send it to where it came from once the cause is mended.

A replay is exactly once for `replay_all`: the records that go back and the letters' names, in a compacted ledger, are one transaction of one
producer, so that a replay that is interrupted goes on where it was and one that is repeated, with another cause or years later, sends nothing
twice. Replaying one named letter is an order of a person, and is carried out each time it is given; the ledger remembers it too.

Not every letter may go back (`stays`): what a sink could not deliver is still in its topic, where a second copy would be a second event; a
failed timer never was a record; and a value that was too large to be carried is not in the letter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Message, Producer, TopicPartition

from infra.kafka_log import SILENCE_SECONDS, partitions, read_to_end, reader, watermarks
from infra.topics import create_topic
from schemas.codec import Codec, DecodeError
from schemas.letters import MOST_BYTES, left_behind
from schemas.records import DeadLetter
from schemas.topics import DEAD_LETTERS, TOPICS, dead_letters

WRITER = "bestex.dlq.replay"  # the transactional id: one replay at a time, an older one is fenced
LEDGER = "bestex.dlq.replayed"  # key: the name of a letter that was sent back
SINKS = "sink."  # how the apps of sinks are called
REPLAYED = "bestex-replayed"  # header of a record that was sent back: where its letter lies
MARKED_BYTES = 1_000_000
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter and where it lies."""

    topic: str
    partition: int
    offset: int
    letter: DeadLetter

    @property
    def name(self) -> str:
        """How a person names it: `orders.commands:3:17`, without the twin's suffix."""
        return f"{self.topic.removesuffix(DEAD_LETTERS)}:{self.partition}:{self.offset}"

    @property
    def stays(self) -> str:
        """Why the letter must not be sent back, or empty."""
        x = self.letter
        if x.app.startswith(SINKS):
            return (
                f"STILL_IN_ITS_TOPIC: {x.app} could not deliver it; {x.origin_topic} holds it, and would hold it twice"
            )
        if x.origin_offset < 0:
            return "NOT_A_RECORD: a timer failed; its detail says which"
        if left_behind(x.value, x.detail):
            return f"VALUE_NOT_HERE: read it at {x.origin_topic}[{x.origin_partition}]@{x.origin_offset}"
        return ""

    def row(self) -> dict[str, Any]:
        """What a list shows."""
        x = self.letter
        return {
            "name": self.name,
            "cause": x.cause,
            "detail": x.detail,
            "origin": f"{x.origin_topic}[{x.origin_partition}]@{x.origin_offset}",
            "key": None if x.key is None else x.key.decode(errors="replace"),
            "app": x.app,
            "stays": self.stays,
            "at": datetime.fromtimestamp(x.at / 1e6, UTC).isoformat(),
            "bytes": 0 if x.value is None else len(x.value),
        }


def twins(kafka: Mapping[str, Any]) -> list[str]:
    """All dead-letter topics that exist, those of the flow first."""
    consumer = reader(kafka)
    try:
        known = [t for t in consumer.list_topics(timeout=SILENCE_SECONDS).topics if t.endswith(DEAD_LETTERS)]
    finally:
        consumer.close()
    order = {dead_letters(t.name): n for n, t in enumerate(TOPICS)}
    return sorted(known, key=lambda name: (order.get(name, len(order)), name))


def letters(
    kafka: Mapping[str, Any], codec: Codec, topic: str | None = None, cause: str | None = None
) -> Iterator[Letter]:
    """Dead letters, all or of one topic, of all causes or one."""
    wanted = [dead_letters(topic)] if topic else twins(kafka)
    for message in read_to_end(kafka, wanted):
        found = _letter(message, codec)
        if found is not None and cause in (None, found.letter.cause):
            yield found


def find(kafka: Mapping[str, Any], codec: Codec, name: str) -> Letter:
    """The letter of a name as `Letter.name` gives it. Raises `ValueError`."""
    try:
        topic, partition, offset = name.rsplit(":", 2)
        place = TopicPartition(dead_letters(topic), int(partition), int(offset))
    except ValueError as error:
        raise ValueError(
            f"{name!r} does not name a letter: TOPIC:PARTITION:OFFSET, as `bestex dlq list` shows"
        ) from error
    consumer = reader(kafka)
    try:
        if (place.topic, place.partition) not in {(p.topic, p.partition) for p in partitions(consumer, [place.topic])}:
            raise ValueError(f"there is no partition {partition} of {place.topic}")
        low, high = watermarks(consumer, TopicPartition(place.topic, place.partition))
        if not low <= place.offset < high:
            raise ValueError(f"there is no letter {name}: the partition holds offsets {low} to {high - 1}")
        consumer.assign([place])
        message = consumer.poll(SILENCE_SECONDS)
        if message is None or message.error() is not None or message.offset() != place.offset:
            raise ValueError(f"there is no letter {name}")
        found = _letter(message, codec)
    finally:
        consumer.close()
    if found is None:
        raise ValueError(f"{name} is not a dead letter")
    return found


def replay(kafka: Mapping[str, Any], letter: Letter) -> tuple[int, int]:
    """Send one record back to its topic, to the partition it came from; (partition, offset) of where it is now. Raises `ValueError`."""
    if letter.stays:
        raise ValueError(f"{letter.name} is not sent back: {letter.stays}")
    producer = _writer(kafka)
    done: list[Message] = []
    producer.begin_transaction()
    _send(producer, letter, lambda error, message: None if error else done.append(message))
    producer.commit_transaction(SILENCE_SECONDS)  # raises when a record could not be sent
    return done[0].partition() or 0, done[0].offset() or 0


def replay_all(
    kafka: Mapping[str, Any], codec: Codec, topic: str, cause: str | None, tell: Callable[[int], None]
) -> tuple[int, int]:
    """Send back every letter of `topic` that was not sent back before; (sent, passed over for another cause or because they stay)."""
    if dead_letters(topic) not in twins(kafka):
        raise ValueError(f"there is no topic {dead_letters(topic)}")
    producer = _writer(kafka)  # first: what an earlier replay had open is aborted, and the ledger says all
    gone = {(m.key() or b"") for m in read_to_end(kafka, [LEDGER])}
    sent = passed = 0
    waiting: list[Letter] = []

    def flush() -> None:
        nonlocal sent
        if waiting:
            producer.begin_transaction()
            for letter in waiting:
                _send(producer, letter, None)
            producer.commit_transaction(SILENCE_SECONDS)
            sent += len(waiting)
            waiting.clear()
            tell(sent)

    for letter in letters(kafka, codec, topic):
        if letter.name.encode() in gone:
            continue
        if letter.stays or cause not in (None, letter.letter.cause):
            passed += 1
            continue
        waiting.append(letter)
        if len(waiting) == BATCH:
            flush()
    flush()
    return sent, passed


def _writer(kafka: Mapping[str, Any]) -> Producer:
    create_topic(kafka, LEDGER, 1, compact=True)
    producer = Producer({"message.max.bytes": MOST_BYTES, **kafka, "transactional.id": WRITER})
    producer.init_transactions(SILENCE_SECONDS)
    return producer


def _send(producer: Producer, letter: Letter, done: Callable[[Any, Message], None] | None) -> None:
    """The record back to its origin, and its letter's name into the ledger."""
    x = letter.letter
    # A record that just fits its topic must not be made too large by being marked.
    marked = len(x.key or b"") + len(x.value or b"") < MARKED_BYTES
    producer.produce(
        x.origin_topic,
        x.value,
        x.key,
        x.origin_partition,
        headers=[(REPLAYED, letter.name.encode())] if marked else [],
        on_delivery=done or (lambda error, message: None),  # its commit answers for all
    )
    producer.produce(LEDGER, b"", letter.name.encode(), 0)


def _letter(message: Message, codec: Codec) -> Letter | None:
    try:
        record = codec.decode(message.value(), DeadLetter)
    except DecodeError:
        return None  # somebody else's record in the topic: nothing to send back
    return Letter(message.topic() or "", message.partition() or 0, message.offset() or 0, record)
