"""A naive twin of the accounts agent: the same rules, written down again from what they say, with nothing shared.

It keeps facts (which fills, which answers, what was asked) and works out states and locks from them anew each time, with fractions
where money is multiplied. No state table, no deltas, no events.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

from schemas.records import (
    CancelOrder,
    ExecutionReport,
    ModifyOrder,
    PlaceOrder,
    RoutePlan,
    Transfer,
)

ONE = 10**8
FEE = Fraction(1, 1000)
OVER = ("FILLED", "CANCELLED", "EXPIRED", "REJECTED", "DENIED")


@dataclass
class Child:
    """What is known of a child. `ended`: the venue's last word; `counted`: how much it says was filled."""

    venue: str
    quantity: int
    fills: dict[str, int] = field(default_factory=dict)
    acked: bool = False
    ended: str = ""
    counted: int = 0
    said: bool = False  # the venue said how much it filled
    asked: bool = False  # a cancel is on its way
    asks: int = 0  # how often one was sent

    def ask(self) -> None:
        if self.alive and not self.asked:
            self.asked, self.asks = True, self.asks + 1

    @property
    def filled(self) -> int:
        return sum(self.fills.values())

    @property
    def alive(self) -> bool:
        return not self.ended and self.filled < self.quantity

    @property
    def open(self) -> bool:
        return self.alive or self.filled < self.counted


@dataclass
class Order:
    buy: bool
    quantity: int
    limit: int
    immediate: bool
    state: str
    lock: int = 0
    planned: bool = False
    market: bool = False
    attempt: int = 1
    unrouted: int = 0
    wanted: bool = False  # a cancel is wanted
    working: bool = False
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def filled(self) -> int:
        return sum(c.filled for c in self.children.values())

    def again(self) -> bool:
        """Whether what a venue let expire is routed once more."""
        left = [c for c in self.children.values() if c.filled < c.quantity and c.ended not in ("REJECTED", "NOT_SENT")]
        return (
            (self.market or not self.immediate)
            and not self.wanted
            and self.attempt < 10
            and all(c.said for c in left)
            and any(c.ended == "EXPIRED" for c in left)
            and self.quantity - self.filled > self.unrouted
        )

    def needs(self) -> int:
        rest = self.quantity - self.filled
        return math.ceil(Fraction(rest * self.limit, ONE) * (1 + FEE)) if self.buy else rest


class Twin:
    """`money`: account -> asset -> [available, locked, owed]. Every method answers what is to come out: see `Outcome` strings."""

    def __init__(self) -> None:
        self.money: dict[str, dict[str, list[int]]] = {}
        self.orders: dict[tuple[str, str], Order] = {}
        self.transfers: set[tuple[str, str]] = set()
        self.dead = 0
        self.outcomes: list[str] = []

    def of(self, account: str, asset: str) -> list[int]:
        return self.money.setdefault(account, {}).setdefault(asset, [0, 0, 0])

    def give(self, account: str, asset: str, amount: int) -> None:
        one = self.of(account, asset)
        while amount and one[2]:
            part = min(amount, one[2])
            one[2] -= part
            amount -= part
        one[0] += amount

    def take(self, account: str, asset: str, amount: int) -> None:
        one = self.of(account, asset)
        part = min(amount, one[0])
        one[0] -= part
        one[2] += amount - part

    def owes(self, account: str) -> bool:
        return any(one[2] for one in self.money.get(account, {}).values())

    # ---- commands

    def transfer(self, t: Transfer) -> None:
        known = self.money.get(t.account_id)
        if (t.account_id, t.transfer_id) in self.transfers:
            return self.outcomes.append("TRANSFER_DENIED")
        self.transfers.add((t.account_id, t.transfer_id))
        if t.amount <= 0:
            return self.outcomes.append("TRANSFER_DENIED")
        if t.kind == "DEPOSIT":
            self.give(t.account_id, t.asset, t.amount)
        else:
            if known is None or self.owes(t.account_id) or known.get(t.asset, [0])[0] < t.amount:
                return self.outcomes.append("TRANSFER_DENIED")
            known[t.asset][0] -= t.amount
        return self.outcomes.append("TRANSFERRED")

    def place(self, p: PlaceOrder) -> None:
        name = (p.account_id, p.client_order_id)
        if name in self.orders:
            return self.outcomes.append("DUPLICATE")
        buy = p.side == "BUY"
        order = Order(buy, p.quantity, p.price or 0, p.time_in_force == "IOC", "DENIED")
        self.orders[name] = order
        if p.quantity <= 0 or p.price is None or p.account_id not in self.money or self.owes(p.account_id):
            return self.outcomes.append("DENIED")
        if Fraction(p.price * p.quantity, ONE) < 5 * ONE:  # what the venues ask for at least
            return self.outcomes.append("DENIED")
        asset, needs = ("USDT" if buy else "BTC"), order.needs()
        held = self.money[p.account_id].get(asset, [0, 0, 0])
        if held[0] < needs:
            return self.outcomes.append("DENIED")
        held[0] -= needs
        held[1] += needs
        order.lock, order.state = needs, "ROUTING"
        return self.outcomes.append("ACCEPTED")

    def cancel(self, c: CancelOrder) -> None:
        order = self.orders.get((c.account_id, c.client_order_id))
        if order is None or order.state in OVER:
            return self.outcomes.append("CANCEL_DENIED")
        order.wanted, order.state = True, "PENDING_CANCEL"
        for child in order.children.values():
            child.ask()
        return self.outcomes.append("CANCEL_REQUESTED")

    def modify(self, m: ModifyOrder) -> None:
        self.outcomes.append("MODIFY_DENIED")

    # ---- what comes back

    def plan(self, p: RoutePlan, name: str) -> None:
        order = self.orders.get((p.account_id, name))
        if order is None or order.planned or order.state in OVER or p.attempt != order.attempt:
            self.dead += 1
            return
        order.planned, order.unrouted = True, p.unrouted
        for c in p.children:
            order.children[c.child_id] = child = Child(c.venue, c.quantity)
            if order.wanted:
                child.ask()
        self.settle(p.account_id, order)

    def report(self, r: ExecutionReport, name: str) -> None:
        order = self.orders.get((r.account_id, name))
        child = order.children.get(r.child_id) if order else None
        if order is None or child is None:
            self.dead += 1
            return
        if r.kind == "ACCEPTED" and child.alive and not child.filled:
            child.acked = order.working = True
        elif r.kind == "FILL":
            self.fill(r, order, child)
        elif r.kind in ("CANCELLED", "EXPIRED", "REJECTED", "NOT_SENT") and child.alive:
            child.ended, child.counted, child.asked = r.kind, r.cumulative_quantity or 0, False
            child.said = r.cumulative_quantity is not None
        elif r.kind == "CANCEL_REJECTED":
            child.asked = False
        self.settle(r.account_id, order)

    def fill(self, r: ExecutionReport, order: Order, child: Child) -> None:
        assert r.trade_id and r.price and r.quantity and r.fee_asset and r.fee is not None
        if r.trade_id in child.fills:
            return
        child.fills[r.trade_id] = r.quantity
        value = math.floor(Fraction(r.price * r.quantity, ONE))
        pays, gets = ("USDT", "BTC") if order.buy else ("BTC", "USDT")
        costs, brings = (value, r.quantity) if order.buy else (r.quantity, value)
        if r.fee_asset == gets:
            brings -= r.fee
        elif r.fee_asset == pays:
            costs += r.fee
        else:
            self.take(r.account_id, r.fee_asset, r.fee)
        locked = min(order.lock, costs)
        order.lock -= locked
        self.of(r.account_id, pays)[1] -= locked
        self.take(r.account_id, pays, costs - locked)
        self.give(r.account_id, gets, brings)

    def settle(self, account: str, order: Order) -> None:
        """The state that follows from the facts, and the lock that follows from the state."""
        order.state = self.state(order)
        keep = 0 if order.state in OVER else min(order.lock, order.needs())
        one = self.of(account, "USDT" if order.buy else "BTC")
        one[1] -= order.lock - keep
        back, order.lock = order.lock - keep, keep
        self.give(account, "USDT" if order.buy else "BTC", back)

    def state(self, order: Order) -> str:
        children = list(order.children.values())
        if order.filled == order.quantity:
            return "FILLED"
        if order.state in OVER:
            return order.state
        alive = [c for c in children if c.alive]
        if order.wanted and order.planned and alive and not any(c.asked for c in alive):
            order.wanted, order.working = False, any(c.acked and not c.filled for c in alive)
        if order.planned and not any(c.open for c in children) and order.again():
            order.planned, order.attempt = False, order.attempt + 1
        if order.planned and not any(c.open for c in children):
            if order.wanted:
                return "CANCELLED"
            if not order.filled and all(c.ended in ("REJECTED", "NOT_SENT") for c in children):
                return "REJECTED" if children or not order.immediate else "EXPIRED"
            return "CANCELLED" if not order.immediate and any(c.ended == "CANCELLED" for c in children) else "EXPIRED"
        if order.wanted:
            return "PENDING_CANCEL"
        if order.filled:
            return "PARTIALLY_FILLED"
        return "WORKING" if order.working else "ROUTING"
