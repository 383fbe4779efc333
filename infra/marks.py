"""Where things stand: the last quote of each symbol, how each venue does, who reads what and how far behind.

Answers come from Kafka itself each time they are asked for; compacted topics are short, so reading them whole is quick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.kafka_log import SILENCE_SECONDS, partitions, patiently, read_to_end, reader
from infra.stack.state import ProcessId
from schemas.codec import Codec, DecodeError
from schemas.records import Instrument, Quote, Record, VenueHealth
from schemas.registry import ConfluentRegistry

R = TypeVar("R", bound=Record)


@lru_cache
def codec(registry: str) -> Codec:
    """The codec over a registry, made once a process."""
    return Codec(ConfluentRegistry(registry))


def latest(kafka: Mapping[str, Any], registry: str, topic: str, record: type[R]) -> dict[str, R]:
    """Key -> the last record of a compacted topic."""
    found: dict[str, R] = {}
    for message in read_to_end(kafka, [topic]):
        key, value = message.key(), message.value()
        name = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
        if value is None:
            found.pop(name, None)
            continue
        try:
            found[name] = codec(registry).decode(value if isinstance(value, bytes) else value.encode(), record)
        except DecodeError:
            continue  # not for us to judge: the topic's own readers dead-letter it
    return found


def quotes(kafka: Mapping[str, Any], registry: str) -> dict[str, Quote]:
    """Symbol -> its last consolidated quote."""
    return latest(kafka, registry, "market.quotes", Quote)


def health(kafka: Mapping[str, Any], registry: str) -> dict[str, VenueHealth]:
    """Venue -> how it does."""
    return latest(kafka, registry, "venue.health", VenueHealth)


def instruments(kafka: Mapping[str, Any], registry: str) -> dict[str, Instrument]:
    """``venue|symbol`` -> the instrument."""
    return latest(kafka, registry, "instruments", Instrument)


def admin(kafka: Mapping[str, Any]) -> AdminClient:
    """One client a cluster and process: making one costs a connection, and its answers end with it."""
    return _admin(tuple(sorted(kafka.items())))


@lru_cache
def _admin(properties: tuple[tuple[str, Any], ...]) -> AdminClient:
    return AdminClient({"log_level": 2, **dict(properties)})


def members(kafka: Mapping[str, Any], group: str) -> int:
    """How many members of a consumer group have partitions to read."""
    client = admin(kafka)
    described = patiently(lambda: client.describe_consumer_groups([group])[group].result(SILENCE_SECONDS))
    return sum(1 for m in described.members if m.assignment and m.assignment.topic_partitions)


def behind(kafka: Mapping[str, Any], group: str, topics: Sequence[str]) -> int:
    """How many records of `topics` a group has still to read.

    Records are counted, not offsets: the marks of transactions take offsets too, and no reader ever commits past the last of them.
    """
    consumer = reader(kafka)
    try:
        places = partitions(consumer, topics)
    finally:
        consumer.close()
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(p.topic, p.partition) for p in places])
    client = admin(kafka)
    answer = patiently(lambda: client.list_consumer_group_offsets([asked])[group].result(SILENCE_SECONDS))
    committed = {(p.topic, p.partition): p.offset for p in answer.topic_partitions}
    return sum(1 for _ in read_to_end(kafka, topics, committed))


def process_of(pid: int) -> ProcessId:
    """The identity of a running process."""
    return ProcessId.of(pid)
