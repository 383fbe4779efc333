"""What an amount of one asset is worth in another, by live quotes: the mid of a symbol of both, its inverse, or a cross through one third asset.

Rules:

* a rate is exact, a fraction of two ints, for the inverse of a price has no eight digits;
* the fewer symbols the better; of several crosses the one whose older quote is the youngest; of equals the first by name;
* a rate is as old as the oldest quote in it, and says so; who asks decides what is too old, by leaving such quotes out;
* where nothing says what an asset is worth there is no rate: nobody guesses, and no total counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from schemas.records import Quote
from streams.domain.money import SCALE, assets_of


class Rate(NamedTuple):
    """One unit is worth `numerator / denominator`; by the quotes of `symbols`, of which the oldest is of `at` (`None` without any)."""

    numerator: int
    denominator: int
    symbols: tuple[str, ...] = ()
    at: int | None = None

    def of(self, amount: int) -> int:
        """What an amount is worth, in units of 1e-8, towards zero."""
        value = abs(amount) * self.numerator // self.denominator
        return value if amount >= 0 else -value


Quotes = Callable[[str], Quote | None]


def rate(quotes: Quotes, asset: str, currency: str, through: Iterable[str] = ()) -> Rate | None:
    """What one `asset` is worth in `currency`, also by a cross through one of `through`; `None` where no quote says it."""
    if asset == currency:
        return Rate(1, 1)
    found = _leg(quotes, asset, currency)
    if found is not None:
        return found
    best: Rate | None = None
    for third in sorted({*through} - {asset, currency}):
        first, second = _leg(quotes, asset, third), _leg(quotes, third, currency)
        if first is None or second is None:
            continue
        at = min(first.at or 0, second.at or 0)
        if best is None or at > (best.at or 0):
            symbols = (*first.symbols, *second.symbols)
            best = Rate(first.numerator * second.numerator, first.denominator * second.denominator, symbols, at)
    return best


def assets(quotes: Mapping[str, Quote]) -> set[str]:
    """Every asset that something is quoted in, or that is quoted."""
    return {asset for symbol in quotes for asset in assets_of(symbol) or ()}


def middle(quote: Quote | None) -> int | None:
    """The mid of a quote; of one with one side only, that side; `None` without any."""
    sides = [side for side in (quote.bid, quote.ask) if side] if quote is not None else []
    return sum(sides) // len(sides) if sides else None


def _leg(quotes: Quotes, asset: str, currency: str) -> Rate | None:
    for symbol, inverse in ((f"{asset}/{currency}", False), (f"{currency}/{asset}", True)):
        quote = quotes(symbol)
        price = middle(quote)
        if quote is not None and price is not None:
            return Rate(SCALE, price, (symbol,), quote.at) if inverse else Rate(price, SCALE, (symbol,), quote.at)
    return None


class Valued(NamedTuple):
    """An asset's amount in the currency, and by which rate; both `None` where no quote says."""

    asset: str
    amount: int
    value: int | None
    rate: Rate | None


def valued(amounts: Mapping[str, int], currency: str, quotes: Mapping[str, Quote]) -> tuple[list[Valued], int]:
    """Every amount in the currency, by name of its asset, and the total of those that have a rate."""
    through, found = assets(quotes), []
    for asset, amount in sorted(amounts.items()):
        by = rate(quotes.get, asset, currency, through)
        found.append(Valued(asset, amount, None if by is None else by.of(amount), by))
    return found, sum(one.value for one in found if one.value is not None)
