"""Where an order goes: eligible venues, the cheapest split of what is marketable, a resting child for the rest, and why.

Rules:

* no child goes beyond the request's price, off its venue's ticks or lots, below its minimums, or above what its levels hold;
* the marketable part becomes one IOC child a venue, priced at the worst level that it needs there, and a little beyond (`slack_rate`, never
  beyond the request's price): the plan counts on the levels, the slack saves another attempt when the market breathes; FOK only where one
  venue fills it whole;
* what is left of a limit order that may rest goes to the best-scored venue that takes it, at the limit: with the marketable child there, which
  becomes a GTC order for both, else as a GTC child of its own. Two orders side by side at one venue would race for the same levels;
* a post-only order takes nothing: all of it rests, at the best-scored venue that has nothing within its limit;
* anything else is unrouted, with a stable reason; a plan is made of every request, also when nothing can be routed;
* nothing is planned of a request that a halt concerns (`HALTED`), nor of one that takes at once and lay in a queue for long (`TOO_OLD`), nor
  of an order whose time is over (`TIME_EXPIRED`);
* the venue's penalty decides but is not reported: costs and prices of a plan are all-in with fees, which count as paid in the quote asset;
* rounding of a reported price is against us: up for a buy, down for a sell.

`plan` is a function of its arguments alone. Child ids derive from the order, the attempt and the child's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from schemas.records import (
    ChildOrder,
    OrderType,
    PlannedChild,
    RoutePlan,
    RouteRequest,
    Side,
    TimeInForce,
)
from streams.domain.book import Pair
from streams.domain.fronts import Fronts
from streams.domain.fronts import Market as Market
from streams.domain.look import TOTAL, Look, View
from streams.domain.money import SCALE
from streams.domain.splitting import Lane, best_single, split
from streams.domain.terms import REFUSED_BEFORE, RoutingSettings

NO_ELIGIBLE_VENUE = "NO_ELIGIBLE_VENUE"
NO_LIQUIDITY = "NO_LIQUIDITY"  # within the request's price
NO_VENUE_FILLS_WHOLE = "NO_VENUE_FILLS_WHOLE"
BELOW_MINIMUM = "BELOW_MINIMUM"
BELOW_LOT = "BELOW_LOT"
WOULD_TAKE = "WOULD_TAKE"  # a post-only order, and every venue has something within its limit
CHILD_LIMIT = "CHILD_LIMIT"
HALTED = "HALTED"  # trading is, of this request; see `refused`
TOO_OLD = "TOO_OLD"
TIME_EXPIRED = "TIME_EXPIRED"

CHILD_ID_MOST = 36
_RESTS = (TimeInForce.GTC, TimeInForce.GTD)
_LIMITED = (OrderType.LIMIT, OrderType.STOP_LIMIT)


class Decision:
    """A plan, the child orders that carry it out, and the levels that they take, by venue.

    `body` is the whole plan's encoding, which is what is sent; `outline` is the plan without its candidates, `plan` with them.
    """

    __slots__ = ("_plan", "body", "children", "outline", "takes")

    def __init__(
        self,
        outline: RoutePlan,
        body: bytes,
        children: tuple[ChildOrder, ...],
        takes: tuple[tuple[str, Sequence[Pair]], ...],
    ) -> None:
        self.outline, self.body, self.children, self.takes = outline, body, children, takes
        self._plan: RoutePlan | None = None

    @property
    def plan(self) -> RoutePlan:
        """The plan as a record."""
        if self._plan is None:
            self._plan, _ = RoutePlan.read(self.body, 0)
        return self._plan

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Decision):
            return NotImplemented
        return (self.body, self.children, self.takes) == (other.body, other.children, other.takes)

    __hash__ = None  # type: ignore[assignment]


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
    if request.avoid:
        markets = [_shut(market) if market.terms.venue in request.avoid else market for market in markets]
    fronts = Fronts.of(markets, request.side is Side.BUY, settings, now)
    seen = Look(request, fronts)
    if not request.post_only and request.time_in_force is not TimeInForce.FOK:
        plain = seen.plain(settings.most_children)  # most orders
        if plain is not None:
            filled = sum([share for _, share in plain.shares])
            drafts = [_taking(request, lane, share, settings.slack_rate) for lane, share in plain.shares]
            return _decision(request, seen, drafts, filled, request.quantity - filled, BELOW_LOT, plain.single, now)
    ranked = seen.views()
    lanes = [view.lane for view in ranked]
    reason, obvious = "" if lanes else NO_ELIGIBLE_VENUE, False
    taking: list[tuple[Lane, int]] = []
    by_score: Sequence[View] = ranked
    if request.post_only:
        # it may rest only where nothing is within its limit
        by_score = [view for view in ranked if not view.lane.whole]
        reason = reason or ("" if by_score else WOULD_TAKE)
    elif request.time_in_force is TimeInForce.FOK:
        whole = [view for view in ranked if view.lane.alone and view.lane.whole == request.quantity]
        taking = [(max(whole, key=TOTAL).lane, request.quantity)] if whole else []
        reason = reason or (NO_VENUE_FILLS_WHOLE if not whole else "")
    elif lanes:
        found = split(lanes, request.quantity, settings.most_children)
        taking, obvious = found.shares, found.obvious(request.quantity, lanes)
        reason = BELOW_MINIMUM if found.below_minimum else CHILD_LIMIT if found.capped else NO_LIQUIDITY
    drafts = [_taking(request, lane, share, settings.slack_rate) for lane, share in taking]
    filled = sum([share for _, share in taking])
    rest = request.quantity - filled
    least = min([lane.lot for lane in lanes], default=0)
    if rest and lanes and request.time_in_force in _RESTS and request.order_type in _LIMITED:
        if rest >= least:
            rest -= _rest(drafts, sorted(by_score, key=TOTAL, reverse=True), rest)
        reason = BELOW_MINIMUM if reason in (NO_LIQUIDITY, "") else reason
    if rest < least:
        reason = BELOW_LOT
    single = taking[0][0] if obvious else best_single(lanes, filled) if filled else None
    return _decision(request, seen, drafts, filled, rest, reason, single, now)


def refused(request: RouteRequest, reason: str, settings: RoutingSettings, now: int) -> Decision:
    """The decision to plan nothing, whatever the venues have."""
    seen = Look(request, Fronts.of((), request.side is Side.BUY, settings, now))
    return _decision(request, seen, (), 0, request.quantity, reason, None, now)


def over(request: RouteRequest, now: int) -> bool:
    """Whether the order's time is over: nothing of it may go out any more."""
    return request.expires_at is not None and request.expires_at <= now


def too_old(request: RouteRequest, settings: RoutingSettings, now: int) -> bool:
    """Whether a request that takes at once was made so long ago that the market it was priced by is gone."""
    asked = request.asked_at
    if asked is None or now - asked <= settings.request_age_us:
        return False
    return request.order_type is OrderType.MARKET or request.time_in_force not in _RESTS


def _shut(market: Market) -> Market:
    of = market.terms
    return market if of.refused else market._replace(terms=replace(of, refused=REFUSED_BEFORE))


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
    taken: int = 0  # the marketable part of `quantity`

    @property
    def expected(self) -> int:
        """The average price without fees of the levels taken, rounded against us; our own price where nothing is taken. What rests has that anyway."""
        if not self.taken:
            return self.price
        return -(-self.notional // self.taken) if self.lane.buy else self.notional // self.taken


def _taking(request: RouteRequest, lane: Lane, share: int, slack: int) -> _Draft:
    worst, notional = lane.filled(share)
    how = TimeInForce.FOK if request.time_in_force is TimeInForce.FOK else TimeInForce.IOC
    fee = _up(notional * (lane.rate - SCALE if lane.buy else SCALE - lane.rate))
    return _Draft(lane, lane.slack_price(worst, share, slack), share, how, fee, lane.levels(share), notional, share)


def _rest(drafts: list[_Draft], by_score: Sequence[View], rest: int) -> int:
    """Let as much of `rest` as can be rest at the limit at one venue; how much that is."""
    used = {draft.lane.terms.venue: draft for draft in drafts}
    for view in by_score:
        lane, terms, there = view.lane, view.terms, used.get(view.terms.venue)
        beside = there.quantity if there is not None else 0
        quantity = min(rest, terms.most, terms.held - beside)
        quantity -= quantity % terms.lot
        if lane.limit <= 0 or quantity <= 0:
            continue
        fee, both = _up(lane.limit * quantity * terms.maker_fee), quantity + beside
        if there is not None and both <= terms.most and lane.accepts(both, lane.limit):
            there.price, there.quantity, there.time_in_force = lane.limit, both, TimeInForce.GTC
            there.fee += fee
            return quantity
        if lane.accepts(quantity, lane.limit):
            drafts.append(_Draft(lane, lane.limit, quantity, TimeInForce.GTC, fee))
            return quantity
    return 0


# ---- the record of it


def _decision(
    request: RouteRequest,
    seen: Look,
    drafts: Sequence[_Draft],
    filled: int,
    rest: int,
    reason: str,
    alone: Lane | None,
    now: int,
) -> Decision:
    side, order_id, account_id, attempt = request.side, request.order_id, request.account_id, request.attempt
    buy, cost = side is Side.BUY, 0
    children: list[ChildOrder] = []
    planned: list[PlannedChild] = []
    takes: list[tuple[str, Sequence[Pair]]] = []
    for n, draft in enumerate(drafts):
        name, venue = child_id(order_id, attempt, n), draft.lane.terms.venue
        cost += draft.notional * draft.lane.rate
        if draft.levels:
            takes.append((venue, draft.levels))
        children.append(
            ChildOrder(
                child_id=name,
                order_id=order_id,
                account_id=account_id,
                venue=venue,
                symbol=request.symbol,
                side=side,
                order_type=OrderType.LIMIT,
                time_in_force=draft.time_in_force,
                quantity=draft.quantity,
                price=draft.price,
                created_at=now,
                post_only=request.post_only,
            )
        )
        planned.append(
            PlannedChild(
                child_id=name,
                venue=venue,
                price=draft.price,
                quantity=draft.quantity,
                time_in_force=draft.time_in_force,
                expected_fee=draft.fee,
                expected_price=draft.expected,
            )
        )
    made = RoutePlan(
        order_id=order_id,
        account_id=account_id,
        symbol=request.symbol,
        attempt=attempt,
        children=tuple(planned),
        unrouted=rest,
        reason=reason if rest else "",
        candidates=(),
        arrival_mid=seen.mid,
        average_price=_average(cost, filled, buy) if filled else None,
        best_single_venue=alone.terms.venue if alone else None,
        best_single_price=_average(alone.notional * alone.rate, alone.whole, buy) if alone else None,
        planned_at=now,
        side=side,
        quantity=request.quantity,
    )
    return Decision(made, made.body(candidates=seen.candidates()), tuple(children), tuple(takes))


def _average(cost: int, quantity: int, buy: bool) -> int:
    """The price (units) of `quantity` at `cost` (1e-24), rounded against us."""
    return -(-cost // (quantity * SCALE)) if buy else cost // (quantity * SCALE)


def _up(amount: int) -> int:
    """An amount of 1e-24 in units, rounded up."""
    return -(-amount // (SCALE * SCALE))
