"""Whole books by REST: what a venue's connections of one process ask together, and how they hold themselves to what it allows.

Rules:

* so many at once, a venue (`snapshots`); never more than the budget that all processes share, where there is one: market data comes last
  there, behind cancels, orders and queries;
* a venue that says how long to leave it alone (429, 418) is asked nothing before that, and whoever shares the budget hears of it;
* what was asked is heard to its end, also where the connection that it was for is gone: the answer may be to stay away.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import aiohttp

from connectors.feeds.market import Depth, Joined

if TYPE_CHECKING:  # imports ccxt, which takes seconds: only who has a shared budget needs it
    from connectors.venues.limits import Grant, Limiter

log = logging.getLogger(__name__)

TOO_MANY = (429, 418)  # too many requests, and banned for going on
WITHIN = 10.0  # seconds to wait for a part of the shared budget


class NoSnapshot(Exception):
    """The venue gave no book, or may not be asked for one now; the message says why."""


class Snapshots:
    """Asks one venue. `seconds`: for one answer."""

    def __init__(
        self,
        name: str,
        exchange: Joined,
        rest_url: str,
        http: aiohttp.ClientSession,
        at_once: int,
        seconds: float,
        limiter: Limiter | None = None,
    ) -> None:
        self._name, self._exchange, self._rest_url, self._http = name, exchange, rest_url, http
        self._seconds, self._limiter = seconds, limiter
        self._asks = asyncio.Semaphore(at_once)
        self._asking: set[asyncio.Task[Depth]] = set()
        self._quiet_until = 0.0  # by the loop's clock
        self.asked = self.limited = 0

    async def get(self, symbol: str) -> Depth:
        """The book of a unified symbol. Raises `NoSnapshot`."""
        await self._asks.acquire()
        try:
            asking = asyncio.create_task(self._get(symbol, await self._leave()))
        except BaseException:
            self._asks.release()
            raise
        self._asking.add(asking)
        asking.add_done_callback(self._answered)
        try:
            return await asyncio.shield(asking)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise NoSnapshot(str(error) or type(error).__name__) from error

    def _answered(self, asking: asyncio.Task[Depth]) -> None:
        self._asks.release()
        self._asking.discard(asking)
        if not asking.cancelled():
            asking.exception()  # who asked may be gone: it is not to be reported as unheard

    async def _leave(self) -> Grant | None:
        """Wait until the venue may be asked."""
        loop = asyncio.get_running_loop()
        while (wait := self._quiet_until - loop.time()) > 0:  # noqa: ASYNC110 - a time is waited for, which may be put off
            await asyncio.sleep(wait)
        if self._limiter is None:
            return None
        from connectors.venues.limits import OverBudget, Priority

        try:
            return await self._limiter.acquire("book", Priority.DATA, within=WITHIN)
        except OverBudget as error:
            raise NoSnapshot(f"the venue's budget has no room: {error}") from error

    async def _get(self, symbol: str, grant: Grant | None) -> Depth:
        limit = aiohttp.ClientTimeout(total=self._seconds)
        self.asked += 1
        async with self._http.get(self._exchange.snapshot_url(self._rest_url, symbol), timeout=limit) as answer:
            if grant is not None:
                grant.settle()
            if answer.status in TOO_MANY:
                said = answer.headers.get("Retry-After", "")
                await self._hold(int(said) if said.isdecimal() else 1)
            answer.raise_for_status()
            return self._exchange.snapshot(await answer.read())

    async def _hold(self, seconds: float) -> None:
        self.limited += 1
        self._quiet_until = asyncio.get_running_loop().time() + seconds
        if self._limiter is None:
            return
        from redis.exceptions import RedisError

        self._limiter.hold(seconds)
        try:
            await self._limiter.penalise(seconds)
        except (RedisError, OSError) as error:
            log.warning("%s: the shared budget cannot be told to wait: %s", self._name, error)

    async def close(self) -> None:
        for asking in self._asking:
            asking.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        if self._limiter is not None:
            await self._limiter.close()
