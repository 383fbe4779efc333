"""What looks at a venue make of it, against a venue of which everything is known: no false word, no word twice, none left out."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.execution import findings, holdings, report
from connectors.execution.findings import Standing
from connectors.venues.exchanges import DIALECTS
from connectors.venues.outcomes import OrderView, VenueOrderStatus, VenueTrade
from schemas.records import (
    ChildOrder,
    ExecutionState,
    Liquidity,
    OrderType,
    Side,
    TimeInForce,
    VenueAlert,
    VenueAlertKind,
    VenueAlertState,
)

SCALE = 100_000_000
KIND, RAISED, CLEARED = VenueAlertKind, VenueAlertState.RAISED, VenueAlertState.CLEARED
ASSETS = ("BTC", "USDT", "BNB")


def child(name: str, side: Side) -> ChildOrder:
    return ChildOrder(
        child_id=name,
        order_id="o",
        account_id="a",
        venue="v",
        symbol="BTC/USDT",
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        quantity=1 << 60,
        price=1,
        created_at=0,
    )


@dataclass
class Known:
    """A child of ours: what is reported of it, and its side of the venue."""

    state: ExecutionState
    side: Side
    trades: list[VenueTrade] = field(default_factory=list)

    @property
    def filled(self) -> int:
        return sum(t.quantity for t in self.trades)

    known = 0  # nothing is known before it is reported: here each trade is told at once


class World:
    """A venue, what its owner does there, and what is reported of it, each in its own time."""

    def __init__(self) -> None:
        self.balances = dict.fromkeys(ASSETS, 10**15)
        self.children: dict[str, Known] = {}
        self.kept: holdings.Holdings | None = None
        self.standing = Standing()
        self.alerts: list[VenueAlert] = []
        self.brought: list[tuple[str, int]] = []
        self.now = 1

    def trade(self, side: Side, price: int, quantity: int, fee: int, fee_asset: str) -> None:
        """One of our orders trades at the venue; nobody knows yet."""
        known = self.children.setdefault(side, self._accepted(side))
        number = f"{side}-{len(known.trades)}"
        known.trades.append(VenueTrade(number, side, price, quantity, fee, fee_asset, Liquidity.TAKER, None))
        sign = 1 if side is Side.BUY else -1
        self.balances["BTC"] += sign * quantity
        self.balances["USDT"] -= sign * (price * quantity // SCALE)
        self.balances[fee_asset] -= fee

    def _accepted(self, side: Side) -> Known:
        view = OrderView(side, side, VenueOrderStatus.OPEN, 0, None)
        return Known(report.observe(side, report.claim(child(side, side), 0), view, (), 0).state, side)

    def report(self, side: Side) -> None:
        """We hear of all trades of an order."""
        known = self.children.get(side)
        if known is None:
            return
        view = OrderView(side, side, VenueOrderStatus.OPEN, known.filled, None)
        step = report.observe(side, known.state, view, known.trades, self.now)
        known.state = step.state
        if self.kept is not None:
            self.kept = holdings.book(self.kept, known.state.child.side, step.reports)

    def bring(self, asset: str, amount: int) -> None:
        self.balances[asset] += amount
        self.brought.append((asset, amount))

    def look(self) -> None:
        """A look at the venue, decided as `Audit` does."""
        self.now += 1
        if not holdings.settled(self.children, {name: known.filled for name, known in self.children.items()}):
            return
        if self.kept is None:
            self.kept, self.brought = holdings.count(self.balances), []
            return
        self.kept, standing, cleared = holdings.take_in(self.kept, self.standing, self.balances, self.now)
        self.kept, found = holdings.compare(self.kept, self.balances, 0)
        self.standing, raised = findings.judge(standing, "v", holdings.DRIFT, found, self.now)
        self.alerts += [*cleared, *raised]

    def restart(self) -> None:
        """Only what is durable is left."""
        self.standing = Standing(self.standing.raised)


SIDES = st.sampled_from(Side)
STEPS = st.one_of(
    st.tuples(
        st.just("trade"),
        SIDES,
        st.integers(1, 10**13),
        st.integers(1, 10**12),
        st.integers(0, 10**9),
        st.sampled_from(ASSETS),
    ),
    st.tuples(st.just("report"), SIDES),
    st.tuples(st.just("look")),
    st.tuples(st.just("restart")),
)
BRINGS = st.tuples(
    st.just("bring"), st.sampled_from(ASSETS), st.integers(-(10**12), 10**12).filter(lambda amount: amount != 0)
)


def play(world: World, steps: list[tuple[object, ...]]) -> None:
    for name, *arguments in steps:
        getattr(world, str(name))(*arguments)


def rest(world: World) -> None:
    """Everything is reported, and looked at long enough."""
    for side in Side:
        world.report(side)
    for _ in range(2 * findings.LOOKS + 1):
        world.look()


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_our_own_trading_is_never_a_drift(steps: list[tuple[object, ...]]) -> None:
    world = World()
    play(world, steps)
    rest(world)
    assert world.alerts == []
    assert world.kept is not None and {a: h.amount for a, h in world.kept.items()} == world.balances


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=20), st.lists(st.one_of(STEPS, BRINGS), max_size=60))
def test_what_the_owner_moves_is_told_to_the_last_unit(
    first: list[tuple[object, ...]], steps: list[tuple[object, ...]]
) -> None:
    world = World()
    play(world, first)
    rest(world)  # it is counted from here on
    play(world, steps)
    rest(world)
    ids = [a.id for a in world.alerts]
    assert all(ids.count(i) == 2 for i in ids)
    for one in (a for a in world.alerts if a.state is RAISED):
        (end,) = [a for a in world.alerts if a.id == one.id and a.state is CLEARED]
        assert end.at > one.at == one.raised_at == end.raised_at
    counted = [a for a in world.alerts if "counted in" in a.detail]
    for asset in ASSETS:
        moved = sum(amount for at, amount in world.brought if at == asset)
        assert sum((a.found or 0) - (a.expected or 0) for a in counted if a.asset == asset) == moved
    assert world.kept is not None and {a: h.amount for a, h in world.kept.items()} == world.balances


def test_each_movement_that_is_looked_at_is_one_alert() -> None:
    world = World()
    rest(world)
    for amount in (5 * SCALE, -2 * SCALE):
        world.bring("USDT", amount)
        world.trade(Side.BUY, 3 * SCALE, SCALE, 7, "BNB")
        world.look()  # in flight: says nothing
        rest(world)
    told = [(a.state, (a.found or 0) - (a.expected or 0)) for a in world.alerts]
    assert told == [(RAISED, 5 * SCALE), (CLEARED, 5 * SCALE), (RAISED, -2 * SCALE), (CLEARED, -2 * SCALE)]


def test_an_asset_that_was_never_there_drifts_from_nothing_and_one_that_is_gone_to_nothing() -> None:
    kept = holdings.count({"BTC": 5})
    _, found = holdings.compare(kept, {"EUR": 7}, 0)
    assert [(f.asset, f.expected, f.found) for f in found] == [("BTC", 5, 0), ("EUR", 0, 7)]


def test_a_fill_of_unknown_fee_is_believed_by_the_next_count_and_slack_is() -> None:
    world = World()
    rest(world)
    world.trade(Side.BUY, SCALE, SCALE, 0, "USDT")
    known = world.children[Side.BUY]
    known.trades[-1] = VenueTrade("t", "x", SCALE, SCALE, None, None, Liquidity.TAKER, None)
    world.balances["USDT"] -= 3  # the fee
    rest(world)
    assert world.alerts == [] and world.kept is not None
    assert all(h.sure for h in world.kept.values()) and world.kept["USDT"].amount == world.balances["USDT"]
    kept, found = holdings.compare(world.kept, world.balances | {"BTC": world.balances["BTC"] + 2}, 2)
    assert found == [] and kept["BTC"].amount == world.balances["BTC"] + 2


# ---- orders


def listed(name: str, number: str, filled: int = 0) -> OrderView:
    return OrderView(name, number, VenueOrderStatus.OPEN, filled, None, "BTC/USDT")


def ours(name: str) -> bool:
    return name.startswith("ours")


def closed(at: int) -> ExecutionState:
    view = OrderView("c", "1", VenueOrderStatus.CANCELLED, 0, None)
    return report.observe("c", report.claim(child("c", Side.BUY), 0), view, (), at).state


def seen(views: list[OrderView], children: dict[str, ExecutionState], shared: bool = False) -> list[VenueAlertKind]:
    return [f.kind for f in findings.of_orders(views, children, ours, shared, began=10)]


def test_what_an_open_order_is() -> None:
    opened = report.observe("c", report.claim(child("c", Side.BUY), 0), listed("c", "1"), (), 0).state
    assert seen([listed("c", "1")], {"c": opened}) == []
    assert seen([listed("c", "1")], {"c": report.claim(child("c", Side.BUY), 0)}) == []
    assert seen([listed("c", "1")], {"c": closed(9)}) == [KIND.CLOSED_ORDER_OPEN]
    assert seen([listed("c", "1")], {"c": closed(11)}) == [], "the answer may be older than its end"
    assert seen([listed("ours-7", "1")], {}) == seen([listed("ours-7", "1")], {}, True) == [KIND.ORPHAN_ORDER]
    assert seen([listed("theirs", "1")], {}) == [KIND.FOREIGN_ORDER]
    assert seen([listed("theirs", "1")], {}, shared=True) == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_an_order_is_raised_and_cleared_by_turns_and_never_on_one_look(looks: list[tuple[bool, bool]]) -> None:
    standing, told, row, stands = Standing(), list[VenueAlert](), 0, False
    for now, (there, restarted) in enumerate(looks, 1):
        if restarted:
            standing, row = Standing(standing.raised), 0
        found = findings.of_orders([listed("ours-1", "77")] if there else [], {}, ours, False, now)
        standing, alerts = findings.judge(standing, "v", findings.ABOUT_ORDERS, found, now)
        told += alerts
        row = row + 1 if there is not stands else 0
        if row == findings.LOOKS:
            stands, row = there, 0
            assert [a.state for a in alerts] == [RAISED if there else CLEARED]
        else:
            assert alerts == []
    assert [a.state for a in told] == [(RAISED, CLEARED)[n % 2] for n in range(len(told))]
    assert [a.id for a in told[1::2]] == [a.id for a in told[::2][: len(told[1::2])]]
    assert {findings.subject_of(a) for a in told} <= {(KIND.ORPHAN_ORDER, "77")}


@pytest.mark.parametrize("exchange", DIALECTS)
def test_an_id_of_ours_looks_like_one(exchange: str) -> None:
    ids = DIALECTS[exchange].client_ids
    names = ("o-1-1-0", f"{'f' * 40}-12-3", "0b7c6a1e-89f0-4d8e-a1a5-1c1f3ce1b0a9-2-1", "x" * 60 + "-1-0")
    assert all(ids.ours(ids.of(name)) for name in names)
    assert not ids.ours("") and not ids.ours("typed-by-hand") and not ids.ours("web_3f6d")
