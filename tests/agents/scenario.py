"""Scenarios of the accounts agent as a trader would write them down, and what runs them through the test driver.

A scenario is a text of lines `what happens => events | balances`. What happens is one of

    deposit 1000 USDT [as t1]            withdraw 5 BTC [as t2]          hold 5 USDT, release 5 USDT
    buy 1 @ 60000 as o1 [OPTIONS]        sell 1 market as o2             buy for 1000 market as o3 (an amount of quote)
        [by ann] anywhere: another account than acct. OPTIONS, in any order: ioc, fok, post, reduce, stop 59000, until 30, at 10,
        twap 4 over 60, iceberg 0.1 (times in seconds from the scenario's start)
    cancel o1, cancel all [ETH/USDT]     sweep ETH/USDT (in all accounts)
    modify o1 [quantity 2] [price 59000] [stop 58000] [at 20] [until 40]
    plan o1: a 0.4 @ 60000, b 0.5 @ 60010          the rest of the order is unrouted; children are o1.1, o1.2 ...
    plan o1: nowhere                     no venue can be routed to;  o1 resumed: one is back
    plan o1: halted                      the router knows of a halt;  too old: it was in a queue for long
    o1 triggered @ 59000                 by the router, of the stop as it was armed last
    o1.1 accepted                        o1.1 fill 0.4 @ 59000 fee 0.0004 BTC #t77
    o1.1 cancelled 0.4                   the number is what the venue says was filled
    quote 59990 60010                    close b                         (instrument)
    wait 10                              the clock moves on, timers fire
    limits max_open_orders 1 state HALTED [...]    crash                 state system HALTED [market] [until 30]

`events` are KIND>STATE or KIND>STATE:CODE in their order, then `ask:o1.1` for a child that its venue is asked to cancel, `disarm:o1` for what
the router holds and is to forget, `route:o1:0.5:not_a` for what is asked of the router after the first time, and `dead:CAUSE` for
a dead letter; empty for nothing. `balances` are `ASSET available locked [owed] [held amount]`, those named, joined by commas. Lines without `=>` are only done; # at the start is a comment.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from schemas.records import (
    Algo,
    AssetAmount,
    CancelAll,
    CancelOrder,
    ExecutionKind,
    ExecutionReport,
    Instrument,
    InstrumentStatus,
    Liquidity,
    ModifyOrder,
    OrderType,
    PlaceOrder,
    PlannedChild,
    Quote,
    RouteCancel,
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
from streams.agents.accounts import ACCOUNTS, ORDERS, accounts_agent
from streams.domain.events import order_id_of
from streams.domain.risk import RiskSettings
from streams.engine.driver import Driver

S = 10**8
START = 1_700_000_000_000_000
SYMBOL = "BTC/USDT"
COMMANDS, TRANSFERS, ACKS = "orders.commands", "account.transfers", "exchange.acks"
LIMITS = "account.limits"


def units(text: str) -> int:
    """Units of 1e-8 of a decimal string."""
    scaled = Decimal(text) * S
    assert scaled == int(scaled), f"{text} is finer than 1e-8"
    return int(scaled)


MONEY = {
    "deposit": TransferKind.DEPOSIT,
    "withdraw": TransferKind.WITHDRAWAL,
    "hold": TransferKind.HOLD,
    "release": TransferKind.RELEASE,
}


def shown(amount: int) -> str:
    """Units of 1e-8 as a person writes them."""
    return format((Decimal(amount) / S).normalize(), "f")


def seconds(text: str) -> int:
    """Microseconds of a number of seconds."""
    return int(Decimal(text) * 1_000_000)


def options(words: list[str], price: int | None) -> dict[str, Any]:
    """The fields of a PlaceOrder that an order's options set."""
    found: dict[str, Any] = {}
    while words:
        match words.pop(0):
            case "ioc" | "fok" as tif:
                found["time_in_force"] = TimeInForce(tif.upper())
            case "post":
                found["post_only"] = True
            case "reduce":
                found["reduce_only"] = True
            case "stop":
                found["stop_price"] = units(words.pop(0))
                found["order_type"] = OrderType.STOP if price is None else OrderType.STOP_LIMIT
            case "until":
                found |= {"expires_at": START + seconds(words.pop(0)), "time_in_force": TimeInForce.GTD}
            case "at":
                found["scheduled_at"] = START + seconds(words.pop(0))
            case "twap":
                found |= {"algo": Algo.TWAP, "slices": int(words.pop(0)), "window_us": seconds(words.pop(1))}
                words.pop(0)
            case "iceberg":
                found |= {"algo": Algo.ICEBERG, "visible": units(words.pop(0))}
            case other:
                raise ValueError(other)
    return found


def changed(account: str, name: str, words: list[str]) -> ModifyOrder:
    """A ModifyOrder of name and value pairs."""
    pairs = dict(zip(words[::2], words[1::2], strict=True))
    fields = {"quantity": "quantity", "price": "price", "stop": "stop_price"}
    values: dict[str, Any] = {fields[k]: units(v) for k, v in pairs.items() if k in fields}
    times = {"at": "scheduled_at", "until": "expires_at"}
    values |= {times[k]: START + seconds(v) for k, v in pairs.items() if k in times}
    return ModifyOrder(account_id=account, client_order_id=name, sent_at=START, **values)


def limits_of(account: str, words: list[str]) -> SetLimits:
    """A SetLimits of name and value pairs; counts as they are, amounts as decimals; `position:BTC 2` of one asset."""
    counts = ("kyc_tier", "min_tier", "max_open_orders", "order_rate", "modify_rate")
    values: dict[str, Any] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name == "state":
            values[name] = TradingStatus(value)
        elif name == "sanctioned":
            values[name] = value == "yes"
        elif name == "unset":
            values[name] = tuple(value.split(","))
        elif name.startswith("position:"):
            one = AssetAmount(asset=name.partition(":")[2], amount=units(value))
            values["max_positions"] = (*values.get("max_positions", ()), one)
        else:
            values[name] = int(value) if name in counts else units(value)
    return SetLimits(account_id=account, command_id="limits", sent_at=START, **values)


def instrument(venue: str, symbol: str = SYMBOL, **changes: Any) -> Instrument:
    """A venue's instrument: tick 0.01, lot 0.00001, at least 5 in quote, 8 and 10 basis points."""
    base, quote = symbol.split("/")
    values: dict[str, Any] = {
        "venue": venue,
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "tick": units("0.01"),
        "lot": units("0.00001"),
        "min_quantity": units("0.00001"),
        "max_quantity": units("9000"),
        "min_notional": units("5"),
        "maker_fee": units("0.0008"),
        "taker_fee": units("0.001"),
        "status": InstrumentStatus.OPEN,
        "at": START,
    }
    return Instrument(**{**values, **changes})


def place(
    account: str, client_order_id: str, side: Side, quantity: int, price: int | None, **changes: Any
) -> PlaceOrder:
    """A limit GTC order, or a market order where there is no price."""
    values: dict[str, Any] = {
        "account_id": account,
        "client_order_id": client_order_id,
        "symbol": SYMBOL,
        "side": side,
        "order_type": OrderType.MARKET if price is None else OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "quantity": quantity,
        "price": price,
        "sent_at": START,
    }
    return PlaceOrder(**{**values, **changes})


def plan(account: str, order_id: str, children: list[PlannedChild], unrouted: int, **changes: Any) -> RoutePlan:
    """A router's plan."""
    values: dict[str, Any] = {
        "order_id": order_id,
        "account_id": account,
        "symbol": SYMBOL,
        "attempt": 1,
        "children": tuple(children),
        "unrouted": unrouted,
        "reason": "NO_LIQUIDITY" if unrouted else "",
        "candidates": (),
        "arrival_mid": units("60000"),
        "planned_at": START,
    }
    return RoutePlan(**{**values, **changes})


def planned(child_id: str, venue: str, quantity: int, price: int) -> PlannedChild:
    """A child of a plan."""
    return PlannedChild(
        child_id=child_id,
        venue=venue,
        price=price,
        quantity=quantity,
        time_in_force=TimeInForce.IOC,
        expected_fee=0,
    )


def report(
    account: str, order_id: str, child_id: str, venue: str, kind: ExecutionKind, **changes: Any
) -> ExecutionReport:
    """A venue's report."""
    values: dict[str, Any] = {
        "account_id": account,
        "order_id": order_id,
        "child_id": child_id,
        "venue": venue,
        "symbol": SYMBOL,
        "kind": kind,
        "liquidity": Liquidity.TAKER,
        "reason_code": "",
        "reason": "",
        "at": START,
    }
    return ExecutionReport(**{**values, **changes})


class Scenario:
    """A driver with the venues a and b, and the reading of lines."""

    def __init__(self, settings: RiskSettings | None = None, quoted: bool = True, partitions: int = 1) -> None:
        self.driver = Driver(accounts_agent(settings), now=START, partitions=partitions)
        self.venues: dict[str, str] = {}  # child id -> venue
        self.told = self.asked = self.dead = self.transfers = self.routed = 0
        for venue in ("a", "b"):
            self.driver.feed("instruments", f"{venue}|{SYMBOL}", instrument(venue))
        if quoted:
            self._do("", "quote 59990 60010")

    def run(self, text: str) -> None:
        """Do each line and compare what comes out with what it says."""
        for line in filter(None, (raw.strip() for raw in text.splitlines())):
            if line.startswith("#"):
                continue
            what, arrow, expected = (part.strip() for part in line.partition("=>"))
            account = "acct"
            if by := re.search(r" by (\w+)$", what):
                account, what = by[1], what[: by.start()]
            self._do(account, what)
            if what != "crash":
                self.driver.run()
            came = self._came()
            if arrow:
                events, _, balances = (part.strip() for part in expected.partition("|"))
                assert " ".join(came) == " ".join(events.split()), f"{line}\n  came: {' '.join(came)}"
                self._compare(account, balances, line)

    def _came(self) -> list[str]:
        events = self.driver.records("orders.events")
        fresh, self.told = events[self.told :], len(events)
        found = [f"{e.kind}>{e.state}" + (f":{e.reason_code}" if e.reason_code else "") for e in fresh]
        cancels = self.driver.records("venue.orders")
        found += [f"ask:{c.child_id}" for c in cancels[self.asked :]]
        self.asked = len(cancels)
        names = {e.order_id: e.client_order_id for e in events}
        routed = self.driver.records("orders.routable")
        for r in routed[self.routed :]:
            if isinstance(r, RouteCancel):
                found.append(f"disarm:{names[r.order_id]}")
            elif r.attempt > 1:
                avoided = "".join(f":not_{venue}" for venue in r.avoid or ())
                found.append(f"route:{names[r.order_id]}:{shown(r.quantity)}{avoided}")
        self.routed = len(routed)
        letters = [x for topic in (COMMANDS, TRANSFERS, LIMITS, ACKS) for x in self.driver.records(topic + ".dlq")]
        found += [f"dead:{x.cause}" for x in letters[self.dead :]]
        self.dead = len(letters)
        return found

    def _compare(self, account: str, balances: str, line: str) -> None:
        state = self.driver.get(ACCOUNTS, account)
        held = {b.asset: (b.available, b.locked, b.owed or 0, b.held or 0) for b in state.balances} if state else {}
        for one in filter(None, balances.split(",")):
            asset, available, locked, *more = one.split()
            aside = units(more[more.index("held") + 1]) if "held" in more else 0
            more = more[: more.index("held")] if "held" in more else more
            wanted = (units(available), units(locked), units(more[0]) if more else 0, aside)
            assert held.get(asset, (0, 0, 0, 0)) == wanted, f"{line}\n  {asset}: {held.get(asset)}, not {wanted}"

    def _do(self, account: str, what: str) -> None:
        feed = self.driver.feed
        words = what.split()
        if words[0] in MONEY:
            self.transfers += 1
            feed(
                TRANSFERS,
                account,
                Transfer(
                    transfer_id=words[4] if len(words) > 4 else f"auto{self.transfers}",
                    account_id=account,
                    kind=MONEY[words[0]],
                    asset=words[2],
                    amount=units(words[1]),
                    sent_at=START,
                ),
            )
        elif words[0] in ("buy", "sell"):
            found = re.fullmatch(r"(buy|sell) (for )?(\S+) (?:@ (\S+)|market) as (\S+)(.*)", what)
            assert found, what
            price, amount = units(found[4]) if found[4] else None, units(found[3])
            more: dict[str, Any] = {"quote_amount": amount} if found[2] else {}
            more |= options(found[6].split(), price)
            side = Side(found[1].upper())
            feed(COMMANDS, account, place(account, found[5], side, 0 if found[2] else amount, price, **more))
        elif words[0] == "sweep":
            feed(COMMANDS, "*", CancelAll(account_id="*", symbol=words[1], sent_at=START))
        elif words[:2] == ["cancel", "all"]:
            symbol = words[2] if len(words) > 2 else None
            feed(COMMANDS, account, CancelAll(account_id=account, symbol=symbol, sent_at=START))
        elif words[0] == "cancel":
            feed(COMMANDS, account, CancelOrder(account_id=account, client_order_id=words[1], sent_at=START))
        elif words[0] == "modify":
            feed(COMMANDS, account, changed(account, words[1], words[2:]))
        elif words[0] == "wait":
            self.driver.advance(seconds(words[1]))
        elif words[0] == "crash":
            self.driver.crash()
        elif words[0] == "limits":
            feed(LIMITS, account, limits_of(account, words[1:]))
        elif words[0] == "state":
            state = TradingState(
                scope=words[1],
                state=TradingStatus(words[2]),
                reason="",
                actor="operator",
                at=START,
                market_only="market" in words or None,
                until=START + seconds(words[words.index("until") + 1]) if "until" in words else None,
            )
            feed("trading.states", words[1], state)
        elif len(words) > 1 and words[1] in ("triggered", "resumed"):
            self._triggered(account, words)
        elif words[0] == "quote":
            bid, ask = units(words[1]), units(words[2])
            feed("market.quotes", SYMBOL, Quote(symbol=SYMBOL, bid=bid, ask=ask, venues=2, at=self.driver.now))
        elif words[0] == "close":
            closed = instrument(words[1], status=InstrumentStatus.CLOSED)
            feed("instruments", f"{words[1]}|{SYMBOL}", closed)
        elif words[0] == "plan":
            self._plan(account, what)
        else:
            self._report(account, words)

    def order_id(self, account: str, name: str) -> str:
        """The id of the order that has this name now."""
        key = order_id_of(account, name)
        order = self.driver.get(ORDERS, key)
        return key if order is None else order.order_id

    def _plan(self, account: str, what: str) -> None:
        name, _, rest = what.removeprefix("plan ").partition(":")
        order_id = self.order_id(account, name)
        requests = {r.order_id: r for r in self.driver.records("orders.routable") if isinstance(r, RouteRequest)}
        attempt = requests[order_id].attempt if order_id in requests else 1
        # the children of a second attempt are o1.2.1, o1.2.2 ...
        prefix = name if attempt == 1 else f"{name}.{attempt}"
        children = []
        nothing = {"nowhere": "NO_ELIGIBLE_VENUE", "halted": "HALTED", "too old": "TOO_OLD"}.get(rest.strip())
        for n, one in enumerate(filter(None, [] if nothing else rest.split(",")), 1):
            venue, quantity, _, price = one.split()
            children.append(planned(f"{prefix}.{n}", venue, units(quantity), units(price)))
            self.venues[f"{prefix}.{n}"] = venue
        total = requests[order_id].quantity if order_id in requests else 0
        left = total - sum(c.quantity for c in children)
        more = {"reason": nothing} if nothing else {}
        self.driver.feed(ACKS, account, plan(account, order_id, children, left, attempt=attempt, **more))

    def _triggered(self, account: str, words: list[str]) -> None:
        order_id = self.order_id(account, words[0])
        armed = [r for r in self.driver.records("orders.routable") if r.order_id == order_id and hasattr(r, "attempt")]
        status = RouteStatus(
            order_id=order_id,
            account_id=account,
            symbol=SYMBOL,
            attempt=int(words[5]) if "attempt" in words else armed[-1].attempt,
            kind=RouteStatusKind(words[1].upper()),
            price=units(words[3]) if words[1] == "triggered" else None,
            reason="",
            at=self.driver.now,
        )
        self.driver.feed(ACKS, account, status)

    def _report(self, account: str, words: list[str]) -> None:
        child_id, kind, *more = words
        order_id = self.order_id(account, child_id.split(".")[0])
        changes: dict[str, Any] = {}
        if kind == "fill":
            changes = {"quantity": units(more[0]), "price": units(more[2]), "trade_id": more[-1].removeprefix("#")}
            if "fee" in more:
                at = more.index("fee")
                changes |= {"fee": units(more[at + 1]), "fee_asset": more[at + 2]}
        elif more:
            changes = {"cumulative_quantity": units(more[0])}
        venue = self.venues.get(child_id, "a")
        one = report(account, order_id, child_id, venue, ExecutionKind(kind.upper()), **changes)
        self.driver.feed(ACKS, account, one)
