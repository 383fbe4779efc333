"""The adapters, by the id that a venue's configuration names. A new exchange is one file in `exchanges` and one row there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import httpx

from connectors.venues.adapter import VenueAdapter, VenueConfig
from connectors.venues.binance import BinanceAdapter
from connectors.venues.exchanges import DIALECTS
from connectors.venues.generic import DialectAdapter
from connectors.venues.limits import Limiter

ADAPTERS: Mapping[str, Callable[[VenueConfig, httpx.AsyncClient], VenueAdapter]] = {
    **{name: partial(DialectAdapter, dialect=dialect) for name, dialect in DIALECTS.items()},
    "binance": BinanceAdapter,  # with the answer's own fills, and a stream that loses nothing
}


def adapter(config: VenueConfig, http: httpx.AsyncClient) -> VenueAdapter:
    """The adapter of a venue. Raises `ValueError` when no adapter speaks its protocol."""
    if config.exchange not in ADAPTERS:
        raise ValueError(f"venue {config.name}: no adapter for {config.exchange!r}; there are {', '.join(ADAPTERS)}")
    made = ADAPTERS[config.exchange](config, http)
    if config.limits:
        # Exchanges count by address and by account; who has several accounts at one still has one address.
        made.limiter = Limiter.at(config.limits, config.name, DIALECTS[config.exchange].pools)
    return made
