"""Positions: profit and cost add up to the money that changed hands, against a naive twin that pays with fractions, lot by lot."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Fill, Liquidity, Position, Side
from streams.domain.positions import average_price, traded

UNIT = 10**8
FILLS = st.lists(
    st.tuples(
        st.sampled_from(Side), st.integers(1, 50), st.integers(1, 10**6), st.sampled_from("ab"), st.integers(-9, 9)
    ),
    min_size=1,
    max_size=30,
)


def fold(rows: list[tuple[Side, int, int, str, int]]) -> Position:
    position = None
    for n, (side, quantity, price, venue, fee) in enumerate(rows):
        fill = Fill(
            fill_id=f"{venue}:X/Y:{n}",
            account_id="ann",
            order_id="o",
            client_order_id="o",
            child_id="c",
            venue=venue,
            symbol="X/Y",
            side=side,
            price=price * UNIT,
            quantity=quantity * UNIT,
            fee=fee,
            fee_asset="Z",
            liquidity=Liquidity.TAKER,
            venue_at=0,
            at=0,
        )
        position = traded(position, fill)
    assert position is not None
    return position


@given(FILLS)
def test_cost_less_profit_is_what_was_paid(rows: list[tuple[Side, int, int, str, int]]) -> None:
    def money(some: list[tuple[Side, int, int, str, int]]) -> tuple[int, int]:
        signed = [(q if s is Side.BUY else -q, p) for s, q, p, _, _ in some]
        return sum(q for q, _ in signed) * UNIT, sum(q * p for q, p in signed) * UNIT

    position = fold(rows)
    assert (position.quantity, position.cost - position.realised) == money(rows)
    for venue in position.venues:
        mine = [row for row in rows if row[3] == venue.venue]
        assert (venue.quantity, venue.cost - venue.realised) == money(mine)
    assert {f.asset: f.amount for f in position.fees} == ({"Z": total} if (total := sum(r[4] for r in rows)) else {})
    assert position.cost == 0 or (position.cost > 0) is (position.quantity > 0)


@given(FILLS)
def test_the_average_is_that_of_fractions(rows: list[tuple[Side, int, int, str, int]]) -> None:
    quantity, average, profit = 0, Fraction(0), Fraction(0)
    for side, size, price, _, _ in rows:
        for step in [1 if side is Side.BUY else -1] * size:  # unit by unit
            if quantity * step >= 0:
                average = (average * abs(quantity) + price) / (abs(quantity) + 1)
            else:
                profit += (price - average) * (1 if quantity > 0 else -1)
            quantity += step
    position = fold(rows)
    assert position.quantity == quantity * UNIT
    assert abs(position.realised - profit * UNIT) <= len(rows)  # each closing fill rounds by less than a unit
    said = average_price(position)
    assert (said is None) is (quantity == 0)
    if said is not None:
        assert abs(said - average * UNIT) <= len(rows)
