"""The accounts agent against its naive twin: random commands, changes, limits, halts, triggers, plans and reports, doubled, late and crossing, with
a clock that jumps and crashes in between.

`BESTEX_MODEL_EXAMPLES` sets the number of runs (of 50 steps); the default is the short form.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from schemas.body import avro_body
from schemas.partitioner import partition_of
from schemas.records import (
    Algo,
    AssetAmount,
    CancelAll,
    CancelOrder,
    ExecutionKind,
    ExecutionReport,
    ModifyOrder,
    OrderType,
    PlaceOrder,
    Quote,
    Record,
    RoutePlan,
    RouteRequest,
    RouteStatus,
    RouteStatusKind,
    SetLimits,
    Side,
    TimeInForce,
    TradingState,
    TradingStatus,
    Transfer,
    TransferKind,
)
from streams.agents.accounts import ACCOUNTS, OPEN, ORDERS, POSITIONS, accounts_agent
from streams.domain.events import first_break, order_id_of
from streams.domain.ledger import check
from streams.domain.positions import traded
from streams.domain.risk import RiskSettings
from streams.engine.driver import STEPS, Abort, Crash, Driver
from tests.agents.accounts_twin import DAY, OVER, Twin
from tests.agents.scenario import (
    ACKS,
    COMMANDS,
    LIMITS,
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

ACCOUNTS_USED = ["ann", "bob"]
WHOEVER = [*ACCOUNTS_USED, "cat"]
ACCOUNT = st.sampled_from(ACCOUNTS_USED)
NAME = st.sampled_from(["o1", "o2", "o3", "o4", "o5", "p1", "p2"])
KIND = st.sampled_from(ExecutionKind)
SEED = st.integers(0, 2**32)
TIFS = [TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]
ENDS = [ExecutionKind.CANCELLED, ExecutionKind.EXPIRED, ExecutionKind.REJECTED, ExecutionKind.NOT_SENT]
LOT = 1000
ORDER_OF_INPUTS = (TRANSFERS, LIMITS, COMMANDS, ACKS)
BEGIN = (START // DAY + 1) * DAY - 4_000_000  # soon it is tomorrow
SCOPES = ["system", f"symbol|{SYMBOL}", f"breaker|{SYMBOL}", "symbol|ETH/USDT"]
STATUSES = [TradingStatus.ACTIVE, TradingStatus.ACTIVE, TradingStatus.ACTIVE, *TradingStatus]
AMOUNTS = {  # loose ones more often than tight ones
    "max_quantity": [0, S // 10, S, 10 * S],
    "max_notional": [0, 5_000 * S, 50_000 * S, 10**7 * S],
    "collar": [0, S // 200, S // 50, S],
    "max_day_notional": [0, 50_000 * S, 500_000 * S, 10**9 * S],
    "max_account_position": [0, 100_000 * S, 10**7 * S, 10**9 * S],
}
NUMBERS = {
    "max_open_orders": [0, 1, 3, 10, 1_000],
    "order_rate": [0, 1, 3, 10, 1_000],
    "modify_rate": [0, 1, 3, 10, 1_000],
    "kyc_tier": [0, 1, 2, 2],
    "min_tier": [0, 0, 0, 1, 2],
}
POSITIONS_OF = {"BTC": [0, S, 100 * S, 1_000 * S], "BNB": [0]}
NAMES = ["state", "sanctioned", "max_positions", "position.BTC", *AMOUNTS, *NUMBERS]


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
        self.driver = Driver(accounts_agent(RiskSettings(quote_age_us=None)), now=BEGIN, partitions=2)
        quote = Quote(symbol=SYMBOL, bid=59_999 * S, ask=60_001 * S, venues=2, at=START)
        self.driver.feed("market.quotes", SYMBOL, quote)
        self.twin = Twin()
        self.venues: list[Venue] = []
        self.pending: list[tuple[str, Record, str]] = []
        self.commands = self.held = 0
        self.trade = self.names = 0
        self.plans_made: set[tuple[str, str, int]] = set()
        self.asked = 0
        self.odd: set[str] = set()  # orders whose venue took more than what was reserved
        for venue in ("a", "b"):
            self.driver.feed("instruments", f"{venue}|{SYMBOL}", instrument(venue))

    @initialize(usdt=st.sampled_from([10_000_000, 300_000, 0]), btc=st.sampled_from([200, 5, 0]), bnb=st.booleans())
    def fund(self, usdt: int, btc: int, bnb: bool) -> None:
        for account in ACCOUNTS_USED:
            if bnb:
                self.transfer(account, "third", TransferKind.DEPOSIT, "BNB", 10**9 * S)
            self.transfer(account, "first", TransferKind.DEPOSIT, "USDT", usdt * S + 7)
            self.transfer(account, "second", TransferKind.DEPOSIT, "BTC", btc * S)

    # ---- feeding

    def feed(self, topic: str, record: Record, name: str = "") -> None:
        self.driver.feed(topic, record.account_id, record)  # type: ignore[attr-defined]
        self.pending.append((topic, record, name))
        self.commands += topic != ACKS
        self.driver.now += 1
        self.held -= 1
        if self.held < 0:
            self.flush()

    def transfer(self, account: str, transfer_id: str, kind: TransferKind, asset: str, amount: int) -> None:
        self.feed(
            TRANSFERS,
            Transfer(transfer_id=transfer_id, account_id=account, kind=kind, asset=asset, amount=amount, sent_at=START),
        )

    def flush(self, at_most: int | None = None) -> None:
        """The twin takes what was fed in the order in which the agent reads its inputs."""
        self.driver.run(at_most)
        for partition in range(self.driver.partitions):
            here = {a for a in WHOEVER if partition_of(a.encode(), self.driver.partitions) == partition}
            told = [
                (record, name)
                for topic in ORDER_OF_INPUTS
                for where, record, name in self.pending
                if where == topic and getattr(record, "account_id") in here  # noqa: B009 - all that is fed has one
            ]
            size = at_most or max(1, len(told))
            # a batch's timers come before its records, and what they or it set for now comes with the next batch
            while self.twin.clock(self.driver.now, here) or told:
                for record, name in told[:size]:
                    self.tell_twin(record, name)
                told = told[size:]
        self.pending, self.held = [], 0
        self.nothing_goes_out_in_a_halt()

    def tell_twin(self, record: Record, name: str) -> None:
        match record:
            case Transfer():
                self.twin.transfer(record)
            case SetLimits():
                self.twin.set_limits(record)
            case PlaceOrder():
                self.twin.place(record)
            case CancelOrder():
                self.twin.cancel(record)
            case CancelAll():
                self.twin.cancel_all(record)
            case RouteStatus():
                self.twin.triggered(record, name)
            case ModifyOrder():
                self.twin.modify(record)
            case RoutePlan():
                self.twin.plan(record, name)
            case ExecutionReport():
                self.twin.report(record, name)

    @rule(seed=SEED, times=st.integers(1, 20))
    def life_goes_on(self, seed: int, times: int) -> None:
        self.live(Random(seed), times)

    @rule(seed=SEED, times=st.integers(10, 40))
    def much_happens(self, seed: int, times: int) -> None:
        self.live(Random(seed), times)

    @rule(seed=SEED, times=st.integers(1, 20), seconds=st.sampled_from([0.5, 1, 2]))
    def life_goes_on_later(self, seed: int, times: int, seconds: float) -> None:
        self.wait(seconds)
        self.live(Random(seed), times)

    def live(self, dice: Random, times: int) -> None:
        """What clients, router and venues do of themselves, in any order that is possible."""
        for _ in range(times):
            may: list[Callable[[Random], None]] = [self.places] * 3
            may += [self.plans] * 6 if self.waiting() else []
            may += [self.answers, self.fills, self.fills, self.fills, self.ends] if self.living() else []
            may += [self.late_fills] * 2 if self.in_debt() else []
            may += [self.cancels] if self.open_orders() else []
            may += [self.modifies] * 4 if self.changeable() else []
            may += [self.triggers] if self.armed() else []
            may += [self.resumes] if self.stranded() else []
            may += [self.answers_a_cancel] * 3 if self.asked_back() else []
            may += [self.refuses_a_cancel] if self.venues else []
            may += [self.tells_again] if any(v.told for v in self.venues) else []
            dice.choice(may)(dice)

    # ---- clients

    def places(self, dice: Random) -> None:
        self.names += 1
        lots, price = dice.randint(100, 100_000), dice.randint(5_900_000, 6_100_000) * S // 100
        account, side, tif = dice.choice(ACCOUNTS_USED), dice.choice(list(Side)), dice.choice(TIFS)
        more: dict[str, object] = {"time_in_force": tif}
        if dice.randint(0, 4) == 0:
            more |= {"time_in_force": TimeInForce.GTD, "expires_at": self.some_time(dice)}
        if dice.randint(0, 4) == 0:
            more |= {"scheduled_at": self.some_time(dice)}
        if dice.randint(0, 4) == 0:
            more |= {"order_type": OrderType.STOP_LIMIT, "stop_price": price}
        elif dice.randint(0, 3) == 0:
            more |= self.bulk(dice, lots)
            more["time_in_force"] = TimeInForce.GTD if "expires_at" in more else TimeInForce.GTC
        if dice.randint(0, 11) == 0:
            more |= {"reduce_only": True}
        order = place(account, f"o{self.names}", side, lots * LOT, price)
        self.feed(COMMANDS, replace(order, **more))

    def bulk(self, dice: Random, lots: int) -> dict[str, object]:
        """What makes a bulk order of one that may rest."""
        if dice.randint(0, 1):
            return {"algo": Algo.ICEBERG, "visible": dice.randint(1, lots) * LOT}
        window = dice.choice([1, 7, 2_000_000, 3_000_001, 10_000_000])
        return {"algo": Algo.TWAP, "slices": dice.choice([1, 2, 3, 7]), "window_us": window}

    def some_time(self, dice: Random) -> int:
        return self.driver.now + dice.choice([-5, 0, 1, 3, 10_000, 2_000_000, 5_000_000, 60_000_000])

    def modifies(self, dice: Random) -> None:
        account, name = dice.choice(self.open_orders() if dice.randint(0, 9) == 0 else self.changeable())
        order = self.twin.orders[account, name]
        change: dict[str, int] = {}
        if dice.randint(0, 1):
            change["quantity"] = dice.choice([LOT, order.quantity, order.quantity * 2, max(LOT, order.filled)])
        if dice.randint(0, 1):
            change["price"] = dice.choice([order.limit, *[dice.randint(5_900_000, 6_100_000) * S // 100] * 2])
        if dice.randint(0, 5) == 0:
            change["quantity"] = dice.choice([-LOT, max(LOT, order.quantity // 2 // LOT * LOT)])
        if dice.randint(0, 1 if order.waits == "ARMED" else 15) == 0:
            change["stop_price"] = dice.randint(5_900_000, 6_100_000) * S // 100
        if dice.randint(0, 3 if order.until is not None else 15) == 0:
            change["expires_at"] = self.some_time(dice)
        if dice.randint(0, 3 if order.waits == "SCHEDULED" else 15) == 0:
            change["scheduled_at"] = self.some_time(dice)
        self.feed(COMMANDS, ModifyOrder(account_id=account, client_order_id=name, sent_at=START, **change))

    def changeable(self) -> list[tuple[str, str]]:
        orders = self.twin.orders
        return [key for key in self.open_orders() if not orders[key].wanted and not orders[key].wish]

    def armed(self) -> list[tuple[str, str]]:
        return [key for key, order in self.twin.orders.items() if order.stop is not None]

    def triggers(self, dice: Random) -> None:
        account, name = dice.choice(self.armed())
        order = self.twin.orders[account, name]
        status = RouteStatus(
            order_id=order_id_of(account, name),
            account_id=account,
            symbol=SYMBOL,
            attempt=order.attempt - dice.choice([0, 0, 0, 1]),
            kind=RouteStatusKind.TRIGGERED,
            reason="",
            at=START,
        )
        self.feed(ACKS, status, name)

    def stranded(self) -> list[tuple[str, str]]:
        return [key for key, order in self.twin.orders.items() if order.nowhere or order.shut]

    def resumes(self, dice: Random) -> None:
        account, name = dice.choice(self.stranded())
        order = self.twin.orders[account, name]
        status = RouteStatus(
            order_id=order_id_of(account, name),
            account_id=account,
            symbol=SYMBOL,
            attempt=order.attempt - dice.choice([0, 0, 0, 1]),
            kind=RouteStatusKind.RESUMED,
            reason="",
            at=START,
        )
        self.feed(ACKS, status, name)

    @rule(seconds=st.sampled_from([0.001, 1, 2, 5]))
    def time_passes(self, seconds: float) -> None:
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        self.flush()
        self.driver.now += int(seconds * 1_000_000)
        self.flush()

    @rule(account=ACCOUNT, symbol=st.sampled_from([None, SYMBOL, "ETH/USDT", "ETH/USDT", "ETH/USDT"]))
    def cancels_all(self, account: str, symbol: str | None) -> None:
        self.feed(COMMANDS, CancelAll(account_id=account, symbol=symbol, sent_at=START))

    def cancels(self, dice: Random) -> None:
        account, name = dice.choice(self.open_orders())
        self.feed(COMMANDS, CancelOrder(account_id=account, client_order_id=name, sent_at=START))

    def open_orders(self) -> list[tuple[str, str]]:
        return [key for key, order in self.twin.orders.items() if order.state not in OVER]

    @rule(
        account=ACCOUNT,
        kind=st.sampled_from(TransferKind),
        asset=st.sampled_from(["USDT", "BTC", "BNB"]),
        amount=st.integers(-1, 3) | st.integers(1, 10**13),
        transfer_id=st.sampled_from("tuvwxyz"),
    )
    def transfers(self, account: str, kind: TransferKind, asset: str, amount: int, transfer_id: str) -> None:
        self.transfer(account, transfer_id, kind, asset, amount)

    @rule(account=ACCOUNT | st.just("cat"), name=NAME, lots=st.integers(-1, 1000), what=st.integers(0, 6), kind=KIND)
    def asks_or_tells_what_makes_no_sense(
        self, account: str, name: str, lots: int, what: int, kind: ExecutionKind
    ) -> None:
        if what == 0:
            self.feed(COMMANDS, CancelOrder(account_id=account, client_order_id=name, sent_at=START))
        elif what == 1:
            self.feed(COMMANDS, ModifyOrder(account_id=account, client_order_id=name, quantity=S, sent_at=START))
        elif what == 2:
            self.feed(ACKS, report(account, order_id_of(account, name), "no-such-child", "a", kind), name)
        elif what == 3:
            self.feed(ACKS, plan(account, order_id_of(account, "none"), [], LOT), "none")
        else:  # often a client order id that is taken
            self.feed(COMMANDS, place(account, name, Side.BUY, lots * LOT, 60_000 * S))

    # ---- who may trade what

    def some_limits(self, account: str, dice: Random, most: int) -> SetLimits:
        """Up to `most` limits, some of them what must not be said."""
        said: dict[str, object] = {}
        for name in dice.sample(sorted(AMOUNTS) + sorted(NUMBERS), dice.randint(0, most)):
            said[name] = dice.choice((AMOUNTS | NUMBERS)[name])
        if dice.randint(0, 2) == 0:
            said["max_positions"] = tuple(
                AssetAmount(asset=asset, amount=dice.choice(POSITIONS_OF[asset]))
                for asset in dice.sample(sorted(POSITIONS_OF), dice.randint(1, 2))
            )
        if dice.randint(0, 5) == 0:
            said["sanctioned"] = dice.choice([False, False, True])
        return SetLimits(account_id=account, command_id="c", sent_at=START, **said)  # type: ignore[arg-type]

    @rule(account=ACCOUNT, seed=SEED)
    def sets_limits(self, account: str, seed: int) -> None:
        dice = Random(seed)
        said = self.some_limits(account, dice, 3)
        if dice.randint(0, 2) == 0:
            said = replace(said, state=dice.choice(STATUSES))
        if dice.randint(0, 1) == 0:
            said = replace(said, unset=tuple(dice.sample(NAMES, dice.randint(1, len(NAMES)))))
        if dice.randint(0, 19) == 0:
            said = replace(said, unset=("nonsense",)) if dice.randint(0, 1) else replace(said, order_rate=-1)
        self.feed(LIMITS, said)

    @rule(seed=SEED)
    def sets_everybodys_limits(self, seed: int) -> None:
        self.flush()
        said = self.some_limits("*", Random(seed), 2)
        self.driver.feed("risk.defaults", "*", said)
        self.twin.set_everybodys(said)

    @rule(
        scope=st.sampled_from(SCOPES),
        state=st.sampled_from(STATUSES),
        ends=st.sampled_from([None, 1, 500_000, 3_000_000]),
        market_only=st.sampled_from([None, None, True]),
    )
    def says_what_may_be_traded(
        self, scope: str, state: TradingStatus, ends: int | None, market_only: bool | None
    ) -> None:
        """Of another symbol, and of market orders alone, it is no matter to the orders here."""
        self.flush()
        until = None if ends is None else self.driver.now + ends
        said = TradingState(
            scope=scope, state=state, market_only=market_only, until=until, reason="", actor="operator", at=START
        )
        self.driver.feed("trading.states", scope, said)
        if "ETH" not in scope:
            self.twin.states[scope] = said

    # ---- the router

    def waiting(self) -> list[tuple[str, str]]:
        return [
            key
            for key, order in self.twin.orders.items()
            if not order.planned
            and order.waits not in ("SCHEDULED", "ARMED")
            and order.state not in OVER
            and (*key, order.attempt) not in self.plans_made
        ]

    def plans(self, dice: Random) -> None:
        parts, rest = dice.choice([1, 1, 2, 2, 3, 0]), dice.random() < 0.5
        account, name = dice.choice(self.waiting())
        order = self.twin.orders[account, name]
        order_id = order_id_of(account, name)
        self.plans_made.add((account, name, order.attempt))
        lots, less = divmod(order.asked or 0, LOT)
        children = []
        for n in range(parts):
            part = lots if n == parts - 1 and not rest else dice.randint(0, lots)
            if part:
                children.append(planned(f"{order_id}-{order.attempt}-{n}", dice.choice("ab"), part * LOT, order.limit))
                lots -= part
        for c in children:
            side = Side.BUY if order.buy else Side.SELL
            self.venues.append(Venue(account, name, c.child_id, c.venue, side, c.quantity, order.limit))
        unrouted = lots * LOT + less
        why = dice.choice(["NO_LIQUIDITY", "NO_ELIGIBLE_VENUE", "HALTED"]) if not children else "NO_LIQUIDITY"
        one = plan(account, order_id, children, unrouted, attempt=order.attempt, reason=why if unrouted else "")
        self.feed(ACKS, one, name)
        if dice.randint(0, 9) == 0:
            self.feed(ACKS, one, name)  # told twice: put aside

    # ---- the venues

    def say(self, v: Venue, kind: ExecutionKind, **changes: object) -> None:
        one = report(v.account, order_id_of(v.account, v.name), v.child_id, v.venue, kind, **changes)
        v.told.append(one)
        self.feed(ACKS, one, v.name)

    def a_fill(self, v: Venue, dice: Random) -> ExecutionReport:
        left = v.quantity - v.filled
        quantity = dice.choice([left, dice.randint(1, left), dice.randint(1, min(left, 2000))])
        worse = dice.randint(0, 60) == 0  # a venue that does not keep to the limit
        price = dice.randint(1, 7 * 10**12) if worse else v.limit - dice.choice([0, dice.randint(0, 10**9)])
        if v.side is Side.SELL and not worse:
            price = 2 * v.limit - price
        fee_asset = dice.choice(["BTC", "USDT"] * 10 + ["BNB"])
        if worse or (v.side is Side.SELL and fee_asset == "BTC"):
            self.odd.add(order_id_of(v.account, v.name))
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
            fee=value * dice.randint(0, 100_000) // S,
            fee_asset=fee_asset,
        )

    def living(self) -> list[Venue]:
        return [v for v in self.venues if not v.over and v.filled < v.quantity]

    def answers(self, dice: Random) -> None:
        kind = dice.choice([ExecutionKind.ACCEPTED, ExecutionKind.ACCEPTED, ExecutionKind.UNKNOWN])
        v = dice.choice(self.living())
        v.acked = v.acked or kind is ExecutionKind.ACCEPTED
        self.say(v, kind)

    def fills(self, dice: Random) -> None:
        held_back = dice.randint(0, 3) == 0
        v = dice.choice(self.living())
        fill = self.a_fill(v, dice)
        if held_back and v.filled < v.quantity:
            v.owing.append(fill)  # matched, and told only after the end
            return
        v.told.append(fill)
        self.feed(ACKS, fill, v.name)

    def ends(self, dice: Random) -> None:
        kind, counts = dice.choice(ENDS), dice.random() < 0.5
        v = dice.choice(self.living())
        if kind in (ExecutionKind.REJECTED, ExecutionKind.NOT_SENT) and (v.filled or v.acked):
            kind = ExecutionKind.CANCELLED
        v.over = kind.value
        # Without the count a fill that is still owed comes late, when the order may be over.
        self.say(v, kind, cumulative_quantity=v.filled if counts else None)

    def in_debt(self) -> list[Venue]:
        """Venues that have matched what they did not tell before the end."""
        return [v for v in self.venues if v.over and v.owing]

    def late_fills(self, dice: Random) -> None:
        v = dice.choice(self.in_debt())
        fill = v.owing.pop()  # the last first: out of order
        v.told.append(fill)
        self.feed(ACKS, fill, v.name)

    def asked_back(self) -> list[Venue]:
        """Venues that are asked to cancel what they have."""
        orders = self.twin.orders
        return [v for v in self.living() if (c := orders[v.account, v.name].children.get(v.child_id)) and c.asked]

    def answers_a_cancel(self, dice: Random) -> None:
        v = dice.choice(self.asked_back())
        if dice.randint(0, 2) == 0:
            self.say(v, ExecutionKind.CANCEL_REJECTED)
            return
        v.over = ExecutionKind.CANCELLED.value
        self.say(v, ExecutionKind.CANCELLED, cumulative_quantity=v.filled)

    def refuses_a_cancel(self, dice: Random) -> None:
        """Whether it was asked for or not."""
        self.say(dice.choice(self.venues), ExecutionKind.CANCEL_REJECTED)

    def tells_again(self, dice: Random) -> None:
        v = dice.choice([v for v in self.venues if v.told])
        one = dice.choice(v.told)
        if one.kind is ExecutionKind.CANCEL_REJECTED:
            return  # this one is no repeat: it would refuse the next cancel
        self.feed(ACKS, one, v.name)

    # ---- the machine

    @rule(records=st.integers(1, 8))
    def holds_back(self, records: int) -> None:
        """The next records come in one batch."""
        self.held = records

    @rule(at_most=st.integers(1, 5))
    def runs(self, at_most: int) -> None:
        self.flush(at_most)

    @rule(abort=st.booleans())
    def crashes(self, abort: bool) -> None:
        if abort:
            self.driver.prepare()
        else:
            self.driver.crash()

    @rule(step=st.sampled_from(STEPS), how=st.sampled_from([Crash, Abort]))
    def fails_in_a_checkpoint(self, step: str, how: type[Crash] | type[Abort]) -> None:
        self.driver.fail(step, how)

    # ---- what must hold

    @invariant()
    def agree(self) -> None:
        if self.pending:
            return
        accounts, orders = self.driver.all(ACCOUNTS), self.driver.all(ORDERS)
        for account, money in self.twin.money.items():
            held = {b.asset: [b.available, b.locked, b.owed or 0, b.held or 0] for b in accounts[account].balances}
            assert {a: m for a, m in held.items() if any(m)} == {a: m for a, m in money.items() if any(m)}
        assert len(orders) == len(self.twin.orders)
        for (account, name), order in self.twin.orders.items():
            ours = orders[order_id_of(account, name)]
            same = (ours.state, ours.filled, ours.locked) == (order.state, order.filled, order.lock)
            assert same, f"{ours}\n{order}"

    @invariant()
    def add_up(self) -> None:
        if self.pending:
            return
        events, fills = self.driver.records("orders.events"), self.driver.records("fills")
        outcomes = [e for e in events if e.is_outcome]
        told, due = Counter(e.kind.value for e in outcomes), Counter(self.twin.outcomes)
        assert told == due, f"{told - due} told, {due - told} due; {events[-5:]}"
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
                (b.asset, b.available_delta + b.locked_delta + (b.held_delta or 0) - (b.owed_delta or 0))
                for e in mine
                if e.kind == "TRANSFERRED"
                for b in e.balances
            ]
            own = [o for o in orders.values() if o.account_id == account]
            assert check(state, own, moved, [f for f in fills if f.account_id == account]) == []
            rebuilt: dict[str, list[int]] = {}
            for e in mine:
                for b in e.balances:
                    one = rebuilt.setdefault(b.asset, [0, 0, 0, 0])
                    for i, delta in enumerate(
                        (b.available_delta, b.locked_delta, b.owed_delta or 0, b.held_delta or 0)
                    ):
                        one[i] += delta
                    assert one == [b.available, b.locked, b.owed or 0, b.held or 0]
            held = {b.asset: [b.available, b.locked, b.owed or 0, b.held or 0] for b in state.balances}
            assert {a: m for a, m in rebuilt.items() if any(m)} == {a: m for a, m in held.items() if any(m)}
        for order in orders.values():
            story = [e for e in events if e.order_id == order.order_id]
            assert (story[-1].state, story[-1].filled, story[-1].order_seq) == (order.state, order.filled, order.seq)
            assert order.filled == sum(c.filled for c in order.children) <= max(order.quantity, 0)
            assert order.filled_quote == sum(f.price * f.quantity // S for f in fills if f.order_id == order.order_id)

    @invariant()
    def tables_follow(self) -> None:
        """The pages list the open orders, what buys may bring is what they say, positions are the fold of the fills."""
        if self.pending:
            return
        orders, pages = self.driver.all(ORDERS).values(), self.driver.all(OPEN)
        listed = [order_id for page in pages.values() for order_id in page.order_ids]
        assert sorted(listed) == sorted(o.order_id for o in orders if o.state not in OVER)
        for account, state in self.driver.all(ACCOUNTS).items():
            mine = [o for o in orders if o.account_id == account and o.state not in OVER]
            wanted = [
                (max(o.quantity, o.change.quantity if o.change else 0), o) for o in mine if o.state != "SCHEDULED"
            ]
            buys = sum(quantity - o.filled for quantity, o in wanted if o.side == "BUY")
            assert {b.asset: b.amount for b in state.buying or ()} == ({"BTC": buys} if buys else {})
            position = None
            for fill in self.driver.records("fills"):
                position = traded(position, fill) if fill.account_id == account else position
            assert self.driver.get(POSITIONS, f"{account}|{SYMBOL}") == position

    def nothing_goes_out_in_a_halt(self) -> None:
        """Of what may be traded nothing changes while a batch runs. A stop may be armed: it is the router's until it is triggered."""
        halts = [s for s in self.twin.states.values() if s.state is TradingStatus.HALTED and not s.market_only]
        asked = self.driver.records("orders.routable")
        if any(s.until is None or self.driver.now < s.until for s in halts):
            out = [r for r in asked[self.asked :] if isinstance(r, RouteRequest) and r.stop_price is None]
            assert not out, f"{out} in {halts}"
        self.asked = len(asked)

    @invariant()
    def cancels_pass(self) -> None:
        denied = [e for e in self.driver.records("orders.events") if e.kind == "CANCEL_DENIED"]
        assert {e.reason_code for e in denied} <= {"UNKNOWN_ORDER", "ALREADY_CLOSED"}

    @invariant()
    def never_more_than_its_total(self) -> None:
        """What is filled, at venues and asked for is never more than the order; what is over has nothing at a venue."""
        if self.pending:
            return
        there: Counter[str] = Counter()  # as the venues know it, told or not
        for v in self.venues:
            if v.child_id in self.twin.orders[v.account, v.name].children:
                there[order_id_of(v.account, v.name)] += v.filled if v.over else v.quantity
        for order in self.driver.all(ORDERS).values():
            alive = sum(c.quantity - c.filled for c in order.children if c.state not in OVER)
            if order.state in OVER:
                assert not alive, order
            asked = 0 if order.planned or order.asked is None or order.state in OVER else order.asked
            assert asked >= 0 and order.filled + alive + asked <= max(order.quantity, 0), order
            assert there[order.order_id] <= max(order.quantity, 0), order

    @invariant()
    def reserved_is_what_is_needed(self) -> None:
        """An open order's reservation is what is left of it needs by its terms; of one that is being changed it covers that, and no more than the
        larger of both: what is filled meanwhile is paid by the old terms."""
        if self.pending:
            return
        for order in self.driver.all(ORDERS).values():
            needs = [(order.quantity, order.protection)]
            if order.change is not None:
                needs.append((order.change.quantity, order.change.protection))
            rests = [(max(0, quantity - order.filled), price) for quantity, price in needs]
            buys = [-(-rest * price * (S + S // 1000) // S**2) for rest, price in rests]
            each = buys if order.side is Side.BUY else [rest for rest, _ in rests]
            if order.state in OVER or order.state == "SCHEDULED":
                each = [0]
            assert order.locked <= max(each), order
            assert order.locked >= each[0] or order.order_id in self.odd, order

    @invariant()
    def cancels_go_out(self) -> None:
        if self.pending:
            return
        asked = Counter(c.child_id for c in self.driver.records("venue.orders"))
        children = [pair for order in self.twin.orders.values() for pair in order.children.items()]
        due = {child_id: child.asks for child_id, child in children if child.asks}
        assert asked == due, f"{asked}\n{due}"

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
