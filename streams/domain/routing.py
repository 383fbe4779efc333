"""Where an order goes: eligible venues, the cheapest split of what is marketable, a resting child for the rest, and why.

Rules:

* no child goes beyond the request's price, off its venue's ticks or lots, below its minimums, or above what its levels hold;
* the marketable part becomes one IOC child a venue, priced at the worst level that it needs there; FOK only where one venue fills it whole;
* what is left of a limit order that may rest becomes one GTC child at the limit, at the best-scored venue that takes it. Where it is too
  small to rest alone, it rests with the marketable child of the best-scored venue among those used;
* a post-only order takes nothing: all of it rests, at the best-scored venue that has nothing within its limit;
* anything else is unrouted, with a stable reason; a plan is made of every request, also when nothing can be routed;
* the venue's penalty decides but is not reported: costs and prices of a plan are all-in with fees, which count as paid in the quote asset;
* rounding of a reported price is against us: up for a buy, down for a sell.

`plan` is a function of its arguments alone. Child ids derive from the order, the attempt and the child's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from operator import attrgetter
from typing import NamedTuple

from schemas.records import (
    Candidate,
    ChildOrder,
    OrderType,
    PlannedChild,
    RoutePlan,
    RouteRequest,
    Side,
    TimeInForce,
)
from streams.domain.book import Book, Depth, Pair
from streams.domain.money import SCALE
from streams.domain.splitting import Lane, best_single, split
from streams.domain.terms import RoutingSettings, Terms, refusal

NO_ELIGIBLE_VENUE = "NO_ELIGIBLE_VENUE"
NO_LIQUIDITY = "NO_LIQUIDITY"  # within the request's price
NO_VENUE_FILLS_WHOLE = "NO_VENUE_FILLS_WHOLE"
BELOW_MINIMUM = "BELOW_MINIMUM"
BELOW_LOT = "BELOW_LOT"
WOULD_TAKE = "WOULD_TAKE"  # a post-only order, and every venue has something within its limit
CHILD_LIMIT = "CHILD_LIMIT"

CHILD_ID_MOST = 36
_RESTS = (TimeInForce.GTC, TimeInForce.GTD)
_LIMITED = (OrderType.LIMIT, OrderType.STOP_LIMIT)


class Market(NamedTuple):
    """One venue as a request finds it. `net`: the side of its book that an order takes from, without what earlier plans count on."""

    terms: Terms
    book: Book | None
    net: Depth | None = None


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
    """The decision on a request, given each venue as it is at `now` (microseconds), in the order of their names.

    Raises `ValueError` for a quantity that is not positive.
    """
    if request.quantity <= 0:
        raise ValueError(f"the quantity {request.quantity} is not positive")
    seen = _look(request, markets, settings, now)
    ranked = [view for view in seen.views if view.lane is not None]
    lanes = [view.lane for view in ranked if view.lane is not None]
    reason, obvious = "" if lanes else NO_ELIGIBLE_VENUE, False
    taking: list[tuple[Lane, int]] = []
    by_score = sorted(ranked, key=_TOTAL, reverse=True)
    if request.post_only:
        # it may rest only where nothing is within its limit
        by_score = [view for view in by_score if view.lane and not view.lane.whole]
        reason = reason or ("" if by_score else WOULD_TAKE)
    elif request.time_in_force is TimeInForce.FOK:
        whole = [view for view in ranked if view.lane and view.lane.alone and view.lane.whole == request.quantity]
        taking = [(lane, request.quantity)] if whole and (lane := max(whole, key=_TOTAL).lane) else []
        reason = reason or (NO_VENUE_FILLS_WHOLE if not whole else "")
    elif lanes:
        found = split(lanes, request.quantity, settings.most_children)
        taking, obvious = found.shares, found.obvious(request.quantity)
        reason = BELOW_MINIMUM if found.below_minimum else CHILD_LIMIT if found.capped else NO_LIQUIDITY
    drafts = [_taking(request, lane, share) for lane, share in taking]
    filled = sum(share for _, share in taking)
    rest = request.quantity - filled
    if rest and lanes and request.time_in_force in _RESTS and request.order_type in _LIMITED:
        rest -= _rest(drafts, by_score, rest)
        reason = BELOW_MINIMUM if reason in (NO_LIQUIDITY, "") else reason
    if rest and lanes and rest < min(lane.lot for lane in lanes):
        reason = BELOW_LOT
    single = taking[0][0] if obvious else best_single(lanes, filled) if filled else None
    return _decision(request, seen, drafts, filled, rest, reason, single, now)


# ---- each venue as it stands


class _View:
    """One venue: refused (no lane), or with what it offers, at which all-in price, and its score."""

    __slots__ = ("average", "lane", "liquidity", "price", "refused", "terms", "total")

    def __init__(self, terms: Terms, refused: str, lane: Lane | None, average: int | None) -> None:
        self.terms, self.refused, self.lane, self.average = terms, refused, lane, average
        self.price = self.liquidity = self.total = 0


_TOTAL = attrgetter("total")  # the first of equals, in the order of names, wins in max() and in a stable sort


class _Seen(NamedTuple):
    views: list[_View]
    mid: int | None  # of the eligible venues


def _look(request: RouteRequest, markets: Sequence[Market], settings: RoutingSettings, now: int) -> _Seen:
    buy, wanted, limit = request.side is Side.BUY, request.quantity, request.price
    oldest = now - settings.book_age_us
    views: list[_View] = []
    priced: list[tuple[_View, int]] = []
    bid, ask, best = 0, 0, 0
    for terms, book, net in markets:
        # what `refusal` would say, in short: most venues are not refused
        if (
            book is None
            or terms.refused
            or now > terms.until
            or book.received_at < oldest
            or book.crossed
            or not book.live
        ):
            views.append(_View(terms, refusal(terms, book, settings, now), None, None))
            continue
        lane = Lane(terms, buy, limit)
        lane.offer(book, net, wanted)
        average: int | None = None
        price = 0
        if whole := lane.whole:
            cost = lane.notional * lane.rate
            price = average = -(-cost // (whole * SCALE)) if buy else cost // (whole * SCALE)
        elif (top := book.ask if buy else book.bid) is not None:
            price = _average(top[0] * lane.rate, 1, buy)  # nothing within the limit: how near it is still counts
        view = _View(terms, "", lane, average)
        views.append(view)
        priced.append((view, price))
        if price and (not best or (price < best if buy else price > best)):
            best = price
        if (there := book.bid) is not None and there[0] > bid:
            bid = there[0]
        if (there := book.ask) is not None and (not ask or there[0] < ask):
            ask = there[0]
    score = settings.score
    near, wp, wl, wr, wq = best * score.price_half, score.price, score.latency, score.reliability, score.liquidity
    for view, price in priced:
        # `scoring`'s components and total, without a call for each
        of, offered = view.terms, view.lane.whole if view.lane else 0
        if price:
            view.price = p = near * SCALE // (near + abs(price - best) * SCALE)
        else:
            p = 0
        view.liquidity = liquid = SCALE if offered >= wanted else offered * SCALE // wanted
        view.total = (p * wp + of.latency * wl + of.reliability * wr + liquid * wq) // SCALE
    return _Seen(views, (bid + ask) // 2 if bid and ask else None)


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
    worst, notional = lane.filled(share)
    how = TimeInForce.FOK if request.time_in_force is TimeInForce.FOK else TimeInForce.IOC
    fee = _up(notional * (lane.rate - SCALE if lane.buy else SCALE - lane.rate))
    return _Draft(lane, lane.child_price(worst), share, how, fee, lane.levels(share), notional)


def _rest(drafts: list[_Draft], by_score: Sequence[_View], rest: int) -> int:
    """Draft a child that rests at the limit; how much of `rest` it takes."""
    for view in by_score:
        lane, terms = view.lane, view.terms
        quantity = min(rest, terms.most)
        quantity -= quantity % terms.lot
        if lane is not None and lane.limit > 0 and lane.accepts(quantity, lane.limit):
            fee = _up(lane.limit * quantity * terms.maker_fee)
            drafts.append(_Draft(lane, lane.limit, quantity, TimeInForce.GTC, fee))
            return quantity
    used = {draft.lane.terms.venue: draft for draft in drafts}
    for view in by_score:
        draft, terms = used.get(view.terms.venue), view.terms
        more = rest - rest % terms.lot
        if draft is not None and more and draft.quantity + more <= terms.most:
            draft.price, draft.time_in_force = draft.lane.limit, TimeInForce.GTC
            draft.quantity += more
            draft.fee += _up(draft.lane.limit * more * terms.maker_fee)
            return more
    return 0


# ---- the record of it


def _decision(
    request: RouteRequest,
    seen: _Seen,
    drafts: Sequence[_Draft],
    filled: int,
    rest: int,
    reason: str,
    alone: Lane | None,
    now: int,
) -> Decision:
    buy = request.side is Side.BUY
    children = tuple(
        ChildOrder(
            child_id=child_id(request.order_id, request.attempt, n),
            order_id=request.order_id,
            account_id=request.account_id,
            venue=draft.lane.terms.venue,
            symbol=request.symbol,
            side=request.side,
            order_type=OrderType.LIMIT,
            time_in_force=draft.time_in_force,
            quantity=draft.quantity,
            price=draft.price,
            created_at=now,
            post_only=request.post_only,
        )
        for n, draft in enumerate(drafts)
    )
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
        candidates=tuple([_candidate(view) for view in seen.views]),
        arrival_mid=seen.mid,
        average_price=_average(sum(d.notional * d.lane.rate for d in drafts), filled, buy) if filled else None,
        best_single_venue=alone.terms.venue if alone else None,
        best_single_price=_average(alone.notional * alone.rate, alone.whole, buy) if alone else None,
        planned_at=now,
    )
    return Decision(made, children, tuple([(draft.lane.terms.venue, draft.levels) for draft in drafts if draft.levels]))


def _candidate(view: _View) -> Candidate:
    terms = view.terms
    if view.lane is None:
        return _refused(terms.venue, view.refused)
    return Candidate(
        venue=terms.venue,
        eligible=True,
        reason="",
        score=view.total,
        price_score=view.price,
        latency_score=terms.latency,
        reliability_score=terms.reliability,
        liquidity_score=view.liquidity,
        average_price=view.average,
        filled=view.lane.whole,
    )


def _refused(venue: str, reason: str) -> Candidate:
    return Candidate(
        venue=venue,
        eligible=False,
        reason=reason,
        score=0,
        price_score=0,
        latency_score=0,
        reliability_score=0,
        liquidity_score=0,
        filled=0,
    )


def _average(cost: int, quantity: int, buy: bool) -> int:
    """The price (units) of `quantity` at `cost` (1e-24), rounded against us."""
    return -(-cost // (quantity * SCALE)) if buy else cost // (quantity * SCALE)


def _up(amount: int) -> int:
    """An amount of 1e-24 in units, rounded up."""
    return -(-amount // (SCALE * SCALE))
