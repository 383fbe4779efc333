"""All of a process's feeds: venues' symbols over connections, one publisher for all, STALE first and STALE last.

Rules:

* a venue's symbols go over as many connections as it takes (`Exchange.per_connection`, or fewer a connection by the settings), so that one
  that breaks takes only its own books with it; its connections ask for REST snapshots together;
* of several processes each takes its share of the symbols (`share`), by a hash that is the same everywhere: no symbol twice, none left out;
* before anything is said of a book, Kafka has it that what a predecessor said is not to be trusted.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

from connectors.feeds.binance import Binance
from connectors.feeds.feed import Feed, FeedSettings, FeedVenue, Tap
from connectors.feeds.publisher import Publisher
from connectors.feeds.rest import Snapshots

if TYPE_CHECKING:
    from connectors.venues.limits import Limiter

log = logging.getLogger(__name__)

RETELL_SECONDS = 0.25


class Source(Protocol):
    """What follows books of one venue: a `Feed`, or ccxt's (`connectors.feeds.general`)."""

    connections: int
    messages: int
    gaps: int

    @property
    def live(self) -> int:
        """How many books are known."""

    def lost(self, symbol: str) -> None:
        """Kafka did not take a record of the symbol's book: it must be told again."""

    def stale(self) -> None:
        """Publish STALE for every symbol."""

    def retell(self) -> None:
        """Publish each book of which something was lost, as it is now."""

    async def run(self) -> None:
        """Follow until cancelled; STALE has then been given to the publisher for every book that was live."""


@dataclass(frozen=True, slots=True)
class GeneralVenue:
    """A venue to follow through ccxt: our name, ccxt's id, unified symbols, and other addresses than the exchange's own."""

    name: str
    exchange: str
    symbols: tuple[str, ...]
    rest_url: str | None = None
    ws_url: str | None = None


def share(symbols: Iterable[str], index: int, of: int) -> tuple[str, ...]:
    """The symbols that process `index` of `of` follows."""
    return tuple(s for s in symbols if zlib.crc32(s.encode()) % of == index)


def connections(symbols: Sequence[str], most: int) -> Iterator[tuple[str, ...]]:
    """As few groups of at most `most` symbols as there can be, of even size."""
    groups = -(-len(symbols) // most)
    for n in range(groups):
        yield tuple(symbols[n::groups])


class Following:
    """The feeds of one process, as they do. `stats` is what a report says of them."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.sources: dict[tuple[str, str], Source] = {}
        self.snapshots: dict[str, Snapshots] = {}

    @property
    def each(self) -> Collection[Source]:
        return dict.fromkeys(self.sources.values())

    def add(self, venue: str, symbols: Iterable[str], source: Source) -> None:
        for symbol in symbols:
            self.sources[venue, symbol] = source

    def stats(self) -> dict[str, Any]:
        """Counts since the start, by venue."""
        rows: dict[str, dict[str, int]] = {}
        seen: set[Source] = set()
        for (venue, _), source in self.sources.items():
            row = rows.setdefault(
                venue, {"symbols": 0, "live": 0, "connections": 0, "messages": 0, "gaps": 0, "snapshots_asked": 0}
            )
            row["symbols"] += 1
            if source in seen:
                continue
            seen.add(source)
            row["live"] += source.live
            for name in ("connections", "messages", "gaps"):
                row[name] += getattr(source, name)
        for venue, asked in self.snapshots.items():
            if venue in rows:
                rows[venue]["snapshots_asked"] = asked.asked
        publisher = self.publisher
        return {
            "venues": rows,
            "published": publisher.published,
            "conflated": publisher.conflated,
            "lost": publisher.losses,
            "trades_dropped": publisher.trades_dropped,
        }


async def follow(
    venues: Iterable[FeedVenue | GeneralVenue],
    publisher_of: Callable[[Callable[[str, str], None]], Publisher],
    clock: Callable[[], int],
    jitter: Callable[[], float],
    stop: asyncio.Event,
    settings: FeedSettings,
    *,
    limits: str | None = None,
    tap: Tap | None = None,
    told: Callable[[Following], None] | None = None,
) -> bool:
    """Follow the venues until `stop`; True when all that was said has then reached Kafka. Raises what cannot be recovered from here.

    `limits`: the Valkey in which the venues' budgets are shared. `told` is given the feeds when they are made.
    """
    publisher = publisher_of(lambda venue, symbol: following.sources[venue, symbol].lost(symbol))
    following = Following(publisher)
    async with aiohttp.ClientSession() as http:
        for venue in venues:
            if isinstance(venue, FeedVenue):
                _fast(following, venue, http, clock, jitter, settings, limits, tap)
            else:
                from connectors.feeds.general import GeneralFeed  # imports ccxt, which takes seconds

                limiter = _limiter(limits, venue.name, venue.exchange)
                source = GeneralFeed(venue, publisher, limiter, clock, jitter, settings)
                following.add(venue.name, venue.symbols, source)
        if told is not None:
            told(following)
        for each in following.each:
            each.stale()
        # A predecessor may have been killed: nothing is said of its books before Kafka has it that they are not to be trusted.
        while not await publisher.drain(settings.drain_seconds) and not stop.is_set() and not publisher.failure.done():
            log.warning("Kafka does not answer yet")
            for each in following.each:
                each.retell()
        tasks = [asyncio.create_task(each.run()) for each in following.each]
        tasks.append(asyncio.create_task(publisher.run()))
        tasks.append(asyncio.create_task(_retell(following.each)))
        stopping = asyncio.create_task(stop.wait())
        ends: set[asyncio.Future[Any]] = {*tasks, stopping, publisher.failure}
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            stopping.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for asked in following.snapshots.values():
                await asked.close()
    return await publisher.drain(settings.drain_seconds)


def _fast(
    following: Following,
    venue: FeedVenue,
    http: aiohttp.ClientSession,
    clock: Callable[[], int],
    jitter: Callable[[], float],
    settings: FeedSettings,
    limits: str | None,
    tap: Tap | None,
) -> None:
    exchange = venue.exchange
    snapshots = None
    if isinstance(exchange, Binance):
        limiter = _limiter(limits, venue.name, "binance")
        snapshots = Snapshots(
            venue.name, exchange, venue.rest_url, http, settings.snapshots, settings.connect_seconds, limiter
        )
        following.snapshots[venue.name] = snapshots
    most = min(settings.per_connection or exchange.per_connection, exchange.per_connection)
    for symbols in connections(venue.symbols, most):
        part = replace(venue, symbols=symbols)
        feed = Feed(part, following.publisher, snapshots, clock, jitter, settings, tap)
        following.add(venue.name, symbols, feed)


def _limiter(limits: str | None, name: str, exchange: str) -> Limiter | None:
    if limits is None:
        return None
    from connectors.venues.exchanges import DIALECTS
    from connectors.venues.limits import Limiter

    # The same scope as the execution connector's: an exchange counts by address, whoever asks.
    return Limiter.at(limits, name, DIALECTS[exchange].pools)


async def _retell(feeds: Collection[Source]) -> None:
    while True:
        await asyncio.sleep(RETELL_SECONDS)
        for feed in feeds:
            feed.retell()
