"""Reading the journal back: what this connector, or the one before it, did about the children of a partition.

`execution.journal` is compacted, keyed by child id, and has the partitions of `venue.orders`, so that whoever is assigned partition n
of the orders reads partition n of the journal. Reading ends at the high watermark of its beginning: a transaction of a previous owner
that is still open is waited for, because a claim that commits after we looked would be sent twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.codec import Codec
from schemas.records import ExecutionState

TOPIC = "execution.journal"


class JournalUnreadable(Exception):
    """The journal could not be read to its end: the partition must not be worked on."""


def read(
    kafka: Mapping[str, Any], codec: Codec, partition: int, timeout: float, topic: str = TOPIC
) -> dict[str, ExecutionState]:
    """Child id -> last state, of one partition. Raises `JournalUnreadable`, `schemas.codec.DecodeError`, `KafkaException`."""
    consumer = Consumer(
        {
            **kafka,
            "group.id": "unused: no offsets are committed",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )
    states: dict[str, ExecutionState] = {}
    try:
        place = TopicPartition(topic, partition)
        low, high = consumer.get_watermark_offsets(place, timeout=timeout, cached=False)
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
                child_id = key.decode() if isinstance(key, bytes) else str(key)
                if message.value() is None:
                    states.pop(child_id, None)
                else:
                    states[child_id] = codec.decode(message.value(), ExecutionState)
    finally:
        consumer.close()
    return states
