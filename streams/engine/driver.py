"""Runs an agent in memory with a clock that the test owns: records in, outputs and tables out, crashes at will.

The agent, its task and its codec are those of production; only Kafka is replaced, by lists. It keeps what a broker and a changelog
keep, so that a `crash` loses exactly what a crash loses: everything that was not committed. `step` is told of each step of each
checkpoint, and may raise `Crash` or `Abort` there:

    begun      the offsets are sent, nothing is processed
    processed  the effects are known
    produced   outputs and changelogs are in the transaction, which is open
    committed  it is committed, and the task does not know it yet
    applied    the task has taken the effects over
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

from schemas.codec import BY_NAME, Codec, LocalRegistry
from schemas.partitioner import partition_of
from schemas.records import Record
from streams.engine.agent import Agent, Message, Table
from streams.engine.task import Effects, Pair, Task

V = TypeVar("V", bound=Record)
Place = tuple[str, int]


STEPS = ("begun", "processed", "produced", "committed", "applied")


class Crash(Exception):
    """Raised by `Driver.step`: the process dies here. It comes back and goes on."""


class Abort(Exception):
    """Raised by `Driver.step`: the commit failed, or its outcome is unknown. That task is opened again, as the engine does."""


class Driver:
    """`partitions` for every topic; `now` in microseconds, moved by `advance` alone.

    >>> driver = Driver(ACCOUNTS, now=1_700_000_000_000_000)  # doctest: +SKIP
    >>> driver.feed("orders.commands", "acct-1", PlaceOrder(...)); driver.run()  # doctest: +SKIP
    >>> driver.records("orders.events")  # doctest: +SKIP
    """

    def __init__(self, agent: Agent, now: int = 0, partitions: int = 1, codec: Codec | None = None) -> None:
        self.agent, self.now, self.partitions = agent, now, partitions
        self.codec = codec or Codec(LocalRegistry())
        self.log: dict[Place, list[Pair]] = defaultdict(list)
        self._times: dict[Place, list[int]] = defaultdict(list)
        self._read: dict[Place, int] = defaultdict(int)
        self.broadcasts: dict[str, dict[str, Any]] = {b.topic: {} for b in agent.broadcasts}
        self.tasks: dict[int, Task] = {}
        self.step: Callable[[str], None] = lambda name: None
        self._open()

    # ---- input

    def feed(self, topic: str, key: str, record: Record | bytes | None, partition: int | None = None) -> None:
        """Append a record (or raw bytes) to an input or a broadcast topic."""
        if topic in self.broadcasts:
            assert isinstance(record, Record), "a broadcast topic carries records"
            self.broadcasts[topic][key] = record
            return
        value = self.codec.encode(record) if isinstance(record, Record) else record
        at = partition_of(key.encode(), self.partitions) if partition is None else partition
        self._append((topic, at), (key.encode(), value))

    def run(self, at_most: int | None = None) -> int:
        """Process what is there, in batches of `at_most` records a task; how many records were taken."""
        total = 0
        while taken := sum(self._advance(number, at_most) for number in range(self.partitions)):
            total += taken
        return total

    def _advance(self, number: int, at_most: int | None) -> int:
        try:
            return self._checkpoint(self.tasks[number], at_most)
        except Crash:
            self.crash()
        except Abort:
            self.tasks[number] = self._task(number)
        return 1  # it was tried, and is tried again

    def advance(self, microseconds: int) -> None:
        """Move the clock and run what became due."""
        self.now += microseconds
        self.run()

    # ---- faults

    def prepare(self, at_most: int | None = None) -> list[Effects]:
        """Process batches and throw the effects away, as when a transaction aborts; nothing is committed."""
        return [task.run(self._next(task, at_most), self.now) for task in self.tasks.values()]

    def fail(self, step: str, how: type[Crash] | type[Abort]) -> None:
        """The next checkpoint that comes to `step` fails there, once."""
        before = self.step

        def once(name: str) -> None:
            if name == step:
                self.step = before
                raise how(name)
            before(name)

        self.step = once

    def crash(self) -> None:
        """Lose all memory and recover from the log."""
        self._open()

    # ---- output

    def records(self, topic: str) -> list[Any]:
        """All committed records of a topic, partition by partition, decoded."""
        places = sorted(place for place in self.log if place[0] == topic)
        return [self._decode(value) for place in places for _, value in self.log[place]]

    def get(self, table: Table[V], key: str) -> V | None:
        """The committed value of a key, in whichever task holds it."""
        for task in self.tasks.values():
            if (value := task.stores[table.name].get(key)) is not None:
                return value  # type: ignore[no-any-return]  # the store holds the table's records
        return None

    def all(self, table: Table[V]) -> dict[str, V]:
        """All of a table."""
        return {k: v for task in self.tasks.values() for k, v in task.stores[table.name].items()}

    # ---- inside

    def _decode(self, value: bytes | None) -> Record | None:
        return None if value is None else self.codec.decode(value, *BY_NAME.values())

    def _append(self, place: Place, pair: Pair) -> None:
        self.log[place].append(pair)
        self._times[place].append(self.now)

    def _open(self) -> None:
        self.tasks = {n: self._task(n) for n in range(self.partitions)}

    def _task(self, number: int) -> Task:
        task = Task(self.agent, number, self.codec, lambda _: self.partitions, self.broadcasts)
        for name in task.state.stores:
            task.restore(name, self.log[self.agent.changelog(name), number])
        task.restored()
        for how in self.agent.inputs:
            if how.rebuild_us:
                place = (how.topic, number)
                task.rebuild(self._source(place, i) for i in range(self._read[place]))
        return task

    def _source(self, place: Place, offset: int) -> Message:
        key, value = self.log[place][offset]
        return Message(*place, offset, self._times[place][offset], key, value, None)

    def _next(self, task: Task, at_most: int | None) -> list[Message]:
        found: list[Message] = []
        for how in self.agent.inputs:
            place = (how.topic, task.partition)
            start, end = self._read[place], len(self.log[place])
            room = end - start if at_most is None else min(end - start, at_most - len(found))
            found += [self._source(place, i) for i in range(start, start + room)]
        return found

    def _checkpoint(self, task: Task, at_most: int | None) -> int:
        sources, due = self._next(task, at_most), task.timers.next_due()
        if not sources and (due is None or due > self.now):
            return 0
        self.step("begun")
        effects = task.run(sources, self.now)
        self.step("processed")
        changes = task.changelog(effects)
        self.step("produced")
        for name, pairs in changes.items():
            self.log[self.agent.changelog(name), task.partition].extend(pairs)
        for place, pairs in effects.outputs.items():
            for pair in pairs:
                self._append(place, pair)
        for source in sources:
            self._read[source.topic, source.partition] = source.offset + 1
        self.step("committed")
        task.apply(effects)
        self.step("applied")
        return len(sources) + len(effects.timers)
