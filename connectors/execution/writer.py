"""The only way out of the connector into Kafka: one transaction at a time, with all that waits for one.

Rules:

* a transaction holds journal states, reports, alerts, dead letters and source offsets: together or not at all;
* every transaction sends the offsets of the partitions it speaks for, under the group generation in which they were assigned, so that
  the broker refuses a process whose partitions have moved on;
* whether a partition is still ours is asked once a transaction: all that it has in it goes in, or nothing;
* of a key's states waiting together only the last is written; reports and alerts are all written, in order;
* a transaction that cannot be committed ends the process (`WriterFailed`): what it held is found again in the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition

from connectors.execution.journal import Kept
from connectors.execution.waits import at_most
from schemas.codec import Codec
from schemas.letters import MOST_BYTES
from schemas.records import DeadLetter, ExecutionReport, VenueAlert
from schemas.topics import dead_letters

log = logging.getLogger(__name__)

ORDERS, JOURNAL, ACKS, ALERTS = "venue.orders", "execution.journal", "exchange.acks", "venue.alerts"
TRANSACTION_SECONDS = 30.0


class WriterFailed(Exception):
    """Fenced, or a transaction failed for good. The process must end and start over."""


@dataclass(slots=True, eq=False)
class Ownership:
    """One assignment of one partition. `offset` is the next source offset not yet claimed; `metadata` the group generation.

    `draining`: nothing new is sent to venues. Not `active`: nothing is written any more, it is another's.
    """

    partition: int
    offset: int
    metadata: Any
    active: bool = True
    draining: bool = False


@dataclass(slots=True)
class _Batch:
    states: dict[tuple[Ownership, str], Kept | None] = field(default_factory=dict)
    reports: list[tuple[Ownership, ExecutionReport]] = field(default_factory=list)
    alerts: list[tuple[Ownership, VenueAlert]] = field(default_factory=list)
    letters: list[tuple[Ownership, bytes | None, DeadLetter]] = field(default_factory=list)
    offsets: dict[Ownership, int] = field(default_factory=dict)
    urgent: bool = False
    done: asyncio.Future[None] | None = None

    def __bool__(self) -> bool:
        return bool(self.states or self.reports or self.alerts or self.letters or self.offsets)


class Writer:
    """Transactions over one producer. `linger` seconds: how long results may wait for company; claims never wait.

    `prefix` is put before the name of every topic.
    """

    def __init__(
        self, kafka: Mapping[str, Any], transactional_id: str, codec: Codec, linger: float = 0.004, prefix: str = ""
    ) -> None:
        self._orders, self._journal = prefix + ORDERS, prefix + JOURNAL
        self._acks, self._alerts = prefix + ACKS, prefix + ALERTS
        self._producer = Producer(
            {
                "message.max.bytes": MOST_BYTES,
                **kafka,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": 15_000,
                "partitioner": "murmur2_random",
                # So that what is produced together travels together; the commit sends at once what is left.
                "linger.ms": 2,
                "compression.type": "lz4",
                # A transaction that begins while the last one's markers are being written is told "not yet": the default wait, 100 ms, was
                # most of an order's way to its venue.
                "retry.backoff.ms": 2,
                "retry.backoff.max.ms": 100,
            }
        )
        self._codec, self._linger = codec, linger
        self._thread = ThreadPoolExecutor(1, "transactions")
        self._batch = _Batch()
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._closing = False

    async def start(self) -> None:
        """Fence a predecessor with the same transactional id."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._producer.init_transactions, TRANSACTION_SECONDS)

    def put(
        self,
        owner: Ownership,
        key: str | None = None,
        state: Kept | None = None,
        reports: Iterable[ExecutionReport] = (),
        alerts: Iterable[VenueAlert] = (),
    ) -> None:
        """Queue what the journal keeps of a key (None for a tombstone), reports and alerts. Of a partition that is no longer ours: dropped."""
        if not owner.active:
            return
        if key is not None:
            self._batch.states[owner, key] = state
        self._batch.reports.extend((owner, report) for report in reports)
        self._batch.alerts.extend((owner, alert) for alert in alerts)
        self._wake.set()

    def dead_letter(self, owner: Ownership, key: bytes | None, letter: DeadLetter) -> None:
        """Queue a dead letter of `venue.orders`."""
        if owner.active:
            self._batch.letters.append((owner, key, letter))
            self._wake.set()

    def claim(self, offsets: Mapping[Ownership, int]) -> asyncio.Future[None]:
        """Queue source offsets; the future is done when they, and all queued before, are committed."""
        for owner, offset in offsets.items():
            if owner.active:
                self._batch.offsets[owner] = offset
        self._urgent.set()
        return self.flush()

    def flush(self) -> asyncio.Future[None]:
        """Done when all queued before is committed."""
        if self._batch.done is None:
            self._batch.done = asyncio.get_running_loop().create_future()
        self._wake.set()
        return self._batch.done

    async def run(self) -> None:
        """Commit what waits, for ever. Raises `WriterFailed`."""
        loop = asyncio.get_running_loop()
        while not self._closing:
            await self._wake.wait()
            if not self._urgent.is_set():
                await at_most(self._linger, self._urgent)  # then the results have waited long enough
            self._wake.clear()
            self._urgent.clear()
            batch, self._batch = self._batch, _Batch()
            if batch:
                try:
                    await loop.run_in_executor(self._thread, self._commit, batch)
                except (KafkaException, BufferError) as error:
                    failure = WriterFailed(f"transaction failed: {error}")
                    if batch.done is not None and not batch.done.done():
                        batch.done.set_exception(failure)
                        batch.done.exception()  # whoever waits sees it; nobody waiting is no news
                    raise failure from error
            if batch.done is not None and not batch.done.done():
                batch.done.set_result(None)

    def _commit(self, batch: _Batch) -> None:
        owners = {key[0] for key in batch.states} | {o for o, _ in (*batch.reports, *batch.alerts)}
        owners |= {o for o, _, _ in batch.letters} | set(batch.offsets)
        owners = {o for o in owners if o.active}
        if not owners:
            return
        producer, encode = self._producer, self._codec.encode
        producer.begin_transaction()
        try:
            # By `owners` alone: a partition may go away while this runs, and half of a step must not be committed without the other.
            for (owner, name), state in batch.states.items():
                if owner in owners:
                    value = None if state is None else encode(state)
                    producer.produce(self._journal, value=value, key=name.encode(), partition=owner.partition)
            for owner, report in batch.reports:
                if owner in owners:
                    producer.produce(self._acks, value=encode(report), key=report.account_id.encode())
            for owner, alert in batch.alerts:
                if owner in owners:
                    producer.produce(self._alerts, value=encode(alert), key=alert.id.encode())
            for owner, key, letter in batch.letters:
                if owner in owners:
                    producer.produce(dead_letters(self._orders), value=encode(letter), key=key)
            offsets = {owner: batch.offsets.get(owner, owner.offset) for owner in owners}
            for metadata in {id(o.metadata): o.metadata for o in owners}.values():
                places = [
                    TopicPartition(self._orders, o.partition, at) for o, at in offsets.items() if o.metadata is metadata
                ]
                _retry(lambda p=places, m=metadata: producer.send_offsets_to_transaction(p, m, TRANSACTION_SECONDS))
            _retry(lambda: producer.commit_transaction(TRANSACTION_SECONDS))
        except KafkaException as error:
            if error.args[0].txn_requires_abort():
                producer.abort_transaction(TRANSACTION_SECONDS)
            raise
        for owner, offset in offsets.items():
            owner.offset = offset

    async def close(self) -> None:
        """Stop. What is queued and not flushed is dropped."""
        self._closing = True
        self._thread.shutdown(wait=False)


def _retry(call: Any, attempts: int = 5) -> None:
    """Repeat a transactional call that the client calls retriable: it then goes on where it was."""
    for left in reversed(range(attempts)):
        try:
            call()
            return
        except KafkaException as error:
            if not (left and error.args[0].retriable()):
                raise
            log.warning("retrying a transactional call: %s", error)
