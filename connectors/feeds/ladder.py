"""One side of a book: every level, by price, with the best at hand after every change.

Prices are sorted into ranges of one width, some sixteen levels each near the best; within a range they lie as they came, and are put in order
when they are looked at. So a change, which in a live book is more often a level that comes or goes than one that stays, costs two look-ups and
moves nothing, and the best level is the best of a handful. Prices and quantities are units of 1e-8.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from itertools import islice

NEAR = 100  # the levels from the best down by which the width of a range is chosen
TOGETHER = 16  # levels of those in a range, about
WIDEST = 11  # bits below a price's own: the width where a side is too small to choose one


class Ladder:
    """`bids`: the highest price is the best one. A quantity of 0 is no level."""

    __slots__ = ("_bids", "_order", "_ranges", "_shift")

    def __init__(self, bids: bool, levels: Iterable[tuple[int, int]] = ()) -> None:
        self._bids = bids
        self._load({price: quantity for price, quantity in dict(levels).items() if quantity})

    def _load(self, levels: dict[int, int]) -> None:
        prices = sorted(levels, reverse=self._bids)
        if len(prices) > 1:
            near = prices[:NEAR]
            width = abs(near[-1] - near[0]) * TOGETHER // len(near)
        else:
            width = max(prices, default=1 << 40) >> WIDEST
        self._shift = width.bit_length()
        self._ranges: dict[int, dict[int, int]] = {}  # price >> shift -> its levels
        for price in prices:
            self._ranges.setdefault(price >> self._shift, {})[price] = levels[price]
        self._order = sorted(self._ranges)  # ascending; those that have become empty stay until they are the best

    def apply(self, levels: Iterable[tuple[int, int]]) -> None:
        """Set levels; quantity 0 deletes one, if it is there."""
        ranges, shift = self._ranges, self._shift
        for price, quantity in levels:
            at = price >> shift
            if at not in ranges:
                if not quantity:
                    continue
                ranges[at] = {}
                insort(self._order, at)
            if quantity:
                ranges[at][price] = quantity
            else:
                ranges[at].pop(price, None)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Levels from the best down. The ladder must not change meanwhile."""
        for at in reversed(self._order) if self._bids else self._order:
            yield from sorted(self._ranges[at].items(), reverse=self._bids)

    def best(self, depth: int) -> tuple[tuple[int, int], ...]:
        """The best levels, best first, at most `depth`."""
        return tuple(islice(self, depth))

    @property
    def top(self) -> tuple[int, int] | None:
        """The best level; None when there is none."""
        order, end = self._order, -1 if self._bids else 0
        while order:
            found = self._ranges[order[end]]
            if found:
                price = max(found) if self._bids else min(found)
                return price, found[price]
            del self._ranges[order[end]]
            del order[end]
        return None

    def cut(self, depth: int) -> None:
        """Forget levels beyond the best `depth`."""
        self._load(dict(self.best(depth)))


def crossed(bids: Ladder, asks: Ladder) -> bool:
    """Whether the best bid is not below the best ask, which no market shows."""
    bid, ask = bids.top, asks.top
    return bid is not None and ask is not None and bid[0] >= ask[0]
