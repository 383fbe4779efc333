"""How a venue does, from the outcomes of our own requests. Pure: times come in as arguments.

DOWN after `DOWN_AFTER` transport failures in a row, until something answers. DEGRADED when the smoothed success rate falls below
`DEGRADED_BELOW`. A refusal by the venue is an answer: it counts as success.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import VenueHealth, VenueStatus

SCALE = 100_000_000
DOWN_AFTER = 3
DEGRADED_BELOW = 90 * SCALE // 100
WEIGHT = 10  # an observation moves the averages by a tenth


@dataclass(slots=True)
class Health:
    """One venue's running averages: latency in microseconds, success as a rate in 1e-8."""

    venue: str
    latency_us: int = 0
    success_rate: int = SCALE
    failures: int = 0
    down: bool = False
    reason: str = ""

    def answered(self, latency_us: int | None = None) -> None:
        """The venue answered; `latency_us` is given for order round trips alone."""
        self.failures, self.down, self.reason = 0, False, ""
        self.success_rate += (SCALE - self.success_rate) // WEIGHT
        if latency_us is not None:
            self.latency_us = (
                latency_us if not self.latency_us else self.latency_us + (latency_us - self.latency_us) // WEIGHT
            )

    def failed(self, reason: str) -> None:
        """The venue did not answer, or not so that it can be relied on."""
        self.failures += 1
        self.success_rate -= self.success_rate // WEIGHT
        self.reason = reason
        self.down = self.down or self.failures >= DOWN_AFTER

    def unreachable(self, reason: str) -> None:
        """Not even its instruments can be read: there is nothing to send to it."""
        self.failed(reason)
        self.down = True

    @property
    def status(self) -> VenueStatus:
        """Whether the venue may be traded on."""
        if self.down:
            return VenueStatus.DOWN
        return VenueStatus.DEGRADED if self.success_rate < DEGRADED_BELOW else VenueStatus.ACTIVE

    def record(self, now: int) -> VenueHealth:
        """What is published."""
        return VenueHealth(
            venue=self.venue,
            status=self.status,
            latency_us=self.latency_us,
            success_rate=self.success_rate,
            reason=self.reason[:200],
            at=now,
        )
