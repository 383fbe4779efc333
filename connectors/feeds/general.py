"""Any of the twenty exchanges through ccxt's WebSocket side: slower than the fast path, and there without a line of ours an exchange.

Rules:

* ccxt keeps the book, checks its sequence or checksum, and joins REST snapshots where an exchange wants that; here its states are compared
  and what differs is published (`connectors.feeds.compared`). States that passed while nobody looked are merged, never left out;
* ccxt's book changes under who holds it: it is copied before anything else is awaited, to `DEPTH` levels a side;
* ccxt's numbers are floats; each is taken as the shortest decimal that names it, which is what the exchange printed, and is an exact int
  from then on;
* whatever ccxt raises makes the book STALE, and it is watched again after a pause; an exchange of whose books nothing is heard for
  `general_silence_seconds`, or whose message ccxt cannot read, is left and made anew: ccxt itself would wait for ever;
* books and trades have an exchange of ccxt's each, so that trades which cannot be read take no book with them;
* a book told again, for readers that come late, bears the time at which the venue was last heard: it ages when the venue is silent;
* REST goes out through our own transport and within the budget that all processes share.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Any

import httpx
from redis.exceptions import RedisError

from connectors.feeds.amounts import cached_units
from connectors.feeds.compared import Compared
from connectors.feeds.feed import FeedSettings
from connectors.feeds.follow import GeneralVenue
from connectors.feeds.market import Levels
from connectors.feeds.publisher import Publisher
from connectors.venues.exchanges import DIALECTS
from connectors.venues.limits import Limiter, Priority
from connectors.venues.live import elsewhere, made
from connectors.venues.signing import Credentials, settings_of
from connectors.venues.transport import HttpxTransport, http_client
from schemas.records import BookUpdate, Side, Trade

log = logging.getLogger(__name__)

DEPTH = 100  # levels a side that are published
WITHIN = 10.0  # seconds to wait for a part of the shared budget
CLOSE_SECONDS = 5.0


class Silent(Exception):
    """Nothing is heard of the exchange."""


class _Public(HttpxTransport):
    """Mixed in before ccxt's class: public REST within the shared budget."""

    limiter: Limiter | None = None
    failed: asyncio.Future[None]

    def handle_message(self, client: Any, message: Any) -> None:
        """ccxt's handlers run in its receiving callback: what one of them raises would end the receiving, and nobody would be told."""
        try:
            super().handle_message(client, message)  # type: ignore[misc]  # ccxt's class comes after
        except Exception as error:
            log.warning("unreadable to ccxt: %.300r in %.300r", error, message)
            if not self.failed.done():
                self.failed.set_exception(error)

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        ex: Any = self
        if self.limiter is not None:
            grant = await self.limiter.acquire("book" if ex.markets else "markets", Priority.DATA, within=WITHIN)
        try:
            found = await super().fetch(url, method, headers, body)
        except Exception as error:
            if self.limiter is not None and getattr(error, "answer", None) is not None:
                grant.settle()
            raise
        if self.limiter is not None:
            grant.settle()
        return found

    def get_exceptions_by_url(self, url: str, exactOrBroad: str) -> Any:
        """Binance's error map is keyed on the real address, which ours may not be."""
        ex: Any = self
        if ex.id == "binance":
            return ex.safe_dict(ex.safe_dict(ex.exceptions, "spot", {}), exactOrBroad, {})
        return super().get_exceptions_by_url(url, exactOrBroad)  # type: ignore[misc]  # ccxt's class comes after


def levels(rows: Iterable[Any]) -> Levels:
    """ccxt's `[[61837.64, 1.54698], …]`, the best first, as ints of 1e-8. Raises `ValueError`."""
    found = [(cached_units(_text(row[0])), cached_units(_text(row[1]))) for row in islice(rows, DEPTH)]
    return tuple([(price, quantity) for price, quantity in found if price and quantity])


def _text(number: object) -> str:
    return repr(number) if isinstance(number, float) else str(number)


class GeneralFeed:
    """Follows symbols of one exchange. `connectors.feeds.follow.Source`."""

    def __init__(
        self,
        venue: GeneralVenue,
        publisher: Publisher,
        limiter: Limiter | None,
        clock: Callable[[], int],
        jitter: Callable[[], float],
        settings: FeedSettings,
    ) -> None:
        self._venue, self._publisher, self._limiter = venue, publisher, limiter
        self._clock, self._jitter, self._settings = clock, jitter, settings
        self._books = {s: Compared(venue.name, s) for s in venue.symbols}
        self._heard_at = 0  # microseconds, of the feed's clock
        self._penalties: set[asyncio.Task[None]] = set()
        self.connections = self.messages = self.gaps = 0

    @property
    def live(self) -> int:
        return sum(book.live for book in self._books.values())

    def lost(self, symbol: str) -> None:
        for update in self._books[symbol].again(self._heard_at):
            self._publisher.book(update)

    def stale(self) -> None:
        for book in self._books.values():
            self._publisher.book(book.stale(self._clock()))

    def retell(self) -> None:
        """Nothing waits: see `lost`."""

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sessions(self._follow_books))
                group.create_task(self._sessions(self._follow_trades))
        finally:
            if self._limiter is not None:
                await self._limiter.close()

    async def _sessions(self, follow: Callable[[Any], Awaitable[None]]) -> None:
        """One session after another, each with an exchange of its own: what goes wrong with trades leaves the books alone."""
        pause, loop = self._settings.backoff, asyncio.get_running_loop()
        while True:
            began = loop.time()
            async with http_client(self._settings.connect_seconds) as http:
                exchange = self._made(http)
                try:
                    await exchange.load_markets()
                    self.connections += 1
                    await follow(exchange)
                except* Silent as silent:
                    log.warning("%s: %s", self._venue.name, silent.exceptions[0])
                except* Exception as errors:  # ccxt raises what it likes; each is said
                    for error in errors.exceptions:
                        log.warning("%s: %.300r", self._venue.name, error)
                finally:
                    await self._close(exchange)
            if loop.time() - began > 2 * self._settings.general_silence_seconds:
                pause = self._settings.backoff
            await asyncio.sleep(pause * (0.5 + self._jitter()))
            pause = min(pause * 2, self._settings.backoff_max)

    async def _close(self, exchange: Any) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await exchange.close()
        except Exception as error:
            log.info("%s: closing: %r", self._venue.name, error)

    def _made(self, http: httpx.AsyncClient) -> Any:
        """ccxt's exchange, with our transport and at our addresses."""
        dialect = DIALECTS[self._venue.exchange]
        settings = settings_of(Credentials(), 5_000)
        # pings this often; a connection that misses two answers is given up by ccxt itself
        settings["streaming"] = {"keepAlive": int(self._settings.general_silence_seconds * 1000 / 3)}
        found = made(dialect, _Public, settings, http, self._settings.connect_seconds)
        found.limiter = self._limiter
        found.urls["api"] = elsewhere(found.urls["api"], self._venue.rest_url, self._venue.ws_url)
        found.limited, found.failed = self._limited, asyncio.get_running_loop().create_future()
        return found

    async def _follow_books(self, exchange: Any) -> None:
        """Until the exchange is silent or cannot be used. STALE has then been said of every book that was live."""
        self._heard_at = self._clock()
        unknown = [s for s in self._books if s not in exchange.markets]
        if unknown:
            log.error("%s does not trade %s", self._venue.name, ", ".join(unknown))
        try:
            async with asyncio.TaskGroup() as group:
                for symbol, book in self._books.items():
                    if symbol not in unknown:
                        group.create_task(self._watch(exchange, book))
                group.create_task(self._rounds())
                await exchange.failed
        finally:
            for book in self._books.values():
                self._publish(book, book.broken(self._clock()))

    async def _follow_trades(self, exchange: Any) -> None:
        if not exchange.has.get("watchTrades"):
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            for symbol in self._books:
                if symbol in exchange.markets:
                    group.create_task(self._prints(exchange, symbol))
            await exchange.failed

    async def _watch(self, exchange: Any, book: Compared) -> None:
        """One symbol's book, for ever."""
        pause = self._settings.backoff
        while True:
            try:
                shown = await exchange.watch_order_book(book.symbol)
                at = self._heard_at = self._clock()
                self.messages += 1
                stamp = shown.get("timestamp")
                venue_at = int(stamp) * 1000 if stamp else None
                updates = book.show(levels(shown["bids"]), levels(shown["asks"]), at, venue_at)
            except Exception as error:
                log.warning("%s: the book of %s: %r", self._venue.name, book.symbol, error)
                self.gaps += 1
                self._publish(book, book.broken(self._clock()))
                await asyncio.sleep(pause * (0.5 + self._jitter()))
                pause = min(pause * 2, self._settings.backoff_max)
                continue
            pause = self._settings.backoff
            self._publish(book, updates)

    async def _prints(self, exchange: Any, symbol: str) -> None:
        """One symbol's trades, for ever."""
        pause = self._settings.backoff
        while True:
            try:
                trades = await exchange.watch_trades(symbol)
                at = self._clock()
                self.messages += 1
                for trade in trades:
                    self._publisher.trade(self._trade(trade, symbol, at))
            except Exception as error:
                log.warning("%s: the trades of %s: %r", self._venue.name, symbol, error)
                await asyncio.sleep(pause * (0.5 + self._jitter()))
                pause = min(pause * 2, self._settings.backoff_max)
                continue
            pause = self._settings.backoff

    def _trade(self, trade: Any, symbol: str, at: int) -> Trade:
        price, amount = _text(trade["price"]), _text(trade["amount"])
        stamp, side = trade.get("timestamp"), trade.get("side")
        return Trade(
            venue=self._venue.name,
            symbol=symbol,
            # not every exchange numbers its trades
            trade_id=str(trade["id"]) if trade.get("id") else f"{stamp}-{price}-{amount}",
            price=cached_units(price),
            quantity=cached_units(amount),
            side=Side(side.upper()) if side else None,
            venue_at=int(stamp) * 1000 if stamp else None,
            received_at=at,
        )

    async def _rounds(self) -> None:
        """Whole books again, in time. Raises `Silent`."""
        step = min(0.25, self._settings.snapshot_seconds / 5)
        due = dict.fromkeys(self._books.values(), 0.0)
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(step)
            silent = (self._clock() - self._heard_at) / 1e6
            if silent > self._settings.general_silence_seconds:
                raise Silent(f"nothing came for {silent:.1f} s")
            for book, last in due.items():
                if book.live and loop.time() - last >= self._settings.snapshot_seconds - step:
                    due[book] = loop.time()
                    self._publish(book, book.again(self._heard_at))

    def _publish(self, book: Compared, updates: Iterable[BookUpdate]) -> None:
        for update in updates:
            self._publisher.book(update)

    def _limited(self, seconds: float) -> None:
        """The exchange said to wait so long: all who share its budget do."""
        if self._limiter is not None:
            self._limiter.hold(seconds)
            task = asyncio.get_running_loop().create_task(self._penalise(self._limiter, seconds))
            self._penalties.add(task)
            task.add_done_callback(self._penalties.discard)

    async def _penalise(self, limiter: Limiter, seconds: float) -> None:
        try:
            await limiter.penalise(seconds)
        except (RedisError, OSError) as error:
            log.warning("%s: the shared budget cannot be told to wait: %s", self._venue.name, error)
