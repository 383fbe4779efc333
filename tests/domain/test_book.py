"""The book against naive twins: a plain dictionary for a side, and the venue itself for what a live book may show."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import recordings
from schemas.records import BookUpdate, BookUpdateKind, Level, Side
from streams.domain.book import Applied, BadLevel, Book, Ladder, Pair
from streams.domain.consolidated import SymbolBooks, VenueBook

DATA = Path(os.environ.get("BESTEX_DATA", "../shared/data"))

PRICES = st.integers(1, 30)
QUANTITIES = st.integers(0, 5) | st.sampled_from([0, 2**63 - 1, 2**63, 10**20 - 1])
LEVELS = st.lists(st.tuples(PRICES, QUANTITIES), max_size=12)


def levels(pairs: list[Pair] | dict[int, int]) -> tuple[Level, ...]:
    found = pairs.items() if isinstance(pairs, dict) else pairs
    return tuple(Level(price=price, quantity=quantity) for price, quantity in found)


def update(kind: str, bids: list[Pair] = [], asks: list[Pair] = [], **ids: int) -> BookUpdate:  # noqa: B006 - only read
    at = ids.pop("at", 0)
    return BookUpdate(
        venue="v", symbol="s", kind=BookUpdateKind(kind), bids=levels(bids), asks=levels(asks), received_at=at, **ids
    )


def shown(book: Book) -> tuple[list[Pair], list[Pair]]:
    return list(book.bids), list(book.asks)


# ---- a side


@settings(deadline=None)
@given(st.booleans(), st.lists(st.tuples(st.booleans(), LEVELS), max_size=12))
def test_a_ladder_equals_a_dictionary(bids: bool, steps: list[tuple[bool, list[Pair]]]) -> None:
    ladder, twin = Ladder(bids), dict[int, int]()
    for replace, pairs in steps:
        if replace:
            ladder.replace(levels(pairs))
            twin = dict(pairs)
        else:
            ladder.apply(levels(pairs))
            twin.update(pairs)
        twin = {price: quantity for price, quantity in twin.items() if quantity}
        expected = sorted(twin.items(), reverse=bids)
        assert list(ladder) == expected
        assert ladder.best() == (expected[0] if expected else None)
        assert len(ladder) == len(expected)


@pytest.mark.parametrize("bad", [(0, 1), (-1, 1), (1, -1)])
def test_a_ladder_refuses_levels_that_cannot_be(bad: Pair) -> None:
    with pytest.raises(BadLevel):
        Ladder(bids=True).apply(levels([bad]))
    with pytest.raises(BadLevel):
        Ladder(bids=True).replace(levels([bad]))


@settings(deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(LEVELS, st.lists(st.tuples(st.integers(1, 40), PRICES), max_size=3)), min_size=1, max_size=8),
)
def test_depth_is_what_walking_the_side_gives_after_every_change(
    asks: bool, steps: list[tuple[list[Pair], list[Pair]]]
) -> None:
    book = Book()
    book.apply(update("SNAPSHOT"))
    for pairs, questions in steps:
        book.apply(update("DIFF", [] if asks else pairs, pairs if asks else []))
        side = list(book.asks if asks else book.bids)
        for quantity, limit in questions:
            depth = book.depth(asks)
            depth.cover(quantity, limit, asks)
            within = [(p, q) for p, q in side if (p <= limit if asks else p >= limit)]
            assert depth.prices == [p for p, _ in side[: len(depth.prices)]]
            assert depth.reach == list(accumulate(q for _, q in side[: len(depth.prices)]))
            reachable = min(quantity, sum(q for _, q in within))
            assert depth.reach[-1] >= reachable if reachable else True
            for n, reach in enumerate(depth.reach):
                walked = sum(p * q for p, q in side[:n]) + side[n][0] * (reach - (depth.reach[n - 1] if n else 0))
                assert depth.at(n, reach) == (side[n][0], walked)


# ---- sequence


@dataclass
class Venue:
    """A venue whose book changes by numbered steps, and remembers how it looked after each."""

    chained: bool  # names the previous update's last id, as derivatives venues do, whose ids skip numbers
    last: int = 0
    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    history: dict[int, tuple[list[Pair], list[Pair]]] = field(default_factory=dict)

    def look(self) -> tuple[list[Pair], list[Pair]]:
        bids, asks = self.sides
        return sorted(bids.items(), reverse=True), sorted(asks.items())

    def change(self, bids: list[Pair], asks: list[Pair], ids: int) -> BookUpdate:
        first, previous = self.last + 1, self.last
        self.last += ids
        for side, pairs in zip(self.sides, (bids, asks), strict=True):
            side.update(pairs)
            for price in [p for p, q in side.items() if not q]:
                del side[price]
        self.history[self.last] = self.look()
        if self.chained:
            return update("DIFF", bids, asks, last_id=self.last, previous_id=previous)
        return update("DIFF", bids, asks, first_id=first, last_id=self.last)

    def snapshot(self) -> BookUpdate:
        self.history[self.last] = bids, asks = self.look()
        return update("SNAPSHOT", bids, asks, last_id=self.last)


FAULTS = st.sampled_from(["", "", "", "", "drop", "double", "swap", "stale"])


@settings(deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.sampled_from("ddddds"), LEVELS, LEVELS, st.integers(1, 3), FAULTS), min_size=1, max_size=25),
)
def test_a_live_book_is_the_venues_book_whatever_the_feed_does(
    chained: bool, steps: list[tuple[str, list[Pair], list[Pair], int, str]]
) -> None:
    venue, sent = Venue(chained), list[BookUpdate]()
    for kind, bids, asks, ids, fault in steps:
        made = venue.change(bids, asks, ids) if kind == "d" else venue.snapshot()
        if fault == "swap" and sent:
            sent.insert(-1, made)
        elif fault != "drop":
            sent.append(made)
        if fault == "double":
            sent.append(made)
        if fault == "stale":
            sent.append(update("STALE"))
    book = Book()
    for record in sent:
        before = shown(book), book.last_id
        applied = book.apply(record)
        if book.live:
            assert book.last_id is not None
            assert shown(book) == venue.history[book.last_id]
        else:
            assert shown(book) == ([], [])
            assert (book.bid, book.ask) == (None, None)
        if applied in (Applied.SEEN, Applied.WAITING):
            assert (shown(book), book.last_id) == before
        if record.kind is BookUpdateKind.STALE:
            assert not book.live


@settings(deadline=None)
@given(st.booleans(), st.lists(st.tuples(LEVELS, LEVELS, st.integers(1, 3)), min_size=2, max_size=12), st.data())
def test_a_lost_update_is_found_at_the_next_one(
    chained: bool, steps: list[tuple[list[Pair], list[Pair], int]], data: st.DataObject
) -> None:
    venue, book = Venue(chained), Book()
    book.apply(venue.snapshot())
    lost = data.draw(st.integers(0, len(steps) - 2))
    for n, (bids, asks, ids) in enumerate(steps):
        record = venue.change(bids, asks, ids)
        if n != lost:
            applied = book.apply(record)
            expected = Applied.CHANGED if n < lost else Applied.GAP if n == lost + 1 else Applied.WAITING
            assert applied is expected
    book.apply(venue.snapshot())
    assert book.live and shown(book) == venue.look()


def test_all_of_a_feed_shown_again_from_its_start_changes_nothing() -> None:
    venue = Venue(chained=False)
    sent = [venue.snapshot(), *(venue.change([(n, 1)], [(n + 50, 1)], 1) for n in range(1, 9))]
    book = Book()
    for record in sent:
        assert book.apply(record) is Applied.CHANGED
    for record in sent:
        assert book.apply(record) is Applied.SEEN
    assert shown(book) == venue.look()


def test_a_diff_may_begin_before_its_snapshot_and_end_after_it() -> None:
    book = Book()
    book.apply(update("SNAPSHOT", [(10, 1)], [(20, 1)], last_id=105))
    assert book.apply(update("DIFF", [(10, 2)], first_id=100, last_id=105)) is Applied.SEEN
    assert book.apply(update("DIFF", [(10, 3)], first_id=101, last_id=110)) is Applied.CHANGED
    assert book.apply(update("DIFF", [(10, 4)], first_id=111, last_id=111, previous_id=110)) is Applied.CHANGED
    assert book.apply(update("DIFF", [(10, 5)], first_id=115, last_id=116, previous_id=114)) is Applied.GAP


def test_a_venue_that_counts_from_the_start_again_is_followed() -> None:
    book = Book()
    book.apply(update("SNAPSHOT", [(10, 1)], last_id=1000, at=1))
    assert book.apply(update("SNAPSHOT", [(11, 1)], last_id=5, at=2)) is Applied.CHANGED
    assert book.apply(update("DIFF", [(11, 2)], first_id=6, last_id=6, at=3)) is Applied.CHANGED


def test_updates_without_ids_are_taken_in_their_order() -> None:
    book = Book()
    book.apply(update("SNAPSHOT", [(10, 1)]))
    assert book.apply(update("DIFF", [(10, 2)])) is Applied.CHANGED
    assert list(book.bids) == [(10, 2)]


def test_an_impossible_level_makes_the_book_stale() -> None:
    book = Book()
    book.apply(update("SNAPSHOT", [(10, 1)], last_id=1))
    assert book.apply(update("DIFF", [(10, 2), (9, -1)], first_id=2, last_id=2)) is Applied.INVALID
    assert not book.live and shown(book) == ([], [])


@pytest.mark.parametrize(("bid", "ask", "crossed"), [(10, 11, False), (10, 10, True), (11, 10, True)])
def test_crossed_and_locked_books_are_not_usable(bid: int, ask: int, crossed: bool) -> None:
    book = Book()
    book.apply(update("SNAPSHOT", [(bid, 1)], [(ask, 1)], at=1000))
    assert book.crossed is crossed
    assert book.usable(1000, 10) is not crossed
    assert book.usable(1010, 10) is not crossed
    assert not book.usable(1011, 10), "too old"


# ---- several venues


VENUES = st.dictionaries(st.sampled_from("abc"), st.tuples(LEVELS, LEVELS, st.integers(0, 20)), max_size=3)


@settings(deadline=None)
@given(VENUES)
def test_the_quote_is_the_best_of_all_usable_books(venues: dict[str, tuple[list[Pair], list[Pair], int]]) -> None:
    books = SymbolBooks("s")
    offers: list[tuple[list[tuple[int, int, str]], list[tuple[int, int, str]]]] = []
    for name, (bids, asks, at) in venues.items():
        record = BookUpdate(
            venue=name,
            symbol="s",
            kind=BookUpdateKind.SNAPSHOT,
            bids=levels(bids),
            asks=levels(asks),
            received_at=at,
        )
        books.apply(record)
        buys = [(p, q, name) for p, q in dict(bids).items() if q]
        sells = [(p, q, name) for p, q in dict(asks).items() if q]
        crossed = buys and sells and max(buys)[0] >= min(sells)[0]
        if at >= 10 and not crossed:
            offers.append((buys, sells))
    quote = books.quote(20, 10)
    assert quote.venues == len(offers)
    bids_ = [bid for buys, _ in offers for bid in buys]
    asks_ = [ask for _, sells in offers for ask in sells]
    best_bid = min(bids_, key=lambda b: (-b[0], -b[1], b[2]), default=(None, None, None))
    best_ask = min(asks_, key=lambda a: (a[0], -a[1], a[2]), default=(None, None, None))
    assert (quote.bid, quote.bid_quantity, quote.bid_venue) == best_bid
    assert (quote.ask, quote.ask_quantity, quote.ask_venue) == best_ask


def test_what_plans_took_is_gone_until_the_venue_speaks_or_time_passes() -> None:
    venue = VenueBook()
    venue.apply(update("SNAPSHOT", [(9, 5)], [(10, 5), (11, 5)], last_id=1))
    taken = venue.taken(Side.BUY)
    taken.add("one", [(10, 5), (11, 1)], until=100)
    taken.add("two", [(11, 2)], until=200)
    assert venue.taken(Side.SELL).by_price("x", 0) == {}
    assert taken.by_price("x", 50) == {10: 5, 11: 3}
    assert taken.by_price("one", 50) == {11: 2}, "an attempt does not stand in its own way"
    venue.apply(update("DIFF", [], [(10, 0)], first_id=2, last_id=2))
    assert taken.by_price("x", 99) == {11: 3}
    assert taken.by_price("x", 100) == {11: 2}
    venue.apply(update("SNAPSHOT", [(9, 5)], [(11, 5)], last_id=1))
    assert venue.taken(Side.BUY).by_price("x", 100) == {11: 2}, "an old snapshot says nothing new"
    venue.apply(update("SNAPSHOT", [(9, 5)], [(11, 5)], last_id=3))
    assert venue.taken(Side.BUY).by_price("x", 100) == {}


# ---- real recordings


def recorded(path: Path) -> Iterator[BookUpdate]:
    """A file's book changes in the order in which a feed publishes them: changes before the first snapshot follow it."""
    waiting: dict[tuple[str, str], list[BookUpdate]] = {}
    live = set()
    for seen in recordings.read(path):
        if seen.kind == "trade":
            continue
        place = seen.venue, seen.symbol
        made = BookUpdate(
            venue=seen.venue,
            symbol=seen.symbol,
            kind=BookUpdateKind(seen.kind.upper()),
            first_id=seen.first_id,
            last_id=seen.last_id,
            previous_id=seen.previous_id,
            bids=levels(list(seen.bids)),
            asks=levels(list(seen.asks)),
            received_at=seen.at_us,
        )
        if place in live or seen.kind == "snapshot":
            live.add(place)
            yield made
            yield from waiting.pop(place, [])
        else:
            waiting.setdefault(place, []).append(made)


@pytest.mark.parametrize(
    "name",
    [
        "binance-spot-btcusdt-20240808.gz",
        "binance-usdm-btcusdt-20240808.gz",
        "bitmex-deribit-20190401.jsonl.gz",
    ],
)
def test_real_books_are_followed_without_a_gap_and_equal_a_dictionary(name: str) -> None:
    path = DATA / "recordings" / name
    if not path.exists():
        pytest.skip(f"{path} is absent: see BESTEX_DATA")
    books: dict[tuple[str, str], Book] = {}
    twins: dict[tuple[str, str], tuple[dict[int, int], dict[int, int]]] = {}
    changed = 0
    for record in recorded(path):
        place = record.venue, record.symbol
        book = books.setdefault(place, Book())
        applied = book.apply(record)
        assert applied in (Applied.CHANGED, Applied.SEEN)
        if applied is Applied.SEEN:
            continue
        changed += 1
        if record.kind is BookUpdateKind.SNAPSHOT:
            twins[place] = ({}, {})
        for side, pairs in zip(twins[place], (record.bids, record.asks), strict=True):
            side.update((level.price, level.quantity) for level in pairs)
        if changed % 97 == 0:
            _equal(book, twins[place])
    assert changed > 1000
    for place, book in books.items():
        _equal(book, twins[place])


def _equal(book: Book, twin: tuple[dict[int, int], dict[int, int]]) -> None:
    bids, asks = ({price: quantity for price, quantity in side.items() if quantity} for side in twin)
    assert list(book.bids) == sorted(bids.items(), reverse=True)
    assert list(book.asks) == sorted(asks.items())
