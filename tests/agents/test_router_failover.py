"""The router when venues are away: who waits, who is told, what an operator closed, what was refused; and its volatility breaker."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import (
    OrderType,
    RouteCancel,
    RoutePlan,
    RouteStatus,
    RouteStatusKind,
    Side,
    TimeInForce,
    TradingState,
    TradingStatus,
    VenueBalance,
    VenueStatus,
)
from streams.agents.breaker import BREAKERS
from streams.agents.held import ARMED, STOPS
from streams.domain.money import SCALE
from streams.domain.terms import RoutingSettings
from streams.domain.volatility import Moves
from tests.agents.test_router import SECOND, SYMBOL, Market, instrument, units

LOOK = 250_000


@pytest.fixture
def market() -> Market:
    made = Market()
    made.book("alpha", {"99.9": 5}, {"100.1": 1, "100.5": 5})
    made.book("beta", {"99.8": 5}, {"100.2": 1, "100.4": 1})
    made.driver.run()
    return made


def _plans(market: Market) -> list[RoutePlan]:
    return [r for r in market.driver.records("exchange.acks") if isinstance(r, RoutePlan)]


def _statuses(market: Market) -> list[tuple[str, int, RouteStatusKind]]:
    found = [r for r in market.driver.records("exchange.acks") if isinstance(r, RouteStatus)]
    return [(r.order_id, r.attempt, r.kind) for r in found]


def _all_down(market: Market) -> None:
    market.health("alpha", VenueStatus.DOWN)
    market.book("beta", {}, {}, "STALE")
    market.driver.run()


# ---- no venue


def test_orders_that_find_no_venue_are_told_once_when_one_is_back_across_crashes(market: Market) -> None:
    _all_down(market)
    orders = [
        market.order(1, 100.3, order_type=OrderType.LIMIT, time_in_force=TimeInForce.GTC, attempt=1) for _ in "ab"
    ]
    market.driver.run()
    assert [p.reason for p in _plans(market)] == ["NO_ELIGIBLE_VENUE"] * 2
    market.driver.advance(5 * SECOND)
    market.driver.crash()
    market.driver.advance(SECOND)
    assert _statuses(market) == []
    market.health("alpha", VenueStatus.ACTIVE)
    market.driver.prepare()  # a transaction that aborts
    market.driver.advance(LOOK)
    assert _statuses(market) == [(order, 1, RouteStatusKind.RESUMED) for order in orders]
    assert market.driver.all(STOPS) == {} and market.driver.all(ARMED) == {}
    market.driver.crash()
    market.driver.advance(5 * SECOND)
    assert len(_statuses(market)) == 2
    assert market.driver.records("venue.orders") == [], "the account asks for the route anew"


def test_a_venue_is_looked_for_however_many_orders_come(market: Market) -> None:
    _all_down(market)
    for n in range(10):
        market.order(1, attempt=1)
        market.driver.advance(LOOK // 3)
        if n == 5:
            market.health("alpha", VenueStatus.ACTIVE)
    market.driver.advance(LOOK)
    assert len(_statuses(market)) == 6 + sum(p.reason == "NO_ELIGIBLE_VENUE" for p in _plans(market)[6:])


def test_what_waits_is_forgotten_when_it_is_cancelled_or_routed_anew(market: Market) -> None:
    _all_down(market)
    first, second = market.order(1, attempt=1), market.order(1, attempt=1)
    market.driver.run()
    cancel = RouteCancel(order_id=first, account_id="acct-1", symbol=SYMBOL, at=market.driver.now)
    market.driver.feed("orders.routable", SYMBOL, cancel)
    market.orders -= 1
    market.order(1, attempt=2)  # of the second order
    market.driver.run()
    assert {k: v.attempt for k, v in market.driver.all(STOPS).items()} == {second: 2}
    market.health("alpha", VenueStatus.ACTIVE)
    market.driver.advance(LOOK)
    assert _statuses(market) == [(second, 2, RouteStatusKind.RESUMED)]
    market.driver.advance(SECOND)
    assert market.driver.all(ARMED) == {}


def test_a_stop_is_held_beside_what_waits(market: Market) -> None:
    stop = market.order(1, stop_price=units(101), attempt=1)
    _all_down(market)
    waits = market.order(1, attempt=1)
    market.driver.run()
    market.driver.crash()
    market.health("alpha", VenueStatus.ACTIVE)
    market.driver.advance(LOOK)
    assert _statuses(market) == [(waits, 1, RouteStatusKind.RESUMED)]
    assert set(market.driver.all(STOPS)) == {stop}


def test_a_venue_that_refused_an_order_is_not_asked_again_for_it(market: Market) -> None:
    order = market.order(1, avoid=("alpha",))
    market.driver.run()
    assert market.children(order) == {"beta": (units(1), units("100.2"))}
    assert {c.venue: c.reason for c in _plans(market)[0].candidates} == {"alpha": "REFUSED_BEFORE", "beta": ""}
    other = market.order(1, avoid=("alpha", "beta"), attempt=3)
    market.driver.run()
    assert market.children(other) == {} and _plans(market)[1].reason == "NO_ELIGIBLE_VENUE"
    market.driver.advance(LOOK)
    assert _statuses(market) == [(other, 3, RouteStatusKind.RESUMED)], "the venues are there: its account may ask again"


# ---- maintenance


def _venue(market: Market, venue: str, state: TradingStatus, until: int | None = None) -> None:
    now = market.driver.now
    said = TradingState(scope=f"venue|{venue}", state=state, until=until, reason="", actor="operator", at=now)
    market.driver.feed("trading.states", said.scope, said)
    market.driver.now += 1


def test_a_venue_in_maintenance_is_not_routed_to_until_it_is_over(market: Market) -> None:
    _venue(market, "alpha", TradingStatus.HALTED)
    order = market.order(1)
    market.driver.run()
    assert market.children(order) == {"beta": (units(1), units("100.2"))}
    assert {c.venue: c.reason for c in _plans(market)[0].candidates} == {"alpha": "VENUE_MAINTENANCE", "beta": ""}
    _venue(market, "alpha", TradingStatus.ACTIVE)
    order = market.order(1)
    market.driver.run()
    assert market.children(order) == {"alpha": (units(1), units("100.1"))}
    _venue(market, "alpha", TradingStatus.HALTED, until=market.driver.now + SECOND)
    order = market.order(1)
    market.driver.run()
    assert "alpha" not in market.children(order)
    market.driver.advance(2 * SECOND)
    order = market.order(1)
    market.driver.run()
    assert "alpha" in market.children(order)


def test_orders_wait_while_all_venues_are_in_maintenance(market: Market) -> None:
    for venue in ("alpha", "beta"):
        _venue(market, venue, TradingStatus.HALTED)
    order = market.order(1, attempt=1)
    market.driver.run()
    market.driver.advance(3 * SECOND)
    assert _statuses(market) == []
    _venue(market, "beta", TradingStatus.ACTIVE)
    market.driver.advance(LOOK)
    assert _statuses(market) == [(order, 1, RouteStatusKind.RESUMED)]


# ---- halts


def _state(market: Market, scope: str, state: TradingStatus, **changes: Any) -> None:
    said = TradingState(scope=scope, state=state, reason="", actor="operator", at=market.driver.now, **changes)
    market.driver.feed("trading.states", scope, said)


@pytest.mark.parametrize("scope", ["system", f"symbol|{SYMBOL}"])
def test_what_was_asked_for_before_a_halt_does_not_go_out_in_it(market: Market, scope: str) -> None:
    orders = [
        market.order(1),
        market.order(1, 99, order_type=OrderType.LIMIT, time_in_force=TimeInForce.GTC),
        market.order(1, 100.2, order_type=OrderType.LIMIT, time_in_force=TimeInForce.FOK),
    ]
    _state(market, scope, TradingStatus.HALTED, until=market.driver.now + SECOND)
    market.driver.prepare()
    market.driver.run()
    assert market.driver.records("venue.orders") == []
    assert [(p.order_id, p.reason, p.unrouted, p.candidates) for p in _plans(market)] == [
        (order, "HALTED", units(1), ()) for order in orders
    ]
    market.driver.advance(SECOND)
    assert _statuses(market) == [], "the accounts ask again"
    order = market.order(1)
    market.driver.run()
    assert market.children(order) != {}


def test_a_halt_of_market_orders_is_one_of_these_alone(market: Market) -> None:
    _state(market, f"breaker|{SYMBOL}", TradingStatus.HALTED, market_only=True)
    _state(market, "symbol|ETH/USDT", TradingStatus.HALTED)
    halted, goes = market.order(1), market.order(1, 100.2, order_type=OrderType.LIMIT)
    market.driver.run()
    assert market.children(halted) == {} and market.children(goes) != {}
    _state(market, f"breaker|{SYMBOL}", TradingStatus.REDUCING)
    order = market.order(1)
    market.driver.run()
    assert market.children(order) != {}, "only a halt is the router's business: others are judged by accounts"


def test_a_move_halts_the_market_orders_that_come_with_it(market: Market) -> None:
    """The breaker's word is in force before it has come back from its topic."""
    market.book("alpha", {"105": 5}, {"107": 5})
    market.book("beta", {"105": 5}, {"107": 5})
    halted, goes = market.order(1), market.order(1, 108, order_type=OrderType.LIMIT)
    market.driver.run()
    assert market.children(halted) == {} and _plans(market)[0].reason == "HALTED"
    assert market.children(goes) != {}
    market.driver.now += 1
    _state(market, f"breaker|{SYMBOL}", TradingStatus.ACTIVE)  # an operator knows better
    order = market.order(1)
    market.driver.run()
    assert market.children(order) != {}


def test_what_takes_at_once_is_not_planned_on_a_market_of_long_ago(market: Market) -> None:
    asked = market.driver.now - 60 * SECOND
    at_all = [market.order(1, accepted_at=0, asked_at=at) for at in (asked, asked - 1)]
    limits = [
        market.order(1, 99, order_type=OrderType.LIMIT, time_in_force=tif, asked_at=asked - 1)
        for tif in (TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTC)
    ]
    market.driver.run()
    reasons = {p.order_id: p.reason for p in _plans(market)}
    assert [reasons[order] for order in at_all] == ["", "TOO_OLD"]
    assert [reasons[order] for order in limits] == ["TOO_OLD", "TOO_OLD", ""]


# ---- accounts that are funded separately


def _balance(market: Market, venue: str, asset: str, free: float) -> None:
    said = VenueBalance(venue=venue, asset=asset, free=units(free), locked=0, at=market.driver.now)
    market.driver.feed("venue.balances", f"{venue}|{asset}", said)


@pytest.fixture
def funded() -> Market:
    made = Market(settings=RoutingSettings(slack_rate=0, inventory=True))
    made.book("alpha", {"99.9": 5}, {"100": 5})
    made.book("beta", {"99.8": 5}, {"101": 5})
    made.driver.run()
    return made


def test_a_venue_gets_no_more_than_its_account_pays_for(funded: Market) -> None:
    _balance(funded, "alpha", "USDT", 210.5)  # two and a bit at the order's limit
    order = funded.order(3, 105)
    funded.driver.run()
    assert funded.children(order) == {"alpha": (units("2.004"), units(100)), "beta": (units("0.996"), units(101))}
    _balance(funded, "alpha", "BTC", 1)
    _balance(funded, "beta", "BTC", 0)
    order = funded.order(3, 90, side=Side.SELL)
    funded.driver.run()
    assert funded.children(order) == {"alpha": (units(1), units("99.9"))}
    plan = _plans(funded)[-1]
    assert (plan.unrouted, plan.reason) == (units(2), "NO_LIQUIDITY")
    assert {c.venue: c.reason for c in plan.candidates} == {"alpha": "", "beta": "NO_INVENTORY"}


def test_what_was_sent_counts_until_a_balance_tells_of_it(funded: Market) -> None:
    _balance(funded, "alpha", "BTC", 2)
    _balance(funded, "beta", "BTC", 0)
    assert funded.children(_sold(funded, 1.5)) == {"alpha": (units("1.5"), units("99.9"))}
    assert funded.children(_sold(funded, 1.5)) == {"alpha": (units("0.5"), units("99.9"))}
    funded.driver.advance(5 * SECOND)
    assert funded.children(_sold(funded, 1)) == {}, "time alone brings nothing back"
    _balance(funded, "alpha", "BTC", 0.7)
    assert funded.children(_sold(funded, 1)) == {"alpha": (units("0.7"), units("99.9"))}
    _balance(funded, "alpha", "BTC", 0.7)
    assert funded.children(_sold(funded, 1)) == {}, "the venue may not have had the last order when it was asked"


def test_what_no_account_can_pay_for_waits_until_one_can(funded: Market) -> None:
    """Not told that it may go on while it may not: its account would ask four times a second for ever."""
    for venue in ("alpha", "beta"):
        _balance(funded, venue, "BTC", 0)
    _balance(funded, "alpha", "USDT", 210)
    _balance(funded, "beta", "USDT", 0)
    sale = funded.order(2, 90, side=Side.SELL, attempt=1)
    funded.driver.run()
    assert [p.reason for p in _plans(funded)] == ["NO_ELIGIBLE_VENUE"]
    funded.driver.advance(5 * SECOND)
    assert _statuses(funded) == [], "a purchase could be paid for, this sale could not"
    funded.driver.crash()
    _balance(funded, "beta", "BTC", 1)
    funded.driver.advance(LOOK)
    assert _statuses(funded) == [(sale, 1, RouteStatusKind.RESUMED)]
    assert funded.driver.all(STOPS) == {} and funded.driver.all(ARMED) == {}


def test_a_cheaper_order_goes_on_before_a_dearer_one_that_cannot_be_paid_for(funded: Market) -> None:
    for venue in ("alpha", "beta"):
        funded.health(venue, VenueStatus.DOWN)
        funded.driver.feed("instruments", f"{venue}|{SYMBOL}", instrument(venue, min_quantity=units(1)))
        _balance(funded, venue, "USDT", 100)
    dear, cheap = [funded.order(1, price, attempt=1) for price in (110, 100)]
    funded.driver.run()
    funded.health("alpha", VenueStatus.ACTIVE)
    funded.driver.advance(LOOK)
    assert _statuses(funded) == [(cheap, 1, RouteStatusKind.RESUMED)]
    _balance(funded, "alpha", "USDT", 110)
    funded.driver.advance(LOOK)
    assert _statuses(funded)[1:] == [(dear, 1, RouteStatusKind.RESUMED)]


def _sold(market: Market, quantity: float) -> str:
    order = market.order(quantity, 90, side=Side.SELL)
    market.driver.prepare()  # a transaction that aborts counts once
    market.driver.run()
    return order


def test_what_takes_and_what_rests_share_an_account(funded: Market) -> None:
    for venue, free in (("alpha", 6), ("beta", 0)):
        _balance(funded, venue, "BTC", free)
    funded.order(8, 99.85, side=Side.SELL, order_type=OrderType.LIMIT, time_in_force=TimeInForce.GTC)
    funded.driver.run()
    children = funded.driver.records("venue.orders")
    assert [(c.venue, c.quantity) for c in children] == [("alpha", units(6))]


# ---- the volatility breaker


def _mid(market: Market, mid: float) -> None:
    """Both books around a new mid."""
    for venue in ("alpha", "beta"):
        market.book(venue, {str(mid - 1): 5}, {str(mid + 1): 5})
    market.driver.run()


def _states(market: Market) -> list[TradingStatus]:
    said: list[TradingState] = market.driver.records("trading.states")
    assert all(s.scope == f"breaker|{SYMBOL}" and s.market_only and s.actor == "router" for s in said)
    return [s.state for s in said]


def test_a_large_move_halts_then_half_opens_then_ends_each_once_across_restarts(market: Market) -> None:
    for mid in (100, 102, 104):
        _mid(market, mid)
        market.driver.advance(SECOND)
    assert _states(market) == []
    market.book("alpha", {"105": 5}, {"107": 5})
    market.book("beta", {"105": 5}, {"107": 5})
    market.driver.prepare()
    market.driver.run()
    assert _states(market) == [TradingStatus.HALTED]
    assert "+6.00 % within 10 s" in market.driver.records("trading.states")[0].reason
    market.driver.crash()
    _mid(market, 120)
    assert _states(market) == [TradingStatus.HALTED], "it is halted already"
    market.driver.advance(29 * SECOND)
    market.driver.crash()
    assert _states(market) == [TradingStatus.HALTED]
    market.driver.advance(SECOND)
    assert _states(market) == [TradingStatus.HALTED, TradingStatus.HALF_OPEN]
    _mid(market, 119)
    market.driver.crash()
    market.driver.advance(30 * SECOND)
    market.driver.advance(30 * SECOND)
    assert _states(market) == [TradingStatus.HALTED, TradingStatus.HALF_OPEN, TradingStatus.ACTIVE]
    assert market.driver.all(BREAKERS) == {}


def test_a_move_while_half_open_halts_again(market: Market) -> None:
    _mid(market, 106)
    market.driver.advance(30 * SECOND)
    _mid(market, 100)
    market.driver.advance(29 * SECOND)
    assert _states(market) == [TradingStatus.HALTED, TradingStatus.HALF_OPEN, TradingStatus.HALTED]
    market.driver.advance(SECOND)
    assert _states(market)[3:] == [TradingStatus.HALF_OPEN], "its time is counted anew"


def test_the_window_is_known_again_after_a_restart(market: Market) -> None:
    _mid(market, 103)
    market.driver.advance(SECOND)
    market.driver.crash()
    _mid(market, 106)
    assert _states(market) == [TradingStatus.HALTED]


def test_a_slow_move_and_a_one_sided_market_halt_nothing(market: Market) -> None:
    for n in range(20):
        _mid(market, 100 + 3 * n)
        market.driver.advance(11 * SECOND)
    market.book("alpha", {}, {"200": 1})
    market.book("beta", {}, {"200": 1})
    market.driver.run()
    assert _states(market) == []


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(90, 110)), min_size=1, max_size=30),
    st.integers(1, 8),
)
def test_moves_are_those_of_a_naive_window(steps: list[tuple[int, int]], window: int) -> None:
    moves, known, now = Moves(), [], 0
    for wait, mid in steps:
        now += wait
        moves.note(mid, now, window)
        known.append((now, mid))
        # a mid is in force from its time to that of the next
        ends = [at for at, _ in known[1:]]
        inside = [m for (_, m), end in zip(known, ends, strict=False) if end >= now - window]
        up = max([(mid - m) * SCALE // m for m in inside], default=0)
        down = min([(mid - m) * SCALE // m for m in inside], default=0)
        assert abs(moves.move()) == max(up, -down, 0)
