"""The exchanges whose market data our own fast path can follow, by ccxt's id. A new exchange is one file and one row.

What is not here is followed through ccxt (`connectors.feeds.general`).
"""

from __future__ import annotations

from collections.abc import Mapping

from connectors.feeds.binance import Binance
from connectors.feeds.lines.bitfinex import BitfinexLine
from connectors.feeds.lines.bybit import BybitLine
from connectors.feeds.lines.coinbase import CoinbaseLine
from connectors.feeds.lines.kraken import KrakenLine
from connectors.feeds.lines.okx import OkxLine
from connectors.feeds.market import Exchange

EXCHANGES: Mapping[str, Exchange] = {
    "binance": Binance(),
    "bitfinex": BitfinexLine(),
    "bybit": BybitLine(),
    "coinbase": CoinbaseLine(),
    "kraken": KrakenLine(),
    "okx": OkxLine(),
}


def exchange(name: str) -> Exchange:
    """The exchange's protocol. Raises `ValueError` when none is known by that name."""
    if name not in EXCHANGES:
        raise ValueError(f"no feed for {name!r}; there are {', '.join(EXCHANGES)}")
    return EXCHANGES[name]
