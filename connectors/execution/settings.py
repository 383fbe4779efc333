"""How an execution connector behaves, as its configuration file says it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    """Of one process; times in seconds unless named otherwise.

    `instance`: stable name of this process, which lets a restart take over at once. `max_age`: an order that waited longer in Kafka is
    not sent; it must be less than `retention`, the time for which closed children are remembered, so that not even a consumer group
    that lost its offsets sends a child twice. `breaker_failures` in a row open a venue's circuit breaker, for `breaker_seconds`. `balance_seconds`: how often what
    we have at each venue is told in venue.balances, for accounts that are funded separately; 0 for never. `prefix` is put before the name of every
    topic. `audit`: how often what is open at a venue and what it holds is held against what we know (0 for never); `slack_units`: differences of a
    balance up to so many 1e-8 are believed without an alert, for venues that round otherwise than we do. `reconcile`: whether what is open here is compared with what is open there, and missing trades asked for; off, for the proof that it is
    needed.
    """

    group: str = "bestex-execution"
    instance: str | None = None
    prefix: str = ""
    claim_ttl: float = 4.0
    in_flight: int = 8
    claim_limit: int = 256
    linger: float = 0.004
    poll: float = 5.0
    max_age: float = 300.0
    retention: float = 600.0
    drain: float = 10.0
    session_timeout_ms: int = 10_000
    journal_timeout: float = 60.0
    breaker_failures: int = 5
    breaker_seconds: float = 60.0
    balance_seconds: float = 0.0
    audit: float = 15.0
    slack_units: int = 0
    reconcile: bool = True

    def __post_init__(self) -> None:
        if self.max_age >= self.retention:
            raise ValueError(f"max_age ({self.max_age} s) must be less than retention ({self.retention} s)")
