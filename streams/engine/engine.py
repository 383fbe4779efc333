"""The engine of one agent in one process: its tasks, opened, run and closed by one invariant.

    fence → recover → seek

A task is opened always in this order: (1) its transactional producer is initialised, which shuts out the previous owner and finishes
its transaction; (2) the changelogs are read, committed records only, to their last stable offset; (3) the committed source offsets are
read and the consumer is placed there. Whatever went wrong, doing it again is safe, and it is the only way back. Rules:

* a batch is processed only if it begins exactly where the last committed one of its input ended;
* a transaction's outcome that is not known is treated as unknown: the task is opened again and reads what happened;
* state changes only after a commit, by the effects that were committed;
* a task that is fenced never writes again; the group decides who goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aiokafka.errors import KafkaError

from schemas.codec import Codec, RegistryUnavailable
from streams.engine.agent import Agent, Message
from streams.engine.metrics import Metrics
from streams.engine.reading import LogReader
from streams.engine.store import RocksBacking, StateUnwritable
from streams.engine.task import Effects, Retry, Task
from streams.engine.transactions import (
    CommitFailed,
    Fenced,
    Link,
    Membership,
    Step,
    TransactionalProducer,
    committed_offsets,
    no_step,
)

log = logging.getLogger(__name__)
Place = tuple[str, int]
RETRY_SECONDS = (0.05, 2.0)
IDLE_SECONDS = 60.0
WRITE_ATTEMPTS, MAX_UNWRITTEN = 6, 2_000_000  # before a worker whose disk refuses state gives up and starts over
MAX_AGE_US = 20 * 3_600_000_000  # below the changelogs' delete.retention.ms


class Draining(Exception):
    """The handling of records fails again and again: the worker stops rather than dead-letter a whole topic."""


@dataclass(slots=True, eq=False)
class Batch:
    """A contiguous slice of one source partition: offsets `[start, end)`, read in seek epoch `epoch`."""

    place: Place
    records: Sequence[Any]
    epoch: int
    start: int
    end: int


class Positioner(Protocol):
    """The consumer, as far as tasks need it."""

    async def place(self, offsets: Mapping[Place, int], epoch: int) -> None:
        """Read each place from its offset; batches read from then on carry `epoch`."""

    def membership(self) -> Membership:
        """Our place in the group now."""

    def unread(self, place: Place) -> int:
        """How many offsets of a place are committed and not read yet, as last heard."""


@dataclass(slots=True)
class Counters:
    """What a worker has done since it started."""

    records: int = 0
    batches: int = 0
    reopened: int = 0
    recovered: int = 0


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """`batch`: most records a checkpoint takes of one input. `interval`: least seconds between two checkpoints of a task.

    `bug_limit`: so many records in a row whose handling raises stop the worker. `transaction_ms`: see `TransactionalProducer`.
    `state_folder`: where local state is kept (None: in memory alone), written every `write_seconds`, with `cached` decoded values a table.
    """

    batch: int = 10_000
    interval: float = 0.0
    bug_limit: int = 50
    transaction_ms: int = 60_000
    close_seconds: float = 10.0
    state_folder: Path | None = None
    write_seconds: float = 1.0
    cached: int = 500_000


@dataclass(slots=True, eq=False)
class Seat:
    """A task with what it needs to run: producer, positions, and the batches that wait for it."""

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


class Engine:
    """`clock` gives microseconds since the epoch. `consumer_options` are keyword arguments of `AIOKafkaConsumer`."""

    def __init__(
        self,
        agent: Agent,
        codec: Codec,
        link: Link,
        broadcasts: Mapping[str, Mapping[str, Any]],
        consumer_options: Mapping[str, Any],
        clock: Callable[[], int],
        settings: EngineSettings | None = None,
    ) -> None:
        self.agent, self.codec, self.link = agent, codec, link
        self.settings = settings or EngineSettings()
        self.counters = Counters()
        self.metrics = Metrics(agent.name, self._gauges)
        self.is_open = False
        self._remaining: Mapping[str, int] = {}
        self._progress_at = time.monotonic()
        self.seats: dict[int, Seat] = {}
        self.topics = {i.topic for i in agent.inputs}
        self._loop = asyncio.get_running_loop()
        self.failed = self._future()
        self.step: Step = no_step
        self.producer = TransactionalProducer
        self.freed = asyncio.Event()  # a place can take another batch
        self.opened: Callable[[list[int]], None] = lambda partitions: None
        self._broadcasts, self._options, self._clock = broadcasts, consumer_options, clock
        self._positioner: Positioner
        self._epochs = 0
        self._kept: dict[int, Seat] = {}
        self._bugs = 0

    def _future(self) -> asyncio.Future[None]:
        return self._loop.create_future()

    # ---- opening and closing

    def attach(self, positioner: Positioner) -> None:
        """Give the consumer that places and feeds the tasks."""
        self._positioner = positioner

    async def open(self, assigned: Iterable[Place]) -> None:
        """Open the tasks of these partitions. Raises `ValueError` if inputs are not assigned partition by partition."""
        by_number: dict[int, set[str]] = {}
        for topic, number in assigned:
            if topic in self.topics:
                by_number.setdefault(number, set()).add(topic)
        torn = {n: topics for n, topics in by_number.items() if topics != self.topics}
        if torn:
            raise ValueError(f"{self.agent.name}: inputs of a task are assigned apart: {torn}")
        membership = self._positioner.membership()
        started = time.monotonic()
        for number in set(self._kept) - set(by_number):
            self._kept.pop(number).task.state.close()
        for number in by_number:
            # Kept until all is open: a rebalance in the middle starts over with them.
            seat = self._kept.get(number) or self._seat(number, membership)
            seat.membership, seat.closing, seat.closed = membership, False, self._future()
            self._kept[number] = seat
        seats = sorted(self._kept.values(), key=lambda seat: seat.number)
        await self._open(seats)
        self._kept.clear()
        self.is_open, self._progress_at = True, time.monotonic()
        self.metrics.opening.observe(time.monotonic() - started)
        self.seats = {seat.number: seat for seat in seats}
        for seat in seats:
            seat.runner = asyncio.create_task(self._run(seat), name=f"{self.agent.name}-{seat.number}")
            seat.runner.add_done_callback(self._ended)
            seat.writer = asyncio.create_task(self._write_state(seat))
            seat.writer.add_done_callback(self._ended)
        log.info(
            "%s: tasks %s open after %.2f s (%d records recovered so far)",
            self.agent.name,
            [s.number for s in seats],
            time.monotonic() - started,
            self.counters.recovered,
        )
        self.freed.set()
        self.opened([s.number for s in seats])

    def _seat(self, number: int, membership: Membership) -> Seat:
        settings, folder = self.settings, self.settings.state_folder
        backing = RocksBacking(folder / self.agent.name / str(number)) if folder else None
        task = Task(self.agent, number, self.codec, self.link.partitions, self._broadcasts, backing, settings.cached)
        _, written = task.state.load()
        if written and self._clock() - written > MAX_AGE_US:
            log.warning("%s-%d: local state is older than the changelog's tombstones", self.agent.name, number)
            task.state.wipe()
        producer = self.producer(self.link, f"{self.agent.name}-{number}", number, settings.transaction_ms)
        producer.step = self.step
        return Seat(number, task, producer, membership, self._future())

    async def _open(self, seats: Sequence[Seat]) -> None:
        """Fence, recover, seek."""
        for seat in seats:
            seat.epoch, seat.inbox = -1, {}
        await asyncio.gather(*(seat.producer.fence() for seat in seats))
        if not seats:
            return
        async with LogReader(self._options) as reader:
            await self._recover(seats, reader)
            await self._rewind(seats, reader)
        self._epochs += 1
        epoch = self._epochs
        await self._positioner.place({(t, s.number): o for s in seats for t, o in s.next.items()}, epoch)
        for seat in seats:
            seat.epoch = epoch

    async def _recover(self, seats: Sequence[Seat], reader: LogReader) -> None:
        agent = self.agent
        where = {
            (agent.changelog(name), seat.number): (seat, name) for seat in seats for name in seat.task.state.stores
        }

        def restore(place: Place, records: Sequence[Any]) -> None:
            seat, name = where[place]
            seat.task.restore(name, ((r.key, r.value) for r in records))

        starts = {place: seat.task.state.positions.get(name) for place, (seat, name) in where.items()}
        bounds = await reader.bounds(list(starts))
        for seat in seats:
            mine = [place for place, (owner, _) in where.items() if owner is seat]
            if any(not bounds[p][0] <= at <= bounds[p][1] for p in mine if (at := starts[p]) is not None):
                # The changelog began anew, or what is missing in it here was compacted away: only all of it is right.
                log.warning("%s-%d: local state does not fit its changelog and is rebuilt", agent.name, seat.number)
                seat.task.state.wipe()
                starts.update(dict.fromkeys(mine))
        ends, total = await reader.read(starts, restore, what=f"{agent.name}: recovering", told=self._told)
        for place, end in ends.items():
            seat, name = where[place]
            seat.task.state.positions[name] = end
        for seat in seats:
            seat.task.restored()
        self.counters.recovered += total
        self.metrics.recovered.inc(total)

    def _told(self, remaining: int) -> None:
        self._remaining = {"changelogs": remaining}

    async def _rewind(self, seats: Sequence[Seat], reader: LogReader) -> None:
        """Where to go on, and the derived state as it was there."""
        agent = self.agent
        places = [(i.topic, seat.number) for seat in seats for i in agent.inputs]
        known = await committed_offsets(self.link, agent.name, places)
        oldest = await reader.oldest([p for p in places if p not in known])
        for seat in seats:
            seat.next = {
                i.topic: known[i.topic, seat.number]
                if (i.topic, seat.number) in known
                else oldest[i.topic, seat.number]
                for i in agent.inputs
            }
            if agent.local:
                seat.task.local = agent.local()
        back = {i.topic: i.rebuild_us for i in agent.inputs if i.rebuild_us}
        if not (agent.rebuild and back):
            return
        ends = {(topic, s.number): s.next[topic] for s in seats for topic in back}
        starts = await reader.earlier({place: (end, back[place[0]]) for place, end in ends.items()})
        tasks = {s.number: s.task for s in seats}
        await reader.read(
            dict(starts),
            lambda place, records: tasks[place[1]].rebuild(records),
            ends,
            what=f"{agent.name}: rebuilding",
        )

    async def close(self, *, keep: bool) -> None:
        """Finish the open checkpoints, within `close_seconds`, and let go of all tasks; `keep` holds state for the next `open`."""
        seats, self.seats, self.is_open = list(self.seats.values()), {}, False
        for seat in seats:
            seat.closing = True
            seat.wake.set()
            if not seat.closed.done():
                seat.closed.set_result(None)
        running = [t for s in seats for t in (s.runner, s.writer) if t]
        if running:
            await asyncio.wait(running, timeout=self.settings.close_seconds)
        for seat in seats:
            if seat.runner and not seat.runner.done():
                # Its transaction may still commit: then it did so before the next owner's fence, and that owner reads it.
                log.error("%s-%d did not finish in time: left to be fenced", self.agent.name, seat.number)
                seat.runner.cancel()
            elif keep and seat.producer.usable:
                self._kept[seat.number] = seat
                continue
            seat.task.state.close()
        if not keep:
            for seat in self._kept.values():
                seat.task.state.close()
            self._kept.clear()

    async def _write_state(self, seat: Seat) -> None:
        """Bring what changed to disk every so often, and once more when the task closes."""
        if self.settings.state_folder is None:
            return
        state, refused = seat.task.state, 0
        while True:
            await asyncio.wait({seat.closed}, timeout=self.settings.write_seconds * min(2**refused, 8))
            if seat.closing and seat.runner is not None:
                await asyncio.wait({seat.runner}, timeout=self.settings.close_seconds / 2)
            changes, positions = state.take_unwritten()
            if changes:
                try:
                    await asyncio.to_thread(state.write, changes, positions, self._clock())
                    state.written(changes)
                    refused = 0
                except OSError as error:
                    refused += 1
                    log.error("%s-%d: state cannot be written, it waits: %s", self.agent.name, seat.number, error)
                    if (refused >= WRITE_ATTEMPTS or state.waiting > MAX_UNWRITTEN) and not seat.closing:
                        raise StateUnwritable(f"{state.waiting} changes wait for the disk: {error}") from error
            if seat.closing:
                return

    # ---- batches

    def wanted(self) -> set[Place]:
        """The places that can take another batch now."""
        now = time.monotonic()
        return {
            (topic, seat.number)
            for seat in self.seats.values()
            if seat.epoch >= 0 and not seat.closing and seat.not_before <= now
            for topic in self.topics
            if topic not in seat.inbox
        }

    def submit(self, batch: Batch) -> None:
        """A batch from the consumer. One of an older epoch is dropped: what it held is read again."""
        topic, number = batch.place
        seat = self.seats.get(number)
        if seat is None or seat.epoch != batch.epoch or topic in seat.inbox:
            return
        seat.inbox[topic] = batch
        seat.wake.set()

    async def _run(self, seat: Seat) -> None:
        """One task's life between open and close."""
        wait = RETRY_SECONDS[0]
        while not seat.closing:
            await self._wait(seat)
            if seat.closing:
                return
            try:
                async with seat.lock:
                    await self._checkpoint(seat)
                wait = RETRY_SECONDS[0]
            except (Retry, RegistryUnavailable) as error:
                log.warning("%s-%d: %s; again in %.2f s", self.agent.name, seat.number, error, wait)
                await self._pause(seat, wait)
                wait = min(wait * 2, RETRY_SECONDS[1])
            except Fenced as error:
                self.metrics.fenced.inc()
                log.error("%s; this task is another's now", error)
                seat.epoch, seat.closing = -1, True
                return
            except CommitFailed as error:
                self.metrics.failures.inc()
                log.warning("%s; opening the task again", error)
                wait = await self._reopen(seat, wait)

    async def _reopen(self, seat: Seat, wait: float) -> float:
        while not seat.closing:
            await self._pause(seat, wait)
            wait = min(wait * 2, RETRY_SECONDS[1])
            if seat.closing:
                break
            try:
                await self.link.refresh()
                await self._open([seat])
                self.counters.reopened += 1
                self.freed.set()
                return RETRY_SECONDS[0]
            except (CommitFailed, KafkaError, TimeoutError) as error:
                log.warning("%s-%d cannot be opened: %r", self.agent.name, seat.number, error)
        return wait

    async def _wait(self, seat: Seat) -> None:
        """Until there is a batch or a timer is due."""
        while not seat.inbox and not seat.closing:
            seat.wake.clear()
            due = seat.task.timers.next_due()
            left = IDLE_SECONDS if due is None else (due - self._clock()) / 1e6
            if left <= 0:
                return
            try:
                await asyncio.wait_for(seat.wake.wait(), min(left, IDLE_SECONDS))
            except TimeoutError:
                continue

    async def _pause(self, seat: Seat, seconds: float) -> None:
        """Wait before trying again, unless the task is to close."""
        await asyncio.wait({seat.closed}, timeout=seconds)

    async def _checkpoint(self, seat: Seat) -> None:
        batches = dict(seat.inbox)
        for topic, batch in batches.items():
            if batch.start != seat.next[topic]:
                raise CommitFailed(f"{topic}[{seat.number}]: got {batch.start}, expected {seat.next[topic]}")
        sources = [record for batch in batches.values() for record in batch.records]
        ends = {topic: batch.end for topic, batch in batches.items()}
        offsets = {(topic, seat.number): ends.get(topic, at) for topic, at in seat.next.items()}
        task, producer, started = seat.task, seat.producer, time.monotonic()
        # The offsets travel while the batch is processed: one round trip less to wait for.
        begun = asyncio.create_task(producer.begin(offsets, seat.membership))
        await asyncio.sleep(0)
        try:
            effects = task.run(sources, self._clock())
        except BaseException:
            # The transaction is open: ended by the fence that opening begins with.
            await asyncio.gather(begun, return_exceptions=True)
            producer.usable = False
            raise
        await begun
        await producer.step("processed")
        records, logs = self._records(seat, effects)
        appended = await producer.commit(records)
        task.apply(effects)
        for name, place in logs.items():
            task.state.positions[name] = appended[place].end
        for topic, end in ends.items():
            seat.next[topic] = end
            del seat.inbox[topic]
        await producer.step("applied")
        seat.not_before = started + self.settings.interval
        self._count(sources, effects, time.monotonic() - started)
        self.freed.set()

    def _records(self, seat: Seat, effects: Effects) -> tuple[dict[Place, list[Any]], dict[str, Place]]:
        records: dict[Place, list[Any]] = dict(effects.outputs)
        logs: dict[str, Place] = {}
        for name, pairs in seat.task.changelog(effects).items():
            place = (self.agent.changelog(name), seat.number)
            records[place], logs[name] = pairs, place
        return records, logs

    def _count(self, sources: Sequence[Message], effects: Effects, seconds: float) -> None:
        records, metrics, now = len(sources), self.metrics, self._clock()
        self.counters.records += records
        self.counters.batches += 1
        self._progress_at = time.monotonic()
        metrics.records.inc(records)
        metrics.batches.inc()
        metrics.seconds.observe(seconds)
        metrics.size.observe(records)
        if records:
            metrics.delay.observe(max(0.0, (now - min(sources[0].timestamp, sources[-1].timestamp)) / 1e6))
        if effects.dead:
            metrics.dead_letters.inc(effects.dead)
        for timer in effects.fired:
            metrics.timers.inc()
            metrics.late.observe(max(0.0, (now - timer.due) / 1e6))
        # Every record failing is a bug of ours, not of the records.
        self._bugs = self._bugs + effects.failed if effects.failed and effects.failed >= records else 0
        if self._bugs >= self.settings.bug_limit:
            raise Draining(f"{self.agent.name}: {self._bugs} records in a row could not be handled")

    # ---- what is told

    def stuck_seconds(self) -> float:
        """How long records have waited without any checkpoint; 0 while none wait or no task is open."""
        if not self.is_open or not any(lag for _, _, lag in self._lags()):
            return 0.0
        return time.monotonic() - self._progress_at

    def _lags(self) -> Iterator[tuple[str, int, int]]:
        for number, seat in self.seats.items():
            for topic in self.topics:
                batch = seat.inbox.get(topic)
                yield (
                    topic,
                    number,
                    self._positioner.unread((topic, number)) + (batch.end - batch.start if batch else 0),
                )

    def _gauges(self) -> Iterator[tuple[str, str, dict[str, str], float]]:
        yield "tasks", "Tasks open in this worker", {}, len(self.seats)
        yield "recovery_remaining", "Changelog records still to read", {}, sum(self._remaining.values())
        yield "timers_pending", "Timers that are set", {}, sum(len(s.task.timers) for s in self.seats.values())
        waiting = sum(s.task.state.waiting for s in self.seats.values())
        yield "state_unwritten", "Changes not yet in the local database", {}, waiting
        for topic, number, lag in self._lags():
            labels = {"topic": topic, "partition": str(number)}
            yield "lag", "Records between what is committed and the end of the input", labels, lag

    def _ended(self, runner: asyncio.Task[None]) -> None:
        if not runner.cancelled() and (error := runner.exception()) is not None and not self.failed.done():
            self.failed.set_exception(error)
