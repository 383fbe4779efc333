"""A naive twin of the accounts agent: the same rules, written down again from what they say, with nothing shared.

It keeps facts (which fills, which answers, what was asked) and works out states and locks from them anew each time, with fractions
where money is multiplied. No state table, no deltas, no events.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from schemas.records import (
    CancelAll,
    CancelOrder,
    ExecutionReport,
    ModifyOrder,
    PlaceOrder,
    RoutePlan,
    RouteStatus,
    Transfer,
)
from streams.domain.events import order_id_of

ONE = 10**8
RETRY = 1_000_000  # until a venue that refused is asked again
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


class Wish(NamedTuple):
    """What an order is to become."""

    quantity: int
    limit: int
    until: int | None


@dataclass
class Order:
    buy: bool
    quantity: int
    limit: int
    immediate: bool
    state: str
    fok: bool = False
    start: int | None = None  # when it is to begin
    until: int | None = None  # when it is over
    alarm: int | None = None  # when that is looked at next
    late: bool = False  # it is over, and being cancelled for that
    stop: int | None = None
    waits: str = ""  # SCHEDULED, ARMED or TRIGGERED, until a plan came
    wish: Wish | None = None
    tries: int = 0
    old: int = 0  # how many of its children are of before the last change
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

    @property
    def asset(self) -> str:
        return "USDT" if self.buy else "BTC"

    @property
    def fresh(self) -> list[Child]:
        return list(self.children.values())[self.old :]

    @property
    def counted(self) -> bool:
        """Whether every venue that ended a child said what it filled."""
        left = [c for c in self.children.values() if c.filled < c.quantity and c.ended not in ("REJECTED", "NOT_SENT")]
        return all(c.said for c in left if c.ended)

    def again(self) -> bool:
        """Whether what a venue let expire is routed once more."""
        return (
            not self.fok
            and (self.market or not self.immediate)
            and not self.wanted
            and self.tries < 9
            and self.counted
            and any(c.ended in ("EXPIRED", "REJECTED", "NOT_SENT") and c.filled < c.quantity for c in self.fresh)
            and self.quantity - self.filled > self.unrouted
        )

    def needs(self, quantity: int | None = None, limit: int | None = None) -> int:
        rest = max(0, (self.quantity if quantity is None else quantity) - self.filled)
        price = self.limit if limit is None else limit
        return math.ceil(Fraction(rest * price, ONE) * (1 + FEE)) if self.buy else rest


class Twin:
    """`money`: account -> asset -> [available, locked, owed, set aside]. Every method answers what is to come out: see `Outcome` strings."""

    def __init__(self) -> None:
        self.money: dict[str, dict[str, list[int]]] = {}
        self.orders: dict[tuple[str, str], Order] = {}
        self.transfers: set[tuple[str, str]] = set()
        self.dead = 0
        self.outcomes: list[str] = []
        self.now = 0

    def of(self, account: str, asset: str) -> list[int]:
        return self.money.setdefault(account, {}).setdefault(asset, [0, 0, 0, 0])

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
        elif t.kind == "RELEASE":
            if known is None or known.get(t.asset, [0, 0, 0, 0])[3] < t.amount:
                return self.outcomes.append("TRANSFER_DENIED")
            known[t.asset][3] -= t.amount
            self.give(t.account_id, t.asset, t.amount)
        else:
            if known is None or self.owes(t.account_id) or known.get(t.asset, [0])[0] < t.amount:
                return self.outcomes.append("TRANSFER_DENIED")
            known[t.asset][0] -= t.amount
            known[t.asset][3] += t.amount if t.kind == "HOLD" else 0
        return self.outcomes.append("TRANSFERRED")

    def place(self, p: PlaceOrder) -> None:
        name = (p.account_id, p.client_order_id)
        if name in self.orders:
            return self.outcomes.append("DUPLICATE")
        order = Order(
            p.side == "BUY",
            p.quantity,
            p.price or 0,
            p.time_in_force in ("IOC", "FOK"),
            "DENIED",
            fok=p.time_in_force == "FOK",
            start=p.scheduled_at,
            until=p.expires_at,
            alarm=p.expires_at,
            stop=p.stop_price,
        )
        self.orders[name] = order
        if p.quantity <= 0 or p.price is None or p.account_id not in self.money:
            return self.outcomes.append("DENIED")
        if p.expires_at is not None and p.expires_at <= max(self.now, p.scheduled_at or 0):
            return self.outcomes.append("DENIED")
        if p.scheduled_at is not None and p.scheduled_at > self.now:
            order.waits = order.state = "SCHEDULED"
            return self.outcomes.append("ACCEPTED")
        return self.outcomes.append("ACCEPTED" if self.begin(p.account_id, order) else "DENIED")

    def worth_it(self, account: str, quantity: int, limit: int) -> bool:
        """What the venues ask for at least, of an account that owes nothing."""
        return not self.owes(account) and Fraction(limit * quantity, ONE) >= 5 * ONE

    def reserve(self, account: str, order: Order, amount: int) -> bool:
        held = self.of(account, "USDT" if order.buy else "BTC")
        if held[0] < amount:
            return False
        held[0] -= amount
        held[1] += amount
        order.lock += amount
        return True

    def begin(self, account: str, order: Order) -> bool:
        order.waits = ""
        if not self.worth_it(account, order.quantity, order.limit) or not self.reserve(account, order, order.needs()):
            order.state = "DENIED"
            return False
        order.waits = "ARMED" if order.stop is not None else ""
        order.state = order.waits or "ROUTING"
        return True

    def clock(self, now: int) -> None:
        """Time goes on: what is due starts or is over, the earliest first."""
        self.now = now
        due = []
        for (account, name), order in self.orders.items():
            order_id = order_id_of(account, name)
            if order.state in OVER:
                continue
            if order.waits == "SCHEDULED" and order.start is not None and order.start <= now:
                due.append((order.start, f"start|{order_id}", account, order))
            if order.alarm is not None and order.alarm <= now:
                due.append((order.alarm, f"expiry|{order_id}", account, order))
        for _, what, account, order in sorted(due, key=lambda d: d[:2]):
            if order.state in OVER:
                continue
            if what.startswith("start"):
                self.begin(account, order)
            else:
                order.alarm, order.late = None, True
                self.give_up(account, order)

    def give_up(self, account: str, order: Order) -> None:
        order.wanted, order.wish = True, None
        for child in order.children.values():
            child.ask()
        self.settle(account, order)

    def cancel(self, c: CancelOrder) -> None:
        order = self.orders.get((c.account_id, c.client_order_id))
        if order is None or order.state in OVER:
            return self.outcomes.append("CANCEL_DENIED")
        self.give_up(c.account_id, order)
        return self.outcomes.append("CANCEL_REQUESTED")

    def cancel_all(self, c: CancelAll) -> None:
        self.outcomes.append("ALL_CANCELLED")
        for (account, _), order in self.orders.items():
            if account == c.account_id and order.state not in OVER and c.symbol in (None, "BTC/USDT"):
                self.give_up(account, order)

    def modify(self, m: ModifyOrder) -> None:
        order = self.orders.get((m.account_id, m.client_order_id))
        self.outcomes.append("MODIFY_DENIED" if order is None else self.changed(m.account_id, order, m))

    def changed(self, account: str, order: Order, m: ModifyOrder) -> str:
        no, early = "MODIFY_DENIED", order.waits in ("SCHEDULED", "ARMED")
        if order.state in OVER or order.wanted or order.wish:
            return no
        if (m.quantity, m.price, m.stop_price, m.scheduled_at, m.expires_at) == (None,) * 5:
            return no
        if m.quantity is not None and m.quantity <= 0:
            return no
        if (m.stop_price is not None and (order.stop is None or not early)) or (order.immediate and not early):
            return no
        if m.scheduled_at is not None and order.waits != "SCHEDULED":
            return no
        if m.expires_at is not None and (order.until is None or m.expires_at <= self.now):
            return no
        quantity, limit = m.quantity or order.quantity, m.price or order.limit
        stop, until = m.stop_price or order.stop, m.expires_at or order.until
        if order.waits == "SCHEDULED":
            order.quantity, order.limit, order.stop, order.until = quantity, limit, stop, until
            order.start = m.scheduled_at or order.start
            order.alarm = m.expires_at or order.alarm
            if order.start is not None and order.start <= self.now:
                self.begin(account, order)
            return "MODIFIED"
        if (quantity, limit, stop) == (order.quantity, order.limit, order.stop):
            if m.expires_at is not None:
                order.until, order.alarm, order.late = until, until, False
            return "MODIFIED"
        if order.waits == "ARMED":
            lock = order.needs(quantity, limit)
            if not self.worth_it(account, quantity, limit) or self.of(account, order.asset)[0] + order.lock < lock:
                return no
            self.free(account, order)
            self.reserve(account, order, lock)
            order.quantity, order.limit, order.stop, order.attempt = quantity, limit, stop, order.attempt + 1
            if m.expires_at is not None:
                order.until = order.alarm = m.expires_at
            return "MODIFIED"
        if quantity > order.filled:
            more = max(0, order.needs(quantity, limit) - order.lock)
            if not self.worth_it(account, quantity, limit) or not self.reserve(account, order, more):
                return no
        order.wish = Wish(quantity, limit, until)
        order.late = order.late and m.expires_at is None
        for child in order.children.values():
            child.ask()
        self.settle(account, order)
        return "MODIFY_REQUESTED"

    def free(self, account: str, order: Order) -> None:
        self.of(account, order.asset)[1] -= order.lock
        back, order.lock = order.lock, 0
        self.give(account, order.asset, back)

    # ---- what comes back

    def plan(self, p: RoutePlan, name: str) -> None:
        order = self.orders.get((p.account_id, name))
        early = order is not None and order.waits in ("SCHEDULED", "ARMED")
        if order is None or early or order.planned or order.state in OVER or p.attempt != order.attempt:
            self.dead += 1
            return
        order.planned, order.unrouted, order.waits = True, p.unrouted, ""
        for c in p.children:
            order.children[c.child_id] = child = Child(c.venue, c.quantity)
            if order.wanted or order.wish:
                child.ask()
        self.settle(p.account_id, order)

    def triggered(self, t: RouteStatus, name: str) -> None:
        order = self.orders.get((t.account_id, name))
        if order is None:
            self.dead += 1
        elif order.state == "ARMED" and t.attempt == order.attempt:
            order.waits = order.state = "TRIGGERED"
            order.attempt += 1

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
        order.state = self.state(account, order)
        keep = order.needs()
        if order.wish is not None:
            keep = max(keep, order.needs(order.wish.quantity, order.wish.limit))
        keep = 0 if order.state in OVER else min(order.lock, keep)
        self.of(account, order.asset)[1] -= order.lock - keep
        back, order.lock = order.lock - keep, keep
        self.give(account, order.asset, back)

    def state(self, account: str, order: Order) -> str:
        children = list(order.children.values())
        if order.filled == order.quantity and not (order.wish and order.wish.quantity > order.quantity):
            return "FILLED"
        if order.state in OVER:
            return order.state
        if order.wanted and order.waits in ("SCHEDULED", "ARMED"):
            return "EXPIRED" if order.late else "CANCELLED"
        alive, pending = [c for c in children if c.alive], order.wanted or order.wish
        if pending and order.planned and alive and not any(c.asked for c in alive):
            order.wanted, order.wish = False, None
            order.working = any(c.acked and not c.filled for c in alive)
            order.alarm = self.now + RETRY if order.late else order.alarm
        at_rest = order.planned and not any(c.open for c in children)
        if at_rest and order.wish is not None:
            return self.become(account, order, order.wish)
        if at_rest and order.again():
            order.planned, order.attempt, order.tries = False, order.attempt + 1, order.tries + 1
        elif at_rest:
            return self.ending(order)
        if order.wanted:
            return "PENDING_CANCEL"
        if order.wish:
            return "PENDING_MODIFY"
        if order.waits:
            return order.waits
        if order.filled:
            return "PARTIALLY_FILLED"
        return "WORKING" if order.working else "ROUTING"

    def ending(self, order: Order) -> str:
        if order.wanted:
            return "EXPIRED" if order.late else "CANCELLED"
        fresh = order.fresh
        if not order.filled and all(c.ended in ("REJECTED", "NOT_SENT") for c in fresh):
            return "REJECTED" if fresh or not order.immediate else "EXPIRED"
        return "CANCELLED" if not order.immediate and any(c.ended == "CANCELLED" for c in fresh) else "EXPIRED"

    def become(self, account: str, order: Order, wish: Wish) -> str:
        """Nothing is out any more: the order is what it was asked to be."""
        order.wish = None
        if not order.counted:
            return "CANCELLED"
        if wish.quantity <= order.filled:
            order.quantity = order.filled
            return "FILLED"
        more = order.needs(wish.quantity, wish.limit) - order.lock
        if more > 0 and not self.reserve(account, order, more):
            return "CANCELLED"
        order.quantity, order.limit, order.until = wish
        order.alarm = order.until if order.until is not None else order.alarm
        order.attempt, order.planned, order.working, order.tries = order.attempt + 1, False, False, 0
        order.old = len(order.children)
        return "PARTIALLY_FILLED" if order.filled else "ROUTING"
