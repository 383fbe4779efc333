"""Orphan orders and drifting balances at a simulated venue are told once each, raised and cleared, though the connector is killed in between."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_execution_connector import Bench, K
from venue_calls import SECRET

from connectors.simulator.amounts import SCALE, parse
from infra.settings import Addresses
from schemas.records import Side, TimeInForce, VenueAlert, VenueAlertKind, VenueAlertState

BTC = "BTC/USDT"
KIND, STATE = VenueAlertKind, VenueAlertState
BOOK = {"bids": [["59990", "5"]], "asks": [["60010", "5"]]}


class OwnedBench(Bench):
    """The bench with a simulated venue's process in the place of the peer; its account's owner acts at the venue by himself."""

    def __init__(self, stack: Addresses, dialect: str, urls: dict[str, str], folder: Path) -> None:
        super().__init__(stack, None, folder)  # type: ignore[arg-type]  # no peer: the simulator is asked
        self.dialect, self.urls, self.shared = dialect, urls, False

    def venue_config(self) -> dict[str, Any]:
        (self.folder / "secret").write_text(SECRET + "\n")
        own = {"api_key": "k", "secret_file": "secret", "password": "p", "timeout": 1.0, "recv_window_ms": 2_000}
        return {"name": self.venue, "exchange": self.dialect, "shared": self.shared, **own, **self.urls}

    async def owner(self, what: str, **given: Any) -> None:
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{self.urls['rest_url']}/sim/{what}", json={"account": "account-1", **given})
            assert answer.status_code == 200, answer.text

    async def audit(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as http:
            found: dict[str, Any] = (await http.get(f"{self.urls['rest_url']}/sim/audit")).json()
            return found

    def alerts(self, kind: VenueAlertKind | None = None) -> list[VenueAlert]:
        found = [r for r in self.others if isinstance(r, VenueAlert) and r.venue == self.venue]
        return [a for a in found if kind is None or a.kind is kind]

    def told(self, kind: VenueAlertKind) -> list[tuple[STATE, str | None]]:
        """Of one kind: raised or cleared, and of what."""
        return [(a.state, a.asset or a.client_order_id or a.child_id) for a in self.alerts(kind)]


@pytest.fixture(params=["binance", "kraken"])
async def at(request: pytest.FixtureRequest, stack: Addresses, tmp_path: Path) -> AsyncIterator[OwnedBench]:
    venue = {
        "name": "it",
        "dialect": request.param,
        "symbols": [{"symbol": BTC}],
        "accounts": [{"api_key": "k", "secret": SECRET, "balances": {"USDT": "1000000", "BTC": "10"}}],
        "books": {"kind": "static", "books": {BTC: BOOK}},
    }
    (tmp_path / "simulator.json").write_text(json.dumps({"state": "memory", "venues": [venue]}))
    arguments = ("-m", "connectors.simulator", "--config", str(tmp_path / "simulator.json"))
    simulator = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert simulator.stdout is not None
    ready = json.loads(await asyncio.wait_for(simulator.stdout.readline(), 60))["ready"]["it"]
    it = OwnedBench(stack, request.param, {name: ready[name] for name in ("rest_url", "ws_url")}, tmp_path)
    try:
        yield it
    finally:
        it.close()
        simulator.kill()
        await simulator.wait()


def wire(dialect: str) -> str:
    """An id like those of our children at that exchange, which no child of ours has."""
    return "11111111-2222-4333-8444-555555555555" if dialect in ("coinbase", "kraken") else "another-1-0"


async def test_what_stands_at_the_venue_is_told_once_also_across_a_kill(at: OwnedBench) -> None:
    v, orphan = at.venue, wire(at.dialect)
    settings = {"audit": 0.3}
    async with at.connector(**settings) as process:
        at.order(f"{v}-1-0", SCALE // 10, 60_100 * SCALE, time_in_force=TimeInForce.IOC)
        at.order(f"{v}-2-0", SCALE // 10, 50_000 * SCALE, time_in_force=TimeInForce.GTC)
        await at.until(lambda: at.closed(f"{v}-1-0") and K.ACCEPTED in at.kinds(f"{v}-2-0"))
        rest = {"symbol": BTC, "price": "51000", "quantity": "0.2", "side": "BUY"}
        await at.owner("order", **rest, client_order_id=orphan)
        await at.owner("order", **rest | {"quantity": "0.1"}, client_order_id="typed-by-hand")
        await at.until(lambda: len(at.alerts()) == 2)
        process.kill()
        await process.wait()
    assert at.told(KIND.ORPHAN_ORDER) == [(STATE.RAISED, orphan)]
    assert at.told(KIND.FOREIGN_ORDER) == [(STATE.RAISED, "typed-by-hand")]
    (alert,) = at.alerts(KIND.ORPHAN_ORDER)
    assert (alert.symbol, alert.found) == (BTC, 0) and alert.venue_order_id
    # While nobody looks: money comes. It was counted before the kill, so that it is found; what we trade on explains itself.
    await at.owner("funds", asset="USDT", amount="123.45")
    async with at.connector(**settings) as process:
        await at.until(lambda: (STATE.RAISED, "USDT") in at.told(KIND.BALANCE_DRIFT))
        process.kill()
        await process.wait()
    async with at.connector(**settings):
        await at.until(lambda: (STATE.CLEARED, "USDT") in at.told(KIND.BALANCE_DRIFT))
        at.order(f"{v}-3-0", SCALE // 4, 59_900 * SCALE, side=Side.SELL, time_in_force=TimeInForce.IOC)
        await at.until(lambda: at.closed(f"{v}-3-0"))
        await at.owner("funds", asset="BTC", amount="-0.75")
        await at.owner("cancel", client_order_id=orphan)
        await at.owner("cancel", client_order_id="typed-by-hand")
        await at.until(lambda: (STATE.CLEARED, "BTC") in at.told(KIND.BALANCE_DRIFT) and len(at.alerts()) == 8)
    both = [STATE.RAISED, STATE.CLEARED]
    for kind in (KIND.ORPHAN_ORDER, KIND.FOREIGN_ORDER):
        assert [a.state for a in at.alerts(kind)] == both and len({a.id for a in at.alerts(kind)}) == 1
    drifts = at.alerts(KIND.BALANCE_DRIFT)
    amounts = [(a.asset, (a.found or 0) - (a.expected or 0)) for a in drifts]
    assert amounts == [("USDT", parse("123.45"))] * 2 + [("BTC", -parse("0.75"))] * 2
    assert [a.state for a in drifts] == both * 2 and drifts[0].id == drifts[1].id and drifts[2].id == drifts[3].id
    assert "counted in" in drifts[1].detail
    # what was found last is the venue's own balance: no fill, fee or deposit was counted twice or not at all
    held = (await at.audit())["balances"]["account-1"]["BTC"]
    assert drifts[2].found == parse(held["free"]) + parse(held["locked"])


@pytest.mark.parametrize("at", ["binance"], indirect=True)
async def test_at_a_shared_account_only_what_looks_like_ours_is_told(at: OwnedBench) -> None:
    at.shared = True
    rest = {"symbol": BTC, "price": "51000", "quantity": "0.2", "side": "BUY"}
    async with at.connector(audit=0.2):
        await at.until(lambda: bool(at.health()))
        await at.owner("order", **rest, client_order_id="typed-by-hand")
        await at.owner("funds", asset="USDT", amount="5")
        await at.owner("order", **rest, client_order_id="another-1-0")
        await at.until(lambda: bool(at.alerts()))
        await at.owner("cancel", client_order_id="another-1-0")
        await at.until(lambda: len(at.alerts()) == 2)
    assert at.told(KIND.ORPHAN_ORDER) == [(STATE.RAISED, "another-1-0"), (STATE.CLEARED, "another-1-0")]
