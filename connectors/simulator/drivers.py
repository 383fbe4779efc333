"""What makes the books move: a recording, a generator, a real venue's published books, or nothing but its user. One driver a venue.

Rules:

* All recordings of a process play on one clock, which starts when the process is ready: a record is due its recorded distance from time
  zero after that, divided by the speed. Time zero is the first record of all files; a file that starts more than an hour after others
  was not recorded with them and begins at its own first record.
* A recorded book starts with its first snapshot, and a later snapshot replaces it (`connectors.recordings.settled`). After the last
  record the last book stays.
* Displayed and traded quantities are cut down to whole lots, as a venue has them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from random import Random

from connectors.recordings import Recorded, read, settled
from connectors.simulator.config import Following, Generated, Published, Recording, Settings, Static, VenueSettings
from connectors.simulator.exchange import Exchange, Market
from connectors.simulator.generator import GeneratedBook, Shape
from connectors.simulator.matching import Level
from connectors.simulator.published import Follower

log = logging.getLogger(__name__)

Mid = Callable[[str], int | None]
ONE_SESSION = 3_600_000_000  # microseconds
BREATH = 100  # records played before others get their turn


class Clock:
    """The clock that all recordings of the process play on."""

    def __init__(self, speed: float) -> None:
        self.speed, self._start = speed, 0.0

    def start(self) -> None:
        """Time zero is now."""
        self._start = asyncio.get_running_loop().time()

    def until(self, after_us: int) -> float:
        """Seconds from now until `after_us` of recorded time have passed; negative when they have."""
        return self._start + after_us / 1e6 / self.speed - asyncio.get_running_loop().time()


class Player:
    """Plays a recording into an exchange. Raises `ValueError`, `OSError` when it cannot be read or holds nothing of the venue."""

    def __init__(self, exchange: Exchange, settings: VenueSettings, books: Recording, now: Callable[[], int]) -> None:
        self._exchange, self._name, self._now = exchange, settings.name, now
        self._markets = {m.rules.symbol: m for m in exchange.markets.values()}
        self._begun: set[str] = set()  # symbols that had their snapshot
        venue = books.venue or settings.name
        records = (r for r in read(books.file, venue) if r.symbol in self._markets)
        first = next(records, None)
        if first is None:
            raise ValueError(f"{books.file}: nothing of {venue} in {', '.join(self._markets)}")
        self._records = settled(chain([first], records))
        self.first_at = self.origin = first.at_us

    def mid(self, symbol: str) -> int | None:
        """Between the best displayed prices, in 1e-8; None while a side is empty."""
        book = self._markets[symbol].book
        bid, ask = book.bids.best_shown(), book.asks.best_shown()
        return None if bid is None or ask is None else (bid + ask) // 2

    async def run(self, clock: Clock) -> None:
        """Play to the end."""
        played = 0
        for record in self._records:
            wait = clock.until(record.at_us - self.origin)
            if wait > 0 or played % BREATH == 0:
                await asyncio.sleep(max(0.0, wait))
            self.apply(record)
            played += 1
        log.info("%s: the recording ends after %d records; its last books stay", self._name, played)
        if silent := self._markets.keys() - self._begun:
            log.error("%s: the recording has no snapshot of %s", self._name, ", ".join(sorted(silent)))

    def apply(self, record: Recorded) -> None:
        """Bring one record into the book."""
        market, at = self._markets[record.symbol], self._now()
        lot = market.rules.lot
        if record.kind == "trade":
            quantity = (record.quantity or 0) // lot * lot
            if record.price and quantity and record.side is not None:
                self._exchange.printed(market, record.price, quantity, record.side.value, at)
            return
        whole = record.kind == "snapshot"
        if whole:
            self._begun.add(record.symbol)
        self._exchange.show(market, in_lots(record.bids, lot), in_lots(record.asks, lot), at, whole)


def in_lots(levels: Iterable[Level], lot: int) -> list[Level]:
    """Quantities cut down to whole lots."""
    return [(price, quantity - quantity % lot) for price, quantity in levels]


class Generator:
    """Generates the books of a venue, around the mid of another where `follow` gives it."""

    def __init__(
        self,
        exchange: Exchange,
        settings: VenueSettings,
        shape: Shape,
        updates_per_s: float,
        seed: int,
        now: Callable[[], int],
        mids: Mapping[str, int],
        follow: Mid | None = None,
    ) -> None:
        self._exchange, self._shape, self._period, self._now = exchange, shape, 1 / updates_per_s, now
        self._markets = {m.rules.symbol: m for m in exchange.markets.values()}
        self._follow = follow
        self._random = {symbol: Random(f"{seed}/{settings.name}/{symbol}") for symbol in self._markets}
        self._books: dict[str, GeneratedBook] = {}
        for symbol, mid in mids.items():
            if symbol in self._markets:
                self._begin(self._markets[symbol], mid)

    def mid(self, symbol: str) -> int | None:
        """The generated mid in 1e-8; None while there is nothing to follow."""
        book = self._books.get(symbol)
        return None if book is None else book.mid

    def _begin(self, market: Market, mid: int) -> None:
        symbol = market.rules.symbol
        book = self._books[symbol] = GeneratedBook(market.rules, self._shape, mid, self._random[symbol])
        self._exchange.show(market, *book.whole(), self._now(), whole=True)

    def tick(self) -> None:
        """One update of each symbol."""
        for symbol, market in self._markets.items():
            around = self._follow(symbol) if self._follow is not None else None
            book = self._books.get(symbol)
            if book is None:
                if around is not None:
                    self._begin(market, around)
                continue
            if self._follow is not None and around is None:
                continue
            bids, asks, trade = book.step(around)
            at = self._now()
            if trade is not None:
                self._exchange.printed(market, *trade, at)
            self._exchange.show(market, bids, asks, at)

    async def run(self, clock: Clock) -> None:
        """Tick for ever; ticks that the process came too late for are left out."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self._period, loop.time())
            await asyncio.sleep(due - loop.time())
            self.tick()


class Standing:
    """Shows what it is given, and leaves it to who asks for `/sim/book` and `/sim/trade`."""

    def __init__(self, exchange: Exchange, books: Static, now: Callable[[], int]) -> None:
        self._markets = {m.rules.symbol: m for m in exchange.markets.values()}
        for symbol, (bids, asks) in books.sides.items():
            if symbol in self._markets:
                exchange.show(self._markets[symbol], bids, asks, now(), whole=True)

    def mid(self, symbol: str) -> int | None:
        """Between the best displayed prices, in 1e-8; None while a side is empty."""
        book = self._markets[symbol].book
        bid, ask = book.bids.best_shown(), book.asks.best_shown()
        return None if bid is None or ask is None else (bid + ask) // 2

    async def run(self, clock: Clock) -> None:
        """Nothing moves by itself."""


Driver = Player | Generator | Standing | Follower


def drivers(settings: Settings, exchanges: Mapping[str, Exchange], now: Callable[[], int]) -> dict[str, Driver]:
    """A driver for each venue, by name; followers come after what they follow. Raises `ValueError`, `OSError`."""
    made: dict[str, Driver] = {}
    left = list(settings.venues)
    while left:
        venue = left.pop(0)
        books, exchange = venue.books, exchanges[venue.name]
        if isinstance(books, Recording):
            made[venue.name] = Player(exchange, venue, books, now)
        elif isinstance(books, Generated):
            given = (books.shape, books.updates_per_s, settings.seed)
            made[venue.name] = Generator(exchange, venue, *given, now, books.mid)
        elif isinstance(books, Static):
            made[venue.name] = Standing(exchange, books, now)
        elif isinstance(books, Published):
            made[venue.name] = Follower(exchange, venue, books, now)
        elif books.of not in made:
            left.append(venue)  # its turn comes: the configuration has no circles
        else:
            made[venue.name] = _follower(exchange, venue, books, settings.seed, now, made[books.of])
    align([driver for driver in made.values() if isinstance(driver, Player)])
    return made


def _follower(
    exchange: Exchange, venue: VenueSettings, books: Following, seed: int, now: Callable[[], int], followed: Driver
) -> Generator:
    known = {r.symbol: mid for r in venue.symbols if (mid := followed.mid(r.symbol)) is not None}
    return Generator(exchange, venue, books.shape, books.updates_per_s, seed, now, known, followed.mid)


def align(players: Sequence[Player]) -> None:
    """Give recordings of one time one time zero."""
    origin: int | None = None
    for player in sorted(players, key=lambda p: p.first_at):
        if origin is None or player.first_at - origin > ONE_SESSION:
            origin = player.first_at
        player.origin = origin
