"""A simulated venue whose books are a real one's: what the feed publishes of it moves the displayed levels here, and orders are matched with them.

Rules:

* a book is shown from its next SNAPSHOT on, changed by each DIFF that follows, and empty while it is STALE or a change is missing: nothing
  fills against a book that is not known;
* a public trade fills what rests here as it would have there;
* the log is read from its end: what was published before the venue began is not its market.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from confluent_kafka import OFFSET_END as END
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from connectors.simulator.config import Published, VenueSettings
from connectors.simulator.exchange import Exchange, Market
from schemas.codec import Codec
from schemas.records import BookUpdate, BookUpdateKind, Level, Trade
from schemas.registry import ConfluentRegistry

log = logging.getLogger(__name__)

TOPICS = ("market.books", "market.trades")
BATCH, WAIT_SECONDS = 500, 0.05
AGAIN_SECONDS = 0.5
LOOK_SECONDS = 5.0


class Follower:
    """Follows what is published of the venue `books.venue`. `now` gives milliseconds."""

    def __init__(self, exchange: Exchange, settings: VenueSettings, books: Published, now: Callable[[], int]) -> None:
        self._exchange, self._books, self._now = exchange, books, now
        self._venue = books.venue or settings.name
        self._markets = {m.rules.symbol: m for m in exchange.markets.values()}
        self._last: dict[str, int | None] = {}  # of the books that are shown: the last id

    def mid(self, symbol: str) -> int | None:
        """Between the best displayed prices, in 1e-8; None while a side is empty."""
        book = self._markets[symbol].book
        bid, ask = book.bids.best_shown(), book.asks.best_shown()
        return None if bid is None or ask is None else (bid + ask) // 2

    async def run(self, clock: object) -> None:
        """Follow for ever. Records are waited for on a thread, and applied on the loop."""
        loop = asyncio.get_running_loop()
        codec = await loop.run_in_executor(None, lambda: Codec(ConfluentRegistry(self._books.registry)))
        settings = {"group.id": f"simulator-{self._venue}", "enable.auto.commit": False, **self._books.kafka}
        consumer = Consumer({**settings, "isolation.level": "read_committed"})
        try:
            while not await loop.run_in_executor(None, self._assign, consumer):  # noqa: ASYNC110 - asked, not told
                await asyncio.sleep(AGAIN_SECONDS)
            log.info("showing what is published of %s", self._venue)
            while True:
                for message in await loop.run_in_executor(None, consumer.consume, BATCH, WAIT_SECONDS):
                    self._take(codec, message)
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> bool:
        """All partitions, from their ends; False while they are not there."""
        try:
            found = consumer.list_topics(timeout=LOOK_SECONDS).topics
        except KafkaException as error:
            log.warning("Kafka does not answer: %s", error)
            return False
        places = [TopicPartition(t, p, END) for t in TOPICS if t in found for p in found[t].partitions]
        if not all(t in found for t in TOPICS):
            return False
        consumer.assign(places)
        return True

    def _take(self, codec: Codec, message: Message) -> None:
        value = message.value()
        if message.error() is not None or value is None:
            return
        record = codec.decode(value, BookUpdate, Trade)
        market = self._markets.get(record.symbol)
        if record.venue == self._venue and market is not None:
            self.apply(market, record)

    def apply(self, market: Market, record: BookUpdate | Trade) -> None:
        """Bring one record into the book."""
        symbol, lot, at = market.rules.symbol, market.rules.lot, self._now()
        if isinstance(record, Trade):
            quantity = record.quantity - record.quantity % lot
            if quantity and record.side is not None and symbol in self._last:
                self._exchange.printed(market, record.price, quantity, record.side.value, at)
            return
        whole = record.kind is BookUpdateKind.SNAPSHOT
        if not whole and symbol not in self._last:
            return
        if record.kind is BookUpdateKind.STALE or (not whole and record.previous_id != self._last[symbol]):
            del self._last[symbol]
            self._exchange.show(market, (), (), at, whole=True)
            return
        self._last[symbol] = record.last_id
        self._exchange.show(market, _lots(record.bids, lot), _lots(record.asks, lot), at, whole)


def _lots(levels: tuple[Level, ...], lot: int) -> list[tuple[int, int]]:
    return [(level.price, level.quantity - level.quantity % lot) for level in levels]
