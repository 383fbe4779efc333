"""A client of the pipeline for the command line: publishes a command and waits for its answer in the log.

It does nothing that a producer of your own could not do; the README shows the same with nothing but confluent-kafka.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from infra.kafka_log import SILENCE_SECONDS, partitions, reader, watermarks
from infra.marks import codec
from schemas.codec import DecodeError
from schemas.records import DeadLetter, OrderEvent, OrderState, Record
from schemas.topics import dead_letters

UNIT = 10**8
RESTING = (OrderState.WORKING, OrderState.PARTIALLY_FILLED)
LINGER_SECONDS = 1.0
EVENTS = "orders.events"


def units(text: str) -> int:
    """A decimal in units of 1e-8, exactly. Raises `ValueError`."""
    try:
        value = Decimal(text) * UNIT
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a number") from error
    if not value.is_finite() or value != value.to_integral_value():
        raise ValueError(f"{text!r} is finer than 1e-8, or not finite")
    return int(value)


def text(value: int | None) -> str | None:
    """Units of 1e-8 as the shortest decimal text."""
    return None if value is None else format((Decimal(value) / UNIT).normalize(), "f")


def now_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


class Client:
    """Publishes to one system. `kafka`: librdkafka properties; `registry`: URL."""

    def __init__(self, kafka: Mapping[str, Any], registry: str) -> None:
        self._kafka, self._codec = dict(kafka), codec(registry)
        self._producer = Producer(
            {**kafka, "partitioner": "murmur2_random", "acks": "all", "enable.idempotence": True, "linger.ms": 0}
        )

    def send(self, topic: str, account: str, record: Record) -> tuple[int, int]:
        """Publish and return (partition, offset) once the brokers have it. Raises `KafkaException`."""
        done: list[tuple[Any, Message]] = []
        self._producer.produce(topic, self._codec.encode(record), account, on_delivery=lambda e, m: done.append((e, m)))
        self._producer.flush(SILENCE_SECONDS)
        if not done:
            raise KafkaException(f"{topic}: the brokers did not acknowledge in {SILENCE_SECONDS:.0f} s")
        error, message = done[0]
        if error is not None:
            raise KafkaException(error)
        return message.partition() or 0, message.offset() or 0

    def ask(
        self,
        topic: str,
        account: str,
        record: Record,
        seconds: float,
        until: Callable[[OrderEvent], bool] | None = None,
    ) -> Iterator[OrderEvent | DeadLetter]:
        """Publish, then yield the answer: the event that is the outcome, or the dead letter.

        With `until`, all of the order's events after that, to the first that it holds for, or until nothing more was said for
        `LINGER_SECONDS` of an order that rests. Ends in any case after `seconds`.
        """
        consumer = self._tail([EVENTS, dead_letters(topic)])
        try:
            place = (topic, *self.send(topic, account, record))
            order_id: str | None = None
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                for said in self._take(consumer):
                    if isinstance(said, DeadLetter):
                        if (said.origin_topic, said.origin_partition, said.origin_offset) == place:
                            yield said
                            return
                        continue
                    answer = said.is_outcome and (said.cause_topic, said.cause_partition, said.cause_offset) == place
                    if answer:
                        order_id = said.order_id
                    if answer or (order_id and said.order_id == order_id):
                        yield said
                        if said.state in RESTING:
                            deadline = min(deadline, time.monotonic() + LINGER_SECONDS)
                        if until is None or not order_id or until(said):
                            return
        finally:
            consumer.close()

    def watch(self, account: str | None) -> Iterator[OrderEvent]:
        """Events from now on, of one account or of all, for ever."""
        consumer = self._tail([EVENTS])
        try:
            while True:
                for said in self._take(consumer):
                    if isinstance(said, OrderEvent) and account in (None, said.account_id):
                        yield said
        finally:
            consumer.close()

    def _tail(self, topics: list[str]) -> Consumer:
        consumer = reader(self._kafka)
        places = partitions(consumer, topics)
        consumer.assign([TopicPartition(p.topic, p.partition, watermarks(consumer, p)[1]) for p in places])
        return consumer

    def _take(self, consumer: Consumer) -> Iterator[OrderEvent | DeadLetter]:
        for message in consumer.consume(500, timeout=0.05):
            value = message.value()
            if message.error() is None and isinstance(value, bytes):
                try:
                    yield self._codec.decode(value, OrderEvent, DeadLetter)
                except DecodeError:
                    continue  # somebody else's record in the log: `bestex verify` reports it
