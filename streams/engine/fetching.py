"""Records straight from a fetched batch: as `Message`s, without the object of many fields that aiokafka makes of each.

Half of what reading a record cost was that object and the wrappers around its iteration. `install` puts this in the place of aiokafka's
`PartitionRecords`, for every consumer of the process; what is replaced is held by `tests/engine/test_faust_hooks.py`. How batches are checked,
aborted ones skipped and positions advanced stays aiokafka's own: only the making of a record differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher

from streams.engine.agent import Message

_new = tuple.__new__


class MessageRecords(fetcher.PartitionRecords):
    """Yields `Message`s: timestamps in microseconds, no record decoded yet."""

    def __iter__(self) -> Iterator[Message]:
        # Straight to the generator; it remembers where it was between two calls, as the iterator around it would.
        records: Iterator[Message] = self._records_iterator
        return records

    def _consumer_record(self, tp: Any, record: Any) -> Message:
        return _new(
            Message,
            (tp.topic, tp.partition, record.offset, record.timestamp * 1000, record.key, record.value, None),
        )


def install() -> None:
    """From now on this process's consumers yield `Message`s."""
    fetcher.PartitionRecords = MessageRecords
