"""Dead letters: records that can never be written, kept whole in their topic's twin with the cause.

Rules: nothing goes on before the broker has acknowledged every letter handed in (`settle`); a letter that failed is sent again, one that
is merely late is waited for and not sent twice; a record too large to be carried inside another, by our measure (`schemas.letters`) or the
broker's, goes without its value, which stays where the letter says it came from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.codec import Codec
from schemas.letters import MOST_BYTES, carried
from schemas.records import DeadLetter
from schemas.topics import dead_letters

log = logging.getLogger(__name__)

SECONDS = 15.0
_CONSUMERS_OWN = ("group.", "auto.offset.", "session.", "max.poll.", "fetch.", "heartbeat.", "partition.assignment.")


class DeadLetters:
    """Sends letters as `app`. `clock` gives microseconds since the epoch."""

    def __init__(self, kafka: Mapping[str, Any], codec: Codec, app: str, clock: Callable[[], int]) -> None:
        mine = {k: v for k, v in kafka.items() if not k.startswith(_CONSUMERS_OWN)}
        self._producer = Producer(
            {
                "message.max.bytes": MOST_BYTES,
                **mine,
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
            }
        )
        self._codec, self._app, self._clock = codec, app, clock
        self._failed: list[tuple[str, DeadLetter, KafkaError]] = []

    def bury(self, message: Message, code: str, detail: str) -> None:
        """Hand in one letter; it is on its way, no more."""
        topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
        log.error("dead letter %s/%d@%d: %s: %s", topic, partition, offset, code, detail[:500])
        kind, milliseconds = message.timestamp()
        key = _bytes(message.key())
        value, detail = carried(key, _bytes(message.value()), detail)
        letter = DeadLetter(
            origin_topic=topic,
            origin_partition=partition,
            origin_offset=offset,
            origin_timestamp=milliseconds * 1000 if kind else None,
            key=key,
            value=value,
            cause=code,
            detail=detail,
            app=self._app,
            at=self._clock(),
        )
        self._send(dead_letters(topic), letter)

    def settle(self) -> None:
        """Return when the broker has every letter. Raises `KafkaException` if it has not; then settle again, handing in nothing twice."""
        again, self._failed = self._failed, []
        for topic, letter, _ in again:
            self._send(topic, letter)
        late = self._producer.flush(SECONDS)
        if self._failed:
            raise KafkaException(self._failed[0][2])
        if late:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{late} dead letters are not acknowledged"))

    def _send(self, topic: str, letter: DeadLetter) -> None:
        while True:
            try:
                self._producer.produce(
                    topic, self._codec.encode(letter), letter.key, on_delivery=partial(self._delivered, topic, letter)
                )
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE or letter.value is None:
                    raise
                letter = _without_value(letter)

    def _delivered(self, topic: str, letter: DeadLetter, error: KafkaError | None, _: Message) -> None:
        if error is None:
            return
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and letter.value is not None:
            letter = _without_value(letter)
        self._failed.append((topic, letter, error))


def _without_value(letter: DeadLetter) -> DeadLetter:
    value, detail = carried(letter.key, letter.value, letter.detail, most=0)
    fields = {f: getattr(letter, f) for f in letter.__struct_fields__}
    return DeadLetter(**fields | {"value": value, "detail": detail})


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
