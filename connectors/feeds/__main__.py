"""`python -m connectors.feeds --config FILE.json`: venues' public streams into `market.books` and `market.trades`.

    {"kafka": {"bootstrap.servers": "…", any librdkafka property}, "registry": "http://…", "snapshot_seconds": 5,
     "venues": [{"name": "alpha", "exchange": "binance", "rest_url": "http://…", "ws_url": "ws://…", "symbols": ["BTC/USDT"]}],
     "settings": {"silence_seconds": 5, …}}     (see `FeedSettings`; optional)

Ends 0 on SIGTERM, after STALE for every book; 1 when it cannot go on or Kafka did not take all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from connectors.feeds.feed import FeedSettings, FeedVenue, follow
from connectors.feeds.publisher import Publisher
from connectors.feeds.registry import exchange
from schemas.codec import Codec, RegistryUnavailable
from schemas.registry import ConfluentRegistry

log = logging.getLogger("connectors.feeds")
REGISTRY_SECONDS = 1.0


def venue(given: Mapping[str, Any]) -> FeedVenue:
    """A venue of the configuration. Raises `ValueError`, `KeyError`."""
    symbols = tuple(given["symbols"])
    if not symbols or len(set(symbols)) != len(symbols):
        raise ValueError(f"venue {given['name']}: symbols must be some, and each once")
    return FeedVenue(given["name"], exchange(given["exchange"]), given["rest_url"], given["ws_url"], symbols)


def read(path: Path) -> tuple[dict[str, Any], list[FeedVenue], FeedSettings]:
    """The configuration, its venues and its settings. Raises `ValueError`, `TypeError`, `KeyError`, `OSError`."""
    config = json.loads(path.read_text())
    venues = [venue(v) for v in config["venues"]]
    if len({v.name for v in venues}) != len(venues):
        raise ValueError("two venues have one name")
    settings = dict(config.get("settings", {}))
    if "snapshot_seconds" in config:
        settings["snapshot_seconds"] = config["snapshot_seconds"]
    return config, venues, FeedSettings(**settings)


async def main(config: Mapping[str, Any], venues: list[FeedVenue], settings: FeedSettings) -> bool:
    """Run until a signal says to leave; True when all has reached Kafka."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    codec = None
    while codec is None and not stop.is_set():
        try:
            codec = await loop.run_in_executor(None, lambda: Codec(ConfluentRegistry(config["registry"])))
        except RegistryUnavailable as error:
            log.warning("the registry does not answer: %s", error)
            await asyncio.sleep(REGISTRY_SECONDS)
    if codec is None:
        return True
    registered = codec
    return await follow(
        venues,
        lambda lost: Publisher(config["kafka"], registered, lost, settings.prefix),
        lambda: time.time_ns() // 1000,
        random.random,
        stop,
        settings,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Follows venues' public streams and publishes books and trades.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE.json")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("httpx", "httpx2"):  # a line a request to the registry
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        said = uvloop.run(main(*read(parser.parse_args().config)))
    except Exception:
        log.exception("cannot go on")
        sys.exit(1)
    if not said:
        log.error("Kafka did not take all")
    sys.exit(0 if said else 1)
