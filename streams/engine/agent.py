"""What an agent of the engine is: its inputs, its tables, and one function from a batch of records to effects.

An agent names what it reads, what it keeps and what it decides; it never touches Kafka. The same definition runs on the real engine
(`streams.engine.worker`) and in memory (`streams.engine.driver`). The rules that an author relies on:

* all inputs have one number of partitions; partition n of every input, of every table and its timers are one *task*, processed serially;
* whatever `process` writes, sends, schedules or rejects becomes visible together with the offsets of the records it was given, in one
  Kafka transaction, or not at all;
* a record that does not decode is dead-lettered before `process` sees it; one whose handling raises is dead-lettered alone, and
  the rest of its batch goes on;
* `ctx.now` is the only clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from schemas.records import Record

V = TypeVar("V")


class Message(NamedTuple):
    """A record of an input as an agent sees it. `timestamp` is Kafka's, in microseconds; `record` is `None` on raw inputs."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    record: Any


@dataclass(frozen=True, slots=True)
class Input:
    """A topic to read.

    `records`: the records it may carry; empty for a raw input whose values are left as bytes. `key`: what a record must be keyed by;
    a record that lies in another partition than its key's (its producer hashes differently, or left the key out) is moved to the right one,
    inside the transaction. `rebuild_us`: how many microseconds before the committed position `Agent.rebuild` is shown again at opening.
    `perishable`: its records are of no use once their topic's retention deletes them; of any other input none may be missed. `brief`: the
    reasons that its records carry may be left out, and where their schema is our own version are (see `Record.read_brief`). `quiet`: most of
    its records change nothing that is written; offsets of those that did not may be committed a moment later.
    """

    topic: str
    records: tuple[type[Record], ...] = ()
    key: Callable[[Any], str] | None = None
    rebuild_us: int = 0
    perishable: bool = False
    brief: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Table(Generic[V]):
    """State keyed by string, one shard a partition, rebuilt from its changelog topic `<agent>-<name>-changelog`.

    `value`: a record, in the registry's framing; or `int`, 64 bits big-endian.
    """

    name: str
    value: type[V]


@dataclass(frozen=True, slots=True)
class Broadcast(Generic[V]):
    """A compacted topic of which every task sees all partitions, read-only and a moment behind: instruments, quotes, venue health."""

    topic: str
    value: type[V]


class Timer(NamedTuple):
    """A timer that is due. `key` names it within the task, `due` is when it was to fire (microseconds)."""

    key: str
    due: int


class TableView(Protocol[V]):
    """One table within a batch: reads see the batch's own writes."""

    def get(self, key: str) -> V | None:
        """The value, or `None`."""

    def __setitem__(self, key: str, value: V) -> None: ...

    def __delitem__(self, key: str) -> None: ...


class Context(Protocol):
    """What `process` may do. Nothing is visible outside before the commit."""

    now: int
    partition: int
    local: Any

    def table(self, table: Table[V]) -> TableView[V]:
        """The shard of `table` that belongs to this task."""

    def broadcast(self, broadcast: Broadcast[V]) -> Mapping[str, V]:
        """All of a broadcast topic, by key, as far as it has been read."""

    def send(
        self, topic: str, key: str, record: Record, body: bytes | None = None, partition: int | None = None
    ) -> None:
        """Send to the partition of `key`, or the one given. Raises `ValueError` for a value that the record's schema cannot hold.

        `body`: the record's Avro body, where the caller has it already.
        """

    def send_raw(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        """Send bytes, to the partition of `key` or the one given."""

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""

    def outbox(self, topic: str, partition: int) -> Callable[[tuple[bytes | None, bytes | None]], None]:
        """For loops over many records: call what it returns with `(key, value)`, instead of `send_raw` each time."""

    def dead_letter(self, message: Message, cause: str, detail: str) -> None:
        """Put a record of the batch aside, whole, with a stable `cause`."""

    def set_timer(self, key: str, due: int) -> None:
        """Call `on_timer` once `now` has reached `due` (microseconds); replaces a timer of the same key."""

    def cancel_timer(self, key: str) -> None:
        """Forget a timer; nothing happens if there is none."""


class Look(Protocol):
    """What a view may look at: what is committed, in the task that has the key, and the broadcasts. It changes nothing."""

    now: int

    def get(self, table: Table[V], key: str) -> V | None:
        """The committed value, or `None`."""

    def broadcast(self, broadcast: Broadcast[V]) -> Mapping[str, V]:
        """All of a broadcast topic, by key, as far as it has been read."""


View = Callable[[Look, str, Mapping[str, str]], Any]
"""From a key and the query's parameters to what `msgspec.json` can write; `None` where there is nothing of that key."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent. `name` is its consumer group and the prefix of its changelogs and transactional ids.

    `outputs`: the topics it sends to. `local` makes derived state that is not logged (books): `rebuild` is fed the recent records
    of inputs with `rebuild_us` when a task opens, and both it and `process` must bear seeing a record again. `views` are what the worker's
    web side serves of it beside its tables, `/view/NAME/KEY`; a key is looked for in its own partition.
    """

    name: str
    inputs: tuple[Input, ...]
    process: Callable[[Context, Sequence[Message]], None]
    outputs: tuple[str, ...] = ()
    tables: tuple[Table[Any], ...] = ()
    broadcasts: tuple[Broadcast[Any], ...] = ()
    on_timer: Callable[[Context, Sequence[Timer]], None] | None = None
    local: Callable[[], Any] | None = None
    rebuild: Callable[[Any, Message], None] | None = None
    views: Mapping[str, View] = field(default_factory=dict)

    def changelog(self, table: str) -> str:
        """The name of a table's changelog topic."""
        return f"{self.name}-{table}-changelog"
