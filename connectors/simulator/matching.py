"""The matching engine of one symbol: pure, over exact ints of 1e-8, with neither clock nor account nor I/O.

Two kinds of liquidity stand in one book. *Displayed* levels come from outside (a recording or a generator); *resting* orders are our
clients'. Rules:

* Price, then time. At one price the displayed quantity stands ahead of resting orders, which queue by arrival.
* Displayed liquidity is sold once: what our clients took from a level stays taken until the feed gives that level another quantity.
* A fill happens at the price of the one who was there first: of the level, or of the resting order.
* The displayed book never trades with itself; a recording may be crossed for a moment.
* A resting order fills when the displayed book reaches its price, when a printed trade did, or when another client takes it.

A side's keys are prices for asks and negated prices for bids, so that on both sides the smallest key is the best price.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Direction = Literal["BUY", "SELL"]
Level = tuple[int, int]


@dataclass(slots=True, eq=False)
class Resting:
    """A client's order in the book: `quantity` is what is open of it, `limit` None takes any price."""

    ref: int
    side: Direction
    limit: int | None
    quantity: int


class Fill(NamedTuple):
    """`quantity` at `price`; `taker` or `maker` is None where the displayed book stands on that end."""

    price: int
    quantity: int
    taker: int | None
    maker: int | None
    taker_side: Direction


@dataclass(slots=True)
class Side:
    """One side of the book. `shown` is what the feed displays, `left` what of it our clients have not taken, `total` what others see.

    `queues` are the resting orders at a price by arrival, `waiting` what they sum up to; `keys` and `client_keys` say where there is
    anything at all, and where orders rest. `dirty` are the prices whose total changed since the set was last cleared, `changes` counts such changes from the beginning.
    """

    sign: int
    shown: dict[int, int] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)
    queues: dict[int, dict[int, Resting]] = field(default_factory=dict)
    waiting: dict[int, int] = field(default_factory=dict)
    keys: list[int] = field(default_factory=list)
    client_keys: list[int] = field(default_factory=list)
    total: dict[int, int] = field(default_factory=dict)
    dirty: set[int] = field(default_factory=set)
    changes: int = 0

    def touch(self, price: int) -> None:
        """Bring `total` and `keys` in line after a change at `price`."""
        total = self.left.get(price, 0) + self.waiting.get(price, 0)
        before = self.total.get(price, 0)
        if total == before:
            return
        self.dirty.add(price)
        self.changes += 1
        key = price * self.sign
        if total == 0:
            del self.total[price]
            del self.keys[bisect_left(self.keys, key)]
        else:
            self.total[price] = total
            if before == 0:
                insort(self.keys, key)

    def show(self, price: int, quantity: int) -> None:
        """The feed says that `price` displays `quantity`; the same quantity as before changes nothing."""
        if quantity == self.shown.get(price, 0):
            return
        if quantity:
            self.shown[price] = self.left[price] = quantity
        else:
            del self.shown[price]
            self.left.pop(price, None)
        self.touch(price)

    def take_shown(self, price: int, quantity: int) -> None:
        rest = self.left[price] - quantity
        if rest:
            self.left[price] = rest
        else:
            del self.left[price]
        self.touch(price)

    def add(self, order: Resting) -> None:
        assert order.limit is not None, "only an order with a limit rests"
        queue = self.queues.get(order.limit)
        if queue is None:
            queue = self.queues[order.limit] = {}
            self.waiting[order.limit] = 0
            insort(self.client_keys, order.limit * self.sign)
        queue[order.ref] = order
        self.waiting[order.limit] += order.quantity
        self.touch(order.limit)

    def remove(self, order: Resting) -> None:
        assert order.limit is not None, "only an order with a limit rests"
        queue = self.queues[order.limit]
        del queue[order.ref]
        self.waiting[order.limit] -= order.quantity
        if not queue:
            del self.queues[order.limit], self.waiting[order.limit]
            del self.client_keys[bisect_left(self.client_keys, order.limit * self.sign)]
        self.touch(order.limit)

    def reduce(self, order: Resting, quantity: int) -> None:
        """`quantity` of a resting order was filled; a filled order leaves the book."""
        assert order.limit is not None, "only an order with a limit rests"
        order.quantity -= quantity
        self.waiting[order.limit] -= quantity
        if order.quantity == 0:
            self.remove(order)
        else:
            self.touch(order.limit)

    def levels(self, depth: int | None = None) -> list[Level]:
        """The best `depth` levels, what is displayed and what rests together."""
        sign, total = self.sign, self.total
        return [(key * sign, total[key * sign]) for key in self.keys[:depth]]

    def best(self) -> Level | None:
        """The best price and its whole quantity."""
        if not self.keys:
            return None
        price = self.keys[0] * self.sign
        return price, self.total[price]

    def best_shown(self) -> int | None:
        """The best price with displayed liquidity left."""
        for key in self.keys:
            if key * self.sign in self.left:
                return key * self.sign
        return None

    def within(self, limit: int | None) -> Iterator[int]:
        """Prices from the best up to `limit` (inclusive). The book may not change while iterating."""
        bound = None if limit is None else limit * self.sign
        for key in self.keys:
            if bound is not None and key > bound:
                return
            yield key * self.sign


class Book:
    """The book of one symbol."""

    __slots__ = ("asks", "bids", "orders")

    def __init__(self) -> None:
        self.bids, self.asks = Side(-1), Side(1)
        self.orders: dict[int, Resting] = {}

    def side(self, direction: Direction) -> Side:
        """Where an order of `direction` rests."""
        return self.bids if direction == "BUY" else self.asks

    def against(self, direction: Direction) -> Side:
        """What an order of `direction` takes from."""
        return self.asks if direction == "BUY" else self.bids

    # what clients do

    def available(self, direction: Direction, limit: int | None, wanted: int) -> int:
        """How much of `wanted` could be taken now within `limit`."""
        side, found = self.against(direction), 0
        for price in side.within(limit):
            found += side.total[price]
            if found >= wanted:
                return wanted
        return found

    def would_take(self, direction: Direction, limit: int) -> bool:
        """Whether an order of `direction` at `limit` would match at once."""
        best = self.against(direction).best()
        return best is not None and (best[0] <= limit if direction == "BUY" else best[0] >= limit)

    def plan(self, direction: Direction, limit: int | None, wanted: int) -> list[Level]:
        """The (price, quantity) that taking `wanted` within `limit` would trade, best first; takes nothing."""
        side, rest, planned = self.against(direction), wanted, []
        for price in side.within(limit):
            if not rest:
                break
            part = min(rest, side.total[price])
            planned.append((price, part))
            rest -= part
        return planned

    def take(self, order: Resting) -> list[Fill]:
        """Match an arriving order; `order.quantity` is what remains of it. It is not put into the book."""
        side, fills = self.against(order.side), []
        while order.quantity and side.keys:
            price = side.keys[0] * side.sign
            if order.limit is not None and side.keys[0] > order.limit * side.sign:
                break
            if shown := side.left.get(price, 0):
                part = min(shown, order.quantity)
                side.take_shown(price, part)
                fills.append(Fill(price, part, order.ref, None, order.side))
            else:
                first = next(iter(side.queues[price].values()))
                part = min(first.quantity, order.quantity)
                fills.append(Fill(price, part, order.ref, first.ref, order.side))
                self._filled(side, first, part)
            order.quantity -= part
        return fills

    def outrun(self, direction: Direction, limit: int, wanted: int, lot: int) -> list[Level]:
        """Another takes what is displayed within `limit`, but for half (in lots) of what an order finds there; what went from where."""
        side, taken = self.against(direction), []
        shown = [(price, side.left[price]) for price in side.within(limit) if price in side.left]
        keep = min(wanted, sum(quantity for _, quantity in shown)) // (2 * lot) * lot
        for price, quantity in shown:
            part = max(0, quantity - keep)
            keep -= quantity - part
            if part:
                taken.append((price, part))
                side.take_shown(price, part)
        return taken

    def rest(self, order: Resting) -> None:
        """Put what remains of an order into the book, behind those already at its price."""
        self.orders[order.ref] = order
        self.side(order.side).add(order)

    def cancel(self, ref: int) -> int:
        """Take an order out; what was open of it. Raises `KeyError` for an order that is not in the book."""
        order = self.orders.pop(ref)
        self.side(order.side).remove(order)
        return order.quantity

    # what the feed does

    def show(self, bids: Iterable[Level], asks: Iterable[Level]) -> list[Fill]:
        """Displayed quantities change (0 removes a level); the fills of resting orders that the change reached."""
        for price, quantity in bids:
            self.bids.show(price, quantity)
        for price, quantity in asks:
            self.asks.show(price, quantity)
        if not self.orders:
            return []
        return [*self._reached("BUY"), *self._reached("SELL")]

    def show_all(self, bids: Iterable[Level], asks: Iterable[Level]) -> list[Fill]:
        """A snapshot: levels that it does not name are gone."""
        new_bids, new_asks = dict(bids), dict(asks)
        gone_bids = [(p, 0) for p in self.bids.shown if p not in new_bids]
        gone_asks = [(p, 0) for p in self.asks.shown if p not in new_asks]
        return self.show([*gone_bids, *new_bids.items()], [*gone_asks, *new_asks.items()])

    def printed(self, price: int, quantity: int, taker_side: Direction) -> list[Fill]:
        """A trade happened outside: its volume fills resting orders at its price or better, best first."""
        side, fills = self.against(taker_side), []
        while quantity and side.client_keys and side.client_keys[0] <= price * side.sign:
            at = side.client_keys[0] * side.sign
            first = next(iter(side.queues[at].values()))
            part = min(first.quantity, quantity)
            fills.append(Fill(at, part, None, first.ref, taker_side))
            self._filled(side, first, part)
            quantity -= part
        return fills

    def _reached(self, direction: Direction) -> list[Fill]:
        own, other, fills = self.side(direction), self.against(direction), []
        taker_side: Direction = "SELL" if direction == "BUY" else "BUY"
        while own.client_keys:
            price = own.client_keys[0] * own.sign
            opposite = other.best_shown()
            if opposite is None or opposite * other.sign > price * other.sign:
                break
            first = next(iter(own.queues[price].values()))
            part = min(first.quantity, other.left[opposite])
            other.take_shown(opposite, part)
            fills.append(Fill(price, part, None, first.ref, taker_side))
            self._filled(own, first, part)
        return fills

    def _filled(self, side: Side, order: Resting, quantity: int) -> None:
        side.reduce(order, quantity)
        if order.quantity == 0:
            del self.orders[order.ref]
