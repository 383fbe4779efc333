"""The matching engine against a naive twin that follows the same rules over plain lists."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.simulator.matching import Book, Direction, Fill, Resting

BUY: Direction = "BUY"
SELL: Direction = "SELL"


@dataclass
class Shown:
    side: str
    price: int
    shown: int
    left: int


class Naive:
    """Rules as in the engine's docstring; everything is searched for, nothing is kept sorted."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self.resting: list[Resting] = []

    def best_first(self, side: str, prices: set[int]) -> list[int]:
        return sorted(prices, reverse=side == BUY)

    def reaches(self, side: str, limit: int | None, price: int) -> bool:
        """Whether an order of `side` with `limit` takes at `price`."""
        return limit is None or (price <= limit if side == BUY else price >= limit)

    def total(self, side: str, price: int) -> int:
        displayed = sum(s.left for s in self.shown if (s.side, s.price) == (side, price))
        return displayed + sum(o.quantity for o in self.resting if (o.side, o.limit) == (side, price))

    def levels(self, side: str) -> list[tuple[int, int]]:
        prices = {s.price for s in self.shown if s.side == side} | {
            o.limit or 0 for o in self.resting if o.side == side
        }
        found = [(p, self.total(side, p)) for p in self.best_first(side, prices)]
        return [level for level in found if level[1]]

    def take(self, order: Resting) -> list[Fill]:
        fills, other = [], SELL if order.side == BUY else BUY
        for price, _ in self.levels(other):
            if not self.reaches(order.side, order.limit, price):
                break
            for s in self.shown:
                if (s.side, s.price) == (other, price) and (part := min(s.left, order.quantity)):
                    s.left -= part
                    order.quantity -= part
                    fills.append(Fill(price, part, order.ref, None, order.side))
            for o in list(self.resting):
                if (o.side, o.limit) == (other, price) and (part := min(o.quantity, order.quantity)):
                    o.quantity -= part
                    order.quantity -= part
                    fills.append(Fill(price, part, order.ref, o.ref, order.side))
            self.resting = [o for o in self.resting if o.quantity]
        return fills

    def show(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> list[Fill]:
        for side, levels in ((BUY, bids), (SELL, asks)):
            for price, quantity in levels:
                before = [s for s in self.shown if (s.side, s.price) == (side, price)]
                if quantity == (before[0].shown if before else 0):
                    continue
                self.shown = [s for s in self.shown if s not in before]
                if quantity:
                    self.shown.append(Shown(side, price, quantity, quantity))
        fills = []
        for side, other in ((BUY, SELL), (SELL, BUY)):
            queue = sorted((o for o in self.resting if o.side == side), key=lambda o: o.limit or 0, reverse=side == BUY)
            for o in queue:
                for price in self.best_first(other, {s.price for s in self.shown if s.side == other and s.left}):
                    if not o.quantity or not self.reaches(side, o.limit, price):
                        break
                    (s,) = [s for s in self.shown if (s.side, s.price) == (other, price)]
                    part = min(s.left, o.quantity)
                    s.left -= part
                    o.quantity -= part
                    assert o.limit is not None
                    fills.append(Fill(o.limit, part, None, o.ref, SELL if side == BUY else BUY))
        self.resting = [o for o in self.resting if o.quantity]
        return fills

    def show_all(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> list[Fill]:
        gone: dict[str, list[tuple[int, int]]] = {BUY: [], SELL: []}
        for s in self.shown:
            if s.price not in dict(bids if s.side == BUY else asks):
                gone[s.side].append((s.price, 0))
        return self.show(gone[BUY] + list(dict(bids).items()), gone[SELL] + list(dict(asks).items()))

    def printed(self, price: int, quantity: int, taker: Direction) -> list[Fill]:
        fills, other = [], SELL if taker == BUY else BUY
        queue = sorted((o for o in self.resting if o.side == other), key=lambda o: o.limit or 0, reverse=other == BUY)
        for o in queue:
            assert o.limit is not None
            if quantity and self.reaches(taker, price, o.limit):
                part = min(o.quantity, quantity)
                o.quantity -= part
                quantity -= part
                fills.append(Fill(o.limit, part, None, o.ref, taker))
        self.resting = [o for o in self.resting if o.quantity]
        return fills


prices = st.integers(90, 110)
levels = st.lists(st.tuples(prices, st.integers(0, 9)), max_size=6)
sides = st.sampled_from([BUY, SELL])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("show"), levels, levels),
        st.tuples(st.just("show_all"), levels, levels),
        st.tuples(st.just("order"), sides, st.one_of(st.none(), prices), st.integers(1, 25)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("printed"), prices, st.integers(1, 20), sides),
    ),
    max_size=40,
)


def unique(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return list(dict(found).items())


@settings(max_examples=300, deadline=None)
@given(steps)
def test_as_the_naive_twin(script: list[tuple]) -> None:  # type: ignore[type-arg]
    book, twin = Book(), Naive()
    mirrored: dict[Direction, dict[int, int]] = {BUY: {}, SELL: {}}
    for ref, (what, *args) in enumerate(script):
        if what in ("show", "show_all"):
            bids, asks = (unique(a) for a in args)
            assert getattr(book, what)(bids, asks) == getattr(twin, what)(bids, asks)
        elif what == "printed":
            assert book.printed(*args) == twin.printed(*args)
        elif what == "cancel":
            found = [o for o in twin.resting if o.ref == args[0]]
            twin.resting = [o for o in twin.resting if o not in found]
            if found:
                assert book.cancel(args[0]) == found[0].quantity
            else:
                assert args[0] not in book.orders
        else:
            side, limit, quantity = args
            expected = twin.take(theirs := Resting(ref, side, limit, quantity))
            assert book.available(side, limit, quantity) == quantity - theirs.quantity
            planned = book.plan(side, limit, quantity)
            fills = book.take(ours := Resting(ref, side, limit, quantity))
            assert fills == expected and ours.quantity == theirs.quantity
            assert sum(q for _, q in planned) == sum(f.quantity for f in fills)
            assert sum(p * q for p, q in planned) == sum(f.price * f.quantity for f in fills)
            if limit is not None and ours.quantity:
                assert not book.would_take(side, limit)
                book.rest(ours)
                twin.resting.append(theirs)
        for side in (BUY, SELL):
            mine = book.side(side)
            assert mine.levels() == twin.levels(side)
            assert mine.best() == next(iter(twin.levels(side)), None)
            # what `dirty` names is all that changed
            for price in mine.dirty:
                mirrored[side][price] = mine.total.get(price, 0)
            mine.dirty.clear()
            assert {p: q for p, q in mirrored[side].items() if q} == dict(mine.levels())
        assert sorted(book.orders) == sorted(o.ref for o in twin.resting)
        for order in book.orders.values():  # nobody rests who could trade with what is displayed
            reached = book.against(order.side).best_shown()
            assert reached is None or not twin.reaches(order.side, order.limit, reached)


def test_what_was_taken_comes_back_only_with_another_quantity() -> None:
    book = Book()
    book.show([], [(100, 5)])
    assert book.take(Resting(1, BUY, 100, 3)) == [Fill(100, 3, 1, None, BUY)]
    book.show([], [(100, 5)])
    assert book.asks.levels() == [(100, 2)]
    book.show([], [(100, 6)])
    assert book.asks.levels() == [(100, 6)]


def test_displayed_stands_ahead_and_clients_queue() -> None:
    book = Book()
    book.show([], [(100, 2)])
    for ref in (1, 2):
        book.rest(Resting(ref, SELL, 100, 3))
    fills = book.take(Resting(3, BUY, None, 7))
    assert [(f.maker, f.quantity) for f in fills] == [(None, 2), (1, 3), (2, 2)]


def test_resting_order_trades_at_its_own_price_when_reached() -> None:
    book = Book()
    book.rest(Resting(1, BUY, 100, 5))
    assert book.show([], [(98, 2), (99, 1)]) == [Fill(100, 2, None, 1, SELL), Fill(100, 1, None, 1, SELL)]
    assert book.printed(99, 9, SELL) == [Fill(100, 2, None, 1, SELL)]
    assert not book.orders and book.bids.levels() == []
