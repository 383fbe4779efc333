"""Reading the journal back: what this connector, or the one before it, did about the children of a partition, and knows of their venues.

`execution.journal` is compacted, keyed by child id (beside the children: what each venue must hold, and the alerts that stand), and has the partitions of `venue.orders`, so that whoever is assigned partition n
of the orders reads partition n of the journal. Reading ends at the high watermark of its beginning, that of everything written, committed
or not: a transaction of a previous owner that is still open is waited for (the broker aborts it after its time-out), because a claim that
commits after we looked would be sent twice. A reader of committed records is told of a watermark before such a transaction; hence the
second client, which asks for that alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.codec import Codec
from schemas.records import ExecutionState, VenueAlert, VenueLedger

TOPIC = "execution.journal"
Kept = ExecutionState | VenueLedger | VenueAlert


def ledger_key(venue: str) -> str:
    """Under what a venue's ledger is kept. No child id has a bar in it."""
    return f"ledger|{venue}"


def alert_key(alert_id: str) -> str:
    """Under what an alert is kept while it stands."""
    return f"alert|{alert_id}"


@dataclass(frozen=True, slots=True)
class Journal:
    """What a partition holds, by key."""

    children: dict[str, ExecutionState] = field(default_factory=dict)
    ledgers: dict[str, VenueLedger] = field(default_factory=dict)
    alerts: dict[str, VenueAlert] = field(default_factory=dict)

    def put(self, key: str, value: Kept | None) -> None:
        """The last word about a key; None: there is nothing more to know."""
        if isinstance(value, ExecutionState):
            self.children[key] = value
        elif isinstance(value, VenueLedger):
            self.ledgers[key] = value
        elif value is not None:
            self.alerts[key] = value
        else:
            for kept in (self.children, self.ledgers, self.alerts):
                kept.pop(key, None)


class JournalUnreadable(Exception):
    """The journal could not be read to its end: the partition must not be worked on."""


def read(kafka: Mapping[str, Any], codec: Codec, partition: int, timeout: float, topic: str = TOPIC) -> Journal:
    """The last word about everything, of one partition. Raises `JournalUnreadable`, `schemas.codec.DecodeError`, `KafkaException`."""
    config = {
        **kafka,
        "group.id": "unused: no offsets are committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
    }
    place = TopicPartition(topic, partition)
    everything = Consumer({**config, "isolation.level": "read_uncommitted"})
    try:
        low, high = everything.get_watermark_offsets(place, timeout=timeout, cached=False)
    finally:
        everything.close()
    consumer = Consumer({**config, "isolation.level": "read_committed"})
    journal = Journal()
    try:
        place.offset = low
        consumer.assign([place])
        deadline = time.monotonic() + timeout
        position = low
        while position < high:
            if time.monotonic() > deadline:
                raise JournalUnreadable(f"{topic}[{partition}]: at {position} of {high} after {timeout:.0f} s")
            for message in consumer.consume(1000, 0.05):
                error = message.error()
                if error is not None:
                    # The end of what is committed; control records are no messages, but its offset counts them.
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    position = message.offset() or 0
                    continue
                position = (message.offset() or 0) + 1
                key = message.key()
                name = key.decode() if isinstance(key, bytes) else str(key)
                value = message.value()
                journal.put(
                    name, None if value is None else codec.decode(value, ExecutionState, VenueLedger, VenueAlert)
                )
    finally:
        consumer.close()
    return journal
