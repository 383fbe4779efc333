"""A venue for the test driver: a few levels a side, our orders behind them, and what a connector would report. Small and plain.

It is written from what venues do, not from the simulator: price before time, what is displayed before who came later, a fill at the price of who
was there first, a fee from what its payer receives, cut off after eight decimals.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from schemas.records import (
    BookUpdate,
    BookUpdateKind,
    ChildCancel,
    ChildOrder,
    ExecutionKind,
    ExecutionReport,
    Level,
    Liquidity,
    Record,
    Side,
    TimeInForce,
    Trade,
)
from tests.scenarios.language import FEES, SYMBOL, S, Sides, units

BNB = 600  # USDT
CODES = {  # what the connector calls the refusals that venues are told to make here
    "refuse": "RATE_LIMIT_EXCEEDED",
    "refuse cancels": "RATE_LIMIT_EXCEEDED",
    "post": "ORDER_IMMEDIATELY_FILLABLE",
    "lost": "EXCHANGE_NOT_AVAILABLE",
}


@dataclass
class Order:
    """A child at the venue."""

    child: ChildOrder
    left: int
    filled: int = 0
    over: bool = False


@dataclass
class VenueTwin:
    """`out` collects what Kafka would get, as (topic, record)."""

    name: str
    now: int
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    resting: list[Order] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    out: list[tuple[str, Record]] = field(default_factory=list)
    fault: str = "ok"
    trades: int = 0
    updates: int = 0
    told: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    held: list[tuple[str, Record]] = field(default_factory=list)  # while it hangs
    waiting: list[ChildCancel] = field(default_factory=list)

    # ---- the market

    def show(self, sides: Sides) -> None:
        """Others' orders are these from now on."""
        self.bids, self.asks = dict(sides[0]), dict(sides[1])
        for order in list(self.resting):  # the new book may reach what rests
            buy = order.child.side is Side.BUY
            levels = self.asks if buy else self.bids
            while order.left and levels:
                price = min(levels) if buy else max(levels)
                if (price > order.child.price) if buy else (price < order.child.price):
                    break
                part = min(order.left, levels[price])
                self._take(levels, price, part)
                self._fill(None, order, order.child.price, part, Side.SELL if buy else Side.BUY)
        self._tell()

    def print(self, price: int, quantity: int, taker: Side) -> None:
        """Others trade; what rests at their price or better has its part of it."""
        makers = [o for o in self.resting if o.child.side is not taker]
        makers = [o for o in makers if (o.child.price >= price if taker is Side.SELL else o.child.price <= price)]
        makers.sort(key=lambda o: -o.child.price if taker is Side.SELL else o.child.price)
        for order in makers:
            part = min(quantity, order.left)
            if part:
                self._fill(None, order, order.child.price, part, taker)
                quantity -= part
        if quantity:
            self._print(price, quantity, taker)
        self._tell()

    def snapshot(self) -> None:
        """The whole book, as a feed says it again and again."""
        self.updates += 1
        self._say("market.books", self._update(BookUpdateKind.SNAPSHOT, *self._totals()))

    # ---- what it is told to do wrong

    def goes_wrong(self, kind: str) -> None:
        before, self.fault = self.fault, kind
        if kind == "down":
            self.out.append(("market.books", self._update(BookUpdateKind.STALE, {}, {})))
        if before == "down":
            self.snapshot()
        if before == "hang":
            held, self.held = self.held, []
            self.out += held
            waiting, self.waiting = self.waiting, []
            for cancel in waiting:
                self.cancel(cancel)

    def _met(self, kind: str) -> bool:
        """Whether this happens now. What happens once is over then."""
        met = self.fault == kind
        self.fault = "ok" if met else self.fault
        return met

    # ---- orders

    def place(self, child: ChildOrder) -> None:
        order = self.orders[child.child_id] = Order(child, child.quantity)
        assert self.fault != "down", "an order was sent to a venue that is down"
        if self._met("refuse"):
            return self._over(order, ExecutionKind.REJECTED, CODES["refuse"])
        if self._met("lose order"):
            self._report(order, ExecutionKind.UNKNOWN, reason_code=CODES["lost"])
            return self._over(order, ExecutionKind.REJECTED, "NEVER_ARRIVED")
        if self._met("lose answer"):
            self._report(order, ExecutionKind.UNKNOWN, reason_code=CODES["lost"])
        if child.post_only and self._reach(order):
            return self._over(order, ExecutionKind.REJECTED, CODES["post"])
        self._report(order, ExecutionKind.ACCEPTED)
        whole = sum(quantity for _, quantity in self._reach(order)) >= child.quantity
        while order.left and (whole or child.time_in_force is not TimeInForce.FOK) and self._reach(order):
            self._match(order, *self._reach(order)[0])
        if order.left and child.time_in_force is TimeInForce.GTC:
            self.resting.append(order)
        elif order.left:
            self._over(order, ExecutionKind.EXPIRED)
        self._tell()
        return None

    def cancel(self, cancel: ChildCancel) -> None:
        if self.fault == "hang":
            return self.waiting.append(cancel)
        order = self.orders[cancel.child_id]
        if order.over or not order.left:
            return self._report(order, ExecutionKind.CANCEL_REJECTED, reason_code="TOO_LATE")
        if self._met("refuse cancels"):
            return self._report(order, ExecutionKind.CANCEL_REJECTED, reason_code=CODES["refuse cancels"])
        self.resting.remove(order)
        self._over(order, ExecutionKind.CANCELLED)
        return self._tell()

    def _reach(self, order: Order) -> list[tuple[int, int]]:
        """The (price, quantity) that an order can have now, best first."""
        totals = self._totals()[1 if order.child.side is Side.BUY else 0]
        if order.child.side is Side.BUY:
            return [(p, totals[p]) for p in sorted(totals) if p <= order.child.price]
        return [(p, totals[p]) for p in sorted(totals, reverse=True) if p >= order.child.price]

    def _match(self, order: Order, price: int, _: int) -> None:
        """With what stands at a price: the displayed first, then who rests there, one after the other."""
        levels = self.asks if order.child.side is Side.BUY else self.bids
        if price in levels:
            part = min(order.left, levels[price])
            self._take(levels, price, part)
            return self._fill(order, None, price, part, order.child.side)
        first = next(o for o in self.resting if o.child.price == price and o.child.side is not order.child.side)
        return self._fill(order, first, price, min(order.left, first.left), order.child.side)

    @staticmethod
    def _take(levels: dict[int, int], price: int, quantity: int) -> None:
        levels[price] -= quantity
        if not levels[price]:
            del levels[price]

    def _fill(self, taker: Order | None, maker: Order | None, price: int, quantity: int, side: Side) -> None:
        self.trades += 1
        for order, rate, how in ((taker, 1, Liquidity.TAKER), (maker, 0, Liquidity.MAKER)):
            if order is None:
                continue
            order.left, order.filled = order.left - quantity, order.filled + quantity
            buy, (base, quote) = order.child.side is Side.BUY, SYMBOL.split("/")
            gained, asset = (quantity, base) if buy else (price * quantity // S, quote)
            if self.fault == "bnb":
                gained, asset = price * quantity // S // BNB, "BNB"
            self._report(
                order,
                ExecutionKind.FILL,
                trade_id=str(self.trades),
                price=price,
                quantity=quantity,
                fee=gained * units(FEES[self.name][rate]) // S,
                fee_asset=asset,
                liquidity=how,
            )
            if not order.left and order in self.resting:
                self.resting.remove(order)
        self._print(price, quantity, side)

    def _over(self, order: Order, kind: ExecutionKind, code: str = "") -> None:
        order.over = True
        self._report(order, kind, reason_code=code)

    # ---- what it says

    def _say(self, topic: str, record: Record) -> None:
        (self.held if self.fault == "hang" else self.out).append((topic, record))

    def _report(self, order: Order, kind: ExecutionKind, **more: object) -> None:
        child = order.child
        report = ExecutionReport(
            account_id=child.account_id,
            order_id=child.order_id,
            child_id=child.child_id,
            venue=child.venue,
            symbol=child.symbol,
            kind=kind,
            liquidity=Liquidity.NOT_KNOWN,
            cumulative_quantity=order.filled,
            reason_code="",
            reason="",
            at=self.now,
        )
        for _ in range(2 if self.fault == "double" else 1):
            self._say("exchange.acks", replace(report, **more))

    def _print(self, price: int, quantity: int, side: Side) -> None:
        trade = Trade(
            venue=self.name,
            symbol=SYMBOL,
            trade_id=str(self.trades),
            price=price,
            quantity=quantity,
            side=side,
            received_at=self.now,
        )
        self._say("market.trades", trade)

    def _totals(self) -> tuple[dict[int, int], dict[int, int]]:
        """What a feed shows: the displayed and what rests, by price."""
        found = dict(self.bids), dict(self.asks)
        for order in self.resting:
            side = found[0 if order.child.side is Side.BUY else 1]
            side[order.child.price] = side.get(order.child.price, 0) + order.left
        return found

    def _tell(self) -> None:
        now = self._totals()
        changed = [
            {p: side.get(p, 0) for p in side | old if side.get(p) != old.get(p)}
            for side, old in zip(now, self.told, strict=True)
        ]
        self.told = now
        if any(changed):
            self.updates += 1
            self._say("market.books", self._update(BookUpdateKind.DIFF, *changed))

    def _update(self, kind: BookUpdateKind, bids: dict[int, int], asks: dict[int, int]) -> BookUpdate:
        sides = [tuple(Level(price=p, quantity=q) for p, q in sorted(side.items())) for side in (bids, asks)]
        return BookUpdate(
            venue=self.name,
            symbol=SYMBOL,
            kind=kind,
            first_id=self.updates,
            last_id=self.updates,
            previous_id=self.updates - 1,
            bids=sides[0],
            asks=sides[1],
            received_at=self.now,
        )
