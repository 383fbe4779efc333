"""The accounts agent against its naive twin: random commands, plans and reports, doubled, late and crossing, with crashes in between.

`BESTEX_MODEL_EXAMPLES` sets the number of runs (of 50 steps); the default is the short form.
"""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.body import avro_body
from schemas.records import (
    CancelOrder,
    ExecutionKind,
    ExecutionReport,
    ModifyOrder,
    OrderState,
    PlaceOrder,
    Record,
    RoutePlan,
    Side,
    TimeInForce,
    Transfer,
    TransferKind,
)
from streams.agents.accounts import ACCOUNTS, ORDERS, accounts_agent
from streams.domain.events import first_break, order_id_of
from streams.domain.ledger import check
from streams.domain.orders import CLOSED
from streams.engine.driver import Driver
from tests.agents.accounts_twin import OVER, Twin
from tests.agents.scenario import (
    ACKS,
    COMMANDS,
    START,
    SYMBOL,
    TRANSFERS,
    S,
    instrument,
    place,
    plan,
    planned,
    report,
)

ACCOUNT = st.sampled_from(["ann", "bob"])
NAME = st.sampled_from(["o1", "o2", "o3", "o4", "o5"])
LOT = 1000
BIG = 10**9
PRICES = st.integers(5_900_000, 6_100_000).map(lambda cents: cents * S // 100)
ODD = st.integers(1, 7 * 10**12)  # a venue's fill price need not be on our tick
ORDER_OF_INPUTS = (TRANSFERS, COMMANDS, ACKS)


class Venue:
    """A child as its venue knows it: what it will say, in order."""

    def __init__(
        self, account: str, name: str, child_id: str, venue: str, side: Side, quantity: int, limit: int
    ) -> None:
        self.account, self.name, self.child_id, self.venue = account, name, child_id, venue
        self.side, self.quantity, self.limit = side, quantity, limit
        self.filled, self.trades = 0, 0
        self.over = ""  # how it ended at the venue
        self.owing: list[ExecutionReport] = []  # fills of before the end, told after it
        self.told: list[ExecutionReport] = []
        self.acked = False


class AccountsAgainstTwin(RuleBasedStateMachine):
    """Inputs are fed to both; after every run both must agree, and all invariants must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = Driver(accounts_agent(), now=START, partitions=2)
        self.twin = Twin()
        self.venues: list[Venue] = []
        self.pending: list[tuple[str, Record, str]] = []
        self.commands = 0
        self.trade = 0
        for venue in ("a", "b"):
            self.driver.feed("instruments", f"{venue}|{SYMBOL}", instrument(venue))

    @initialize(usdt=st.integers(0, 300_000), btc=st.integers(0, 5))
    def fund(self, usdt: int, btc: int) -> None:
        for account in ("ann", "bob"):
            self.deposit(account, f"first {usdt}", "USDT", usdt * S + 7)
            self.deposit(account, f"second {btc}", "BTC", btc * S)

    # ---- feeding

    def feed(self, topic: str, record: Record, name: str = "") -> None:
        self.driver.feed(topic, record.account_id, record)  # type: ignore[attr-defined]
        self.pending.append((topic, record, name))
        self.commands += topic != ACKS
        self.driver.now += 1

    def deposit(self, account: str, transfer_id: str, asset: str, amount: int) -> None:
        kind = TransferKind.DEPOSIT
        self.feed(
            TRANSFERS,
            Transfer(transfer_id=transfer_id, account_id=account, kind=kind, asset=asset, amount=amount, sent_at=START),
        )

    def flush(self, at_most: int | None = None) -> None:
        """The twin takes what was fed in the order in which the agent reads its inputs."""
        self.driver.run(at_most)
        for topic in ORDER_OF_INPUTS:
            for where, record, name in self.pending:
                if where == topic:
                    self.tell_twin(record, name)
        self.pending = []

    def tell_twin(self, record: Record, name: str) -> None:
        match record:
            case Transfer():
                self.twin.transfer(record)
            case PlaceOrder():
                self.twin.place(record)
            case CancelOrder():
                self.twin.cancel(record)
            case ModifyOrder():
                self.twin.modify(record)
            case RoutePlan():
                self.twin.plan(record, name)
            case ExecutionReport():
                self.twin.report(record, name)

    # ---- clients

    @rule(
        account=ACCOUNT,
        kind=st.sampled_from(TransferKind),
        asset=st.sampled_from(["USDT", "BTC", "BNB"]),
        amount=st.integers(-1, 3) | st.integers(1, 10**13),
        transfer_id=st.sampled_from("tuvwxyz"),
    )
    def transfers(self, account: str, kind: TransferKind, asset: str, amount: int, transfer_id: str) -> None:
        self.feed(
            TRANSFERS,
            Transfer(transfer_id=transfer_id, account_id=account, kind=kind, asset=asset, amount=amount, sent_at=START),
        )

    @rule(
        account=ACCOUNT | st.just("cat"),
        name=NAME,
        side=st.sampled_from(Side),
        lots=st.integers(-1, 0) | st.integers(100, 300_000),
        price=PRICES,
        tif=st.sampled_from([TimeInForce.GTC, TimeInForce.IOC]),
    )
    def places(self, account: str, name: str, side: Side, lots: int, price: int, tif: TimeInForce) -> None:
        self.feed(COMMANDS, place(account, name, side, lots * LOT, price, time_in_force=tif))

    @rule(account=ACCOUNT, name=NAME)
    def cancels(self, account: str, name: str) -> None:
        self.feed(COMMANDS, CancelOrder(account_id=account, client_order_id=name, sent_at=START))

    @rule(account=ACCOUNT, name=NAME)
    def modifies(self, account: str, name: str) -> None:
        self.feed(COMMANDS, ModifyOrder(account_id=account, client_order_id=name, quantity=S, sent_at=START))

    # ---- the router

    def waiting(self) -> list[tuple[str, str]]:
        planned_already = {(v.account, v.name) for v in self.venues}
        return [
            key
            for key, order in self.twin.orders.items()
            if not order.planned and order.state not in OVER and key not in planned_already
        ]

    @precondition(lambda self: not self.pending and self.waiting())
    @rule(data=st.data(), parts=st.integers(0, 3), rest=st.booleans())
    def plans(self, data: st.DataObject, parts: int, rest: bool) -> None:
        account, name = data.draw(st.sampled_from(self.waiting()))
        order = self.twin.orders[account, name]
        order_id = order_id_of(account, name)
        lots, children = order.quantity // LOT, []
        for n in range(parts):
            part = lots if n == parts - 1 and not rest else data.draw(st.integers(0, lots))
            if part:
                children.append(planned(f"{order_id}-{n}", data.draw(st.sampled_from("ab")), part * LOT, order.limit))
                lots -= part
        for c in children:
            side = Side.BUY if order.buy else Side.SELL
            self.venues.append(Venue(account, name, c.child_id, c.venue, side, c.quantity, order.limit))
        self.feed(ACKS, plan(account, order_id, children, lots * LOT), name)
        if data.draw(st.booleans()):
            self.feed(ACKS, plan(account, order_id, children, lots * LOT), name)  # told twice: put aside

    # ---- the venues

    def say(self, v: Venue, kind: ExecutionKind, **changes: object) -> None:
        one = report(v.account, order_id_of(v.account, v.name), v.child_id, v.venue, kind, **changes)
        v.told.append(one)
        self.feed(ACKS, one, v.name)

    def a_fill(self, v: Venue, data: st.DataObject) -> ExecutionReport:
        quantity = data.draw(st.just(v.quantity - v.filled) | st.integers(1, v.quantity - v.filled))
        worse = data.draw(st.integers(0, 20)) == 0  # a venue that does not keep to the limit
        price = data.draw(ODD if worse else st.just(v.limit) | st.integers(max(1, v.limit - 10**9), v.limit))
        if v.side is Side.SELL and not worse:
            price = 2 * v.limit - price
        fee_asset = data.draw(st.sampled_from(["BTC", "USDT", "USDT", "BTC", "BNB"]))
        self.trade += 1
        v.filled += quantity
        value = quantity if fee_asset == "BTC" else price * quantity // S
        return report(
            v.account,
            order_id_of(v.account, v.name),
            v.child_id,
            v.venue,
            ExecutionKind.FILL,
            trade_id=f"{self.trade}",
            price=price,
            quantity=quantity,
            fee=value * data.draw(st.integers(0, 100_000)) // S,
            fee_asset=fee_asset,
        )

    def living(self) -> list[Venue]:
        return [v for v in self.venues if not v.over and v.filled < v.quantity]

    @precondition(lambda self: self.living())
    @rule(data=st.data(), kind=st.sampled_from([ExecutionKind.ACCEPTED, ExecutionKind.UNKNOWN]))
    def answers(self, data: st.DataObject, kind: ExecutionKind) -> None:
        v = data.draw(st.sampled_from(self.living()))
        v.acked = v.acked or kind is ExecutionKind.ACCEPTED
        self.say(v, kind)

    @precondition(lambda self: self.living())
    @rule(data=st.data(), held_back=st.booleans())
    def fills(self, data: st.DataObject, held_back: bool) -> None:
        v = data.draw(st.sampled_from(self.living()))
        fill = self.a_fill(v, data)
        if held_back and v.filled < v.quantity:
            v.owing.append(fill)  # matched, and told only after the end
            return
        v.told.append(fill)
        self.feed(ACKS, fill, v.name)

    @precondition(lambda self: self.living())
    @rule(
        data=st.data(),
        kind=st.sampled_from(
            [ExecutionKind.CANCELLED, ExecutionKind.EXPIRED, ExecutionKind.REJECTED, ExecutionKind.NOT_SENT]
        ),
        counts=st.booleans(),
    )
    def ends(self, data: st.DataObject, kind: ExecutionKind, counts: bool) -> None:
        v = data.draw(st.sampled_from(self.living()))
        if kind in (ExecutionKind.REJECTED, ExecutionKind.NOT_SENT) and (v.filled or v.acked):
            kind = ExecutionKind.CANCELLED
        v.over = kind.value
        # Without the count a fill that is still owed comes late, when the order may be over.
        self.say(v, kind, cumulative_quantity=v.filled if counts else None)

    @precondition(lambda self: any(v.over and v.owing for v in self.venues))
    @rule(data=st.data())
    def late_fills(self, data: st.DataObject) -> None:
        v = data.draw(st.sampled_from([v for v in self.venues if v.over and v.owing]))
        fill = v.owing.pop()  # the last first: out of order
        v.told.append(fill)
        self.feed(ACKS, fill, v.name)

    @precondition(lambda self: self.venues)
    @rule(data=st.data())
    def refuses_a_cancel(self, data: st.DataObject) -> None:
        v = data.draw(st.sampled_from(self.venues))
        self.say(v, ExecutionKind.CANCEL_REJECTED)

    @precondition(lambda self: any(v.told for v in self.venues))
    @rule(data=st.data())
    def tells_again(self, data: st.DataObject) -> None:
        v = data.draw(st.sampled_from([v for v in self.venues if v.told]))
        one = data.draw(st.sampled_from(v.told))
        if one.kind is ExecutionKind.CANCEL_REJECTED:
            return  # this one is no repeat: it would refuse the next cancel
        self.feed(ACKS, one, v.name)

    @rule(account=ACCOUNT, name=NAME, kind=st.sampled_from(ExecutionKind))
    def tells_of_what_is_not(self, account: str, name: str, kind: ExecutionKind) -> None:
        self.feed(ACKS, report(account, order_id_of(account, name), "no-such-child", "a", kind), name)

    # ---- the machine

    @rule(at_most=st.none() | st.integers(1, 5))
    def runs(self, at_most: int | None) -> None:
        self.flush(at_most)

    @rule()
    def aborts(self) -> None:
        self.driver.prepare()

    @rule()
    def crashes(self) -> None:
        self.driver.crash()

    # ---- what must hold

    @invariant()
    def agree(self) -> None:
        if self.pending:
            return
        accounts, orders = self.driver.all(ACCOUNTS), self.driver.all(ORDERS)
        for account, money in self.twin.money.items():
            held = {b.asset: [b.available, b.locked, b.owed or 0] for b in accounts[account].balances}
            assert {a: m for a, m in held.items() if any(m)} == {a: m for a, m in money.items() if any(m)}
        assert len(orders) == len(self.twin.orders)
        for (account, name), order in self.twin.orders.items():
            ours = orders[order_id_of(account, name)]
            assert (ours.state, ours.filled, ours.locked) == (order.state, order.filled, order.lock)

    @invariant()
    def add_up(self) -> None:
        if self.pending:
            return
        events, fills = self.driver.records("orders.events"), self.driver.records("fills")
        outcomes = [e for e in events if e.is_outcome]
        assert Counter(e.kind for e in outcomes) == Counter(self.twin.outcomes)
        causes = Counter((e.cause_topic, e.cause_partition, e.cause_offset) for e in outcomes)
        assert len(causes) == self.commands and set(causes.values()) <= {1}
        assert len(self.driver.records(f"{ACKS}.dlq")) == self.twin.dead
        assert not self.driver.records(f"{COMMANDS}.dlq") and not self.driver.records(f"{TRANSFERS}.dlq")
        assert len({(f.fill_id, f.child_id) for f in fills}) == len(fills)
        assert sum(e.kind == "FILL" for e in events) == len(fills)
        orders = self.driver.all(ORDERS)
        for account, state in self.driver.all(ACCOUNTS).items():
            mine = [e for e in events if e.account_id == account]
            assert first_break(mine, avro_body) is None
            assert state.seq == len(mine) and state.hash == mine[-1].hash
            moved = [
                (b.asset, b.available_delta + b.locked_delta - (b.owed_delta or 0))
                for e in mine
                if e.kind == "TRANSFERRED"
                for b in e.balances
            ]
            own = [o for o in orders.values() if o.account_id == account]
            assert check(state, own, moved, [f for f in fills if f.account_id == account]) == []
            rebuilt: dict[str, list[int]] = {}
            for e in mine:
                for b in e.balances:
                    one = rebuilt.setdefault(b.asset, [0, 0, 0])
                    for i, delta in enumerate((b.available_delta, b.locked_delta, b.owed_delta or 0)):
                        one[i] += delta
                    assert one == [b.available, b.locked, b.owed or 0]
            held = {b.asset: [b.available, b.locked, b.owed or 0] for b in state.balances}
            assert {a: m for a, m in rebuilt.items() if any(m)} == {a: m for a, m in held.items() if any(m)}
        for order in orders.values():
            story = [e for e in events if e.order_id == order.order_id]
            assert (story[-1].state, story[-1].filled, story[-1].order_seq) == (order.state, order.filled, order.seq)
            assert order.filled == sum(c.filled for c in order.children) <= max(order.quantity, 0)
            assert order.filled_quote == sum(f.price * f.quantity // S for f in fills if f.order_id == order.order_id)

    @invariant()
    def cancels_go_out(self) -> None:
        if self.pending:
            return
        asked = Counter(c.child_id for c in self.driver.records("venue.orders"))
        for order in self.driver.all(ORDERS).values():
            for c in order.children:
                if c.cancel_sent:
                    assert asked[c.child_id]
                if order.state is OrderState.PENDING_CANCEL and c.state not in CLOSED:
                    assert asked[c.child_id], "an order that is being cancelled asks every child that lives"

    def teardown(self) -> None:
        self.flush()
        self.agree()
        self.add_up()


AccountsAgainstTwin.TestCase.settings = settings(
    max_examples=int(os.environ.get("BESTEX_MODEL_EXAMPLES", "40")),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestAccountsAgainstTwin = AccountsAgainstTwin.TestCase
