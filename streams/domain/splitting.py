"""The cheapest split of a quantity over venues' levels (water-filling), in whole lots.

Levels of all venues are taken in the order of their effective price: the level's price with the venue's taker fee and its penalty. Without
lots and minimums that greedy order is the optimum, because levels are independent and divisible. Rules:

* a venue offers whole lots only: a lot that spans levels counts at the worst of them;
* a share that its venue would refuse as too small is given to the others, the smallest first, and so is the smallest share while there are
  more shares than wanted children;
* the result is never worse than the best single venue: where one venue alone fills more, or the same for less, it takes all.

Effective costs are exact integers of 1e-24 (price times quantity times rate); nothing is rounded before it is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace

from streams.domain.book import Book, Pair
from streams.domain.money import SCALE, down_to, up_to
from streams.domain.terms import Terms


class Lane:
    """What one venue offers an order, on its terms.

    `limit`: the last price on the venue's ticks that the order allows. `steps`: (price, quantity in whole lots), best first, no more than
    the order wants; `whole` is all of them, `notional` (1e-16) what they are worth, `alone` whether the venue accepts all as one child.
    """

    __slots__ = ("alone", "buy", "limit", "lot", "notional", "ranked", "rate", "steps", "terms", "whole")

    def __init__(self, of: Terms, buy: bool, price: int) -> None:
        self.terms, self.buy, self.lot = of, buy, of.lot
        if buy:
            self.rate, self.ranked, self.limit = of.buy_rate, of.buy_ranked, down_to(price, of.tick)
        else:
            self.rate, self.ranked, self.limit = of.sell_rate, of.sell_ranked, up_to(price, of.tick)
        self.steps: Sequence[Pair] = ()
        self.whole = self.notional = 0
        self.alone = False

    def offer(self, book: Book, taken: Mapping[int, int], wanted: int) -> None:
        """Read the book's levels as far as the limit and `wanted` go; `taken` (price -> quantity) is gone from them."""
        best = book.ask if self.buy else book.bid
        if best is None:
            return
        price, quantity = best
        most = min(wanted, self.terms.most)
        most -= most % self.lot
        if quantity < most or taken:
            self._walk(book.asks if self.buy else book.bids, taken, most)
        elif most and (price <= self.limit if self.buy else price >= self.limit):
            self.steps, self.whole, self.notional = ((price, most),), most, price * most
        if self.whole:
            self.alone = self.accepts(self.whole, self.child_price(self.steps[-1][0]))

    def _walk(self, levels: Iterable[Pair], taken: Mapping[int, int], most: int) -> None:
        buy, limit, lot, steps = self.buy, self.limit, self.lot, list[Pair]()
        seen = whole = notional = 0
        for price, quantity in levels:
            if whole >= most or (price > limit if buy else price < limit):
                break
            if taken:
                quantity -= taken.get(price, 0)
                if quantity <= 0:
                    continue
            seen += quantity
            more = min(seen - seen % lot, most) - whole
            if more > 0:
                whole += more
                notional += price * more
                steps.append((price, more))
        self.steps, self.whole, self.notional = steps, whole, notional

    def filled(self, share: int) -> tuple[Sequence[Pair], int]:
        """The levels that a share takes, and what it is worth in 1e-16. `share` is at most `whole`."""
        if share == self.whole:
            return self.steps, self.notional
        left, notional, levels = share, 0, list[Pair]()
        for price, quantity in self.steps:
            if not left:
                break
            take = min(quantity, left)
            levels.append((price, take))
            notional += price * take
            left -= take
        return levels, notional

    def child_price(self, worst: int) -> int:
        """The worst level's price on the venue's ticks, rounded so that it reaches the level. Never beyond `limit`."""
        return up_to(worst, self.terms.tick) if self.buy else down_to(worst, self.terms.tick)

    def accepts(self, quantity: int, price: int) -> bool:
        """Whether the venue accepts a child of this size and price."""
        return 0 < quantity >= self.terms.floor and quantity * price >= self.terms.least_notional * SCALE

    def accepts_share(self, share: int) -> bool:
        """Whether the venue accepts a child that takes this share from its levels."""
        if share == self.whole:
            return self.alone
        return self.accepts(share, self.child_price(self.filled(share)[0][-1][0]))


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
        return share == wanted <= lane.steps[0][1]


def pour(lanes: Sequence[Lane], wanted: int) -> list[int]:
    """A share for each lane: levels by effective price, at one price the earlier lane first. Every lane has steps."""
    shares = [0] * len(lanes)
    sign = 1 if lanes[0].buy else -1
    heap = [(sign * lane.steps[0][0] * lane.ranked, n, 0) for n, lane in enumerate(lanes)]
    heapify(heap)
    while heap and wanted:
        _, n, step = heap[0]
        lane = lanes[n]
        quantity = lane.steps[step][1]
        take = quantity if quantity <= wanted else wanted - wanted % lane.lot
        shares[n] += take
        wanted -= take
        step += 1
        if take == quantity and step < len(lane.steps):
            heapreplace(heap, (sign * lane.steps[step][0] * lane.ranked, n, step))
        else:
            heappop(heap)
    return shares


def split(lanes: Sequence[Lane], wanted: int, most_children: int) -> Split:
    """The shares of the lanes that offer something. All lanes are of one side."""
    active = [lane for lane in lanes if lane.steps]
    result = Split([])
    while active:
        shares = [(lane, share) for lane, share in zip(active, pour(active, wanted), strict=True) if share]
        small = [pair for pair in shares if not pair[0].accepts_share(pair[1])]
        if small:
            result.below_minimum = True
        elif len(shares) > most_children:
            result.capped, small = True, shares
        else:
            result.shares = shares
            break
        out = min(small, key=lambda pair: pair[1])[0]
        active = [lane for lane in active if lane is not out]
    if not result.obvious(wanted) and (alone := best_alone(lanes)) is not None:
        quantity = result.quantity
        if alone.whole > quantity or (alone.whole == quantity and better(_alone_cost(alone), _cost(result), alone.buy)):
            result.shares = [(alone, alone.whole)]
    return result


def better(one: int, other: int, buy: bool) -> bool:
    """Whether a cost (of a buy) or the proceeds (of a sell) are strictly better than others of the same quantity."""
    return one < other if buy else one > other


def best_alone(lanes: Iterable[Lane]) -> Lane | None:
    """The lane that alone fills most, at the best effective cost among equals."""
    best: Lane | None = None
    for lane in lanes:
        if not lane.alone:
            continue
        if (
            best is None
            or lane.whole > best.whole
            or (lane.whole == best.whole and better(_alone_cost(lane), _alone_cost(best), lane.buy))
        ):
            best = lane
    return best


def best_single(lanes: Sequence[Lane], quantity: int) -> Lane | None:
    """The lane that alone fills `quantity` at the best effective price; where none does, one that fills it but for a part of its lot."""
    best: Lane | None = None
    exact = any(lane.whole == quantity and lane.alone for lane in lanes)
    for lane in lanes:
        if lane.whole + (1 if exact else lane.lot) <= quantity or not lane.alone:
            continue
        if best is None or better(_alone_cost(lane) * best.whole, _alone_cost(best) * lane.whole, lane.buy):
            best = lane
    return best


def _alone_cost(lane: Lane) -> int:
    return lane.notional * lane.ranked


def _cost(result: Split) -> int:
    return sum(lane.filled(share)[1] * lane.ranked for lane, share in result.shares)
