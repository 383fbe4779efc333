"""Dead letters: look at what was put aside, and send it to where it came from once the cause is mended.

A replay is exactly once for `replay_all`: the letters' offsets, under a group of their own, and the records that go back are one
transaction, so that a replay that is interrupted goes on where it was and one that is repeated sends nothing twice. Replaying one named
letter is an order of a person, and is carried out each time it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from infra.kafka_log import SILENCE_SECONDS, partitions, read_to_end, reader, watermarks
from schemas.codec import Codec, DecodeError
from schemas.records import DeadLetter
from schemas.topics import DEAD_LETTERS, TOPICS, dead_letters

GROUP = "bestex.dlq.replay"
REPLAYED = "bestex-replayed"  # header of a record that was sent back: where its letter lies
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
    """Send one record back to its topic, to the partition it came from; (partition, offset) of where it is now."""
    done: list[Message] = []
    failed: list[Any] = []
    producer = Producer({**kafka, "enable.idempotence": True, "acks": "all"})
    _send(producer, letter, lambda error, message: failed.append(error) if error else done.append(message))
    producer.flush(SILENCE_SECONDS)
    if failed or not done:
        raise RuntimeError(f"{letter.name} could not be sent: {failed[0] if failed else 'no answer'}")
    return done[0].partition() or 0, done[0].offset() or 0


def replay_all(
    kafka: Mapping[str, Any], codec: Codec, topic: str, cause: str | None, tell: Callable[[int], None]
) -> tuple[int, int]:
    """Send back every letter of `topic` that no earlier call has passed; (sent, passed over because of another cause)."""
    twin = dead_letters(topic)
    producer = Producer({**kafka, "transactional.id": f"{GROUP}.{topic}"})
    producer.init_transactions(SILENCE_SECONDS)
    consumer = Consumer(
        {
            **kafka,
            "group.id": f"{GROUP}.{topic}" + (f".{cause}" if cause else ""),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    sent = passed = 0
    try:
        places = partitions(consumer, [twin])
        if not places:
            raise ValueError(f"there is no topic {twin}")
        # By hand, not by subscription: the transactional id already keeps a second replay out.
        committed = consumer.committed([TopicPartition(p.topic, p.partition) for p in places], timeout=SILENCE_SECONDS)
        consumer.assign([TopicPartition(p.topic, p.partition, p.offset if p.offset >= 0 else 0) for p in committed])
        left = {p.partition for p in places}
        while left:
            ends: dict[int, int] = {}
            batch: list[Letter] = []
            for message in consumer.consume(BATCH, 1.0):
                if message.error() is not None:
                    left.discard(message.partition() or 0)
                    continue
                ends[message.partition() or 0] = (message.offset() or 0) + 1
                found = _letter(message, codec)
                if found is not None and cause in (None, found.letter.cause):
                    batch.append(found)
                else:
                    passed += 1
            if not ends:
                continue
            producer.begin_transaction()
            for letter in batch:
                _send(producer, letter, None)
            producer.send_offsets_to_transaction(
                [TopicPartition(twin, n, end) for n, end in ends.items()],
                consumer.consumer_group_metadata(),
                SILENCE_SECONDS,
            )
            producer.commit_transaction(SILENCE_SECONDS)
            sent += len(batch)
            tell(sent)
    finally:
        consumer.close()
    return sent, passed


def _send(producer: Producer, letter: Letter, done: Callable[[Any, Message], None] | None) -> None:
    x = letter.letter
    producer.produce(
        x.origin_topic,
        x.value,
        x.key,
        x.origin_partition,
        headers=[(REPLAYED, letter.name.encode())],
        on_delivery=done or (lambda error, message: None),  # in a transaction its commit answers for all
    )


def _letter(message: Message, codec: Codec) -> Letter | None:
    try:
        record = codec.decode(message.value(), DeadLetter)
    except DecodeError:
        return None  # somebody else's record in the topic: nothing to send back
    return Letter(message.topic() or "", message.partition() or 0, message.offset() or 0, record)
