"""The private names of Faust and aiokafka that the engine relies on, one by one, so that an upgrade fails here and says where."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import pytest
from aiokafka import AIOKafkaClient, AIOKafkaConsumer
from aiokafka.client import CoordinationType
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from faust.app.base import App
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import ConsumerMessage

from streams.engine.faust_app import SCHEME

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


def test_records_of_a_fetch_are_made_where_they_are_replaced() -> None:
    assert list(inspect.signature(fetcher.PartitionRecords._consumer_record).parameters) == ["self", "tp", "record"]
    unpack = inspect.getsource(fetcher.PartitionRecords._unpack_records)
    assert "consumer_record = self._consumer_record(tp, record)" in unpack and "yield consumer_record" in unpack
    assert "self._records_iterator = self._unpack_records()" in inspect.getsource(fetcher.PartitionRecords.__init__)
    assert "for msg in self._partition_records" in inspect.getsource(fetcher.FetchResult.getall)
    assert "PartitionRecords(" in inspect.getsource(fetcher.Fetcher)


def test_versions_are_the_ones_this_was_written_for() -> None:
    assert version("faust-streaming") == "0.15.3"
    assert version("aiokafka") == "0.14.0"
    assert version("mode-streaming") == "0.7.1"
