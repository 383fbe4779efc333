"""What comes out of `venue.orders`: polling it, the age of a record, the letter of one that cannot be read."""

from __future__ import annotations

import logging

from confluent_kafka import Consumer, KafkaException, Message

from connectors.execution.desk import now_us
from connectors.execution.writer import ORDERS
from schemas.codec import DecodeError
from schemas.letters import carried
from schemas.records import DeadLetter

log = logging.getLogger(__name__)
APP = "execution"


def poll(consumer: Consumer, room: int) -> list[Message]:
    """In the consumer's thread: what is there, at once; at most a tenth of a second for the first record."""
    first = consumer.poll(0.1)
    if first is None:
        return []
    messages = [first, *(consumer.consume(room - 1, 0) if room > 1 else ())]
    for message in messages:
        error = message.error()
        if error is not None:
            if error.fatal() or not error.retriable():
                raise KafkaException(error)
            log.warning("consumer: %s", error)
    return [m for m in messages if m.error() is None]


def age(message: Message) -> float:
    """Seconds since the record was written, by its own stamp; 0 when it has none."""
    _, stamp = message.timestamp()
    return max(0.0, now_us() / 1e6 - stamp / 1e3) if stamp > 0 else 0.0


def letter(message: Message, error: DecodeError) -> DeadLetter:
    """What becomes of a record that cannot be read."""
    _, stamp = message.timestamp()
    value, detail = carried(key(message), _bytes(message.value()), error.detail[:1000])
    return DeadLetter(
        origin_topic=message.topic() or ORDERS,
        origin_partition=message.partition() or 0,
        origin_offset=message.offset() or 0,
        origin_timestamp=stamp * 1000 if stamp > 0 else None,
        key=key(message),
        value=value,
        cause=error.code,
        detail=detail,
        app=APP,
        at=now_us(),
    )


def key(message: Message) -> bytes | None:
    """The record's key."""
    return _bytes(message.key())


def _bytes(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data
