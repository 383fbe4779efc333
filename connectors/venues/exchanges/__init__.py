"""The twenty exchanges, one file each. A new one is a file here and a row."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.venues.dialect import Dialect
from connectors.venues.exchanges.binance import Binance
from connectors.venues.exchanges.bingx import Bingx
from connectors.venues.exchanges.bitfinex import Bitfinex
from connectors.venues.exchanges.bitget import Bitget
from connectors.venues.exchanges.bitstamp import Bitstamp
from connectors.venues.exchanges.bitvavo import Bitvavo
from connectors.venues.exchanges.bybit import Bybit
from connectors.venues.exchanges.coinbase import Coinbase
from connectors.venues.exchanges.cryptocom import Cryptocom
from connectors.venues.exchanges.gate import Gate
from connectors.venues.exchanges.gemini import Gemini
from connectors.venues.exchanges.htx import Htx
from connectors.venues.exchanges.kraken import Kraken
from connectors.venues.exchanges.kucoin import Kucoin
from connectors.venues.exchanges.lbank import Lbank
from connectors.venues.exchanges.mexc import Mexc
from connectors.venues.exchanges.okx import Okx
from connectors.venues.exchanges.poloniex import Poloniex
from connectors.venues.exchanges.upbit import Upbit
from connectors.venues.exchanges.whitebit import Whitebit

DIALECTS: Mapping[str, Dialect] = {
    dialect.exchange: dialect
    for dialect in (
        Binance(),
        Coinbase(),
        Kraken(),
        Bitfinex(),
        Okx(),
        Bybit(),
        Kucoin(),
        Gate(),
        Bitstamp(),
        Gemini(),
        Htx(),
        Mexc(),
        Bitget(),
        Cryptocom(),
        Bingx(),
        Whitebit(),
        Upbit(),
        Bitvavo(),
        Poloniex(),
        Lbank(),
    )
}
