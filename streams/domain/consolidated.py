"""All venues' books of one symbol, side by side: the consolidated quote, and what our own recent plans took from each level.

Rules:

* only live, fresh, uncrossed books enter the quote; the quote itself may be crossed, because two venues may disagree;
* a plan's quantity counts as gone from its levels until the venue's next word on the level, its next snapshot, or `until`: two orders
  that are routed before the venue shows the first must not both count on the same quantity;
* what an order's attempt took is named by it, so that planning the same attempt again does not count it twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.records import BookUpdate, BookUpdateKind, Level, Quote, Side
from streams.domain.book import Applied, Book, Pair

Take = tuple[str, int, int, int]  # owner, price, quantity, until (microseconds)


@dataclass(slots=True)
class Taken:
    """What plans took from one side of one venue's book."""

    takes: list[Take] = field(default_factory=list)

    def add(self, owner: str, levels: Iterable[tuple[int, int]], until: int) -> None:
        """An attempt (`owner`) was planned on these (price, quantity)."""
        self.takes.extend((owner, price, quantity, until) for price, quantity in levels)

    def told(self, levels: Iterable[Level]) -> None:
        """The venue spoke about these levels: what it says includes our takes."""
        if self.takes:
            prices = {level.price for level in levels}
            self.takes = [take for take in self.takes if take[1] not in prices]

    def by_price(self, owner: str, now: int) -> Mapping[int, int]:
        """Price -> quantity that counts as gone for the attempt `owner` at `now`."""
        if not self.takes:
            return {}
        self.takes = [take for take in self.takes if take[3] > now]
        gone: dict[int, int] = {}
        for of, price, quantity, _ in self.takes:
            if of != owner:
                gone[price] = gone.get(price, 0) + quantity
        return gone

    def forget(self, owner: str) -> None:
        """The attempt is planned again."""
        if self.takes:
            self.takes = [take for take in self.takes if take[0] != owner]


@dataclass(slots=True)
class VenueBook:
    """One venue's book and our takes from it. A buyer takes from `taken_asks`, a seller from `taken_bids`."""

    book: Book = field(default_factory=Book)
    taken_bids: Taken = field(default_factory=Taken)
    taken_asks: Taken = field(default_factory=Taken)

    def apply(self, update: BookUpdate) -> Applied:
        """Take over an update of this venue."""
        applied = self.book.apply(update)
        if applied is Applied.CHANGED and update.kind is BookUpdateKind.DIFF:
            self.taken_bids.told(update.bids)
            self.taken_asks.told(update.asks)
        elif applied is not Applied.SEEN:
            self.taken_bids.takes, self.taken_asks.takes = [], []
        return applied

    def taken(self, side: Side) -> Taken:
        """The takes of orders of `side`."""
        return self.taken_asks if side is Side.BUY else self.taken_bids


class SymbolBooks:
    """The books of a symbol by venue."""

    __slots__ = ("symbol", "venues")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.venues: dict[str, VenueBook] = {}

    def apply(self, update: BookUpdate) -> Applied:
        """Take over an update of one of the venues."""
        venue = self.venues.get(update.venue)
        if venue is None:
            venue = self.venues[update.venue] = VenueBook()
        return venue.apply(update)

    def quote(self, now: int, most_us: int) -> Quote:
        """The consolidated best bid and offer. At one price the venue with more quantity is named, then the first by name."""
        bid: tuple[int, int, str] | None = None
        ask: tuple[int, int, str] | None = None
        live = 0
        for name, venue in sorted(self.venues.items()):
            book = venue.book
            if not book.usable(now, most_us):
                continue
            live += 1
            if (best := book.bid) is not None and (bid is None or best > bid[:2]):
                bid = (*best, name)
            if (best := book.ask) is not None and (ask is None or (-best[0], best[1]) > (-ask[0], ask[1])):
                ask = (*best, name)
        return Quote(
            symbol=self.symbol,
            bid=bid and bid[0],
            bid_quantity=bid and bid[1],
            bid_venue=bid and bid[2],
            ask=ask and ask[0],
            ask_quantity=ask and ask[1],
            ask_venue=ask and ask[2],
            venues=live,
            at=now,
        )

    def stale_from(self, most_us: int, now: int) -> int:
        """The first moment after `now` at which a book that is live now will be too old, if no update comes."""
        ages = [venue.book.received_at for venue in self.venues.values() if venue.book.live]
        return min((age + most_us + 1 for age in ages if age + most_us >= now), default=now + most_us)

    def take(self, side: Side, owner: str, takes: Iterable[tuple[str, Iterable[Pair]]], until: int) -> None:
        """An order's attempt (`owner`) was planned on these levels by venue; what the same attempt took before is given back."""
        for venue in self.venues.values():
            venue.taken(side).forget(owner)
        for name, levels in takes:
            self.venues[name].taken(side).add(owner, levels, until)


def same_market(one: Quote | None, other: Quote) -> bool:
    """Whether two quotes differ in nothing but their time."""
    return one is not None and (
        (one.bid, one.bid_quantity, one.bid_venue, one.ask, one.ask_quantity, one.ask_venue, one.venues)
        == (
            other.bid,
            other.bid_quantity,
            other.bid_venue,
            other.ask,
            other.ask_quantity,
            other.ask_venue,
            other.venues,
        )
    )
