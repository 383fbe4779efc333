"""The six requests of Kafka's protocol that aiokafka lacks: transactions as brokers since 4.0 speak them (KIP-890, "version 2").

With these versions a partition joins a transaction by being produced to, the offsets' partition by the offsets being sent, and every end of
a transaction gives the producer a new epoch, so that nothing late from the one before can slip into the next. That saves two round trips a
transaction and closes the hole of delayed requests. `TxnOffsetCommit` also carries the group generation (KIP-447), `OffsetFetch`
refuses to answer while a transaction over the offsets is undecided (`require_stable`); `Heartbeat` names static members.

Source of the layouts: Kafka's message definitions (`clients/src/main/resources/common/message`).
"""

from __future__ import annotations

from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

TAGS = ("tags", TaggedFields)
NAME = CompactString("utf-8")


class InitProducerIdResponse(Response):
    API_KEY = 22
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_ms", Int32), ("error_code", Int16), ("producer_id", Int64), ("producer_epoch", Int16), TAGS
    )


class InitProducerIdStruct(RequestStruct):
    API_KEY = 22
    API_VERSION = 4
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = InitProducerIdResponse
    SCHEMA = Schema(
        ("transactional_id", NAME), ("timeout_ms", Int32), ("producer_id", Int64), ("producer_epoch", Int16), TAGS
    )


class ProduceResponse(Response):
    API_KEY = 0
    API_VERSION = 12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", NAME),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("base_offset", Int64),
                        ("log_append_time", Int64),
                        ("log_start_offset", Int64),
                        ("record_errors", CompactArray(("index", Int32), ("message", NAME), TAGS)),
                        ("error_message", NAME),
                        TAGS,
                    ),
                ),
                TAGS,
            ),
        ),
        ("throttle_ms", Int32),
        TAGS,
    )


class ProduceStruct(RequestStruct):
    API_KEY = 0
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = ProduceResponse
    SCHEMA = Schema(
        ("transactional_id", NAME),
        ("acks", Int16),
        ("timeout_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", NAME),
                ("partitions", CompactArray(("partition", Int32), ("records", CompactBytes), TAGS)),
                TAGS,
            ),
        ),
        TAGS,
    )


class TxnOffsetCommitResponse(Response):
    API_KEY = 28
    API_VERSION = 5
    SCHEMA = Schema(
        ("throttle_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", NAME), ("partitions", CompactArray(("partition", Int32), ("error_code", Int16), TAGS)), TAGS
            ),
        ),
        TAGS,
    )


class TxnOffsetCommitStruct(RequestStruct):
    API_KEY = 28
    API_VERSION = 5
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = TxnOffsetCommitResponse
    SCHEMA = Schema(
        ("transactional_id", NAME),
        ("group_id", NAME),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", NAME),
        ("group_instance_id", NAME),
        (
            "topics",
            CompactArray(
                ("topic", NAME),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32), ("offset", Int64), ("leader_epoch", Int32), ("metadata", NAME), TAGS
                    ),
                ),
                TAGS,
            ),
        ),
        TAGS,
    )


class EndTxnResponse(Response):
    API_KEY = 26
    API_VERSION = 5
    SCHEMA = Schema(
        ("throttle_ms", Int32), ("error_code", Int16), ("producer_id", Int64), ("producer_epoch", Int16), TAGS
    )


class EndTxnStruct(RequestStruct):
    API_KEY = 26
    API_VERSION = 5
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = EndTxnResponse
    SCHEMA = Schema(
        ("transactional_id", NAME), ("producer_id", Int64), ("producer_epoch", Int16), ("committed", Boolean), TAGS
    )


class OffsetFetchResponse(Response):
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", NAME),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", NAME),
                        ("error_code", Int16),
                        TAGS,
                    ),
                ),
                TAGS,
            ),
        ),
        ("error_code", Int16),
        TAGS,
    )


class OffsetFetchStruct(RequestStruct):
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = OffsetFetchResponse
    SCHEMA = Schema(
        ("group_id", NAME),
        ("topics", CompactArray(("topic", NAME), ("partitions", CompactArray(Int32)), TAGS)),
        ("require_stable", Boolean),
        TAGS,
    )


class HeartbeatResponse(Response):
    API_KEY = 12
    API_VERSION = 4
    SCHEMA = Schema(("throttle_ms", Int32), ("error_code", Int16), TAGS)


class HeartbeatStruct(RequestStruct):
    API_KEY = 12
    API_VERSION = 4
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = HeartbeatResponse
    SCHEMA = Schema(
        ("group_id", NAME), ("generation_id", Int32), ("member_id", NAME), ("group_instance_id", NAME), TAGS
    )


def _init(self: Any, *fields: Any) -> None:
    """A request that is built already: its arguments are its struct's fields in order."""
    self.fields = fields


def _build(self: Any, request_struct_class: type[RequestStruct]) -> Any:
    return request_struct_class(*self.fields)


class InitProducerId(Request[InitProducerIdStruct]):
    API_KEY = 22
    __init__ = _init
    build = _build


class Produce(Request[ProduceStruct]):
    API_KEY = 0
    __init__ = _init
    build = _build


class TxnOffsetCommit(Request[TxnOffsetCommitStruct]):
    API_KEY = 28
    __init__ = _init
    build = _build


class EndTxn(Request[EndTxnStruct]):
    API_KEY = 26
    __init__ = _init
    build = _build


class OffsetFetch(Request[OffsetFetchStruct]):
    API_KEY = 9
    __init__ = _init
    build = _build


class Heartbeat(Request[HeartbeatStruct]):
    API_KEY = 12
    __init__ = _init
    build = _build
