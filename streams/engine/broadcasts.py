"""Broadcast tables: compacted topics of which every worker keeps all partitions in memory, read-only.

They are read outside the transactions of tasks, so a task sees them a moment behind. What is decided on them is written into the log
by whoever decides, so nothing ever needs to know what they held.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from schemas.codec import Codec, DecodeError, RegistryUnavailable, SchemaUnread
from streams.engine.agent import Broadcast

log = logging.getLogger(__name__)


class Broadcasts:
    """All broadcast tables of an agent: `tables` is topic -> key -> record. `options` are keyword arguments of `AIOKafkaConsumer`."""

    def __init__(self, broadcasts: tuple[Broadcast[Any], ...], options: Mapping[str, Any], codec: Codec) -> None:
        self.tables: dict[str, dict[str, Any]] = {b.topic: {} for b in broadcasts}
        self._values = {b.topic: b.value for b in broadcasts}
        self._codec, self._options = codec, options
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Read each table to its present end."""
        if not self.tables:
            return
        self._consumer = consumer = AIOKafkaConsumer(
            **self._options,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )
        await consumer.start()
        places = []
        for topic in self.tables:
            partitions = await self._partitions(topic)
            places += [TopicPartition(topic, n) for n in partitions]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            await self._poll()

    async def run(self) -> None:
        """Follow the topics, for ever."""
        while self._consumer is not None:
            try:
                await self._poll()
            except KafkaError as error:
                log.warning("broadcast topics: %r", error)
                await asyncio.sleep(0.5)

    async def stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def _partitions(self, topic: str) -> set[int]:
        assert self._consumer is not None
        await self._consumer._client._wait_on_metadata(topic)
        return set(self._consumer.partitions_for_topic(topic) or ())

    async def _learn(self, unread: SchemaUnread) -> None:
        try:
            await asyncio.to_thread(self._codec.learn, unread.ids)
        except RegistryUnavailable as error:
            log.warning("the registry does not answer: %s", error)
            await asyncio.sleep(0.5)

    async def _poll(self) -> None:
        assert self._consumer is not None
        for tp, records in (await self._consumer.getmany(timeout_ms=500)).items():
            table, value = self.tables[tp.topic], self._values[tp.topic]
            for record in {r.key: r for r in records}.values():  # of a key only the last counts
                key = (record.key or b"").decode(errors="replace")
                if record.value is None:
                    table.pop(key, None)
                    continue
                while True:
                    try:
                        table[key] = self._codec.decode(record.value, value)
                    except DecodeError as error:
                        # Nobody waits for an answer to it, and the value before it still stands.
                        log.error("%s[%d]@%d: %s", tp.topic, tp.partition, record.offset, error)
                    except SchemaUnread as error:
                        await self._learn(error)
                        continue
                    break
