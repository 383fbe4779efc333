"""The one fee that a trade is booked with, of all that an exchange says that it charged.

A fill has one fee in one asset: what is taken from the account that traded. Rules:

* parts in one asset are added up; nothing is converted;
* of parts in several assets one is told: of those in the pair's own assets the one that is worth more at the trade's price, and one in a
  third asset (an exchange's own coin or points) only where the pair's are zero. Such a fee is `estimated`: it is not all that was charged;
* an amount without an asset is taken for quote, and is `estimated`;
* where nothing at all is told the fee is the rate of who made or took liquidity, on the trade's worth in quote, and `estimated`.

So a fee is never zero because it was not told. What is left out or guessed shows in the venue's balances, not in the account's.
Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from connectors.venues.units import SCALE
from schemas.records import Instrument, Liquidity


@dataclass(frozen=True, slots=True)
class Fee:
    """Negative where the exchange pays; `cost` in 1e-8."""

    cost: int
    asset: str
    estimated: bool = False


def told(parts: Iterable[tuple[str | None, int]], base: str, quote: str, price: int) -> Fee | None:
    """The fee of a trade at `price` from its parts (asset, amount in 1e-8); None where nothing is told."""
    sums: dict[str, int] = {}
    named = True
    for asset, cost in parts:
        named &= bool(asset) or not cost
        sums[asset or quote] = sums.get(asset or quote, 0) + cost
    if not sums:
        return None
    charged = {asset: cost for asset, cost in sums.items() if cost}
    worth = {asset: abs(cost) * (price if asset == base else SCALE) for asset, cost in charged.items()}
    own = [asset for asset in charged if asset in (base, quote)]
    asset = max(own or charged or sums, key=lambda one: worth.get(one, 0))
    return Fee(sums[asset], asset, len(charged) > 1 or not named)


def at_rate(instrument: Instrument, price: int, quantity: int, liquidity: Liquidity) -> Fee:
    """The fee by the instrument's rates, a taker's where it is not told who took; rounded up, as exchanges do."""
    rate = instrument.maker_fee if liquidity is Liquidity.MAKER else instrument.taker_fee
    return Fee(-(-price * quantity * rate // SCALE**2), instrument.quote, estimated=True)
