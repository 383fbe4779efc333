"""One process that asks a venue as fast as its shared budget lets it: `python budget_process.py VALKEY SCOPE URL CALL SECONDS POOLS`.

Prints one JSON object: how often it asked, how often it was told that it asked too often, how often it had to do without, and the longest
wait for a grant.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import httpx

from connectors.venues.limits import Limiter, OverBudget, Pool

CALLS = {
    "create": ("POST", "/api/v3/order"),
    "cancel": ("DELETE", "/api/v3/order"),
    "fetch": ("GET", "/api/v3/order"),
    "book": ("GET", "/api/v3/depth?symbol=BTCUSDT&limit=1000"),
}


async def main(valkey: str, scope: str, url: str, call: str, seconds: str, pools: str) -> None:
    limiter = Limiter.at(valkey, scope, [Pool(**pool) for pool in json.loads(pools)])
    method, path = CALLS[call]
    end = time.monotonic() + float(seconds)
    told = {"asked": 0, "limited": 0, "without": 0, "longest": 0.0}

    async def worker(http: httpx.AsyncClient) -> None:
        while time.monotonic() < end:
            try:
                grant = await limiter.acquire(call, within=2.0)
            except OverBudget:
                told["without"] += 1
                await asyncio.sleep(0.05)
                continue
            told["longest"] = max(told["longest"], grant.waited)
            told["asked"] += 1
            answer = await http.request(method, url + path)
            grant.settle()
            if answer.status_code == 429:
                told["limited"] += 1
                await limiter.penalise(float(answer.headers["Retry-After"]))
            if call == "cancel":
                await asyncio.sleep(0.1)

    async with httpx.AsyncClient(trust_env=False) as http, asyncio.TaskGroup() as group:
        for _ in range(1 if call == "cancel" else 3):
            group.create_task(worker(http))
    await limiter.close()
    print(json.dumps(told))


asyncio.run(main(*sys.argv[1:]))
