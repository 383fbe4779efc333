"""A buy for an amount never spends more than it, whatever the market does, and leaves little of it where the market has enough."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import ExecutionKind, Quote, RouteRequest
from streams.agents.accounts import ACCOUNTS, ORDERS
from streams.domain.events import order_id_of
from streams.domain.orders import CLOSED
from tests.agents.scenario import ACKS, START, SYMBOL, S, Scenario, plan, planned, report, shown
from tests.agents.test_accounts import assert_adds_up

LOT, TICK = 1_000, S // 100
LEAST = 5 * S


@settings(deadline=None, max_examples=60)
@given(
    amount=st.integers(5 * S, 90_000 * S),
    mids=st.lists(st.integers(50_000, 70_000), min_size=12, max_size=12),
    shares=st.lists(st.integers(0, 10), min_size=12, max_size=12),
    in_base=st.booleans(),
)
def test_never_more_is_spent(amount: int, mids: list[int], shares: list[int], in_base: bool) -> None:
    scenario = Scenario(quoted=False)
    spent, order_id = 0, order_id_of("acct", "o1")
    touch = 0
    for round_, (mid, share) in enumerate(zip(mids, shares, strict=True)):
        touch = mid * S
        quote = Quote(symbol=SYMBOL, bid=touch - S, ask=touch, venues=1, at=START)
        scenario.driver.feed("market.quotes", SYMBOL, quote)
        if round_ == 0:
            scenario.run(f"deposit 90000 USDT\nbuy for {shown(amount)} market as o1")
        asked = [r for r in scenario.driver.records("orders.routable") if isinstance(r, RouteRequest)]
        if len(asked) <= round_:
            break
        last = asked[-1]
        quantity = last.quantity * share // 10 // LOT * LOT
        price = min(last.price, touch)
        children = [planned(f"c{round_}", "a", quantity, last.price)] if quantity else []
        one = plan("acct", order_id, children, last.quantity - quantity, attempt=last.attempt)
        scenario.driver.feed(ACKS, "acct", one)
        if children:
            value = price * quantity // S
            fee, asset = (quantity // 1000, "BTC") if in_base else (value // 1000, "USDT")
            spent += value + (0 if in_base else fee)
            more = {"trade_id": str(round_), "price": price, "quantity": quantity, "fee": fee, "fee_asset": asset}
            fill = report("acct", order_id, f"c{round_}", "a", ExecutionKind.FILL, **more)
            scenario.driver.feed(ACKS, "acct", fill)
        scenario.driver.run()
    state, order = scenario.driver.get(ACCOUNTS, "acct"), scenario.driver.get(ORDERS, order_id)
    assert state is not None and order is not None
    usdt = next(b for b in state.balances if b.asset == "USDT")
    assert spent <= amount and usdt.available + usdt.locked == 90_000 * S - spent and not usdt.owed
    assert usdt.locked == (0 if order.state in CLOSED else amount - spent)
    assert_adds_up(scenario)


@settings(deadline=None, max_examples=60)
@given(amount=st.integers(6 * S, 90_000 * S), in_base=st.booleans(), better=st.integers(0, 20))
def test_little_is_left_where_the_market_has_enough(amount: int, in_base: bool, better: int) -> None:
    scenario = Scenario()
    scenario.run(f"deposit 90000 USDT\nbuy for {shown(amount)} market as o1")
    spent, order_id, answered = 0, order_id_of("acct", "o1"), 0
    touch = 60_010 * S - better * S
    while answered < len(asked := scenario.driver.records("orders.routable")):
        last, answered = asked[-1], len(asked)
        child, value = f"c{answered}", touch * last.quantity // S
        fee, asset = (last.quantity // 1000, "BTC") if in_base else (value // 1000, "USDT")
        spent += value + (0 if in_base else fee)
        one = plan("acct", order_id, [planned(child, "a", last.quantity, last.price)], 0, attempt=last.attempt)
        scenario.driver.feed(ACKS, "acct", one)
        more = {"trade_id": child, "price": touch, "quantity": last.quantity, "fee": fee, "fee_asset": asset}
        scenario.driver.feed(ACKS, "acct", report("acct", order_id, child, "a", ExecutionKind.FILL, **more))
        scenario.driver.run()
    order = scenario.driver.get(ORDERS, order_id)
    assert order is not None and order.state == "FILLED" and order.filled == order.quantity
    # what is left buys no order that a venue takes, with its fee and at the protection price
    assert 0 <= amount - spent < LEAST * 10_020 // 10_000 + 60_040 * LOT * 1001 // 1000
