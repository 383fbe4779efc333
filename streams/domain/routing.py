"""Where an order goes: eligible venues, the cheapest split of what is marketable, a resting child for the rest, and why.

Rules:

* no child goes beyond the request's price, off its venue's ticks or lots, below its minimums, or above what its levels hold;
* the marketable part becomes one IOC child a venue, priced at the worst level that it needs there; FOK only where one venue fills it whole;
* what is left of a limit order that may rest becomes one GTC child at the limit, at the best-scored venue that takes it. Where it is too
  small to rest alone, it rests with the marketable child of the best-scored venue among those used;
* anything else is unrouted, with a stable reason; a plan is made of every request, also when nothing can be routed;
* the venue's penalty decides but is not reported: costs and prices of a plan are all-in with fees, which count as paid in the quote asset;
* rounding of a reported price is against us: up for a buy, down for a sell.

`plan` is a function of its arguments alone. Child ids derive from the order, the attempt and the child's number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from operator import itemgetter
from typing import NamedTuple

from schemas.records import (
    Candidate,
    ChildOrder,
    Instrument,
    OrderType,
    PlannedChild,
    RoutePlan,
    RouteRequest,
    Side,
    TimeInForce,
    VenueHealth,
)
from streams.domain import health as venue_health
from streams.domain import scoring
from streams.domain.book import Book, Pair
from streams.domain.splitting import SCALE, Lane, best_single, split

NO_ELIGIBLE_VENUE = "NO_ELIGIBLE_VENUE"
NO_LIQUIDITY = "NO_LIQUIDITY"  # within the request's price
NO_VENUE_FILLS_WHOLE = "NO_VENUE_FILLS_WHOLE"
BELOW_MINIMUM = "BELOW_MINIMUM"
BELOW_LOT = "BELOW_LOT"
CHILD_LIMIT = "CHILD_LIMIT"

CHILD_ID_MOST = 36
_RESTS = (TimeInForce.GTC, TimeInForce.GTD)
_LIMITED = (OrderType.LIMIT, OrderType.STOP_LIMIT)


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """`most_children`: marketable children a plan; `hold_us`: how long a plan's quantity counts as gone from its levels."""

    most_children: int = 8
    hold_us: int = 500_000
    health: venue_health.HealthSettings = field(default_factory=venue_health.HealthSettings)
    score: scoring.ScoreSettings = field(default_factory=scoring.ScoreSettings)


class Market(NamedTuple):
    """One venue as a request finds it. `taken`: price -> quantity of the levels that earlier plans count on."""

    venue: str
    instrument: Instrument | None
    health: VenueHealth | None
    book: Book | None
    taken: Mapping[int, int] = {}


class Decision(NamedTuple):
    """A plan, the child orders that carry it out, and the levels that they take, by venue."""

    plan: RoutePlan
    children: tuple[ChildOrder, ...]
    takes: tuple[tuple[str, Sequence[Pair]], ...]


def child_id(order_id: str, attempt: int, number: int) -> str:
    """`<order_id>-<attempt>-<number>`; an order id that is too long for that is replaced by its digest."""
    name = f"{order_id}-{attempt}-{number}"
    if len(name) > CHILD_ID_MOST:
        tail = f"-{attempt}-{number}"
        name = sha256(order_id.encode()).hexdigest()[: CHILD_ID_MOST - len(tail)] + tail
    return name


def plan(request: RouteRequest, markets: Sequence[Market], settings: RoutingSettings, now: int) -> Decision:
    """The decision on a request, given each venue as it is at `now` (microseconds). Raises `ValueError` for no positive quantity."""
    if request.quantity <= 0:
        raise ValueError(f"the quantity {request.quantity} is not positive")
    markets = sorted(markets, key=itemgetter(0))
    routes = _routes(request, markets, settings, now)
    ranked = [route for route in routes if not route.refused]
    lanes = [route.lane for route in ranked]
    reason = "" if ranked else NO_ELIGIBLE_VENUE
    taking: list[tuple[Lane, int]] = []
    if request.time_in_force is TimeInForce.FOK:
        whole = [route for route in ranked if route.lane.whole == request.quantity and _takes_all(route.lane)]
        taking = [(max(whole, key=_by_score).lane, request.quantity)] if whole else []
        reason = reason or (NO_VENUE_FILLS_WHOLE if not whole else "")
    elif lanes:
        found = split(lanes, request.quantity, settings.most_children)
        taking = found.shares
        reason = BELOW_MINIMUM if found.below_minimum else CHILD_LIMIT if found.capped else NO_LIQUIDITY
    drafts = [_taking(request, lane, share) for lane, share in taking]
    filled = sum(share for _, share in taking)
    rest = request.quantity - filled
    if rest and ranked and request.time_in_force in _RESTS and request.order_type in _LIMITED:
        rest -= _rest(request, drafts, ranked, rest)
        reason = BELOW_MINIMUM if reason == NO_LIQUIDITY else reason
    if rest and lanes and rest < min(lane.lot for lane in lanes):
        reason = BELOW_LOT
    return _decision(request, routes, drafts, filled, rest, reason, _mid(markets, routes), now)


# ---- each venue as it stands


@dataclass(slots=True)
class _Route:
    """A venue in a request: refused, or with what it offers."""

    venue: str
    refused: str
    lane: Lane
    maker_fee: int = 0
    most: int = 0
    average: int | None = None
    score: scoring.Score = scoring.NONE


_NO_LANE = Lane("", True, SCALE, SCALE, 1, 1, 0, 0, 0)


def _routes(request: RouteRequest, markets: Sequence[Market], settings: RoutingSettings, now: int) -> list[_Route]:
    buy = request.side is Side.BUY
    routes: list[_Route] = []
    priced: list[tuple[_Route, VenueHealth | None, int | None]] = []
    for market in markets:
        refused = venue_health.refusal(market.instrument, market.health, market.book, settings.health, now)
        if refused or market.instrument is None or market.book is None:
            routes.append(_Route(market.venue, refused, _NO_LANE))
            continue
        instrument, ladder = market.instrument, market.book.asks if buy else market.book.bids
        lane = _lane(request, instrument, venue_health.penalty(market.health, settings.health))
        most = instrument.max_quantity or request.quantity
        lane.offer(ladder, market.taken, min(request.quantity, most))
        route = _Route(market.venue, "", lane, instrument.maker_fee, most)
        routes.append(route)
        price: int | None = None
        if lane.whole:
            price = route.average = _average(lane.notional * lane.rate, lane.whole, buy)
        elif (best := market.book.ask if buy else market.book.bid) is not None:
            price = _average(best[0] * lane.rate, 1, buy)  # nothing within the limit: how near it is still counts
        priced.append((route, market.health, price))
    known = [price for _, _, price in priced if price]
    best_price = (min(known) if buy else max(known)) if known else 0
    for route, health, price in priced:
        route.score = _score(request, route.lane, health, price, best_price, settings.score)
    return routes


def _lane(request: RouteRequest, instrument: Instrument, penalty: int) -> Lane:
    tick, lot, fee = max(instrument.tick, 1), max(instrument.lot, 1), instrument.taker_fee
    if request.side is Side.BUY:
        rate, ranked, limit = SCALE + fee, SCALE + fee + penalty, request.price // tick * tick
    else:
        rate, ranked, limit = SCALE - fee, SCALE - fee - penalty, -(-request.price // tick) * tick
    return Lane(
        venue=instrument.venue,
        buy=request.side is Side.BUY,
        rate=rate,
        ranked_rate=ranked,
        tick=tick,
        lot=lot,
        floor=instrument.min_quantity,
        least_notional=instrument.min_notional,
        limit=limit,
    )


def _score(
    request: RouteRequest,
    lane: Lane,
    health: VenueHealth | None,
    price: int | None,
    best: int,
    settings: scoring.ScoreSettings,
) -> scoring.Score:
    return scoring.total(
        scoring.price_score(price, best, settings.price_half) if price else 0,
        scoring.latency_score(health.latency_us, settings.latency_half_us) if health else SCALE,
        scoring.reliability_score(health.success_rate) if health else SCALE,
        scoring.liquidity_score(lane.whole, request.quantity),
        settings,
    )


def _by_score(route: _Route) -> int:
    return route.score.total  # the first of equals, in the order of names, wins in max() and in a stable sort


def _takes_all(lane: Lane) -> bool:
    return lane.takes_share(lane.whole)


# ---- the children


@dataclass(slots=True)
class _Draft:
    """A child to be. `notional` (1e-16) is that of the marketable part."""

    lane: Lane
    price: int
    quantity: int
    time_in_force: TimeInForce
    fee: int
    levels: Sequence[Pair] = ()
    notional: int = 0


def _taking(request: RouteRequest, lane: Lane, share: int) -> _Draft:
    levels, notional = lane.filled(share)
    how = TimeInForce.FOK if request.time_in_force is TimeInForce.FOK else TimeInForce.IOC
    fee = _up(notional * (lane.rate - SCALE if lane.buy else SCALE - lane.rate))
    return _Draft(lane, lane.child_price(levels[-1][0]), share, how, fee, levels, notional)


def _rest(request: RouteRequest, drafts: list[_Draft], ranked: Sequence[_Route], rest: int) -> int:
    """Draft a child that rests at the limit; how much of `rest` it takes."""
    by_score = sorted(ranked, key=_by_score, reverse=True)
    for route in by_score:
        lane, quantity = route.lane, min(rest, route.most)
        quantity -= quantity % lane.lot
        if lane.limit > 0 and lane.takes(quantity, lane.limit):
            fee = _up(lane.limit * quantity * route.maker_fee)
            drafts.append(_Draft(lane, lane.limit, quantity, TimeInForce.GTC, fee))
            return quantity
    used = {draft.lane.venue: draft for draft in drafts}
    for route in by_score:
        draft = used.get(route.venue)
        more = rest - rest % route.lane.lot
        if draft is not None and more and draft.quantity + more <= route.most:
            draft.price, draft.time_in_force = draft.lane.limit, TimeInForce.GTC
            draft.quantity += more
            draft.fee += _up(draft.lane.limit * more * route.maker_fee)
            return more
    return 0


# ---- the record of it


def _decision(
    request: RouteRequest,
    routes: Sequence[_Route],
    drafts: Sequence[_Draft],
    filled: int,
    rest: int,
    reason: str,
    arrival_mid: int | None,
    now: int,
) -> Decision:
    buy = request.side is Side.BUY
    children = tuple(
        ChildOrder(
            child_id=child_id(request.order_id, request.attempt, n),
            order_id=request.order_id,
            account_id=request.account_id,
            venue=draft.lane.venue,
            symbol=request.symbol,
            side=request.side,
            order_type=OrderType.LIMIT,
            time_in_force=draft.time_in_force,
            quantity=draft.quantity,
            price=draft.price,
            created_at=now,
        )
        for n, draft in enumerate(drafts)
    )
    alone = best_single([route.lane for route in routes if not route.refused], filled) if filled else None
    made = RoutePlan(
        order_id=request.order_id,
        account_id=request.account_id,
        symbol=request.symbol,
        attempt=request.attempt,
        children=tuple(
            PlannedChild(
                child_id=child.child_id,
                venue=child.venue,
                price=child.price,
                quantity=child.quantity,
                time_in_force=child.time_in_force,
                expected_fee=draft.fee,
            )
            for child, draft in zip(children, drafts, strict=True)
        ),
        unrouted=rest,
        reason=reason if rest else "",
        candidates=tuple(_candidate(route) for route in routes),
        arrival_mid=arrival_mid,
        average_price=_average(sum(d.notional * d.lane.rate for d in drafts), filled, buy) if filled else None,
        best_single_venue=alone.venue if alone else None,
        best_single_price=_average(alone.notional * alone.rate, alone.whole, buy) if alone else None,
        planned_at=now,
    )
    return Decision(made, children, tuple((draft.lane.venue, draft.levels) for draft in drafts if draft.levels))


def _candidate(route: _Route) -> Candidate:
    score = route.score
    return Candidate(
        venue=route.venue,
        eligible=not route.refused,
        reason=route.refused,
        score=score.total,
        price_score=score.price,
        latency_score=score.latency,
        reliability_score=score.reliability,
        liquidity_score=score.liquidity,
        average_price=route.average,
        filled=route.lane.whole,
    )


def _mid(markets: Sequence[Market], routes: Sequence[_Route]) -> int | None:
    """Halfway between the best bid and the best ask of the eligible venues, rounded down; `None` without both."""
    books = [m.book for m, route in zip(markets, routes, strict=True) if m.book is not None and not route.refused]
    bids = [book.bid[0] for book in books if book.bid]
    asks = [book.ask[0] for book in books if book.ask]
    return (max(bids) + min(asks)) // 2 if bids and asks else None


def _average(cost: int, quantity: int, buy: bool) -> int:
    """The price (units) of `quantity` at `cost` (1e-24), rounded against us."""
    return -(-cost // (quantity * SCALE)) if buy else cost // (quantity * SCALE)


def _up(amount: int) -> int:
    """An amount of 1e-24 in units, rounded up."""
    return -(-amount // (SCALE * SCALE))
