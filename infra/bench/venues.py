"""`bestex bench venues`: what an order costs through ccxt and httpx, and market data through our fast path against ccxt.pro's own.

The recorded Binance stream (a made one of the same shape where none is at hand) is served over a local WebSocket by a process of its own, as
fast as it is read. Each contestant is one process on one core and does what its user would: ours is the feed, its books in full depth and the
best level at hand after every change, ccxt.pro's is `watch_order_book` in a loop. `fast` goes as far as ccxt.pro does, to the book;
`fast_diffs` makes the records of each change as well, `fast_avro` their bytes for Kafka. Rates are per second of the contestant's processor
time. Both books must be the same at every update at which both were looked at, ours at the end also as a plain dictionary makes it.
Contestants alternate; the best run of each counts.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from infra.bench.books import recording
from infra.bench.venues_peer import LAST, Recording, digest

Tell = Callable[[str], None]
SECONDS = 300.0
IN_FLIGHT = 8


def measure(quick: bool, runs: int, tell: Tell) -> tuple[dict[str, Any], dict[str, float]]:
    """Results and ratios. Raises `RuntimeError` when the books differ, or an order is not accepted."""
    runs = 1 if quick else runs
    results = orders(1_000 if quick else 10_000, runs, tell)
    found, ratios = streams(3 if quick else 10, runs, tell)
    return results | found, ratios


# ---- market data


def streams(rounds: int, runs: int, tell: Tell) -> tuple[dict[str, Any], dict[str, float]]:
    """Messages and level updates a second of processor time, ours and ccxt.pro's."""
    path = recording()
    best: dict[str, float] = {}
    with _role("serve", {"recording": str(path) if path else None, "rounds": rounds}) as place:
        messages, levels = place["messages"], place["levels"]
        tell(f"{messages:,} messages of {levels / messages:.1f} levels" + ("" if path else ", made: no recording here"))
        truth = _plain(path, rounds)
        for run in range(runs):
            theirs = _run("ccxt", place)
            seen = _run("fast", {**place, "looks": [int(at) for at in theirs["looks"]], "until": "book"})
            _equal(seen, theirs, truth)
            ours = _run("fast", {**place, "looks": [], "until": "book"})
            _equal(ours, None, truth)
            further = {name: _run("fast", {**place, "looks": [], "until": name}) for name in ("diffs", "avro")}
            for name, one in further.items():
                _equal(one, None, truth)
                if one["diffs"] != messages:
                    raise RuntimeError(f"{one['diffs']} of {messages} changes were told ({name})")
            for name, one in (("ccxt", theirs), ("fast", ours), *((f"fast_{n}", f) for n, f in further.items())):
                best[name] = min(best.get(name, one["cpu_s"]), one["cpu_s"])
            tell(
                f"run {run + 1}: "
                + ", ".join(f"{name} {seconds / messages * 1e6:.1f} µs a message" for name, seconds in best.items())
                + f"; equal at {len(seen['looks'])} updates"
            )
    results: dict[str, Any] = {}
    for name, seconds in best.items():
        results |= {
            f"{name}_level_updates_per_s": round(levels / seconds),
            f"{name}_messages_per_s": round(messages / seconds),
        }
    results |= {"messages": messages, "levels": levels, "recorded": path is not None, "compared": len(seen["looks"])}
    ratio = round(best["ccxt"] / best["fast"], 2)
    return results, {"ccxt_level_updates_per_s": ratio, "ccxt_messages_per_s": ratio}


def _plain(path: Path | None, rounds: int) -> list[list[list[int]]]:
    """The book at the end, made with nothing but dictionaries."""
    from connectors.feeds.amounts import floor_units

    served = Recording(path, rounds)
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for event in (served.snapshot, *served.events):
        said = json.loads(event)
        told = (said.get("b", said.get("bids")), said.get("a", said.get("asks")))
        for side, rows in zip(sides, told, strict=True):
            side.update((floor_units(price), floor_units(quantity)) for price, quantity in rows)
    return [
        sorted([[p, q] for p, q in side.items() if q], reverse=bids)
        for side, bids in zip(sides, (True, False), strict=True)
    ]


def _equal(ours: Mapping[str, Any], theirs: Mapping[str, Any] | None, truth: list[list[list[int]]]) -> None:
    if ours["stale"] or ours["end"] != digest(truth):
        raise RuntimeError("our book at the end is not what the stream makes")
    if theirs is None:
        return
    if not ours["looks"] or ours["looks"].keys() != theirs["looks"].keys():
        raise RuntimeError("the books were not looked at at the same updates")
    differing = [at for at, seen in ours["looks"].items() if seen != theirs["looks"][at]]
    if differing or theirs["end"] != digest([side[:LAST] for side in truth]):
        raise RuntimeError(f"the contestants' books differ at {differing[:3] or 'the end'}")


# ---- orders


def orders(count: int, runs: int, tell: Tell) -> dict[str, Any]:
    """Orders a second and processor time an order, through ccxt and httpx to a simulated venue, `IN_FLIGHT` at once from one process."""
    rows = []
    for run in range(runs):
        with _simulator() as place:
            found = _run("orders", {**place, "orders": count, "in_flight": IN_FLIGHT})
        if found["accepted"] != count:
            raise RuntimeError(f"{found['accepted']} of {count} orders were accepted: {found['others'][:3]}")
        rows.append((found["cpu_s"] / count * 1000, count / found["seconds"]))
        tell(f"run {run + 1}: {rows[-1][1]:,.0f} orders/s, {rows[-1][0]:.2f} ms of CPU an order")
    return {
        "orders_per_s": round(max(rate for _, rate in rows)),
        "cpu_ms_per_order": round(min(cpu for cpu, _ in rows), 3),
        "orders": count,
        "in_flight": IN_FLIGHT,
    }


@contextlib.contextmanager
def _simulator() -> Iterator[dict[str, Any]]:
    key, secret = "bench", "bench-secret"
    account = {"api_key": key, "secret": secret, "balances": {"USDT": "1000000000", "BTC": "1000000"}}
    venue = {
        "name": "alpha",
        "port": 0,
        "symbols": [
            {"symbol": "BTC/USDT", "tick": "0.01", "lot": "0.00001", "min_quantity": "0.00001", "min_notional": "5"}
        ],
        "accounts": [account],
        "books": {"kind": "generated", "mid": {"BTC/USDT": "60000"}, "updates_per_s": 5},
    }
    with TemporaryDirectory(prefix="bestex-bench-") as folder:
        config = Path(folder) / "simulator.json"
        config.write_text(json.dumps({"seed": 7, "venues": [venue]}))
        with _process([sys.executable, "-m", "connectors.simulator", "--config", str(config)]) as said:
            yield {**said["ready"]["alpha"], "api_key": key, "secret": secret}


# ---- processes


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[dict[str, Any]]:
    """A process that serves until it is killed, and the line that says where."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stderr is not None
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(f"{command[2]} did not start: {child.stderr.read()[-500:]}")
        yield json.loads(line)
    finally:
        child.kill()
        child.communicate()


def _role(role: str, given: Mapping[str, Any]) -> contextlib.AbstractContextManager[dict[str, Any]]:
    return _process([sys.executable, "-m", "infra.bench.venues_peer", role, json.dumps(given)])


def _run(role: str, given: Mapping[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "infra.bench.venues_peer", role, json.dumps(given)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if ended.returncode:
        raise RuntimeError(f"{role} ended with {ended.returncode}: {ended.stderr[-1000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found
