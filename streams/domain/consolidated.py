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
from heapq import heappop, heappush
from itertools import chain

from schemas.records import BookUpdate, BookUpdateKind, Level, Quote, Side
from streams.domain.book import Applied, Book, Depth, Pair

# What an attempt took at a price. The mark is that of the price when it was taken: once the venue speaks of the price, the next take has another.
_Take = tuple[int, int, object]


class Taken:
    """What plans took from one side of one venue's book. `gone`: price -> quantity, never zero.

    What is asked at each decision is at hand; the work is done when a plan is made, the venue speaks, or time is over.
    """

    __slots__ = ("_by_owner", "_marks", "_net", "_number", "_times", "gone")

    def __init__(self) -> None:
        self.gone: dict[int, int] = {}
        self._marks: dict[int, object] = {}  # of the prices in `gone`
        self._by_owner: dict[str, list[list[_Take]]] = {}
        # a heap by `until`; the number makes each one of its own
        self._times: list[tuple[int, int, str, list[_Take]]] = []
        self._number = 0
        self._net: Depth | None = None

    def add(self, owner: str, levels: Iterable[Pair], until: int) -> None:
        """An attempt (`owner`) was planned on these (price, quantity)."""
        gone, marks = self.gone, self._marks
        takes: list[_Take] = []
        for price, quantity in levels:
            mark = marks.get(price)
            if mark is None:
                mark, gone[price] = object(), quantity
                marks[price] = mark
            else:
                gone[price] += quantity
            takes.append((price, quantity, mark))
        if owner in self._by_owner:
            self._by_owner[owner].append(takes)
        else:
            self._by_owner[owner] = [takes]
        self._number += 1
        heappush(self._times, (until, self._number, owner, takes))
        self._net = None

    def told(self, levels: Iterable[Level]) -> None:
        """The venue spoke about these levels: what it says includes our takes. Its book has changed."""
        self._net = None
        if gone := self.gone:
            for level in levels:
                if (price := level.price) in gone:
                    del gone[price], self._marks[price]

    def clear(self) -> None:
        """Nothing is known of the book any more, or all is new."""
        self.__init__()  # type: ignore[misc]

    def by_price(self, owner: str, now: int) -> Mapping[int, int]:
        """Price -> quantity that counts as gone for the attempt `owner` at `now`. Must not be changed."""
        self.expire(now)
        mine = self._by_owner.get(owner)
        if not mine or not self.gone:
            return self.gone
        others = dict(self.gone)
        for price, quantity, mark in chain.from_iterable(mine):
            if self._marks.get(price) is mark:
                others[price] -= quantity
        return {price: quantity for price, quantity in others.items() if quantity}

    def net(self, book: Book, asks: bool, gone: Mapping[int, int]) -> Depth:
        """The side of the book without what `by_price` answered. Good until the book or the takes change."""
        if gone is not self.gone:
            return without(book, asks, gone)
        if self._net is None:
            self._net = without(book, asks, gone)
        return self._net

    def forget(self, owner: str) -> None:
        """The attempt is planned again."""
        for takes in self._by_owner.pop(owner, ()):
            self._drop(takes)
            takes.clear()  # nothing is left of them when their time is over

    def expire(self, now: int) -> None:
        """Time went on to `now`."""
        times = self._times
        while times and times[0][0] <= now:
            _, _, owner, takes = heappop(times)
            self._drop(takes)
            kept = [others for others in self._by_owner.get(owner, ()) if others is not takes]
            if kept:
                self._by_owner[owner] = kept
            else:
                self._by_owner.pop(owner, None)

    def _drop(self, takes: Iterable[_Take]) -> None:
        gone, marks = self.gone, self._marks
        for price, quantity, mark in takes:
            if marks.get(price) is mark:
                left = gone[price] - quantity
                if left:
                    gone[price] = left
                else:
                    del gone[price], marks[price]
        self._net = None


def without(book: Book, asks: bool, taken: Mapping[int, int]) -> Depth:
    """One side of the book, added up, without what is taken."""
    return Depth(book.asks if asks else book.bids, taken)


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
            self.taken_bids.clear()
            self.taken_asks.clear()
        return applied

    def taken(self, side: Side) -> Taken:
        """The takes of orders of `side`."""
        return self.taken_asks if side is Side.BUY else self.taken_bids


class Plans:
    """Which attempts' takes of one side count, until when, and what changed on that side by venue since its one reader looked."""

    __slots__ = ("_times", "changed", "owners")

    def __init__(self) -> None:
        self.changed: set[str] = set()
        self.owners: dict[str, tuple[int, list[str]]] = {}  # -> until, venues
        self._times: list[tuple[int, str]] = []  # a heap by `until`

    def add(self, owner: str, until: int, venues: list[str]) -> None:
        """An attempt was planned on these venues, or planned anew."""
        if venues:
            self.owners[owner] = until, venues
            self.changed.update(venues)
            heappush(self._times, (until, owner))

    def over(self, now: int) -> list[str]:
        """The venues where takes count no longer at `now`."""
        times, found = self._times, []
        while times and times[0][0] <= now:
            until, owner = heappop(times)
            have = self.owners.get(owner)
            if have is not None and have[0] == until:
                del self.owners[owner]
                found += have[1]
        return found


class SymbolBooks:
    """The books of a symbol by venue."""

    __slots__ = ("_buys", "_sells", "symbol", "venues")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.venues: dict[str, VenueBook] = {}
        self._buys, self._sells = Plans(), Plans()

    def apply(self, update: BookUpdate) -> Applied:
        """Take over an update of one of the venues."""
        name = update.venue
        venue = self.venues.get(name)
        if venue is None:
            venue = self.venues[name] = VenueBook()
        self._buys.changed.add(name)
        self._sells.changed.add(name)
        return venue.apply(update)

    def changed(self, side: Side, now: int) -> set[str]:
        """The venues that offer orders of `side` something else than when this was asked last. For one reader."""
        plans = self._buys if side is Side.BUY else self._sells
        if over := plans.over(now):
            for name in over:
                self.venues[name].taken(side).expire(now)
            plans.changed.update(over)
        found, plans.changed = plans.changed, set()
        return found

    def planned(self, side: Side, owner: str) -> bool:
        """Whether takes of this attempt still count."""
        return owner in (self._buys if side is Side.BUY else self._sells).owners

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
        buy = side is Side.BUY
        plans = self._buys if buy else self._sells
        if (before := plans.owners.pop(owner, None)) is not None:
            for name in before[1]:
                self.venues[name].taken(side).forget(owner)
            plans.changed.update(before[1])
        names: list[str] = []
        for name, levels in takes:
            venue = self.venues[name]
            (venue.taken_asks if buy else venue.taken_bids).add(owner, levels, until)
            names.append(name)
        plans.add(owner, until, names)


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
