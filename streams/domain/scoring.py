"""The venue score of the product's specification: price 0.4, latency 0.2, reliability 0.3, liquidity 0.1.

It ranks venues where one must be chosen and is reported with every decision. Each component lies between 0 and 1 (units of 1e-8) and never
falls when its subject gets better:

* price: 1 at the best all-in price among the eligible venues, a half at `price_half` (a rate) away from it, and on towards 0;
* latency: 1 at none, a half at `latency_half_us`, and on towards 0;
* reliability: the smoothed success rate;
* liquidity: the part of the order that the venue could take alone within the order's limit.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.domain.money import SCALE


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """Weights in 1e-8, which must add up to 1; where price (a rate in 1e-8) and latency count a half."""

    price: int = 40_000_000
    latency: int = 20_000_000
    reliability: int = 30_000_000
    liquidity: int = 10_000_000
    price_half: int = 100_000  # 10 basis points
    latency_half_us: int = 100_000

    def __post_init__(self) -> None:
        weights = (self.price, self.latency, self.reliability, self.liquidity)
        if sum(weights) != SCALE or min(weights) < 0:
            raise ValueError(f"the weights {weights} are not parts of {SCALE}")
        if self.price_half <= 0 or self.latency_half_us <= 0:
            raise ValueError("price_half and latency_half_us must be positive")


def price_score(price: int, best: int, half: int) -> int:
    """`half / (half + distance)` in 1e-8, the distance from `best` as a rate. Any one unit for both prices, `best` positive."""
    near = best * half
    return near * SCALE // (near + abs(price - best) * SCALE)


def latency_score(latency_us: int, half_us: int) -> int:
    """`half / (half + latency)` in 1e-8."""
    return half_us * SCALE // (half_us + max(latency_us, 0))


def reliability_score(success_rate: int) -> int:
    """The success rate, held between 0 and 1."""
    return min(max(success_rate, 0), SCALE)


def liquidity_score(available: int, wanted: int) -> int:
    """1e-8 of the part of `wanted` (positive) that is available, at most 1."""
    return SCALE if available >= wanted else available * SCALE // wanted


def total(price: int, latency: int, reliability: int, liquidity: int, settings: ScoreSettings) -> int:
    """The weighted sum of components, rounded down."""
    return (
        price * settings.price
        + latency * settings.latency
        + reliability * settings.reliability
        + liquidity * settings.liquidity
    ) // SCALE
