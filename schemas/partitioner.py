"""Which partition a key belongs to: murmur2 as Kafka's Java client computes it, so that every producer agrees.

Source of the function: Kafka's `org.apache.kafka.common.utils.Utils.murmur2` and `BuiltInPartitioner`; aiokafka carries the same.
"""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=1 << 17)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key` among `partitions`."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
