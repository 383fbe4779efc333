"""Typed records of the flow. Generated from `avro/` by `schemas.generate`: do not edit.

Decimals are exact ints of 1e-8, timestamps ints of microseconds since the epoch (UTC).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import msgspec


MAX_MONEY = 10**20  # decimal(20,8) holds less than this, in units of 1e-8


def _m(value: int) -> bytes:
    """An int of 1e-8 as Avro's decimal bytes (two's complement, big-endian, shortest)."""
    if not -MAX_MONEY < value < MAX_MONEY:
        raise ValueError(f"{value} units of 1e-8 do not fit decimal(20,8)")
    return value.to_bytes(((value if value >= 0 else ~value).bit_length() + 8) // 8, "big", signed=True)


def _u(raw: bytes) -> int:
    """The int of 1e-8 in Avro's decimal bytes."""
    value = int.from_bytes(raw, "big", signed=True)
    if not -MAX_MONEY < value < MAX_MONEY:
        raise ValueError(f"a decimal of {len(raw)} bytes does not fit decimal(20,8)")
    return value


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every generated record."""

    AVRO: ClassVar[str] = ""

    def to_wire(self) -> dict[str, Any]:
        """What the Avro writer takes."""
        raise NotImplementedError

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Record:
        """The record from what the Avro reader gives."""
        raise NotImplementedError


class Balance(Record, frozen=True, kw_only=True):
    """Funds of one asset."""

    AVRO: ClassVar[str] = "bestex.Balance"
    asset: str
    available: int
    locked: int
    owed: int | None = None  # Charged beyond what was there; paid back by whatever comes in. Null: nothing.

    def to_wire(self) -> dict[str, Any]:
        return {
            "asset": self.asset,
            "available": _m(self.available),
            "locked": _m(self.locked),
            "owed": None if self.owed is None else _m(self.owed),
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Balance:
        return cls(
            asset=d["asset"],
            available=_u(d["available"]),
            locked=_u(d["locked"]),
            owed=None if d["owed"] is None else _u(d["owed"]),
        )


class AccountState(Record, frozen=True, kw_only=True):
    """Table value: an account's funds and its place in the log. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.AccountState"
    balances: tuple[Balance, ...]
    seq: int  # Of the account's last event.
    hash: bytes  # Of the account's last event.
    open_orders: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "balances": [x.to_wire() for x in self.balances],
            "seq": self.seq,
            "hash": self.hash,
            "open_orders": self.open_orders,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> AccountState:
        return cls(
            balances=tuple(Balance.from_wire(x) for x in d["balances"]),
            seq=d["seq"],
            hash=d["hash"],
            open_orders=d["open_orders"],
        )


class BookUpdateKind(StrEnum):
    """SNAPSHOT replaces the book; DIFF changes levels (quantity 0 deletes); STALE says that the book must not be routed on."""

    SNAPSHOT = "SNAPSHOT"
    DIFF = "DIFF"
    STALE = "STALE"


class Level(Record, frozen=True, kw_only=True):
    """One price level."""

    AVRO: ClassVar[str] = "bestex.Level"
    price: int
    quantity: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "price": _m(self.price),
            "quantity": _m(self.quantity),
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Level:
        return cls(
            price=_u(d["price"]),
            quantity=_u(d["quantity"]),
        )


class BookUpdate(Record, frozen=True, kw_only=True):
    """A change of one venue's book, many levels at once. Key: symbol."""

    AVRO: ClassVar[str] = "bestex.BookUpdate"
    venue: str
    symbol: str
    kind: BookUpdateKind
    first_id: int | None = None  # First update id covered, where the venue has ids.
    last_id: int | None = None
    previous_id: int | None = None
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    venue_at: int | None = None
    received_at: int  # By the feed's clock.

    def to_wire(self) -> dict[str, Any]:
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "kind": self.kind,
            "first_id": self.first_id,
            "last_id": self.last_id,
            "previous_id": self.previous_id,
            "bids": [x.to_wire() for x in self.bids],
            "asks": [x.to_wire() for x in self.asks],
            "venue_at": self.venue_at,
            "received_at": self.received_at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> BookUpdate:
        return cls(
            venue=d["venue"],
            symbol=d["symbol"],
            kind=BookUpdateKind(d["kind"]),
            first_id=d["first_id"],
            last_id=d["last_id"],
            previous_id=d["previous_id"],
            bids=tuple(Level.from_wire(x) for x in d["bids"]),
            asks=tuple(Level.from_wire(x) for x in d["asks"]),
            venue_at=d["venue_at"],
            received_at=d["received_at"],
        )


class CancelOrder(Record, frozen=True, kw_only=True):
    """Command: cancel an order, named by its client order id. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.CancelOrder"
    account_id: str
    client_order_id: str  # Of the order to cancel.
    sent_at: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "account_id": self.account_id,
            "client_order_id": self.client_order_id,
            "sent_at": self.sent_at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> CancelOrder:
        return cls(
            account_id=d["account_id"],
            client_order_id=d["client_order_id"],
            sent_at=d["sent_at"],
        )


class ChildCancel(Record, frozen=True, kw_only=True):
    """Ask a venue to cancel a child order. Key: venue."""

    AVRO: ClassVar[str] = "bestex.ChildCancel"
    child_id: str
    order_id: str
    account_id: str
    venue: str
    symbol: str
    created_at: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "child_id": self.child_id,
            "order_id": self.order_id,
            "account_id": self.account_id,
            "venue": self.venue,
            "symbol": self.symbol,
            "created_at": self.created_at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ChildCancel:
        return cls(
            child_id=d["child_id"],
            order_id=d["order_id"],
            account_id=d["account_id"],
            venue=d["venue"],
            symbol=d["symbol"],
            created_at=d["created_at"],
        )


class Side(StrEnum):
    """What the account does with the base asset."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """How the order's price is given."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"


class TimeInForce(StrEnum):
    """How long the order lives."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"


class ChildOrder(Record, frozen=True, kw_only=True):
    """What one venue is asked for. Key: venue."""

    AVRO: ClassVar[str] = "bestex.ChildOrder"
    child_id: str  # Deterministic; sent to the venue as its client order id.
    order_id: str
    account_id: str
    venue: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: int
    price: int
    created_at: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "child_id": self.child_id,
            "order_id": self.order_id,
            "account_id": self.account_id,
            "venue": self.venue,
            "symbol": self.symbol,
            "side": self.side,
            "order_type": self.order_type,
            "time_in_force": self.time_in_force,
            "quantity": _m(self.quantity),
            "price": _m(self.price),
            "created_at": self.created_at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ChildOrder:
        return cls(
            child_id=d["child_id"],
            order_id=d["order_id"],
            account_id=d["account_id"],
            venue=d["venue"],
            symbol=d["symbol"],
            side=Side(d["side"]),
            order_type=OrderType(d["order_type"]),
            time_in_force=TimeInForce(d["time_in_force"]),
            quantity=_u(d["quantity"]),
            price=_u(d["price"]),
            created_at=d["created_at"],
        )


class ClientId(Record, frozen=True, kw_only=True):
    """Table value: an id of an account that is taken, by an order or a transfer. Key: streams.domain.events.transfer_key."""

    AVRO: ClassVar[str] = "bestex.ClientId"
    order_id: str  # The order, or the transfer, that took it.

    def to_wire(self) -> dict[str, Any]:
        return {
            "order_id": self.order_id,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ClientId:
        return cls(
            order_id=d["order_id"],
        )


class DeadLetter(Record, frozen=True, kw_only=True):
    """A record that could not be processed, whole. Key: the origin's key."""

    AVRO: ClassVar[str] = "bestex.DeadLetter"
    origin_topic: str
    origin_partition: int
    origin_offset: int
    origin_timestamp: int | None = None
    key: bytes | None = None
    value: bytes | None = None
    cause: str  # Stable code.
    detail: str
    app: str
    at: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "origin_topic": self.origin_topic,
            "origin_partition": self.origin_partition,
            "origin_offset": self.origin_offset,
            "origin_timestamp": self.origin_timestamp,
            "key": self.key,
            "value": self.value,
            "cause": self.cause,
            "detail": self.detail,
            "app": self.app,
            "at": self.at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> DeadLetter:
        return cls(
            origin_topic=d["origin_topic"],
            origin_partition=d["origin_partition"],
            origin_offset=d["origin_offset"],
            origin_timestamp=d["origin_timestamp"],
            key=d["key"],
            value=d["value"],
            cause=d["cause"],
            detail=d["detail"],
            app=d["app"],
            at=d["at"],
        )


class ExecutionKind(StrEnum):
    """What the venue said, or that it is not known (UNKNOWN)."""

    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    NOT_SENT = "NOT_SENT"
    FILL = "FILL"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    CANCEL_REJECTED = "CANCEL_REJECTED"
    UNKNOWN = "UNKNOWN"


class Liquidity(StrEnum):
    """Whether the fill added or removed liquidity."""

    MAKER = "MAKER"
    TAKER = "TAKER"
    NOT_KNOWN = "NOT_KNOWN"


class ExecutionReport(Record, frozen=True, kw_only=True):
    """What came back about a child order. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.ExecutionReport"
    account_id: str
    order_id: str
    child_id: str
    venue: str
    symbol: str
    kind: ExecutionKind
    venue_order_id: str | None = None
    trade_id: str | None = None  # Of a FILL; a fill is applied once by venue and trade id.
    price: int | None = None  # Of a FILL.
    quantity: int | None = None  # Of a FILL.
    fee: int | None = None
    fee_asset: str | None = None
    liquidity: Liquidity
    cumulative_quantity: int | None = None
    reason_code: str  # Stable code, or empty.
    reason: str  # In words, or empty.
    http_status: int | None = None
    venue_code: str | None = None
    venue_at: int | None = None  # The venue's clock.
    at: int  # When the connector knew.

    def to_wire(self) -> dict[str, Any]:
        return {
            "account_id": self.account_id,
            "order_id": self.order_id,
            "child_id": self.child_id,
            "venue": self.venue,
            "symbol": self.symbol,
            "kind": self.kind,
            "venue_order_id": self.venue_order_id,
            "trade_id": self.trade_id,
            "price": None if self.price is None else _m(self.price),
            "quantity": None if self.quantity is None else _m(self.quantity),
            "fee": None if self.fee is None else _m(self.fee),
            "fee_asset": self.fee_asset,
            "liquidity": self.liquidity,
            "cumulative_quantity": None if self.cumulative_quantity is None else _m(self.cumulative_quantity),
            "reason_code": self.reason_code,
            "reason": self.reason,
            "http_status": self.http_status,
            "venue_code": self.venue_code,
            "venue_at": self.venue_at,
            "at": self.at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ExecutionReport:
        return cls(
            account_id=d["account_id"],
            order_id=d["order_id"],
            child_id=d["child_id"],
            venue=d["venue"],
            symbol=d["symbol"],
            kind=ExecutionKind(d["kind"]),
            venue_order_id=d["venue_order_id"],
            trade_id=d["trade_id"],
            price=None if d["price"] is None else _u(d["price"]),
            quantity=None if d["quantity"] is None else _u(d["quantity"]),
            fee=None if d["fee"] is None else _u(d["fee"]),
            fee_asset=d["fee_asset"],
            liquidity=Liquidity(d["liquidity"]),
            cumulative_quantity=None if d["cumulative_quantity"] is None else _u(d["cumulative_quantity"]),
            reason_code=d["reason_code"],
            reason=d["reason"],
            http_status=d["http_status"],
            venue_code=d["venue_code"],
            venue_at=d["venue_at"],
            at=d["at"],
        )


class ClaimedChild(Record, frozen=True, kw_only=True):
    """The child order as it was claimed."""

    AVRO: ClassVar[str] = "bestex.ClaimedChild"
    order_id: str
    account_id: str
    venue: str
    symbol: str
    quantity: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "order_id": self.order_id,
            "account_id": self.account_id,
            "venue": self.venue,
            "symbol": self.symbol,
            "quantity": _m(self.quantity),
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ClaimedChild:
        return cls(
            order_id=d["order_id"],
            account_id=d["account_id"],
            venue=d["venue"],
            symbol=d["symbol"],
            quantity=_u(d["quantity"]),
        )


class ExecutionPhase(StrEnum):
    """CLAIMED may have been sent; UNKNOWN was sent and the outcome is not known; OPEN was accepted; DONE needs nothing more."""

    CLAIMED = "CLAIMED"
    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    DONE = "DONE"


class ExecutionState(Record, frozen=True, kw_only=True):
    """Journal value: what the execution connector did about a child. Key: child_id."""

    AVRO: ClassVar[str] = "bestex.ExecutionState"
    child: ClaimedChild
    claimed_at: int
    phase: ExecutionPhase
    cancel_at: int | None = None  # When a cancel was claimed; null when none is pending.
    closed_at: int | None = None  # When the child became DONE.
    venue_order_id: str | None = None
    reported: int  # Fills reported so far.
    trades: tuple[str, ...]  # Ids of the trades reported.

    def to_wire(self) -> dict[str, Any]:
        return {
            "child": self.child.to_wire(),
            "claimed_at": self.claimed_at,
            "phase": self.phase,
            "cancel_at": self.cancel_at,
            "closed_at": self.closed_at,
            "venue_order_id": self.venue_order_id,
            "reported": _m(self.reported),
            "trades": list(self.trades),
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ExecutionState:
        return cls(
            child=ClaimedChild.from_wire(d["child"]),
            claimed_at=d["claimed_at"],
            phase=ExecutionPhase(d["phase"]),
            cancel_at=d["cancel_at"],
            closed_at=d["closed_at"],
            venue_order_id=d["venue_order_id"],
            reported=_u(d["reported"]),
            trades=tuple(d["trades"]),
        )


class Fill(Record, frozen=True, kw_only=True):
    """A fill of an account's order. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.Fill"
    fill_id: str  # venue:symbol:trade id.
    account_id: str
    order_id: str
    client_order_id: str
    child_id: str
    venue: str
    symbol: str
    side: Side
    price: int
    quantity: int
    fee: int
    fee_asset: str
    liquidity: Liquidity
    arrival_mid: int | None = None
    best_single_price: int | None = None
    venue_at: int
    at: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "fill_id": self.fill_id,
            "account_id": self.account_id,
            "order_id": self.order_id,
            "client_order_id": self.client_order_id,
            "child_id": self.child_id,
            "venue": self.venue,
            "symbol": self.symbol,
            "side": self.side,
            "price": _m(self.price),
            "quantity": _m(self.quantity),
            "fee": _m(self.fee),
            "fee_asset": self.fee_asset,
            "liquidity": self.liquidity,
            "arrival_mid": None if self.arrival_mid is None else _m(self.arrival_mid),
            "best_single_price": None if self.best_single_price is None else _m(self.best_single_price),
            "venue_at": self.venue_at,
            "at": self.at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Fill:
        return cls(
            fill_id=d["fill_id"],
            account_id=d["account_id"],
            order_id=d["order_id"],
            client_order_id=d["client_order_id"],
            child_id=d["child_id"],
            venue=d["venue"],
            symbol=d["symbol"],
            side=Side(d["side"]),
            price=_u(d["price"]),
            quantity=_u(d["quantity"]),
            fee=_u(d["fee"]),
            fee_asset=d["fee_asset"],
            liquidity=Liquidity(d["liquidity"]),
            arrival_mid=None if d["arrival_mid"] is None else _u(d["arrival_mid"]),
            best_single_price=None if d["best_single_price"] is None else _u(d["best_single_price"]),
            venue_at=d["venue_at"],
            at=d["at"],
        )


class InstrumentStatus(StrEnum):
    """Whether the instrument trades."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"


class Instrument(Record, frozen=True, kw_only=True):
    """A symbol at a venue. Key: venue and symbol, joined by a bar."""

    AVRO: ClassVar[str] = "bestex.Instrument"
    venue: str
    symbol: str
    base: str
    quote: str
    tick: int
    lot: int
    min_quantity: int
    max_quantity: int
    min_notional: int
    maker_fee: int  # Rate: 0.001 is ten basis points.
    taker_fee: int
    status: InstrumentStatus
    at: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "base": self.base,
            "quote": self.quote,
            "tick": _m(self.tick),
            "lot": _m(self.lot),
            "min_quantity": _m(self.min_quantity),
            "max_quantity": _m(self.max_quantity),
            "min_notional": _m(self.min_notional),
            "maker_fee": _m(self.maker_fee),
            "taker_fee": _m(self.taker_fee),
            "status": self.status,
            "at": self.at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Instrument:
        return cls(
            venue=d["venue"],
            symbol=d["symbol"],
            base=d["base"],
            quote=d["quote"],
            tick=_u(d["tick"]),
            lot=_u(d["lot"]),
            min_quantity=_u(d["min_quantity"]),
            max_quantity=_u(d["max_quantity"]),
            min_notional=_u(d["min_notional"]),
            maker_fee=_u(d["maker_fee"]),
            taker_fee=_u(d["taker_fee"]),
            status=InstrumentStatus(d["status"]),
            at=d["at"],
        )


class ModifyOrder(Record, frozen=True, kw_only=True):
    """Command: change a live order. Key: account_id. Absent fields stay as they are."""

    AVRO: ClassVar[str] = "bestex.ModifyOrder"
    account_id: str
    client_order_id: str
    quantity: int | None = None  # The new total.
    price: int | None = None
    stop_price: int | None = None
    scheduled_at: int | None = None
    sent_at: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "account_id": self.account_id,
            "client_order_id": self.client_order_id,
            "quantity": None if self.quantity is None else _m(self.quantity),
            "price": None if self.price is None else _m(self.price),
            "stop_price": None if self.stop_price is None else _m(self.stop_price),
            "scheduled_at": self.scheduled_at,
            "sent_at": self.sent_at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ModifyOrder:
        return cls(
            account_id=d["account_id"],
            client_order_id=d["client_order_id"],
            quantity=None if d["quantity"] is None else _u(d["quantity"]),
            price=None if d["price"] is None else _u(d["price"]),
            stop_price=None if d["stop_price"] is None else _u(d["stop_price"]),
            scheduled_at=d["scheduled_at"],
            sent_at=d["sent_at"],
        )


class EventKind(StrEnum):
    """What happened. CANCEL_REJECTED is a venue's, CANCEL_DENIED ours."""

    ACCEPTED = "ACCEPTED"
    DENIED = "DENIED"
    DUPLICATE = "DUPLICATE"
    ROUTED = "ROUTED"
    WORKING = "WORKING"
    FILL = "FILL"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    CANCEL_DENIED = "CANCEL_DENIED"
    MODIFY_DENIED = "MODIFY_DENIED"
    CHILD_CLOSED = "CHILD_CLOSED"
    CHILD_UNKNOWN = "CHILD_UNKNOWN"
    CLOSED = "CLOSED"
    TRANSFERRED = "TRANSFERRED"
    TRANSFER_DENIED = "TRANSFER_DENIED"
    CANCEL_REJECTED = "CANCEL_REJECTED"


class OrderState(StrEnum):
    """State of a parent or child order."""

    INITIALIZED = "INITIALIZED"
    DENIED = "DENIED"
    SCHEDULED = "SCHEDULED"
    ARMED = "ARMED"
    TRIGGERED = "TRIGGERED"
    ROUTING = "ROUTING"
    WORKING = "WORKING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_MODIFY = "PENDING_MODIFY"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"


class BalanceChange(Record, frozen=True, kw_only=True):
    """How an event moved one asset of an account, and where it left it."""

    AVRO: ClassVar[str] = "bestex.BalanceChange"
    asset: str
    available_delta: int
    locked_delta: int
    available: int
    locked: int
    owed_delta: int | None = None  # Null: nothing moved.
    owed: int | None = None  # What the account owes after the event; null: nothing.

    def to_wire(self) -> dict[str, Any]:
        return {
            "asset": self.asset,
            "available_delta": _m(self.available_delta),
            "locked_delta": _m(self.locked_delta),
            "available": _m(self.available),
            "locked": _m(self.locked),
            "owed_delta": None if self.owed_delta is None else _m(self.owed_delta),
            "owed": None if self.owed is None else _m(self.owed),
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> BalanceChange:
        return cls(
            asset=d["asset"],
            available_delta=_u(d["available_delta"]),
            locked_delta=_u(d["locked_delta"]),
            available=_u(d["available"]),
            locked=_u(d["locked"]),
            owed_delta=None if d["owed_delta"] is None else _u(d["owed_delta"]),
            owed=None if d["owed"] is None else _u(d["owed"]),
        )


class OrderEvent(Record, frozen=True, kw_only=True):
    """One transition of one order, or of an account's funds: the truth. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.OrderEvent"
    account_id: str
    account_seq: int  # 1, 2, 3 … over the account, without gap.
    order_id: str  # Empty for a transfer, and where no such order exists.
    order_seq: int  # 1, 2, 3 … over the order, without gap; 0 where order_id is empty.
    client_order_id: str
    kind: EventKind
    state: OrderState  # The order's state after the event; INITIALIZED where there is no order.
    symbol: str
    side: Side | None = None
    order_type: OrderType | None = None
    time_in_force: TimeInForce | None = None
    quantity: int | None = None  # The order's; a transfer's amount.
    price: int | None = None  # The order's limit price.
    filled: int  # In all, after the event.
    filled_quote: int  # Sum of price times quantity over the fills, after the event.
    reason_code: str
    reason: str
    venue: str | None = None
    child_id: str | None = None
    trade_id: str | None = None
    balances: tuple[BalanceChange, ...]
    cause_topic: str  # The record that caused the event.
    cause_partition: int
    cause_offset: int
    is_outcome: bool  # True on the one event that answers a command.
    actor: str  # Who caused it: client, router or the venue's name.
    sent_at: int | None = None  # When the command was sent, by its sender's clock.
    at: int
    previous_hash: bytes  # Of the account's previous event; empty for the first.
    hash: bytes  # SHA-256 over previous_hash and this record with hash empty.

    def to_wire(self) -> dict[str, Any]:
        return {
            "account_id": self.account_id,
            "account_seq": self.account_seq,
            "order_id": self.order_id,
            "order_seq": self.order_seq,
            "client_order_id": self.client_order_id,
            "kind": self.kind,
            "state": self.state,
            "symbol": self.symbol,
            "side": self.side,
            "order_type": self.order_type,
            "time_in_force": self.time_in_force,
            "quantity": None if self.quantity is None else _m(self.quantity),
            "price": None if self.price is None else _m(self.price),
            "filled": _m(self.filled),
            "filled_quote": _m(self.filled_quote),
            "reason_code": self.reason_code,
            "reason": self.reason,
            "venue": self.venue,
            "child_id": self.child_id,
            "trade_id": self.trade_id,
            "balances": [x.to_wire() for x in self.balances],
            "cause_topic": self.cause_topic,
            "cause_partition": self.cause_partition,
            "cause_offset": self.cause_offset,
            "is_outcome": self.is_outcome,
            "actor": self.actor,
            "sent_at": self.sent_at,
            "at": self.at,
            "previous_hash": self.previous_hash,
            "hash": self.hash,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> OrderEvent:
        return cls(
            account_id=d["account_id"],
            account_seq=d["account_seq"],
            order_id=d["order_id"],
            order_seq=d["order_seq"],
            client_order_id=d["client_order_id"],
            kind=EventKind(d["kind"]),
            state=OrderState(d["state"]),
            symbol=d["symbol"],
            side=None if d["side"] is None else Side(d["side"]),
            order_type=None if d["order_type"] is None else OrderType(d["order_type"]),
            time_in_force=None if d["time_in_force"] is None else TimeInForce(d["time_in_force"]),
            quantity=None if d["quantity"] is None else _u(d["quantity"]),
            price=None if d["price"] is None else _u(d["price"]),
            filled=_u(d["filled"]),
            filled_quote=_u(d["filled_quote"]),
            reason_code=d["reason_code"],
            reason=d["reason"],
            venue=d["venue"],
            child_id=d["child_id"],
            trade_id=d["trade_id"],
            balances=tuple(BalanceChange.from_wire(x) for x in d["balances"]),
            cause_topic=d["cause_topic"],
            cause_partition=d["cause_partition"],
            cause_offset=d["cause_offset"],
            is_outcome=d["is_outcome"],
            actor=d["actor"],
            sent_at=d["sent_at"],
            at=d["at"],
            previous_hash=d["previous_hash"],
            hash=d["hash"],
        )


class ChildState(Record, frozen=True, kw_only=True):
    """A child order as the account knows it."""

    AVRO: ClassVar[str] = "bestex.ChildState"
    child_id: str
    venue: str
    state: OrderState
    quantity: int
    price: int
    filled: int
    expected: int | None = None  # Fills that the venue says there are, once it has closed the child.
    trades: tuple[str, ...]  # Trade ids applied.
    cancel_sent: bool

    def to_wire(self) -> dict[str, Any]:
        return {
            "child_id": self.child_id,
            "venue": self.venue,
            "state": self.state,
            "quantity": _m(self.quantity),
            "price": _m(self.price),
            "filled": _m(self.filled),
            "expected": None if self.expected is None else _m(self.expected),
            "trades": list(self.trades),
            "cancel_sent": self.cancel_sent,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> ChildState:
        return cls(
            child_id=d["child_id"],
            venue=d["venue"],
            state=OrderState(d["state"]),
            quantity=_u(d["quantity"]),
            price=_u(d["price"]),
            filled=_u(d["filled"]),
            expected=None if d["expected"] is None else _u(d["expected"]),
            trades=tuple(d["trades"]),
            cancel_sent=d["cancel_sent"],
        )


class OrderRecord(Record, frozen=True, kw_only=True):
    """Table value: an order. Key: order_id."""

    AVRO: ClassVar[str] = "bestex.OrderRecord"
    order_id: str
    account_id: str
    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    state: OrderState
    quantity: int
    price: int | None = None
    protection: int  # No fill is worse than this price.
    filled: int
    filled_quote: int
    locked_asset: str
    locked: int  # Still reserved.
    fee_rate: int  # Worst-case rate that the reservation covers.
    children: tuple[ChildState, ...]
    planned: bool  # The plan of the last route request has come.
    unrouted: int
    close_reason: str  # Stable code of the latest reason why quantity stayed unfilled, or empty.
    seq: int
    arrival_mid: int | None = None
    best_single_price: int | None = None
    sent_at: int
    accepted_at: int
    attempt: int  # Of the last route request.

    def to_wire(self) -> dict[str, Any]:
        return {
            "order_id": self.order_id,
            "account_id": self.account_id,
            "client_order_id": self.client_order_id,
            "symbol": self.symbol,
            "side": self.side,
            "order_type": self.order_type,
            "time_in_force": self.time_in_force,
            "state": self.state,
            "quantity": _m(self.quantity),
            "price": None if self.price is None else _m(self.price),
            "protection": _m(self.protection),
            "filled": _m(self.filled),
            "filled_quote": _m(self.filled_quote),
            "locked_asset": self.locked_asset,
            "locked": _m(self.locked),
            "fee_rate": _m(self.fee_rate),
            "children": [x.to_wire() for x in self.children],
            "planned": self.planned,
            "unrouted": _m(self.unrouted),
            "close_reason": self.close_reason,
            "seq": self.seq,
            "arrival_mid": None if self.arrival_mid is None else _m(self.arrival_mid),
            "best_single_price": None if self.best_single_price is None else _m(self.best_single_price),
            "sent_at": self.sent_at,
            "accepted_at": self.accepted_at,
            "attempt": self.attempt,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> OrderRecord:
        return cls(
            order_id=d["order_id"],
            account_id=d["account_id"],
            client_order_id=d["client_order_id"],
            symbol=d["symbol"],
            side=Side(d["side"]),
            order_type=OrderType(d["order_type"]),
            time_in_force=TimeInForce(d["time_in_force"]),
            state=OrderState(d["state"]),
            quantity=_u(d["quantity"]),
            price=None if d["price"] is None else _u(d["price"]),
            protection=_u(d["protection"]),
            filled=_u(d["filled"]),
            filled_quote=_u(d["filled_quote"]),
            locked_asset=d["locked_asset"],
            locked=_u(d["locked"]),
            fee_rate=_u(d["fee_rate"]),
            children=tuple(ChildState.from_wire(x) for x in d["children"]),
            planned=d["planned"],
            unrouted=_u(d["unrouted"]),
            close_reason=d["close_reason"],
            seq=d["seq"],
            arrival_mid=None if d["arrival_mid"] is None else _u(d["arrival_mid"]),
            best_single_price=None if d["best_single_price"] is None else _u(d["best_single_price"]),
            sent_at=d["sent_at"],
            accepted_at=d["accepted_at"],
            attempt=d["attempt"],
        )


class PlaceOrder(Record, frozen=True, kw_only=True):
    """Command: place an order. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.PlaceOrder"
    account_id: str
    client_order_id: str  # Chosen by the client; unique per account.
    symbol: str  # Unified, as BTC/USDT.
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: int  # In the base asset.
    price: int | None = None  # Limit price, in quote per base.
    stop_price: int | None = None
    scheduled_at: int | None = None
    expires_at: int | None = None
    sent_at: int  # The client's clock.

    def to_wire(self) -> dict[str, Any]:
        return {
            "account_id": self.account_id,
            "client_order_id": self.client_order_id,
            "symbol": self.symbol,
            "side": self.side,
            "order_type": self.order_type,
            "time_in_force": self.time_in_force,
            "quantity": _m(self.quantity),
            "price": None if self.price is None else _m(self.price),
            "stop_price": None if self.stop_price is None else _m(self.stop_price),
            "scheduled_at": self.scheduled_at,
            "expires_at": self.expires_at,
            "sent_at": self.sent_at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> PlaceOrder:
        return cls(
            account_id=d["account_id"],
            client_order_id=d["client_order_id"],
            symbol=d["symbol"],
            side=Side(d["side"]),
            order_type=OrderType(d["order_type"]),
            time_in_force=TimeInForce(d["time_in_force"]),
            quantity=_u(d["quantity"]),
            price=None if d["price"] is None else _u(d["price"]),
            stop_price=None if d["stop_price"] is None else _u(d["stop_price"]),
            scheduled_at=d["scheduled_at"],
            expires_at=d["expires_at"],
            sent_at=d["sent_at"],
        )


class Quote(Record, frozen=True, kw_only=True):
    """Consolidated best bid and offer of a symbol. Key: symbol."""

    AVRO: ClassVar[str] = "bestex.Quote"
    symbol: str
    bid: int | None = None
    bid_quantity: int | None = None
    bid_venue: str | None = None
    ask: int | None = None
    ask_quantity: int | None = None
    ask_venue: str | None = None
    venues: int  # Venues with a live book.
    at: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "symbol": self.symbol,
            "bid": None if self.bid is None else _m(self.bid),
            "bid_quantity": None if self.bid_quantity is None else _m(self.bid_quantity),
            "bid_venue": self.bid_venue,
            "ask": None if self.ask is None else _m(self.ask),
            "ask_quantity": None if self.ask_quantity is None else _m(self.ask_quantity),
            "ask_venue": self.ask_venue,
            "venues": self.venues,
            "at": self.at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Quote:
        return cls(
            symbol=d["symbol"],
            bid=None if d["bid"] is None else _u(d["bid"]),
            bid_quantity=None if d["bid_quantity"] is None else _u(d["bid_quantity"]),
            bid_venue=d["bid_venue"],
            ask=None if d["ask"] is None else _u(d["ask"]),
            ask_quantity=None if d["ask_quantity"] is None else _u(d["ask_quantity"]),
            ask_venue=d["ask_venue"],
            venues=d["venues"],
            at=d["at"],
        )


class PlannedChild(Record, frozen=True, kw_only=True):
    """One child order of a plan."""

    AVRO: ClassVar[str] = "bestex.PlannedChild"
    child_id: str
    venue: str
    price: int
    quantity: int
    time_in_force: TimeInForce
    expected_fee: int  # In the quote asset.

    def to_wire(self) -> dict[str, Any]:
        return {
            "child_id": self.child_id,
            "venue": self.venue,
            "price": _m(self.price),
            "quantity": _m(self.quantity),
            "time_in_force": self.time_in_force,
            "expected_fee": _m(self.expected_fee),
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> PlannedChild:
        return cls(
            child_id=d["child_id"],
            venue=d["venue"],
            price=_u(d["price"]),
            quantity=_u(d["quantity"]),
            time_in_force=TimeInForce(d["time_in_force"]),
            expected_fee=_u(d["expected_fee"]),
        )


class Candidate(Record, frozen=True, kw_only=True):
    """One venue as the router saw it."""

    AVRO: ClassVar[str] = "bestex.Candidate"
    venue: str
    eligible: bool
    reason: str  # Why not eligible, or empty.
    score: int  # 0 to 1.
    price_score: int
    latency_score: int
    reliability_score: int
    liquidity_score: int
    average_price: int | None = None  # All-in price if this venue took the order alone.
    filled: int  # Quantity that this venue could take alone.

    def to_wire(self) -> dict[str, Any]:
        return {
            "venue": self.venue,
            "eligible": self.eligible,
            "reason": self.reason,
            "score": _m(self.score),
            "price_score": _m(self.price_score),
            "latency_score": _m(self.latency_score),
            "reliability_score": _m(self.reliability_score),
            "liquidity_score": _m(self.liquidity_score),
            "average_price": None if self.average_price is None else _m(self.average_price),
            "filled": _m(self.filled),
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Candidate:
        return cls(
            venue=d["venue"],
            eligible=d["eligible"],
            reason=d["reason"],
            score=_u(d["score"]),
            price_score=_u(d["price_score"]),
            latency_score=_u(d["latency_score"]),
            reliability_score=_u(d["reliability_score"]),
            liquidity_score=_u(d["liquidity_score"]),
            average_price=None if d["average_price"] is None else _u(d["average_price"]),
            filled=_u(d["filled"]),
        )


class RoutePlan(Record, frozen=True, kw_only=True):
    """The router's decision on one request, with its reasons. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.RoutePlan"
    order_id: str
    account_id: str
    symbol: str
    attempt: int
    children: tuple[PlannedChild, ...]
    unrouted: int  # Quantity that no venue could take.
    reason: str  # Why there is an unrouted quantity, or empty.
    candidates: tuple[Candidate, ...]
    arrival_mid: int | None = None  # Consolidated mid when the plan was made.
    average_price: int | None = None  # Planned all-in price.
    best_single_venue: str | None = None
    best_single_price: int | None = None  # All-in price of the same quantity at the best single venue.
    planned_at: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "order_id": self.order_id,
            "account_id": self.account_id,
            "symbol": self.symbol,
            "attempt": self.attempt,
            "children": [x.to_wire() for x in self.children],
            "unrouted": _m(self.unrouted),
            "reason": self.reason,
            "candidates": [x.to_wire() for x in self.candidates],
            "arrival_mid": None if self.arrival_mid is None else _m(self.arrival_mid),
            "average_price": None if self.average_price is None else _m(self.average_price),
            "best_single_venue": self.best_single_venue,
            "best_single_price": None if self.best_single_price is None else _m(self.best_single_price),
            "planned_at": self.planned_at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> RoutePlan:
        return cls(
            order_id=d["order_id"],
            account_id=d["account_id"],
            symbol=d["symbol"],
            attempt=d["attempt"],
            children=tuple(PlannedChild.from_wire(x) for x in d["children"]),
            unrouted=_u(d["unrouted"]),
            reason=d["reason"],
            candidates=tuple(Candidate.from_wire(x) for x in d["candidates"]),
            arrival_mid=None if d["arrival_mid"] is None else _u(d["arrival_mid"]),
            average_price=None if d["average_price"] is None else _u(d["average_price"]),
            best_single_venue=d["best_single_venue"],
            best_single_price=None if d["best_single_price"] is None else _u(d["best_single_price"]),
            planned_at=d["planned_at"],
        )


class RouteRequest(Record, frozen=True, kw_only=True):
    """An accepted order on its way to the router. Key: symbol."""

    AVRO: ClassVar[str] = "bestex.RouteRequest"
    order_id: str
    account_id: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: int
    price: int  # Limit, or a market order's protection price: no child goes beyond it.
    attempt: int
    accepted_at: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "order_id": self.order_id,
            "account_id": self.account_id,
            "symbol": self.symbol,
            "side": self.side,
            "order_type": self.order_type,
            "time_in_force": self.time_in_force,
            "quantity": _m(self.quantity),
            "price": _m(self.price),
            "attempt": self.attempt,
            "accepted_at": self.accepted_at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> RouteRequest:
        return cls(
            order_id=d["order_id"],
            account_id=d["account_id"],
            symbol=d["symbol"],
            side=Side(d["side"]),
            order_type=OrderType(d["order_type"]),
            time_in_force=TimeInForce(d["time_in_force"]),
            quantity=_u(d["quantity"]),
            price=_u(d["price"]),
            attempt=d["attempt"],
            accepted_at=d["accepted_at"],
        )


class Trade(Record, frozen=True, kw_only=True):
    """A public trade. Key: symbol."""

    AVRO: ClassVar[str] = "bestex.Trade"
    venue: str
    symbol: str
    trade_id: str
    price: int
    quantity: int
    side: Side | None = None  # Of the taker.
    venue_at: int | None = None
    received_at: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "trade_id": self.trade_id,
            "price": _m(self.price),
            "quantity": _m(self.quantity),
            "side": self.side,
            "venue_at": self.venue_at,
            "received_at": self.received_at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Trade:
        return cls(
            venue=d["venue"],
            symbol=d["symbol"],
            trade_id=d["trade_id"],
            price=_u(d["price"]),
            quantity=_u(d["quantity"]),
            side=None if d["side"] is None else Side(d["side"]),
            venue_at=d["venue_at"],
            received_at=d["received_at"],
        )


class TransferKind(StrEnum):
    """Direction of a transfer."""

    DEPOSIT = "DEPOSIT"
    WITHDRAWAL = "WITHDRAWAL"


class Transfer(Record, frozen=True, kw_only=True):
    """Command: move funds into or out of an account. Key: account_id."""

    AVRO: ClassVar[str] = "bestex.Transfer"
    transfer_id: str  # Unique per account; a repeat is not applied again.
    account_id: str
    kind: TransferKind
    asset: str
    amount: int
    sent_at: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "transfer_id": self.transfer_id,
            "account_id": self.account_id,
            "kind": self.kind,
            "asset": self.asset,
            "amount": _m(self.amount),
            "sent_at": self.sent_at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Transfer:
        return cls(
            transfer_id=d["transfer_id"],
            account_id=d["account_id"],
            kind=TransferKind(d["kind"]),
            asset=d["asset"],
            amount=_u(d["amount"]),
            sent_at=d["sent_at"],
        )


class VenueStatus(StrEnum):
    """Whether a venue may be traded on."""

    ACTIVE = "ACTIVE"
    DEGRADED = "DEGRADED"
    DOWN = "DOWN"
    MAINTENANCE = "MAINTENANCE"


class VenueHealth(Record, frozen=True, kw_only=True):
    """How a venue does. Key: venue."""

    AVRO: ClassVar[str] = "bestex.VenueHealth"
    venue: str
    status: VenueStatus
    latency_us: int  # Of an order's round trip, smoothed.
    success_rate: int  # 0 to 1, smoothed.
    reason: str
    at: int

    def to_wire(self) -> dict[str, Any]:
        return {
            "venue": self.venue,
            "status": self.status,
            "latency_us": self.latency_us,
            "success_rate": _m(self.success_rate),
            "reason": self.reason,
            "at": self.at,
        }

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> VenueHealth:
        return cls(
            venue=d["venue"],
            status=VenueStatus(d["status"]),
            latency_us=d["latency_us"],
            success_rate=_u(d["success_rate"]),
            reason=d["reason"],
            at=d["at"],
        )


RECORDS: tuple[type[Record], ...] = (
    AccountState,
    BookUpdate,
    CancelOrder,
    ChildCancel,
    ChildOrder,
    ClientId,
    DeadLetter,
    ExecutionReport,
    ExecutionState,
    Fill,
    Instrument,
    ModifyOrder,
    OrderEvent,
    OrderRecord,
    PlaceOrder,
    Quote,
    RoutePlan,
    RouteRequest,
    Trade,
    Transfer,
    VenueHealth,
)
