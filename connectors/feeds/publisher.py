"""The only way out of the feed into Kafka: one idempotent producer, and what is done when it takes no more.

Rules:

* records of one venue and symbol leave in the order in which they came;
* nothing grows: when the producer's queue is full, a venue's waiting changes of a book become one (`conflate`), so that at most STALE,
  SNAPSHOT and DIFF wait for each; of trades, which cannot be merged, `TRADES` wait, and those beyond are counted and logged;
* a record that Kafka did not take (`lost`) breaks the chain of its book, so its follower is told to publish the whole book again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.codec import Codec
from schemas.records import BookUpdate, BookUpdateKind, Level, Record, Trade

log = logging.getLogger(__name__)

BOOKS, PRINTS = "market.books", "market.trades"
TRADES = 20_000
POLL_SECONDS = 0.02

Key = tuple[str, str]  # venue, symbol


def conflate(waiting: list[BookUpdate], update: BookUpdate) -> list[BookUpdate]:
    """What must be published of `waiting` and then `update` so that a reader ends with the same book; at most three records."""
    if update.kind is BookUpdateKind.STALE:
        return [update]  # whatever came before, the book is not to be used now
    if update.kind is BookUpdateKind.SNAPSHOT:
        return [w for w in waiting if w.kind is BookUpdateKind.STALE] + [update]
    last = waiting[-1] if waiting else None
    if last is None or last.kind is not BookUpdateKind.DIFF or last.last_id != update.previous_id:
        return [*waiting, update]
    merged = BookUpdate(
        venue=update.venue,
        symbol=update.symbol,
        kind=BookUpdateKind.DIFF,
        first_id=last.first_id,
        last_id=update.last_id,
        previous_id=last.previous_id,
        bids=_merged(last.bids, update.bids),
        asks=_merged(last.asks, update.asks),
        venue_at=update.venue_at,
        received_at=update.received_at,
    )
    return [*waiting[:-1], merged]


def _merged(before: tuple[Level, ...], after: tuple[Level, ...]) -> tuple[Level, ...]:
    return tuple({level.price: level for level in (*before, *after)}.values())


class Publisher:
    """Publishes from one event loop. `lost` is called with (venue, symbol) when a record of its book was not taken."""

    def __init__(
        self, kafka: Mapping[str, Any], codec: Codec, lost: Callable[[str, str], None], prefix: str = ""
    ) -> None:
        self._producer = Producer(
            {
                "linger.ms": 5,
                "compression.type": "lz4",
                # Market data is worth little when it is old: a short queue, and conflation behind it.
                "queue.buffering.max.messages": 20_000,
                "queue.buffering.max.kbytes": 131_072,
                "message.timeout.ms": 30_000,
                **kafka,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "error_cb": self._failed,
            }
        )
        self._codec, self._lost, self._prefix = codec, lost, prefix
        self._books: dict[Key, list[BookUpdate]] = {}
        self._trades: deque[Trade] = deque()
        self.published = self.conflated = self.losses = self.trades_dropped = 0
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def book(self, update: BookUpdate) -> None:
        """Publish a book's update, now or, merged with others, as soon as there is room."""
        key = (update.venue, update.symbol)
        waiting = self._books.get(key)
        if waiting is not None:
            self._books[key] = conflate(waiting, update)
            self.conflated += 1
        elif not self._send(BOOKS, key, update):
            self._books[key] = [update]

    def trade(self, trade: Trade) -> None:
        """Publish a trade, now or as soon as there is room."""
        if not self._trades and self._send(PRINTS, (trade.venue, trade.symbol), trade):
            return
        if len(self._trades) >= TRADES:
            self.trades_dropped += 1
            if self.trades_dropped % 1000 == 1:
                log.error("Kafka takes nothing: %d trades were not published", self.trades_dropped)
            return
        self._trades.append(trade)

    async def run(self) -> None:
        """Serve the producer and what waits for room, for ever."""
        while True:
            self.poll()
            await asyncio.sleep(POLL_SECONDS)

    def poll(self) -> None:
        """Take delivery reports, then send what waits and has room now."""
        self._producer.poll(0)
        for key, waiting in list(self._books.items()):
            while waiting and self._send(BOOKS, key, waiting[0]):
                waiting.pop(0)
            if waiting:
                break
            del self._books[key]
        while self._trades and self._send(PRINTS, (self._trades[0].venue, self._trades[0].symbol), self._trades[0]):
            self._trades.popleft()

    async def drain(self, seconds: float) -> bool:
        """Wait until Kafka has everything; False when it has not after `seconds`, or when something was lost meanwhile."""
        loop, losses = asyncio.get_running_loop(), self.losses
        deadline = loop.time() + seconds
        while self._books or self._trades or len(self._producer):
            if loop.time() > deadline:
                return False
            self.poll()
            await asyncio.sleep(POLL_SECONDS / 4)
        return self.losses == losses

    def _send(self, topic: str, key: Key, record: Record) -> bool:
        """False when the producer's queue is full."""
        value = self._codec.encode(record)
        try:
            self._producer.produce(
                self._prefix + topic,
                value,
                key[1].encode(),
                on_delivery=lambda error, _: self._delivered(topic, key, error),
            )
        except BufferError:
            return False
        self.published += 1
        return True

    def _delivered(self, topic: str, key: Key, error: KafkaError | None) -> None:
        if error is None:
            return
        log.error("%s of %s at %s was not taken: %s", topic, key[1], key[0], error)
        self.losses += 1
        if topic == BOOKS:
            self._lost(*key)
        else:
            self.trades_dropped += 1

    def _failed(self, error: KafkaError) -> None:
        log.warning("Kafka: %s", error)
        if error.fatal() and not self.failure.done():
            self.failure.set_exception(KafkaException(error))
