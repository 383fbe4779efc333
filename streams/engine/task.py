"""A task's work without Kafka: a batch of records in, the effects of one checkpoint out.

Pure in the sense that matters: no clock, no network. The engine commits the effects in a Kafka transaction and then applies them to the
task's stores; the test driver does the same in memory. Rules:

* a batch is processed whole; only if that raises is it processed again in halves, each on what the ones before it left, down to the
  records that cannot be handled, which become dead letters alone;
* a failure that says nothing about a record (`RegistryUnavailable`, `Retry`, `StateUnreadable`) is raised on: the batch is tried again;
* nothing leaves that a broker would refuse for its size: the record that it is owed to becomes a dead letter;
* records of one kind that fail one after another are a bug of ours, not of theirs: `Draining` is raised before they are dead letters;
* of a key's several writes in a batch only the last reaches the changelog.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from schemas.codec import Codec, DecodeError, RegistryUnavailable, SchemaUnread
from schemas.letters import MOST_BYTES, ROOM
from schemas.partitioner import partition_of
from schemas.records import DeadLetter, Record
from schemas.topics import dead_letters
from streams.engine.agent import Agent, Broadcast, Input, Message, Table, Timer
from streams.engine.store import Backing, State, StateUnreadable, store_of

TIMERS = "timers"
Pair = tuple[bytes | None, bytes | None]
Readers = Mapping[bytes, Callable[[bytes, int], tuple[Record, int]]]
Kind = tuple[str, type[Any]]  # of failures: the topic and the record, or the timers
HANDLER_FAILED, OUTPUT_REFUSED, TOO_LARGE = "HANDLER_FAILED", "OUTPUT_REFUSED", "TOO_LARGE"
# Key and value together. Brokers take a record batch of 1,048,588 bytes by default; changelogs are made to take twice that.
MAX_RECORD_BYTES, MAX_STATE_BYTES = 1_000_000, 2_000_000
SLIM_BYTES = 10_000
_MISSING = object()
_new = tuple.__new__


class Retry(Exception):
    """Raised by an agent for a condition that says nothing about the record: the batch is tried again later."""


class Draining(Exception):
    """The handling of records fails again and again: the worker stops rather than dead-letter a whole topic."""


class TooLarge(ValueError):
    """A record or a value that no broker takes."""


NOT_ITS_FAULT = (RegistryUnavailable, Retry, StateUnreadable, Draining)


@dataclass(slots=True)
class Effects:
    """What one checkpoint changes. `outputs`: (topic, partition) -> records; `tables`: table name -> key -> value or `None`."""

    outputs: dict[tuple[str, int], list[Pair]] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    timers: dict[str, int | None] = field(default_factory=dict)
    encoded: dict[str, dict[str, bytes | None]] = field(default_factory=dict)  # of tables and timers, once sealed
    fired: list[Timer] = field(default_factory=list)
    dead: int = 0

    failing: dict[Kind, int] | None = None  # failures in a row as they are after this; None: unchanged

    def __bool__(self) -> bool:
        """Whether anything of it is to be written, once it is sealed."""
        return bool(self.timers) or any(self.outputs.values()) or any(self.encoded.values())

    def add(self, step: Effects) -> None:
        """Take over what a step on top of these did."""
        for place, pairs in step.outputs.items():
            self.outputs.setdefault(place, []).extend(pairs)
        for name, staged in step.tables.items():
            self.tables.setdefault(name, {}).update(staged)
        for name, changes in step.encoded.items():
            self.encoded.setdefault(name, {}).update(changes)
        self.timers.update(step.timers)
        self.fired += step.fired
        self.dead += step.dead


class _View:
    """`streams.engine.agent.TableView` over what was there (`get`) and the batch's own writes."""

    __slots__ = ("_get", "_staged")

    def __init__(self, staged: dict[str, Any], get: Callable[[str], Any]) -> None:
        self._staged, self._get = staged, get

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
        found: dict[str, int] = {}
        while len(found) < most and (at := self.next_due()) is not None and at <= now:
            due, key = heapq.heappop(self._heap)
            found[key] = due  # once, though one that was moved away and back has two entries
        for key, due in found.items():
            heapq.heappush(self._heap, (due, key))
        return [Timer(key, due) for key, due in found.items()]


class Task:
    """Partition `partition` of an agent: its stores, its timers, its derived state, and how a batch changes them.

    `partitions`: how many the topics have, by topic. `backing`: the database of its state; without one it is in memory alone.
    `bug_limit`: so many records of one kind in a row whose handling raises are too many (None: never).
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
        bug_limit: int | None = None,
    ) -> None:
        self.agent, self.partition, self.codec = agent, partition, codec
        self._partitions, self._broadcasts = partitions, broadcasts
        self.stores = {t.name: store_of(t.name, t.value, codec, backing, cached) for t in agent.tables}
        self._due = store_of(TIMERS, int, codec, backing, 0)
        logged = {**self.stores, TIMERS: self._due} if agent.on_timer else self.stores
        self.state = State(logged, backing)
        self.timers = TimerQueue()
        self.local = agent.local() if agent.local else None
        self._bug_limit, self._failing = bug_limit, dict[Kind, int]()
        self._inputs = {i.topic: i for i in agent.inputs}
        self._readers: dict[str, Readers] = {i.topic: codec.readers(*i.records, brief=i.brief) for i in agent.inputs}
        self._raw = not any(i.records for i in agent.inputs)

    # ---- a checkpoint

    def run(
        self, sources: Sequence[Message], now: int, timers_at_most: int = 1000, refused: str | None = None
    ) -> Effects:
        """The effects of these records and of the timers that are due, on the state as it is committed.

        `refused`: why a broker took none of what they led to; they become dead letters unhandled. Raises one of `NOT_ITS_FAULT`:
        nothing happened, and nothing is said about the records.
        """
        ctx = _Context(self, now)
        if refused is not None:
            ctx.letter_bytes = SLIM_BYTES
        messages = self.decode(sources, ctx)
        due = self.timers.due(now, timers_at_most) if self.agent.on_timer else []
        if refused is not None:
            self._bury(ctx, messages, due, OUTPUT_REFUSED, refused)
            ctx.seal()
            return ctx.effects
        before, dead = {place: list(pairs) for place, pairs in ctx.effects.outputs.items()}, ctx.effects.dead
        try:
            self._work(ctx, messages, due)
            ctx.seal()
        except NOT_ITS_FAULT:
            raise
        except Exception:
            ctx = _Context(self, now)
            ctx.effects.outputs, ctx.effects.dead = before, dead
            return self._in_halves(ctx, messages, due)
        if self._failing:
            kinds = _kinds(messages, due)
            ctx.effects.failing = {kind: n for kind, n in self._failing.items() if kind not in kinds}
        return ctx.effects

    def _work(self, ctx: _Context, messages: Sequence[Message], due: Sequence[Timer]) -> None:
        if due and self.agent.on_timer:
            for timer in due:
                ctx.effects.timers[timer.key] = None
            ctx.effects.fired.extend(due)
            self.agent.on_timer(ctx, due)
        if messages:
            self.agent.process(ctx, messages)

    def _in_halves(self, whole: _Context, messages: Sequence[Message], due: Sequence[Timer]) -> Effects:
        """Some of these cannot be handled: which, is found in about twice the time of a batch, however long it is."""
        failing = dict(self._failing)
        todo = list(reversed(_halves(messages, due)))
        while todo:
            some, timers = todo.pop()
            step = _Context(self, whole.now, whole)
            try:
                self._work(step, some, timers)
                step.seal()
            except NOT_ITS_FAULT:
                raise
            except Exception as error:
                if len(some) + len(timers) > 1:
                    todo += reversed(_halves(some, timers))
                    continue
                step, size = _Context(self, whole.now, whole), isinstance(error, TooLarge)
                cause = TOO_LARGE if size else HANDLER_FAILED
                self._bury(step, some, timers, cause, f"{type(error).__name__}: {error}")
                step.seal()
                if not size:  # that is the record's own doing
                    self._count(failing, _kinds(some, timers))
            else:
                for kind in _kinds(some, timers) if failing else ():
                    failing.pop(kind, None)
            whole.effects.add(step.effects)
        whole.effects.failing = failing
        return whole.effects

    def _count(self, failing: dict[Kind, int], kinds: Iterable[Kind]) -> None:
        for kind in kinds:
            failing[kind] = failing.get(kind, 0) + 1
            if self._bug_limit is not None and failing[kind] >= self._bug_limit:
                words = f"{failing[kind]} records in a row could not be handled: {kind[1].__name__} of {kind[0]}"
                raise Draining(f"{self.agent.name}-{self.partition}: {words}")

    def _bury(self, ctx: _Context, messages: Sequence[Message], due: Sequence[Timer], cause: str, detail: str) -> None:
        for message in messages:
            ctx.dead_letter(message, cause, detail)
        for timer in due:
            ctx.effects.timers[timer.key] = None
            ctx.effects.fired.append(timer)
            ctx.dead_timer(timer, detail)

    def decode(self, sources: Iterable[Message], ctx: _Context | None = None) -> list[Message]:
        """The messages of an input; what does not decode is dead-lettered, what lies in the wrong partition is moved (with `ctx`)."""
        if self._raw:
            return list(sources)
        here, found = self.partition, list[Message]()
        ways = {
            topic: (how, self._readers[topic], self._partitions(topic), set[str]())
            for topic, how in self._inputs.items()
        }
        unread: set[int] = set()
        for source in sources:
            topic, partition, offset, timestamp, key, value, _ = source
            how, readers, partitions, ours = ways[topic]  # `ours`: keys that were seen to belong here
            if not how.records:
                found.append(source)
                continue
            end = -1
            if value is not None and (read := readers.get(value[:5])) is not None:
                try:
                    record, end = read(value, 5)
                except Exception:  # whatever reading nonsense meets: what it was is said below
                    end = -1
            if value is None or end != len(value):
                try:
                    record = self._read(how, source, ctx)
                except SchemaUnread as error:
                    unread |= error.ids
                    continue
                if record is None:
                    continue
            if how.key is not None and (right := how.key(record)) not in ours:
                raw = right.encode()
                if partition_of(raw, partitions) != here:
                    if ctx is not None:
                        ctx.move(source, raw)
                    continue
                ours.add(right)
            found.append(_new(Message, (topic, partition, offset, timestamp, key, value, record)))
        if unread:
            raise SchemaUnread(unread)
        return found

    def _read(self, how: Input, source: Message, ctx: _Context | None) -> Any:
        """The record of a message that is not simply one in our own version; `None`, and a dead letter, for what is none of those expected."""
        try:
            return self.codec.decode(source.value, *how.records)
        except DecodeError as error:
            if ctx is not None:
                ctx.dead_letter(source, error.code, error.detail)
            return None

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
        if effects.failing is not None:
            self._failing = effects.failing

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


class _Partitions(dict[str, int]):
    """How many partitions the topics have that a batch sends to, each asked for once."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Callable[[str], int]) -> None:
        super().__init__()
        self._ask = ask

    def __missing__(self, topic: str) -> int:
        found = self[topic] = self._ask(topic)
        return found


def _kinds(messages: Sequence[Message], due: Sequence[Timer]) -> set[Kind]:
    found: set[Kind] = {(message.topic, type(message.record)) for message in messages}
    return found | {(TIMERS, Timer)} if due else found


def _halves(messages: Sequence[Message], due: Sequence[Timer]) -> list[tuple[Sequence[Message], Sequence[Timer]]]:
    """In order: timers come before records."""
    if len(messages) + len(due) == 1:
        return [(messages, due)]
    if messages and due:
        return [((), due), (messages, ())]
    half = (len(messages) + len(due)) // 2
    return [(messages[:half], due[:half]), (messages[half:], due[half:])]


class _Context:
    """`streams.engine.agent.Context`, on the committed state or on what the context `under` it did."""

    __slots__ = (
        "_boxes", "_encode", "_partitions", "_places", "_task", "_under", "_views", "effects", "letter_bytes", "local", "now",
        "partition",
    )  # fmt: skip

    def __init__(self, task: Task, now: int, under: _Context | None = None) -> None:
        self.now, self.partition, self.local = now, task.partition, task.local
        self.effects, self._under, self.letter_bytes = Effects(), under, MOST_BYTES - ROOM
        self._task, self._encode = task, task.codec.encode
        self._partitions = _Partitions(task._partitions)
        self._views: dict[str, _View] = {}
        self._boxes: list[list[Pair]] = []
        # topic, key -> the key's bytes, what goes there
        self._places: dict[tuple[str, str], tuple[bytes, list[Pair]]] = {}

    def table(self, table: Table[Any]) -> _View:
        view = self._views.get(table.name)
        if view is None:
            staged = self.effects.tables.setdefault(table.name, {})
            below = self._under
            get = self._task.stores[table.name].get if below is None else below.table(table).get
            view = self._views[table.name] = _View(staged, get)
        return view

    def broadcast(self, broadcast: Broadcast[Any]) -> Mapping[str, Any]:
        return self._task._broadcasts[broadcast.topic]

    def send(
        self, topic: str, key: str, record: Record, body: bytes | None = None, partition: int | None = None
    ) -> None:
        # Most of what an agent says goes through here, in a batch often to the same keys: where one leads is found once.
        value = self._encode(record, body)
        if partition is None:
            found = self._places.get((topic, key))
            if found is None:
                raw = key.encode()
                pairs = self.effects.outputs.setdefault((topic, partition_of(raw, self._partitions[topic])), [])
                found = self._places[topic, key] = raw, pairs
            raw, pairs = found
        else:
            raw, pairs = key.encode(), self.effects.outputs.setdefault((topic, partition), [])
        if len(raw) + len(value) > MAX_RECORD_BYTES:
            raise TooLarge(f"a record to {topic} of more than {MAX_RECORD_BYTES} bytes")
        pairs.append((raw, value))

    def send_raw(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        if partition is None:
            partition = self.partition if key is None else partition_of(key, self._partitions[topic])
        if len(key or b"") + len(value or b"") > MAX_RECORD_BYTES:
            raise TooLarge(f"a record to {topic} of more than {MAX_RECORD_BYTES} bytes")
        self._put((topic, partition), key, value)

    def _put(self, place: tuple[str, int], key: bytes | None, value: bytes | None) -> None:
        pairs = self.effects.outputs.get(place)
        if pairs is None:
            pairs = self.effects.outputs[place] = []
        pairs.append((key, value))

    def partitions(self, topic: str) -> int:
        return self._partitions[topic]

    def outbox(self, topic: str, partition: int) -> Callable[[Pair], None]:
        box = self.effects.outputs.setdefault((topic, partition), [])
        self._boxes.append(box)  # looked at when the step is sealed
        return box.append

    def move(self, message: Message, key: bytes) -> None:
        """To the partition of `key`, as it is."""
        try:
            self.send_raw(message.topic, key, message.value)
        except TooLarge as error:
            self.dead_letter(message, TOO_LARGE, str(error))

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
        topic, key, raw = dead_letters(message.topic), message.key, self._encode(letter)
        for left_out in ("value", "key"):
            if len(raw) + len(key or b"") <= self.letter_bytes:
                break
            words = f"{letter.detail} (the {left_out} is too large to be carried: read it at its origin)"
            letter = replace(letter, **{left_out: None, "detail": words})
            key, raw = letter.key, self._encode(letter)
        # Its topic takes larger records than others; where it does not yet, the broker refuses and a slim letter follows.
        self._put((topic, message.partition % self._partitions[topic]), key, raw)
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
        for box in self._boxes:
            if any(len(key or b"") + len(value or b"") > MAX_RECORD_BYTES for key, value in box):
                raise TooLarge(f"a record of more than {MAX_RECORD_BYTES} bytes")
        tables: dict[str, dict[str, Any]] = dict(effects.tables)
        tables[TIMERS] = effects.timers
        for name, changes in tables.items():
            if not changes:
                continue
            encode, encoded = stores[name].encode, effects.encoded.setdefault(name, {})
            for key, value in changes.items():
                raw = encoded[key] = None if value is None else encode(value)
                if raw is not None and len(key) + len(raw) > MAX_STATE_BYTES:
                    raise TooLarge(f"a value of table {name} of more than {MAX_STATE_BYTES} bytes")
