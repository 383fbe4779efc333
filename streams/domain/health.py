"""Whether a venue may be routed to, and what its slowness and unreliability cost an order there.

A refusal is a stable code that the plan carries as the candidate's reason. The penalty is a rate on the price, exact in 1e-8: it decides
between venues of nearly the same price and is never part of a cost that is reported. A venue of which nothing is known yet has
no penalty; whether its book and its instrument are there decides.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Instrument, InstrumentStatus, VenueHealth, VenueStatus
from streams.domain.book import Book

SCALE = 100_000_000

NO_INSTRUMENT = "NO_INSTRUMENT"
INSTRUMENT_CLOSED = "INSTRUMENT_CLOSED"
VENUE_DOWN = "VENUE_DOWN"
VENUE_MAINTENANCE = "VENUE_MAINTENANCE"
HEALTH_OLD = "HEALTH_OLD"
NO_BOOK = "NO_BOOK"
BOOK_STALE = "BOOK_STALE"
BOOK_OLD = "BOOK_OLD"
BOOK_CROSSED = "BOOK_CROSSED"


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """Ages in microseconds. `latency_rate`: price penalty (1e-8) a millisecond; `failure_rate`: at a success rate of zero.

    The defaults make 100 ms cost a tenth of a basis point, and a success rate of 95 % one.
    """

    book_age_us: int = 10_000_000
    health_age_us: int = 60_000_000
    latency_rate: int = 10
    failure_rate: int = 200_000


def refusal(
    instrument: Instrument | None, health: VenueHealth | None, book: Book | None, settings: HealthSettings, now: int
) -> str:
    """Why a venue must not be routed to, or an empty string."""
    if instrument is None:
        return NO_INSTRUMENT
    if instrument.status is not InstrumentStatus.OPEN:
        return INSTRUMENT_CLOSED
    if health is not None:
        if health.status is VenueStatus.DOWN:
            return VENUE_DOWN
        if health.status is VenueStatus.MAINTENANCE:
            return VENUE_MAINTENANCE
        if now - health.at > settings.health_age_us:
            return HEALTH_OLD
    if book is None:
        return NO_BOOK
    if not book.live:
        return BOOK_STALE
    if not book.fresh(now, settings.book_age_us):
        return BOOK_OLD
    return BOOK_CROSSED if book.crossed else ""


def penalty(health: VenueHealth | None, settings: HealthSettings) -> int:
    """What is added to the price of a buy and taken from that of a sell there, as a rate in 1e-8."""
    if health is None:
        return 0
    slow = health.latency_us * settings.latency_rate // 1000
    return slow + (SCALE - health.success_rate) * settings.failure_rate // SCALE
