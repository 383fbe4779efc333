"""How a venue does, from the outcomes of our own requests, and its circuit breaker. Pure: times come in as arguments.

The breaker's states, told in `venue.health` by the status and the first word of the reason:

    CLOSED      in use: ACTIVE, or DEGRADED when the smoothed success rate is below `DEGRADED_BELOW`
    OPEN        DOWN, `BREAKER_OPEN`: `Breaker.failures` requests in a row failed, or as many orders were refused one after the other
    HALF_OPEN   DEGRADED, `BREAKER_HALF_OPEN`: `Breaker.open_us` later, once the venue answers again; one success closes it, one failure opens it

A venue that is back is believed again: its success rate is then at least `BACK`, and that of one of which nothing is heard heals with time. Else the
penalty for its past would keep the orders away by which alone it could show itself better.

A refusal is an answer: it counts as success for the averages, and only a row of them for the breaker. A late answer to something asked before the
breaker opened closes nothing. A venue whose instruments cannot even be read is DOWN without a breaker, until they can.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from schemas.records import VenueHealth, VenueStatus

SCALE = 100_000_000
SECOND = 1_000_000
DEGRADED_BELOW = 90 * SCALE // 100
BACK = 95 * SCALE // 100
WEIGHT = 10  # an observation moves the averages by a tenth
HEALING = 30  # a second without one, the success rate by a thirtieth of what it lacks
BREAKER_OPEN, BREAKER_HALF_OPEN = "BREAKER_OPEN", "BREAKER_HALF_OPEN"


class BreakerState(StrEnum):
    """See the module."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


@dataclass(frozen=True, slots=True)
class Breaker:
    """How many failures in a row open it, and how long (microseconds) it stays open at least."""

    failures: int = 5
    open_us: int = 60_000_000

    def __post_init__(self) -> None:
        if self.failures < 1 or self.open_us < 0:
            raise ValueError("a breaker needs at least one failure and no negative time")


@dataclass(slots=True)
class Health:
    """One venue's running averages: latency in microseconds, success as a rate in 1e-8."""

    venue: str
    latency_us: int = 0
    success_rate: int = SCALE
    failures: int = 0
    refusals: int = 0
    reason: str = ""
    breaker: Breaker = field(default_factory=Breaker)
    state: BreakerState = BreakerState.CLOSED
    _opened_at: int | None = None  # set at the first `record` after it opened
    _answers: bool = False  # since it opened
    _unreadable: bool = False
    _heard: bool = False  # since time was looked at last
    _healed_at: int | None = None

    @property
    def away(self) -> bool:
        """Whether it is down, or on trial."""
        return self.down or self.state is BreakerState.HALF_OPEN

    @property
    def down(self) -> bool:
        """Whether nothing may be sent to it."""
        return self._unreadable or self.state is BreakerState.OPEN

    def answered(self, latency_us: int | None = None, *, rejected: bool = False) -> None:
        """The venue answered; `latency_us` is given for order round trips alone, `rejected` when it refused an order."""
        self._unreadable, self._answers, self._heard = False, True, True
        self.success_rate += (SCALE - self.success_rate) // WEIGHT
        if latency_us is not None:
            self.latency_us = (
                latency_us if not self.latency_us else self.latency_us + (latency_us - self.latency_us) // WEIGHT
            )
        if rejected:
            self.refusals += 1
            if self.state is BreakerState.HALF_OPEN or self.refusals >= self.breaker.failures:
                self._open("the venue refuses every order")
            return
        if latency_us is not None:
            self.refusals = 0
        if self.state is BreakerState.OPEN:
            return
        if self.state is BreakerState.HALF_OPEN and self.refusals and latency_us is None:
            return  # that it answers was never in doubt: an order has to be taken
        if self.state is BreakerState.HALF_OPEN:
            self.success_rate = max(self.success_rate, BACK)
        self.state, self.failures, self.reason = BreakerState.CLOSED, 0, ""

    def failed(self, reason: str) -> None:
        """The venue did not answer, or not so that it can be relied on."""
        self.failures += 1
        self.success_rate -= self.success_rate // WEIGHT
        self._answers, self._heard = False, True
        self.reason = reason
        if self.state is BreakerState.HALF_OPEN or self.failures >= self.breaker.failures:
            self._open(reason)

    def unreachable(self, reason: str) -> None:
        """Not even its instruments can be read: there is nothing to send to it."""
        self.failed(reason)
        self._unreadable = True

    def _open(self, reason: str) -> None:
        self.reason = reason
        if self.state is not BreakerState.OPEN:
            self.state, self._opened_at, self._answers = BreakerState.OPEN, None, False

    def _heal(self, now: int) -> None:
        """Nothing was heard for a second: what was, counts less."""
        if self._heard or self._healed_at is None or self.down:
            self._heard, self._healed_at = False, now
        elif now - self._healed_at >= SECOND:
            self.success_rate += (SCALE - self.success_rate) // HEALING
            self._healed_at = now

    @property
    def status(self) -> VenueStatus:
        """Whether the venue may be traded on."""
        if self.down:
            return VenueStatus.DOWN
        if self.state is BreakerState.HALF_OPEN or self.success_rate < DEGRADED_BELOW:
            return VenueStatus.DEGRADED
        return VenueStatus.ACTIVE

    def record(self, now: int) -> VenueHealth:
        """What is published; time moves the breaker here."""
        if self.state is BreakerState.OPEN:
            if self._opened_at is None:
                self._opened_at = now
            elif self._answers and now - self._opened_at >= self.breaker.open_us:
                self.state, self.failures = BreakerState.HALF_OPEN, 0
        self._heal(now)
        word = {BreakerState.OPEN: BREAKER_OPEN, BreakerState.HALF_OPEN: BREAKER_HALF_OPEN}.get(self.state, "")
        return VenueHealth(
            venue=self.venue,
            status=self.status,
            latency_us=self.latency_us,
            success_rate=self.success_rate,
            reason=": ".join(part for part in (word, self.reason) if part)[:200],
            at=now,
        )
