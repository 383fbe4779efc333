"""Follows the log while the demo runs: which orders are answered, which have ended, what the market quotes now.

It reads what any subscriber may read, in a thread of its own. It decides nothing about what is right: that is `bestex verify`'s work
afterwards, on the whole log.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import TopicPartition

from infra.kafka_log import partitions, reader
from infra.marks import codec
from infra.verify.invariants import ENDED
from schemas.codec import DecodeError
from schemas.records import DeadLetter, EventKind, OrderEvent, OrderState, Quote

Key = tuple[str, str]  # account, client order id
TOPICS = ("orders.events", "orders.commands.dlq", "account.transfers.dlq", "market.quotes")


class Tracker:
    """Use as a context manager. Reads from the beginning of the log."""

    def __init__(self, kafka: Mapping[str, Any], registry: str) -> None:
        self.states: dict[Key, OrderState] = {}
        self.quotes: dict[str, Quote] = {}
        self.letters: set[tuple[int, int]] = set()
        self.transfers = 0
        self.fills = 0
        self.heard = time.monotonic()  # when the log last said something about orders
        self.error: BaseException | None = None
        self._kafka, self._codec = kafka, codec(registry)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)

    def __enter__(self) -> Tracker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def ended(self, key: Key) -> bool:
        """Whether the order is in a state that it does not leave by itself."""
        return self.states.get(key) in ENDED

    def wait(self, until: Callable[[], bool], seconds: float, silence: float | None = None) -> bool:
        """Whether `until` came true within `seconds`, and before the log was silent for `silence` seconds. Raises what the reader met."""
        deadline = time.monotonic() + seconds
        while not until():
            if self.error is not None:
                raise self.error
            now = time.monotonic()
            if now > deadline or (silence is not None and now - self.heard > silence):
                return False
            time.sleep(0.02)  # between two looks at what the thread has read
        return True

    def _run(self) -> None:
        try:
            consumer = reader(self._kafka)
            try:
                consumer.assign([TopicPartition(p.topic, p.partition, 0) for p in partitions(consumer, TOPICS)])
                while not self._stop.is_set():
                    for message in consumer.consume(2_000, timeout=0.05):
                        if message.error() is None:
                            self._take(message.topic() or "", message.value())
            finally:
                consumer.close()
        except Exception as error:  # handed to whoever waits
            self.error = error

    def _take(self, topic: str, value: bytes | str | None) -> None:
        if not isinstance(value, bytes):
            return
        try:
            record = self._codec.decode(value, OrderEvent, DeadLetter, Quote)
        except DecodeError:
            return  # `bestex verify` reports it
        if isinstance(record, Quote):
            self.quotes[record.symbol] = record
            return
        self.heard = time.monotonic()
        if isinstance(record, DeadLetter):
            if topic == "orders.commands.dlq":
                self.letters.add((record.origin_partition, record.origin_offset))
        elif record.order_id:
            self.states[record.account_id, record.client_order_id] = record.state
            self.fills += record.kind is EventKind.FILL
        else:
            self.transfers += record.kind is EventKind.TRANSFERRED
