"""The execution connector at a simulated venue of each dialect: what it reports is the venue's own ledger, whatever the stream does.

Events are lost, doubled, swapped, late, the stream ends, breaks and goes mute, answers to orders are lost, and the connector is killed in
the middle. A fill is known by stream, by answer and by poll, and counts once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_execution_connector import Bench, K
from test_venue_conformance import DIALECTS
from venue_calls import SECRET

from connectors.simulator.amounts import SCALE, parse
from connectors.simulator.config import settings
from connectors.simulator.mishaps import EVENTS
from connectors.simulator.venue import Simulator
from infra.settings import Addresses
from schemas.records import Side, TimeInForce, VenueAlert, VenueAlertKind

BTC = "BTC/USDT"
LOST_ANSWERS = ("reset", "cut", "empty", "braces", "page")


class DialectBench(Bench):
    """The bench with a simulated venue in the place of the peer."""

    def __init__(self, stack: Addresses, simulator: Simulator, dialect: str, folder: Path) -> None:
        super().__init__(stack, None, folder)  # type: ignore[arg-type]  # no peer: the simulator is asked
        self.simulator, self.dialect = simulator, dialect
        self.url = simulator.venues["it"].rest_url

    def venue_config(self) -> dict[str, Any]:
        (self.folder / "secret").write_text(SECRET + "\n")
        return {
            "name": self.venue,
            "exchange": self.dialect,
            "rest_url": self.url,
            "ws_url": self.simulator.venues["it"].ws_url,
            "api_key": "k",
            "secret_file": "secret",
            "password": "p",
            "timeout": 1.0,
            "recv_window_ms": 2_000,
            "stream_silence": 4.0,
        }

    async def fault(self, **fault: Any) -> None:
        async with httpx.AsyncClient() as http:
            (await http.post(f"{self.url}/sim/fault", json=fault)).raise_for_status()

    async def audit(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as http:
            found: dict[str, Any] = (await http.get(f"{self.url}/sim/audit")).json()
            return found

    def silent(self) -> list[VenueAlert]:
        alerts = [r for r in self.others if isinstance(r, VenueAlert) and r.venue == self.venue]
        return [a for a in alerts if a.kind is VenueAlertKind.STREAM_SILENT]

    def reported(self) -> list[tuple[Any, ...]]:
        """All fills that were reported, as the audit tells trades."""
        fills = [r for reports in self.reports.values() for r in reports if r.kind is K.FILL]
        return sorted(
            (r.trade_id, r.price, r.quantity, r.fee, r.fee_asset, r.liquidity.value == "MAKER") for r in fills
        )


@pytest.fixture(params=DIALECTS)
async def at(request: pytest.FixtureRequest, stack: Addresses, tmp_path: Path) -> AsyncIterator[DialectBench]:
    raw = {
        "state": "memory",
        "venues": [
            {
                "name": "it",
                "dialect": request.param,
                "symbols": [{"symbol": BTC}],
                "accounts": [{"api_key": "k", "secret": SECRET, "balances": {"USDT": "100000000", "BTC": "1000"}}],
                "books": {"kind": "generated", "mid": {BTC: "60000"}, "levels": 50, "updates_per_s": 20},
            }
        ],
    }
    simulator = Simulator(settings(raw, tmp_path))
    await simulator.start()
    running = asyncio.create_task(simulator.run())
    it = DialectBench(stack, simulator, request.param, tmp_path)
    try:
        yield it
    finally:
        it.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await simulator.stop()


async def test_what_is_reported_is_the_venues_ledger(at: DialectBench) -> None:
    v, resting = at.venue, []

    def some(part: int) -> None:
        for n in range(20):
            name, buy, rests = f"{v}-{part}-{n}", n % 2 == 0, n % 4 == 3
            price = (60_300 if buy else 59_700) if not rests else (59_000 if buy else 61_000)
            force = TimeInForce.GTC if rests or n % 3 == 0 else TimeInForce.IOC
            at.order(name, SCALE // 10, price * SCALE, side=Side.BUY if buy else Side.SELL, time_in_force=force)
            if rests:
                resting.append(name)

    mishaps = {"kind": "shaken", "kinds": [*EVENTS, *LOST_ANSWERS], "accepts": True, "latency": 0.3}
    async with at.connector(breaker_failures=10_000, claim_ttl=10.0) as process:
        some(0)
        await at.until(lambda: all(name in at.reports for name in at.quantities))
        await at.fault(**mishaps, rate=0.25, seed=3)
        some(1)
        await at.until(lambda: sum(name in at.reports for name in at.quantities) > 28)
        process.kill()
        await process.wait()
    async with at.connector(breaker_failures=10_000, claim_ttl=10.0):
        some(2)
        # what was claimed and not sent when the process was killed is found never to have arrived
        await at.until(lambda: all(K.ACCEPTED in at.kinds(name) or at.closed(name) for name in at.quantities))
        for name in resting:
            at.cancel(name)
        await at.until(lambda: all(at.closed(name) for name in resting))
        await at.fault(kind="ok")
        await at.until(lambda: all(at.closed(name) for name in at.quantities))
        audit = await at.audit()
    taken = [name for name in at.quantities if K.ACCEPTED in at.kinds(name)]
    assert audit["conserved"] and set(audit["accepted"].values()) == {1}
    refused = {r.reason_code for reports in at.reports.values() for r in reports if r.kind in (K.REJECTED, K.NOT_SENT)}
    assert refused <= {"NEVER_ARRIVED"}
    assert len(audit["accepted"]) == len(taken) >= 40, "all but those claimed when the process was killed"
    assert {*audit["faults"]} & set(EVENTS) and {*audit["faults"]} & set(LOST_ANSWERS)
    venues = sorted(
        (t["trade_id"], parse(t["price"]), parse(t["quantity"]), parse(t["fee"]), t["fee_asset"], t["maker"])
        for t in audit["trades"]
    )
    assert at.reported() == venues and len(venues) >= 30
    assert all(at.kinds(name).count(K.ACCEPTED) == 1 for name in taken)


@pytest.mark.parametrize("at", ["kraken", "okx"], indirect=True)
async def test_a_mute_stream_is_found_out_and_left(at: DialectBench) -> None:
    """A resting order fills while the stream says nothing: the poll finds it, and the stream is made anew."""
    exchange = at.simulator.venues["it"].exchange
    market = exchange.markets["BTCUSDT"]
    async with at.connector():
        at.order(f"{at.venue}-1", SCALE, 61_000 * SCALE, side=Side.SELL, time_in_force=TimeInForce.GTC)
        await at.until(lambda: K.ACCEPTED in at.kinds(f"{at.venue}-1"))
        streams: Any = at.simulator.venues["it"].streams
        before = set(streams.lines)  # either fill that the poll finds may be what makes the connector leave it
        await at.fault(kind="shaken", kinds=["mute"], times=1)
        exchange.printed(market, 61_000 * SCALE, SCALE, "BUY", at.simulator.venues["it"].now())
        await at.until(lambda: at.filled(f"{at.venue}-1") == SCALE)
        at.order(f"{at.venue}-2", SCALE, 61_000 * SCALE, side=Side.SELL, time_in_force=TimeInForce.GTC)
        await at.until(lambda: K.ACCEPTED in at.kinds(f"{at.venue}-2"))
        # Kraken tells of an open order only when it was made: not before it is old is what a poll finds the stream's fault.
        part, filled = SCALE // 50, 0
        while set(streams.lines) & before:
            filled += part
            assert filled < SCALE, "fifty fills that only polls found"
            exchange.printed(market, 61_000 * SCALE, part, "BUY", at.simulator.venues["it"].now() - 5_000)
            await at.until(lambda filled=filled: at.filled(f"{at.venue}-2") == filled)  # type: ignore[misc]
        exchange.printed(market, 61_000 * SCALE, part, "BUY", at.simulator.venues["it"].now())
        await at.until(lambda: at.filled(f"{at.venue}-2") == filled + part)


@pytest.mark.parametrize("at", ["binance"], indirect=True)
async def test_a_cancel_that_a_wrong_clock_undoes_is_asked_again(at: DialectBench) -> None:
    """The venue refuses what is stamped outside of its window: that is no answer about the order."""
    name = f"{at.venue}-1"
    async with at.connector():
        at.order(name, SCALE, 61_000 * SCALE, side=Side.SELL, time_in_force=TimeInForce.GTC)
        await at.until(lambda: K.ACCEPTED in at.kinds(name))
        await at.fault(kind="skew", skew_ms=90_000, seconds=3.0)
        at.cancel(name)
        await at.until(lambda: at.closed(name))
    assert at.kinds(name) == [K.ACCEPTED, K.CANCELLED]
