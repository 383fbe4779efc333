"""A venue's limits on requests, kept as it says and counted: who asks too often gets a 429 with Retry-After.

Limits are sliding: in no window of `seconds` may the weights of requests (or the number of new orders) exceed `capacity`. Weights are those
that Binance documents for its spot endpoints; at the other dialects each private request weighs one. A request that is refused for its
weight does not count.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from connectors.simulator.voice import VOICES, Body, Voice

WEIGHTS: Mapping[tuple[str, str], int] = {
    ("GET", "order"): 4,
    ("GET", "openOrders"): 6,
    ("GET", "allOrders"): 20,
    ("GET", "account"): 20,
    ("GET", "myTrades"): 20,
    ("GET", "exchangeInfo"): 20,
    ("GET", "trades"): 25,
    ("GET", "ticker/bookTicker"): 2,
}
DEPTHS = ((100, 5), (500, 25), (1000, 50))


def weight(method: str, path: str, query: Mapping[str, str]) -> int:
    """What a request costs."""
    if path == "depth":
        limit = query.get("limit", "100")
        wanted = int(limit) if limit.isdigit() else 100
        return next((cost for most, cost in DEPTHS if wanted <= most), 250)
    return WEIGHTS.get((method, path), 1)


class _Window:
    """The units spent in the last `seconds`."""

    def __init__(self, capacity: int, seconds: float) -> None:
        self.capacity, self.seconds = capacity, seconds
        self.used = self.most = self.exceeded = 0
        self._spent: deque[tuple[float, int]] = deque()

    def wait(self, cost: int, now: float) -> float:
        """Seconds until `cost` fits; 0 when it does now."""
        while self._spent and self._spent[0][0] <= now - self.seconds:
            self.used -= self._spent.popleft()[1]
        free = self.capacity - self.used
        for at, units in self._spent if free < cost else ():
            free += units
            if free >= cost:
                return at + self.seconds - now
        return 0.0 if free >= cost else self.seconds

    def spend(self, cost: int, now: float) -> None:
        self._spent.append((now, cost))
        self.used += cost
        self.most = max(self.most, self.used)


class Budget:
    """The limits of one venue: name -> (capacity, seconds). `orders` counts new orders, all others weights."""

    def __init__(self, limits: Mapping[str, tuple[int, float]], voice: Voice = VOICES["binance"]) -> None:
        self._windows = {name: _Window(*limit) for name, limit in limits.items()}
        self._voice, self._weighs = voice, voice is VOICES["binance"]
        self.calls: Counter[str] = Counter()

    def ask(self, request: web.Request, now: float) -> web.Response | None:
        """None when the request may pass, else the answer to it. `now` in seconds, of a clock that only grows."""
        prefix = next((prefix for prefix in self._voice.api if request.path.startswith(prefix)), None)
        if prefix is None or not self._windows:
            return None
        path = request.path.removeprefix(prefix)
        self.calls[f"{request.method} {path}"] += 1
        order, cost = self._voice.places(request), weight(request.method, path, request.query) if self._weighs else 1
        costs = {n: int(order) if n == "orders" else cost for n in self._windows}
        over = {n: wait for n, w in self._windows.items() if costs[n] and (wait := w.wait(costs[n], now)) > 0}
        if not over:
            for name, window in self._windows.items():
                if costs[name]:
                    window.spend(costs[name], now)
            return None
        for name in over:
            self._windows[name].exceeded += 1
        body: Body | None = None
        if self._weighs:
            code, words = (
                (-1015, "Too many new orders.") if "orders" in over else (-1003, "Too much request weight used.")
            )
            body = {"code": code, "msg": words}
        return self._voice.limited(429, max(1, math.ceil(max(over.values()))), body)

    def report(self) -> dict[str, Any]:
        """For the audit: of each limit its capacity, the most that was used of it, and how many requests were too many."""
        return {
            name: {"capacity": w.capacity, "seconds": w.seconds, "most": w.most, "exceeded": w.exceeded}
            for name, w in self._windows.items()
        } | {"calls": dict(self.calls)}
