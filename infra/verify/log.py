"""The log as a judge sees it: every record of the topics that count, decoded, each with its place.

Causes are read before effects: a command that is read was published before the events are, so that what is missing of its answer was
missing then or came in the moments that `Log.quiet` tells of.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from aiokafka.partitioner import murmur2

from infra.kafka_log import partitions, read_to_end, reader, watermarks
from schemas.codec import BY_NAME, Codec, DecodeError
from schemas.records import (
    AccountState,
    CancelAll,
    CancelOrder,
    ChildCancel,
    ChildOrder,
    DeadLetter,
    ExecutionReport,
    Fill,
    ModifyOrder,
    OpenOrders,
    OrderEvent,
    OrderRecord,
    PlaceOrder,
    Position,
    Record,
    RouteCancel,
    RoutePlan,
    RouteRequest,
    RouteStatus,
    SetLimits,
    Transfer,
    VenueAlert,
)

COMMANDS, TRANSFERS, EVENTS, FILLS = "orders.commands", "account.transfers", "orders.events", "fills"
ACKS, CHILDREN, LIMITS, REQUESTS = "exchange.acks", "venue.orders", "account.limits", "orders.routable"
ALERTS = "venue.alerts"
ACCOUNTS, ORDERS = "accounts-accounts-changelog", "accounts-orders-changelog"  # the accounts agent's tables
POSITIONS, OPEN = "accounts-positions-changelog", "accounts-open-changelog"
CAUSES = (COMMANDS, TRANSFERS, LIMITS, REQUESTS, CHILDREN, ACKS)
LETTERS = tuple(f"{topic}.dlq" for topic in CAUSES)
EFFECTS = (EVENTS, FILLS, ALERTS, ACCOUNTS, ORDERS, POSITIONS, OPEN, *LETTERS)
TOPICS = (*CAUSES, *EFFECTS)

R = TypeVar("R", bound=Record)


class Entry(NamedTuple):
    """A record and where it lies. `record` is `None` where the value is none of ours; `key` and `value` are the bytes as they lie there."""

    topic: str
    partition: int
    offset: int
    value: bytes
    record: Any
    key: bytes = b""

    @property
    def place(self) -> tuple[str, int, int]:
        return self.topic, self.partition, self.offset

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


@dataclass(slots=True)
class Log:
    """All that was read. `partitions`: how many each topic has; `begins`: first offset still kept of each (topic, partition)."""

    partitions: dict[str, int] = field(default_factory=dict)
    begins: dict[tuple[str, int], int] = field(default_factory=dict)
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    quiet: bool = True
    _found: dict[tuple[str, tuple[type[Record], ...]], list[tuple[Entry, Any]]] = field(
        default_factory=dict, repr=False
    )

    def add(self, entry: Entry) -> None:
        """Take a record, in the order of its partition."""
        self.entries.setdefault(entry.topic, []).append(entry)
        self._found.clear()

    def of(self, topic: str, *records: type[R]) -> list[tuple[Entry, R]]:
        """The records of one kind in a topic, partition by partition in order. Every check asks; it is looked for once."""
        found = self._found.get((topic, records))
        if found is None:
            found = [(e, e.record) for e in self.entries.get(topic, ()) if isinstance(e.record, records)]
            self._found[topic, records] = found
        return found

    def transfers(self) -> list[tuple[Entry, Transfer]]:
        return self.of(TRANSFERS, Transfer)

    def events(self) -> list[tuple[Entry, OrderEvent]]:
        return self.of(EVENTS, OrderEvent)

    def fills(self) -> list[tuple[Entry, Fill]]:
        return self.of(FILLS, Fill)

    def reports(self) -> list[tuple[Entry, ExecutionReport]]:
        return self.of(ACKS, ExecutionReport)

    def plans(self) -> list[tuple[Entry, RoutePlan]]:
        return self.of(ACKS, RoutePlan)

    def children(self) -> list[tuple[Entry, ChildOrder]]:
        return self.of(CHILDREN, ChildOrder)

    def alerts(self) -> list[tuple[Entry, VenueAlert]]:
        return self.of(ALERTS, VenueAlert)

    def table(self, topic: str, record: type[R]) -> dict[str, R]:
        """What a table holds: the last record of each key in its changelog."""
        last = {e.key.decode(): e.record for e in self.entries.get(topic, ())}
        return {key: value for key, value in last.items() if isinstance(value, record)}

    def letters(self, topic: str) -> list[DeadLetter]:
        """What was dead-lettered of a topic."""
        return [letter for _, letter in self.of(topic + ".dlq", DeadLetter)]

    def misplaced(self, topic: str, partition: int, key: str) -> bool:
        """Whether a record of `key` lies in another partition than its key's: it was moved, and the copy counts."""
        return bool((murmur2(key.encode()) & 0x7FFFFFFF) % self.partitions[topic] != partition)


EXPECTED: Mapping[str, tuple[type[Record], ...]] = {
    COMMANDS: (PlaceOrder, CancelOrder, CancelAll, ModifyOrder),
    TRANSFERS: (Transfer,),
    LIMITS: (SetLimits,),
    ACKS: (ExecutionReport, RoutePlan, RouteStatus),
    CHILDREN: (ChildOrder, ChildCancel),
    REQUESTS: (RouteRequest, RouteCancel),
    EVENTS: (OrderEvent,),
    FILLS: (Fill,),
    ALERTS: (VenueAlert,),
    ACCOUNTS: (AccountState,),
    ORDERS: (OrderRecord,),
    POSITIONS: (Position,),
    OPEN: (OpenOrders,),
    **dict.fromkeys(LETTERS, (DeadLetter,)),
}


def load(kafka: Mapping[str, Any], codec: Codec) -> Log:
    """Read everything. Raises `KafkaException`, `RegistryUnavailable`."""
    log = Log()
    before = _ends(kafka, log)
    with _uncollected():
        for topics in (CAUSES, EFFECTS):
            _take(log, codec, read_to_end(kafka, topics))
    log.quiet = before == _ends(kafka, None)
    return log


@contextmanager
def _uncollected() -> Iterator[None]:
    """What is read here stays and holds no cycles: looking through it for garbage, again and again, took a fifth of a verification."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()


def _take(log: Log, codec: Codec, messages: Iterable[Any]) -> None:
    for message in messages:
        topic, key, value = message.topic(), message.key() or b"", message.value() or b""
        try:
            record = codec.decode(value, *EXPECTED[topic])
        except DecodeError:
            record = None
        log.add(Entry(topic, message.partition(), message.offset(), value, record, key))


def _ends(kafka: Mapping[str, Any], log: Log | None) -> dict[tuple[str, int], int]:
    consumer = reader(kafka)
    try:
        found = {}
        for place in partitions(consumer, TOPICS):
            low, high = watermarks(consumer, place)
            found[place.topic, place.partition] = high
            if log is not None:
                log.begins[place.topic, place.partition] = low
                log.partitions[place.topic] = max(log.partitions.get(place.topic, 0), place.partition + 1)
        return found
    finally:
        consumer.close()


def body(codec: Codec, record: Record) -> bytes:
    """The Avro body of a record by the newest schema, without the registry's frame."""
    assert record.AVRO in BY_NAME
    return codec.encode(record)[5:]
