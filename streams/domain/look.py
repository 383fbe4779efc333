"""Each venue as one request finds it: what it offers, at which all-in price, and its score.

What `Fronts` keeps is taken as it is for venues whose best level holds the whole order. For others their side is looked up, added up; a
`Lane` is made only of those that take part in the split, that hold too little, or that count in other lots. A look is good until its fronts
are refreshed.
"""

from __future__ import annotations

from bisect import bisect_left
from heapq import heapify, heappop, heapreplace
from operator import attrgetter
from typing import NamedTuple

from schemas.binary import LENGTHS, money, str_
from schemas.records import RouteRequest
from streams.domain.fronts import FAR, Fronts, amounts
from streams.domain.money import SCALE
from streams.domain.splitting import Lane
from streams.domain.terms import Terms


class View:
    """One eligible venue with its score."""

    __slots__ = ("lane", "terms", "total")

    def __init__(self, lane: Lane, total: int) -> None:
        self.lane, self.total = lane, total
        self.terms: Terms = lane.terms


TOTAL = attrgetter("total")  # the first of equals, in the order of names, wins in max() and in a stable sort


class Plain(NamedTuple):
    """A split that needed no second thought: the shares, and the best single venue for the same quantity."""

    shares: list[tuple[Lane, int]]
    single: Lane


class Look:
    """A request's look at the fronts of its side. `mid`: that of the best bid and offer among the eligible venues."""

    __slots__ = (
        "_deep",
        "_fronts",
        "_lanes",
        "_limit",
        "_liquid",
        "_most",
        "_pieces",
        "_short",
        "_totals",
        "_worths",
        "mid",
        "wanted",
    )

    def __init__(self, request: RouteRequest, fronts: Fronts) -> None:
        f = self._fronts = fronts
        wanted, limit = request.quantity, request.price
        self.wanted, self._limit = wanted, limit
        count, lot = len(f.at), f.lot
        self._lanes: dict[int, Lane] = {}
        self._worths: dict[int, int] = {}  # of `_most` at deep venues that hold it, in 1e-16
        self._short: dict[int, int] = {}  # what deep venues offer, of those that do not surely hold all whole lots
        self._pieces, self._totals = f.pieces, f.totals
        most = wanted - wanted % lot if lot and wanted <= f.roomy else 0
        self._deep = list(range(count))  # the venues that this order finds otherwise than `fronts` says
        # a limit that is a tick beyond a venue's best level reaches it, wherever the venue's ticks lie
        if not (most and count and (max(f.tops) <= limit - f.tick if f.buy else min(f.tops) >= limit + f.tick)):
            most = 0
        elif most == wanted:
            self._deep = [k for k, there in enumerate(f.holds) if there < most] if min(f.holds) < most else []
            self._deep += [k for k in f.gapped if f.holds[k] >= most]
        self._most = most
        # of venues that hold all that any could take
        self._liquid = SCALE if most == wanted else most * SCALE // wanted
        if self._deep:
            self._dig()
        elif count:
            best = min(f.averages) if f.buy else max(f.averages)
            if best != f.scored:
                f.score(best)
        bid, ask = max(f.bids, default=0), min(f.asks, default=FAR)
        self.mid = (bid + ask) // 2 if bid and ask < FAR else None

    def _dig(self) -> None:
        """What the deep venues offer: their all-in price, what all whole lots are worth there, and the encoding of a `Candidate`."""
        f, most, limit, buy = self._fronts, self._most, self._limit, self._fronts.buy
        reaches = limit - f.tick if buy else limit + f.tick
        full = most * SCALE
        averages, worths, rates, holds, depths = f.averages.copy(), self._worths, f.rates, f.holds, f.depths
        for k in self._deep:
            worth = 0
            if most and (held := holds[k]) > 0:
                if held >= most:
                    worth = f.tops[k] * most - f.gaps[k]
                else:
                    depth = depths[k] or f.depth(k)
                    reach = depth.reach
                    if not reach or reach[-1] < most:
                        depth.cover(most, limit, buy)
                    last = bisect_left(reach, most)
                    if last < len(reach):
                        price = depth.prices[last]
                        if price <= reaches if buy else price >= reaches:
                            worth = depth.worth[last] - price * (reach[last] - most)
            if worth:
                averages[k], worths[k] = abs(worth * rates[k] // full), worth
            else:
                averages[k] = self._offered(k)
        priced = [price for price in averages if price] if 0 in averages else averages
        self._score(averages, (min(priced) if buy else max(priced)) if priced else 0)

    def _offered(self, k: int) -> int:
        """By its lane: the all-in price of what a venue offers, of its best level where that is nothing, 0 where it has none."""
        f = self._fronts
        lane, rate = self._lane(k), f.rates[k]
        self._short[k] = lane.whole
        if whole := lane.whole:
            return abs(lane.notional * rate // (whole * SCALE))
        book = f.books[f.at[k]]
        best = None if book is None else book.ask if f.buy else book.bid
        return 0 if best is None else abs(best[0] * rate // SCALE)

    def _score(self, averages: list[int], best: int) -> None:
        """`scoring`'s components and total, without a call for each, and the encoding of the deep venues' `Candidate`s."""
        f, deep, short, wanted = self._fronts, self._deep, self._short, self.wanted
        settings = f.settings.score
        if best != f.scored and len(deep) < len(averages):
            f.score(best)
        pieces, totals = self._pieces, self._totals = f.pieces.copy(), f.totals.copy()
        near, weight, more = best * settings.price_half, settings.price, self._liquid * settings.liquidity
        close, liquid, marks, heads, tails = near * SCALE, money(self._liquid) + b"\2", f.marks, f.heads, f.tails
        for k in deep:
            price = averages[k]
            p = close // (near + abs(price - best) * SCALE) if price else 0
            if k not in short:
                totals[k] = total = (p * weight + marks[k] + more) // SCALE
                pieces[k] = heads[k] + amounts(total, p) + tails[k] + liquid + money(price)
                continue
            offered = short[k]
            part = SCALE if offered >= wanted else offered * SCALE // wanted
            totals[k] = total = (p * weight + marks[k] + part * settings.liquidity) // SCALE
            average = b"\2" + money(price) if offered else b"\0"
            pieces[k] = heads[k] + amounts(total, p) + tails[k] + money(part) + average

    # ---- for the split

    def views(self) -> list[View]:
        """The eligible venues, by name."""
        return [View(self._lane(k), total) for k, total in enumerate(self._totals)]

    def _lane(self, k: int) -> Lane:
        lane = self._lanes.get(k)
        if lane is None:
            lane = self._lanes[k] = self._fronts.lane(k, self.wanted, self._limit)
        return lane

    def plain(self, most_children: int) -> Plain | None:
        """What `split` and `best_single` say, of lanes of those venues alone that take part; `None` where more must be considered.

        So it is where all venues count in one lot and one of them holds all whole lots of the order: what is left is less than a lot,
        which nobody can take, and no exchange between venues changes that.
        """
        f, most = self._fronts, self._most
        if not most or not most_children:
            return None
        shares: list[tuple[Lane, int]] = []
        first = f.keys.index(min(f.keys))
        if f.holds[first] >= most:
            lane = self._lane(first)
            if not lane.alone:
                return None
            if not self._short:
                # of the others only those can cost less that have less than a lot at a better level
                worths, ranks = self._worths, f.ranks
                own = -worths[first] * ranks[first] if first in worths else f.keys[first] * most
                cost, best = min([(-worth * ranks[k], k) for k, worth in worths.items()], default=(own, first))
                if best == first or cost > own:
                    return Plain([(lane, most)], lane)
            shares = [(lane, most)]
        single = self._single()
        if single is None or not single.alone:
            return None
        if not shares:
            shares = self._pour()
            if len(shares) > most_children or not all(lane.accepts_share(share) for lane, share in shares):
                return None
        paid, alone = sum([lane.filled(share)[1] * lane.ranked for lane, share in shares]), single.cost
        if alone < paid if f.buy else alone > paid:
            shares = [(single, most)]
        return Plain(shares, single)

    def _single(self) -> Lane | None:
        """The cheapest of the venues that hold all whole lots, if that could be one child anywhere; the first of equals."""
        f, most = self._fronts, self._most
        costs = [key * most for key in f.keys]
        for k, worth in self._worths.items():
            costs[k] = -worth * f.ranks[k]
        for k, offered in self._short.items():
            lane = self._lanes[k]
            costs[k] = (lane.cost if f.buy else -lane.cost) if offered == most and lane.alone else _NEVER
        cheapest = min(costs)
        return self._lane(costs.index(cheapest)) if cheapest < _NEVER else None

    def _pour(self) -> list[tuple[Lane, int]]:
        """`splitting.pour` of `_most`, by the columns; in the order of names."""
        f, wanted = self._fronts, self._most
        shares: dict[int, int] = {}
        heap = [(key, k, 0) for k, key in enumerate(f.keys)]
        heapify(heap)
        while wanted:
            _, k, step = heap[0]
            lane = self._lane(k)
            if not lane.whole:
                heappop(heap)
                continue
            take = min(lane.step(step)[1], wanted)
            shares[k] = shares.get(k, 0) + take
            wanted -= take
            if step < lane.last:
                further = lane.step(step + 1)[0] * lane.ranked
                heapreplace(heap, (further if f.buy else -further, k, step + 1))
            else:
                heappop(heap)
        return [(self._lane(k), share) for k, share in sorted(shares.items()) if share]

    # ---- for the record

    def candidates(self) -> bytes:
        """The array of `Candidate`s, encoded."""
        f, pieces, short, last = self._fronts, self._pieces, self._short, money(self._most)
        if not f.terms:
            return b"\0"
        if not short and len(pieces) == len(f.terms):
            return LENGTHS[len(pieces)] + last.join([*pieces, b"\0"])
        bodies = [
            str_(of.venue) + b"\0" + str_(why) + _REFUSED
            if slot < 0
            else pieces[slot] + (money(short[slot]) if slot in short else last)
            for of, slot, why in zip(f.terms, f.slots, f.refused, strict=True)
        ]
        return LENGTHS[len(bodies)] + b"".join(bodies) + b"\0"


_NEVER = FAR * FAR  # beyond any cost
_REFUSED = money(0) * 5 + b"\0" + money(0)
