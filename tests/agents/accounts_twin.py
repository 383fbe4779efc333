"""A naive twin of the accounts agent: the same rules, written down again from what they say, with nothing shared.

It keeps facts (which fills, which answers, what was asked) and works out states and locks from them anew each time, with fractions
where money is multiplied. No state table, no deltas, no events.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from schemas.records import (
    CancelAll,
    CancelOrder,
    ExecutionReport,
    ModifyOrder,
    PlaceOrder,
    RoutePlan,
    RouteStatus,
    SetLimits,
    TradingState,
    Transfer,
)
from streams.domain.events import order_id_of

ONE = 10**8
RETRY = 1_000_000  # until a venue that refused is asked again
PATIENCE = 2_000_000  # of what takes at once, while there is no venue
SOON = 100_000  # until a slice is tried again whose predecessor is still on its way to the venues
LOT = 1000
FEE = Fraction(1, 1000)
SECOND, DAY = 1_000_000, 86_400_000_000
MID = 60_000 * ONE  # of BTC/USDT, all the time
BAND = Fraction(1, 10)  # how far beyond it a limit may lie
PARTS = 5_000  # of a bulk order
UNLESS_SAID = {"min_tier": 0, "max_notional": 10_000_000 * ONE, "max_open_orders": 10_000}
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

    @property
    def risk(self) -> int:
        """What must not be asked for a second time: it may still be filled, as far as is known."""
        if self.alive or (self.ended in ("CANCELLED", "EXPIRED") and not self.said):
            return self.quantity - self.filled
        return max(0, self.counted - self.filled)


class Wish(NamedTuple):
    """What an order is to become."""

    quantity: int
    limit: int
    until: int | None
    less: bool  # it takes away, and adds nothing


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
    nowhere: bool = False  # there was no venue to go to
    shut: bool = False  # the router planned nothing, for trading was halted
    paused: bool = False  # it waits for the end of a halt
    poll: int | None = None  # when it looks whether that has come
    looking: int | None = None  # since when another venue is looked for
    look: int | None = None  # when that is over
    since: int = 0  # the first of its children that the last request did not ask for again
    wanted: bool = False  # a cancel is wanted
    working: bool = False
    algo: str = ""
    slices: int = 0
    window: int = 0
    visible: int = 0
    began: int = 0
    released: int | None = None  # how much may be with venues or filled by now; None: all
    final: bool = False  # a TWAP's last slice is released
    slice_at: int | None = None  # when the next slice is looked at
    asked: int | None = None  # of the router, the last time
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
    def latest(self) -> list[Child]:
        return list(self.children.values())[self.since :]

    @property
    def stranded(self) -> bool:
        """Whether it, or a part of it, waits for a venue, or for the end of a halt that the router knew of."""
        pending = self.wanted or self.wish
        return self.planned and (self.nowhere or self.shut) and not pending and self.state not in OVER

    @property
    def open(self) -> bool:
        """Whether a venue has something of it, or more is to come from there."""
        return any(c.open for c in self.children.values())

    @property
    def begun(self) -> bool:
        """Whether it has been reserved for."""
        return self.state not in OVER and self.waits != "SCHEDULED"

    @property
    def counted(self) -> bool:
        """Whether every venue that ended a child said what it filled."""
        left = [c for c in self.children.values() if c.filled < c.quantity and c.ended not in ("REJECTED", "NOT_SENT")]
        return all(c.said for c in left if c.ended)

    def again(self) -> bool:
        """Whether what a venue let expire is routed once more."""
        failed = ("REJECTED", "NOT_SENT") if self.immediate else ("EXPIRED", "REJECTED", "NOT_SENT")
        return (
            not self.wanted
            and self.tries < 9
            and self.counted
            and self.algo != "TWAP"
            and any(c in self.fresh and c.ended in failed and c.filled < c.quantity for c in self.latest)
            and self.due > self.unrouted
        )

    @property
    def due(self) -> int:
        """What may be at venues by now, and neither is filled nor may be there already."""
        whole = self.quantity if self.released is None else min(self.released, self.quantity)
        return whole - self.filled - sum(c.risk for c in self.children.values())

    def ask(self, again: bool = True) -> None:
        """The router is asked where what is due goes."""
        if again:
            self.attempt, self.unrouted = self.attempt + 1, 0
        self.asked, self.planned, self.paused = self.due, False, False
        children = list(self.children.values())
        self.since = next((i for i, c in enumerate(children) if c.open), len(children))

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
        self.said: dict[str, dict[str, Any]] = {"*": {}}  # account -> its limits; "*": everybody's
        self.states: dict[str, TradingState] = {}
        self.days: dict[tuple[str, int], int] = {}  # (account, day) -> what was placed
        self.commands: dict[tuple[str, int, str], int] = {}  # (account, second, "order" or "modify") -> how many

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

    # ---- limits

    def set_limits(self, s: SetLimits) -> None:
        said = {
            f: getattr(s, f) for f in s.__struct_fields__ if f not in ("account_id", "command_id", "sent_at", "unset")
        }
        said = {f: value for f, value in said.items() if value is not None}
        named = set(said)
        positions = {f"position.{one.asset}": one.amount for one in said.pop("max_positions", ())}
        numbers = [v for f, v in said.items() if f not in ("state", "sanctioned", "kyc_tier", "min_tier")]
        gone = s.unset or ()
        wrong = any(n < 0 for n in [*numbers, *positions.values()]) or "nonsense" in gone
        if wrong or (named | positions.keys()) & {*gone}:
            return self.outcomes.append("LIMITS_DENIED")
        own = {**self.said.get(s.account_id, {}), **said, **positions}
        self.said[s.account_id] = {
            f: v
            for f, v in own.items()
            if f not in gone and not ("max_positions" in gone and f.startswith("position."))
        }
        return self.outcomes.append("LIMITS_SET")

    def set_everybodys(self, s: SetLimits) -> None:
        names = ("account_id", "command_id", "sent_at", "unset", "max_positions")
        said = {f: getattr(s, f) for f in s.__struct_fields__ if f not in names}
        self.said["*"] = {f: value for f, value in said.items() if value is not None}
        self.said["*"] |= {f"position.{one.asset}": one.amount for one in s.max_positions or ()}

    def limit(self, account: str, name: str) -> Any:
        """An account's limit; `None` where there is none."""
        for of in (self.said.get(account, {}), self.said["*"], UNLESS_SAID):
            if name in of:
                return of[name]
        return None

    def against(self, account: str, buy: bool) -> str:
        """What stands against sending anything out now, the strictest first; empty where nothing does."""
        own = self.said.get(account, {})
        if own.get("sanctioned") or self.said["*"].get("sanctioned"):
            return "SANCTIONED"
        if own.get("kyc_tier", 0) < self.limit(account, "min_tier"):
            return "KYC_TIER"
        holds = [s for s in self.states.values() if (s.until is None or self.now < s.until) and not s.market_only]
        found = {s.state.value for s in holds} | {
            said["state"].value for said in (own, self.said["*"]) if "state" in said
        }
        if "HALTED" in found:
            return "HALTED"
        return "REDUCING" if "REDUCING" in found and buy else ""

    def too_fast(self, account: str, what: str) -> bool:
        """Whether one more command in this second is too much; it counts, where there is a limit."""
        most = self.limit(account, f"{what}_rate")
        if most is None:
            return False
        key = (account, self.now // SECOND, what)
        self.commands[key] = self.commands.get(key, 0) + 1
        return self.commands[key] > most

    def open_orders(self, account: str) -> list[Order]:
        return [o for (whose, _), o in self.orders.items() if whose == account and o.state not in OVER]

    def today(self, account: str, order: Order, quantity: int, limit: int) -> int:
        """What the day's orders are worth with this one as it is to be."""
        now = math.floor(Fraction(order.limit * (order.quantity - order.filled), ONE)) if order.begun else 0
        then = math.floor(Fraction(limit * max(0, quantity - order.filled), ONE))
        return self.days.get((account, self.now // DAY), 0) + max(0, then - now)

    def count(self, account: str, order: Order, quantity: int, limit: int) -> None:
        self.days[account, self.now // DAY] = self.today(account, order, quantity, limit)

    def too_much(self, account: str, order: Order, quantity: int) -> bool:
        """Whether a buy takes more than the account may hold, with all that its orders may still bring."""
        coming = sum(
            max(o.quantity, o.wish.quantity if o.wish else 0) - o.filled
            for o in self.open_orders(account)
            if o.buy and o.begun and o is not order
        )
        holds = {asset: one[0] + one[1] + one[3] for asset, one in self.money[account].items()}
        holds["BTC"] = holds.get("BTC", 0) + coming + quantity - order.filled
        most = self.limit(account, "position.BTC")
        if most is not None and holds["BTC"] > most:
            return True
        most = self.limit(account, "max_account_position")
        if most is None:
            return False
        return holds.get("BNB", 0) > 0 or math.floor(Fraction(holds["BTC"] * MID, ONE)) > most  # BNB has no price

    def allowed(
        self, account: str, order: Order, quantity: int, limit: int, stop: int | None, less: bool = False
    ) -> bool:
        """Whether an order may be of this quantity at this limit: all but the funds."""
        against = self.against(account, order.buy)
        if against and not (less and against in ("HALTED", "REDUCING")):
            return False
        middle = stop if stop is not None else MID
        beyond = limit - middle if order.buy else middle - limit
        collar = self.limit(account, "collar")
        if beyond > middle * (BAND if collar is None else Fraction(collar, ONE)):
            return False
        worth = math.floor(Fraction(limit * quantity, ONE))
        most = self.limit(account, "max_quantity")
        if not 5 * ONE <= worth <= self.limit(account, "max_notional") or (most is not None and quantity > most):
            return False
        if self.owes(account) or (order.buy and self.too_much(account, order, quantity)):
            return False
        most = self.limit(account, "max_day_notional")
        return most is None or self.today(account, order, quantity, limit) <= most

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
            if self.said.get(t.account_id, {}).get("sanctioned") or self.said["*"].get("sanctioned"):
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
            algo=p.algo or "",
            slices=p.slices or 0,
            window=p.window_us or 0,
            visible=p.visible or 0 if p.algo == "ICEBERG" else 0,
        )
        self.orders[name] = order
        if p.quantity <= 0 or p.price is None or p.account_id not in self.money:
            return self.outcomes.append("DENIED")
        if p.reduce_only and order.buy:
            return self.outcomes.append("DENIED")
        if order.algo == "ICEBERG" and not 0 < order.visible <= order.quantity <= PARTS * order.visible:
            return self.outcomes.append("DENIED")
        if p.expires_at is not None and p.expires_at <= (p.scheduled_at or 0):
            return self.outcomes.append("DENIED")
        if self.too_fast(p.account_id, "order"):
            return self.outcomes.append("DENIED")
        if len(self.open_orders(p.account_id)) >= self.limit(p.account_id, "max_open_orders"):
            return self.outcomes.append("DENIED")
        if p.expires_at is not None and p.expires_at <= self.now:
            return self.outcomes.append("DENIED")
        if p.scheduled_at is not None and p.scheduled_at > self.now:
            order.waits = order.state = "SCHEDULED"
            return self.outcomes.append("ACCEPTED")
        return self.outcomes.append("ACCEPTED" if self.begin(p.account_id, order) else "DENIED")

    def reserve(self, account: str, order: Order, amount: int) -> bool:
        held = self.of(account, "USDT" if order.buy else "BTC")
        if held[0] < amount:
            return False
        held[0] -= amount
        held[1] += amount
        order.lock += amount
        return True

    def begin(self, account: str, order: Order) -> bool:
        order.state = "DENIED"  # until it may go
        if order.until is not None and order.until <= self.now:
            return False
        if not self.allowed(account, order, order.quantity, order.limit, order.stop):
            return False
        if not self.reserve(account, order, order.needs()):
            return False
        self.count(account, order, order.quantity, order.limit)
        order.waits = "ARMED" if order.stop is not None else ""
        order.state = order.waits or "ROUTING"
        if order.algo == "TWAP":
            order.began = order.slice_at = self.now
            order.released, order.planned = 0, True
        else:
            order.released = order.visible if order.algo else None
            order.ask(again=False)
        return True

    def pause(self, order: Order) -> None:
        """It waits for the end of a halt."""
        order.paused, order.planned, order.poll = True, True, self.now + SECOND

    def may(self, account: str, order: Order) -> bool:
        """Whether more of it may go out now; where a halt is against that, it waits."""
        against = self.against(account, order.buy)
        if against == "HALTED":
            order.looking = None
            self.pause(order)
        return not against

    def clock(self, now: int, accounts: Collection[str]) -> bool:
        """Time goes on: what is due starts, goes on or is over, the earliest first. Whether there was anything."""
        self.now = now
        due = []
        for (account, name), order in self.orders.items():
            order_id = order_id_of(account, name)
            if order.state in OVER or account not in accounts:
                continue
            alarms = {"start": order.start if order.waits == "SCHEDULED" else None, "expiry": order.alarm}
            alarms |= {"slice": order.slice_at, "look": order.look, "resume": order.poll}
            rung = {what: at for what, at in alarms.items() if at is not None and at <= now}
            due += [(at, f"{what}|{order_id}", account, order) for what, at in rung.items()]
            order.alarm = None if "expiry" in rung else order.alarm
            order.slice_at = None if "slice" in rung else order.slice_at
            order.look = None if "look" in rung else order.look
            order.poll = None if "resume" in rung else order.poll
        for _, what, account, order in sorted(due, key=lambda d: d[:2]):
            if order.state in OVER:
                continue
            if what.startswith("start"):
                self.begin(account, order)
            elif what.startswith("look"):
                if order.planned and order.stranded and not order.open and not order.paused:
                    self.settle(account, order)
            elif what.startswith("slice"):
                self.slice(account, order)
            elif what.startswith("resume"):
                self.after_halt(account, order)
            else:
                ends = order.wish.until if order.wish else order.until
                if ends is not None and ends > self.now:
                    order.alarm = ends  # it was given more time
                    continue
                order.late = True
                self.give_up(account, order)
        return bool(due)

    def over(self, order: Order) -> bool:
        """Whether nothing more of it may go out, for its time is over."""
        return order.late or (order.until is not None and order.until <= self.now)

    def slice(self, account: str, order: Order) -> None:
        if order.wanted:
            return
        against = self.against(account, order.buy)
        if order.wish or not order.planned:
            order.slice_at = self.now + (SECOND if order.paused else SOON)
        elif order.algo == "TWAP":
            share = min(
                Fraction(1), Fraction(1 + (self.now - order.began) * order.slices // order.window, order.slices)
            )
            if share < 1:
                order.slice_at = order.began + math.ceil(order.window * share)
                if against:
                    return
            order.final = share == 1
            order.released = math.floor(order.quantity * share / LOT) * LOT if share < 1 else order.quantity
            if order.due > 0 and not against:
                order.ask(again=order.asked is not None)
            elif order.final and not order.open:
                order.state = "EXPIRED"
            self.settle(account, order, moves=False)
        elif order.filled < (order.released or 0):
            return
        elif against:
            order.slice_at = self.now + SECOND
        else:
            order.released = min(order.quantity, order.filled + order.visible)
            order.tries, order.looking, order.old = 0, None, len(order.children)
            order.ask()

    def after_halt(self, account: str, order: Order) -> None:
        """It looks whether trading goes on."""
        if not order.paused:
            return
        against = self.against(account, order.buy)
        if against == "HALTED":
            return self.pause(order)
        order.paused = False
        pending = order.wanted or order.wish is not None
        if order.state == "TRIGGERED":
            self.goes_or_not(account, order, against)
        elif self.over(order) and not pending:
            self.settle(account, order)
        elif order.stranded and not against:
            order.ask()
        elif (order.stranded or (against and not pending and not order.algo)) and not order.open:
            order.state = self.ending(order)
            self.settle(account, order)
        elif against and order.open:
            if order.stranded:
                order.nowhere = order.shut = False  # it ends with what venues have of it
        else:
            self.settle(account, order)
        return None

    def goes_or_not(self, account: str, order: Order, against: str) -> None:
        """A stop whose price came."""
        if against:
            order.state = "DENIED"
            self.settle(account, order)
        else:
            order.ask()

    def give_up(self, account: str, order: Order) -> None:
        if order.stranded:
            order.nowhere = order.shut = False  # nobody looks for a venue any more
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
        if self.too_fast(account, "modify"):
            return no
        if order.state in OVER or order.wanted or order.wish:
            return no
        if (m.quantity, m.price, m.stop_price, m.scheduled_at, m.expires_at) == (None,) * 5:
            return no
        if m.quantity is not None and m.quantity <= 0:
            return no
        if m.quantity is not None and m.quantity < order.visible:
            return no
        if (m.stop_price is not None and (order.stop is None or not early)) or (order.immediate and not early):
            return no
        if m.scheduled_at is not None and order.waits != "SCHEDULED":
            return no
        if m.expires_at is not None and (order.until is None or m.expires_at <= self.now):
            return no
        quantity, limit = m.quantity or order.quantity, m.price or order.limit
        parts = len(order.children)
        if order.algo == "ICEBERG" and quantity > order.quantity:
            parts += math.ceil(Fraction(quantity - order.filled, order.visible))
        if max(parts, len(order.children) + 1) > PARTS:
            return no
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
        sign = 1 if order.buy else -1
        less = quantity <= order.quantity and sign * limit <= sign * order.limit
        if order.waits == "ARMED":
            lock = order.needs(quantity, limit)
            less = less and sign * (stop or 0) >= sign * (order.stop or 0)  # and is not reached any sooner
            if not self.allowed(account, order, quantity, limit, stop, less):
                return no
            if self.of(account, order.asset)[0] + order.lock < lock:
                return no
            self.count(account, order, quantity, limit)
            self.free(account, order)
            self.reserve(account, order, lock)
            order.quantity, order.limit, order.stop = quantity, limit, stop
            order.ask()
            if m.expires_at is not None:
                order.until = order.alarm = m.expires_at
            return "MODIFIED"
        if quantity > order.filled:
            more = max(0, order.needs(quantity, limit) - order.lock)
            if not self.allowed(account, order, quantity, limit, None, less) or not self.reserve(account, order, more):
                return no
            self.count(account, order, quantity, limit)
        order.wish = Wish(quantity, limit, until, less)
        order.alarm = until if until != order.until else order.alarm
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
        dead = order is not None and order.state in OVER and order.state != "FILLED"
        if order is None or early or order.planned or dead or p.attempt != order.attempt:
            self.dead += 1
            return
        order.planned, order.unrouted, order.waits = True, p.unrouted, ""
        order.nowhere, order.shut = p.reason == "NO_ELIGIBLE_VENUE", p.reason == "HALTED"
        for c in p.children:
            order.children[c.child_id] = Child(c.venue, c.quantity)
        for child in order.children.values():
            if order.wanted or order.wish or order.state in OVER:
                child.ask()  # also those whose venue has refused meanwhile
        self.settle(p.account_id, order)

    def triggered(self, t: RouteStatus, name: str) -> None:
        order = self.orders.get((t.account_id, name))
        if order is None:
            self.dead += 1
        elif t.kind == "RESUMED":
            if t.attempt == order.attempt and order.stranded and order.algo != "TWAP":
                self.resume(t.account_id, order)
        elif order.state == "ARMED" and t.attempt == order.attempt:
            order.waits = order.state = "TRIGGERED"
            against = self.against(t.account_id, order.buy)
            if against == "HALTED":
                self.pause(order)
            else:
                self.goes_or_not(t.account_id, order, against)

    def resume(self, account: str, order: Order) -> None:
        """A venue is back for what waits."""
        if self.over(order):
            self.settle(account, order)
        elif self.may(account, order):
            order.ask()
        elif not order.paused:
            order.nowhere = order.shut = False  # nobody will say so again
            if not order.open:
                order.state = self.ending(order)
                self.settle(account, order)

    def report(self, r: ExecutionReport, name: str) -> None:
        order = self.orders.get((r.account_id, name))
        child = order.children.get(r.child_id) if order else None
        if order is None or child is None:
            self.dead += 1
            return
        news = False
        if r.kind == "ACCEPTED" and child.alive and not child.filled:
            child.acked = order.working = True
        elif r.kind == "FILL" and r.trade_id not in child.fills:
            news = True
            self.fill(r, order, child)
        elif r.kind in ("CANCELLED", "EXPIRED", "REJECTED", "NOT_SENT") and child.alive:
            news = True
            child.ended, child.counted, child.asked = r.kind, r.cumulative_quantity or 0, False
            child.said = r.cumulative_quantity is not None
            if r.kind in ("REJECTED", "NOT_SENT"):
                order.nowhere = order.shut = False
        elif r.kind == "CANCEL_REJECTED" and child.alive and child.asked:
            news = True
            child.asked = False
        self.settle(r.account_id, order, moves=news)

    def fill(self, r: ExecutionReport, order: Order, child: Child) -> None:
        assert r.trade_id and r.price and r.quantity and r.fee_asset and r.fee is not None
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

    def settle(self, account: str, order: Order, moves: bool = True) -> None:
        """The state that follows from the facts, and the lock that follows from the state. `moves`: something new is known."""
        order.state = self.moved(account, order) if moves else self.shown(order)
        keep = order.needs()
        if order.wish is not None:
            keep = max(keep, order.needs(order.wish.quantity, order.wish.limit))
        keep = 0 if order.state in OVER else min(order.lock, keep)
        self.of(account, order.asset)[1] -= order.lock - keep
        back, order.lock = order.lock - keep, keep
        self.give(account, order.asset, back)

    def shown(self, order: Order) -> str:
        if 0 < order.filled == order.quantity and not (order.wish and order.wish.quantity > order.quantity):
            return "FILLED"
        if order.state in OVER:
            return order.state
        if order.wanted:
            return "PENDING_CANCEL"
        if order.wish:
            return "PENDING_MODIFY"
        if order.waits:
            return order.waits
        if order.filled:
            return "PARTIALLY_FILLED"
        return "WORKING" if order.working else "ROUTING"

    def moved(self, account: str, order: Order) -> str:
        """The order goes on with what is known now: it goes out, waits, or ends."""
        if self.shown(order) in OVER:
            return self.shown(order)
        if order.wanted and order.waits in ("SCHEDULED", "ARMED"):
            return "EXPIRED" if order.late else "CANCELLED"
        self.refused(account, order)
        if order.planned and order.open:
            if not (order.wish or order.wanted or order.paused or self.over(order)):
                if order.shut and order.stranded and order.algo != "TWAP":
                    order.looking = None
                    self.pause(order)
                elif order.again() and self.may(account, order):
                    self.tries_again(order)
        elif order.planned and order.waits != "TRIGGERED":
            return self.at_rest(account, order)
        elif order.planned and order.wish is not None:
            return self.become(account, order, order.wish)
        elif order.planned and order.wanted:
            return self.ending(order)
        return self.shown(order)

    def tries_again(self, order: Order) -> None:
        order.looking = order.looking or self.now
        order.tries += 1
        order.ask()

    def refused(self, account: str, order: Order) -> None:
        """Every venue that still has something of it refuses to give that back: it is again what it was."""
        alive = [c for c in order.children.values() if c.alive]
        if not (order.wanted or order.wish) or not order.planned or not alive or any(c.asked for c in alive):
            return
        changing = order.wish is not None
        order.wanted, order.wish = False, None
        order.working = any(c.acked and not c.filled for c in alive)
        order.alarm = self.now + RETRY if order.late else order.until
        if order.algo == "TWAP":
            order.slice_at = order.slice_at if order.final else self.now  # it goes on
        elif changing and not order.late and (order.stranded or (order.counted and order.due > order.unrouted)):
            # what was called back for the change goes out by the old terms, and what waited is asked for anew
            against = self.against(account, order.buy)
            if not against:
                order.ask()
            elif against == "HALTED":
                order.nowhere, order.shut, order.unrouted = False, True, order.due
                self.pause(order)
            else:
                order.nowhere = order.shut = False

    def at_rest(self, account: str, order: Order) -> str:
        """No venue has anything of it any more."""
        if order.wish is not None:
            return self.become(account, order, order.wish)
        if order.wanted:
            return self.ending(order)
        if self.over(order):
            return "EXPIRED"
        if order.algo == "TWAP" and not order.final:
            return self.shown(order)
        if order.shut and order.stranded and order.algo != "TWAP":
            order.looking = None
            self.pause(order)
        elif order.algo == "ICEBERG" and order.filled >= (order.released or 0):
            order.slice_at = self.now
        elif order.algo == "TWAP":
            return self.shown(order) if order.paused else self.ending(order)
        elif order.stranded and (not order.immediate or self.now < (order.looking or self.now) + PATIENCE):
            order.looking = order.looking or self.now
            order.look = order.looking + PATIENCE if order.immediate else order.look
        elif not order.stranded and order.again() and self.may(account, order):
            self.tries_again(order)
        elif not order.paused:
            return self.ending(order)
        return self.shown(order)

    def ending(self, order: Order) -> str:
        if order.wanted:
            return "EXPIRED" if order.late else "CANCELLED"
        fresh, takes = order.fresh, order.immediate or order.algo == "TWAP"
        if not order.filled and all(c.ended in ("REJECTED", "NOT_SENT") for c in fresh):
            return "REJECTED" if fresh or not takes else "EXPIRED"
        return "CANCELLED" if not takes and any(c.ended == "CANCELLED" for c in fresh) else "EXPIRED"

    def become(self, account: str, order: Order, wish: Wish) -> str:
        """Nothing is out any more: the order is what it was asked to be."""
        order.wish, against = None, self.against(account, order.buy)
        if not order.counted:
            return "CANCELLED"
        if wish.quantity <= order.filled:
            order.quantity = order.filled
            return "FILLED"
        if wish.until is not None and wish.until <= self.now:
            return "EXPIRED"
        if against == "HALTED":
            order.wish = wish
            self.pause(order)
            return self.shown(order)
        if against and not (wish.less and against == "REDUCING"):
            return "CANCELLED"
        more = order.needs(wish.quantity, wish.limit) - order.lock
        if more > 0 and not self.reserve(account, order, more):
            return "CANCELLED"
        order.quantity, order.limit, order.until = wish.quantity, wish.limit, wish.until
        order.alarm = order.until if order.until is not None else order.alarm
        order.working, order.tries, order.final = False, 0, False
        order.waits, order.paused, order.nowhere, order.shut = "", False, False, False
        order.old, order.looking = len(order.children), None
        if order.algo == "TWAP":
            order.slice_at = self.now
        else:
            order.released = min(order.quantity, order.filled + order.visible) if order.algo else None
            order.ask()
        return self.shown(order)
