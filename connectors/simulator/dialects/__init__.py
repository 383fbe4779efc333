"""The dialects that a simulated venue may speak beside Binance's, REST and WebSocket, each over the same exchange."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.simulator.dialects.base import Foreign
from connectors.simulator.dialects.coinbase import Coinbase
from connectors.simulator.dialects.coinbase_stream import CoinbaseStreams
from connectors.simulator.dialects.kraken import Kraken
from connectors.simulator.dialects.kraken_stream import KrakenStreams
from connectors.simulator.dialects.okx import Okx
from connectors.simulator.dialects.okx_stream import OkxStreams
from connectors.simulator.dialects.streaming import ForeignStreams

__all__ = ["FOREIGN", "ForeignStreams"]

FOREIGN: Mapping[str, tuple[type[Foreign], type[ForeignStreams]]] = {
    "coinbase": (Coinbase, CoinbaseStreams),
    "kraken": (Kraken, KrakenStreams),
    "okx": (Okx, OkxStreams),
}
