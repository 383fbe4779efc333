"""Reading logs back when a task opens: changelogs into its stores, recent inputs into its derived state.

Reading is committed-only and ends at the last stable offset that was asked for at its beginning. Positions are compared, not records:
a log that ends in transaction markers, or that compaction has emptied, has no last record to wait for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from streams.engine import fetching

log = logging.getLogger(__name__)
Place = tuple[str, int]
PROGRESS_SECONDS = 2.0


class LogReader:
    """One consumer without a group. `options` are keyword arguments of `AIOKafkaConsumer`."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        fetching.install()
        self._consumer = AIOKafkaConsumer(
            **options,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=20,
            max_partition_fetch_bytes=4 << 20,
            max_poll_records=20_000,
        )

    async def __aenter__(self) -> LogReader:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def read(
        self,
        starts: Mapping[Place, int | None],
        sink: Callable[[Place, Sequence[Any]], None],
        ends: Mapping[Place, int] | None = None,
        what: str = "",
        told: Callable[[int], None] = lambda remaining: None,
    ) -> tuple[dict[Place, int], int]:
        """Show `sink` the records of each place from its start (`None`: the oldest) to its end (default: the last stable offset).

        `told` hears how many offsets are left. Returns where each place was read up to, and how many records were read.
        """
        if not starts:
            return {}, 0
        consumer, places = self._consumer, {TopicPartition(*p): p for p in starts}
        consumer.assign(list(places))
        stable = await consumer.end_offsets(list(places))
        oldest = await consumer.beginning_offsets(list(places))
        end = {tp: min(stable[tp], ends[p]) if ends and p in ends else stable[tp] for tp, p in places.items()}
        position = {tp: max(oldest[tp], starts[p] or 0) for tp, p in places.items()}
        for tp, at in position.items():
            consumer.seek(tp, at)
        total, said = 0, time.monotonic()
        left = {tp for tp in places if position[tp] < end[tp]}
        consumer.pause(*(set(places) - left))
        while left:
            for tp, records in (await consumer.getmany(*left, timeout_ms=200)).items():
                if ends:
                    records = [r for r in records if r.offset < end[tp]]
                sink(places[tp], records)
                total += len(records)
            for tp in list(left):
                position[tp] = await consumer.position(tp)
                if position[tp] >= end[tp]:
                    left.discard(tp)
                    consumer.pause(tp)
            remaining = sum(end[tp] - position[tp] for tp in left)
            told(remaining)
            if time.monotonic() - said > PROGRESS_SECONDS:
                said = time.monotonic()
                log.info("%s: %d records read, %d to go", what, total, remaining)
            await asyncio.sleep(0)
        return {places[tp]: max(at, starts[places[tp]] or 0) for tp, at in position.items()}, total

    async def bounds(self, places: Sequence[Place]) -> dict[Place, tuple[int, int]]:
        """The oldest offset and the last stable one of each place."""
        tps = [TopicPartition(*p) for p in places]
        first, last = await self._consumer.beginning_offsets(tps), await self._consumer.end_offsets(tps)
        return {(tp.topic, tp.partition): (first[tp], last[tp]) for tp in tps}

    async def oldest(self, places: Sequence[Place]) -> dict[Place, int]:
        """The oldest offsets there are."""
        found = await self._consumer.beginning_offsets([TopicPartition(*p) for p in places])
        return {(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def earlier(self, offsets: Mapping[Place, tuple[int, int]]) -> dict[Place, int]:
        """For place -> (offset, microseconds): the first offset whose record is at most that much older than the one before `offset`."""
        found: dict[Place, int] = {}
        oldest = await self.oldest(list(offsets))
        for place, (offset, back) in offsets.items():
            found[place] = offset
            if offset <= oldest[place]:
                continue
            tp = TopicPartition(*place)
            self._consumer.assign([tp])
            at = await self._timestamp_before(tp, offset, oldest[place])
            if at is not None:
                hit = (await self._consumer.offsets_for_times({tp: max(0, at - back // 1000)}))[tp]
                if hit is not None:
                    found[place] = min(offset, hit.offset)
        return found

    async def _timestamp_before(self, tp: TopicPartition, offset: int, oldest: int) -> int | None:
        """Timestamp (ms) of the last committed record before `offset`; control markers and aborted records have none."""
        for step in (1, 16, 256, 4096):
            start = max(oldest, offset - step)
            self._consumer.seek(tp, start)
            last: int | None = None
            while await self._consumer.position(tp) < offset:
                for record in (await self._consumer.getmany(tp, timeout_ms=200)).get(tp, ()):
                    if record.offset < offset:
                        last = record.timestamp // 1000
            if last is not None or start == oldest:
                return last
        return None
