"""A small log that is right in every way, made by the accounts agent in memory, and the same log with one thing wrong.

Three accounts trade: one order is filled by two venues, one rests and is cancelled, one is denied, one is repeated; a command that no schema
describes is dead-lettered, one that lies in another partition than its key's is moved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from infra.verify.log import Entry, Log
from schemas.codec import BY_NAME, Codec, DecodeError, LocalRegistry
from schemas.partitioner import partition_of
from schemas.records import (
    CancelOrder,
    ChildOrder,
    ExecutionKind,
    ExecutionReport,
    Instrument,
    InstrumentStatus,
    Liquidity,
    OrderType,
    PlaceOrder,
    PlannedChild,
    Quote,
    Record,
    RoutePlan,
    Side,
    TimeInForce,
    Transfer,
    TransferKind,
    VenueAlert,
    VenueAlertKind,
    VenueAlertState,
)
from streams.agents.accounts import accounts_agent
from streams.domain.risk import RiskSettings
from streams.engine.driver import Driver

UNIT = 10**8
START = 1_700_000_000_000_000
PARTITIONS = 4
SYMBOL = "BTC/USDT"
Change = Callable[[Any], Any]


class Trading:
    """Feeds the accounts agent, and plays the router and the venues."""

    def __init__(self, risk: RiskSettings | None = None) -> None:
        self.codec = Codec(LocalRegistry())
        self.driver = Driver(accounts_agent(risk), now=START, partitions=PARTITIONS, codec=self.codec)
        for venue in ("a", "b"):
            self.driver.feed("instruments", f"{venue}|{SYMBOL}", _instrument(venue))
        self.driver.feed("market.quotes", SYMBOL, _quote())
        self.trades = 0

    def send(self, topic: str, account: str, record: Record | bytes, partition: int | None = None) -> None:
        self.driver.feed(topic, account, record, partition)
        self.driver.advance(1_000)

    def transfer(self, account: str, amount: int, asset: str, out: bool = False) -> None:
        kind = TransferKind.WITHDRAWAL if out else TransferKind.DEPOSIT
        name = f"t{len(self.driver.records('account.transfers'))}"
        record = Transfer(
            transfer_id=name, account_id=account, kind=kind, asset=asset, amount=amount * UNIT, sent_at=self.driver.now
        )
        self.send("account.transfers", account, record)

    def place(self, account: str, name: str, side: Side, quantity: int, price: int, **more: Any) -> None:
        self.send("orders.commands", account, _order(account, name, side, quantity, price, self.driver.now), **more)

    def cancel(self, account: str, name: str) -> None:
        record = CancelOrder(account_id=account, client_order_id=name, sent_at=self.driver.now)
        self.send("orders.commands", account, record)

    def route(self, *venues: str) -> list[ChildOrder]:
        """Split the last routed order evenly, and send the children."""
        request = max(self.driver.records("orders.routable"), key=lambda r: r.accepted_at)
        share = request.quantity // len(venues)
        children = [
            ChildOrder(
                child_id=f"{request.order_id}-{n}",
                order_id=request.order_id,
                account_id=request.account_id,
                venue=venue,
                symbol=request.symbol,
                side=request.side,
                order_type=OrderType.LIMIT,
                time_in_force=request.time_in_force,
                quantity=share,
                price=request.price,
                created_at=self.driver.now,
            )
            for n, venue in enumerate(venues)
        ]
        plan = RoutePlan(
            order_id=request.order_id,
            account_id=request.account_id,
            symbol=request.symbol,
            attempt=request.attempt,
            children=tuple(
                PlannedChild(
                    child_id=c.child_id,
                    venue=c.venue,
                    price=c.price,
                    quantity=c.quantity,
                    time_in_force=c.time_in_force,
                    expected_fee=0,
                )
                for c in children
            ),
            unrouted=0,
            reason="",
            candidates=(),
            arrival_mid=60_000 * UNIT,
            best_single_price=60_100 * UNIT,
            planned_at=self.driver.now,
        )
        self.send("exchange.acks", request.account_id, plan)
        for child in children:
            self.driver.feed("venue.orders", child.venue, child)
        return children

    def alert(self) -> None:
        """A venue's balance drifts, and is counted in."""
        at = self.driver.now
        raised = VenueAlert(
            id="a|BALANCE_DRIFT|USDT|1",
            venue="a",
            kind=VenueAlertKind.BALANCE_DRIFT,
            state=VenueAlertState.RAISED,
            asset="USDT",
            expected=5 * UNIT,
            found=7 * UNIT,
            detail="+2",
            raised_at=at,
            at=at,
        )
        for alert in (raised, msgspec.structs.replace(raised, state=VenueAlertState.CLEARED)):
            self.driver.feed("venue.alerts", alert.id, alert)

    def report(self, child: ChildOrder, kind: ExecutionKind, **more: Any) -> None:
        values: dict[str, Any] = {
            "account_id": child.account_id,
            "order_id": child.order_id,
            "child_id": child.child_id,
            "venue": child.venue,
            "symbol": child.symbol,
            "kind": kind,
            "liquidity": Liquidity.TAKER,
            "reason_code": "",
            "reason": "",
            "at": self.driver.now,
        }
        self.send("exchange.acks", child.account_id, ExecutionReport(**{**values, **more}))

    def fill(self, child: ChildOrder, quantity: int, price: int, fee: int, fee_asset: str) -> None:
        self.trades += 1
        self.report(
            child,
            ExecutionKind.FILL,
            trade_id=f"{self.trades}",
            quantity=quantity,
            price=price,
            fee=fee,
            fee_asset=fee_asset,
        )


def trading(risk: RiskSettings | None = None) -> Trading:
    """What the module says."""
    t = Trading(risk)
    for account in ("ann", "bob", "cyd"):
        t.transfer(account, 200_000, "USDT")
        t.transfer(account, 5, "BTC")
    t.transfer("cyd", 1_000, "USDT", out=True)
    t.place("ann", "filled", Side.BUY, 2 * UNIT, 60_001 * UNIT)
    children = t.route("a", "b")
    for child in children:
        t.report(child, ExecutionKind.ACCEPTED)
    t.fill(children[0], UNIT // 4, 59_999_12345678, 1_234, "BTC")
    t.fill(children[1], UNIT, 60_000 * UNIT, 0, "BTC")
    t.fill(children[0], 3 * UNIT // 4, 59_999 * UNIT, 7, "USDT")
    t.place("bob", "rests", Side.SELL, UNIT, 61_000 * UNIT)
    (child,) = t.route("b")
    t.report(child, ExecutionKind.ACCEPTED)
    t.fill(child, UNIT // 3, 61_000 * UNIT, 20 * UNIT, "USDT")
    t.cancel("bob", "rests")
    t.report(child, ExecutionKind.CANCELLED, cumulative_quantity=UNIT // 3)
    t.place("cyd", "too much", Side.BUY, 50 * UNIT, 60_000 * UNIT)
    t.place("ann", "filled", Side.BUY, 2 * UNIT, 60_001 * UNIT)
    t.send("orders.commands", "ann", b"garbage")
    astray = (partition_of(b"bob", PARTITIONS) + 1) % PARTITIONS
    t.place("bob", "astray", Side.BUY, 100 * UNIT, 60_000 * UNIT, partition=astray)
    t.place("cyd", "open", Side.BUY, UNIT, 50_000 * UNIT)
    (child,) = t.route("a")
    t.report(child, ExecutionKind.ACCEPTED)
    t.alert()
    return t


def right(t: Trading) -> Log:
    """The log as `infra.verify.log.load` would read it."""
    log = Log()
    for (topic, partition), pairs in sorted(t.driver.log.items()):
        log.partitions[topic] = 1 if topic.endswith(".dlq") else PARTITIONS
        log.begins[topic, partition] = 0
        for offset, (key, value) in enumerate(pairs):
            try:
                record = t.codec.decode(value, *BY_NAME.values())
            except DecodeError:
                record = None
            log.add(Entry(topic, partition, offset, value or b"", record, key or b""))
    return log


def without(log: Log, topic: str, which: Callable[[Any], bool]) -> None:
    """Lose the first record of `topic` that `which` holds for."""
    entries = log.entries[topic]
    entries.remove(next(e for e in entries if which(e.record)))


def twice(log: Log, topic: str, which: Callable[[Any], bool]) -> None:
    """Write the first record of `topic` that `which` holds for a second time, at the end."""
    entry = next(e for e in log.entries[topic] if which(e.record))
    add(log, topic, entry.partition, entry.record, entry.value)


def add(log: Log, topic: str, partition: int, record: Any, value: bytes = b"") -> None:
    """Append a record."""
    offset = sum(1 for e in log.entries.get(topic, ()) if e.partition == partition)
    log.add(Entry(topic, partition, offset, value, record))


def changed(log: Log, topic: str, which: Callable[[Any], bool], **fields: Any) -> None:
    """Change the first record of `topic` that `which` holds for."""
    at = next(n for n, e in enumerate(log.entries[topic]) if which(e.record))
    entry = log.entries[topic][at]
    log.entries[topic][at] = entry._replace(record=msgspec.structs.replace(entry.record, **fields))


def _instrument(venue: str) -> Instrument:
    return Instrument(
        venue=venue,
        symbol=SYMBOL,
        base="BTC",
        quote="USDT",
        tick=1,
        lot=1,
        min_quantity=1,
        max_quantity=9_000 * UNIT,
        min_notional=UNIT,
        maker_fee=80_000,
        taker_fee=100_000,
        status=InstrumentStatus.OPEN,
        at=START,
    )


def _quote() -> Quote:
    return Quote(symbol=SYMBOL, bid=59_999 * UNIT, ask=60_001 * UNIT, venues=2, at=START)


def _order(account: str, name: str, side: Side, quantity: int, price: int, now: int) -> PlaceOrder:
    return PlaceOrder(
        account_id=account,
        client_order_id=name,
        symbol=SYMBOL,
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        quantity=quantity,
        price=price,
        sent_at=now,
    )
