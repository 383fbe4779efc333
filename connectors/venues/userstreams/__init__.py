"""Private streams that are read without ccxt, by ccxt's id of the exchange. A new one is a file here and a row."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.venues.userstreams.coinbase import CoinbaseUser
from connectors.venues.userstreams.kraken import KrakenUser
from connectors.venues.userstreams.okx import OkxUser
from connectors.venues.userstreams.runner import UserStream

USER_STREAMS: Mapping[str, type[UserStream]] = {"coinbase": CoinbaseUser, "kraken": KrakenUser, "okx": OkxUser}
