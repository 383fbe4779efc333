"""`python -m connectors.feeds --config FILE.json`: venues' public streams into `market.books` and `market.trades`.

    {"kafka": {"bootstrap.servers": "…", any librdkafka property}, "registry": "http://…", "snapshot_seconds": 5,
     "venues": [{"name": "alpha", "exchange": "binance", "rest_url": "http://…", "ws_url": "ws://…", "symbols": ["BTC/USDT"]}],
     "settings": {"silence_seconds": 5, …},     (see `FeedSettings`; optional)
     "limits": "redis://…",                     (the Valkey in which the venues' budgets are shared; optional)
     "processes": 2}                            (the symbols are shared among so many; optional)

A venue without addresses is the exchange itself. An exchange that our own fast path does not speak, or a venue with `"path": "ccxt"`, is
followed through ccxt. `--shard 0/3` takes the first of three shares of the symbols: what `processes` does on one machine, by hand on several.

Ends 0 on SIGTERM, after STALE for every book; 1 when it cannot go on or Kafka did not take all. With `--json` the last line of standard
output is one object that counts what was done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from connectors.feeds.feed import FeedSettings, FeedVenue
from connectors.feeds.follow import Following, GeneralVenue, follow, share
from connectors.feeds.publisher import Publisher
from connectors.feeds.registry import EXCHANGES
from connectors.feeds.shards import Shard, supervise
from schemas.codec import Codec, RegistryUnavailable
from schemas.registry import ConfluentRegistry

log = logging.getLogger("connectors.feeds")
REGISTRY_SECONDS = PARENT_SECONDS = 1.0


def venue(given: Mapping[str, Any]) -> FeedVenue | GeneralVenue:
    """A venue of the configuration. Raises `ValueError`, `KeyError`."""
    name, symbols = given["name"], tuple(given["symbols"])
    if not symbols or len(set(symbols)) != len(symbols):
        raise ValueError(f"venue {name}: symbols must be some, and each once")
    path, asked = given.get("path", "fast"), given["exchange"]
    if path not in ("fast", "ccxt"):
        raise ValueError(f"venue {name}: path is fast or ccxt, not {path!r}")
    if path == "ccxt" or asked not in EXCHANGES:
        from connectors.venues.exchanges import DIALECTS

        if asked not in DIALECTS:
            raise ValueError(f"venue {name}: no feed for {asked!r}; there are {', '.join(DIALECTS)}")
        return GeneralVenue(name, asked, symbols, given.get("rest_url"), given.get("ws_url"))
    exchange = EXCHANGES[asked]
    for symbol in symbols:
        exchange.names(symbol)
    rest_url, ws_url = given.get("rest_url") or exchange.rest_url, given.get("ws_url") or exchange.ws_url
    return FeedVenue(name, exchange, rest_url, ws_url, symbols)


def read(path: Path, shard: Shard) -> tuple[dict[str, Any], list[FeedVenue | GeneralVenue], FeedSettings]:
    """The configuration, a shard's venues, and its settings. Raises `ValueError`, `TypeError`, `KeyError`, `OSError`."""
    config = json.loads(path.read_text())
    if len({v["name"] for v in config["venues"]}) != len(config["venues"]):
        raise ValueError("two venues have one name")
    for given in config["venues"]:
        venue(given)  # whole, so that each shard finds the same faults
    mine = [{**v, "symbols": share(v["symbols"], shard.index, shard.of)} for v in config["venues"]]
    settings = dict(config.get("settings", {}))
    if "snapshot_seconds" in config:
        settings["snapshot_seconds"] = config["snapshot_seconds"]
    return config, [venue(v) for v in mine if v["symbols"]], FeedSettings(**settings)


async def main(
    config: Mapping[str, Any], venues: list[FeedVenue | GeneralVenue], settings: FeedSettings, parent: int | None = None
) -> bool:
    """Run until a signal says to leave, or the parent is gone; True when all has reached Kafka."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    orphaned = None if parent is None else asyncio.create_task(_orphaned(parent, stop))
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
    try:
        return await _follow(config, venues, settings, registered, stop)
    finally:
        if orphaned is not None:
            orphaned.cancel()


async def _orphaned(parent: int, stop: asyncio.Event) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 - nothing tells of a parent's death but another parent
        await asyncio.sleep(PARENT_SECONDS)
    stop.set()


async def _follow(
    config: Mapping[str, Any],
    venues: list[FeedVenue | GeneralVenue],
    settings: FeedSettings,
    registered: Codec,
    stop: asyncio.Event,
) -> bool:
    return await follow(
        venues,
        lambda lost: Publisher(config["kafka"], registered, lost, settings.prefix),
        lambda: time.time_ns() // 1000,
        random.random,
        stop,
        settings,
        limits=config.get("limits"),
        told=STATS.append,
    )


STATS: list[Following] = []  # the feeds that were made, to be told of at the end


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Follows venues' public streams and publishes books and trades.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--shard", type=Shard.parse, default=None, metavar="I/N", help="which share of the symbols")
    parser.add_argument("--parent", type=int, default=None, metavar="PID", help="leave when this process is gone")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("httpx", "httpx2", "picows"):  # a line a request to the registry, a line a connection
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        given = parser.parse_args()
        config, venues, settings = read(given.config, given.shard or Shard(0, 1))
        processes = int(config.get("processes", 1))
        if processes > 1 and given.shard is None:
            said, stats = supervise(given.config, processes)
        else:
            said = uvloop.run(main(config, venues, settings, given.parent))
            stats = STATS[0].stats() if STATS else {}
    except Exception:
        log.exception("cannot go on")
        sys.exit(1)
    if not said:
        log.error("Kafka did not take all")
    if given.json:
        print(json.dumps(stats), flush=True)
    sys.exit(0 if said else 1)
