"""Which venues an order of a symbol could go to, and on what terms, from the instruments and the venues' health as they are now.

Both come from outside, by key, and change under us. Rules: a record is recognised as changed by its identity, so that terms are worked
out once a record and not once an order; a venue counts when it has the symbol's instrument or a book of it, so that a plan can say why
it was not used; new instruments are looked for when their number changes and at least every second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from schemas.records import Instrument, OrderType, Side, TradingState, TradingStatus, VenueHealth
from streams.domain.consolidated import SymbolBooks
from streams.domain.fronts import Fronts, Market
from streams.domain.terms import VENUE, RoutingSettings, Terms, terms

_REFRESH_US = 1_000_000
_NONE: frozenset[str] = frozenset()


def instrument_key(venue: str, symbol: str) -> str:
    """The key of an instrument: venue and symbol, joined by a bar."""
    return f"{venue}|{symbol}"


def _halts(said: TradingState, now: int) -> bool:
    return said.state is TradingStatus.HALTED and (said.until is None or now < said.until)


def halted(states: Mapping[str, TradingState], symbol: str, order_type: OrderType, now: int) -> bool:
    """Whether the system, the symbol or its breaker is halted for requests of this type."""
    for scope in ("system", f"symbol|{symbol}", f"breaker|{symbol}"):
        said = states.get(scope)
        if said is not None and _halts(said, now) and (order_type is OrderType.MARKET or not said.market_only):
            return True
    return False


class _Kept:
    """What the fronts of one side of a symbol were made of."""

    __slots__ = ("books", "fronts", "have", "health", "instruments", "shut", "venues")

    def __init__(self, fronts: Fronts) -> None:
        self.fronts = fronts
        self.books: SymbolBooks | None = None
        self.venues: dict[str, str] = {}
        self.instruments: list[Instrument | None] = []
        self.health: list[VenueHealth | None] = []
        self.have = 0  # venues with a book
        self.shut: frozenset[str] = frozenset()


@dataclass(slots=True)
class Directory:
    """The venues of every symbol. `settings` are those that the terms are worked out with."""

    settings: RoutingSettings
    _known: dict[str, tuple[Instrument | None, VenueHealth | None, bool, Terms]] = field(default_factory=dict)
    _venues: dict[str, dict[str, str]] = field(default_factory=dict)  # symbol -> venue -> instrument key, by name
    # books of which so many venues are among those
    _counted: dict[str, tuple[SymbolBooks, int]] = field(default_factory=dict)
    _closed: tuple[int, int, frozenset[str]] = (-1, -1, frozenset())  # when and of how many states, which venues
    _kept: dict[tuple[str, Side], _Kept] = field(default_factory=dict)
    _read_at: int = 0
    _read: int = -1

    def markets(
        self,
        instruments: Mapping[str, Instrument],
        health: Mapping[str, VenueHealth],
        symbol: str,
        books: SymbolBooks,
        side: Side,
        owner: str,
        now: int,
        states: Mapping[str, TradingState] = MappingProxyType({}),
    ) -> Sequence[Market]:
        """The venues of a symbol, by name, as an order's attempt (`owner`) of `side` finds them, until it is asked again.

        `states`: what operators say, by scope.
        """
        venues = self._of(instruments, symbol, books, now)
        kept = self._kept.get((symbol, side))
        if kept is None:
            kept = self._kept[symbol, side] = _Kept(Fronts(side is Side.BUY, self.settings))
        records, healths = list(map(instruments.get, venues.values())), list(map(health.get, venues))
        shut = self._shut(states, now) if states else _NONE
        changed = books.changed(side, now)
        # lists compare their items by identity first, which is all that is needed most of the time
        if (
            kept.books is books
            and kept.have == len(books.venues)
            and kept.instruments == records
            and kept.health == healths
            and (kept.venues is venues or kept.venues == venues)
            and kept.shut == shut
        ):
            kept.venues = venues
            kept.fronts.refresh(changed, now)
        else:
            kept.instruments, kept.health, kept.shut = records, healths, shut
            self._renew(kept, venues, books, now)
        if books.planned(side, owner):
            return [self._without(kept.fronts[n], books, side, owner, now) for n in range(len(kept.fronts))]
        return kept.fronts

    def _renew(
        self,
        kept: _Kept,
        venues: dict[str, str],
        books: SymbolBooks,
        now: int,
    ) -> None:
        kept.books, kept.have, kept.venues = books, len(books.venues), venues
        of = [
            self._terms(venue, key, instrument, healthy, venue in kept.shut)
            for (venue, key), instrument, healthy in zip(venues.items(), kept.instruments, kept.health, strict=True)
        ]
        there = [books.venues.get(venue) for venue in venues]
        takens = [
            None if venue is None else venue.taken_asks if kept.fronts.buy else venue.taken_bids for venue in there
        ]
        kept.fronts.renew(venues, of, [None if venue is None else venue.book for venue in there], takens, now)

    def _terms(
        self, venue: str, key: str, instrument: Instrument | None, healthy: VenueHealth | None, maintained: bool
    ) -> Terms:
        have = self._known.get(key)
        if have is not None and have[0] is instrument and have[1] is healthy and have[2] is maintained:
            return have[3]
        of = terms(venue, instrument, healthy, self.settings, maintained)
        self._known[key] = instrument, healthy, maintained, of
        return of

    def _shut(self, states: Mapping[str, TradingState], now: int) -> frozenset[str]:
        """The venues that an operator has taken out, looked up once a batch."""
        if self._closed[:2] != (now, len(states)):
            found = [
                s.scope.removeprefix(VENUE) for s in states.values() if s.scope.startswith(VENUE) and _halts(s, now)
            ]
            self._closed = now, len(states), frozenset(found)
        return self._closed[2]

    def _without(self, market: Market, books: SymbolBooks, side: Side, owner: str, now: int) -> Market:
        """A venue without what others than `owner` planned there."""
        venue = books.venues.get(market.terms.venue)
        if venue is None:
            return market
        taken = venue.taken(side)
        gone = taken.by_price(owner, now)
        return market._replace(net=taken.net(venue.book, side is Side.BUY, gone) if gone else None)

    def _of(self, instruments: Mapping[str, Instrument], symbol: str, books: SymbolBooks, now: int) -> dict[str, str]:
        if len(instruments) != self._read or now - self._read_at > _REFRESH_US:
            self._venues, self._counted, self._read, self._read_at = {}, {}, len(instruments), now
            for key, instrument in sorted(instruments.items(), key=lambda item: item[1].venue):
                self._venues.setdefault(instrument.symbol, {})[instrument.venue] = key
        venues, have = self._venues.get(symbol, {}), self._counted.get(symbol)
        if have is None or have[0] is not books or have[1] != len(books.venues):  # they only become more
            self._counted[symbol] = books, len(books.venues)
            more = {venue: instrument_key(venue, symbol) for venue in books.venues}
            venues = self._venues[symbol] = dict(sorted((more | venues).items()))
        return venues
