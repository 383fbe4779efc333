"""What the fast path does its own way, against the naive way: a side of a book, and reading levels from their bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.feeds.binance import levels, sides
from connectors.feeds.compared import Compared
from connectors.feeds.ladder import Ladder
from schemas.records import BookUpdateKind

PRICES = st.integers(1, 60) | st.integers(1, 10**13)
LEVELS = st.lists(st.tuples(PRICES, st.sampled_from((0, 0, 1, 5, 10**12))), max_size=30)
CHANGES = st.lists(LEVELS | st.integers(0, 8), max_size=25)  # a number is a cut to so many levels


@given(st.booleans(), LEVELS, CHANGES)
def test_a_side_is_what_a_dictionary_makes_of_it(
    bids: bool, first: list[tuple[int, int]], changes: list[object]
) -> None:
    ladder, plain = Ladder(bids, first), {p: q for p, q in dict(first).items() if q}
    for change in [[], *changes]:
        if isinstance(change, int):
            ladder.cut(change)
            plain = dict(sorted(plain.items(), reverse=bids)[:change])
        else:
            assert isinstance(change, list)
            ladder.apply(change)
            plain.update(change)
            plain = {p: q for p, q in plain.items() if q}
        order = sorted(plain.items(), reverse=bids)
        assert ladder.top == (order[0] if order else None)
        assert list(ladder) == order
        assert ladder.best(3) == tuple(order[:3])


AMOUNTS = st.one_of(
    st.decimals(0, 10**7, places=8, allow_nan=False).map(lambda d: f"{d:.8f}"),
    st.decimals(0, 10**7, places=2, allow_nan=False).map(lambda d: f"{d:.2f}"),
    st.sampled_from(("0", "1e-7", "12.000000001", "0.00000000", "00.50000000", "123456789012.00000000")),
)
SIDE = st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=6)


@given(SIDE, SIDE)
@example([("61737.63000000", "0.00000000")], [])
@example([], [("0.00001234", "1.50000000")])
def test_levels_are_read_from_their_bytes_as_from_their_texts(
    bids: list[tuple[str, str]], asks: list[tuple[str, str]]
) -> None:
    said = [json.dumps([list(level) for level in side], separators=(",", ":")).encode() for side in (bids, asks)]
    assert sides(*said) == (levels(bids), levels(asks))


@pytest.mark.parametrize(
    "text",
    [
        '[["-1.00000000","1.00000000"]]',
        '[["1.00000000","1.5.00000000"]]',
        '[["1.00000000","x.00000000"]]',
        '[["9999999999999.00000000","1.00000000"]]',
        '[["1.00000000"]]',
        '[["1.00000000","1.00000000","1.00000000"]]',
        '[["1.00000000","1.00000000"],["1.00000000"]]',
        '["1.00000000","1.00000000"]',
    ],
)
def test_what_is_no_level_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        sides(text.encode(), b"[]")
    with pytest.raises(ValueError):
        sides(b"[]", text.encode())


BOOK = st.tuples(
    st.dictionaries(st.integers(1, 20), st.integers(1, 9), min_size=0, max_size=8),
    st.dictionaries(st.integers(18, 40), st.integers(1, 9), min_size=0, max_size=8),
)


@given(st.lists(BOOK | st.none(), max_size=30))
def test_states_that_are_shown_are_told_as_they_are(shown: list[tuple[dict[int, int], dict[int, int]] | None]) -> None:
    """None is a break. Whatever is shown, the reader has that book or none."""
    compared, at = Compared("here", "BTC/USD"), 0
    reader: tuple[dict[int, int], dict[int, int]] | None = None
    last_id: int | None = None
    for state in shown:
        at += 1
        if state is None:
            updates = compared.broken(at)
        else:
            bids = tuple(sorted(state[0].items(), reverse=True))
            updates = compared.show(bids, tuple(sorted(state[1].items())), at)
        for update in [*updates, *compared.again(at)]:
            if update.kind is BookUpdateKind.STALE:
                reader = last_id = None
                continue
            new = tuple({level.price: level.quantity for level in side} for side in (update.bids, update.asks))
            if update.kind is BookUpdateKind.SNAPSHOT:
                assert last_id in (None, update.last_id)
                reader = new[0], new[1]
            else:
                assert reader is not None and update.previous_id == last_id
                for mine, side in zip(reader, new, strict=True):
                    mine.update(side)
                    for price in [p for p, q in side.items() if not q]:
                        del mine[price]
            last_id = update.last_id
        whole = state is not None and state[0] and state[1] and max(state[0]) < min(state[1])
        assert reader == (state if whole else None)
        assert compared.live is (reader is not None)
