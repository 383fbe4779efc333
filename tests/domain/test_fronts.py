"""What is kept between decisions changes none of them: the router's kept columns against venues that are looked at anew each time.

Random sequences of book changes, breaks, health, instruments, time and orders. Each decision is made twice: as the router makes it, and from
markets of which nothing is kept, by the long way round; and each candidate is worked out once more level by level.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import (
    BookUpdate,
    BookUpdateKind,
    Candidate,
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
from streams.domain import scoring
from streams.domain.book import Applied, Book
from streams.domain.consolidated import SymbolBooks, without
from streams.domain.directory import Directory, instrument_key
from streams.domain.look import Look
from streams.domain.routing import Decision, Market, plan
from streams.domain.terms import RoutingSettings, refusal, terms

SCALE = 100_000_000
SYMBOL = "BTC/USDT"
MID = 100 * SCALE


@dataclass
class Scene:
    """A router's state, and beside it the plainest account of what was planned: (owner, venue, side, price) -> quantity, until."""

    chance: random.Random
    now: int = 1_700_000_000_000_000
    books: SymbolBooks = field(default_factory=lambda: SymbolBooks(SYMBOL))
    instruments: dict[str, Instrument] = field(default_factory=dict)
    health: dict[str, VenueHealth] = field(default_factory=dict)
    takes: list[tuple[str, str, Side, int, int, int]] = field(default_factory=list)
    orders: int = 0

    def __post_init__(self) -> None:
        chance = self.chance
        self.venues = [f"v{n}" for n in range(chance.randrange(1, 7))]
        self.ids = dict.fromkeys(self.venues, 1)
        self.lots = chance.choice(((1,), (10,), (1000,), (1, 7, 1000)))
        self.step = chance.choice((1, 10, 1000, 10**6))
        self.settings = RoutingSettings(most_children=chance.choice((0, 1, 2, 8, 8, 8)))
        self.directory = Directory(self.settings)
        for venue in self.venues:
            self.list(venue)
            self.tell(venue, BookUpdateKind.SNAPSHOT)

    def list(self, venue: str) -> None:
        chance, usual = self.chance, self.chance.random() < 0.8
        self.instruments[instrument_key(venue, SYMBOL)] = Instrument(
            venue=venue,
            symbol=SYMBOL,
            base="BTC",
            quote="USDT",
            tick=10 if usual else chance.choice((1, 100, 333)),
            lot=chance.choice(self.lots),
            min_quantity=0 if usual else 5000,
            max_quantity=0 if usual else 60_000,
            min_notional=0 if usual else 10_000_000,
            maker_fee=0,
            taker_fee=chance.choice((0, 100_000, -5000)),
            status=InstrumentStatus.OPEN if chance.random() < 0.95 else InstrumentStatus.CLOSED,
            at=self.now,
        )

    def tell(self, venue: str, kind: BookUpdateKind) -> None:
        chance = self.chance
        whole = kind is BookUpdateKind.SNAPSHOT
        self.ids[venue] += chance.choices((1, 4), (40, 1))[0]

        def side(sign: int) -> tuple[Level, ...]:
            sizes = (0, 0) if not whole else (50_000,)
            return tuple(
                [
                    Level(
                        price=MID + sign * self.step * chance.randrange(1, 25),
                        quantity=chance.choice((*sizes, chance.randrange(1, 3000), chance.randrange(1, 100) * 1000)),
                    )
                    for _ in range(chance.randrange(0, 9 if whole else 4))
                ]
            )

        update = BookUpdate(
            venue=venue,
            symbol=SYMBOL,
            kind=kind,
            first_id=self.ids[venue] if kind is BookUpdateKind.DIFF else None,
            last_id=self.ids[venue] if kind is not BookUpdateKind.STALE else None,
            bids=side(-1) if kind is not BookUpdateKind.STALE else (),
            asks=side(1) if kind is not BookUpdateKind.STALE else (),
            received_at=self.now - chance.choice((0, 0, 0, 2000, 9_900_000)),
        )
        applied = self.books.apply(update)
        named = {(Side.SELL, x.price) for x in update.bids} | {(Side.BUY, x.price) for x in update.asks}
        changed = applied is Applied.CHANGED and kind is BookUpdateKind.DIFF
        if applied is not Applied.SEEN:
            self.takes = [t for t in self.takes if t[1] != venue or (changed and (t[2], t[3]) not in named)]

    def diagnose(self, venue: str) -> None:
        chance = self.chance
        self.health[venue] = VenueHealth(
            venue=venue,
            status=chance.choice((VenueStatus.ACTIVE, VenueStatus.ACTIVE, VenueStatus.DEGRADED, VenueStatus.DOWN)),
            latency_us=chance.randrange(0, 2_000_000),
            success_rate=chance.randrange(SCALE // 2, SCALE),
            reason="",
            at=self.now - chance.choice((0, 0, 59_000_000)),
        )

    def order(self) -> RouteRequest:
        chance = self.chance
        self.orders += 1
        side = chance.choice((Side.BUY, Side.SELL))
        away = self.step * chance.choice((0, 1, 5, 30, 100)) + chance.choice((0, 1))
        again = chance.random() < 0.1
        return RouteRequest(
            order_id=f"o{chance.randrange(self.orders) if again else self.orders}",
            account_id="a",
            symbol=SYMBOL,
            side=side,
            order_type=chance.choice((OrderType.MARKET, OrderType.LIMIT)),
            time_in_force=chance.choice([TimeInForce.IOC, TimeInForce.GTC, *TimeInForce]),
            quantity=chance.choice(
                (1000 * chance.randrange(1, 20), chance.randrange(1, 3000), chance.randrange(1, 300_000))
            ),
            price=MID + away if side is Side.BUY else MID - away,
            attempt=1,
            accepted_at=self.now,
            post_only=chance.choice((None, None, None, True)),
        )

    def gone(self, venue: str, side: Side, owner: str) -> dict[int, int]:
        found: dict[int, int] = {}
        for whose, where, of, price, quantity, until in self.takes:
            if (where, of) == (venue, side) and whose != owner and until > self.now:
                found[price] = found.get(price, 0) + quantity
        return found

    def anew(self, side: Side, owner: str) -> list[Market]:
        """The markets, of which nothing was kept."""
        found = []
        for venue in self.venues:
            of = terms(venue, self.instruments[instrument_key(venue, SYMBOL)], self.health.get(venue), self.settings)
            book = self.books.venues[venue].book
            gone = self.gone(venue, side, owner)
            found.append(Market(of, book, without(book, side is Side.BUY, gone) if gone else None))
        return found

    def kept(self, request: RouteRequest, owner: str) -> Decision:
        """As the router decides."""
        markets = self.directory.markets(
            self.instruments, self.health, SYMBOL, self.books, request.side, owner, self.now
        )
        return plan(request, markets, self.settings, self.now)

    def take(self, request: RouteRequest, owner: str, made: Decision) -> None:
        until = self.now + self.settings.hold_us
        self.books.take(request.side, owner, made.takes, until)
        self.takes = [t for t in self.takes if t[0] != owner or t[2] is not request.side]
        self.takes += [(owner, v, request.side, p, q, until) for v, levels in made.takes for p, q in levels]

    def go_on(self) -> None:
        chance, venue = self.chance, self.chance.choice(self.venues)
        self.now += chance.choice((0, 1000, 100_000, 450_000)) if chance.random() < 0.97 else 8_000_000
        what = chance.random()
        if what < 0.75:
            kinds = (BookUpdateKind.DIFF, BookUpdateKind.SNAPSHOT, BookUpdateKind.STALE)
            self.tell(venue, chance.choices(kinds, (20, 6, 1))[0])
        elif what < 0.9:
            self.diagnose(venue)
        elif what < 0.95:
            self.list(venue)


def walked(market: Market, gone: dict[int, int], request: RouteRequest, now: int, using: RoutingSettings) -> Candidate:
    """A candidate without its score, level by level."""
    of, buy = market.terms, request.side is Side.BUY
    book = market.book or Book()
    why = refusal(of, market.book, using, now)
    whole, spent, top = 0, 0, None
    limit = request.price - request.price % of.tick if buy else -(-request.price // of.tick) * of.tick
    levels = [(p, q - gone.get(p, 0)) for p, q in (book.asks if buy else book.bids)]
    within = [(p, q) for p, q in levels if q > 0 and (p <= limit if buy else p >= limit)]
    most = min(request.quantity, of.most)
    offered = min(sum(q for _, q in within), most - most % of.lot)
    offered -= offered % of.lot
    for price, quantity in within:
        part = min(quantity, offered - whole)
        whole, spent = whole + part, spent + part * price
    rate = of.buy_rate if buy else of.sell_rate
    if whole:
        top = -(-spent * rate // (whole * SCALE)) if buy else spent * rate // (whole * SCALE)
    return Candidate(
        venue=of.venue,
        eligible=not why,
        reason=why,
        score=0,
        price_score=0,
        latency_score=0 if why else of.latency,
        reliability_score=0 if why else of.reliability,
        liquidity_score=0 if why else scoring.liquidity_score(whole, request.quantity),
        average_price=None if why else top,
        filled=0 if why else whole,
    )


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**64))
def test_kept_columns_change_no_decision(seed: int) -> None:
    scene = Scene(random.Random(seed))
    for _ in range(60):
        scene.go_on()
        request = scene.order()
        owner = f"{request.order_id}-{request.attempt}"
        markets = scene.anew(request.side, owner)
        made = scene.kept(request, owner)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Look, "plain", lambda self, most_children: None)
            anew = plan(request, markets, scene.settings, scene.now)
        assert (made.plan, made.children, made.takes) == (anew.plan, anew.children, anew.takes)
        assert made.body == made.plan.body(), "what is written piece by piece is what the record writes"
        assert made.outline == msgspec.structs.replace(made.plan, candidates=())
        for seen, market in zip(made.plan.candidates, markets, strict=True):
            gone = scene.gone(market.terms.venue, request.side, owner)
            naive = walked(market, gone, request, scene.now, scene.settings)
            parts = seen.price_score, seen.latency_score, seen.reliability_score, seen.liquidity_score
            assert seen.score == (scoring.total(*parts, scene.settings.score) if seen.eligible else 0)
            assert [getattr(seen, n) for n in _COMPARED] == [getattr(naive, n) for n in _COMPARED]
        scene.take(request, owner, made)


_COMPARED = (
    "venue",
    "eligible",
    "reason",
    "latency_score",
    "reliability_score",
    "liquidity_score",
    "average_price",
    "filled",
)
