"""All venues' books of one symbol, side by side: the consolidated quote, and what our own recent plans took from each level.

Rules:

* only live, fresh, uncrossed books enter the quote; the quote itself may be crossed, because two venues may disagree;
* a plan's quantity counts as gone from its levels until the venue's next word on the level, its next snapshot, or `until`: two orders
  that are routed before the venue shows the first must not both count on the same quantity;
* what an order's attempt took is named by it, so that planning the same attempt again does not count it twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from schemas.records import BookUpdate, BookUpdateKind, Level, Quote, Side
from streams.domain.book import Applied, Book, Depth, Pair


class _Counted:
    """One take that counts; `quantity` is 0 once it does not."""

    __slots__ = ("owner", "price", "quantity")

    def __init__(self, owner: str, price: int, quantity: int) -> None:
        self.owner, self.price, self.quantity = owner, price, quantity


class Taken:
    """What plans took from one side of one venue's book. `gone`: price -> quantity, never zero.

    What is asked at each decision is at hand; the work is done when a plan is made, the venue speaks, or time is over.
    """

    __slots__ = ("_by_owner", "_by_price", "_net", "_number", "_times", "gone")

    def __init__(self) -> None:
        self.gone: dict[int, int] = {}
        self._by_price: dict[int, list[_Counted]] = {}
        self._by_owner: dict[str, list[_Counted]] = {}
        self._times: list[tuple[int, int, _Counted]] = []  # a heap by `until`; the number makes each one of its own
        self._number = 0
        self._net: Depth | None = None

    def add(self, owner: str, levels: Iterable[tuple[int, int]], until: int) -> None:
        """An attempt (`owner`) was planned on these (price, quantity)."""
        mine = self._by_owner.setdefault(owner, [])
        for price, quantity in levels:
            take = _Counted(owner, price, quantity)
            mine.append(take)
            self._by_price.setdefault(price, []).append(take)
            self.gone[price] = self.gone.get(price, 0) + quantity
            self._number += 1
            heappush(self._times, (until, self._number, take))
        self._net = None

    def told(self, levels: Iterable[Level]) -> None:
        """The venue spoke about these levels: what it says includes our takes. Its book has changed."""
        self._net = None
        if self.gone:
            for level in levels:
                for take in self._by_price.pop(level.price, ()):
                    take.quantity = 0
                self.gone.pop(level.price, None)

    def clear(self) -> None:
        """Nothing is known of the book any more, or all is new."""
        self.__init__()  # type: ignore[misc]

    def by_price(self, owner: str, now: int) -> Mapping[int, int]:
        """Price -> quantity that counts as gone for the attempt `owner` at `now`. Must not be changed."""
        self._expire(now)
        mine = self._by_owner.get(owner)
        if not mine or not self.gone:
            return self.gone
        others = dict(self.gone)
        for take in mine:
            if take.quantity:
                others[take.price] -= take.quantity
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
        for take in self._by_owner.pop(owner, ()):
            self._drop(take)

    def _expire(self, now: int) -> None:
        while self._times and self._times[0][0] <= now:
            take = heappop(self._times)[2]
            self._drop(take)
            mine = self._by_owner.get(take.owner)
            if mine is not None and not any(other.quantity for other in mine):
                del self._by_owner[take.owner]

    def _drop(self, take: _Counted) -> None:
        if take.quantity:
            left = self.gone[take.price] - take.quantity
            if left:
                self.gone[take.price] = left
                self._by_price[take.price].remove(take)
            else:
                del self.gone[take.price], self._by_price[take.price]
            take.quantity = 0
            self._net = None


def without(book: Book, asks: bool, taken: Mapping[int, int]) -> Depth:
    """One side of the book, added up, without what is taken."""
    return Depth(_left(book.asks if asks else book.bids, taken))


def _left(levels: Iterable[Pair], taken: Mapping[int, int]) -> Iterator[Pair]:
    for price, there in levels:
        there -= taken.get(price, 0)
        if there > 0:
            yield price, there


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
