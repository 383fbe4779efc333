"""One venue's level-2 book of one symbol, from snapshots and diffs, right to the last level or not offered at all.

Rules:

* a SNAPSHOT replaces both sides and makes the book live; nothing else does;
* a DIFF must follow what the book has: with `previous_id` it must name the book's `last_id`, with `first_id` it must start no later than the
  id after it; a diff that covers only ids the book has is *seen* and changes nothing; a diff that leaves a gap makes the book
  stale at once, and so do STALE and a level that no market can have;
* a stale book keeps no levels, so that nothing wrong can be read from it;
* age is counted from `received_at`, the feed's clock, never from the venue's.

`Ladder` is one side. Its interface (`replace`, `apply`, `best`, iteration from the best level down) is all that the rest of the code
knows of it. Prices and quantities are units of 1e-8.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from operator import neg
from types import MappingProxyType

from schemas.records import BookUpdate, BookUpdateKind, Level

Pair = tuple[int, int]  # price, quantity
MAX_PACKED = (1 << 63) - 1


class BadLevel(ValueError):
    """A level with a negative quantity or without a positive price."""


class Ladder:
    """One side of a book, best level first. `bids` says which end is the best.

    Sorted keys beside packed quantities: some 50 bytes a level. Most updates are near the best level, which is at the end of both, where
    inserting and deleting move little.
    """

    __slots__ = ("_keys", "_quantities", "_sign")

    def __init__(self, bids: bool) -> None:
        self._sign = 1 if bids else -1
        self._keys: list[int] = []  # sign times price, ascending: the best is last
        self._quantities: array[int] | list[int] = array("q")

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Pair]:
        """Levels from the best down. The ladder must not change meanwhile."""
        prices = reversed(self._keys)
        return zip(prices if self._sign > 0 else map(neg, prices), reversed(self._quantities), strict=True)

    def packed(self) -> tuple[Sequence[int], Sequence[int], int]:
        """Keys, quantities and the sign that makes a key a price; the best level is last. Good until the ladder changes."""
        return self._keys, self._quantities, self._sign

    def best(self) -> Pair | None:
        """The best level, `None` when there is none."""
        return (self._keys[-1] * self._sign, self._quantities[-1]) if self._keys else None

    def clear(self) -> None:
        """Forget all levels."""
        self._keys, self._quantities = [], array("q")

    def replace(self, levels: Iterable[Level]) -> None:
        """Take over a whole side; levels of quantity 0 are not there, of a price named twice the last counts. Raises `BadLevel`."""
        sign = self._sign
        quantities = {sign * level.price: level.quantity for level in levels}
        keys = sorted([key for key, quantity in quantities.items() if quantity])
        amounts = [quantities[key] for key in keys]
        if keys and (min(keys[0] * sign, keys[-1] * sign) <= 0 or min(amounts) < 0):
            raise BadLevel("a level has no positive price or a negative quantity")
        self._keys, self._quantities = keys, _packed(amounts)

    def apply(self, levels: Sequence[Level]) -> None:
        """Set levels; quantity 0 deletes one. Raises `BadLevel`, the ladder being half changed then."""
        quantities, keys, bids, end = self._quantities, self._keys, self._sign > 0, len(self._keys)
        try:
            for level in levels:
                price = level.price
                quantity = level.quantity
                key = price if bids else -price
                at = bisect_left(keys, key)
                if at < end and keys[at] == key:
                    if quantity > 0:
                        quantities[at] = quantity
                    elif quantity:
                        raise BadLevel(f"{quantity} at {price} cannot be")
                    else:
                        del keys[at], quantities[at]
                        end -= 1
                elif quantity > 0 < price:
                    quantities.insert(at, quantity)
                    keys.insert(at, key)
                    end += 1
                elif quantity or price <= 0:
                    raise BadLevel(f"{quantity} at {price} cannot be")
        except OverflowError:
            # a quantity that eight bytes do not hold; setting those before it again changes nothing
            self._quantities = list(quantities)
            self.apply(levels)


def _packed(quantities: list[int]) -> array[int] | list[int]:
    """Quantities in eight bytes each, unless one of them (of a coin that is counted in billions) does not fit."""
    return quantities if quantities and max(quantities) > MAX_PACKED else array("q", quantities)


class Depth:
    """One side added up from the best level down, as far as anyone asked: what an order that takes it is worth is looked up, not walked.

    `prices`; `reach`: the quantity up to and with each price; `worth`: the price of that in 1e-16. `gone`: price -> quantity that does not
    count. Good until the side or what is gone changes.
    """

    __slots__ = ("_gone", "_ladder", "_next", "prices", "reach", "worth")

    def __init__(self, ladder: Ladder, gone: Mapping[int, int] = MappingProxyType({})) -> None:
        self._ladder, self._gone, self._next = ladder, gone, len(ladder)
        self.prices: list[int] = []
        self.reach: list[int] = []
        self.worth: list[int] = []

    def cover(self, quantity: int, limit: int, asks: bool) -> None:
        """Add levels until they reach `quantity` or pass `limit`, or there are no more."""
        total, worth, price = (self.reach[-1], self.worth[-1], self.prices[-1]) if self.reach else (0, 0, limit)
        if total >= quantity or (price > limit if asks else price < limit):
            return
        keys, quantities, sign = self._ladder.packed()
        gone, n, prices, reach, worths = self._gone, self._next, self.prices, self.reach, self.worth
        for n in range(self._next - 1, -1, -1):
            price = sign * keys[n]
            there = quantities[n]
            if price in gone:
                there -= gone[price]
                if there <= 0:
                    continue
            total += there
            worth += price * there
            prices.append(price)
            reach.append(total)
            worths.append(worth)
            if total >= quantity or (price > limit if asks else price < limit):
                break
        self._next = n

    def at(self, n: int, quantity: int) -> tuple[int, int]:
        """Price of level `n`, which is the worst that a quantity takes, and what the quantity is worth in 1e-16."""
        price = self.prices[n]
        return price, self.worth[n] - price * (self.reach[n] - quantity)


class Applied(StrEnum):
    """What an update did to a book."""

    CHANGED = "CHANGED"
    SEEN = "SEEN"  # covered by what the book has
    WAITING = "WAITING"  # a diff for a stale book: a snapshot must come first
    GAP = "GAP"  # the book went stale: updates are missing
    STALE = "STALE"  # the feed says so
    INVALID = "INVALID"  # the book went stale: the update holds a level that cannot be


class Book:
    """The book of one venue. `live` is false until the first snapshot and from each break to the next snapshot.

    `bid` and `ask` are the best levels. `crossed`: the bid is at or above the ask; no continuous market shows that, so it is not believed.
    """

    __slots__ = ("_depths", "ask", "asks", "bid", "bids", "crossed", "last_id", "live", "received_at")

    def __init__(self) -> None:
        self.bids, self.asks = Ladder(bids=True), Ladder(bids=False)
        self.last_id: int | None = None
        self.live = False
        self.received_at = 0
        self.bid: Pair | None = None
        self.ask: Pair | None = None
        self.crossed = False
        self._depths: dict[bool, Depth] = {}

    def apply(self, update: BookUpdate) -> Applied:
        """Take over an update of this venue and symbol, in the order of the feed; a repeat is harmless."""
        if update.kind is BookUpdateKind.STALE:
            self._break()
            return Applied.STALE
        snapshot = update.kind is BookUpdateKind.SNAPSHOT
        if not snapshot and not self.live:
            return Applied.WAITING
        last = self.last_id
        if last is None or update.last_id is None or update.first_id != last + 1 or update.last_id <= last:
            # most updates simply are the next; of others more must be known
            if self._seen(update, snapshot):
                return Applied.SEEN
            if not snapshot and self._gap(update):
                self._break()
                return Applied.GAP
        try:
            if snapshot:
                self.bids.replace(update.bids)
                self.asks.replace(update.asks)
            else:
                self.bids.apply(update.bids)
                self.asks.apply(update.asks)
        except BadLevel:
            self._break()
            return Applied.INVALID
        self.live, self.received_at = True, update.received_at
        self._look()
        if snapshot or update.last_id is not None:
            self.last_id = update.last_id
        return Applied.CHANGED

    def depth(self, asks: bool) -> Depth:
        """One side added up."""
        depth = self._depths.get(asks)
        if depth is None:
            depth = self._depths[asks] = Depth(self.asks if asks else self.bids)
        return depth

    def fresh(self, now: int, most_us: int) -> bool:
        """Whether the last update came no more than `most_us` before `now`."""
        return now - self.received_at <= most_us

    def usable(self, now: int, most_us: int) -> bool:
        """Whether the book may be quoted and routed on."""
        return self.live and self.fresh(now, most_us) and not self.crossed

    def _seen(self, update: BookUpdate, snapshot: bool) -> bool:
        if update.last_id is None or self.last_id is None or update.last_id > self.last_id:
            return False
        # A venue may count from the start again, which its feed tells by a newer snapshot with smaller ids.
        return not snapshot or (self.live and update.received_at <= self.received_at)

    def _gap(self, update: BookUpdate) -> bool:
        if self.last_id is None:
            return False
        if update.previous_id is not None and update.previous_id == self.last_id:
            return False
        if update.first_id is not None:
            # After a snapshot the first diff may begin before the snapshot's id and end after it: levels are absolute.
            return update.first_id > self.last_id + 1
        return update.previous_id is not None and update.previous_id > self.last_id

    def _break(self) -> None:
        self.live, self.last_id = False, None
        self.bids.clear()
        self.asks.clear()
        self._look()

    def _look(self) -> None:
        bid, ask = self.bid, self.ask = self.bids.best(), self.asks.best()
        self.crossed = bid is not None and ask is not None and bid[0] >= ask[0]
        if self._depths:
            self._depths = {}
