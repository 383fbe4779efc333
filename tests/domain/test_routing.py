"""Plans against independent solvers (exhaustive on small cases, exact threshold on large ones) and against what no plan may do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import ceil, floor
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import (
    BookUpdate,
    BookUpdateKind,
    Instrument,
    InstrumentStatus,
    Level,
    OrderType,
    PlannedChild,
    RouteRequest,
    Side,
    TimeInForce,
    VenueHealth,
    VenueStatus,
)
from streams.domain.book import Book, Depth, Pair
from streams.domain.consolidated import without
from streams.domain.routing import CHILD_ID_MOST, Decision, Market, child_id
from streams.domain.routing import plan as plan_markets
from streams.domain.terms import RoutingSettings, terms

SCALE = 100_000_000
NOW = 1_700_000_000_000_000
PLAIN = RoutingSettings(most_children=100, latency_rate=0, failure_rate=0, slack_rate=0)


class Venue(NamedTuple):
    """One venue in a test."""

    venue: str
    instrument: Instrument | None
    health: VenueHealth | None
    book: Book | None
    taken: Mapping[int, int] = {}


def _net(venue: Venue, side: Side) -> Depth | None:
    return without(venue.book, side is Side.BUY, venue.taken) if venue.book is not None and venue.taken else None


def plan(order: RouteRequest, venues: Iterable[Venue], chosen: RoutingSettings, now: int) -> Decision:
    found = sorted(venues, key=lambda one: one.venue)
    markets = [Market(terms(v.venue, v.instrument, v.health, chosen), v.book, _net(v, order.side)) for v in found]
    return plan_markets(order, markets, chosen, now)


def market(venue: str, side: Side, levels: list[Pair], **instrument: Any) -> Venue:
    """A venue whose levels an order of `side` takes; prices and quantities in units."""
    offered = tuple(Level(price=p, quantity=q) for p, q in levels)
    book = Book()
    book.apply(
        BookUpdate(
            venue=venue,
            symbol="X/Y",
            kind=BookUpdateKind.SNAPSHOT,
            bids=offered if side is Side.SELL else (),
            asks=offered if side is Side.BUY else (),
            received_at=NOW,
        )
    )
    values: dict[str, Any] = {"tick": 1, "lot": 1, "min_quantity": 0, "max_quantity": 0, "min_notional": 0}
    fees = {"maker_fee": 0, "taker_fee": 0}
    made = Instrument(
        venue=venue,
        symbol="X/Y",
        base="X",
        quote="Y",
        status=InstrumentStatus.OPEN,
        at=NOW,
        **{**values, **fees, **instrument},
    )
    return Venue(venue, made, None, book)


def request(side: Side, quantity: int, price: int | None = None, **changes: Any) -> RouteRequest:
    values: dict[str, Any] = {
        "order_id": "order1",
        "account_id": "account",
        "symbol": "X/Y",
        "side": side,
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.IOC,
        "quantity": quantity,
        "price": price if price is not None else (10**15 if side is Side.BUY else 1),
        "attempt": 0,
        "accepted_at": NOW,
    }
    return RouteRequest(**{**values, **changes})


SIDES = st.sampled_from(list(Side))
FEES = st.sampled_from([0, 10_000, 80_000, 100_000, 260_000])


@st.composite
def some_levels(draw: st.DrawFn, step: int = 1, most: int = 4) -> list[Pair]:
    count = draw(st.integers(0, most))
    prices = draw(st.lists(st.integers(990, 1010), min_size=count, max_size=count, unique=True))
    return [(price * SCALE, draw(st.integers(1, 4)) * step) for price in prices]


def all_in(market_: Venue, side: Side, quantity: int) -> Fraction | None:
    """What `quantity` costs (or brings) at one venue with fees; `None` when it has not so much."""
    assert market_.book is not None and market_.instrument is not None
    ladder = market_.book.asks if side is Side.BUY else market_.book.bids
    cost, left = Fraction(0), quantity
    fee = Fraction(market_.instrument.taker_fee, SCALE)
    for price, there in ladder:
        take = min(there, left)
        cost += Fraction(price * take) * (1 + fee if side is Side.BUY else 1 - fee)
        left -= take
    return None if left else cost


def expected_price(venue: Venue, side: Side, child: PlannedChild, takes: int) -> int:
    """What the venue's best `takes` average to, rounded against us; the child's own price where it takes nothing."""
    assert venue.book is not None
    ladder = venue.book.asks if side is Side.BUY else venue.book.bids
    worth, left = Fraction(0), takes
    for price, there in ladder:
        take = min(max(there - venue.taken.get(price, 0), 0), left)
        worth += price * take
        left -= take
    average = worth / takes if takes else Fraction(child.price)
    return ceil(average) if side is Side.BUY else floor(average)


def planned_cost(made: Decision, markets: list[Venue], side: Side) -> Fraction:
    costs = [all_in(m, side, c.quantity) for c in made.children for m in markets if m.venue == c.venue]
    assert None not in costs, "a child takes more than its venue shows"
    return sum((cost for cost in costs if cost is not None), Fraction(0))


# ---- the optimum


@settings(deadline=None)
@given(SIDES, st.lists(st.tuples(some_levels(), FEES), min_size=1, max_size=3), st.integers(1, 8))
def test_the_split_is_the_optimum_of_all_possible_splits(
    side: Side, venues: list[tuple[list[Pair], int]], quantity: int
) -> None:
    markets = [market(f"v{n}", side, levels, taker_fee=fee) for n, (levels, fee) in enumerate(venues)]
    best: tuple[int, Fraction] | None = None
    for shares in product(range(quantity + 1), repeat=len(markets)):
        costs = [all_in(m, side, share) for m, share in zip(markets, shares, strict=True)]
        if sum(shares) > quantity or None in costs:
            continue
        cost = sum((c for c in costs if c is not None), Fraction(0))
        worth = (sum(shares), -cost if side is Side.BUY else cost)
        if best is None or worth > best:
            best = worth
    assert best is not None
    made = plan(request(side, quantity), markets, PLAIN, NOW)
    assert sum(c.quantity for c in made.children) == best[0] == quantity - made.plan.unrouted
    cost = planned_cost(made, markets, side)
    assert (-cost if side is Side.BUY else cost) == best[1]


@settings(max_examples=40, deadline=None)
@given(
    SIDES,
    st.lists(st.tuples(some_levels(step=7, most=20), FEES), min_size=1, max_size=8),
    st.integers(1, 500),
)
def test_the_split_is_the_optimum_by_marginal_price(
    side: Side, venues: list[tuple[list[Pair], int]], quantity: int
) -> None:
    """At the optimum some price divides what is taken whole from what is not taken; found by trying them all."""
    markets = [market(f"v{n}", side, levels, taker_fee=fee) for n, (levels, fee) in enumerate(venues)]
    sign = 1 if side is Side.BUY else -1
    effective = [
        (sign * Fraction(price) * (SCALE + sign * fee) / SCALE, there)
        for levels, fee in venues
        for price, there in levels
    ]
    filled = min(quantity, sum(there for _, there in effective))
    optimum: Fraction | None = None
    for marginal, _ in effective:
        below = [(p, q) for p, q in effective if p < marginal]
        taken = sum(q for _, q in below)
        at = sum(q for p, q in effective if p == marginal)
        if taken <= filled <= taken + at:
            optimum = sum((p * q for p, q in below), Fraction(0)) + marginal * (filled - taken)
    made = plan(request(side, quantity), markets, PLAIN, NOW)
    assert sum(c.quantity for c in made.children) == filled
    if filled:
        assert sign * planned_cost(made, markets, side) == optimum


def test_what_is_no_whole_lot_anywhere_is_exchanged_between_venues() -> None:
    coarse, fine = market("a", Side.BUY, [(10, 50)], lot=5), market("b", Side.BUY, [(11, 4)])
    made = plan(request(Side.BUY, 9), [coarse, fine], PLAIN, NOW)
    assert [(c.venue, c.quantity) for c in made.children] == [("a", 5), ("b", 4)]
    coarse, fine = market("a", Side.BUY, [(11, 50)], lot=5), market("b", Side.BUY, [(10, 4)])
    made = plan(request(Side.BUY, 7), [coarse, fine], PLAIN, NOW)
    assert [(c.venue, c.quantity) for c in made.children] == [("a", 5), ("b", 2)]


def test_a_rest_that_fits_nowhere_is_exchanged_in_as_many_lots_as_it_takes() -> None:
    """Lots of 5 at the cheaper venue, which fills up, and of 3: the one left is placed when 5 go from one to the other, which takes 6."""
    made = plan(
        request(Side.BUY, 51),
        [
            market("v1", Side.BUY, [(100 * SCALE, 60)], lot=3),
            market("v2", Side.BUY, [(99 * SCALE, 35)], lot=5),
        ],
        PLAIN,
        NOW,
    )
    assert {c.venue: c.quantity for c in made.children} == {"v1": 21, "v2": 30}


@pytest.mark.parametrize(("beyond", "venue"), [(101, "scrap"), (103, "whole")])
def test_less_than_a_lot_at_a_better_price_counts(beyond: int, venue: str) -> None:
    """Half a lot for 99 and the other for `beyond` is a lot for 100, or 101; the other venue has it for 100.5 at once."""
    venues = [
        market("scrap", Side.BUY, [(99 * SCALE, 5), (beyond * SCALE, 20)], lot=10),
        market("whole", Side.BUY, [(100 * SCALE + SCALE // 2, 20)], lot=10),
    ]
    made = plan(request(Side.BUY, 10), venues, PLAIN, NOW)
    assert [(c.venue, c.quantity) for c in made.children] == [(venue, 10)]
    assert made.plan.best_single_venue == venue


@settings(deadline=None)
@given(SIDES, st.lists(st.tuples(some_levels(step=7), FEES), min_size=1, max_size=3), st.integers(1, 60))
def test_lots_cost_no_more_than_a_lot_of_each_venue(
    side: Side, venues: list[tuple[list[Pair], int]], quantity: int
) -> None:
    lots = (1, 3, 5)
    free = [market(f"v{n}", side, levels, taker_fee=fee) for n, (levels, fee) in enumerate(venues)]
    lotted = [market(f"v{n}", side, levels, taker_fee=fee, lot=lots[n]) for n, (levels, fee) in enumerate(venues)]
    without = plan(request(side, quantity), free, PLAIN, NOW)
    made = plan(request(side, quantity), lotted, PLAIN, NOW)
    lost = sum(c.quantity for c in without.children) - sum(c.quantity for c in made.children)
    assert 0 <= lost < sum(lots[: len(venues)])
    sign = 1 if side is Side.BUY else -1
    # what lots move between venues is priced at most at the worst level that anyone shows
    worst = max((sign * p * (SCALE + sign * fee) for levels, fee in venues for p, _ in levels), default=0)
    best = min((sign * p * (SCALE + sign * fee) for levels, fee in venues for p, _ in levels), default=0)
    least = sign * planned_cost(without, free, side) - Fraction(worst * lost, SCALE)
    paid = sign * planned_cost(made, lotted, side)
    assert (
        least
        <= paid
        <= sign * planned_cost(without, free, side)
        - Fraction(best * lost, SCALE)
        + Fraction((worst - best) * (sum(lots) + 15), SCALE)  # 15: the least that venues of 3 and 5 can exchange
    )


def test_a_child_goes_a_little_beyond_its_worst_level_within_the_limit() -> None:
    near = market("near", Side.BUY, [(100 * SCALE, SCALE)], tick=SCALE // 100)
    slack = RoutingSettings(slack_rate=SCALE // 1000)
    for limit, price in ((101, 10010), (100, 10000)):
        made = plan(request(Side.BUY, SCALE, limit * SCALE), [near], slack, NOW)
        assert [c.price for c in made.children] == [price * SCALE // 100]
        assert made.plan.average_price == 100 * SCALE, "the plan counts on the level"
    small = market("small", Side.SELL, [(100 * SCALE, SCALE)], tick=SCALE // 100, min_notional=100 * SCALE)
    made = plan(request(Side.SELL, SCALE, 99 * SCALE), [small], slack, NOW)
    assert [c.price for c in made.children] == [100 * SCALE], "never below what the venue takes at least"


# ---- what no plan may do


@st.composite
def hard_markets(draw: st.DrawFn) -> tuple[Side, list[Venue], RouteRequest, RoutingSettings]:
    """Venues with lots, ticks, minimums, maximums, penalties and earlier plans, and an order of any kind on them."""
    side = draw(SIDES)
    markets = []
    for n in range(draw(st.integers(1, 5))):
        found = market(
            f"v{n}",
            side,
            draw(some_levels(step=draw(st.sampled_from([1, 50, 12_345])) * 1000, most=6)),
            lot=draw(st.sampled_from([1, 1000, 7000])),
            tick=draw(st.sampled_from([1, SCALE, SCALE // 3])),
            min_quantity=draw(st.sampled_from([0, 2000, 50_000])),
            max_quantity=draw(st.sampled_from([0, 0, 100_000])),
            min_notional=draw(st.sampled_from([0, 100_000, 10_000_000])),
            taker_fee=draw(FEES),
            maker_fee=draw(st.sampled_from([0, -5000, 80_000])),
        )
        taken = {price: draw(st.integers(0, 20_000)) for price, _ in draw(some_levels())}
        health = VenueHealth(
            venue=found.venue,
            status=draw(st.sampled_from([VenueStatus.ACTIVE, VenueStatus.DEGRADED, VenueStatus.DOWN])),
            latency_us=draw(st.integers(0, 3_000_000)),
            success_rate=draw(st.integers(0, SCALE)),
            reason="",
            at=NOW,
        )
        markets.append(found._replace(taken=taken, health=draw(st.sampled_from([None, health]))))
    order = request(
        side,
        draw(st.integers(1, 400_000)),
        draw(st.integers(985 * SCALE, 1015 * SCALE)),
        order_type=draw(st.sampled_from([OrderType.MARKET, OrderType.LIMIT])),
        time_in_force=draw(st.sampled_from(list(TimeInForce))),
        attempt=draw(st.integers(0, 3)),
    )
    slack = draw(st.sampled_from([0, 10_000, SCALE // 100]))
    chosen = RoutingSettings(most_children=draw(st.sampled_from([1, 2, 8])), slack_rate=slack)
    return side, markets, order, chosen


@settings(max_examples=400, deadline=None)
@given(hard_markets())
def test_no_plan_breaks_a_rule(case: tuple[Side, list[Venue], RouteRequest, RoutingSettings]) -> None:
    side, markets, order, chosen = case
    made = plan(order, markets, chosen, NOW)
    by_venue = {m.venue: m for m in markets}
    total = sum(c.quantity for c in made.children)
    assert total + made.plan.unrouted == order.quantity
    assert bool(made.plan.unrouted) == bool(made.plan.reason)
    taking = [c for c in made.children if c.time_in_force is not TimeInForce.GTC]
    assert len(taking) <= chosen.most_children
    assert len({c.venue for c in taking}) == len(taking), "one marketable child a venue"
    assert len({c.child_id for c in made.children}) == len(made.children)
    resting = [c for c in made.children if c.time_in_force is TimeInForce.GTC]
    assert len(resting) <= 1
    if resting:
        for beside in (c for c in taking if c.venue == resting[0].venue):
            both, takes = resting[0].quantity + beside.quantity, by_venue[beside.venue].instrument
            assert takes is not None, "two orders race at one venue only where it would not take them as one"
            assert 0 < takes.max_quantity < both or both * resting[0].price < takes.min_notional * SCALE
        assert order.order_type is OrderType.LIMIT
        assert order.time_in_force in (TimeInForce.GTC, TimeInForce.GTD)
    if order.time_in_force is TimeInForce.FOK:
        assert [c.quantity for c in made.children] in ([], [order.quantity])
    for child in made.children:
        at = by_venue[child.venue]
        assert at.instrument is not None and at.book is not None
        assert at.health is None or at.health.status is not VenueStatus.DOWN
        assert child.price <= order.price if side is Side.BUY else child.price >= order.price
        assert child.quantity % at.instrument.lot == 0
        assert child.price % at.instrument.tick == 0
        assert child.quantity >= at.instrument.min_quantity
        assert child.quantity <= (at.instrument.max_quantity or child.quantity)
        assert child.quantity * child.price >= at.instrument.min_notional * SCALE
        if child.time_in_force is not TimeInForce.GTC:
            ladder = at.book.asks if side is Side.BUY else at.book.bids
            reached = sum(
                max(quantity - at.taken.get(price, 0), 0)
                for price, quantity in ladder
                if (price <= child.price if side is Side.BUY else price >= child.price)
            )
            assert child.quantity <= reached
            worst = next(levels[-1][0] for venue, levels in made.takes if venue == child.venue)
            beyond = child.price - worst if side is Side.BUY else worst - child.price
            assert beyond < max(worst * chosen.slack_rate // SCALE, at.instrument.tick) + 1
    assert [(c.child_id, c.venue, c.price, c.quantity, c.time_in_force) for c in made.children] == [
        (c.child_id, c.venue, c.price, c.quantity, c.time_in_force) for c in made.plan.children
    ]
    assert (made.plan.side, made.plan.quantity) == (side, order.quantity)
    marketable = {venue: sum(q for _, q in levels) for venue, levels in made.takes}
    for planned in made.plan.children:
        takes = min(planned.quantity, marketable.get(planned.venue, 0))
        if planned.time_in_force is TimeInForce.GTC and planned.venue in {c.venue for c in taking}:
            takes = 0  # another child takes there
        assert planned.expected_price == expected_price(by_venue[planned.venue], side, planned, takes)
    for venue, levels in made.takes:
        assert sum(q for _, q in levels) <= sum(c.quantity for c in made.children if c.venue == venue)
    assert plan(order, markets, chosen, NOW) == made


@settings(max_examples=400, deadline=None)
@given(hard_markets())
def test_no_plan_is_worse_than_the_best_single_venue(
    case: tuple[Side, list[Venue], RouteRequest, RoutingSettings],
) -> None:
    side, markets, order, _ = case
    markets = [m._replace(taken={}, health=None) for m in markets]
    order = msgspec.structs.replace(order, time_in_force=TimeInForce.IOC)
    made = plan(order, markets, PLAIN, NOW)
    filled = sum(c.quantity for c in made.children)
    for one in markets:
        alone = plan(order, [one], PLAIN, NOW)
        quantity = sum(c.quantity for c in alone.children)
        assert quantity <= filled
        if quantity == filled and filled:
            mine, its = planned_cost(made, markets, side), planned_cost(alone, [one], side)
            assert mine <= its if side is Side.BUY else mine >= its
            assert made.plan.best_single_price is not None and made.plan.average_price is not None
            gain = made.plan.best_single_price - made.plan.average_price
            assert gain >= 0 if side is Side.BUY else gain <= 0


# ---- cases


def test_a_share_below_its_venues_minimum_goes_to_the_others() -> None:
    cheap = market("cheap", Side.BUY, [(100 * SCALE, SCALE // 10)], min_notional=50 * SCALE)
    other = market("other", Side.BUY, [(101 * SCALE, 5 * SCALE)], min_notional=50 * SCALE)
    made = plan(request(Side.BUY, SCALE), [cheap, other], PLAIN, NOW)
    assert [(c.venue, c.quantity) for c in made.children] == [("other", SCALE)]
    tiny = plan(request(Side.BUY, SCALE // 10), [cheap, other], PLAIN, NOW)
    assert (tiny.children, tiny.plan.unrouted, tiny.plan.reason) == ((), SCALE // 10, "BELOW_MINIMUM")


def test_a_share_below_its_venues_minimum_is_lifted_where_that_is_better() -> None:
    a = market("a", Side.BUY, [(1000, 4), (1010, 6)], min_quantity=5)
    b = market("b", Side.BUY, [(1001, 7)], min_quantity=5)
    made = plan(request(Side.BUY, 11), [a, b], PLAIN, NOW)
    assert {c.venue: c.quantity for c in made.children} == {"a": 5, "b": 6}


@settings(max_examples=300, deadline=None)
@given(SIDES, st.lists(st.tuples(some_levels(), FEES, st.integers(0, 6)), min_size=1, max_size=3), st.integers(1, 12))
def test_with_minimums_the_split_is_the_optimum_of_all_possible_splits(
    side: Side, venues: list[tuple[list[Pair], int, int]], quantity: int
) -> None:
    markets = [
        market(f"v{n}", side, levels, taker_fee=fee, min_quantity=least)
        for n, (levels, fee, least) in enumerate(venues)
    ]
    best: tuple[int, Fraction] = (0, Fraction(0))
    for shares in product(*[[0, *range(max(least, 1), quantity + 1)] for _, _, least in venues]):
        costs = [all_in(m, side, share) for m, share in zip(markets, shares, strict=True)]
        if sum(shares) <= quantity and None not in costs:
            cost = sum((c for c in costs if c is not None), Fraction(0))
            best = max(best, (sum(shares), -cost if side is Side.BUY else cost))
    made = plan(request(side, quantity), markets, PLAIN, NOW)
    cost = planned_cost(made, markets, side)
    assert (sum(c.quantity for c in made.children), -cost if side is Side.BUY else cost) == best


def test_many_small_shares_are_gathered_at_one_venue() -> None:
    """Each share alone is too small, the whole is not: dropping them must end at a venue that can do it."""
    markets = [
        market(f"v{n}", Side.BUY, [(100 * SCALE + n, SCALE), (101 * SCALE + n, 9 * SCALE)], min_quantity=3 * SCALE)
        for n in range(3)
    ]
    made = plan(request(Side.BUY, 3 * SCALE), markets, PLAIN, NOW)
    assert [(c.quantity) for c in made.children] == [3 * SCALE]
    assert made.plan.unrouted == 0


def test_the_number_of_children_is_bounded() -> None:
    markets = [market(f"v{n}", Side.BUY, [(100 * SCALE + n, (n + 1) * SCALE)]) for n in range(4)]
    made = plan(request(Side.BUY, 10 * SCALE), markets, replace(PLAIN, most_children=2), NOW)
    assert {c.venue: c.quantity for c in made.children} == {"v2": 3 * SCALE, "v3": 4 * SCALE}
    assert (made.plan.unrouted, made.plan.reason) == (3 * SCALE, "CHILD_LIMIT")


def test_a_fill_or_kill_order_goes_whole_to_one_venue_or_nowhere() -> None:
    small = market("small", Side.BUY, [(100 * SCALE, 2 * SCALE)])
    large = market("large", Side.BUY, [(101 * SCALE, 2 * SCALE), (102 * SCALE, 2 * SCALE)])
    made = plan(request(Side.BUY, 3 * SCALE, time_in_force=TimeInForce.FOK), [small, large], PLAIN, NOW)
    assert [(c.venue, c.quantity, c.price, c.time_in_force) for c in made.children] == [
        ("large", 3 * SCALE, 102 * SCALE, TimeInForce.FOK)
    ]
    none = plan(request(Side.BUY, 5 * SCALE, time_in_force=TimeInForce.FOK), [small, large], PLAIN, NOW)
    assert (none.children, none.plan.reason) == ((), "NO_VENUE_FILLS_WHOLE")


def test_a_remainder_that_is_too_small_to_rest_alone_rests_with_a_marketable_child() -> None:
    only = market("only", Side.BUY, [(100 * SCALE, 9 * SCALE)], min_quantity=2 * SCALE)
    order = request(Side.BUY, 10 * SCALE, 101 * SCALE, time_in_force=TimeInForce.GTC)
    made = plan(order, [only], PLAIN, NOW)
    assert [(c.quantity, c.price, c.time_in_force) for c in made.children] == [
        (10 * SCALE, 101 * SCALE, TimeInForce.GTC)
    ]
    assert made.plan.average_price == 100 * SCALE


def test_a_remainder_that_rests_where_some_is_taken_is_one_order_with_it() -> None:
    only = market("only", Side.BUY, [(100 * SCALE, 4 * SCALE)], taker_fee=100_000, maker_fee=50_000)
    made = plan(request(Side.BUY, 10 * SCALE, 101 * SCALE, time_in_force=TimeInForce.GTC), [only], PLAIN, NOW)
    (child,) = made.plan.children
    assert (child.quantity, child.price, child.time_in_force) == (10 * SCALE, 101 * SCALE, TimeInForce.GTC)
    assert child.expected_fee == 400 * SCALE // 1000 + 606 * SCALE // 2000
    assert [sum(q for _, q in levels) for _, levels in made.takes] == [4 * SCALE]


def test_what_would_be_too_little_at_the_limit_stays_an_order_of_its_own() -> None:
    only = market("only", Side.SELL, [(100 * SCALE, SCALE)], min_notional=100 * SCALE)
    made = plan(request(Side.SELL, SCALE + SCALE // 100, 90 * SCALE, time_in_force=TimeInForce.GTC), [only], PLAIN, NOW)
    assert [(c.quantity, c.time_in_force) for c in made.children] == [(SCALE, TimeInForce.IOC)]
    assert (made.plan.unrouted, made.plan.reason) == (SCALE // 100, "BELOW_MINIMUM")


def test_an_order_that_rests_whole_goes_to_the_best_score() -> None:
    fast = VenueHealth(venue="", status=VenueStatus.ACTIVE, latency_us=1000, success_rate=SCALE, reason="", at=NOW)
    slow = msgspec.structs.replace(fast, latency_us=900_000)
    a = market("a", Side.BUY, [(100 * SCALE, SCALE)])._replace(health=slow)
    b = market("b", Side.BUY, [(100 * SCALE, SCALE)])._replace(health=fast)
    made = plan(request(Side.BUY, SCALE, 90 * SCALE, time_in_force=TimeInForce.GTC), [a, b], PLAIN, NOW)
    assert [(c.venue, c.price, c.time_in_force) for c in made.children] == [("b", 90 * SCALE, TimeInForce.GTC)]
    assert (made.plan.average_price, made.plan.best_single_price) == (None, None)


def test_every_refusal_has_its_reason() -> None:
    good = market("v", Side.BUY, [(100 * SCALE, SCALE)])
    assert good.instrument is not None and good.book is not None
    closed = msgspec.structs.replace(good.instrument, status=InstrumentStatus.CLOSED)
    health = VenueHealth(venue="v", status=VenueStatus.ACTIVE, latency_us=0, success_rate=SCALE, reason="", at=NOW)
    down = msgspec.structs.replace(health, status=VenueStatus.DOWN)
    kept = msgspec.structs.replace(health, status=VenueStatus.MAINTENANCE)
    old = msgspec.structs.replace(health, at=NOW - 3_600_000_000)
    cases = {
        "NO_INSTRUMENT": good._replace(instrument=None),
        "INSTRUMENT_CLOSED": good._replace(instrument=closed),
        "VENUE_DOWN": good._replace(health=down),
        "VENUE_MAINTENANCE": good._replace(health=kept),
        "HEALTH_OLD": good._replace(health=old),
        "NO_BOOK": good._replace(book=None),
        "BOOK_STALE": good._replace(book=Book()),
        "": good._replace(health=health),
    }
    for reason, case in cases.items():
        made = plan(request(Side.BUY, SCALE), [case], RoutingSettings(), NOW)
        assert [(c.eligible, c.reason) for c in made.plan.candidates] == [(not reason, reason)]
        assert made.plan.reason == ("NO_ELIGIBLE_VENUE" if reason else "")
    late = plan(request(Side.BUY, SCALE), [good], RoutingSettings(), NOW + 10_000_001)
    assert [c.reason for c in late.plan.candidates] == ["BOOK_OLD"]


@settings(deadline=None)
@given(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=60), st.integers(0, 9999), st.integers(0, 99)
)
def test_child_ids_suit_every_venue(order_id: str, attempt: int, number: int) -> None:
    made = child_id(order_id, attempt, number)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,36}", made) and len(made) <= CHILD_ID_MOST
    if len(order_id) <= 24:
        assert made == f"{order_id}-{attempt}-{number}"
    assert made == child_id(order_id, attempt, number)
    assert made != child_id(order_id, attempt, number + 1)


def test_a_request_for_nothing_is_an_error() -> None:
    with pytest.raises(ValueError):
        plan(request(Side.BUY, 0), [], PLAIN, NOW)


def test_post_only_rests_where_it_takes_nothing() -> None:
    near, far = market("near", Side.BUY, [(10, 50)]), market("far", Side.BUY, [(12, 50)])
    order = msgspec.structs.replace(
        request(Side.BUY, 9, price=11), order_type=OrderType.LIMIT, time_in_force=TimeInForce.GTC
    )
    made = plan(msgspec.structs.replace(order, post_only=True), [near, far], PLAIN, NOW)
    (child,) = made.children
    assert (child.venue, child.quantity, child.price, child.post_only) == ("far", 9, 11, True)
    assert child.time_in_force is TimeInForce.GTC and made.takes == ()
    made = plan(msgspec.structs.replace(order, post_only=True), [near], PLAIN, NOW)
    assert (made.children, made.plan.unrouted, made.plan.reason) == ((), 9, "WOULD_TAKE")
    made = plan(order, [near], PLAIN, NOW)
    assert made.children[0].post_only is None
