"""Reads topics from begin to end, as far as they are committed: what questions about a whole log are answered from.

No group is joined and nothing is committed, so that looking leaves no trace. *The end* is where the last committed record stood when
the reader got there; a topic that grows meanwhile is read a little further, never less.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

SILENCE_SECONDS = 30.0
T = TypeVar("T")
# What a cluster says while it finds itself: leaders and coordinators are being chosen, logs are being loaded.
_PASSING = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)


def reader(kafka: Mapping[str, Any], **options: Any) -> Consumer:
    """A consumer of committed records that belongs to no group's work."""
    return Consumer(
        {
            "group.id": "bestex.reader",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "log_level": 2,  # what goes wrong is raised, or seen by its silence
            "fetch.message.max.bytes": 8 << 20,
            **kafka,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            **options,
        }
    )


def partitions(consumer: Consumer, topics: Sequence[str]) -> list[TopicPartition]:
    """Every partition of those of `topics` that exist."""
    known = consumer.list_topics(timeout=SILENCE_SECONDS).topics
    return [TopicPartition(t, p, 0) for t in topics if t in known for p in sorted(known[t].partitions)]


def outsider(kafka: Mapping[str, Any], group: str) -> Consumer:
    """A consumer to ask what a group has `committed`, without being of it.

    Not an `AdminClient`: one that is told by the brokers to look for another coordinator ends its process with a segmentation fault
    (librdkafka 2.16: its handler of these answers looks for a group that an admin client has not).
    """
    return reader(kafka, **{"group.id": group, "isolation.level": "read_uncommitted"})


def committed(consumer: Consumer, places: Sequence[TopicPartition]) -> dict[tuple[str, int], int]:
    """Topic and partition -> the next offset of the consumer's group; negative where there is none. Raises `KafkaException`."""

    def ask() -> dict[tuple[str, int], int]:
        found = consumer.committed([TopicPartition(p.topic, p.partition) for p in places], timeout=SILENCE_SECONDS)
        for place in found:
            if place.error is not None:
                raise KafkaException(place.error)
        return {(place.topic, place.partition): int(place.offset) for place in found}

    return patiently(ask)


def watermarks(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """(first offset kept, next offset) of a partition. What passes by itself, as a leader that is being chosen, is waited for."""
    low, high = patiently(lambda: consumer.get_watermark_offsets(place, timeout=SILENCE_SECONDS))
    return int(low), int(high)


def patiently(ask: Callable[[], T]) -> T:
    """The answer to a question to the brokers, asked again while what stands in its way passes by itself. Raises `KafkaException`."""
    deadline = time.monotonic() + SILENCE_SECONDS
    while True:
        try:
            return ask()
        except KafkaException as error:
            if not passing(error.args[0]) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)  # before asking again


def passing(error: KafkaError) -> bool:
    """Whether an error says: not now."""
    return bool(error.retriable()) or error.code() in _PASSING


def read_to_end(
    kafka: Mapping[str, Any], topics: Sequence[str], starts: Mapping[tuple[str, int], int] | None = None
) -> Iterator[Message]:
    """All records of `topics`, each partition in its order, from its beginning or from the offset that `starts` names.

    Raises `KafkaException`, also when the cluster falls silent.
    """
    consumer = reader(kafka)
    try:
        places = partitions(consumer, topics)
        waiting = {(p.topic, p.partition) for p in places}
        if not waiting:
            return
        for place in places:
            low, _ = watermarks(consumer, place)
            place.offset = max(low, (starts or {}).get((place.topic, place.partition), 0))
        consumer.assign(places)
        heard = time.monotonic()
        while waiting:
            messages = consumer.consume(10_000, timeout=0.05)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE_SECONDS:
                raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN, "the cluster fell silent"))
            for message in messages:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    waiting.discard((message.topic() or "", message.partition() or 0))
                elif error.fatal() or not passing(error):
                    raise KafkaException(error)
    finally:
        consumer.close()
