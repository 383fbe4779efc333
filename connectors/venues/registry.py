"""The adapters, by the id that a venue's configuration names. A new exchange is one file and one row."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from connectors.venues.adapter import VenueAdapter, VenueConfig
from connectors.venues.binance import BinanceAdapter

ADAPTERS: Mapping[str, type[VenueAdapter]] = {
    "binance": BinanceAdapter,
}


def adapter(config: VenueConfig, http: httpx.AsyncClient) -> VenueAdapter:
    """The adapter of a venue. Raises `ValueError` when no adapter speaks its protocol."""
    if config.exchange not in ADAPTERS:
        raise ValueError(f"venue {config.name}: no adapter for {config.exchange!r}; there are {', '.join(ADAPTERS)}")
    return ADAPTERS[config.exchange](config, http)
