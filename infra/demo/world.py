"""The world a local pipeline trades in: simulated venues, and how the parts are told of them.

One description serves the simulator (which plays the venues), the feed (which listens to them) and the execution connector (which
trades there), so that the three cannot disagree. Keys to the venues are made here, anew each time, and only ever written to files
that their owner alone can read.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from infra.stack import process

HOST = "127.0.0.1"
FUNDS = "1000000000"
SCAN = 200_000  # messages of a recording looked at to find its venues and symbols

# Each has something for itself: the tightest book, the lowest fee, the shortest way.
TRAITS: tuple[dict[str, Any], ...] = (
    {"maker_fee": "0.0008", "taker_fee": "0.0010", "latency_ms": 5, "spread_bps": 2},
    {"maker_fee": "0.0005", "taker_fee": "0.0009", "latency_ms": 12, "spread_bps": 3},
    {"maker_fee": "0.0002", "taker_fee": "0.0008", "latency_ms": 20, "spread_bps": 4},
)
NAMES = ("alpha", "beta", "gamma")
MIDS = {"BTC/USDT": "60000", "ETH/USDT": "3000", "SOL/USDT": "150"}
TICKS = {"BTC/USDT": "0.01", "ETH/USDT": "0.01", "SOL/USDT": "0.001"}
LOTS = {"BTC/USDT": "0.00001", "ETH/USDT": "0.0001", "SOL/USDT": "0.001"}


@dataclass(frozen=True, slots=True, repr=False)
class World:
    """Venues on fixed ports. `venues` are the simulator's rows; `symbols` what is traded."""

    venues: tuple[Mapping[str, Any], ...]
    symbols: tuple[str, ...]
    seed: int
    speed: float
    keys: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    live: tuple[Mapping[str, Any], ...] = ()  # the feed's rows of real venues: then the simulated ones only fill

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(v["name"] for v in self.venues)

    def rest_urls(self) -> dict[str, str]:
        """Venue -> where its REST API (and ``/sim/audit``) answers."""
        return {v["name"]: f"http://{HOST}:{v['port']}" for v in self.venues}

    def simulator(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration of `connectors.simulator`. `base`: where Kafka and the registry are, for books that are published there."""
        venues = [dict(v) for v in self.venues]
        for venue in venues:
            if venue["books"]["kind"] == "published":
                venue["books"] = {**venue["books"], "kafka": base["kafka"], "registry": base["registry"]}
        return {"seed": self.seed, "speed": self.speed, "venues": venues}

    def feeds(self) -> list[dict[str, Any]]:
        """The venues as `connectors.feeds` takes them."""
        return [dict(v) for v in self.live] or self._served()

    def _served(self) -> list[dict[str, Any]]:
        return [
            {
                "name": v["name"],
                "exchange": "binance",
                "rest_url": f"http://{HOST}:{v['port']}",
                "ws_url": f"ws://{HOST}:{v['port']}",
                "symbols": [s["symbol"] for s in v["symbols"]],
            }
            for v in self.venues
        ]

    def execution(self) -> list[dict[str, Any]]:
        """The venues as `connectors.execution` takes them, keys included."""
        return [
            {
                **feed,
                "api_key": self.keys[feed["name"]][0],
                "secret": self.keys[feed["name"]][1],
                "maker_fee": rate(venue["maker_fee"]),
                "taker_fee": rate(venue["taker_fee"]),
            }
            for feed, venue in zip(self._served(), self.venues, strict=True)
        ]


def rate(text: str) -> int:
    """A decimal rate in units of 1e-8."""
    whole, _, part = text.partition(".")
    return int(whole) * 10**8 + int(part[:8].ljust(8, "0"))


def generated(seed: int, updates_per_s: int = 5) -> World:
    """Three venues whose books move around one mid each for three symbols."""
    books: list[Mapping[str, Any]] = [
        {
            "kind": "generated",
            "mid": MIDS,
            "spread_bps": TRAITS[0]["spread_bps"],
            "levels": 200,
            "updates_per_s": updates_per_s,
        }
    ]
    books += [_follow(NAMES[0], i, updates_per_s) for i in (1, 2)]
    return _world(list(zip(NAMES, books, strict=True)), tuple(MIDS), seed, 1.0)


def recorded(replays: Sequence[str], seed: int, speed: float, updates_per_s: int = 5) -> World:
    """Venues that replay recordings, and as many that follow the first of them as make three.

    A replay is ``FILE`` (each venue in it plays itself) or ``VENUE=FILE``. Raises `ValueError` for a recording without books, `OSError`.
    """
    played: dict[str, Mapping[str, Any]] = {}
    symbols: list[str] = []
    for replay in replays:
        name, _, file = replay.rpartition("=")
        path = Path(file).resolve()
        found = _venues(path, name or None)
        if not found:
            raise ValueError(f"{path} holds no venue's books")
        for venue, traded in found.items():
            played[venue] = {"kind": "recording", "file": str(path), "venue": venue}
            symbols += [s for s in traded if s not in symbols]
    first = next(iter(played))
    for i in range(len(played), 3):
        played[NAMES[i]] = _follow(first, i, updates_per_s)
    return _world(list(played.items()), tuple(symbols), seed, speed)


def followed(live: Sequence[Mapping[str, Any]], seed: int) -> World:
    """Real venues' books, as their public feeds tell them, with fills that are simulated. `live`: the feed's rows; each trades all symbols.

    Raises `ValueError` where the venues do not trade the same.
    """
    symbols = tuple(live[0]["symbols"]) if live else ()
    if not symbols or any(set(v["symbols"]) != set(symbols) for v in live):
        raise ValueError("live venues must each trade the same symbols, and some")
    world = _world([(v["name"], {"kind": "published"}) for v in live], symbols, seed, 1.0)
    return replace(world, live=tuple(live))


def _venues(path: Path, venue: str | None) -> dict[str, list[str]]:
    from connectors.recordings import read

    found: dict[str, list[str]] = {}
    for item in islice(read(path, venue), SCAN):
        if item.kind != "trade" and item.symbol not in found.setdefault(item.venue, []):
            found[item.venue].append(item.symbol)
    return found


def _follow(of: str, trait: int, updates_per_s: int) -> dict[str, Any]:
    spread = TRAITS[trait % len(TRAITS)]["spread_bps"]
    return {"kind": "follow", "of": of, "spread_bps": spread, "levels": 200, "updates_per_s": updates_per_s}


def _world(books: Sequence[tuple[str, Mapping[str, Any]]], symbols: tuple[str, ...], seed: int, speed: float) -> World:
    ports = process.free_ports([name for name, _ in books])
    keys = {name: (secrets.token_hex(16), secrets.token_hex(32)) for name, _ in books}
    assets = sorted({asset for symbol in symbols for asset in symbol.split("/")})
    venues = [
        {
            "name": name,
            "port": ports[name],
            **{k: TRAITS[i % len(TRAITS)][k] for k in ("maker_fee", "taker_fee", "latency_ms")},
            "symbols": [
                {
                    "symbol": symbol,
                    "tick": TICKS.get(symbol, "0.01"),
                    "lot": LOTS.get(symbol, "0.00001"),
                    "min_quantity": LOTS.get(symbol, "0.00001"),
                    "min_notional": "5",
                }
                for symbol in symbols
            ],
            "accounts": [{"api_key": keys[name][0], "secret": keys[name][1], "balances": dict.fromkeys(assets, FUNDS)}],
            "books": dict(book),
        }
        for i, (name, book) in enumerate(books)
    ]
    return World(tuple(venues), symbols, seed, speed, keys)
