"""Decimal strings of the dialect to exact ints of 1e-8 and back. Strict on the way in, always eight decimals on the way out."""

from __future__ import annotations

import re

SCALE = 100_000_000
_PLAIN = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,8})0*)?")


def parse(text: str) -> int:
    """The int of 1e-8 of a plain, unsigned decimal string. Raises `ValueError` for anything else, and for what is finer than 1e-8."""
    match = _PLAIN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a plain decimal of at most eight places")
    whole, fraction = match.groups()
    return int(whole) * SCALE + (int(fraction.ljust(8, "0")) if fraction else 0)


def fixed(value: int) -> str:
    """Eight decimals, as Binance prints: `fixed(150_000_000) == "1.50000000"`."""
    if value < 0:
        return f"-{fixed(-value)}"
    whole, rest = divmod(value, SCALE)
    return f"{whole}.{rest:08d}"


def notional(price: int, quantity: int) -> int:
    """What `quantity` at `price` costs, in 1e-8 of the quote asset, truncated to 1e-8.

    No parts of it can cost more than the whole: truncated terms sum up to at most the truncated sum.
    """
    return price * quantity // SCALE
