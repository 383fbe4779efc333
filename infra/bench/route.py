"""`bestex bench route`: decisions a second on one core, with books that change between them.

Twenty venues with a thousand levels a side, each with its own instrument and health; before each decision one venue's book takes a diff near
its best levels. Decisions are 1 ms of the market's time apart, so that each venue is
heard 50 times a second and some 500 earlier plans still count as taken. Orders are of three sizes: most take what the best level of a venue holds,
some take several levels of several venues, few go deep; both sides, with and without a limit, in whole lots, as no others are let in. A decision is everything that the router's agent does
for a request but reading it: the change of the book, markets, plan, children, takes, and the encoding of plan and children.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from schemas.codec import Codec, LocalRegistry
from schemas.records import (
    BookUpdate,
    BookUpdateKind,
    Instrument,
    InstrumentStatus,
    Level,
    OrderType,
    RouteRequest,
    Side,
    TimeInForce,
    VenueHealth,
    VenueStatus,
)
from streams.domain.consolidated import SymbolBooks
from streams.domain.directory import Directory, instrument_key
from streams.domain.routing import plan
from streams.domain.terms import RoutingSettings

SCALE = 100_000_000
SYMBOL = "BTC/USDT"
START = 1_700_000_000_000_000
TICK = SCALE // 100
LOT = 1000
MID = 60_000 * SCALE
Tell = Callable[[str], None]


class Scene:
    """The books, and what changes them and asks of them; everything is made before the clock runs."""

    def __init__(self, venues: int, levels: int, decisions: int, seed: int = 5) -> None:
        self._chance, self._codec = random.Random(seed), Codec(LocalRegistry())
        self.names = [f"venue{n:02}" for n in range(venues)]
        self.books = SymbolBooks(SYMBOL)
        self.instruments = {instrument_key(name, SYMBOL): self._instrument(name) for name in self.names}
        self.health = {name: self._health(name) for name in self.names}
        for name in self.names:
            self.books.apply(self._snapshot(name, levels))
        self.changes = [self._diff(self.names[n % venues], n // venues, START + n * 1000) for n in range(decisions)]
        self.requests = [self._request(n) for n in range(decisions)]

    def run(self, settings: RoutingSettings) -> tuple[float, int]:
        """Seconds of processor time for all, and how many children were made and encoded."""
        directory, children, codec = Directory(settings), 0, self._codec
        began = time.process_time()
        for change, request in zip(self.changes, self.requests, strict=True):
            self.books.apply(change)
            now = change.received_at
            owner = f"{request.order_id}-{request.attempt}"
            markets = directory.markets(self.instruments, self.health, SYMBOL, self.books, request.side, owner, now)
            decision = plan(request, markets, settings, now)
            self.books.take(request.side, owner, decision.takes, now + settings.hold_us)
            codec.encode(decision.outline, decision.body)
            for child in decision.children:
                codec.encode(child)
            children += len(decision.children)
        return time.process_time() - began, children

    def _instrument(self, venue: str) -> Instrument:
        return Instrument(
            venue=venue,
            symbol=SYMBOL,
            base="BTC",
            quote="USDT",
            tick=TICK,
            lot=LOT,
            min_quantity=1000,
            max_quantity=0,
            min_notional=5 * SCALE,
            maker_fee=80_000,
            taker_fee=self._chance.choice((80_000, 100_000, 120_000)),
            status=InstrumentStatus.OPEN,
            at=START,
        )

    def _health(self, venue: str) -> VenueHealth:
        return VenueHealth(
            venue=venue,
            status=VenueStatus.ACTIVE,
            latency_us=self._chance.randrange(1_000, 80_000),
            success_rate=SCALE - self._chance.randrange(0, 2_000_000),
            reason="",
            at=START,
        )

    def _snapshot(self, venue: str, levels: int) -> BookUpdate:
        spread = self._chance.randrange(20, 100)

        def side(sign: int) -> tuple[Level, ...]:
            return tuple(
                [
                    Level(price=MID + sign * TICK * (spread + n * 3), quantity=self._chance.randrange(10**6, 2 * SCALE))
                    for n in range(levels)
                ]
            )

        return BookUpdate(
            venue=venue,
            symbol=SYMBOL,
            kind=BookUpdateKind.SNAPSHOT,
            last_id=1,
            bids=side(-1),
            asks=side(1),
            received_at=START,
        )

    def _diff(self, venue: str, number: int, at: int) -> BookUpdate:
        def side(sign: int) -> tuple[Level, ...]:
            return tuple(
                [
                    Level(
                        price=MID + sign * TICK * self._chance.randrange(20, 400),
                        quantity=self._chance.choice((0, self._chance.randrange(10**6, 2 * SCALE))),
                    )
                    for _ in range(3)
                ]
            )

        return BookUpdate(
            venue=venue,
            symbol=SYMBOL,
            kind=BookUpdateKind.DIFF,
            first_id=number + 2,
            last_id=number + 2,
            previous_id=number + 1,
            bids=side(-1),
            asks=side(1),
            received_at=at,
        )

    def _request(self, number: int) -> RouteRequest:
        side = self._chance.choice((Side.BUY, Side.SELL))
        size = self._chance.choices((SCALE // 100, 2 * SCALE, 20 * SCALE), (80, 18, 2))[0]
        limited = self._chance.random() < 0.5
        away = MID // 1000 if limited else MID // 50
        return RouteRequest(
            order_id=f"order{number}",
            account_id="account",
            symbol=SYMBOL,
            side=side,
            order_type=OrderType.LIMIT if limited else OrderType.MARKET,
            time_in_force=TimeInForce.GTC if limited else TimeInForce.IOC,
            quantity=size + self._chance.randrange(0, size // 10, LOT),
            price=MID + away if side is Side.BUY else MID - away,
            attempt=1,
            accepted_at=START,
        )


def measure(quick: bool, runs: int, tell: Tell, venues: int = 20, levels: int = 1000) -> dict[str, Any]:
    """Decisions a second: the best of some runs, each on books of its own."""
    decisions, best = 5_000 if quick else 40_000, 0.0
    for run in range(runs):
        scene = Scene(venues, levels, decisions)
        seconds, children = scene.run(RoutingSettings())
        best = max(best, decisions / seconds)
        tell(f"run {run + 1}: {decisions / seconds:,.0f} decisions/s, {children / decisions:.2f} children each")
    return {"decisions_per_s": round(best), "venues": venues, "levels": levels}
