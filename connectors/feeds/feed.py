"""One venue's public streams into Kafka: connects, follows every symbol's book, and starts over when anything is amiss.

    WebSocket ─► Exchange.message ─► Follower.change ─┐
    REST ──────► Exchange.snapshot ─► Follower.snapshot ─► Publisher ─► market.books, market.trades

Rules:

* a socket that ended, says what cannot be read, or is silent for `silence_seconds` is broken: STALE for its symbols first, then a new
  connection after a pause that doubles, with jitter, and is short again once a stream has lived;
* a snapshot that does not come is asked for again; it ends neither the stream nor the process, only that book stays unknown; a venue
  that says how long to leave it alone (429, 418) is asked nothing before that, whatever happens to the stream;
* every `snapshot_seconds` each book is published whole, every `check_seconds` it is compared with the venue's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from connectors.feeds.follower import Follower
from connectors.feeds.market import Depth, Exchange
from connectors.feeds.publisher import Publisher
from schemas.records import BookUpdate, Trade

log = logging.getLogger(__name__)

TOO_MANY = (429, 418)  # too many requests, and banned for going on


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """Seconds, unless named otherwise.

    `depth`: levels a side of a published snapshot; `snapshots`: REST snapshots at once, a venue; `prefix` is put before the topics' names.
    """

    snapshot_seconds: float = 5.0
    silence_seconds: float = 5.0
    check_seconds: float = 300.0
    connect_seconds: float = 5.0
    backoff: float = 0.1
    backoff_max: float = 5.0
    drain_seconds: float = 10.0
    depth: int = 1000
    snapshots: int = 4
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class FeedVenue:
    """A venue to follow: its name, its protocol, where it is, and unified symbols."""

    name: str
    exchange: Exchange
    rest_url: str
    ws_url: str
    symbols: tuple[str, ...]


class Broken(Exception):
    """The stream cannot be followed any further."""


class Feed:
    """Follows one venue. `clock` gives int microseconds, `jitter` numbers in [0, 1)."""

    def __init__(
        self,
        venue: FeedVenue,
        publisher: Publisher,
        http: aiohttp.ClientSession,
        clock: Callable[[], int],
        jitter: Callable[[], float],
        settings: FeedSettings,
    ) -> None:
        self._venue, self._publisher, self._http = venue, publisher, http
        self._clock, self._jitter, self._settings = clock, jitter, settings
        exchange = venue.exchange
        self._followers = {
            exchange.symbol_id(symbol): Follower(venue.name, symbol, exchange, settings.depth)
            for symbol in venue.symbols
        }
        self._asking: set[Follower] = set()
        self._asks = asyncio.Semaphore(settings.snapshots)
        self._again: set[Follower] = set()
        self._wrong: dict[Follower, int] = {}
        self._quiet_until = 0.0  # by the loop's clock

    def lost(self, symbol: str) -> None:
        """Kafka did not take a record of the symbol's book: it must be told again."""
        self._again.add(self._followers[self._venue.exchange.symbol_id(symbol)])

    def stale(self) -> None:
        """Publish STALE for every symbol, whatever a predecessor left."""
        for follower in self._followers.values():
            self._publisher.book(follower.stale(self._clock()))

    def retell(self) -> None:
        """Publish each book of which something was lost, as it is now."""
        while self._again:
            follower = self._again.pop()
            self._publish(follower, follower.again(self._clock()) or [follower.stale(self._clock())])

    async def run(self) -> None:
        """Follow the venue until cancelled. STALE has then been given to the publisher for every book that was live."""
        pause, loop = self._settings.backoff, asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._session()
            except* (aiohttp.ClientError, OSError, TimeoutError, Broken) as errors:
                for error in errors.exceptions:
                    log.warning("%s: %s", self._venue.name, str(error) or type(error).__name__)
            if loop.time() - began > 2 * self._settings.silence_seconds:
                pause = self._settings.backoff
            await asyncio.sleep(pause * (0.5 + self._jitter()))
            pause = min(pause * 2, self._settings.backoff_max)

    # --- one connection

    async def _session(self) -> None:
        """Connect and follow until the stream breaks, which raises."""
        venue, settings = self._venue, self._settings
        url = venue.exchange.stream_url(venue.ws_url, list(venue.symbols))
        async with asyncio.timeout(settings.connect_seconds):
            socket = await self._http.ws_connect(url, timeout=aiohttp.ClientWSTimeout(ws_close=1.0))
        log.info("%s: connected to %s", venue.name, url)
        try:
            async with asyncio.TaskGroup() as group:
                for follower in self._followers.values():
                    self._ask(follower, group)
                group.create_task(self._rounds(group))
                group.create_task(self._listen(socket, group))
        finally:
            # First of all: closing may wait for a peer that is gone.
            for follower in self._followers.values():
                self._publish(follower, follower.broken(self._clock()))
            await socket.close()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse, group: asyncio.TaskGroup) -> None:
        silence = self._settings.silence_seconds
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(silence) as limit:
                while True:
                    message = await socket.receive()
                    at = self._clock()
                    if message.type is aiohttp.WSMsgType.TEXT:
                        self._take(message.data.encode(), at, group)
                    elif message.type is aiohttp.WSMsgType.BINARY:
                        self._take(message.data, at, group)
                    else:
                        raise Broken(
                            f"the stream ended: {message.type.name} {message.data or ''} {message.extra or ''}"
                        )
                    limit.reschedule(loop.time() + silence)
        except TimeoutError as error:
            raise Broken(f"nothing came for {silence} s") from error

    def _take(self, data: bytes, at: int, group: asyncio.TaskGroup) -> None:
        try:
            content = self._venue.exchange.message(data)
        except ValueError as error:
            raise Broken(f"{error} in {data[:200]!r}") from error
        if content is None:
            return
        symbol_id, said = content
        follower = self._followers.get(symbol_id)
        if follower is None:
            raise Broken(f"{symbol_id} was not asked for")
        if isinstance(said, Depth):
            live = follower.live
            self._publish(follower, follower.change(said, at))
            if live and not follower.live:
                log.warning("%s: a gap in %s before %s", self._venue.name, follower.symbol, said.last_id)
                self._ask(follower, group)
            return
        self._publisher.trade(
            Trade(
                venue=self._venue.name,
                symbol=follower.symbol,
                trade_id=said.trade_id,
                price=said.price,
                quantity=said.quantity,
                side=said.side,
                venue_at=said.venue_at,
                received_at=at,
            )
        )

    def _publish(self, follower: Follower, updates: Iterable[BookUpdate]) -> None:
        for update in updates:
            self._publisher.book(update)
        if follower.mismatches > self._wrong.get(follower, 0):
            self._wrong[follower] = follower.mismatches
            log.error("%s: the book of %s was not the venue's", self._venue.name, follower.symbol)

    # --- snapshots

    def _ask(self, follower: Follower, group: asyncio.TaskGroup) -> None:
        """Ask the venue for the whole book, unless that is under way."""
        if follower not in self._asking:
            self._asking.add(follower)
            group.create_task(self._fetch(follower)).add_done_callback(lambda _: self._asking.discard(follower))

    async def _fetch(self, follower: Follower) -> None:
        """Until the book is known; a check's snapshot is asked for once."""
        pause = self._settings.backoff
        checking = follower.live
        while True:
            try:
                async with self._asks:
                    snapshot = await self._snapshot(follower.symbol)
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                said = str(error) or type(error).__name__
                log.warning("%s: no snapshot of %s: %s", self._venue.name, follower.symbol, said)
                follower.check_off()
            else:
                self._publish(follower, follower.snapshot(snapshot, self._clock()))
            if checking or follower.live:
                return
            await asyncio.sleep(pause * (0.5 + self._jitter()))
            pause = min(pause * 2, self._settings.backoff_max)

    async def _snapshot(self, symbol: str) -> Depth:
        venue = self._venue
        loop = asyncio.get_running_loop()
        while (wait := self._quiet_until - loop.time()) > 0:  # noqa: ASYNC110 - a time is waited for, which may be put off
            await asyncio.sleep(wait)
        limit = aiohttp.ClientTimeout(total=self._settings.connect_seconds)
        async with self._http.get(venue.exchange.snapshot_url(venue.rest_url, symbol), timeout=limit) as answer:
            if answer.status in TOO_MANY:
                said = answer.headers.get("Retry-After", "")
                self._quiet_until = loop.time() + (int(said) if said.isdecimal() else 1)
            answer.raise_for_status()
            return venue.exchange.snapshot(await answer.read())

    # --- what comes round

    async def _rounds(self, group: asyncio.TaskGroup) -> None:
        """Whole books again, and checks, in time. Raises `Broken` when a check shows that the stream is dead."""
        settings, loop = self._settings, asyncio.get_running_loop()
        step = min(0.25, settings.snapshot_seconds / 5)
        whole = dict.fromkeys(self._followers.values(), loop.time())
        checked = dict(whole)
        while True:
            await asyncio.sleep(step)
            now = loop.time()
            for follower in self._followers.values():
                if follower.live and now - whole[follower] >= settings.snapshot_seconds - step:
                    whole[follower] = now
                    self._publish(follower, follower.again(self._clock()))
                if not follower.live:
                    checked[follower] = now
                    self._ask(follower, group)
                elif follower.behind:
                    if now - checked[follower] > settings.silence_seconds + settings.connect_seconds:
                        raise Broken(f"{follower.symbol} has changed, and the stream does not tell")
                elif now - checked[follower] >= settings.check_seconds:
                    checked[follower] = now
                    follower.check_on()
                    self._ask(follower, group)


async def follow(
    venues: Iterable[FeedVenue],
    publisher_of: Callable[[Callable[[str, str], None]], Publisher],
    clock: Callable[[], int],
    jitter: Callable[[], float],
    stop: asyncio.Event,
    settings: FeedSettings,
) -> bool:
    """Follow the venues until `stop`; True when all that was said has then reached Kafka. Raises what cannot be recovered from here."""
    feeds: dict[str, Feed] = {}
    publisher = publisher_of(lambda venue, symbol: feeds[venue].lost(symbol))
    async with aiohttp.ClientSession() as http:
        feeds.update({v.name: Feed(v, publisher, http, clock, jitter, settings) for v in venues})
        for feed in feeds.values():
            feed.stale()
        # A predecessor may have been killed: nothing is said of its books before Kafka has it that they are not to be trusted.
        while not await publisher.drain(settings.drain_seconds) and not stop.is_set() and not publisher.failure.done():
            log.warning("Kafka does not answer yet")
            for feed in feeds.values():
                feed.retell()
        tasks = [asyncio.create_task(feed.run()) for feed in feeds.values()]
        tasks.append(asyncio.create_task(publisher.run()))
        tasks.append(asyncio.create_task(_retell(feeds.values())))
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
    return await publisher.drain(settings.drain_seconds)


async def _retell(feeds: Collection[Feed]) -> None:
    while True:
        await asyncio.sleep(0.25)
        for feed in feeds:
            feed.retell()
