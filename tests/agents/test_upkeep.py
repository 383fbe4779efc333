"""What is over is forgotten in time, and a symbol is cancelled in every account: through the driver, with crashes."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from schemas.body import avro_body
from schemas.records import CancelAll, ExecutionKind, PlaceOrder, Side
from streams.agents import upkeep
from streams.agents.accounts import ACCOUNTS, OPEN, ORDERS, TAKEN, accounts_agent
from streams.domain.events import first_break, order_id_of, order_key
from streams.domain.risk import RiskSettings
from tests.agents.scenario import ACKS, COMMANDS, START, SYMBOL, S, Scenario, place, report
from tests.agents.test_accounts import assert_adds_up

SECOND = 1_000_000
SHORT = RiskSettings(order_retention_us=10 * SECOND, transfer_retention_us=20 * SECOND)


def test_a_client_order_id_is_taken_until_its_retention_is_over_and_then_names_another_order() -> None:
    scenario = Scenario(SHORT)
    scenario.run("""
        deposit 100000 USDT
        buy 1 @ 60000 as o1
        plan o1: a 1 @ 60000
        wait 5
        o1.1 fill 1 @ 60000 #1                         => FILL>FILLED
        wait 9
        crash
        buy 1 @ 60000 as o1                            => DUPLICATE>FILLED:DUPLICATE_ORDER
        wait 1                                         =>
        cancel o1                                      => CANCEL_DENIED>INITIALIZED:UNKNOWN_ORDER
        quote 59990 60010
        buy 0.1 @ 60000 as o1                          => ACCEPTED>ROUTING
        buy 0.1 @ 60000 as o1                          => DUPLICATE>ROUTING:DUPLICATE_ORDER
    """)
    placed = [e.order_id for e in scenario.driver.records("orders.events") if e.kind == "ACCEPTED"]
    first, second = placed
    assert first == order_id_of("acct", "o1") and second == order_id_of("acct", "o1", 1)
    assert first != second and order_key(first) == order_key(second)
    # what is still said of the first is put aside, and not taken for the second's
    for kind in (ExecutionKind.ACCEPTED, ExecutionKind.CANCELLED):
        scenario.driver.feed(ACKS, "acct", report("acct", first, "o1.1", "a", kind))
    scenario.driver.run()
    assert [x.cause for x in scenario.driver.records(f"{ACKS}.dlq")] == ["UNKNOWN_ORDER"] * 2
    scenario.run("cancel o1")
    assert first_break(scenario.driver.records("orders.events"), avro_body) is None


def test_tables_do_not_grow_for_ever() -> None:
    """Orders and transfers for a minute: what is kept is what the retention says, whatever became of it."""
    scenario = Scenario(SHORT)
    for second in range(60):
        lines = ["quote 59990 60010"]
        for n in range(5):
            name = f"o{second}x{n}"
            lines += [
                f"deposit 1000 USDT as t{second}x{n}",
                f"buy 0.001 @ 60000 as {name}",
                f"cancel {name}",
                f"plan {name}:",
                f"buy -1 @ 1 as {name}d",
            ]
        lines.append("crash" if second % 20 == 19 else "buy 0.001 @ 60000 as keep")
        lines.append("wait 1")
        scenario.run("\n".join(lines))
        orders, taken = scenario.driver.all(ORDERS), scenario.driver.all(TAKEN)
        assert len(orders) <= 10 * 10 + 1 and len(taken) <= 5 * 21
    scenario.driver.advance(30 * SECOND)
    assert [o.client_order_id for o in scenario.driver.all(ORDERS).values()] == ["keep"]
    assert not scenario.driver.all(TAKEN) and not scenario.driver.all(upkeep.OVER)
    assert not scenario.driver.all(upkeep.PAGES)
    assert [page.order_ids for page in scenario.driver.all(OPEN).values()] == [(order_id_of("acct", "keep"),)]
    # an era a retention, not one a page
    assert 0 < (scenario.driver.all(upkeep.ERA)[upkeep.NUMBER] or 0) <= 60 // 10 + 1


def test_a_transfer_id_is_taken_until_its_retention_is_over() -> None:
    Scenario(SHORT).run("""
        deposit 1 USDT as t                            => TRANSFERRED>INITIALIZED | USDT 1 0
        wait 19
        deposit 1 USDT as t                            => TRANSFER_DENIED>INITIALIZED:DUPLICATE_TRANSFER
        wait 1
        deposit 1 USDT as t                            => TRANSFERRED>INITIALIZED | USDT 2 0
    """)


def test_much_is_forgotten_little_by_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "MOST", 7)
    scenario = Scenario(SHORT)
    for n in range(64):
        scenario.driver.feed(COMMANDS, "acct", place("acct", f"d{n}", Side.BUY, -1, S))
    scenario.driver.run()
    assert len(scenario.driver.all(ORDERS)) == 64
    scenario.driver.now += 10 * SECOND
    left = []
    while scenario.driver.all(ORDERS):
        scenario.driver._checkpoint(scenario.driver.tasks[0], 0)
        left.append(len(scenario.driver.all(ORDERS)))
    assert left == [57, 50, 43, 36, 29, 22, 15, 8, 1, 0]
    assert not scenario.driver.all(upkeep.OVER)


def test_timers_are_few_however_many_orders_end() -> None:
    scenario = Scenario()  # a week: ten minutes a timer
    for n in range(200):
        scenario.driver.feed(COMMANDS, "acct", place("acct", f"d{n}", Side.BUY, -1, S))
        scenario.driver.advance(SECOND)
    assert len(scenario.driver.all(ORDERS)) == 200 and len(scenario.driver.tasks[0].timers) <= 2
    scenario.driver.advance(7 * 86_400 * SECOND)
    assert len(scenario.driver.all(ORDERS)) <= 200
    scenario.driver.advance(605 * SECOND)
    assert (
        not scenario.driver.all(ORDERS)
        and not scenario.driver.all(upkeep.OVER)
        and not scenario.driver.all(upkeep.PAGES)
    )


def test_a_retention_of_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="a second at least"):
        accounts_agent(RiskSettings(order_retention_us=1))


# ---- sweeps

SWEPT = """
    deposit 100000 USDT
    deposit 2 BTC
    deposit 100000 USDT by ann
    buy 0.1 @ 60000 as o1
    plan o1: a 0.1 @ 60000
    sell 1 market as o2 stop 58000
    buy 0.1 @ 60000 as o3 at 50
    buy 0.1 @ 60000 as o4 by ann
    cancel o4 by ann
    buy 0.1 @ 60000 as o5 by ann
    wait 1
"""


def test_an_operator_cancels_a_symbol_in_all_accounts() -> None:
    scenario = Scenario()
    scenario.run(SWEPT)
    scenario.run("""
        sweep ETH/USDT                                 => ALL_CANCELLED>INITIALIZED
        sweep BTC/USDT                                 => ALL_CANCELLED>INITIALIZED CANCEL_REQUESTED>PENDING_CANCEL:OPERATOR_CANCEL CANCEL_REQUESTED>PENDING_CANCEL:OPERATOR_CANCEL CLOSED>CANCELLED:OPERATOR_CANCEL CANCEL_REQUESTED>PENDING_CANCEL:OPERATOR_CANCEL CLOSED>CANCELLED:OPERATOR_CANCEL CANCEL_REQUESTED>PENDING_CANCEL:OPERATOR_CANCEL ask:o1.1 disarm:o2
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL CLOSED>CANCELLED:OPERATOR_CANCEL | USDT 100000 0, BTC 2 0
        plan o5: by ann                                => ROUTED>PENDING_CANCEL:NO_LIQUIDITY CLOSED>CANCELLED:OPERATOR_CANCEL | USDT 93994 6006
        plan o4: by ann                                => ROUTED>PENDING_CANCEL:NO_LIQUIDITY CLOSED>CANCELLED:CLIENT_CANCEL | USDT 100000 0
        sweep BTC/USDT                                 => ALL_CANCELLED>INITIALIZED
        buy 0.1 @ 60000 as o6                          => ACCEPTED>ROUTING
        wait 60
    """)
    assert_adds_up(scenario)
    cancels = [e for e in scenario.driver.records("orders.events") if e.reason_code == "OPERATOR_CANCEL"]
    requested = [e for e in cancels if e.kind == "CANCEL_REQUESTED"]
    assert {(e.actor, e.cause_topic, e.is_outcome) for e in requested} == {("operator", upkeep.SWEEPS, False)}


def test_a_sweep_names_a_symbol() -> None:
    scenario = Scenario()
    scenario.driver.feed(COMMANDS, "*", CancelAll(account_id="*", sent_at=START))
    scenario.driver.feed(upkeep.SWEEPS, "", CancelAll(account_id="acct", symbol=SYMBOL, sent_at=START))
    scenario.driver.run()
    (event,) = scenario.driver.records("orders.events")
    assert (event.kind, event.reason_code, event.is_outcome) == ("CANCEL_DENIED", "NO_SYMBOL", True)
    assert [x.cause for x in scenario.driver.records(f"{upkeep.SWEEPS}.dlq")] == ["NO_SWEEP"]


def test_a_refused_cancel_of_a_sweep_is_forgotten() -> None:
    Scenario().run("""
        deposit 100000 USDT
        buy 0.1 @ 60000 as o1
        plan o1: a 0.1 @ 60000
        o1.1 accepted
        sweep BTC/USDT                                 => ALL_CANCELLED>INITIALIZED CANCEL_REQUESTED>PENDING_CANCEL:OPERATOR_CANCEL ask:o1.1
        o1.1 cancel_rejected                           => CANCEL_REJECTED>WORKING
        cancel o1
        o1.1 cancelled 0                               => CHILD_CLOSED>PENDING_CANCEL CLOSED>CANCELLED:CLIENT_CANCEL
    """)


@pytest.mark.parametrize("crash_after", range(6))
def test_a_sweep_reaches_every_account_once_in_every_partition(
    monkeypatch: pytest.MonkeyPatch, crash_after: int
) -> None:
    """In pages of three accounts, with a crash after some steps, and an order that came after the sweep did."""
    monkeypatch.setattr(upkeep, "TRADERS_PAGE", 3)
    scenario = Scenario(partitions=4)
    names = [f"acct{n}" for n in range(40)]
    for n, name in enumerate(names):
        symbol = "ETH/USDT" if n % 7 == 0 else SYMBOL
        scenario.run(f"deposit 100000 USDT by {name}\nbuy 0.1 @ 60000 as o1 at 1000 by {name}")
        if symbol != SYMBOL:
            order = place(name, "o2", Side.BUY, S, 1_000 * S, scheduled_at=START + 1000 * SECOND)
            scenario.driver.feed(COMMANDS, name, msgspec.structs.replace(order, symbol=symbol))
    scenario.driver.run()
    scenario.driver.now += SECOND
    scenario.driver.feed(COMMANDS, "*", CancelAll(account_id="*", symbol=SYMBOL, sent_at=START))
    for step in range(40):
        for task in list(scenario.driver.tasks.values()):
            scenario.driver._checkpoint(task, 1)
        if step == crash_after:
            scenario.driver.prepare()
            scenario.driver.crash()
            scenario.driver.now += SECOND
            late: PlaceOrder = place("acct1", "late", Side.BUY, S // 10, 60_000 * S)
            scenario.driver.feed(COMMANDS, "acct1", msgspec.structs.replace(late, scheduled_at=START + 1000 * SECOND))
    scenario.driver.run()
    events = scenario.driver.records("orders.events")
    told = Counter((e.account_id, e.client_order_id) for e in events if e.reason_code == "OPERATOR_CANCEL")
    wanted = {(name, "o1"): 2 for name in names}  # asked, and closed
    assert {key: n for key, n in told.items() if key[1] != "late"} == wanted
    states = {(o.account_id, o.client_order_id): o.state for o in scenario.driver.all(ORDERS).values()}
    assert all(states[name, "o1"] == "CANCELLED" for name in names)
    assert sum(e.kind == "ALL_CANCELLED" for e in events) == 1
    if crash_after >= 2:  # the sweep was in every partition before
        assert states["acct1", "late"] == "SCHEDULED"
    assert scenario.driver.get(ACCOUNTS, "acct1") is not None
