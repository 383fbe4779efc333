"""Whether exchanges can be reached at all, asked before anything is started for them: the difference between a quiet venue and no network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from connectors.feeds.registry import EXCHANGES

PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}


def address(venue: Mapping[str, Any]) -> str:
    """Where a venue of the feed's configuration streams from. Raises `ValueError` for an exchange that is not known."""
    if venue.get("ws_url"):
        return str(venue["ws_url"])
    if venue["exchange"] in EXCHANGES and venue.get("path", "fast") == "fast":
        return EXCHANGES[venue["exchange"]].ws_url
    from connectors.venues.exchanges import DIALECTS
    from connectors.venues.signing import class_of

    if venue["exchange"] not in DIALECTS:
        raise ValueError(f"no feed for {venue['exchange']!r}; there are {', '.join(DIALECTS)}")
    exchange = class_of(DIALECTS[venue["exchange"]], pro=True)()
    return str(exchange.implode_hostname(_first(exchange.urls["api"]["ws"])))


def _first(urls: Any) -> str:
    """Of ccxt's tree of addresses; spot and public before others."""
    while isinstance(urls, Mapping):
        urls = next((urls[name] for name in ("spot", "public", "api") if name in urls), None) or next(
            iter(urls.values())
        )
    return str(urls)


async def unreachable(venues: Iterable[Mapping[str, Any]], seconds: float = 5.0) -> dict[str, str]:
    """Venue -> why no connection to its stream's address can be made; those that can be reached are left out."""
    rows = list(venues)
    said = await asyncio.gather(*(_try(address(venue), seconds) for venue in rows))
    return {venue["name"]: why for venue, why in zip(rows, said, strict=True) if why is not None}


async def _try(url: str, seconds: float) -> str | None:
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or PORTS[parts.scheme])
    except (OSError, TimeoutError) as error:
        return f"{parts.hostname}: {str(error) or type(error).__name__}"
    writer.close()
    return None
