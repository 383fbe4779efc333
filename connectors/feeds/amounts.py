"""Decimal text of market data to exact ints of 1e-8: no float ever carries a price or a quantity.

Unlike an order's amounts (`connectors.venues.units`, which refuse), what a market shows is only looked at: an amount finer than 1e-8
is floored to 1e-8, so that a book never shows more than is there.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Context, Decimal, InvalidOperation
from functools import lru_cache

from schemas.codec import MAX_MONEY

SCALE = 100_000_000
_TENS = tuple(10**n for n in range(9))
_EXACT = Context(prec=80, rounding=ROUND_FLOOR, traps=[InvalidOperation])


def floor_units(text: str) -> int:
    """`floor_units("61737.63000000") == 6_173_763_000_000`. Raises `ValueError` for what is no amount of zero or more."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if digits.isdecimal() and digits.isascii():  # plain, as venues print: a fifth of a Decimal's time
        finer = len(fraction) - 8
        value = int(digits) * _TENS[-finer] if finer <= 0 else int(digits[:-finer])
    else:
        try:
            return floor_decimal(Decimal(text))
        except InvalidOperation as error:
            raise ValueError(f"{text!r} is not an amount") from error
    if value >= MAX_MONEY:
        raise ValueError(f"{text!r} is out of range")
    return value


# Prices of a book come again and again.
cached_units = lru_cache(maxsize=1 << 15)(floor_units)


def floor_decimal(value: Decimal) -> int:
    """The same of a Decimal. Raises `ValueError` for a negative, an infinite and a too great one."""
    if not value.is_finite() or value < 0 or value.adjusted() > 12:
        raise ValueError(f"{value} is not an amount")
    units = int(value.scaleb(8, _EXACT).to_integral_value(ROUND_FLOOR, _EXACT))
    if units >= MAX_MONEY:
        raise ValueError(f"{value} is out of range")
    return units
