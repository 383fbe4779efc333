"""The exchanges whose market data can be followed, by the id that a venue's configuration names. A new exchange is one file and one row."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.feeds.binance import Binance
from connectors.feeds.market import Exchange

EXCHANGES: Mapping[str, Exchange] = {
    "binance": Binance(),
}


def exchange(name: str) -> Exchange:
    """The exchange's protocol. Raises `ValueError` when none is known by that name."""
    if name not in EXCHANGES:
        raise ValueError(f"no feed for {name!r}; there are {', '.join(EXCHANGES)}")
    return EXCHANGES[name]
