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
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace

SCALE = 100_000_000
Pair = tuple[int, int]  # price, quantity


@dataclass(slots=True)
class Lane:
    """What one venue offers an order. `steps`: (price, quantity in whole lots), best first, no more than the order wants.

    `rate`: 1e-8 times one plus fee (a buy) or minus fee (a sell); `ranked_rate`: the same with the venue's penalty.
    `floor` and `least_notional` (units) are the venue's minimums, `limit` the last price on its ticks that the order allows.
    """

    venue: str
    buy: bool
    rate: int
    ranked_rate: int
    tick: int
    lot: int
    floor: int
    least_notional: int
    limit: int
    steps: list[Pair] = field(default_factory=list)
    whole: int = 0  # all that it offers
    notional: int = 0  # of that, in 1e-16

    def offer(self, levels: Iterable[Pair], taken: Mapping[int, int], most: int) -> None:
        """Read levels, best first, as far as the limit and `most` (quantity) go; `taken` is gone from them."""
        buy, limit, lot, steps = self.buy, self.limit, self.lot, self.steps
        most -= most % lot
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
        self.whole, self.notional = whole, notional

    def filled(self, share: int) -> tuple[list[Pair], int]:
        """The levels that a share takes, and its notional in 1e-16. `share` is at most `whole`."""
        if share == self.whole:
            return self.steps, self.notional
        left, notional, levels = share, 0, []
        for price, quantity in self.steps:
            take = min(quantity, left)
            if take:
                levels.append((price, take))
                notional += price * take
                left -= take
            if not left:
                break
        return levels, notional

    def child_price(self, worst: int) -> int:
        """The worst level's price on the venue's ticks, rounded so that it reaches the level. Never beyond `limit`."""
        return -(-worst // self.tick) * self.tick if self.buy else worst // self.tick * self.tick

    def takes(self, quantity: int, price: int) -> bool:
        """Whether the venue accepts a child of this size and price."""
        return quantity > 0 and quantity >= self.floor and quantity * price >= self.least_notional * SCALE

    def takes_share(self, share: int) -> bool:
        """Whether the venue accepts a child that takes this share from its levels."""
        if not share:
            return False
        return self.takes(share, self.child_price(self.filled(share)[0][-1][0]))


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


def pour(lanes: Sequence[Lane], wanted: int) -> list[int]:
    """A share for each lane: levels by effective price, at one price the earlier lane first."""
    shares = [0] * len(lanes)
    heap = [
        (lane.steps[0][0] * (lane.ranked_rate if lane.buy else -lane.ranked_rate), n, 0)
        for n, lane in enumerate(lanes)
        if lane.steps
    ]
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
            rate = lane.ranked_rate if lane.buy else -lane.ranked_rate
            heapreplace(heap, (lane.steps[step][0] * rate, n, step))
        else:
            heappop(heap)
    return shares


def split(lanes: Sequence[Lane], wanted: int, most_children: int) -> Split:
    """The shares of the lanes that offer something. All lanes are of one side."""
    active = [lane for lane in lanes if lane.steps]
    result = Split([])
    while active:
        shares = [(lane, share) for lane, share in zip(active, pour(active, wanted), strict=True) if share]
        small = [pair for pair in shares if not pair[0].takes_share(pair[1])]
        if small:
            result.below_minimum = True
        elif len(shares) > most_children:
            result.capped, small = True, shares
        else:
            result.shares = shares
            break
        out = min(small, key=lambda pair: pair[1])[0]
        active = [lane for lane in active if lane is not out]
    if (alone := best_alone(lanes)) is not None and (len(result.shares) != 1 or result.shares[0][0] is not alone):
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
        if not lane.takes_share(lane.whole):
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
    exact = any(lane.whole == quantity and lane.takes_share(quantity) for lane in lanes)
    for lane in lanes:
        if lane.whole + (1 if exact else lane.lot) <= quantity or not lane.takes_share(lane.whole):
            continue
        if best is None or better(_alone_cost(lane) * best.whole, _alone_cost(best) * lane.whole, lane.buy):
            best = lane
    return best


def _alone_cost(lane: Lane) -> int:
    return lane.notional * lane.ranked_rate


def _cost(result: Split) -> int:
    return sum(lane.filled(share)[1] * lane.ranked_rate for lane, share in result.shares)
