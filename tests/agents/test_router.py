"""The router agent in memory: books then requests, crashes and aborted batches, silent and broken feeds, venues that are down."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import (
    BookUpdate,
    BookUpdateKind,
    ChildOrder,
    DeadLetter,
    Instrument,
    InstrumentStatus,
    Level,
    OrderType,
    Quote,
    RouteCancel,
    RoutePlan,
    RouteRequest,
    RouteStatus,
    RouteStatusKind,
    Side,
    TimeInForce,
    Trade,
    VenueHealth,
    VenueStatus,
)
from streams.agents.held import ARMED, STOPS
from streams.agents.router import router_agent
from streams.domain.consolidated import same_market
from streams.domain.terms import RoutingSettings
from streams.engine import driver
from streams.engine.driver import Abort, Crash, Driver

SCALE = 100_000_000
SYMBOL = "BTC/USDT"
START = 1_700_000_000_000_000
SECOND = 1_000_000


def units(value: str | int | float) -> int:
    return round(float(value) * SCALE)


def instrument(venue: str, **changes: Any) -> Instrument:
    values: dict[str, Any] = {
        "venue": venue,
        "symbol": SYMBOL,
        "base": "BTC",
        "quote": "USDT",
        "tick": units("0.01"),
        "lot": units("0.001"),
        "min_quantity": units("0.001"),
        "max_quantity": units(1000),
        "min_notional": units(5),
        "maker_fee": 0,
        "taker_fee": 0,
        "status": InstrumentStatus.OPEN,
        "at": START,
    }
    return Instrument(**{**values, **changes})


class Market:
    """A driver with two venues, and words to write books and orders with."""

    def __init__(self, partitions: int = 1, settings: RoutingSettings | None = None) -> None:
        self.driver = Driver(router_agent(settings or RoutingSettings(slack_rate=0)), now=START, partitions=partitions)
        self.ids = {"alpha": 100, "beta": 100}
        self.orders = 0
        for venue in self.ids:
            self.driver.feed("instruments", f"{venue}|{SYMBOL}", instrument(venue))

    def book(
        self, venue: str, bids: dict[str, float], asks: dict[str, float], kind: str = "SNAPSHOT", skip: int = 0
    ) -> None:
        first = self.ids[venue] + 1 + skip
        self.ids[venue] = first
        self.driver.feed(
            "market.books",
            SYMBOL,
            BookUpdate(
                venue=venue,
                symbol=SYMBOL,
                kind=BookUpdateKind(kind),
                first_id=first if kind == "DIFF" else None,
                last_id=first if kind != "STALE" else None,
                bids=tuple(Level(price=units(p), quantity=units(q)) for p, q in bids.items()),
                asks=tuple(Level(price=units(p), quantity=units(q)) for p, q in asks.items()),
                received_at=self.driver.now,
            ),
        )

    def health(self, venue: str, status: VenueStatus, success: float = 1) -> None:
        record = VenueHealth(
            venue=venue,
            status=status,
            latency_us=5000,
            success_rate=units(success),
            reason="",
            at=self.driver.now,
        )
        self.driver.feed("venue.health", venue, record)

    def order(self, quantity: float, price: float = 200, side: Side = Side.BUY, **changes: Any) -> str:
        self.orders += 1
        values: dict[str, Any] = {
            "order_id": f"order{self.orders}",
            "account_id": "acct-1",
            "symbol": SYMBOL,
            "side": side,
            "order_type": OrderType.MARKET,
            "time_in_force": TimeInForce.IOC,
            "quantity": units(quantity),
            "price": units(price),
            "attempt": 0,
            "accepted_at": self.driver.now,
        }
        self.driver.feed("orders.routable", SYMBOL, RouteRequest(**{**values, **changes}))
        return f"order{self.orders}"

    def plans(self) -> list[RoutePlan]:
        return [r for r in self.driver.records("exchange.acks") if isinstance(r, RoutePlan)]

    def children(self, order_id: str) -> dict[str, tuple[int, int]]:
        children: list[ChildOrder] = self.driver.records("venue.orders")
        return {c.venue: (c.quantity, c.price) for c in children if c.order_id == order_id}

    def quotes(self) -> list[Quote]:
        return self.driver.records("market.quotes")


@pytest.fixture
def market() -> Market:
    made = Market()
    made.book("alpha", {"99.9": 5}, {"100.1": 1, "100.5": 5})
    made.book("beta", {"99.8": 5}, {"100.2": 1, "100.4": 1})
    made.driver.run()
    return made


def test_an_order_takes_the_cheapest_levels_of_all_venues(market: Market) -> None:
    order = market.order(2.5)
    market.driver.run()
    assert market.children(order) == {
        "alpha": (units(1), units("100.1")),
        "beta": (units("1.5"), units("100.4")),
    }
    plan = market.plans()[0]
    assert (plan.unrouted, plan.reason, plan.arrival_mid) == (0, "", units(100))
    assert plan.best_single_venue == "alpha"
    assert plan.average_price == units("100.2")  # (100.1 + 100.2 + 100.4 / 2) / 2.5
    assert [c.child_id for c in plan.children] == ["order1-0-0", "order1-0-1"]


def test_quotes_are_consolidated_and_sent_when_they_change(market: Market) -> None:
    last = market.quotes()[-1]
    assert (last.bid, last.bid_venue, last.ask, last.ask_venue) == (units("99.9"), "alpha", units("100.1"), "alpha")
    assert last.venues == 2
    sent = len(market.quotes())
    market.book("beta", {}, {"100.4": 2}, "DIFF")  # not at the top
    market.driver.run()
    assert len(market.quotes()) == sent
    market.book("beta", {}, {"100.05": 1}, "DIFF")
    market.driver.run()
    assert (market.quotes()[-1].ask, market.quotes()[-1].ask_venue) == (units("100.05"), "beta")


def test_books_are_rebuilt_after_a_crash(market: Market) -> None:
    market.book("beta", {}, {"100.05": 1}, "DIFF")
    market.driver.run()
    market.driver.crash()
    order = market.order(1)
    market.driver.run()
    assert market.children(order) == {"beta": (units(1), units("100.05"))}
    market.book("beta", {}, {"100.05": 0}, "DIFF")  # the chain goes on where it was
    market.driver.run()
    assert market.quotes()[-1].ask == units("100.1")


def test_an_aborted_batch_is_done_again_whole(market: Market) -> None:
    sent = len(market.quotes())
    market.book("beta", {}, {"100.05": 1}, "DIFF")
    order = market.order(1)
    market.driver.prepare()
    assert len(market.quotes()) == sent
    market.driver.run()
    assert [q.ask for q in market.quotes()[sent:]] == [units("100.05")]
    assert market.children(order) == {"beta": (units(1), units("100.05"))}, (
        "its own first try must not count against it"
    )
    assert len(market.plans()) == 1


def test_a_gap_makes_a_book_stale_until_the_next_snapshot(market: Market) -> None:
    market.book("alpha", {}, {"99.95": 9}, "DIFF", skip=1)
    first = market.order(1)
    market.driver.run()
    assert market.children(first) == {"beta": (units(1), units("100.2"))}
    assert {c.venue: c.reason for c in market.plans()[0].candidates} == {"alpha": "BOOK_STALE", "beta": ""}
    market.book("alpha", {}, {"99.95": 9}, "DIFF")
    market.driver.run()
    assert market.quotes()[-1].venues == 1
    market.book("alpha", {"99": 1}, {"100.01": 9})
    second = market.order(1)
    market.driver.run()
    assert market.children(second) == {"alpha": (units(1), units("100.01"))}


def test_a_feed_that_says_stale_is_believed(market: Market) -> None:
    market.book("alpha", {}, {}, "STALE")
    market.book("beta", {}, {}, "STALE")
    market.driver.run()
    assert market.quotes()[-1].venues == 0
    assert market.quotes()[-1].ask is None


def test_a_silent_feed_leaves_quote_and_routing(market: Market) -> None:
    market.driver.advance(9 * SECOND)
    market.book("beta", {}, {"100.2": 3}, "DIFF")
    market.driver.run()
    assert market.quotes()[-1].venues == 2
    market.driver.advance(2 * SECOND)
    assert (market.quotes()[-1].venues, market.quotes()[-1].ask_venue) == (1, "beta"), "without any record"
    order = market.order(1)
    market.driver.run()
    assert market.children(order) == {"beta": (units(1), units("100.2"))}
    assert {c.venue: c.reason for c in market.plans()[0].candidates} == {"alpha": "BOOK_OLD", "beta": ""}
    market.driver.advance(9 * SECOND)
    assert market.quotes()[-1].venues == 0
    market.driver.crash()
    market.book("beta", {"99": 1}, {"101": 1})
    market.driver.run()
    market.driver.advance(11 * SECOND)
    assert [q.venues for q in market.quotes()[-2:]] == [1, 0], "the timer lives again after a crash"


@pytest.mark.parametrize("age", [10, 3600])
@pytest.mark.parametrize("heard", [5, 50])
def test_a_quote_of_an_unchanged_market_is_said_again_while_it_has_books(age: int, heard: int) -> None:
    """Whoever prices an order by the last quote refuses one that is older than a minute."""
    market = Market(settings=RoutingSettings(book_age_us=age * SECOND, slack_rate=0))
    began = market.driver.now
    for second in range(300):
        if second % heard == 0:
            market.book("alpha", {"99.9": 5}, {"100.1": 1})
        market.driver.run()
        market.driver.advance(SECOND)
    quotes = market.quotes()
    if age > heard:
        assert {(q.venues, q.ask) for q in quotes} == {(1, units("100.1"))}
        gaps = [later.at - earlier.at for earlier, later in pairwise(quotes)]
        assert max(gaps) <= 20 * SECOND and quotes[-1].at >= market.driver.now - 20 * SECOND
        assert len(quotes) <= (market.driver.now - began) // (min(age, 20) * SECOND) + 2, "and not with each update"
    else:
        assert [q.venues for q in quotes][:4] == [1, 0, 1, 0], "a market without books is not said again"
        assert len(quotes) == 12


def test_the_age_of_a_book_is_watched_after_an_aborted_batch() -> None:
    market = Market()
    market.book("alpha", {"99": 1}, {"101": 1})
    market.driver.prepare()
    market.driver.run()
    market.driver.advance(11 * SECOND)
    assert [q.venues for q in market.quotes()] == [1, 0]


def test_a_crossed_book_is_not_routed_on(market: Market) -> None:
    market.book("alpha", {"100.1": 1}, {}, "DIFF")
    order = market.order(1)
    market.driver.run()
    assert market.children(order) == {"beta": (units(1), units("100.2"))}
    assert {c.venue: c.reason for c in market.plans()[0].candidates} == {"alpha": "BOOK_CROSSED", "beta": ""}


@pytest.mark.parametrize(
    ("status", "reason"), [(VenueStatus.DOWN, "VENUE_DOWN"), (VenueStatus.MAINTENANCE, "VENUE_MAINTENANCE")]
)
def test_a_venue_that_is_down_is_not_routed_to(market: Market, status: VenueStatus, reason: str) -> None:
    market.health("alpha", status)
    first = market.order(1)
    market.driver.run()
    assert market.children(first) == {"beta": (units(1), units("100.2"))}
    assert {c.venue: c.reason for c in market.plans()[0].candidates} == {"alpha": reason, "beta": ""}
    market.health("beta", status)
    second = market.order(1)
    market.driver.run()
    assert market.children(second) == {}
    assert (market.plans()[1].unrouted, market.plans()[1].reason) == (units(1), "NO_ELIGIBLE_VENUE")
    market.health("alpha", VenueStatus.ACTIVE)
    third = market.order(1)
    market.driver.run()
    assert market.children(third) == {"alpha": (units(1), units("100.1"))}


def test_an_unreliable_venue_must_be_cheaper(market: Market) -> None:
    market.book("beta", {"99.8": 5}, {"100.11": 5})
    market.health("alpha", VenueStatus.DEGRADED, success=0.8)
    market.health("beta", VenueStatus.ACTIVE)
    order = market.order(1)
    market.driver.run()
    assert market.children(order) == {"beta": (units(1), units("100.11"))}


def test_two_orders_do_not_count_on_the_same_level(market: Market) -> None:
    first, second = market.order(1), market.order(1)
    market.driver.run()
    assert market.children(first) == {"alpha": (units(1), units("100.1"))}
    assert market.children(second) == {"beta": (units(1), units("100.2"))}
    market.book("alpha", {}, {"100.1": 2}, "DIFF")  # the venue's word on the level
    third = market.order(1)
    market.driver.run()
    assert market.children(third) == {"alpha": (units(1), units("100.1"))}
    market.driver.advance(SECOND)  # nothing was heard: the levels count again
    fourth = market.order(3)
    market.driver.run()
    assert market.children(fourth) == {"alpha": (units(2), units("100.1")), "beta": (units(1), units("100.2"))}


def test_a_limit_order_rests_with_what_is_not_marketable(market: Market) -> None:
    market.order(4, 100.25, order_type=OrderType.LIMIT, time_in_force=TimeInForce.GTC)
    market.driver.run()
    children: list[ChildOrder] = market.driver.records("venue.orders")
    assert sum(c.quantity for c in children) == units(4)
    resting = [c for c in children if c.time_in_force is TimeInForce.GTC]
    assert [(c.quantity, c.price) for c in resting] == [(units(3), units("100.25"))], "one of it is taken there"
    assert len({c.child_id for c in children}) == len({c.venue for c in children}) == 2
    assert market.plans()[0].unrouted == 0


def test_what_an_ioc_order_cannot_take_is_unrouted(market: Market) -> None:
    market.order(4, 100.25, order_type=OrderType.LIMIT)
    market.driver.run()
    assert (market.plans()[0].unrouted, market.plans()[0].reason) == (units(2), "NO_LIQUIDITY")


def test_a_symbol_that_no_venue_has_is_answered(market: Market) -> None:
    market.order(1, symbol="XXX/YYY")
    market.driver.run()
    assert (market.plans()[0].unrouted, market.plans()[0].reason) == (units(1), "NO_ELIGIBLE_VENUE")


def test_an_impossible_level_is_put_aside_and_its_book_not_used(market: Market) -> None:
    market.driver.feed(
        "market.books",
        SYMBOL,
        BookUpdate(
            venue="alpha",
            symbol=SYMBOL,
            kind=BookUpdateKind.DIFF,
            first_id=102,
            last_id=102,
            bids=(),
            asks=(Level(price=units(100), quantity=-1),),
            received_at=START,
        ),
    )
    order = market.order(1)
    market.driver.prepare()
    market.driver.run()
    letters: list[DeadLetter] = market.driver.records("market.books.dlq")
    assert [letter.cause for letter in letters] == ["BAD_LEVEL"]
    assert market.children(order) == {"beta": (units(1), units("100.2"))}


def test_a_request_without_quantity_is_put_aside_alone(market: Market) -> None:
    market.order(0)
    order = market.order(1)
    market.book("beta", {}, {"100.05": 1}, "DIFF")
    market.driver.run()
    letters: list[DeadLetter] = market.driver.records("orders.routable.dlq")
    assert [letter.cause for letter in letters] == ["HANDLER_FAILED"]
    assert market.children(order) == {"beta": (units(1), units("100.05"))}
    assert market.quotes()[-1].ask == units("100.05")


def test_the_symbols_of_many_partitions_do_not_mix() -> None:
    market = Market(partitions=4)
    for symbol in ("ETH/USDT", "SOL/USDT", SYMBOL, "XRP/USDT"):
        market.driver.feed("instruments", f"alpha|{symbol}", instrument("alpha", symbol=symbol))
        update = BookUpdate(
            venue="alpha",
            symbol=symbol,
            kind=BookUpdateKind.SNAPSHOT,
            bids=(),
            asks=(Level(price=units(len(symbol)), quantity=units(5)),),
            received_at=START,
        )
        market.driver.feed("market.books", symbol, update)
        market.driver.feed("market.books", symbol, update, partition=0)  # moved to where it belongs
    market.driver.run()
    assert {q.symbol for q in market.quotes()} == {"ETH/USDT", "SOL/USDT", SYMBOL, "XRP/USDT"}
    assert {q.venues for q in market.quotes()} == {1}


def test_instruments_come_change_and_close_while_running(market: Market) -> None:
    market.driver.feed("instruments", f"alpha|{SYMBOL}", instrument("alpha", status=InstrumentStatus.CLOSED))
    first = market.order(1)
    market.driver.run()
    assert market.children(first) == {"beta": (units(1), units("100.2"))}
    market.ids["gamma"] = 0
    market.book("gamma", {}, {"100": 5})
    second = market.order(1)
    market.driver.run()
    assert {c.venue: c.reason for c in market.plans()[1].candidates} == {
        "alpha": "INSTRUMENT_CLOSED",
        "beta": "",
        "gamma": "NO_INSTRUMENT",
    }
    assert "gamma" not in market.children(second)
    market.driver.feed("instruments", f"gamma|{SYMBOL}", instrument("gamma"))
    market.driver.feed("instruments", f"delta|{SYMBOL}", instrument("delta"))
    third = market.order(1)
    market.driver.run()
    assert market.children(third) == {"gamma": (units(1), units(100))}
    assert {c.venue: c.reason for c in market.plans()[2].candidates}["delta"] == "NO_BOOK"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("diff"), st.sampled_from(["alpha", "beta"]), st.integers(0, 9), st.integers(0, 3)),
        st.tuples(st.just("snapshot"), st.sampled_from(["alpha", "beta"]), st.integers(0, 9), st.integers(1, 3)),
        st.tuples(st.just("gap"), st.sampled_from(["alpha", "beta"]), st.integers(0, 9), st.integers(1, 3)),
        st.tuples(st.just("order"), st.sampled_from(["alpha", "beta"]), st.integers(1, 30), st.just(0)),
        st.tuples(st.sampled_from(["run", "abort", "crash", "wait"]), st.just(""), st.just(0), st.just(0)),
        st.tuples(st.just("fail"), st.sampled_from(driver.STEPS), st.integers(0, 1), st.just(0)),
    ),
    max_size=40,
)


def play(steps: list[tuple[str, str, int, int]], faults: bool) -> Market:
    market = Market()
    for what, venue, n, quantity in steps:
        level = {str(100 + n / 10): float(quantity)}
        match what:
            case "diff":
                market.book(venue, {}, level, "DIFF")
            case "gap":
                market.book(venue, {}, level, "DIFF", skip=1)
            case "snapshot":
                market.book(venue, {"99": 1}, level)
            case "order":
                market.order(n / 10, 101, time_in_force=TimeInForce.GTC, order_type=OrderType.LIMIT)
            case "abort" if faults:
                market.driver.prepare()
            case "fail" if faults:
                market.driver.fail(venue, Crash if n else Abort)
            case "crash" if faults:
                market.driver.crash()
            case "wait":
                market.driver.advance(3 * SECOND)
            case "run":
                market.driver.run(at_most=3)
    market.driver.run()
    return market


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_crashes_and_aborts_lose_and_double_nothing(steps: list[tuple[str, str, int, int]]) -> None:
    market, undisturbed = play(steps, faults=True), play(steps, faults=False)
    plans, children = market.plans(), market.driver.records("venue.orders")
    assert sorted(p.order_id for p in plans) == sorted(f"order{n + 1}" for n in range(market.orders))
    assert len({c.child_id for c in children}) == len(children)
    for plan in plans:
        mine = [c for c in children if c.order_id == plan.order_id]
        assert [c.child_id for c in mine] == [c.child_id for c in plan.children]
    assert not market.driver.records("market.books.dlq")
    last, expected = market.quotes()[-1:], undisturbed.quotes()[-1:]
    assert len(last) == len(expected)
    for one, other in zip(last, expected, strict=True):
        assert same_market(one, other)


# ---- stops


def _trade(market: Market, price: float, late: int = 0) -> None:
    market.driver.feed(
        "market.trades",
        SYMBOL,
        Trade(
            venue="alpha",
            symbol=SYMBOL,
            trade_id="t",
            price=units(price),
            quantity=1,
            received_at=market.driver.now - late,
        ),
    )


def _statuses(market: Market) -> list[tuple[str, int, RouteStatusKind, int | None]]:
    found = [r for r in market.driver.records("exchange.acks") if isinstance(r, RouteStatus)]
    return [(r.order_id, r.attempt, r.kind, r.price) for r in found]


def test_a_stop_is_held_until_a_trade_reaches_it_once_across_crashes(market: Market) -> None:
    order_id = market.order(1, stop_price=units(101))
    _trade(market, 100)
    market.driver.run()
    assert market.plans() == [] and market.driver.records("venue.orders") == []
    market.driver.crash()
    _trade(market, 101)
    market.driver.prepare()  # a transaction that aborts
    assert _statuses(market) == []
    market.driver.run()
    assert _statuses(market) == [(order_id, 0, RouteStatusKind.TRIGGERED, units(101))]
    market.driver.crash()
    _trade(market, 105)
    market.driver.run()
    assert len(_statuses(market)) == 1
    assert market.driver.all(STOPS) == {} and market.driver.all(ARMED) == {}


def test_a_stop_that_an_aborted_batch_armed_is_armed_once(market: Market) -> None:
    order_id = market.order(1, side=Side.SELL, price=1, stop_price=units(99))
    market.driver.prepare()
    market.driver.run()
    _trade(market, 98)
    _trade(market, 97)
    market.driver.run()
    assert _statuses(market) == [(order_id, 0, RouteStatusKind.TRIGGERED, units(98))]


def test_a_stop_can_be_replaced_and_disarmed(market: Market) -> None:
    order_id = market.order(1, stop_price=units(101))
    market.orders -= 1
    market.order(1, stop_price=units(103), attempt=1)
    _trade(market, 102)
    market.driver.run()
    _trade(market, 102)
    market.driver.run()
    assert _statuses(market) == []
    cancel = RouteCancel(order_id=order_id, account_id="acct-1", symbol=SYMBOL, at=market.driver.now)
    market.driver.feed("orders.routable", SYMBOL, cancel)
    market.driver.run()
    _trade(market, 110)
    market.driver.feed("orders.routable", SYMBOL, cancel)
    market.driver.run()
    assert _statuses(market) == [(order_id, 1, RouteStatusKind.DISARMED, None)]


def test_trades_of_a_batch_come_before_its_stops(market: Market) -> None:
    _trade(market, 150)
    market.order(1, stop_price=units(101))
    market.driver.run()
    assert _statuses(market) == []


def test_a_trade_from_before_a_stop_was_armed_does_not_trigger_it(market: Market) -> None:
    """Trades that come late, or are read late: the price was there before the stop was asked for."""
    stop = market.order(1, stop_price=units(101), accepted_at=0, asked_at=market.driver.now)
    other = market.order(1, stop_price=units(101), accepted_at=0, asked_at=market.driver.now - 2)
    market.driver.run()
    _trade(market, 150, late=1)
    market.driver.run()
    assert [s[0] for s in _statuses(market)] == [other]
    market.driver.crash()
    _trade(market, 150, late=1)
    market.driver.run()
    assert [s[0] for s in _statuses(market)] == [other]
    _trade(market, 102)
    market.driver.run()
    assert [s[0] for s in _statuses(market)] == [other, stop]


def test_a_router_that_triggers_by_the_mid_looks_at_no_trade() -> None:
    market = Market(settings=RoutingSettings(trigger="MID"))
    market.book("alpha", {"99": 5}, {"101": 5})
    market.driver.run()
    buy = market.order(1, stop_price=units(102), asked_at=market.driver.now)
    sell = market.order(1, price=1, side=Side.SELL, stop_price=units(98), asked_at=market.driver.now)
    market.driver.run()
    _trade(market, 150)
    _trade(market, 50)
    market.book("beta", {"99.5": 1}, {"103": 1})
    market.driver.run()
    assert _statuses(market) == []
    market.driver.crash()
    market.book("alpha", {"101": 5}, {"103": 5})
    market.driver.prepare()
    market.driver.run()
    assert _statuses(market) == [(buy, 0, RouteStatusKind.TRIGGERED, units(102))]
    for venue in ("alpha", "beta"):
        market.book(venue, {"96": 5}, {"97": 5})
    market.driver.run()
    assert _statuses(market)[1:] == [(sell, 0, RouteStatusKind.TRIGGERED, units("96.5"))]
