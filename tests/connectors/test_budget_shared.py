"""Two execution processes and three feed processes at one venue that enforces its limits: together they never exceed them, and they use them.

The executions are two systems of their own (topics, accounts) that trade at one venue from one address, each with more orders than the venue takes;
the feeds want more whole books than it gives in a minute.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_execution_connector import Bench, K

from connectors.venues.exchanges import DIALECTS
from infra.settings import Addresses
from infra.topics import create_topic
from schemas.records import ExecutionReport, TimeInForce
from schemas.topics import BY_NAME

SCALE = 100_000_000
SYMBOLS = [f"{base}/USDT" for base in ("BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LTC", "BCH")]
POOLS = {pool.name: pool for pool in DIALECTS["binance"].pools}
# what market data may have of the weights in a minute, as books, less what orders and questions took of it
BOOKS = POOLS["weight"].capacity * 60 // 100 // POOLS["weight"].costs["book"] - 4
SECONDS, EACH = 14.0, 150  # for so long orders are placed, and how many by each system


class Firm(Bench):
    """One system's connector, with an account of its own at the venue."""

    def __init__(self, stack: Addresses, folder: Path, venue: dict[str, Any]) -> None:
        super().__init__(stack, None, folder)  # type: ignore[arg-type]  # no peer: the venue is a process
        self.venue, self._config = venue["name"], venue

    def venue_config(self) -> dict[str, Any]:
        return self._config

    def accepted(self) -> int:
        return sum(K.ACCEPTED in self.kinds(name) for name in self.quantities)

    def answered(self) -> list[ExecutionReport]:
        return [self.reports[name][-1] for name in self.quantities if self.reports[name]]


async def started(*arguments: str, log: Path) -> asyncio.subprocess.Process:
    with log.open("wb") as file:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", *arguments, stdout=asyncio.subprocess.PIPE, stderr=file
        )


async def budget(url: str) -> dict[str, Any]:
    """How the venue's limits were used, by its own count."""
    async with httpx.AsyncClient(trust_env=False) as http:
        found: dict[str, Any] = (await http.get(f"{url}/sim/audit")).json()["limits"]
    return found


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    name = f"one-{uuid.uuid4().hex[:8]}"
    funds = {"USDT": "100000000"}
    row = {
        "name": name,
        "symbols": [{"symbol": symbol} for symbol in SYMBOLS],
        "accounts": [{"api_key": f"k{n}", "secret": "s", "balances": funds} for n in range(2)],
        "books": {"kind": "generated", "mid": dict.fromkeys(SYMBOLS, "100"), "levels": 20, "updates_per_s": 2},
        "limits": {pool: [POOLS[pool].capacity, POOLS[pool].seconds] for pool in ("weight", "orders")},
    }
    (tmp_path / "venue.json").write_text(json.dumps({"venues": [row]}))
    process = await started(
        "connectors.simulator", "--config", str(tmp_path / "venue.json"), log=tmp_path / "venue.log"
    )
    assert process.stdout is not None
    ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 120))["ready"][name]
    yield {"name": name, "exchange": "binance", "rest_url": ready["rest_url"], "ws_url": ready["ws_url"]}
    process.kill()
    await process.wait()


@pytest.mark.timeout(300)
async def test_five_processes_use_one_venues_budget_and_never_exceed_it(
    stack: Addresses, venue: dict[str, Any], tmp_path: Path
) -> None:
    kafka = {"bootstrap.servers": stack.kafka}
    for topic in ("market.books", "market.trades"):
        create_topic(kafka, topic, 4, retention_ms=BY_NAME[topic].retention_ms)
    firms = []
    for n in range(2):
        (tmp_path / f"firm-{n}").mkdir()
        own = {"api_key": f"k{n}", "secret": "s", "limits": stack.valkey, "timeout": 1.0, "recv_window_ms": 2000}
        firms.append(Firm(stack, tmp_path / f"firm-{n}", venue | own))
    config = {"kafka": kafka, "registry": stack.registry, "limits": stack.valkey}
    (tmp_path / "feed.json").write_text(json.dumps({**config, "venues": [{**venue, "symbols": SYMBOLS}]}))
    feeds: list[asyncio.subprocess.Process] = []
    try:
        one, two = ({"claim_limit": 32, "group": f"g-{firm.prefix}"} for firm in firms)
        async with firms[0].connector(**one), firms[1].connector(**two):
            for firm in firms:
                await firm.until(lambda firm=firm: bool(firm.health()))  # type: ignore[misc]
            logs = [tmp_path / f"feed-{n}.log" for n in range(3)]
            for log in logs:
                feeds.append(
                    await started("connectors.feeds", "--config", str(tmp_path / "feed.json"), "--json", log=log)
                )
            await firms[0].until(lambda: all("connected to" in log.read_text() for log in logs))
            began = time.monotonic()
            for n in range(EACH):
                await asyncio.sleep(max(0.0, began + n * SECONDS / EACH - time.monotonic()))  # the pace of the load
                for number, firm in enumerate(firms):
                    firm.order(f"{number}-{n}-0", SCALE, 90 * SCALE, time_in_force=TimeInForce.IOC)
            for firm in firms:
                await firm.until(lambda firm=firm: len(firm.answered()) == EACH)  # type: ignore[misc]
            counted = await budget(venue["rest_url"])
            while counted["calls"].get("GET depth", 0) < BOOKS and time.monotonic() < began + 60:
                await asyncio.sleep(0.5)  # between two looks: the books come when the budget lets them
                counted = await budget(venue["rest_url"])
            for feed in feeds:
                feed.send_signal(signal.SIGTERM)
            said = [json.loads((await asyncio.wait_for(feed.communicate(), 60))[0].splitlines()[-1]) for feed in feeds]
    finally:
        for feed in feeds:
            if feed.returncode is None:
                feed.kill()
                await feed.wait()
        for firm in firms:
            firm.close()
    assert counted["weight"]["exceeded"] == counted["orders"]["exceeded"] == 0, counted
    # All that new orders may have; and of the 24 books that the feeds want at once what market data, the last in line, may have of the weights.
    assert counted["orders"]["most"] >= 0.9 * POOLS["orders"].capacity, counted
    assert counted["calls"]["GET depth"] >= BOOKS, counted
    assert any("budget has no room" in log.read_text() for log in logs), "market data was never held back"
    assert min(firm.accepted() for firm in firms) >= 20
    refused = {r.reason_code for firm in firms for r in firm.answered() if r.kind is K.NOT_SENT}
    assert refused <= {"RATE_LIMITED", "CLAIM_EXPIRED"}
    asked = [one["venues"][venue["name"]]["snapshots_asked"] for one in said]
    assert sum(asked) >= BOOKS, said
    # Who came first had the books; who had none was told that the others had used the budget up.
    assert all(n > 0 or "budget has no room" in log.read_text() for n, log in zip(asked, logs, strict=True)), said
