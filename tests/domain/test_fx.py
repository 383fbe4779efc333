"""Rates from quotes: direct, inverse, crossed; exact; as old as their oldest quote; none where nobody says."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Quote
from streams.domain.fx import Rate, assets, rate, valued

S = 10**8


def quote(symbol: str, bid: int | None, ask: int | None, at: int) -> Quote:
    return Quote(symbol=symbol, bid=bid, ask=ask, venues=1, at=at)


def quotes(*rows: Quote) -> dict[str, Quote]:
    return {q.symbol: q for q in rows}


def test_direct_inverse_and_itself() -> None:
    known = quotes(quote("BTC/USDT", 59_990 * S, 60_010 * S, 7))
    assert rate(known.get, "BTC", "USDT") == Rate(60_000 * S, S, ("BTC/USDT",), 7)
    back = rate(known.get, "USDT", "BTC")
    assert back is not None and back.of(60_000 * S) == S and back.of(-60_000 * S) == -S and back.at == 7
    assert rate(known.get, "XYZ", "XYZ") == Rate(1, 1)
    assert rate(known.get, "ETH", "USDT") is None


def test_one_side_is_a_price_and_no_side_is_none() -> None:
    known = quotes(quote("BTC/USDT", 59_990 * S, None, 1), quote("ETH/USDT", None, None, 1))
    found = rate(known.get, "BTC", "USDT")
    assert found is not None and found.of(S) == 59_990 * S
    assert rate(known.get, "ETH", "USDT") is None


def test_a_cross_is_as_old_as_its_older_quote_and_the_youngest_one_is_taken() -> None:
    known = quotes(
        quote("BTC/USDT", 60_000 * S, 60_000 * S, 50),
        quote("USDT/USD", S, S, 10),
        quote("BTC/EUR", 50_000 * S, 50_000 * S, 20),
        quote("EUR/USD", 2 * S, 2 * S, 30),
    )
    found = rate(known.get, "BTC", "USD", assets(known))
    assert found is not None and (found.of(S), found.at, found.symbols) == (100_000 * S, 20, ("BTC/EUR", "EUR/USD"))
    assert rate(known.get, "BTC", "USD") is None  # none was to be gone through
    # two are not gone through
    far = quotes(quote("AAA/BBB", S, S, 1), quote("BBB/CCC", S, S, 1), quote("CCC/USD", S, S, 1))
    assert rate(far.get, "AAA", "USD", assets(far)) is None


def test_what_has_no_rate_is_named_and_not_counted() -> None:
    known = quotes(quote("BTC/USDT", 60_000 * S, 60_000 * S, 1), quote("USDT/USD", S // 2, S // 2, 1))
    rows, total = valued({"BTC": 2 * S, "XYZ": S, "USD": 3 * S, "USDT": -S}, "USD", known)
    assert [(r.asset, r.value) for r in rows] == [("BTC", 60_000 * S), ("USD", 3 * S), ("USDT", -S // 2), ("XYZ", None)]
    assert total == 60_000 * S + 3 * S - S // 2


@given(st.integers(1, 10**16), st.integers(1, 10**16), st.integers(0, 10**18))
def test_rates_are_exact(one: int, two: int, amount: int) -> None:
    """Against fractions: an inverse leg loses nothing."""
    known = quotes(quote("A/X", one, one, 1), quote("C/X", two, two, 2))
    found = rate(known.get, "A", "C", ["X"])
    assert found is not None and found.of(amount) == int(Fraction(amount * one, two))
    back = rate(known.get, "C", "A", ["X"])
    assert back is not None
    assert Fraction(found.numerator, found.denominator) * Fraction(back.numerator, back.denominator) == 1
