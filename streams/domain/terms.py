"""What a venue's instrument and health mean to an order: whether it may go there, on what terms, and what is added for slowness.

A refusal is a stable code that the plan carries as the candidate's reason. The penalty is a rate on the price, exact in 1e-8: it decides
between venues of nearly the same price and is never part of a cost that is reported. A venue of which no health is known yet has no
penalty; whether its book and its instrument are there decides.

Terms change with an instrument or a health record, which is seldom, so they are worked out apart from the orders that use them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.records import Instrument, InstrumentStatus, VenueHealth, VenueStatus
from streams.domain import scoring
from streams.domain.book import Book
from streams.domain.money import MAX, SCALE

NO_INSTRUMENT = "NO_INSTRUMENT"
INSTRUMENT_CLOSED = "INSTRUMENT_CLOSED"
VENUE_DOWN = "VENUE_DOWN"
VENUE_MAINTENANCE = "VENUE_MAINTENANCE"
HEALTH_OLD = "HEALTH_OLD"
NO_BOOK = "NO_BOOK"
BOOK_STALE = "BOOK_STALE"
BOOK_OLD = "BOOK_OLD"
BOOK_CROSSED = "BOOK_CROSSED"
REFUSED_BEFORE = "REFUSED_BEFORE"  # the venue refused this order, or could not be reached for it

TRADE, MID = "TRADE", "MID"  # what triggers stops
FOR_EVER = 1 << 62
VENUE = "venue|"  # and its name: the key among the trading states of what an operator says of a venue
_SHUT = {VenueStatus.DOWN: VENUE_DOWN, VenueStatus.MAINTENANCE: VENUE_MAINTENANCE}


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """Ages and times in microseconds, rates in 1e-8.

    `most_children`: marketable children a plan. `hold_us`: how long a plan's quantity counts as gone from its levels. `quote_every_us`: how
    often a quote that does not change is said again, so that its readers know that it still holds. `latency_rate`: price penalty a millisecond; `failure_rate`: at a success rate of zero. The defaults make 100 ms cost a tenth of a basis point, and
    a success rate of 95 % one. `slack_rate`: how far beyond the worst level that it needs a child that takes may go. `move_rate` (0: off): a move of the mid within `move_us` that halts a symbol's market orders for `halt_us`,
    then lets them in carefully for `half_open_us`. `request_age_us`: how old a request that takes at once may be when it is planned. `inventory`: our accounts at the venues are funded separately, so that no venue gets
    more than its account can pay for. `trigger`: what reaches a stop's price, TRADE (of any venue) or MID (the consolidated one). Raises
    `ValueError` for another.
    """

    most_children: int = 8
    hold_us: int = 500_000
    book_age_us: int = 10_000_000
    quote_every_us: int = 20_000_000
    health_age_us: int = 60_000_000
    latency_rate: int = 10
    failure_rate: int = 200_000
    slack_rate: int = 10_000
    move_rate: int = 5 * SCALE // 100
    move_us: int = 10_000_000
    halt_us: int = 30_000_000
    half_open_us: int = 30_000_000
    request_age_us: int = 60_000_000
    inventory: bool = False
    trigger: str = TRADE
    score: scoring.ScoreSettings = field(default_factory=scoring.ScoreSettings)

    def __post_init__(self) -> None:
        if self.trigger not in (TRADE, MID):
            raise ValueError(f"trigger: {self.trigger} is neither {TRADE} nor {MID}")


@dataclass(frozen=True, slots=True)
class Terms:
    """One venue's terms for one symbol.

    `refused`: why no order may go there, or empty; `until`: when what is known of its health is too old. `rate`: 1e-8 times one plus
    (to a buyer) or minus (to a seller) the taker fee; `ranked`: the same with the penalty. `most`, `floor` and `least_notional` bound
    a child, `held` all children of an order; `latency` and `reliability` are the score's components.
    """

    venue: str
    refused: str
    until: int
    tick: int
    lot: int
    floor: int
    most: int
    least_notional: int
    maker_fee: int
    buy_rate: int
    buy_ranked: int
    sell_rate: int
    sell_ranked: int
    latency: int
    reliability: int
    held: int = MAX


def terms(
    venue: str,
    instrument: Instrument | None,
    health: VenueHealth | None,
    settings: RoutingSettings,
    maintained: bool = False,
) -> Terms:
    """The terms of a venue that has this instrument and this health, as far as they are known; `maintained`: an operator's word."""
    refused = NO_INSTRUMENT if instrument is None else ""
    if instrument is not None and instrument.status is not InstrumentStatus.OPEN:
        refused = INSTRUMENT_CLOSED
    if maintained:
        refused = VENUE_MAINTENANCE
    if not refused and health is not None:
        refused = _SHUT.get(health.status, "")
    fee, more = instrument.taker_fee if instrument else 0, penalty(health, settings)
    return Terms(
        venue=venue,
        refused=refused,
        until=health.at + settings.health_age_us if health else FOR_EVER,
        tick=max(instrument.tick, 1) if instrument else 1,
        lot=max(instrument.lot, 1) if instrument else 1,
        floor=instrument.min_quantity if instrument else 0,
        most=(instrument.max_quantity if instrument else 0) or MAX,  # 0: the venue names none
        least_notional=instrument.min_notional if instrument else 0,
        maker_fee=instrument.maker_fee if instrument else 0,
        buy_rate=SCALE + fee,
        buy_ranked=SCALE + fee + more,
        sell_rate=SCALE - fee,
        sell_ranked=SCALE - fee - more,
        latency=scoring.latency_score(health.latency_us, settings.score.latency_half_us) if health else SCALE,
        reliability=scoring.reliability_score(health.success_rate) if health else SCALE,
    )


def penalty(health: VenueHealth | None, settings: RoutingSettings) -> int:
    """What is added to the price of a buy and taken from that of a sell there, as a rate in 1e-8."""
    if health is None:
        return 0
    slow = health.latency_us * settings.latency_rate // 1000
    return slow + (SCALE - health.success_rate) * settings.failure_rate // SCALE


def refusal(of: Terms, book: Book | None, settings: RoutingSettings, now: int) -> str:
    """Why a venue must not be routed to at `now`, or an empty string."""
    if of.refused:
        return of.refused
    if now > of.until:
        return HEALTH_OLD
    if book is None:
        return NO_BOOK
    if not book.live:
        return BOOK_STALE
    if now - book.received_at > settings.book_age_us:
        return BOOK_OLD
    return BOOK_CROSSED if book.crossed else ""
