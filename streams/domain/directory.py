"""Which venues an order of a symbol could go to, and on what terms, from the instruments and the venues' health as they are now.

Both come from outside, by key, and change under us. Rules: a record is recognised as changed by its identity, so that terms are worked
out once a record and not once an order; a venue counts when it has the symbol's instrument or a book of it, so that a plan can say why
it was not used; new instruments are looked for when their number changes and at least every second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.records import Instrument, Side, VenueHealth
from streams.domain.consolidated import SymbolBooks
from streams.domain.routing import Market
from streams.domain.terms import RoutingSettings, Terms, terms

_REFRESH_US = 1_000_000


def instrument_key(venue: str, symbol: str) -> str:
    """The key of an instrument: venue and symbol, joined by a bar."""
    return f"{venue}|{symbol}"


@dataclass(slots=True)
class Directory:
    """The venues of every symbol. `settings` are those that the terms are worked out with."""

    settings: RoutingSettings
    _known: dict[str, tuple[Instrument | None, VenueHealth | None, Terms]] = field(default_factory=dict)
    _venues: dict[str, dict[str, str]] = field(default_factory=dict)  # symbol -> venue -> instrument key, by name
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
    ) -> list[Market]:
        """The venues of a symbol, by name, as an order's attempt (`owner`) of `side` finds them."""
        found: list[Market] = []
        known, there_are, buy = self._known, books.venues, side is Side.BUY
        for venue, key in self._of(instruments, symbol, books, now).items():
            instrument, healthy = instruments.get(key), health.get(venue)
            have = known.get(key)
            if have is not None and have[0] is instrument and have[1] is healthy:
                of = have[2]
            else:
                of = terms(venue, instrument, healthy, self.settings)
                known[key] = instrument, healthy, of
            there = there_are.get(venue)
            if there is None:
                found.append(Market(of, None))
                continue
            taken = there.taken_asks if buy else there.taken_bids
            if taken.gone and (gone := taken.by_price(owner, now)):
                found.append(Market(of, there.book, taken.net(there.book, buy, gone)))
            else:
                found.append(Market(of, there.book))
        return found

    def _of(self, instruments: Mapping[str, Instrument], symbol: str, books: SymbolBooks, now: int) -> dict[str, str]:
        if len(instruments) != self._read or now - self._read_at > _REFRESH_US:
            self._venues, self._read, self._read_at = {}, len(instruments), now
            for key, instrument in sorted(instruments.items(), key=lambda item: item[1].venue):
                self._venues.setdefault(instrument.symbol, {})[instrument.venue] = key
        venues = self._venues.get(symbol, {})
        if books.venues.keys() <= venues.keys():
            return venues
        for venue in books.venues.keys() - venues.keys():
            venues[venue] = instrument_key(venue, symbol)
        self._venues[symbol] = dict(sorted(venues.items()))
        return self._venues[symbol]
