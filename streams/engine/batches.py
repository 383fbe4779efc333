"""Kafka's record batches of what a checkpoint writes.

aiokafka's builder, compressing as fast as LZ4 goes: aiokafka asks for level 9, which takes ten times the processor time for a fifth fewer bytes,
and took as much of a busy worker as encoding the records did. `install` puts another level in the place of the builder's own; what is
replaced is held by `tests/engine/test_faust_hooks.py`. Readers need not know: the frame is the same.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial

from aiokafka.codec import lz4_encode
from aiokafka.record.default_records import DefaultRecordBatchBuilder

Place = tuple[str, int]
Pair = tuple[bytes | None, bytes | None]
LZ4 = 3
BATCH_BYTES = 900_000  # of one record batch before compression: brokers take a megabyte by default


def install() -> None:
    """From now on this process's batches are compressed as fast as can be."""
    builders = sys.modules[DefaultRecordBatchBuilder.__module__]  # compiled, or in Python where that is not to be had
    builders.lz4_encode = partial(lz4_encode, level=1)  # type: ignore[attr-defined]  # a global of that module


def rounds(
    records: Mapping[Place, Sequence[Pair]], producer_id: int, epoch: int, compression: int
) -> list[dict[Place, tuple[bytes, int]]]:
    """Rounds of at most one record batch a partition, each `(bytes, number of records)`."""
    found: list[dict[Place, tuple[bytes, int]]] = []
    now = time.time_ns() // 1_000_000
    for place, pairs in records.items():
        sequence, start, count, n = 0, 0, len(pairs), 0
        while start < count:
            builder = DefaultRecordBatchBuilder(2, compression, 1, producer_id, epoch, sequence, BATCH_BYTES)
            append, offset = builder.append, 0
            while start < count:
                key, value = pairs[start]
                if append(offset, now, key, value, []) is None:
                    break
                offset += 1
                start += 1
            if n == len(found):
                found.append({})
            found[n][place] = (bytes(builder.build()), offset)
            sequence += offset
            n += 1
    return found
