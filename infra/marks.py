"""Where things stand: the last quote of each symbol, how each venue does, who reads what and how far behind.

Answers come from Kafka itself each time they are asked for; compacted topics are short, so reading them whole is quick.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from confluent_kafka.admin import AdminClient

from infra.kafka_log import SILENCE_SECONDS, committed, outsider, partitions, patiently, read_to_end
from infra.stack.state import ProcessId
from schemas.codec import Codec, DecodeError
from schemas.records import Instrument, Quote, Record, TradingState, TradingStatus, VenueAlert, VenueHealth
from streams.domain.terms import VENUE

ALERTS = "venue.alerts"
R = TypeVar("R", bound=Record)


@lru_cache
def codec(registry: str) -> Codec:
    """The codec over a registry, made once a process."""
    from schemas.registry import ConfluentRegistry  # the client library takes half a second to import

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


def states(kafka: Mapping[str, Any], registry: str) -> dict[str, TradingState]:
    """Scope -> what may be traded in it, as it was said last."""
    return latest(kafka, registry, "trading.states", TradingState)


def alerts(kafka: Mapping[str, Any], registry: str) -> dict[str, VenueAlert]:
    """Id -> the last word about each alert, the oldest first."""
    found = latest(kafka, registry, ALERTS, VenueAlert)
    return dict(sorted(found.items(), key=lambda one: (one[1].raised_at, one[0])))


def venues(kafka: Mapping[str, Any], registry: str) -> dict[str, dict[str, Any]]:
    """Every venue that is traded on: how it does, and whether an operator has taken it out. `latency_ms` is smoothed, `age_s` of that word."""
    now, said = time.time_ns() // 1000, states(kafka, registry)
    found: dict[str, dict[str, Any]] = {}
    for name, one in sorted(health(kafka, registry).items()):
        word = said.get(VENUE + name)
        closed = word is not None and word.state is TradingStatus.HALTED and (word.until is None or now < word.until)
        found[name] = {
            "status": "MAINTENANCE" if closed else one.status.value,
            "reason": word.reason if closed and word is not None else one.reason,
            "maintenance": closed,
            "latency_ms": round(one.latency_us / 1000, 1),
            "success_rate": round(one.success_rate / 10**8, 4),
            "age_s": round((now - one.at) / 1e6, 1),
        }
    return found


def halts(kafka: Mapping[str, Any], registry: str) -> dict[str, dict[str, str]]:
    """Scope -> state and reason of what may not be traded freely now, venues apart."""
    now = time.time_ns() // 1000
    return {
        scope: {"state": said.state.value, "reason": said.reason, "actor": said.actor}
        for scope, said in sorted(states(kafka, registry).items())
        if said.state is not TradingStatus.ACTIVE
        and not scope.startswith(VENUE)
        and (said.until is None or now < said.until)
    }


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
    consumer = outsider(kafka, group)
    try:
        found = committed(consumer, partitions(consumer, topics))
    finally:
        consumer.close()
    return sum(1 for _ in read_to_end(kafka, topics, found))


def process_of(pid: int) -> ProcessId:
    """The identity of a running process."""
    return ProcessId.of(pid)
