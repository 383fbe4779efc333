"""The engine of one agent in one process: its tasks, run and closed by one invariant. How they are opened: `opening`.

Whatever went wrong, opening a task again is safe, and it is the only way back. Rules:

* a batch is processed only if it begins exactly where the last committed one of its input ended;
* a transaction's outcome that is not known is treated as unknown: the task is opened again and reads what happened;
* state changes only after a commit, by the effects that were committed;
* records of a quiet input that had no effect move the task on without a transaction: their offsets are committed with the next effects, or
  soon after. Until then a crash shows them again, and nothing that is seen tells of the first time;
* who owns a task, the consumer group says, nobody else: before a producer is fenced again its coordinator is asked, and one whose member
  we are not any more is let go of;
* a batch that a broker does not answer, or refuses, is not tried again as it is: half of it is, down to a single record.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError

from schemas.codec import Codec, RegistryUnavailable, SchemaUnread
from streams.engine.agent import Agent, Message
from streams.engine.metrics import Metrics
from streams.engine.opening import Opening, PositionLost
from streams.engine.seat import OWED_SECONDS, Place, Positioner, Seat
from streams.engine.seat import Batch as Batch
from streams.engine.seat import EngineSettings as EngineSettings
from streams.engine.store import StateUnreadable, StateUnwritable
from streams.engine.task import Draining, Effects, Retry
from streams.engine.transactions import (
    CommitFailed,
    Fenced,
    Link,
    Membership,
    Step,
    TimedOut,
    TransactionalProducer,
    Unwritable,
    no_step,
)

log = logging.getLogger(__name__)
RETRY_SECONDS = (0.05, 2.0)
IDLE_SECONDS = 60.0
WRITE_ATTEMPTS, MAX_UNWRITTEN = 6, 2_000_000  # before a worker whose disk refuses state gives up and starts over
WRITERS = 4
NOWHERE = -1


@dataclass(slots=True)
class Counters:
    """What a worker has done since it started."""

    records: int = 0
    batches: int = 0
    reopened: int = 0
    recovered: int = 0


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
        self.seats: dict[int, Seat] = {}
        self.topics = {i.topic for i in agent.inputs}
        self._quiet = {i.topic for i in agent.inputs if i.quiet}
        self._loop = asyncio.get_running_loop()
        self.failed = self._future()
        self.step: Step = no_step
        self.producer = TransactionalProducer
        self.freed = asyncio.Event()  # a place can take another batch
        self.opened: Callable[[list[int]], None] = lambda partitions: None
        self._clock = clock
        self._opening = Opening(agent, codec, link, broadcasts, consumer_options, clock, self.settings)
        self._positioner: Positioner
        self._kept: dict[int, Seat] = {}
        # Of their own: a disk that hangs must not hold up what else needs a thread, the commits least of all.
        self._writers = ThreadPoolExecutor(WRITERS, f"{agent.name}-state")

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
        self.is_open = True
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
        producer = self.producer(self.link, f"{self.agent.name}-{number}", number, self.settings.transaction_ms)
        producer.step = self.step
        return self._opening.seat(number, membership, producer)

    async def _open(self, seats: Sequence[Seat]) -> None:
        opening, before = self._opening, self._opening.recovered
        try:
            while True:
                try:
                    await opening.open(seats, self._positioner)
                    return
                except SchemaUnread as error:
                    try:
                        await asyncio.to_thread(self.codec.learn, error.ids)
                    except RegistryUnavailable as silent:
                        log.warning("%s cannot be opened yet: %s", self.agent.name, silent)
                        if any(seat.closing for seat in seats):
                            raise
                        await asyncio.sleep(RETRY_SECONDS[1])
        except PositionLost as error:
            self._fail(error)
            raise
        finally:
            self.counters.recovered = opening.recovered
            self.metrics.recovered.inc(opening.recovered - before)

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
            taken = state.take_unwritten()
            if taken.changes:
                try:
                    await self._loop.run_in_executor(self._writers, state.write, taken, self._clock())
                    state.written(taken)
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

    def out_of_range(self, place: Place) -> None:
        """The consumer says that there are no records where a task is to go on: opening it again finds out why."""
        topic, number = place
        if (seat := self.seats.get(number)) is not None and seat.epoch >= 0:
            seat.inbox[topic] = Batch(place, (), seat.epoch, NOWHERE, NOWHERE)
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
            except SchemaUnread as error:
                try:
                    await asyncio.to_thread(self.codec.learn, error.ids)
                except RegistryUnavailable as silent:
                    wait = await self._again(seat, silent, wait)
            except (Retry, RegistryUnavailable) as error:
                wait = await self._again(seat, error, wait)
            except StateUnreadable as error:
                self.metrics.failures.inc()
                log.error("%s-%d: local state cannot be read and is rebuilt: %s", self.agent.name, seat.number, error)
                seat.task.state.wipe()
                wait = await self._reopen(seat, wait)
            except CommitFailed as error:
                (self.metrics.fenced if isinstance(error, Fenced) else self.metrics.failures).inc()
                log.warning("%s; opening the task again", error)
                wait = await self._reopen(seat, wait)

    async def _again(self, seat: Seat, error: Exception, wait: float) -> float:
        log.warning("%s-%d: %s; again in %.2f s", self.agent.name, seat.number, error, wait)
        await self._pause(seat, wait)
        return min(wait * 2, RETRY_SECONDS[1])

    async def _reopen(self, seat: Seat, wait: float) -> float:
        while not seat.closing:
            await self._pause(seat, wait)
            wait = min(wait * 2, RETRY_SECONDS[1])
            if seat.closing:
                break
            try:
                await self.link.refresh()
                if not await self.link.member(seat.membership):
                    # To fence now would shut out whoever owns the task. Ours hears of it too, joins anew, and opens what it is given.
                    log.error("%s-%d is not ours any more: the group decides", self.agent.name, seat.number)
                    seat.epoch, seat.closing = -1, True
                    break
                await self._open([seat])
                self.counters.reopened += 1
                self.freed.set()
                return RETRY_SECONDS[0]
            except (CommitFailed, KafkaError, TimeoutError, RegistryUnavailable) as error:
                log.warning("%s-%d cannot be opened: %r", self.agent.name, seat.number, error)
        return wait

    async def _wait(self, seat: Seat) -> None:
        """Until there is a batch, a timer is due, or progress has been owed for long enough."""
        while not seat.inbox and not seat.closing:
            seat.wake.clear()
            due = seat.task.timers.next_due()
            left = IDLE_SECONDS if due is None else (due - self._clock()) / 1e6
            if seat.owing_since is not None:
                left = min(left, seat.owing_since + OWED_SECONDS - time.monotonic())
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
        now = self._clock()
        batches, timers = seat.portion(now, self.settings.batch_seconds)
        for topic, batch in batches.items():
            if batch.start != seat.next[topic]:
                raise CommitFailed(f"{topic}[{seat.number}]: got {batch.start}, expected {seat.next[topic]}")
        sources = [record for batch in batches.values() for record in batch.records]
        ends = {topic: batch.end for topic, batch in batches.items()}
        offsets = {(topic, seat.number): ends.get(topic, at) for topic, at in seat.next.items()}
        producer, started = seat.producer, time.monotonic()
        refusal, effects = seat.why_refused(sources, now), Effects()
        begin = partial(producer.begin, offsets, seat.membership)
        work = partial(self._work, seat, sources, now, timers, refusal)
        try:
            if batches and self._quiet.issuperset(batches):
                effects = work()
                if not effects and not seat.owes(started):
                    self._went_on(seat, ends, effects, started)
                    self._count(sources)
                    return
                await begin()
            else:
                effects = await self._meanwhile(producer, begin, work)
            await producer.step("processed")
            records, logs = self._records(seat, effects)
            appended = await producer.commit(records)
        except (Unwritable, TimedOut) as error:
            why = str(error) if isinstance(error, Unwritable) else None
            if not seat.too_much(sources, effects.fired, why):
                raise Draining(f"{error}, nor the dead letter of what led to it") from error
            raise
        for name, place in logs.items():
            seat.task.state.positions[name] = appended[place].end
        seat.lived, seat.owing_since = True, None
        self._went_on(seat, ends, effects, started)
        seat.went_well(self.settings.batch, refusal is not None)
        await producer.step("applied")
        self._count(sources)
        self._committed(len(sources), effects, time.monotonic() - started)

    def _work(self, seat: Seat, sources: Sequence[Message], now: int, timers: int, refusal: str | None) -> Effects:
        began = time.monotonic()
        effects = seat.task.run(sources, now, timers, refusal)
        seat.worked(len(sources), time.monotonic() - began)
        return effects

    async def _meanwhile(
        self,
        producer: TransactionalProducer,
        begin: Callable[[], Coroutine[Any, Any, None]],
        work: Callable[[], Effects],
    ) -> Effects:
        """Process the batch while its offsets travel: one round trip less to wait for."""
        begun = asyncio.create_task(begin())
        await asyncio.sleep(0)
        try:
            effects = work()
        except (Retry, RegistryUnavailable):
            await begun
            await producer.abort()
            raise
        except BaseException:
            # The transaction is open: ended by the fence that opening begins with.
            await asyncio.gather(begun, return_exceptions=True)
            producer.usable = False
            raise
        await begun
        return effects

    def _went_on(self, seat: Seat, ends: Mapping[str, int], effects: Effects, started: float) -> None:
        """The task is at `ends`, and its state is what it is after the effects."""
        seat.task.apply(effects)
        for topic, end in ends.items():
            seat.next[topic] = end
            left = seat.inbox.pop(topic).after(end)
            if left is not None:
                seat.inbox[topic] = left
        seat.not_before, seat.behind_since = started + self.settings.interval, None
        self.freed.set()

    def _records(self, seat: Seat, effects: Effects) -> tuple[dict[Place, list[Any]], dict[str, Place]]:
        records: dict[Place, list[Any]] = dict(effects.outputs)
        logs: dict[str, Place] = {}
        for name, pairs in seat.task.changelog(effects).items():
            place = (self.agent.changelog(name), seat.number)
            records[place], logs[name] = pairs, place
        return records, logs

    def _count(self, sources: Sequence[Message]) -> None:
        self.counters.records += len(sources)
        self.metrics.records.inc(len(sources))
        if sources:
            oldest = min(sources[0].timestamp, sources[-1].timestamp)
            self.metrics.delay.observe(max(0.0, (self._clock() - oldest) / 1e6))

    def _committed(self, records: int, effects: Effects, seconds: float) -> None:
        metrics, now = self.metrics, self._clock()
        self.counters.batches += 1
        metrics.batches.inc()
        metrics.seconds.observe(seconds)
        metrics.size.observe(records)
        if effects.dead:
            metrics.dead_letters.inc(effects.dead)
        for timer in effects.fired:
            metrics.timers.inc()
            metrics.late.observe(max(0.0, (now - timer.due) / 1e6))

    # ---- what is told

    def stuck_seconds(self) -> float:
        """How long records of any one task have waited without a checkpoint of it, as far as anybody looked; 0 while no task is open."""
        now, behind = time.monotonic(), Counter[int]()
        for _, number, lag in self._lags() if self.is_open else ():
            behind[number] += lag
        for number, seat in self.seats.items():
            if not behind[number]:
                seat.behind_since = None
            elif seat.behind_since is None:
                seat.behind_since = now
        return max((now - since for s in self.seats.values() if (since := s.behind_since) is not None), default=0.0)

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
        yield "stuck_seconds", "How long records of a task have waited without a checkpoint", {}, self.stuck_seconds()
        yield "recovery_remaining", "Changelog records still to read", {}, self._opening.remaining
        yield "timers_pending", "Timers that are set", {}, sum(len(s.task.timers) for s in self.seats.values())
        waiting = sum(s.task.state.waiting for s in self.seats.values())
        yield "state_unwritten", "Changes not yet in the local database", {}, waiting
        for topic, number, lag in self._lags():
            labels = {"topic": topic, "partition": str(number)}
            yield "lag", "Records between what is committed and the end of the input", labels, lag

    def _ended(self, runner: asyncio.Task[None]) -> None:
        if not runner.cancelled() and (error := runner.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)
