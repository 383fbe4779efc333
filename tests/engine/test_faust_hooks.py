"""The private names of Faust and aiokafka that the engine relies on, one by one, so that an upgrade fails here and says where."""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from contextlib import nullcontext
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaClient, AIOKafkaConsumer
from aiokafka.client import CoordinationType
from aiokafka.codec import lz4_encode
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from faust.app.base import App
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import ConsumerMessage

from streams.engine import batches, faust_app
from streams.engine.faust_app import SCHEME, ConsumerThread

OVERRIDDEN = [
    (driver.Consumer, "_new_consumer_thread", ["self"]),
    (Consumer, "perform_seek", ["self"]),
    (Consumer, "getmany", ["self", "timeout"]),
    (ThreadDelegateConsumer, "_commit", ["self", "offsets"]),
    (driver.AIOKafkaConsumerThread, "__post_init__", ["self"]),
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer", ["self", "transport"]),
    (
        driver.AIOKafkaConsumerThread,
        "_fetch_records",
        ["self", "consumer", "active_partitions", "timeout", "max_records"],
    ),
    (driver.AIOKafkaConsumerThread, "getmany", ["self", "active_partitions", "timeout"]),
    (driver.AIOKafkaConsumerThread, "_ensure_consumer", ["self"]),
    (Recovery, "on_rebalance", ["self", "assigned", "revoked", "newly_assigned", "generation_id"]),
    (Recovery, "on_partitions_revoked", ["self", "revoked"]),
    (Recovery, "on_recovery_completed", ["self", "generation_id"]),
    (Recovery, "_set_recovery_started", ["self"]),
    (Recovery, "_wait", ["self", "coro", "timeout"]),
    (TableManager, "on_start", ["self"]),
    (TableManager, "_update_channels", ["self"]),
    (App, "_on_partitions_revoked", ["self", "revoked"]),
    (App, "on_start", ["self"]),
    (App, "on_stop", ["self"]),
    (App, "on_first_start", ["self"]),
    (Fetcher, "fetched_records", ["self", "partitions", "timeout", "max_records"]),
    (AIOKafkaClient, "coordinator_lookup", ["self", "coordinator_type", "coordinator_key"]),
    (AIOKafkaClient, "send", ["self", "node_id", "request", "group"]),
    (AIOKafkaClient, "force_metadata_update", ["self"]),
    (AIOKafkaClient, "set_topics", ["self", "topics"]),
    (AIOKafkaClient, "_maybe_wait_metadata", ["self"]),
    (AIOKafkaClient, "_wait_on_metadata", ["self", "topic"]),
    (AIOKafkaConsumer, "last_stable_offset", ["self", "partition"]),
    (SubscriptionState, "fetch_context", ["self"]),
]


@pytest.mark.parametrize(("owner", "name", "parameters"), OVERRIDDEN, ids=lambda x: getattr(x, "__name__", str(x)))
def test_the_method_is_there_with_these_parameters(owner: type, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


@pytest.mark.parametrize("name", ["_restart_recovery", "_slurp_changelogs", "_publish_stats"])
def test_recovery_runs_these_as_service_tasks(name: str) -> None:
    assert type(vars(Recovery)[name]).__name__ == "ServiceTask"


def test_attributes_that_are_read() -> None:
    source = inspect.getsource(driver.AIOKafkaConsumerThread) + inspect.getsource(Consumer)
    for name in ("_read_offset", "_assignor", "flow_active", "can_resume_flow", "_consumer", "_fetcher"):
        assert name in source
    assert "generation" in vars(GroupCoordinator) or "self.generation" in inspect.getsource(GroupCoordinator)
    assert "self.member_id" in inspect.getsource(GroupCoordinator)
    assert "_position" in inspect.getsource(TopicPartitionState)
    assert "signal_recovery_start" in inspect.getsource(Recovery)
    assert "generation_id" in inspect.signature(ConsumerMessage.__init__).parameters
    assert CoordinationType.GROUP == 0 and CoordinationType.TRANSACTION == 1
    assert TRANSPORTS.aliases[SCHEME].endswith(":Transport")


def test_a_record_batch_can_be_built_for_a_producer_state() -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 1, 77, 3, 0, 1 << 16)
    assert builder.append(0, 1_700_000_000_000, b"k", b"v", []) is not None
    built = bytes(builder.build())
    assert int.from_bytes(built[43:51], "big") == 77 and int.from_bytes(built[51:53], "big") == 3  # id and epoch
    assert built[22] & 0x10  # transactional


def test_batches_are_compressed_by_what_is_put_in_its_place() -> None:
    def built() -> tuple[int, list[bytes]]:
        builder = DefaultRecordBatchBuilder(2, batches.LZ4, 1, 77, 3, 0, 1 << 20)
        for n in range(1000):
            assert builder.append(n, 1_700_000_000_000, b"k", b"a value that comes again, and a number: %d" % n, [])
        whole = bytes(builder.build())
        records = MemoryRecords(whole)
        batch = records.next_batch()
        assert batch is not None and batch.validate_crc()
        return len(whole), [record.value for record in batch]

    builders = sys.modules[DefaultRecordBatchBuilder.__module__]
    before = builders.lz4_encode
    try:
        builders.lz4_encode = lz4_encode  # type: ignore[attr-defined]  # as aiokafka has it
        small, values = built()
        batches.install()
        larger, same = built()
    finally:
        builders.lz4_encode = before  # type: ignore[attr-defined]
    assert values == same and values[999].endswith(b": 999")
    assert larger > small  # by a lower level


def test_records_of_a_fetch_are_made_where_they_are_replaced() -> None:
    assert list(inspect.signature(fetcher.PartitionRecords._consumer_record).parameters) == ["self", "tp", "record"]
    unpack = inspect.getsource(fetcher.PartitionRecords._unpack_records)
    assert "consumer_record = self._consumer_record(tp, record)" in unpack and "yield consumer_record" in unpack
    assert "self._records_iterator = self._unpack_records()" in inspect.getsource(fetcher.PartitionRecords.__init__)
    assert "for msg in self._partition_records" in inspect.getsource(fetcher.FetchResult.getall)
    assert "PartitionRecords(" in inspect.getsource(fetcher.Fetcher)
    assert "self._fetch_max_wait_ms" in inspect.getsource(fetcher.Fetcher._get_actions_per_node)  # read for each fetch


def test_versions_are_the_ones_this_was_written_for() -> None:
    assert version("faust-streaming") == "0.15.3"
    assert version("aiokafka") == "0.14.0"
    assert version("mode-streaming") == "0.7.1"


async def test_what_the_fetcher_says_of_places_ends_no_worker() -> None:
    """Of one that it looked for before the task's opening gave it: nothing. Of one where the records are gone: the task is told."""
    place, told = TopicPartition("t", 2), list[tuple[str, int]]()
    loop = asyncio.get_running_loop()
    app = SimpleNamespace(loop=loop, engine=SimpleNamespace(out_of_range=told.append))
    thread: Any = SimpleNamespace(app=app)

    class Says:
        def __init__(self, error: Exception) -> None:
            self.error = error

        async def fetched_records(self, partitions: Any, timeout: float, max_records: int) -> Any:  # noqa: ASYNC109 - aiokafka's
            raise self.error

    assert await ConsumerThread._fetched(thread, Says(NoOffsetForPartitionError(place)), {place}, 0, 10) == {}
    assert await ConsumerThread._fetched(thread, Says(OffsetOutOfRangeError({place: 7})), {place}, 0, 10) == {}
    await asyncio.sleep(0)
    assert told == [("t", 2)]


async def test_a_fetch_waits_longer_while_nothing_comes() -> None:
    place, asked = TopicPartition("t", 2), list[int]()
    app = SimpleNamespace(engine=SimpleNamespace(settings=SimpleNamespace(batch=10)))
    record = SimpleNamespace(offset=4)
    fetched: list[dict[Any, Any]] = [{}, {place: [record]}, {}]
    thread: Any = SimpleNamespace(app=app, consumer=SimpleNamespace(flow_active=True), at={place: (1, 4)})

    async def look(*_: Any) -> dict[Any, Any]:
        return fetched[0]

    thread._fetched = look
    fetches = SimpleNamespace(_subscriptions=SimpleNamespace(fetch_context=nullcontext), _fetch_max_wait_ms=0)
    for heard in (-faust_app.IDLE_SECONDS, None, None):
        if heard is not None:
            thread.heard = time.monotonic() + heard
        await ConsumerThread._fetch_records(thread, SimpleNamespace(_fetcher=fetches), {place}, 0.0)
        asked.append(fetches._fetch_max_wait_ms)
        fetched.pop(0)
    assert asked == [faust_app.IDLE_WAIT_MS, faust_app.FETCH_WAIT_MS, faust_app.FETCH_WAIT_MS]
