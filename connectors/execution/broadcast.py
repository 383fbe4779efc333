"""What the connector tells everybody of each venue, outside of transactions: its instruments, how it does, what we have there.

All is said again and again, or at the next start, so that nothing is lost for good with a record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Producer

from connectors.execution.desk import Desk, now_us
from connectors.execution.waits import at_most
from schemas.codec import Codec
from schemas.records import Instrument, Record, VenueBalance


class Broadcast:
    """One producer for all venues. `prefix` is put before the name of every topic."""

    def __init__(self, kafka: Mapping[str, Any], codec: Codec, prefix: str) -> None:
        self._codec, self._prefix = codec, prefix
        self._producer = Producer(
            {**kafka, "partitioner": "murmur2_random", "enable.idempotence": True, "linger.ms": 5}
        )

    def instruments(self, found: Iterable[Instrument]) -> None:
        """What a venue trades, and how."""
        for one in found:
            self._send("instruments", f"{one.venue}|{one.symbol}", one)

    async def health(self, desk: Desk) -> None:
        """How a venue does: at every change, and once a second as a sign of life."""
        while True:
            self._send("venue.health", desk.adapter.config.name, desk.health.record(now_us()))
            self._producer.poll(0)
            await at_most(1.0, desk.health_changed)  # nothing changed: a sign of life
            desk.health_changed.clear()

    async def balances(self, desk: Desk, every: float) -> None:
        """What we have at the venue, as of the moment before it was asked. What is not listed any more is zero."""
        venue, known = desk.adapter.config.name, set[str]()
        while True:
            await asyncio.sleep(every)
            if desk.health.away:
                continue
            at = now_us()
            found = await desk.balances()
            if found is None:
                continue
            known |= found.keys()
            for asset in sorted(known):
                free, locked = found.get(asset, (0, 0))
                record = VenueBalance(venue=venue, asset=asset, free=free, locked=locked, at=at)
                self._send("venue.balances", f"{venue}|{asset}", record)
            self._producer.poll(0)

    def flush(self) -> None:
        """When the process leaves: a moment for what is on its way."""
        self._producer.flush(2.0)

    def _send(self, topic: str, key: str, record: Record) -> None:
        self._producer.produce(self._prefix + topic, value=self._codec.encode(record), key=key.encode())
