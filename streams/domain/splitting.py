"""The cheapest split of a quantity over venues' levels (water-filling), in whole lots.

Levels of all venues are taken in the order of their effective price: the level's price with the venue's taker fee and its penalty. Without
lots and minimums that greedy order is the optimum, because levels are independent and divisible. Rules:

* a venue offers whole lots only: a lot that spans levels is taken in the order of the worst of them;
* a share that its venue would refuse as too small is given to the others, the smallest first, or lifted to what the venue accepts, whichever
  fills more, or the same for less; where there are more than wanted children the smallest shares are given to the others;
* the result is never worse than the best single venue: where one venue alone fills more, or the same for less, it takes all.

Effective costs are exact integers of 1e-24 (price times quantity times rate); nothing is rounded before it is compared.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from math import gcd
from operator import neg

from streams.domain.book import Book, Depth, Pair
from streams.domain.money import SCALE, down_to, up_to
from streams.domain.terms import Terms

_TRIES = 64  # of what small shares may do: all there is for five venues


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

    def offer(self, book: Book, net: Depth | None, wanted: int) -> None:
        """Look at the book as far as the limit and `wanted` go; `net` is its side without what is gone, if anything is."""
        of, lot = self.terms, self.lot
        most = wanted if wanted < of.most else of.most
        if lot != 1:
            most -= most % lot
        if self.buy:
            best = book.ask
            if best is None or not most or best[0] > self.limit:
                return
        else:
            best = book.bid
            if best is None or not most or best[0] < self.limit:
                return
        worst, there = best
        if net is not None or there < most:
            depth = net if net is not None else book.depth(self.buy)
            reach = depth.reach
            if not reach or reach[-1] < most:
                depth.cover(most, self.limit, self.buy)
            last = 0 if reach and reach[0] >= most else bisect_left(reach, most)
            if last == len(reach) or self._beyond(depth.prices[last]):
                most = self._within(depth)
                last = bisect_left(reach, most)
            if not most:
                return
            self._depth, self.last = depth, last
            self.top, self.whole = depth.prices[0], most
            worst, self.notional = depth.at(last, most)
        else:
            self.top, self.whole, self.notional = worst, most, worst * most
        self.cost = self.notional * self.ranked
        if worst % of.tick:
            self.alone = self.accepts(most, self.child_price(worst))
        else:
            self.alone = most >= of.floor and most * worst >= of.least_notional * SCALE

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

    def slack_price(self, worst: int, quantity: int, slack: int) -> int:
        """`child_price` moved by the rate `slack` (1e-8) to the worse, as far as limit, tick and the venue's minimum of worth allow."""
        price, tick = self.child_price(worst), self.terms.tick
        if self.buy:
            return max(price, min(self.limit, down_to(worst * (SCALE + slack) // SCALE, tick)))
        moved = min(price, max(self.limit, up_to(-(-worst * (SCALE - slack) // SCALE), tick)))
        return moved if self.accepts(quantity, moved) else price

    def accepts(self, quantity: int, price: int) -> bool:
        """Whether the venue accepts a child of this size and price."""
        return 0 < quantity >= self.terms.floor and quantity * price >= self.terms.least_notional * SCALE

    def least(self) -> int:
        """A share that the venue accepts and that is as small as can be, or 0 where it offers none."""
        of, lot = self.terms, self.lot
        share = up_to(max(of.floor, 1), lot)
        for _ in range(4):  # a price that gets worse as the share grows may ask for more
            if share > self.whole:
                return 0
            if self.accepts_share(share):
                return share
            price = max(self.child_price(self.filled(share)[0]), 1)
            share = max(share + lot, up_to(-(-of.least_notional * SCALE // price), lot))
        return 0

    def accepts_share(self, share: int) -> bool:
        """Whether the venue accepts a child that takes this share from its levels."""
        return self.alone if share == self.whole else self.accepts(share, self.child_price(self.filled(share)[0]))


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

    def obvious(self, wanted: int, lanes: Iterable[Lane]) -> bool:
        """Whether one level of one venue takes all, and none of the lanes begins at a better one: no other venue can be better then."""
        if len(self.shares) != 1 or self.below_minimum or self.capped:
            return False
        lane, share = self.shares[0]
        if share != wanted or lane.last:
            return False
        return not any(other.whole and better(_top(other), _top(lane), lane.buy) for other in lanes)


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


def _top(lane: Lane) -> int:
    return lane.top * lane.ranked


def split(lanes: Sequence[Lane], wanted: int, most_children: int) -> Split:
    """The shares of the lanes that offer something. All lanes are of one side."""
    active = [lane for lane in lanes if lane.whole]
    result = Split([])
    if active and most_children:
        # the commonest order: the best level of all takes it whole
        first = min(active, key=_top) if active[0].buy else max(active, key=_top)
        if first.whole == wanted and first.alone and not first.last:
            result.shares = [(first, wanted)]
            return result
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
    if result.below_minimum:
        lifted = _lifted([lane for lane in lanes if lane.whole], wanted, most_children)
        if lifted and _beats(lifted, result.shares):
            result.shares, active = lifted, [lane for lane, _ in lifted]
    if result.shares and (rest := wanted - result.quantity):
        result.shares = _fitted(active, result.shares, rest)
    if not result.obvious(wanted, lanes) and (alone := best_alone(lanes)) is not None:
        quantity = result.quantity
        if alone.whole > quantity or (alone.whole == quantity and better(alone.cost, _cost(result), alone.buy)):
            result.shares = [(alone, alone.whole)]
    return result


def _lifted(lanes: Sequence[Lane], wanted: int, most_children: int) -> list[tuple[Lane, int]]:
    """The best shares where some are too small: each such lane gives its share up, or takes what its venue accepts at least.

    Exact where the venues are few and their minimums are of quantity, as each step covers all that a lane may do; `_TRIES` steps at most.
    """
    best: list[tuple[Lane, int]] = []
    mark = (0, 0)
    todo: list[tuple[list[Lane], dict[Lane, int]]] = [(list(lanes), {})]
    for _ in range(_TRIES):
        if not todo:
            break
        active, least = todo.pop()
        shares = _at_least(active, least, wanted)
        small = [pair for pair in shares if not pair[0].accepts_share(pair[1])]
        if small:
            lane = min(small, key=lambda pair: pair[1])[0]
            lift = 0 if lane in least else lane.least()
            if lift:
                todo.append((active, {**least, lane: lift}))
            rest = {other: share for other, share in least.items() if other is not lane}
            todo.append(([other for other in active if other is not lane], rest))
        elif 0 < len(shares) <= most_children:
            cost = sum([_worth(lane, share) for lane, share in shares])
            found = sum([share for _, share in shares]), -cost if shares[0][0].buy else cost
            if not best or found > mark:
                best, mark = shares, found
    return best


def _at_least(lanes: Sequence[Lane], least: dict[Lane, int], wanted: int) -> list[tuple[Lane, int]]:
    """The positive shares of the cheapest pour in which some lanes have at least so much; none where that is more than wanted."""
    shares: dict[Lane, int] = {}
    low = True
    fixed: dict[Lane, int] = {}
    while low:
        rest = wanted - sum(fixed.values())
        if rest < 0:
            return []
        free = [lane for lane in lanes if lane not in fixed]
        shares = dict(zip(free, pour(free, rest), strict=True)) if free else {}
        short = {lane: least[lane] for lane, share in shares.items() if share < least.get(lane, 0)}
        fixed.update(short)
        low = bool(short)
    return [(lane, share) for lane in lanes if (share := fixed.get(lane) or shares.get(lane, 0))]


def _fitted(lanes: Sequence[Lane], shares: list[tuple[Lane, int]], rest: int) -> list[tuple[Lane, int]]:
    """Place a rest that is no whole lot of any lane that has more: one takes some lots too much, and another gives that back.

    The cheapest such exchange, or the shares as they are where there is none.
    """
    now = {id(lane): share for lane, share in shares}
    best: tuple[int, Lane, int, Lane, int] | None = None
    for taker in lanes:
        for giver, given in shares:
            back = _back(rest, taker.lot, giver.lot)
            if giver is taker or back is None or back >= given:
                continue
            had = now.get(id(taker), 0)
            share, less = had + rest + back, given - back
            if share > taker.whole or not taker.accepts_share(share) or not giver.accepts_share(less):
                continue
            cost = _worth(taker, share) - _worth(taker, had) + _worth(giver, less) - _worth(giver, given)
            if best is None or better(cost, best[0], taker.buy):
                best = cost, taker, share, giver, less
    if best is None:
        return shares
    _, taker, share, giver, less = best
    now[id(taker)], now[id(giver)] = share, less
    return [(lane, now[id(lane)]) for lane in lanes if now.get(id(lane))]


def _back(rest: int, taker: int, giver: int) -> int | None:
    """The least in lots of the giver that makes whole lots of the taker together with a rest, if any does."""
    common = gcd(taker, giver)
    if rest % common:
        return None
    cycle = taker // common
    return -(rest // common) * pow(giver // common, -1, cycle) % cycle * giver


def _beats(one: list[tuple[Lane, int]], other: list[tuple[Lane, int]]) -> bool:
    """Whether shares fill more, or the same for less."""
    more = sum([share for _, share in one]) - sum([share for _, share in other])
    costs = [sum([_worth(lane, share) for lane, share in shares]) for shares in (one, other)]
    return more > 0 or (not more and better(costs[0], costs[1], one[0][0].buy))


def _worth(lane: Lane, share: int) -> int:
    return lane.filled(share)[1] * lane.ranked if share else 0


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
