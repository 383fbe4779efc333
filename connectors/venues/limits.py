"""A venue's budget of requests, shared by all processes that ask it: execution, feeds, whoever comes.

Rules:

* in no window of a pool's length does the venue see more than its capacity: every grant is in one log in Valkey, on Valkey's clock, from
  before its request leaves until a window after its answer was there (`Grant.settle`). The venue counted it somewhere in between, however
  long it was on its way, so requests that bunch up there were all counted here when the last of them was granted. What is never
  answered counts for `HELD_SECONDS` and a window;
* cancel before order before query before data: a lower priority may not use the last part of a pool that cancels draw on, and is not
  served while a higher one waits;
* what the venue says itself (429 or 418 with Retry-After) stops everyone;
* a grant is given at once or after a wait, or not at all (`OverBudget`), and then nothing may be sent;
* when Valkey does not answer, cancels go out all the same; nothing else does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

SLACK = 0.05  # seconds by which the venue's window may be longer than it says: its clock is not Valkey's
HELD_SECONDS = 10.0  # for so long a request that got no answer may still arrive
LONGEST_WAIT = 0.25  # seconds between two tries: a higher priority may have come and gone
PREFIX = "bestex:budget"


@dataclass(frozen=True, slots=True)
class Pool:
    """A budget of the exchange: `capacity` units in any `seconds`. `costs`: units of a call, 1 where nothing is said, 0 for none."""

    name: str
    capacity: int
    seconds: float
    costs: Mapping[str, int] = field(default_factory=dict)

    def cost(self, call: str) -> int:
        return self.costs.get(call, self.costs.get("*", 1))


class Priority(IntEnum):
    """Who goes first."""

    CANCEL = 0
    ORDER = 1
    QUERY = 2
    DATA = 3


# Of a pool that cancels draw on, in percent.
SHARES = {Priority.CANCEL: 100, Priority.ORDER: 90, Priority.QUERY: 75, Priority.DATA: 60}
PRIORITIES: Mapping[str, Priority] = {"cancel": Priority.CANCEL, "create": Priority.ORDER, "book": Priority.DATA}


class OverBudget(Exception):
    """There is nothing to be had in time: the request was not sent. `retry_after` in seconds."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


# KEYS: block, want of each priority, then log and sum of each pool.
# ARGV: priority, id, how many pools, then window (us), limit and cost of each; last, for how long (us) an unanswered request is held.
# A log's score is when its request was answered at the latest: HELD after the grant until that is told.
# Returns 0 when granted, else microseconds to wait.
GRANT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local priority, id, pools = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local held = tonumber(ARGV[#ARGV])
local blocked = redis.call('PTTL', KEYS[1])
if blocked > 0 then return blocked * 1000 end
for p = 0, priority - 1 do
  local waits = redis.call('PTTL', KEYS[2 + p])
  if waits > 0 then return math.min(waits * 1000, 20000) end
end
local wait = 0
for i = 0, pools - 1 do
  local log, sum = KEYS[6 + 2 * i], KEYS[7 + 2 * i]
  local window, limit, cost = tonumber(ARGV[4 + 3 * i]), tonumber(ARGV[5 + 3 * i]), tonumber(ARGV[6 + 3 * i])
  local used = tonumber(redis.call('GET', sum) or '0')
  local old = redis.call('ZRANGEBYSCORE', log, '-inf', now - window)
  if #old > 0 then
    for _, member in ipairs(old) do used = used - tonumber(string.match(member, '^%d+')) end
    redis.call('ZREMRANGEBYSCORE', log, '-inf', now - window)
    redis.call('SET', sum, used, 'PX', math.ceil((window + held) / 1000) + 1000)
  end
  if used + cost > limit then
    local freed, at = 0, now
    for first = 0, 100000, 100 do
      local next = redis.call('ZRANGE', log, first, first + 99, 'WITHSCORES')
      for n = 1, #next, 2 do
        freed = freed + tonumber(string.match(next[n], '^%d+'))
        at = tonumber(next[n + 1])
        if used - freed + cost <= limit then break end
      end
      if #next < 200 or used - freed + cost <= limit then break end
    end
    -- What is on its way is answered nobody knows when, but not before now.
    if at > now then wait = math.max(wait, at - held + window - now, 10000)
    else wait = math.max(wait, at + window - now, 1000) end
  end
end
if wait > 0 then
  if priority < 3 then redis.call('SET', KEYS[2 + priority], id, 'PX', math.min(500, math.ceil(wait / 1000) + 50)) end
  return wait
end
for i = 0, pools - 1 do
  local log, sum = KEYS[6 + 2 * i], KEYS[7 + 2 * i]
  local life, cost = math.ceil((tonumber(ARGV[4 + 3 * i]) + held) / 1000) + 1000, ARGV[6 + 3 * i]
  redis.call('ZADD', log, now + held, cost .. ':' .. id)
  redis.call('INCRBY', sum, cost)
  redis.call('PEXPIRE', log, life)
  redis.call('PEXPIRE', sum, life)
end
if priority < 3 and redis.call('GET', KEYS[2 + priority]) == id then redis.call('DEL', KEYS[2 + priority]) end
return 0
"""

# KEYS: log and sum for each grant and pool. ARGV: for each, the member of the log and for how long (ms) to keep it.
SETTLE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
for i = 0, #KEYS / 2 - 1 do
  local log, sum, member, life = KEYS[1 + 2 * i], KEYS[2 + 2 * i], ARGV[1 + 2 * i], ARGV[2 + 2 * i]
  if redis.call('ZSCORE', log, member) then
    redis.call('ZADD', log, now, member)
    redis.call('PEXPIRE', log, life)
    redis.call('PEXPIRE', sum, life)
  end
end
"""


class Grant:
    """Leave to send one request. `waited` in seconds. `settle` it when the answer is there or nothing was sent, else it counts as on its way."""

    __slots__ = ("_limiter", "_spent", "waited")

    def __init__(self, limiter: Limiter, waited: float, spent: Sequence[tuple[Pool, str]]) -> None:
        self._limiter, self.waited, self._spent = limiter, waited, spent

    def settle(self) -> None:
        """The venue has counted the request by now, or never will: its window begins. Repeating changes nothing."""
        spent, self._spent = self._spent, ()
        self._limiter.settle(spent)


class Limiter:
    """One venue's budget, as one process sees it. `scope` names whose budget it is: the venue, or the venue and the account."""

    def __init__(self, valkey: Redis, scope: str, pools: Sequence[Pool], slack: float = SLACK) -> None:
        self._valkey, self._pools, self._slack = valkey, tuple(pools), slack
        self._script: Any = valkey.register_script(GRANT)
        self._settle: Any = valkey.register_script(SETTLE)
        self._settled: list[tuple[Pool, str]] = []
        self._telling: asyncio.Task[None] | None = None
        tag = f"{PREFIX}:{{{scope}}}"
        self._block = f"{tag}:block"
        self._wants = [f"{tag}:want:{p.name.lower()}" for p in Priority]
        self._logs = {pool.name: (f"{tag}:{pool.name}:log", f"{tag}:{pool.name}:sum") for pool in pools}
        self._held = 0.0
        self._ids = (f"{os.getpid()}-{os.urandom(3).hex()}-{n}" for n in itertools.count())

    @classmethod
    def at(cls, url: str, scope: str, pools: Sequence[Pool]) -> Limiter:
        """With a connection of its own."""
        return cls(Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0), scope, pools)

    async def acquire(self, call: str, priority: Priority | None = None, within: float = 5.0) -> Grant:
        """Wait for the budget of one call. Raises `OverBudget` when `within` seconds would not do."""
        which = PRIORITIES.get(call, Priority.QUERY) if priority is None else priority
        keys, numbers = [self._block, *self._wants], []
        one, spent = next(self._ids), list[tuple[Pool, str]]()
        for pool in self._pools:
            cost = pool.cost(call)
            if cost:
                keys += self._logs[pool.name]
                spent.append((pool, f"{cost}:{one}"))
                numbers += [int((pool.seconds + self._slack) * 1e6), self._limit(pool, which), cost]
                if cost > numbers[-2]:
                    raise OverBudget(f"{call} costs {cost} of {pool.name}, more than there ever is")
        arguments = [int(which), one, len(numbers) // 3, *numbers, int(HELD_SECONDS * 1e6)]
        began = time.monotonic()
        while True:
            wait = self._held - time.monotonic()
            try:
                wait = wait if wait > 0 else int(await self._script(keys=keys, args=arguments)) / 1e6
            except (RedisError, OSError) as error:
                if which is Priority.CANCEL:
                    return Grant(self, time.monotonic() - began, ())
                raise OverBudget(f"the shared budget cannot be asked: {error}") from error
            waited = time.monotonic() - began
            if not wait:
                return Grant(self, waited, spent)
            if waited + min(wait, LONGEST_WAIT) > within or (wait > within and which is not Priority.CANCEL):
                raise OverBudget(f"nothing left for {call} for {wait:.2f} s", wait)
            await asyncio.sleep(min(wait, LONGEST_WAIT))

    def settle(self, spent: Sequence[tuple[Pool, str]]) -> None:
        """Tell, soon, that these are not on their way any more; many at once in one word."""
        self._settled += spent
        if self._settled and (self._telling is None or self._telling.done()):
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        while self._settled:
            some, self._settled = self._settled, []
            keys = [key for pool, _ in some for key in self._logs[pool.name]]
            words = [w for pool, member in some for w in (member, int((pool.seconds + self._slack) * 1000) + 1000)]
            with contextlib.suppress(RedisError, OSError):  # then they count as on their way, which is the safe side
                await self._settle(keys=keys, args=words)

    @staticmethod
    def _limit(pool: Pool, priority: Priority) -> int:
        """What this priority may use of a pool; headroom is kept only where cancels draw on it."""
        if not pool.cost("cancel"):
            return pool.capacity
        return max(1, pool.capacity * SHARES[priority] // 100)

    def hold(self, seconds: float) -> None:
        """This process waits, from now: `penalise` tells the others."""
        self._held = max(self._held, time.monotonic() + seconds)

    async def penalise(self, seconds: float) -> None:
        """The venue said to wait: everyone does, and never shorter than was said before."""
        self.hold(seconds)
        wanted = max(1, int(seconds * 1000))
        if await self._valkey.pttl(self._block) < wanted:
            await self._valkey.set(self._block, "1", px=wanted)

    async def close(self) -> None:
        if self._telling is not None:
            await self._telling
        await self._valkey.aclose()
