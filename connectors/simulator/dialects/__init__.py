"""The dialects that a simulated venue may speak beside Binance's: REST alone, each over the same exchange."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.simulator.dialects.base import Foreign
from connectors.simulator.dialects.coinbase import Coinbase
from connectors.simulator.dialects.kraken import Kraken
from connectors.simulator.dialects.okx import Okx

FOREIGN: Mapping[str, type[Foreign]] = {"coinbase": Coinbase, "kraken": Kraken, "okx": Okx}
