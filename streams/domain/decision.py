"""What a decision about an account is made from, and what it is: the account and its orders before and after, and what goes out.

Rules:

* a decision is a function of its arguments: the record, where it lies, the state before, the market as it is known, the settings;
* every change of an order or of an account's money is told by exactly one event, which carries what moved; events are numbered and
  chained over the account, and numbered over the order;
* a record that cannot be is `Refused`: the state stays, and the record is put aside with the cause.

`Step` is the one mutable thing: it lives within one decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from schemas.moments import held
from schemas.records import (
    AccountState,
    AssetAmount,
    CancelAll,
    ChildCancel,
    ChildState,
    ClientId,
    EventKind,
    Fill,
    OpenOrders,
    OrderEvent,
    OrderRecord,
    OrderState,
    Position,
    Quote,
    RouteCancel,
    RouteRequest,
    SetLimits,
    Side,
    TradingState,
    Usage,
)
from streams.domain.events import Body, sealed
from streams.domain.ledger import Funds
from streams.domain.money import assets_of
from streams.domain.orders import CLOSED, On, parent
from streams.domain.positions import traded
from streams.domain.reasons import said
from streams.domain.risk import Denial, RiskSettings, Terms

NEW_ACCOUNT = AccountState(balances=(), seq=0, hash=b"", open_orders=0)
PAGE = 8  # open orders a page: a page is written whole whenever one of them comes or goes
replace = msgspec.structs.replace


class Cause(msgspec.Struct, frozen=True, gc=False):
    """The record that is decided on: where it lies, and what time it is (microseconds). A timer has its task's partition, and when it was due."""

    topic: str
    partition: int
    offset: int
    now: int


def _none(*_: object) -> None:
    return None


class World(NamedTuple):
    """What is known beside the account: `terms` and `quote` by symbol, the limits, and how an event is encoded for its hash.

    `states`: what may be traded, by scope; `defaults`: everybody's limits. The rest looks into the account's own tables: `limits`
    by account, `order` by id, `page` of open orders by account and number, `position` by account and symbol. `era`: see `events`.
    """

    terms: Callable[[str], Terms | Denial]
    quote: Callable[[str], Quote | None]
    settings: RiskSettings
    body: Body
    states: Mapping[str, TradingState] = {}
    defaults: SetLimits | None = None
    limits: Callable[[str], SetLimits | None] = _none
    order: Callable[[str], OrderRecord | None] = _none
    page: Callable[[str, int], OpenOrders | None] = _none
    position: Callable[[str, str], Position | None] = _none
    era: int = 0


class Before(msgspec.Struct, frozen=True, gc=False):
    """The state before. `order`: the one that the record is about, if it exists; `taken`: the transfer that has its id."""

    account: AccountState | None
    order: OrderRecord | None = None
    taken: ClientId | None = None


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The state after, and what goes out. `taken` and `limits` are `None` where there is none to be written.

    `pages`: number -> open orders, `None` for a page that is empty now; `positions` by symbol; `timers`: key -> when it is due, or
    `None` for one that is not needed any more; `events` have no hash yet, it is in `bodies`: the events as they are written. `ended`: ids of the orders that are over now;
    `symbols`: those that the account had no open order of before; `sweep`: to be done to every account.
    """

    account: AccountState
    orders: Sequence[OrderRecord] = ()
    taken: ClientId | None = None
    limits: SetLimits | None = None
    pages: Mapping[int, OpenOrders | None] = {}
    positions: Mapping[str, Position] = {}
    timers: Mapping[str, int | None] = {}
    events: Sequence[OrderEvent] = ()
    bodies: Sequence[bytes] = ()
    fills: Sequence[Fill] = ()
    routes: Sequence[RouteRequest | RouteCancel] = ()
    cancels: Sequence[ChildCancel] = ()
    ended: Sequence[str] = ()
    symbols: tuple[str, ...] = ()
    sweep: CancelAll | None = None

    @property
    def order(self) -> OrderRecord | None:
        """The last order that was decided on."""
        return self.orders[-1] if self.orders else None


class Refused(msgspec.Struct, frozen=True, gc=False):
    """A record that cannot be handled: `cause` is stable, `detail` for people."""

    cause: str
    detail: str


class Impossible(Exception):
    """Raised within a decision that must not be made; becomes `Refused`."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause, self.detail = cause, detail


class Step:
    """A decision in the making. `order` is the one that it is about at the moment; `turn` goes to another."""

    __slots__ = (
        "_bodies",
        "_events",
        "_fills",
        "_first",
        "_hash",
        "_orders",
        "_seq",
        "account_id",
        "actor",
        "before",
        "cancels",
        "cause",
        "funds",
        "limits",
        "order",
        "positions",
        "routes",
        "sent_at",
        "sweep",
        "taken",
        "timers",
        "usage",
        "world",
    )

    def __init__(
        self, account_id: str, cause: Cause, before: Before, world: World, actor: str, sent_at: int | None = None
    ) -> None:
        account = before.account or NEW_ACCOUNT
        self.account_id, self.cause, self.before, self.world = account_id, cause, before, world
        self.actor, self.sent_at = actor, held(sent_at)  # by a client's clock: what is no time is not told on
        self.funds = Funds(account.balances)
        self.order = self._first = before.order
        self.usage: Usage | None = account.usage
        self.taken: ClientId | None = None
        self.limits: SetLimits | None = None
        self.sweep: CancelAll | None = None
        self.positions: dict[str, Position] = {}
        self.routes: list[RouteRequest | RouteCancel] = []
        self.cancels: list[ChildCancel] = []
        self.timers: dict[str, int | None] = {}
        self._orders: list[tuple[OrderRecord | None, OrderRecord]] = []  # before and after, of those turned away from
        self._seq, self._hash = account.seq, account.hash
        self._events: list[OrderEvent] = []
        self._bodies: list[bytes] = []
        self._fills: list[Fill] = []

    def turn(self, order: OrderRecord | None) -> None:
        """The decision goes on about another order of the account, or none."""
        if self.order is not None:
            self._orders.append((self._first, self.order))
        self.order = self._first = order

    def open_ids(self) -> list[str]:
        """The ids of the account's open orders, oldest first, as they were before."""
        account = self.before.account or NEW_ACCOUNT
        if not account.orders_made:
            return []
        pages = range(account.oldest_page or 0, (account.orders_made - 1) // PAGE + 1)
        found = [self.world.page(self.account_id, n) for n in pages]
        return [order_id for page in found if page is not None for order_id in page.order_ids]

    def the_order(self) -> OrderRecord:
        """The order, which there must be. Raises `Impossible`."""
        if self.order is None:
            raise Impossible("UNKNOWN_ORDER", "the account has no such order")
        return self.order

    def tell(
        self,
        kind: EventKind,
        code: str = "",
        reason: str = "",
        outcome: bool = False,
        child: ChildState | None = None,
        trade_id: str | None = None,
        client_order_id: str = "",
        amount: int | None = None,
    ) -> None:
        """One event: what happened to the order, if there is one, and what moved since the last event."""
        order = self.order
        if order is not None:
            order = self.order = replace(order, seq=order.seq + 1)
        self._seq += 1
        event = OrderEvent(
            account_id=self.account_id,
            account_seq=self._seq,
            order_id=order.order_id if order else "",
            order_seq=order.seq if order else 0,
            client_order_id=order.client_order_id if order else client_order_id,
            kind=kind,
            state=order.state if order else OrderState.INITIALIZED,
            symbol=order.symbol if order else "",
            side=order.side if order else None,
            order_type=order.order_type if order else None,
            time_in_force=order.time_in_force if order else None,
            quantity=_quantity(order) if order else amount,
            price=order.price if order else None,
            filled=order.filled if order else 0,
            filled_quote=order.filled_quote if order else 0,
            reason_code=code,
            reason=said(code, reason),
            venue=child.venue if child else None,
            child_id=child.child_id if child else None,
            trade_id=trade_id,
            balances=self.funds.changes(),
            cause_topic=self.cause.topic,
            cause_partition=self.cause.partition,
            cause_offset=self.cause.offset,
            is_outcome=outcome,
            actor=self.actor,
            sent_at=self.sent_at,
            at=self.cause.now,
            previous_hash=self._hash,
            hash=b"",
            stop_price=order.stop_price if order else None,
            scheduled_at=order.scheduled_at if order else None,
            expires_at=order.expires_at if order else None,
        )
        self._hash, body = sealed(event, self.world.body)
        self._events.append(event)
        self._bodies.append(body)

    def fill(self, fill: Fill) -> None:
        """A fill goes out, and into the position."""
        self._fills.append(fill)
        position = self.positions.get(fill.symbol) or self.world.position(self.account_id, fill.symbol)
        self.positions[fill.symbol] = traded(position, fill)

    def wake(self, what: str, due: int | None) -> None:
        """Set or forget one of the order's timers."""
        self.timers[timer_key(self.the_order().order_id, what)] = due

    def close(self, on: On, code: str) -> None:
        """The order ends: what is still locked is given back, its timers are forgotten. The event is the caller's."""
        order = self.the_order()
        state = parent(order.state, on)
        if order.locked:
            self.funds.unlock(order.locked_asset, order.locked)
        if order.state not in CLOSED:
            if order.expires_at is not None:
                self.wake(EXPIRY, None)
            if order.scheduled_at is not None:
                self.wake(START, None)
            if order.algo is not None:
                self.wake(SLICE, None)
            if order.halted:
                self.wake(RESUME, None)
            if order.looking_since is not None:
                self.wake(LOOK, None)
        self.order = replace(order, state=state, locked=0, close_reason=code, change=None, halted=None)

    def hold(self) -> None:
        """The order waits for the end of a halt: nothing of it is out, and nothing is awaited."""
        self.order = replace(self.the_order(), planned=True, halted=True)
        self.wake(RESUME, self.cause.now + HALT_POLL_US)

    def done(self) -> Decision:
        """The decision."""
        self.turn(None)
        account = self.before.account or NEW_ACCOUNT
        counted = _Open(self, account)
        for first, after in self._orders:
            counted.take(first, after)
        return Decision(
            account=AccountState(
                balances=self.funds.balances(),
                seq=self._seq,
                hash=self._hash,
                open_orders=counted.open,
                orders_made=counted.made or None,
                oldest_page=counted.oldest or None,
                buying=counted.buying,
                usage=self.usage,
                symbols=counted.symbols,
            ),
            orders=counted.orders,
            taken=self.taken,
            limits=self.limits,
            pages=counted.pages,
            positions=self.positions,
            timers=self.timers,
            events=self._events,
            bodies=self._bodies,
            fills=self._fills,
            routes=self.routes,
            cancels=self.cancels,
            ended=counted.ended,
            symbols=counted.symbols[len(account.symbols or ()) :] if counted.symbols else (),
            sweep=self.sweep,
        )


START, EXPIRY, SLICE, RESUME, LOOK = "start", "expiry", "slice", "resume", "look"
HALT_POLL_US = 1_000_000  # how often what waits for the end of a halt looks


def timer_key(order_id: str, what: str) -> str:
    """The name of one of an order's timers."""
    return f"{what}|{order_id}"


def _quantity(order: OrderRecord) -> int | None:
    """What an event says an order's quantity is: none, while an amount has not become one."""
    return order.quantity if order.quantity or order.quote_amount is None else None


class _Open:
    """How an account's open orders are after a decision: their number, their pages, and what the buys among them may bring."""

    __slots__ = ("_step", "buying", "ended", "made", "oldest", "open", "orders", "pages", "symbols")

    def __init__(self, step: Step, account: AccountState) -> None:
        self._step = step
        self.open, self.made, self.oldest = account.open_orders, account.orders_made or 0, account.oldest_page or 0
        self.buying, self.symbols = account.buying, account.symbols
        self.ended: list[str] = []
        self.orders: list[OrderRecord] = []
        self.pages: dict[int, OpenOrders | None] = {}

    def take(self, first: OrderRecord | None, after: OrderRecord) -> None:
        """An order was `first`, and is `after`."""
        was, now = first is not None and first.state not in CLOSED, after.state not in CLOSED
        if now and not was:
            after = replace(after, slot=self.made)
            self.open, self.made = self.open + 1, self.made + 1
            self._page(after.slot or 0, after.order_id, True)
            if after.symbol not in (self.symbols or ()):
                self.symbols = (*(self.symbols or ()), after.symbol)
        elif was and not now:
            self.open -= 1
            if after.slot is not None:
                self._page(after.slot, after.order_id, False)
        if not now and (was or first is None):
            self.ended.append(after.order_id)
        if after.side is Side.BUY and (more := _buys(after) - (_buys(first) if first is not None else 0)):
            self._buying(after.symbol, more)
        self.orders.append(after)

    def _page(self, slot: int, order_id: str, there: bool) -> None:
        n = slot // PAGE
        page = self.pages[n] if n in self.pages else self._step.world.page(self._step.account_id, n)
        ids = page.order_ids if page is not None else ()
        ids = (*ids, order_id) if there else tuple([i for i in ids if i != order_id])
        self.pages[n] = OpenOrders(order_ids=ids) if ids else None
        last = (self.made - 1) // PAGE
        while not ids and n == self.oldest and n < last:
            n = self.oldest = n + 1
            page = self.pages[n] if n in self.pages else self._step.world.page(self._step.account_id, n)
            ids = page.order_ids if page is not None else ()

    def _buying(self, symbol: str, more: int) -> None:
        base = (assets_of(symbol) or ("", ""))[0]
        held = {one.asset: one.amount for one in self.buying or ()}
        held[base] = held.get(base, 0) + more
        self.buying = tuple([AssetAmount(asset=a, amount=n) for a, n in held.items() if n]) or None


def _buys(order: OrderRecord) -> int:
    """What an open buy may still bring, also once it is what it was asked to be."""
    if order.side is not Side.BUY or order.state in CLOSED or order.state is OrderState.SCHEDULED:
        return 0
    change = order.change
    quantity = order.quantity if change is None else max(order.quantity, change.quantity)
    return quantity - order.filled
