"""What a decision about an account is made from, and what it is: the account and the order before and after, and what goes out.

Rules:

* a decision is a function of its arguments: the record, where it lies, the state before, the market as it is known, the settings;
* every change of an order or of an account's money is told by exactly one event, which carries what moved; events are numbered and
  chained over the account, and numbered over the order;
* a record that cannot be is `Refused`: the state stays, and the record is put aside with the cause.

`Step` is the one mutable thing: it lives within one decision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from schemas.records import (
    AccountState,
    ChildCancel,
    ChildState,
    ClientId,
    EventKind,
    Fill,
    OrderEvent,
    OrderRecord,
    OrderState,
    Quote,
    RouteRequest,
)
from streams.domain.events import Body, sealed
from streams.domain.ledger import Funds
from streams.domain.orders import CLOSED, On, parent
from streams.domain.risk import Denial, RiskSettings, Terms

NEW_ACCOUNT = AccountState(balances=(), seq=0, hash=b"", open_orders=0)
replace = msgspec.structs.replace


class Cause(NamedTuple):
    """The record that is decided on: where it lies, and what time it is (microseconds)."""

    topic: str
    partition: int
    offset: int
    now: int


class World(NamedTuple):
    """What is known beside the account: `terms` and `quote` by symbol, the limits, and how an event is encoded for its hash."""

    terms: Callable[[str], Terms | Denial]
    quote: Callable[[str], Quote | None]
    settings: RiskSettings
    body: Body


class Before(NamedTuple):
    """The state before. `order`: the one that the record is about, if it exists; `taken`: the transfer that has its id."""

    account: AccountState | None
    order: OrderRecord | None = None
    taken: ClientId | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The state after, and what goes out. `order` and `taken` are `None` where there is none to be written."""

    account: AccountState
    order: OrderRecord | None = None
    taken: ClientId | None = None
    events: tuple[OrderEvent, ...] = ()
    fills: tuple[Fill, ...] = ()
    routes: tuple[RouteRequest, ...] = ()
    cancels: tuple[ChildCancel, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that cannot be handled: `cause` is stable, `detail` for people."""

    cause: str
    detail: str


class Impossible(Exception):
    """Raised within a decision that must not be made; becomes `Refused`."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause, self.detail = cause, detail


class Step:
    """A decision in the making."""

    __slots__ = (
        "_events",
        "_fills",
        "_hash",
        "_open",
        "_seq",
        "account_id",
        "actor",
        "before",
        "cancels",
        "cause",
        "funds",
        "order",
        "routes",
        "sent_at",
        "taken",
        "world",
    )

    def __init__(
        self, account_id: str, cause: Cause, before: Before, world: World, actor: str, sent_at: int | None = None
    ) -> None:
        account = before.account or NEW_ACCOUNT
        self.account_id, self.cause, self.before, self.world = account_id, cause, before, world
        self.actor, self.sent_at = actor, sent_at
        self.funds = Funds(account.balances)
        self.order = before.order
        self.taken: ClientId | None = None
        self.routes: list[RouteRequest] = []
        self.cancels: list[ChildCancel] = []
        self._seq, self._hash, self._open = account.seq, account.hash, account.open_orders
        self._events: list[OrderEvent] = []
        self._fills: list[Fill] = []

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
            quantity=order.quantity if order else amount,
            price=order.price if order else None,
            filled=order.filled if order else 0,
            filled_quote=order.filled_quote if order else 0,
            reason_code=code,
            reason=reason,
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
        )
        event = sealed(event, self.world.body)
        self._hash = event.hash
        self._events.append(event)

    def fill(self, fill: Fill) -> None:
        """A fill goes out."""
        self._fills.append(fill)

    def opened(self) -> None:
        """The order counts as open."""
        self._open += 1

    def close(self, on: On, code: str) -> None:
        """The order ends: what is still locked is given back. The event is the caller's."""
        order = self.the_order()
        state = parent(order.state, on)
        if order.state not in CLOSED:
            self._open -= 1
        if order.locked:
            self.funds.unlock(order.locked_asset, order.locked)
        self.order = replace(order, state=state, locked=0, close_reason=code)

    def done(self) -> Decision:
        """The decision."""
        return Decision(
            account=AccountState(
                balances=self.funds.balances(), seq=self._seq, hash=self._hash, open_orders=self._open
            ),
            order=self.order,
            taken=self.taken,
            events=tuple(self._events),
            fills=tuple(self._fills),
            routes=tuple(self.routes),
            cancels=tuple(self.cancels),
        )
