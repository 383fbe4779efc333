"""A task's work without Kafka: a batch of records in, the effects of one checkpoint out.

Pure in the sense that matters: no clock, no network. The engine commits the effects in a Kafka transaction and then applies them to the
task's stores; the test driver does the same in memory. Rules:

* a batch is processed whole; only if that raises is it processed again record by record, each on a savepoint, to find the
  records that cannot be handled and to dead-letter those alone;
* a failure that says nothing about a record (`RegistryUnavailable`, `Retry`) is raised on: the batch is tried again later;
* of a key's several writes in a batch only the last reaches the changelog.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.records import DeadLetter, Record
from schemas.topics import dead_letters
from streams.engine.agent import Agent, Broadcast, Message, Table, Timer
from streams.engine.partitioner import partition_of
from streams.engine.store import Backing, State, Store, store_of

TIMERS = "timers"
Pair = tuple[bytes | None, bytes | None]
HANDLER_FAILED = "HANDLER_FAILED"
_MISSING = object()
_new = tuple.__new__


class Retry(Exception):
    """Raised by an agent for a condition that says nothing about the record: the batch is tried again later."""


@dataclass(slots=True)
class Effects:
    """What one checkpoint changes. `outputs`: (topic, partition) -> records; `tables`: table name -> key -> value or `None`."""

    outputs: dict[tuple[str, int], list[Pair]] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    timers: dict[str, int | None] = field(default_factory=dict)
    encoded: dict[str, dict[str, bytes | None]] = field(default_factory=dict)  # of tables and timers, once sealed
    fired: list[Timer] = field(default_factory=list)
    dead: int = 0
    failed: int = 0  # of the dead, those whose handling raised

    def copy(self) -> Effects:
        """A savepoint."""
        return Effects(
            {place: list(pairs) for place, pairs in self.outputs.items()},
            {name: dict(staged) for name, staged in self.tables.items()},
            dict(self.timers),
            fired=list(self.fired),
            dead=self.dead,
            failed=self.failed,
        )


class _View:
    """`streams.engine.agent.TableView` over a shard's committed store and the batch's own writes."""

    __slots__ = ("_get", "_staged")

    def __init__(self, staged: dict[str, Any], store: Store) -> None:
        self._staged, self._get = staged, store.get

    def get(self, key: str) -> Any:
        value = self._staged.get(key, _MISSING)
        return self._get(key) if value is _MISSING else value

    def __setitem__(self, key: str, value: Any) -> None:
        self._staged[key] = value

    def __delitem__(self, key: str) -> None:
        self._staged[key] = None


class TimerQueue:
    """Due times of one task in order. Committed timers only; an entry that was replaced or cancelled is skipped when it surfaces."""

    __slots__ = ("_due", "_heap")

    def __init__(self, pending: Iterable[tuple[str, int]] = ()) -> None:
        self._due: dict[str, int] = dict(pending)
        self._heap = [(due, key) for key, due in self._due.items()]
        heapq.heapify(self._heap)

    def __len__(self) -> int:
        return len(self._due)

    def apply(self, changes: Mapping[str, int | None]) -> None:
        """Take over committed changes."""
        for key, due in changes.items():
            if due is None:
                self._due.pop(key, None)
            elif self._due.get(key) != due:
                self._due[key] = due
                heapq.heappush(self._heap, (due, key))
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._due):
            self._heap = [(due, key) for key, due in self._due.items()]
            heapq.heapify(self._heap)

    def next_due(self) -> int | None:
        """When the earliest timer is due."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: int, most: int) -> list[Timer]:
        """Up to `most` due timers, earliest first. They stay in the queue until a commit removes them."""
        found: list[Timer] = []
        while len(found) < most and (at := self.next_due()) is not None and at <= now:
            due, key = heapq.heappop(self._heap)
            found.append(Timer(key, due))
        for timer in found:
            heapq.heappush(self._heap, (timer.due, timer.key))
        return found


class Task:
    """Partition `partition` of an agent: its stores, its timers, its derived state, and how a batch changes them.

    `partitions`: how many the topics have, by topic. `backing`: the database of its state; without one it is in memory alone.
    """

    def __init__(
        self,
        agent: Agent,
        partition: int,
        codec: Codec,
        partitions: Callable[[str], int],
        broadcasts: Mapping[str, Mapping[str, Any]],
        backing: Backing | None = None,
        cached: int = 500_000,
    ) -> None:
        self.agent, self.partition, self.codec = agent, partition, codec
        self._partitions, self._broadcasts = partitions, broadcasts
        self.stores = {t.name: store_of(t.name, t.value, codec, backing, cached) for t in agent.tables}
        self._due = store_of(TIMERS, int, codec, backing, 0)
        logged = {**self.stores, TIMERS: self._due} if agent.on_timer else self.stores
        self.state = State(logged, backing)
        self.timers = TimerQueue()
        self.local = agent.local() if agent.local else None
        self._inputs = {i.topic: i for i in agent.inputs}
        self._raw = not any(i.records for i in agent.inputs)

    # ---- a checkpoint

    def run(self, sources: Sequence[Message], now: int, timers_at_most: int = 1000) -> Effects:
        """The effects of these records and of the timers that are due, on the state as it is committed.

        Raises `RegistryUnavailable` or `Retry`: nothing happened, try again later.
        """
        ctx = _Context(self, now)
        messages = self.decode(sources, ctx)
        due = self.timers.due(now, timers_at_most) if self.agent.on_timer else []
        before = ctx.effects.copy()
        try:
            self._work(ctx, messages, due)
            ctx.seal()
        except (RegistryUnavailable, Retry):
            raise
        except Exception as error:
            if len(messages) + len(due) == 1:
                ctx = _Context(self, now, before)
                self._bury(ctx, messages, due, error)
                ctx.seal()
            else:
                ctx = self._one_by_one(before, messages, due, now)
        return ctx.effects

    def _work(self, ctx: _Context, messages: Sequence[Message], due: Sequence[Timer]) -> None:
        if due and self.agent.on_timer:
            for timer in due:
                ctx.effects.timers[timer.key] = None
            ctx.effects.fired.extend(due)
            self.agent.on_timer(ctx, due)
        if messages:
            self.agent.process(ctx, messages)

    def _one_by_one(self, effects: Effects, messages: Sequence[Message], due: Sequence[Timer], now: int) -> _Context:
        ctx = _Context(self, now, effects)
        steps: list[tuple[list[Message], list[Timer]]] = [([], [t]) for t in due]
        steps += [([m], []) for m in messages]
        for some, timers in steps:
            savepoint = ctx.effects.copy()
            try:
                self._work(ctx, some, timers)
                ctx.seal()
            except (RegistryUnavailable, Retry):
                raise
            except Exception as error:
                ctx = _Context(self, now, savepoint)
                self._bury(ctx, some, timers, error)
        ctx.seal()
        return ctx

    def _bury(self, ctx: _Context, messages: Sequence[Message], due: Sequence[Timer], error: Exception) -> None:
        detail = f"{type(error).__name__}: {error}"
        for message in messages:
            ctx.dead_letter(message, HANDLER_FAILED, detail)
        for timer in due:
            ctx.effects.timers[timer.key] = None
            ctx.dead_timer(timer, detail)
        ctx.effects.failed += len(messages) + len(due)

    def decode(self, sources: Iterable[Message], ctx: _Context | None = None) -> list[Message]:
        """The messages of an input; what does not decode is dead-lettered, what lies in the wrong partition is moved (with `ctx`)."""
        if self._raw:
            return list(sources)
        decode, here, inputs, found = self.codec.decode, self.partition, self._inputs, []
        for source in sources:
            topic, _, _, _, _, value, _ = source
            how = inputs[topic]
            if not how.records:
                found.append(source)
                continue
            try:
                record: Any = decode(value, *how.records)
            except DecodeError as error:
                if ctx is not None:
                    ctx.dead_letter(source, error.code, error.detail)
                continue
            if how.key is not None:
                key = how.key(record).encode()
                if partition_of(key, self._partitions(topic)) != here:
                    if ctx is not None:
                        ctx.send_raw(topic, key, value)
                    continue
            found.append(_new(Message, (*source[:6], record)))
        return found

    # ---- its state

    def changelog(self, effects: Effects) -> dict[str, list[Pair]]:
        """Table name -> records of its changelog for these effects."""
        return {
            name: [(key.encode(), value) for key, value in changes.items()] for name, changes in effects.encoded.items()
        }

    def apply(self, effects: Effects) -> None:
        """The effects are committed: take them over."""
        for name, changes in effects.encoded.items():
            if name == TIMERS:
                self._due.apply(effects.timers, changes)
            else:
                self.stores[name].apply(effects.tables[name], changes)
        self.timers.apply(effects.timers)

    def restore(self, table: str, records: Iterable[Pair]) -> None:
        """Records of a changelog, in order, while recovering. `restored` follows."""
        self.state.stores[table].restore({(key or b"").decode(): value for key, value in records})

    def restored(self) -> None:
        """Everything is recovered: line the timers up."""
        self.timers = TimerQueue(self._due.items())

    def rebuild(self, sources: Iterable[Message]) -> None:
        """Show recent records of an input to the agent's derived state again."""
        if self.agent.rebuild is not None:
            for message in self.decode(sources):
                self.agent.rebuild(self.local, message)


class _Context:
    """`streams.engine.agent.Context`."""

    __slots__ = ("_encode", "_partitions", "_task", "_views", "effects", "local", "now", "partition")

    def __init__(self, task: Task, now: int, effects: Effects | None = None) -> None:
        self.now, self.partition, self.local = now, task.partition, task.local
        self.effects = effects or Effects()
        self._task, self._partitions, self._encode = task, task._partitions, task.codec.encode
        self._views: dict[str, _View] = {}

    def table(self, table: Table[Any]) -> _View:
        view = self._views.get(table.name)
        if view is None:
            staged = self.effects.tables.setdefault(table.name, {})
            view = self._views[table.name] = _View(staged, self._task.stores[table.name])
        return view

    def broadcast(self, broadcast: Broadcast[Any]) -> Mapping[str, Any]:
        return self._task._broadcasts[broadcast.topic]

    def send(self, topic: str, key: str, record: Record) -> None:
        self.send_raw(topic, key.encode(), self._encode(record))

    def send_raw(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        if partition is None:
            partition = self.partition if key is None else partition_of(key, self._partitions(topic))
        place = (topic, partition)
        pairs = self.effects.outputs.get(place)
        if pairs is None:
            pairs = self.effects.outputs[place] = []
        pairs.append((key, value))

    def outbox(self, topic: str, partition: int) -> Callable[[Pair], None]:
        return self.effects.outputs.setdefault((topic, partition), []).append

    def dead_letter(self, message: Message, cause: str, detail: str) -> None:
        letter = DeadLetter(
            origin_topic=message.topic,
            origin_partition=message.partition,
            origin_offset=message.offset,
            origin_timestamp=message.timestamp,
            key=message.key,
            value=message.value,
            cause=cause,
            detail=detail[:1000],
            app=self._task.agent.name,
            at=self.now,
        )
        topic = dead_letters(message.topic)
        partition = message.partition % self._partitions(topic)
        self.send_raw(topic, message.key, self._encode(letter), partition)
        self.effects.dead += 1

    def dead_timer(self, timer: Timer, detail: str) -> None:
        """A timer whose handling raises has no origin record: it is reported beside the dead letters of the first input."""
        topic = self._task.agent.inputs[0].topic
        message = Message(topic, self.partition, -1, timer.due, timer.key.encode(), None, None)
        self.dead_letter(message, "TIMER_FAILED", detail)

    def set_timer(self, key: str, due: int) -> None:
        self._timers()[key] = due

    def cancel_timer(self, key: str) -> None:
        self._timers()[key] = None

    def _timers(self) -> dict[str, int | None]:
        if self._task.agent.on_timer is None:
            raise ValueError(f"{self._task.agent.name} has no on_timer")
        return self.effects.timers

    def seal(self) -> None:
        """Encode what tables and timers come to hold, while the record that a failure belongs to is known."""
        effects, stores = self.effects, self._task.state.stores
        effects.encoded = {
            name: {key: None if value is None else encode(value) for key, value in changes.items()}
            for name, changes, encode in (
                *((name, staged, stores[name].encode) for name, staged in effects.tables.items() if staged),
                *([(TIMERS, effects.timers, stores[TIMERS].encode)] if effects.timers else ()),
            )
        }
