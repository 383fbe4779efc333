"""A seat: one task with what it needs to run, the batches that wait for it, and what the next checkpoint takes of them.

Rules:

* a batch is a slice of one source partition without a gap; what is taken of it is always its beginning;
* after a failure that has to do with size a checkpoint takes less, down to a single record or timer, and grows again with success;
* a single one whose outcome no broker takes is named (`refused`), and only that one is put aside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from streams.engine.agent import Message, Timer
from streams.engine.task import Task
from streams.engine.transactions import Membership, TransactionalProducer

Place = tuple[str, int]
TIMERS_AT_MOST = 1000
OWED_SECONDS = 0.5  # offsets of records without an effect are committed by then
PACE_OF = 50  # fewer records say little about how long one takes


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """`batch`: most records a checkpoint takes of one input. `interval`: least seconds between two checkpoints of a task.
    `batch_seconds`: for about so long a checkpoint's records are worked on, when many wait: the tasks of a process take turns, and whoever reads
    what they write is not left waiting.

    `bug_limit`: so many records in a row whose handling raises stop the worker. `transaction_ms`: see `TransactionalProducer`.
    `state_folder`: where local state is kept (None: in memory alone), written every `write_seconds`, with `cached` decoded values a table.
    """

    batch: int = 10_000
    batch_seconds: float = 0.1
    interval: float = 0.0
    bug_limit: int = 50
    transaction_ms: int = 60_000
    close_seconds: float = 10.0
    state_folder: Path | None = None
    write_seconds: float = 1.0
    cached: int = 500_000


@dataclass(slots=True, eq=False)
class Batch:
    """A contiguous slice of one source partition: offsets `[start, end)`, read in seek epoch `epoch`."""

    place: Place
    records: Sequence[Any]
    epoch: int
    start: int
    end: int

    def first(self, most: int) -> Batch:
        """Its beginning, of at most so many records."""
        if len(self.records) <= most:
            return self
        return Batch(self.place, self.records[:most], self.epoch, self.start, self.records[most].offset)

    def after(self, end: int) -> Batch | None:
        """What is left of it from offset `end` on."""
        left = [record for record in self.records if record.offset >= end] if end < self.end else []
        return Batch(self.place, left, self.epoch, end, self.end) if left else None


class Positioner(Protocol):
    """The consumer, as far as tasks need it."""

    async def place(self, offsets: Mapping[Place, int], epoch: int) -> None:
        """Read each place from its offset; batches read from then on carry `epoch`."""

    def membership(self) -> Membership:
        """Our place in the group now."""

    def unread(self, place: Place) -> int:
        """How many offsets of a place are committed and not read yet, as last heard."""


@dataclass(slots=True, eq=False)
class Seat:
    """See the module. `most`: how much a checkpoint takes (None: all). `behind_since`: when records were first seen to wait after the last checkpoint.
    `owing_since`: since when offsets of records that had no effect have not been committed."""

    number: int
    task: Task
    producer: TransactionalProducer
    membership: Membership
    closed: asyncio.Future[None]
    next: dict[str, int] = field(default_factory=dict)
    inbox: dict[str, Batch] = field(default_factory=dict)
    epoch: int = -1
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    closing: bool = False
    runner: asyncio.Task[None] | None = None
    writer: asyncio.Task[None] | None = None
    not_before: float = 0.0
    behind_since: float | None = None
    owing_since: float | None = None
    most: int | None = None
    refused: tuple[Place | Timer, str] | None = None
    pace: float = 0.0  # seconds that a record has taken lately
    lived: bool = False  # something was committed by it, ever

    def portion(self, now: int, seconds: float) -> tuple[dict[str, Batch], int]:
        """The batches that the next checkpoint takes, what can be done in so many `seconds`, and how many timers at most."""
        if self.most is None:
            waiting = sum(len(batch.records) for batch in self.inbox.values())
            if waiting * self.pace <= seconds:
                return dict(self.inbox), TIMERS_AT_MOST
            # of each input its share: none waits for another to be done with
            share = seconds / (waiting * self.pace)
            some = {topic: batch.first(max(1, int(len(batch.records) * share))) for topic, batch in self.inbox.items()}
            return some, TIMERS_AT_MOST
        due = self.task.timers.next_due()
        if due is not None and due <= now:
            return {}, self.most
        found: dict[str, Batch] = {}
        left = self.most
        for topic, batch in self.inbox.items():
            if left:
                found[topic] = batch.first(left)
                left -= len(found[topic].records)
        return found, 0

    def owes(self, now: float) -> bool:
        """Offsets without an effect are to be committed now. To be asked at each batch that had none: the first starts the clock."""
        if self.owing_since is None:
            self.owing_since = now
        return now - self.owing_since >= OWED_SECONDS

    def worked(self, records: int, seconds: float) -> None:
        """So many records were worked on for so long."""
        if records >= PACE_OF:
            pace = seconds / records
            self.pace = pace if not self.pace else 0.7 * self.pace + 0.3 * pace

    def why_refused(self, sources: Sequence[Message], now: int) -> str | None:
        """Why no broker takes what these lead to, if they are what was refused."""
        if self.refused is None or len(sources) > 1 or self.most != 1:
            return None
        what, why = self.refused
        if sources:
            return why if what == _name(sources[0]) else None
        return why if self.task.timers.due(now, 1) == [what] else None

    def too_much(self, sources: Sequence[Message], fired: Sequence[Timer], refusal: str | None) -> bool:
        """Take half of that next time; name the one that was refused. False: it was refused as a dead letter too."""
        size = len(sources) + len(fired)
        self.most = max(1, size // 2)
        if refusal is None or size != 1:
            return True
        what = _name(sources[0]) if sources else fired[0]
        if self.refused is not None and self.refused[0] == what:
            return False
        self.refused = (what, refusal)
        return True

    def went_well(self, batch: int, buried: bool) -> None:
        """A checkpoint was committed, in which the refused one was put aside or not: the next one may be larger."""
        if self.most is not None:
            self.most = None if self.most >= batch else 2 * self.most
        if buried:
            self.refused = None


def _name(message: Message) -> Place:
    return message.topic, message.offset
