"""Faust, made batch-first: its consumer group, assignor, agents and worker, with one event per partition batch and our tasks behind it.

What stays Faust's: joining the group, assigning co-partitioned inputs together, the fetcher, streams and agents, services and signals.
What is replaced, because it is per record or not safe (versions are pinned; each name below is held by `tests/engine/test_faust_hooks.py`):

    Consumer.getmany, perform_seek, _commit, _new_consumer_thread     one event a batch; only the engine places and commits
    AIOKafkaConsumerThread._fetch_records, _create_worker_consumer     batches tagged with their seek epoch; read committed
    Recovery.on_rebalance, on_partitions_revoked, _restart_recovery,
      _slurp_changelogs, _publish_stats, on_recovery_completed, _wait  tasks are opened by `Engine.open`
    TableManager.recovery, on_start, _update_channels                  no changelog is ever subscribed to
    Fetcher._fetch_max_wait_ms                                         a fetch waits longer while nothing comes
    aiokafka's PartitionRecords                                        records come as `Message`s (see `fetching.py`)
    App._on_partitions_revoked, on_stop                                open checkpoints finish before partitions are given up
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode import Service

from streams.engine import fetching
from streams.engine.engine import Batch, Engine
from streams.engine.transactions import Membership

log = logging.getLogger(__name__)
SCHEME = "bestex"
Place = tuple[str, int]
# Milliseconds that a fetch waits at the broker for records. An idle partition in it holds up those that join the next one, so it is short
# while there is anything to do; after `IDLE_SECONDS` without, asking a hundred times a second would be most of what an idle system does.
FETCH_WAIT_MS, IDLE_WAIT_MS, IDLE_SECONDS = 10, 100, 1.0
FETCH_BYTES = 2 << 20
POLL_SECONDS = 0.2
SHORT_POLL_SECONDS = 0.005


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Reads source partitions, each batch tagged with the seek epoch in which it was read."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at: dict[TopicPartition, tuple[int, int]] = {}  # -> epoch, next offset
        self.heard = time.monotonic()  # when there was a record last

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        app: Any = self.app
        conf, self._assignor = app.conf, app.assignor
        fetching.install()
        return AIOKafkaConsumer(
            **app.kafka_options,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="none",  # where records are missing, opening the task decides
            isolation_level="read_committed",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
        )

    async def place(self, offsets: Mapping[Place, int], epoch: int) -> None:
        """Runs in the consumer's thread: nothing is fetched between a seek and its tag."""
        consumer = self._ensure_consumer()
        for place, offset in offsets.items():
            tp = TopicPartition(*place)
            consumer.seek(tp, offset)
            self.at[tp] = (epoch, offset)

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> dict[Any, Any]:
        if not self.consumer.flow_active or not active_partitions:
            return {}
        app: Any = self.app
        fetcher, most = consumer._fetcher, app.engine.settings.batch
        found: dict[Any, Any] = {}
        with fetcher._subscriptions.fetch_context():
            for tp in active_partitions:  # what is there of each, before waiting for any
                found.update(await self._fetched(fetcher, {tp}, 0, most))
            if not found:
                found = await self._fetched(fetcher, active_partitions, timeout, most)
        now = time.monotonic()
        if found:
            self.heard = now
        fetcher._fetch_max_wait_ms = FETCH_WAIT_MS if now - self.heard < IDLE_SECONDS else IDLE_WAIT_MS
        batches = {}
        for tp, records in found.items():
            if records and tp in self.at:
                epoch, start = self.at[tp]
                end = records[-1].offset + 1
                batches[tp] = Batch((tp.topic, tp.partition), records, epoch, start, end)
                self.at[tp] = (epoch, end)
        return batches

    async def _fetched(self, fetcher: Any, places: Any, seconds: float | None, most: int) -> dict[Any, Any]:
        try:
            found: dict[Any, Any] = await fetcher.fetched_records(places, timeout=seconds, max_records=most)
        except OffsetOutOfRangeError as error:
            app: Any = self.app
            for tp in error.args[0]:
                app.loop.call_soon_threadsafe(app.engine.out_of_range, (tp.topic, tp.partition))
            return {}
        except NoOffsetForPartitionError as error:
            # The fetcher looked for a place of its own before the task's opening gave one; having said so, it fetches from there.
            log.info("%s was not placed yet", error.args[0])
            return {}
        return found


class Consumer(driver.Consumer):
    """Delivers batches of the places that the engine can take, one `ConsumerMessage` each."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Source partitions are placed when their task is opened, and then only."""

    async def _commit(self, offsets: Mapping[TP, Any]) -> bool:
        raise AssertionError(f"offsets are committed in transactions only, not by Faust: {offsets}")

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust's
        app: Any = self.app
        engine: Engine = app.engine
        if not self.flow_active:
            resume: Any = self.can_resume_flow
            await self.wait(resume)
        engine.freed.clear()
        wanted = engine.wanted()
        if not wanted:
            await self._until_freed(engine)
            return
        places = {TopicPartition(*place) for place in wanted}
        everything = len(places) == len(engine.seats) * len(engine.topics)
        thread: Any = self._thread
        found: dict[Any, Batch] = await thread.getmany(places, POLL_SECONDS if everything else SHORT_POLL_SECONDS)
        generation = self.app.consumer_generation_id
        for tp, batch in found.items():
            if self.should_stop or not self.flow_active:
                return  # dropped: the next batch will not begin where the task stands, and the task is opened again
            last, key = batch.records[-1], TP(tp.topic, tp.partition)
            value: Any = batch
            # Faust drops what lies before the offset it has seen; after a seek back that would be everything.
            self._read_offset[key] = None
            yield (
                key,
                ConsumerMessage(
                    tp.topic,
                    tp.partition,
                    last.offset,
                    last.timestamp / 1e6,
                    0,
                    [],
                    None,
                    value,
                    None,
                    0,
                    0,
                    key,
                    generation_id=generation,  # without it the stream skips the event
                ),
            )

    async def _until_freed(self, engine: Engine) -> None:
        try:
            interval = engine.settings.interval
            await asyncio.wait_for(engine.freed.wait(), SHORT_POLL_SECONDS if interval else POLL_SECONDS)
        except TimeoutError:
            return


class Transport(driver.Transport):
    """Faust's transport over aiokafka, with our consumer."""

    Consumer = Consumer


TRANSPORTS.aliases[SCHEME] = f"{__name__}:Transport"


class TaskRecovery(Recovery):
    """Faust's recovery service, doing what `Engine.open` does; a rebalance in the middle starts it anew."""

    async def on_rebalance(self, assigned: Any, revoked: Any, newly_assigned: Any, generation_id: int = 0) -> None:
        # At the first join heartbeats start only when this returns, so tasks are opened by the service below.
        self._assigned, self._generation_id = set(assigned), generation_id
        self.signal_recovery_start.set()

    def on_partitions_revoked(self, revoked: Any) -> None:
        """The engine closes its tasks itself."""

    @Service.task
    async def _restart_recovery(self) -> None:
        app: Any = self.app
        start: Any = self.signal_recovery_start
        while not self.should_stop:
            if await self.wait_for_stopped(start):
                break
            self.signal_recovery_start.clear()
            generation = self._generation_id
            self._set_recovery_started()
            try:
                await self._wait(app.engine.open({(tp.topic, tp.partition) for tp in self._assigned}))
                await self._wait(self.on_recovery_completed(generation))
            except RebalanceAgain:
                continue
            except ServiceStopped:
                break

    @Service.task
    async def _slurp_changelogs(self) -> None: ...

    @Service.task
    async def _publish_stats(self) -> None: ...


class TaskTables(TableManager):
    """There are no Faust tables: state lives in the engine's tasks."""

    @property
    def recovery(self) -> TaskRecovery:
        if self._recovery is None:
            self._recovery = TaskRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        assert isinstance(self._recovery, TaskRecovery)
        return self._recovery

    async def on_start(self) -> None:
        await self._update_channels()  # upstream sleeps a second first
        await self.recovery.start()

    async def _update_channels(self) -> None:
        self._tables_finalized.set()
        self._tables_registered.set()


class App(faust.App):
    """The Faust application of one agent. `kafka_options` are keyword arguments of `AIOKafkaConsumer`."""

    engine: Engine

    def __init__(self, name: str, kafka_options: Mapping[str, Any], topics: list[str], **settings: Any) -> None:
        self.kafka_options = dict(kafka_options)
        servers = str(kafka_options["bootstrap_servers"]).split(",")
        super().__init__(
            name,
            broker=[f"{SCHEME}://{server.strip()}" for server in servers],
            TableManager=TaskTables,
            topic_disable_leader=True,
            store="memory://",
            stream_recovery_delay=0.0,
            stream_wait_empty=False,
            **settings,
        )
        source = self.topic(
            *topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", acks=False
        )
        self.agent(source, name=f"{name}-batches")(self._take)

    async def _take(self, stream: Any) -> None:
        async for event in stream.events():
            self.engine.submit(event.value)

    async def _on_partitions_revoked(self, revoked: Any) -> None:
        await super()._on_partitions_revoked(revoked)  # stops the flow, empties the mailboxes
        await self.engine.close(keep=True)

    async def on_stop(self) -> None:
        await self.engine.close(keep=False)
        await super().on_stop()


class FaustPositioner:
    """`streams.engine.engine.Positioner` over the app's consumer."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def place(self, offsets: Mapping[Place, int], epoch: int) -> None:
        thread = self._thread()
        await thread.call_thread(thread.place, dict(offsets), epoch)

    def membership(self) -> Membership:
        coordinator: Any = self._thread()._ensure_consumer()._coordinator
        conf = self._app.conf
        return Membership(conf.id, coordinator.generation, coordinator.member_id, conf.consumer_group_instance_id)

    def unread(self, place: Place) -> int:
        consumer: Any = self._thread()._consumer
        tp = TopicPartition(*place)
        if consumer is None or tp not in consumer.assignment():
            return 0
        end = consumer.last_stable_offset(tp)
        position = consumer._subscription.subscription.assignment.state_value(tp)._position
        # Positions pass over control markers, which are no records.
        return 0 if end is None or position is None else max(0, end - position)

    def _thread(self) -> ConsumerThread:
        consumer: Any = self._app.consumer
        thread: ConsumerThread = consumer._thread
        return thread
