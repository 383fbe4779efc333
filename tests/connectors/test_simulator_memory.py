"""What a simulated venue told is never forgotten: by its facts alone, and by processes that are killed with -9 in the middle of trading."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from test_simulator_exchange import ACCOUNTS, RULES, Heard, order, steps, venue
from test_venue_conformance import child
from venue_calls import SECRET

from connectors.simulator.amounts import SCALE
from connectors.simulator.exchange import Exchange, Fact
from connectors.simulator.ledger import InsufficientFunds
from connectors.simulator.memory import Memory, Unreadable
from connectors.simulator.rules import Refusal
from connectors.venues.adapter import VenueConfig
from connectors.venues.outcomes import OrderView, OutcomeKind, VenueOrderStatus
from connectors.venues.registry import adapter
from connectors.venues.transport import http_client
from schemas.records import Side, TimeInForce

BTC = "BTC/USDT"
DEPOSITS = {(account, asset): 3_000 * SCALE for account in ACCOUNTS for asset in ("USDT", "BTC")}


def state(it: Exchange) -> dict[str, Any]:
    """All that a client can ask about."""
    return {
        "orders": {
            n: (o.asked, o.account, o.status, o.filled, o.quote, o.locked, o.trades) for n, o in it.orders.items()
        },
        "open": list(it.open),
        "accepted": it.accepted,
        "balances": {account: it.ledger.of(account) for account in ACCOUNTS},
        "fees": {asset: fee for asset, fee in it.ledger.fees.items() if fee},
        "outside": {asset: amount for asset, amount in it.ledger.outside.items() if amount},
        "resting": {ref: (r.side, r.limit, r.quantity) for ref, r in it.markets["BTCUSDT"].book.orders.items()},
    }


def empty() -> Exchange:
    return Exchange([RULES], 1, 2, Heard(), 10**6, fees_in_quote=True)  # other rates: history keeps its own


@settings(max_examples=150, deadline=None)
@given(steps)
def test_facts_alone_bring_an_exchange_back(script: list[tuple]) -> None:  # type: ignore[type-arg]
    it, market, _ = venue(usdt=0, btc=0, in_quote=True)
    told: list[list[Fact]] = [[("deposit", *key, amount) for key, amount in DEPOSITS.items()]]
    for fact in told[0]:
        it.recall(fact)
    it.remember = lambda facts: told.append(list(facts))
    for at, (what, *args) in enumerate(script):
        if what == "place":
            try:
                it.place(args[0], args[1], at)
            except Refusal:
                continue
        elif what == "show":
            it.show(market, dict(args[0]).items(), dict(args[1]).items(), at, args[2])
        elif what == "printed":
            it.printed(market, *args, at)
        elif what == "overtake":
            it.overtake()
        elif it.open:
            it.cancel(list(it.open.values())[args[0] % len(it.open)], "x", at)
        back = empty()
        for facts in json.loads(json.dumps(told)):
            for fact in facts:
                back.recall(fact)
        back.resume()
        assert state(back) == state(it) and back.conserved()


def test_what_is_not_whole_was_told_to_nobody(tmp_path: Path) -> None:
    path = tmp_path / "alpha.jsonl"
    it, memory = empty(), Memory(path)
    assert memory.restore(it, DEPOSITS) == 0
    it.place("a", order("c-1", limit=50 * SCALE), 1)
    with pytest.raises(Unreadable, match="another process"):
        Memory(path)
    memory.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'[["order",7,"a","BTCUSDT"')
    again, memory = empty(), Memory(path)
    assert memory.restore(again, {**DEPOSITS, ("new", "BTC"): SCALE}) == 2
    assert state(again) == state(it) and again.ledger.of("new") == {"BTC": (SCALE, 0)}
    again.cancel(again.find("a", "BTCUSDT", None, "c-1"), "x", 2)  # type: ignore[arg-type]
    with pytest.raises(Refusal, match="Duplicate"):
        again.place("a", order("c-1", limit=50 * SCALE), 3)
    memory.close()
    third, memory = empty(), Memory(path)
    memory.restore(third, DEPOSITS)
    assert state(third) == state(again)
    memory.close()
    path.write_bytes(whole.replace(b'"order"', b'"dream"'))
    memory = Memory(path)
    with pytest.raises(Unreadable, match="line 2"):
        memory.restore(empty(), DEPOSITS)
    memory.close()


class Process:
    """The simulator's own process, on ports that stay."""

    def __init__(self, folder: Path, dialect: str) -> None:
        self.config = folder / "config.json"
        self.raw: dict[str, Any] = {
            "state": "memory",
            "venues": [
                {
                    "name": "it",
                    "dialect": dialect,
                    "symbols": [{"symbol": BTC}],
                    "accounts": [{"api_key": "k", "secret": SECRET, "balances": {"USDT": "100000000", "BTC": "1000"}}],
                    "books": {"kind": "generated", "mid": {BTC: "60000"}, "levels": 50, "updates_per_s": 20},
                }
            ],
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> str:
        self.config.write_text(json.dumps(self.raw))
        command = (sys.executable, "-m", "connectors.simulator", "--config", str(self.config))
        self.process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert self.process.stdout is not None
        url: str = json.loads(await asyncio.wait_for(self.process.stdout.readline(), 60))["ready"]["it"]["rest_url"]
        self.raw["venues"][0]["port"] = int(url.rpartition(":")[2])
        return url

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
async def test_killed_while_it_trades_a_venue_knows_what_it_told(tmp_path: Path, dialect: str) -> None:
    """Five lives; at the end of each, whatever a client had an answer for is there, with the same trades and the same money."""
    process, http = Process(tmp_path, dialect), http_client(2.0)
    told: dict[str, OrderView] = {}
    sent: set[str] = set()
    audits: list[dict[str, Any]] = []
    try:
        for life in range(5):
            url = await process.start()
            config = VenueConfig("it", dialect, url, None, "k", SECRET, timeout=2.0, recv_window_ms=5_000, password="p")
            it = adapter(config, http)
            await it.load()
            async with httpx.AsyncClient() as client:
                audit = (await client.get(f"{url}/sim/audit")).json()
            assert audit["conserved"] and set(audit["accepted"].values()) <= {1}
            if audits:
                grown = {row["trade_id"] for row in audit["trades"]}
                assert {row["trade_id"] for row in audits[-1]["trades"]} <= grown
            for name, view in told.items():
                found = await it.query(BTC, name)
                assert isinstance(found, OrderView), (life, name, found)
                assert found.venue_order_id == view.venue_order_id and found.filled >= view.filled
                if view.status is not VenueOrderStatus.OPEN:
                    assert (found.status, found.filled) == (view.status, view.filled)
            if told:
                again = await it.place(child(next(iter(told)), quantity=SCALE // 100))
                assert again.kind is not OutcomeKind.ACCEPTED or again.view is not None
            audits.append(audit)
            stop, enough, before = asyncio.Event(), asyncio.Event(), len(told)

            async def trade(
                lane: int,
                life: int = life,
                it: Any = it,
                stop: asyncio.Event = stop,
                enough: asyncio.Event = enough,
                before: int = before,
            ) -> None:
                for n in range(10_000):
                    if stop.is_set():
                        return
                    name = f"l{life}-{lane}-{n}"
                    side, force = (Side.BUY, Side.SELL)[n % 2], (TimeInForce.GTC, TimeInForce.IOC)[n // 2 % 2]
                    price = (60_300 if n % 3 else 59_000) if side is Side.BUY else (59_700 if n % 3 else 61_000)
                    sent.add(name)
                    outcome = await it.place(
                        child(name, quantity=SCALE // 100, side=side, time_in_force=force, price=price * SCALE)
                    )
                    if outcome.kind is OutcomeKind.ACCEPTED:
                        told[name] = outcome.view
                        if len(told) >= before + 40:
                            enough.set()
                        if n % 5 == 0:
                            view = await it.query(BTC, name)
                            if isinstance(view, OrderView):
                                told[name] = view

            lanes = [asyncio.create_task(trade(lane)) for lane in range(4)]
            await asyncio.wait_for(enough.wait(), 60)
            await process.kill()
            stop.set()
            await asyncio.gather(*lanes)
            await it.close()
        assert len(told) >= 200 and len(audits[-1]["trades"]) > 50
        accepted = audits[-1]["accepted"]
        assert dialect != "binance" or set(accepted) <= sent
    finally:
        await process.kill()
        await http.aclose()


async def test_a_folder_belongs_to_one_process(tmp_path: Path) -> None:
    first, second = Process(tmp_path, "binance"), None
    try:
        await first.start()
        other = json.loads(json.dumps(first.raw))
        other["venues"][0]["port"] = 0
        path = tmp_path / "other.json"
        path.write_text(json.dumps(other))
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "connectors.simulator", "--config", str(path)), stderr=asyncio.subprocess.PIPE
        )
        _, said = await asyncio.wait_for(second.communicate(), 60)
        assert second.returncode == 1 and b"another process has it open" in said
    finally:
        await first.kill()
        if second is not None and second.returncode is None:
            second.kill()


def test_what_an_owner_brought_and_took_is_remembered(tmp_path: Path) -> None:
    path, it = tmp_path / "alpha.jsonl", empty()
    memory = Memory(path)
    memory.restore(it, DEPOSITS)
    account = ACCOUNTS[0]
    it.fund(account, "USDT", 5 * SCALE, 1)
    it.fund(account, "BTC", -7 * SCALE, 2)
    with pytest.raises(InsufficientFunds):
        it.fund(account, "BTC", -3_000 * SCALE, 3)
    memory.close()
    back = empty()
    again = Memory(path)
    again.restore(back, DEPOSITS)
    again.close()
    assert state(back) == state(it) and back.conserved() and it.conserved()
    assert back.ledger.of(account) == {"USDT": (3_005 * SCALE, 0), "BTC": (2_993 * SCALE, 0)}
