"""The budget that processes share, on a real Valkey, against a simulated venue that enforces and counts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from connectors.simulator.config import settings
from connectors.simulator.venue import Simulator
from connectors.venues.adapter import VenueConfig
from connectors.venues.limits import Limiter, OverBudget, Pool, Priority
from connectors.venues.outcomes import OutcomeKind
from connectors.venues.registry import adapter
from connectors.venues.transport import http_client
from infra.settings import Addresses

HERE = Path(__file__).parent
WEIGHT = Pool("weight", 400, 2.0, {"fetch": 4, "book": 50})
ORDERS = Pool("orders", 20, 1.0, {"*": 0, "create": 1})


@pytest.fixture
def stack_valkey(stack: Addresses) -> str:
    return stack.valkey


@pytest.fixture
async def valkey(stack_valkey: str) -> AsyncIterator[Redis]:
    it = Redis.from_url(stack_valkey)
    yield it
    await it.aclose()


@pytest.fixture
def scope() -> str:
    return f"test-{uuid.uuid4().hex}"


@contextlib.asynccontextmanager
async def venue(limits: dict[str, list[float]]) -> AsyncIterator[str]:
    raw = {
        "venues": [
            {
                "name": "alpha",
                "symbols": [{"symbol": "BTC/USDT"}],
                "accounts": [{"api_key": "k", "secret": "s", "balances": {"USDT": "1000000"}}],
                "books": {"kind": "generated", "mid": {"BTC/USDT": "60000"}, "levels": 20, "updates_per_s": 1},
                "limits": limits,
            }
        ]
    }
    simulator = Simulator(settings(raw, HERE))
    places = await simulator.start()
    running = asyncio.create_task(simulator.run())
    try:
        yield places["alpha"]["rest_url"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await simulator.stop()


async def test_five_processes_never_exceed_one_budget(stack_valkey: str, scope: str) -> None:
    limits = {"weight": [WEIGHT.capacity, WEIGHT.seconds], "orders": [ORDERS.capacity, ORDERS.seconds]}
    pools = json.dumps([asdict(WEIGHT), asdict(ORDERS)])
    async with venue(limits) as url:
        run = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, str(HERE / "budget_process.py"), stack_valkey, scope, url, call, "6", pools),
                stdout=asyncio.subprocess.PIPE,
                cwd=HERE.parents[1],
                env={"PYTHONPATH": str(HERE.parents[1]), "PATH": ""},
            )
            for call in ("create", "cancel", "book", "book", "fetch")
        ]
        done = await asyncio.gather(*(process.communicate() for process in run))
        async with httpx.AsyncClient(trust_env=False) as http:
            counted = (await http.get(f"{url}/sim/audit")).json()["limits"]
    told = [json.loads(out) for out, _ in done]
    assert [t["limited"] for t in told] == [0] * 5, told
    assert counted["weight"]["exceeded"] == counted["orders"]["exceeded"] == 0
    # the budget is used, not only kept: nearly all that lower priorities may have
    assert counted["weight"]["most"] >= WEIGHT.capacity * 0.5, counted
    assert counted["orders"]["most"] >= ORDERS.capacity * 0.9, counted
    create, cancel, *_ = told
    assert create["asked"] > 60
    assert cancel["asked"] > 20 and cancel["longest"] < 0.5 and cancel["without"] == 0, "cancels find their headroom"


async def test_without_a_shared_budget_the_venue_says_so(scope: str) -> None:
    """What the test above shows is not the simulator's patience."""
    async with venue({"weight": [100, 60]}) as url, httpx.AsyncClient(trust_env=False) as http:
        for _ in range(20):
            last = await http.get(f"{url}/api/v3/depth?symbol=BTCUSDT&limit=500")
        counted = (await http.get(f"{url}/sim/audit")).json()["limits"]
    assert last.status_code == 429 and int(last.headers["Retry-After"]) > 50
    assert counted["weight"] == {"capacity": 100, "seconds": 60, "most": 100, "exceeded": 16}


async def test_lower_priorities_leave_room_for_cancels(valkey: Redis, scope: str) -> None:
    limiter = Limiter(valkey, scope, [Pool("p", 100, 30)])
    had = dict.fromkeys(Priority, 0)
    for priority in reversed(Priority):
        with contextlib.suppress(OverBudget):
            while True:
                await limiter.acquire("x", priority, within=0.0)
                had[priority] += 1
        await valkey.delete("none", *await valkey.keys(f"*{scope}*want*"))
    assert list(had.values()) == [10, 15, 15, 60]


async def test_who_waits_with_a_higher_priority_is_first(valkey: Redis, scope: str) -> None:
    limiter = Limiter(valkey, scope, [Pool("p", 1, 0.2)], slack=0.0)
    (await limiter.acquire("x", Priority.DATA)).settle()
    order: list[Priority] = []

    async def ask(priority: Priority) -> None:
        (await limiter.acquire("x", priority, within=10.0)).settle()
        order.append(priority)

    tasks = [asyncio.create_task(ask(Priority.DATA)) for _ in range(3)]
    await asyncio.sleep(0.02)
    tasks.append(asyncio.create_task(ask(Priority.CANCEL)))
    await asyncio.gather(*tasks)
    assert order[0] is Priority.CANCEL


async def test_a_request_counts_until_a_window_after_its_answer(valkey: Redis, scope: str) -> None:
    """However long one is on its way, the venue may have counted it at the last moment."""
    limiter = Limiter(valkey, scope, [Pool("p", 1, 0.3)])
    slow = await limiter.acquire("x")
    await asyncio.sleep(0.5)  # longer than the window
    with pytest.raises(OverBudget):
        await limiter.acquire("x", Priority.CANCEL, within=0.1)
    slow.settle()
    settled = time.monotonic()
    slow.settle()
    quick = await limiter.acquire("x", Priority.CANCEL)
    assert 0.3 < time.monotonic() - settled < 5
    quick.settle()
    await limiter.acquire("x", Priority.CANCEL, within=2.0)


async def test_what_is_never_answered_counts_as_on_its_way(
    valkey: Redis, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.venues.limits.HELD_SECONDS", 0.6)
    limiter = Limiter(valkey, scope, [Pool("p", 1, 0.2)])
    await limiter.acquire("x")
    began = time.monotonic()
    await limiter.acquire("x", Priority.CANCEL, within=5.0)
    assert 0.75 < time.monotonic() - began < 5


async def test_what_the_venue_says_stops_everyone(valkey: Redis, scope: str) -> None:
    one, other = (Limiter(valkey, scope, [Pool("p", 100, 1)]) for _ in range(2))
    await one.penalise(0.6)
    await one.penalise(0.1)  # does not shorten it
    with pytest.raises(OverBudget) as over:
        await other.acquire("create", within=0.1)
    assert over.value.retry_after > 0.3
    began = time.monotonic()
    await other.acquire("cancel", within=5.0)
    assert 0.4 < time.monotonic() - began < 5


async def test_without_valkey_only_cancels_go_out(scope: str) -> None:
    limiter = Limiter.at("redis://127.0.0.1:1/0", scope, [Pool("p", 100, 1)])
    await limiter.acquire("cancel")
    with pytest.raises(OverBudget):
        await limiter.acquire("create")
    await limiter.close()


async def test_an_adapter_takes_retry_after_to_heart(stack_valkey: str, valkey: Redis, scope: str) -> None:
    from test_venue_adapter import order

    async with venue({"weight": [25, 60]}) as url:
        http = http_client(1.0)
        it = adapter(VenueConfig(scope, "binance", url, None, "k", "s", limits=stack_valkey), http)
        await it.load()  # 21 of 25
        outcomes = [await it.place(order(f"c-{n}", quantity=10**6, price=50_000 * 10**8)) for n in range(6)]
        await it.close()
        await http.aclose()
    kinds = [(o.kind, o.http_status or o.code) for o in outcomes]
    assert (OutcomeKind.REJECTED, 429) in kinds
    after = kinds[kinds.index((OutcomeKind.REJECTED, 429)) + 1 :]
    assert after == [(OutcomeKind.NOT_SENT, "RATE_LIMITED")] * len(after) and after
