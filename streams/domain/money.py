"""Amounts: exact ints in units of 1e-8, and which way each product of them is rounded.

Rules:

* what a fill is worth is truncated, as venues do; what is reserved is rounded up, so that the fills of a reservation never cost more
  than it, however they are cut;
* a rate (a fee, a collar) is an int of 1e-8 too: 0.001 is 100_000.
"""

from __future__ import annotations

from functools import lru_cache

SCALE = 100_000_000
MAX = 10**20  # decimal(20,8) on the wire holds less than this
_SQUARED = SCALE * SCALE


def notional(price: int, quantity: int) -> int:
    """What a fill of `quantity` at `price` is worth, in units of the quote asset, truncated."""
    return price * quantity // SCALE


def worst_cost(price: int, quantity: int, fee_rate: int) -> int:
    """The most that buying `quantity` at `price` or better can cost with fees, in units of the quote asset, rounded up."""
    return -(-price * quantity * (SCALE + fee_rate) // _SQUARED)


def up_to(price: int, step: int) -> int:
    """The smallest multiple of `step` that is not below `price`."""
    return -(-price // step) * step


def down_to(price: int, step: int) -> int:
    """The largest multiple of `step` that is not above `price`."""
    return price // step * step


def split(symbol: str) -> tuple[str, str] | None:
    """Base and quote asset of a unified symbol (`BTC/USDT`, `BTC/USDT:USDT`); `None` when it is not one."""
    base, slash, rest = symbol.partition("/")
    quote = rest.partition(":")[0]
    return (base, quote) if base and slash and quote else None


assets_of = lru_cache(maxsize=4096)(split)  # asked several times for each order, of symbols that are listed
