"""What the execution connector asks of a venue, whatever its protocol.

Rules every adapter keeps:

* it never repeats a request by itself: only the caller knows whether repeating is safe;
* placing and cancelling always return an `Outcome`, they do not raise for what a venue or a network does;
* what it returns is read from the venue's raw strings, exactly;
* an order is named by its child id, our client order id at the venue;
* whatever a venue answers, questions do not raise for it: they answer `Unknown`, and `load`, `probe` and `balances`, which may raise,
  raise what the protocol raises (`BadResponse` for what cannot be read).
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from ccxt.base import errors  # type: ignore[import-untyped, unused-ignore]  # upstream ships no types
from redis.exceptions import RedisError

from connectors.venues.dialect import CHILD_ID
from connectors.venues.limits import Limiter, OverBudget
from connectors.venues.outcomes import (
    UNREADABLE,
    Listing,
    NotFound,
    NotSent,
    OrderView,
    Outcome,
    Refused,
    StreamUp,
    Unknown,
    VenueEvent,
    VenueTrade,
)
from schemas.records import ChildOrder, Instrument

log = logging.getLogger(__name__)


@contextmanager
def readable(name: str, what: str) -> Iterator[None]:
    """An answer that cannot be read is the venue's fault: it raises `BadResponse` with the cause."""
    try:
        yield
    except UNREADABLE as error:
        raise errors.BadResponse(f"{name}: {what} cannot be read: {error!r:.300}") from error


@dataclass(frozen=True, slots=True)
class VenueConfig:
    """A venue to trade on.

    `name` is ours (two names may share an exchange); `exchange` the adapter's id in `registry`. `rest_url` and `ws_url` (scheme and
    host) replace the exchange's own addresses. `timeout` in seconds; `recv_window_ms` bounds how late after its signing time the venue
    may still accept a request. Fees are rates in 1e-8; None takes the exchange's published default.
    `password`, `account_id`, `operator_id`: what some exchanges want beside a key. `sandbox`: the exchange's own test system. `limits`: the
    Valkey (`redis://…`) in which all processes share this venue's budget of requests; None keeps none. `shared`: others trade on this account too,
    so that their orders are no alert and its balances are nobody's to explain.
    """

    name: str
    exchange: str = "binance"
    rest_url: str | None = None
    ws_url: str | None = None
    api_key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    timeout: float = 3.0
    recv_window_ms: int = 3_000
    maker_fee: int | None = None
    taker_fee: int | None = None
    symbols: tuple[str, ...] | None = None
    stream_silence: float = 15.0
    password: str = field(default="", repr=False)
    account_id: str = ""
    operator_id: int = 1
    sandbox: bool = False
    limits: str | None = None
    shared: bool = False


class VenueAdapter(ABC):
    """One account at one venue."""

    def __init__(self, config: VenueConfig, http: httpx.AsyncClient) -> None:
        self.config, self.http = config, http
        self.instruments: Mapping[str, Instrument] = {}
        self.limiter: Limiter | None = None
        self._penalties: set[asyncio.Task[None]] = set()

    @property
    def takes_seconds(self) -> float:
        """For how long after its signing the venue may still take a request, and let it be seen."""
        return self.config.recv_window_ms / 1000

    @property
    def remembers_seconds(self) -> float | None:
        """For how long after an order's end the venue still answers for it by our id; later its "no such order" says nothing about whether
        the order was. None: for as long as anybody may ask, as far as is known."""
        return None

    @asynccontextmanager
    async def budget(self, call: str) -> AsyncIterator[None]:
        """Wait for the shared budget of a call and send within. Raises `Refused`: nothing was sent.

        An order waits at most half of the time in which the venue takes it, for it was signed before. What leaves without an answer may
        still arrive, and so counts on.
        """
        if self.limiter is None:
            yield
            return
        within = min(self.config.timeout, self.config.recv_window_ms / 2000) if call == "create" else 10.0
        try:
            grant = await self.limiter.acquire(call, within=within)
        except OverBudget as error:
            raise Refused("RATE_LIMITED", str(error)) from error
        try:
            yield
        except BaseException as error:
            if isinstance(error, NotSent) or getattr(error, "answer", None) is not None:
                grant.settle()
            raise
        grant.settle()

    def limited(self, seconds: float) -> None:
        """The venue said to wait so long: all who share its budget do."""
        if self.limiter is not None:
            self.limiter.hold(seconds)
            task = asyncio.get_running_loop().create_task(self._penalise(self.limiter, seconds))
            self._penalties.add(task)
            task.add_done_callback(self._penalties.discard)

    async def leave_budget(self) -> None:
        """When the adapter closes: what is still to be told to the others is told."""
        if self.limiter is not None:
            await asyncio.gather(*self._penalties)
            await self.limiter.close()

    async def _penalise(self, limiter: Limiter, seconds: float) -> None:
        try:
            await limiter.penalise(seconds)
        except (RedisError, OSError) as error:
            log.warning("%s: the shared budget cannot be told to wait: %s", self.config.name, error)

    async def markets(self, exchange: Any) -> Mapping[str, Any]:
        """The venue's markets as ccxt's `exchange` has them, asked anew: it would repeat what an earlier answer said.

        Raises what the protocol raises, and `BadResponse` where there is none: an answer of `{}` would close them all.
        """
        async with self.budget("markets"):
            with readable(self.config.name, "its markets"):
                found: Mapping[str, Any] = await exchange.load_markets(True)
        if not found:
            raise errors.BadResponse(f"{self.config.name}: its answer lists no market")
        return found

    @abstractmethod
    async def load(self) -> list[Instrument]:
        """Measure the venue's clock and read its instruments. Raises what the protocol raises."""

    @abstractmethod
    async def probe(self) -> bool:
        """Whether the venue answers; measures its clock again."""

    @abstractmethod
    def now_ms(self) -> int:
        """The time to sign a request with, milliseconds of the venue's clock."""

    @abstractmethod
    async def place(self, child: ChildOrder, signed_at: int | None = None) -> Outcome:
        """Send an order once. `signed_at`: see `now_ms`; the venue refuses it `recv_window_ms` later."""

    @abstractmethod
    async def cancel(self, symbol: str, child_id: str) -> Outcome:
        """Ask to cancel. Safe to repeat."""

    @abstractmethod
    async def query(self, symbol: str, child_id: str) -> OrderView | NotFound | Unknown:
        """Ask what became of an order."""

    def together(self, child_id: str) -> bool:
        """Whether one request answers the question after this order and after many others: the more are asked at once the better."""
        return False

    @abstractmethod
    async def trades(self, symbol: str, venue_order_id: str) -> list[VenueTrade] | Unknown:
        """All executions of an order, oldest first; `Unknown` where they may not be all."""

    @abstractmethod
    async def open_orders(self, symbol: str | None = None) -> Listing | Unknown:
        """What rests at the venue, as far as it can be read (`Listing.partial`)."""

    @abstractmethod
    async def balances(self) -> Mapping[str, tuple[int, int]]:
        """Asset -> (free, locked) in 1e-8. Raises what the protocol raises."""

    def ours(self, client_id: str) -> bool:
        """Whether a client order id at the venue looks like one that we give. Others' may, too."""
        return CHILD_ID.fullmatch(client_id) is not None

    def know(  # noqa: B027  # not every adapter needs it
        self, child_id: str, venue_order_id: str | None = None, sent_at: int | None = None
    ) -> None:
        """A child that a former process may have sent, not before `sent_at` (microseconds), and the venue's id of it where it is known: the
        stream may tell of it."""

    def forget(self, child_id: str) -> None:  # noqa: B027  # not every adapter needs it
        """A child that nothing more is to be heard of."""

    def doubt(self) -> None:  # noqa: B027  # not every adapter needs it
        """The venue was found to have done what its stream should have told long ago: connect the stream anew."""

    @abstractmethod
    def events(self) -> AsyncIterator[StreamUp | VenueEvent]:
        """The user stream, for ever; reconnects by itself and says so with `StreamUp`."""

    @abstractmethod
    async def close(self) -> None:
        """Leave. The HTTP client is its owner's to close."""


def wall_ms() -> int:
    """Milliseconds since the epoch by this machine."""
    return time.time_ns() // 1_000_000
