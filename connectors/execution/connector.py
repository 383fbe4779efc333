"""The execution connector: `venue.orders` in, venues asked, `exchange.acks` out, each child sent at most once.

    poll ─► claim (journal + source offset, one transaction) ─► send ─► result (reports + journal, one transaction)

A crash before the claim commits leaves the record to be read again; after it, the journal shows a claimed child, which is never sent
again but asked about (`Desk.recover`). The broker refuses transactions of a process whose partitions moved on (the offsets sent in
each carry the group generation), the venue refuses its late requests (`Claimed`, `recv_window_ms`).

On any failure that is not a venue's the process ends: starting over is the recovery that is tested most.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ccxt.base import errors  # type: ignore[import-untyped, unused-ignore]  # upstream ships no types
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from connectors.execution import journal, report, source
from connectors.execution.audit import Audit
from connectors.execution.broadcast import Broadcast
from connectors.execution.desk import Child, Claimed, Desk, now_us
from connectors.execution.health import Breaker
from connectors.execution.journal import Journal
from connectors.execution.settings import ExecutionSettings
from connectors.execution.waits import at_most
from connectors.execution.writer import ORDERS, Ownership, Writer
from connectors.venues.adapter import VenueConfig
from connectors.venues.outcomes import Outcome, OutcomeKind
from connectors.venues.registry import adapter
from connectors.venues.transport import http_client
from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.records import (
    ChildCancel,
    ChildOrder,
    ExecutionKind,
    ExecutionPhase,
)
from schemas.registry import ConfluentRegistry

log = logging.getLogger(__name__)
END_SECONDS = 10.0  # for what runs in the background to end


class PositionLost(Exception):
    """Orders were deleted unread: going on elsewhere would leave them without an answer."""


class Connector:
    """One process of the group. `run` returns when `stop` is set and all is drained; raises when it must start over."""

    def __init__(
        self, kafka: Mapping[str, Any], codec: Codec, venues: Sequence[VenueConfig], settings: ExecutionSettings
    ) -> None:
        self._kafka, self._codec, self._settings = dict(kafka), codec, settings
        name = settings.instance or f"{os.getpid()}-{os.urandom(4).hex()}"
        self._orders = settings.prefix + ORDERS
        self._writer = Writer(kafka, f"{settings.group}-{name}", codec, settings.linger, settings.prefix)
        # One pool a venue: a pool looks through all of its connections at every request.
        self._http = {v.name: http_client(v.timeout) for v in venues}
        self.desks = {
            v.name: Desk(
                adapter(v, self._http[v.name]),
                self._writer,
                self._spawn,
                settings.in_flight,
                settings.claim_ttl,
                settings.poll,
            )
            for v in venues
        }
        for desk in self.desks.values():
            desk.reconciles = settings.reconcile
            desk.health.breaker = Breaker(settings.breaker_failures, round(settings.breaker_seconds * 1e6))
        self._audits: dict[str, Audit] = {}
        if settings.reconcile and settings.audit > 0:
            self._audits = {
                name: Audit(desk, self._writer, settings.audit, settings.slack_units)
                for name, desk in self.desks.items()
            }
        for name, audit in self._audits.items():
            self.desks[name].watcher = audit
        self._owners: dict[int, Ownership] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending: dict[asyncio.Future[None], Ownership] = {}
        self._outstanding = 0
        self._room = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "consumer")
        self._failure: asyncio.Future[None]
        self._loop: asyncio.AbstractEventLoop
        self._leaving = False
        self._broadcast = Broadcast(kafka, codec, settings.prefix)

    # ---- life

    async def run(self, stop: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._failure = self._loop.create_future()
        consumer = self._consumer()
        try:
            await self._writer.start()
            log.info("predecessor fenced; asking %s for instruments", ", ".join(self.desks) or "no venue")
            self._spawn(self._writer.run())
            for desk in self.desks.values():
                self._spawn(self._load(desk))
                if self._settings.reconcile:
                    self._spawn(desk.run_polls())
                self._spawn(desk.run_probes())
                self._spawn(self._broadcast.health(desk))
                if self._settings.balance_seconds > 0:
                    self._spawn(self._broadcast.balances(desk, self._settings.balance_seconds))
            for audit in self._audits.values():
                self._spawn(audit.run())
            self._spawn(self._sweep())
            # An order taken before its venue was asked would be refused for a symbol not known yet.
            tried: asyncio.Future[Any] = asyncio.gather(*(desk.tried.wait() for desk in self.desks.values()))
            await asyncio.wait({tried, self._failure}, return_when=asyncio.FIRST_COMPLETED)
            await self._loop.run_in_executor(self._thread, self._subscribe, consumer)
            log.info("subscribed to %s", self._orders)
            consume = asyncio.create_task(self._consume(consumer))
            stopped = asyncio.create_task(stop.wait())
            ends: set[asyncio.Future[Any]] = {consume, stopped, self._failure}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            self._leaving = True
            if (
                consume.done()
                and not consume.cancelled()
                and (error := consume.exception())
                and not self._failure.done()
            ):
                self._failure.set_exception(error)
            stopped.cancel()
            # Its last poll ends within a tenth of a second; after a failure it may wait for a commit that never comes.
            await asyncio.wait({consume}, timeout=1.0 if self._failure.done() else self._settings.drain)
            consume.cancel()
            if self._failure.done():
                log.error("ending: %r", self._failure.exception())  # now: what follows may take its time
                self._failure.result()
            log.info("leaving")
            await asyncio.wait_for(self._release(list(self._owners)), self._settings.drain + 5)
        finally:
            self._leaving = True
            for owner in self._owners.values():
                owner.active = False
            await self._end_tasks()
            await self._loop.run_in_executor(self._thread, consumer.close)
            await self._loop.run_in_executor(None, self._broadcast.flush)
            await self._writer.close()
            for desk in self.desks.values():
                await desk.adapter.close()
            for http in self._http.values():
                await http.aclose()
            self._thread.shutdown(wait=False)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run in the background; what it raises ends the process."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _end_tasks(self) -> None:
        """End all that runs in the background. What misses its cancellation, as libraries do now and then, is cancelled again, for a while."""
        deadline = self._loop.time() + END_SECONDS
        while (left := [task for task in self._tasks if not task.done()]) and self._loop.time() < deadline:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=1.0)
        for task in left:
            log.error("left behind: %r", task)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._spawn(work)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def _load(self, desk: Desk) -> None:
        """Read the venue's instruments, publish them, then listen to its stream."""
        wait = 0.2
        desk.loaded.clear()
        while True:
            try:
                instruments = await desk.adapter.load()
                break
            except (errors.BaseError, ValueError, KeyError) as error:
                log.warning("%s: instruments cannot be read: %s", desk.adapter.config.name, str(error)[:300])
                desk.health.unreachable(str(error))
                desk.health_changed.set()
                desk.tried.set()
                await asyncio.sleep(wait)
                wait = min(wait * 2, 5.0)
        desk.loaded.set()
        self._broadcast.instruments(instruments)
        desk.health.answered()
        desk.tried.set()
        desk.reconcile_soon()
        await desk.run_stream()

    async def _sweep(self) -> None:
        """Forget children long closed: by then no late fill and no cancel comes."""
        while True:
            await asyncio.sleep(min(10.0, self._settings.retention))
            limit = now_us() - int(self._settings.retention * 1e6)
            for name, desk in self.desks.items():
                old = [c for c in desk.children.values() if c.state.closed_at is not None and c.state.closed_at < limit]
                audit = self._audits.get(name)
                for child in old:
                    if audit is not None and audit.concerns(child.child_id):
                        continue
                    del desk.children[child.child_id]
                    desk.adapter.forget(child.child_id)
                    self._writer.put(child.owner, child.child_id, None)

    # ---- partitions

    def _consumer(self) -> Consumer:
        settings = self._settings
        config = {
            **self._kafka,
            "group.id": settings.group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",  # a place that is gone is not another place
            # Eager: every rebalance revokes all, so that one generation covers all that is owned.
            "partition.assignment.strategy": "range",
            "session.timeout.ms": settings.session_timeout_ms,
            "heartbeat.interval.ms": max(300, settings.session_timeout_ms // 5),
            "fetch.wait.max.ms": 50,
        }
        if settings.instance:
            config["group.instance.id"] = f"{settings.group}-{settings.instance}"
        return Consumer(config)

    def _subscribe(self, consumer: Consumer) -> None:
        consumer.subscribe([self._orders], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """In the consumer's thread: nothing is polled before the journal is known."""
        found: list[tuple[Ownership, Journal]] = []
        for place in consumer.committed(places, timeout=30):
            if place.error is not None:  # an unknown place is not the beginning
                raise KafkaException(place.error)
            offset = self._position(place.partition, place.offset, consumer)
            kept = journal.read(
                self._kafka,
                self._codec,
                place.partition,
                self._settings.journal_timeout,
                self._settings.prefix + journal.TOPIC,
            )
            found.append((Ownership(place.partition, offset, None), kept))
        metadata = consumer.consumer_group_metadata()
        for owner, _ in found:
            owner.metadata = metadata
        consumer.assign([TopicPartition(self._orders, owner.partition, owner.offset) for owner, _ in found])
        partitions = len(consumer.list_topics(self._orders, timeout=30).topics[self._orders].partitions)
        self._loop.call_soon_threadsafe(self._assigned, found, partitions)

    def _position(self, partition: int, committed: int, consumer: Consumer) -> int:
        """Where to go on in a partition. Raises `PositionLost`."""
        place = TopicPartition(self._orders, partition)
        oldest, end = consumer.get_watermark_offsets(place, timeout=30)
        if committed < 0 or (committed < oldest and oldest == end):
            return int(oldest)  # a new group; or an empty log, of which the last that went was no record
        if not oldest <= committed <= end:
            raise PositionLost(
                f"the group {self._settings.group} is to go on at {committed} of {self._orders}[{partition}], which now holds [{oldest}, {end}): "
                "records were deleted unread, or the topic was made anew. Nothing is sent before somebody has seen to the orders that were lost, "
                "and has set the group's offsets (kafka-consumer-groups --reset-offsets)"
            )
        return committed

    def _assigned(self, found: Iterable[tuple[Ownership, Journal]], partitions: int) -> None:
        for owner, kept in found:
            count = len(kept.children)
            log.info("partition %d from offset %d, %d children in the journal", owner.partition, owner.offset, count)
            self._owners[owner.partition] = owner
            for name, audit in self._audits.items():
                if audit.home(partitions) == owner.partition:
                    audit.begin(owner, kept.ledgers.get(journal.ledger_key(name)), kept.alerts.values())
            for child_id, state in kept.children.items():
                desk = self.desks.get(state.child.venue)
                if desk is None:
                    log.error("child %s: venue %s is not configured here", child_id, state.child.venue)
                    continue
                child = desk.children[child_id] = Child(child_id, owner, state)
                desk.adapter.know(child_id, state.venue_order_id, state.claimed_at)
                if state.phase in (ExecutionPhase.CLAIMED, ExecutionPhase.UNKNOWN):
                    self._spawn(desk.recover(child))
                if state.cancel_at is not None:
                    self._spawn(desk.cancel(child))
        for desk in self.desks.values():
            desk.reconcile_soon()

    def _on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """In the consumer's thread; our generation still counts until this returns."""
        if self._leaving:
            return  # released already, or failed: then the journal tells the next owner
        release = asyncio.run_coroutine_threadsafe(self._release([p.partition for p in places]), self._loop)
        release.result(self._settings.drain + 5)

    def _on_lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._loop.call_soon_threadsafe(self._forget, [p.partition for p in places])

    async def _release(self, partitions: Sequence[int]) -> None:
        """Let what is on its way arrive, within the time allowed, write it, and let go."""
        owners = {self._owners[p] for p in partitions if p in self._owners}
        for owner in owners:
            owner.draining = True
        sending = [future for future, owner in self._sending.items() if owner in owners]
        if sending:
            await asyncio.wait(sending, timeout=self._settings.drain)
        await self._writer.flush()
        self._forget(partitions)

    def _forget(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            owner = self._owners.pop(partition, None)
            if owner is None:
                continue
            owner.active = False
            for audit in self._audits.values():
                audit.end(owner)
            for desk in self.desks.values():
                desk.children = {k: c for k, c in desk.children.items() if c.owner is not owner}

    # ---- the flow

    async def _consume(self, consumer: Consumer) -> None:
        while not self._leaving:
            room = self._settings.claim_limit - self._outstanding
            if room > 0:
                messages = await self._loop.run_in_executor(self._thread, source.poll, consumer, room)
                await self._take(messages)
                continue
            # Nothing is claimed that could not be sent soon. Sends are bounded by time-outs, so this ends.
            self._room.clear()
            await at_most(0.1, self._room)

    async def _take(self, messages: Sequence[Message]) -> None:
        """Claim a batch, then send it."""
        # All is decoded before anything is queued: a wait in between must not part a claim from its offset.
        read = [(message, await self._decode(message.value())) for message in messages]
        work: list[Callable[[], None]] = []
        offsets: dict[Ownership, int] = {}
        claimed = Claimed.now()
        for message, record in read:
            owner = self._owners.get(message.partition() or 0)
            if owner is None or not owner.active or owner.draining:
                continue
            if (message.offset() or 0) < owner.offset:  # claimed before: a rule of ours, not a hope in the client
                continue
            if isinstance(record, DecodeError):
                self._writer.dead_letter(owner, source.key(message), source.letter(message, record))
            elif isinstance(record, ChildOrder):
                work += self._claim_order(owner, record, claimed, source.age(message))
            else:
                work += self._claim_cancel(owner, record)
            offsets[owner] = (message.offset() or 0) + 1
        if not offsets:
            return
        await self._writer.claim(offsets)
        for start in work:
            start()

    async def _decode(self, value: bytes | None) -> ChildOrder | ChildCancel | DecodeError:
        wait = 0.1
        while True:
            try:
                record: Any = self._codec.decode(value, ChildOrder, ChildCancel)
                return record  # type: ignore[no-any-return]  # one of those asked for
            except DecodeError as error:
                return error
            except RegistryUnavailable as error:
                log.warning("the registry does not answer: %s", error)
                await asyncio.sleep(wait)
                wait = min(wait * 2, 5.0)

    def _claim_order(
        self, owner: Ownership, order: ChildOrder, claimed: Claimed, age: float
    ) -> list[Callable[[], None]]:
        desk = self.desks.get(order.venue)
        if desk is not None and order.child_id in desk.children:
            log.warning("child %s was claimed before: not sent again", order.child_id)
            return []
        state = report.claim(order, now_us())
        code, reason = "", ""
        if desk is None:
            code, reason = "UNKNOWN_VENUE", f"no venue {order.venue} is configured"
        elif age > self._settings.max_age:
            code, reason = "TOO_OLD", f"{age:.0f} s old, more than {self._settings.max_age:.0f}"
        if desk is None or code:
            outcome = Outcome(OutcomeKind.NOT_SENT, code=code, reason=reason)
            step = report.refused(order.child_id, state, ExecutionKind.NOT_SENT, outcome, now_us())
            self._writer.put(owner, reports=step.reports)
            return []
        child = desk.children[order.child_id] = Child(order.child_id, owner, state)
        self._writer.put(owner, child.child_id, state)
        self._outstanding += 1
        had_its_say: asyncio.Future[None] = self._loop.create_future()
        self._sending[had_its_say] = owner

        def sent() -> None:
            self._outstanding -= 1
            self._room.set()
            del self._sending[had_its_say]
            had_its_say.set_result(None)

        return [lambda: self._start(desk.place(child, order, claimed, sent))]

    def _claim_cancel(self, owner: Ownership, cancel: ChildCancel) -> list[Callable[[], None]]:
        desk = self.desks.get(cancel.venue)
        child = desk.children.get(cancel.child_id) if desk else None
        if desk is None or child is None:
            self._writer.put(owner, reports=[report.no_such_child(cancel, now_us())])
            return []
        already = child.state.cancel_at is not None
        desk.apply(child, report.cancel_asked(child.child_id, child.state, now_us()))
        if already or child.state.cancel_at is None:
            return []
        return [lambda: self._start(desk.cancel(child))]


async def run_execution(
    kafka: Mapping[str, Any],
    registry_url: str,
    venues: Sequence[VenueConfig],
    group: str,
    stop: asyncio.Event,
    settings: ExecutionSettings | None = None,
) -> None:
    """Run one execution connector until `stop`.

    `kafka` is librdkafka configuration. Raises `WriterFailed`, `KafkaException` and others when the process must start over.
    """
    settings = replace(settings or ExecutionSettings(), group=group)
    codec = await asyncio.to_thread(lambda: Codec(ConfluentRegistry(registry_url)))
    log.info("schemas registered")
    await Connector(kafka, codec, venues, settings).run(stop)
