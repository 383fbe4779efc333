"""The cheapest split of a quantity over venues' levels (water-filling), in whole lots.

Levels of all venues are taken in the order of their effective price: the level's price with the venue's taker fee and its penalty. Without
lots and minimums that greedy order is the optimum, because levels are independent and divisible. Rules:

* a venue offers whole lots only: a lot that spans levels is taken in the order of the worst of them;
* a share that its venue would refuse as too small is given to the others, the smallest first, and so are the smallest shares where
  there are more than wanted children;
* the result is never worse than the best single venue: where one venue alone fills more, or the same for less, it takes all.

Effective costs are exact integers of 1e-24 (price times quantity times rate); nothing is rounded before it is compared.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from operator import neg

from streams.domain.book import Book, Depth, Pair
from streams.domain.money import SCALE, down_to, up_to
from streams.domain.terms import Terms


class Lane:
    """What one venue offers an order, on its terms.

    `limit`: the last price on the venue's ticks that the order allows. `whole`: what it offers in all, in whole lots and no more than
    the order wants; `notional` (1e-16) what that is worth, `cost` (1e-24) the same with fee and penalty, `alone` whether the venue
    accepts it as one child. `top` is the best price and `last` the number of the worst level that counts, 0 being the best.
    """

    __slots__ = (
        "_depth",
        "alone",
        "buy",
        "cost",
        "last",
        "limit",
        "lot",
        "notional",
        "ranked",
        "rate",
        "terms",
        "top",
        "whole",
    )

    def __init__(self, of: Terms, buy: bool, price: int) -> None:
        self.terms, self.buy, self.lot = of, buy, of.lot
        if buy:
            self.rate, self.ranked, self.limit = of.buy_rate, of.buy_ranked, down_to(price, of.tick)
        else:
            self.rate, self.ranked, self.limit = of.sell_rate, of.sell_ranked, up_to(price, of.tick)
        self.whole = self.notional = self.cost = self.top = self.last = 0
        self.alone = False
        self._depth: Depth | None = None

    def offer(self, book: Book, taken: Mapping[int, int], wanted: int) -> None:
        """Look at the book as far as the limit and `wanted` go; `taken` (price -> quantity) is gone from its levels."""
        best = book.ask if self.buy else book.bid
        most = min(wanted, self.terms.most)
        most -= most % self.lot
        if best is None or not most or self._beyond(best[0]):
            return
        worst, there = best
        if taken or there < most:
            self._depth = depth = _without(book, self.buy, taken) if taken else book.depth(self.buy)
            depth.cover(most, self.limit, self.buy)
            self.last = bisect_left(depth.reach, most)
            if self.last == len(depth.reach) or self._beyond(depth.prices[self.last]):
                most = self._within(depth)
                self.last = bisect_left(depth.reach, most)
            if not most:
                return
            self.top, self.whole = depth.prices[0], most
            worst, self.notional = depth.at(self.last, most)
        else:
            self.top, self.whole, self.notional = worst, most, worst * most
        self.cost = self.notional * self.ranked
        self.alone = self.accepts(most, self.child_price(worst))

    def _beyond(self, price: int) -> bool:
        return price > self.limit if self.buy else price < self.limit

    def _within(self, depth: Depth) -> int:
        """The whole lots that levels within the limit hold."""
        if self.buy:
            levels = bisect_right(depth.prices, self.limit)
        else:
            levels = bisect_right(depth.prices, -self.limit, key=neg)
        reached = depth.reach[levels - 1] if levels else 0
        return reached - reached % self.lot

    def step(self, n: int) -> Pair:
        """Price of level `n`, and the lots that are complete with it and were not without it."""
        if self._depth is None:
            return self.top, self.whole
        reach, lot = self._depth.reach, self.lot
        upto, before = min(reach[n], self.whole), reach[n - 1] if n else 0
        return self._depth.prices[n], upto - upto % lot - before + before % lot

    def filled(self, share: int) -> tuple[int, int]:
        """The worst price that a share takes, and what it is worth in 1e-16. `share` is positive and at most `whole`."""
        if self._depth is None:
            return self.top, self.top * share
        return self._depth.at(bisect_left(self._depth.reach, share), share)

    def levels(self, share: int) -> list[Pair]:
        """The levels that a share takes."""
        if self._depth is None:
            return [(self.top, share)]
        found: list[Pair] = []
        before = 0
        for price, reach in zip(self._depth.prices, self._depth.reach, strict=True):
            found.append((price, min(reach, share) - before))
            if reach >= share:
                break
            before = reach
        return found

    def child_price(self, worst: int) -> int:
        """The worst level's price on the venue's ticks, rounded so that it reaches the level. Never beyond `limit`."""
        return up_to(worst, self.terms.tick) if self.buy else down_to(worst, self.terms.tick)

    def accepts(self, quantity: int, price: int) -> bool:
        """Whether the venue accepts a child of this size and price."""
        return 0 < quantity >= self.terms.floor and quantity * price >= self.terms.least_notional * SCALE

    def accepts_share(self, share: int) -> bool:
        """Whether the venue accepts a child that takes this share from its levels."""
        return self.alone if share == self.whole else self.accepts(share, self.child_price(self.filled(share)[0]))


def _without(book: Book, asks: bool, taken: Mapping[int, int]) -> Depth:
    levels = book.asks if asks else book.bids
    left = ((price, there - taken.get(price, 0)) for price, there in levels)
    return Depth((price, there) for price, there in left if there > 0)


@dataclass(slots=True)
class Split:
    """Shares by lane (only positive ones), and why less than wanted may be in them."""

    shares: list[tuple[Lane, int]]
    below_minimum: bool = False
    capped: bool = False

    @property
    def quantity(self) -> int:
        """All shares together."""
        return sum(share for _, share in self.shares)

    def obvious(self, wanted: int) -> bool:
        """Whether one level of one venue takes all: no other venue can be better then."""
        if len(self.shares) != 1 or self.below_minimum or self.capped:
            return False
        lane, share = self.shares[0]
        return share == wanted and lane.last == 0


def pour(lanes: Sequence[Lane], wanted: int) -> list[int]:
    """A share for each lane: levels by effective price, at one price the earlier lane first. Every lane offers something."""
    shares = [0] * len(lanes)
    sign = 1 if lanes[0].buy else -1
    heap = [(sign * lane.top * lane.ranked, n, 0) for n, lane in enumerate(lanes)]
    heapify(heap)
    while heap and wanted:
        _, n, step = heap[0]
        lane = lanes[n]
        _, quantity = lane.step(step)
        take = quantity if quantity <= wanted else wanted - wanted % lane.lot
        shares[n] += take
        wanted -= take
        if take == quantity and step < lane.last:
            heapreplace(heap, (sign * lane.step(step + 1)[0] * lane.ranked, n, step + 1))
        else:
            heappop(heap)
    return shares


def split(lanes: Sequence[Lane], wanted: int, most_children: int) -> Split:
    """The shares of the lanes that offer something. All lanes are of one side."""
    active = [lane for lane in lanes if lane.whole]
    result = Split([])
    while active:
        shares = [(lane, share) for lane, share in zip(active, pour(active, wanted), strict=True) if share]
        small = [pair for pair in shares if not pair[0].accepts_share(pair[1])]
        if small:
            result.below_minimum = True
        elif len(shares) > most_children:
            result.capped = True
        else:
            result.shares = shares
            break
        few = 1 if small else len(shares) - most_children
        out = sorted(small or shares, key=lambda pair: pair[1])[:few]
        active = [lane for lane in active if all(lane is not dropped for dropped, _ in out)]
    if not result.obvious(wanted) and (alone := best_alone(lanes)) is not None:
        quantity = result.quantity
        if alone.whole > quantity or (alone.whole == quantity and better(alone.cost, _cost(result), alone.buy)):
            result.shares = [(alone, alone.whole)]
    return result


def better(one: int, other: int, buy: bool) -> bool:
    """Whether a cost (of a buy) or the proceeds (of a sell) are strictly better than others of the same quantity."""
    return one < other if buy else one > other


def best_alone(lanes: Iterable[Lane]) -> Lane | None:
    """The lane that alone fills most, at the best effective cost among equals."""
    best: Lane | None = None
    for lane in lanes:
        if lane.alone and (
            best is None
            or lane.whole > best.whole
            or (lane.whole == best.whole and better(lane.cost, best.cost, lane.buy))
        ):
            best = lane
    return best


def best_single(lanes: Iterable[Lane], quantity: int) -> Lane | None:
    """The lane that alone fills `quantity` at the best effective price; where none does, one that fills it but for a part of its lot."""
    best: Lane | None = None
    for lane in lanes:
        if not lane.alone or lane.whole + lane.lot <= quantity:
            continue
        if best is None or (lane.whole == quantity and best.whole != quantity):
            best = lane
        elif lane.whole == quantity or best.whole != quantity:
            best = lane if better(lane.cost * best.whole, best.cost * lane.whole, lane.buy) else best
    return best


def _cost(result: Split) -> int:
    return sum(lane.filled(share)[1] * lane.ranked for lane, share in result.shares)
