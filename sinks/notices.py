"""What a user is told: fills, the ends of orders, and refusals; and what an operator is: alerts about venues, raised and cleared.

One notice a record, named by the record, so that telling twice shows. It is made from one event of orders.events, or one alert of venue.alerts, and
from nothing else; which events make one is the table below. Its `key`, `account_id:account_seq` or `alert id:state`, is unique over the log: a
receiver that has seen a key has seen the notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from schemas.records import EventKind, OrderEvent, OrderState, VenueAlert, VenueAlertState
from schemas.status import public_status
from sinks.amounts import SCALE, decimal

# Every other kind is a step on the way, or (DUPLICATE) a command that changed nothing.
TOLD: Final[frozenset[EventKind]] = frozenset(
    {
        EventKind.DENIED,
        EventKind.FILL,
        EventKind.CLOSED,
        EventKind.CANCEL_DENIED,
        EventKind.MODIFY_DENIED,
        EventKind.MODIFY_REJECTED,
        EventKind.TRIGGERED,
        EventKind.WAITING,
        EventKind.TRANSFER_DENIED,
    }
)
_REFUSED: Final[Mapping[EventKind, str]] = {
    EventKind.DENIED: "denied",
    EventKind.CANCEL_DENIED: "cancel denied",
    EventKind.MODIFY_DENIED: "modification denied",
    EventKind.MODIFY_REJECTED: "change refused by the venue",
    EventKind.TRANSFER_DENIED: "transfer denied",
}
_ENDED: Final[Mapping[OrderState, str]] = {
    OrderState.FILLED: "filled completely",
    OrderState.CANCELLED: "cancelled",
    OrderState.EXPIRED: "expired",
    OrderState.REJECTED: "rejected by the venue",
    OrderState.DENIED: "could not start",
}


def key(e: OrderEvent) -> str:
    """Names an event's notice, over the whole log."""
    return f"{e.account_id}:{e.account_seq}"


def line(told: Mapping[str, Any]) -> str:
    """Whose notices go in their order: an account's, or a venue's."""
    return told["account_id"] or f"venue {told['venue']}"


def notice(record: OrderEvent | VenueAlert) -> dict[str, Any] | None:
    """The notice that an event or an alert makes, or `None`. An alert's has no `account_id`."""
    return _alert(record) if isinstance(record, VenueAlert) else _event(record)


def _alert(a: VenueAlert) -> dict[str, Any]:
    amounts = {n: None if (units := getattr(a, n)) is None else decimal(units) for n in ("expected", "found")}
    about = " ".join(filter(None, (a.symbol, a.asset, a.child_id or a.client_order_id)))
    over = "" if a.state is VenueAlertState.RAISED else "over: "
    return {
        "key": f"{a.id}:{a.state.value}",
        "account_id": None,
        "kind": a.kind.value,
        "state": a.state.value,
        "venue": a.venue,
        "asset": a.asset,
        **amounts,
        "symbol": a.symbol,
        "child_id": a.child_id,
        "client_order_id": a.client_order_id,
        "venue_order_id": a.venue_order_id,
        "reason": a.detail,
        "raised_at": a.raised_at,
        "at": a.at,
        "text": f"Venue {a.venue}{f' ({about})' if about else ''}: {over}{a.kind.value}: {a.detail}",
    }


def _event(e: OrderEvent) -> dict[str, Any] | None:
    """Amounts are decimal strings, `at` is in microseconds UTC, `text` is for people."""
    if e.kind not in TOLD:
        return None
    return {
        "key": key(e),
        "account_id": e.account_id,
        "account_seq": e.account_seq,
        "kind": e.kind.value,
        "order_id": e.order_id,
        "client_order_id": e.client_order_id,
        "state": e.state.value if e.order_id else None,
        "status": public_status(e.state, e.filled) if e.order_id else None,
        "symbol": e.symbol,
        "side": e.side.value if e.side else None,
        "quantity": None if e.quantity is None else decimal(e.quantity),
        "price": None if e.price is None else decimal(e.price),
        "filled": decimal(e.filled),
        "average_price": decimal(e.filled_quote * SCALE // e.filled) if e.filled else None,
        "reason_code": e.reason_code,
        "reason": e.reason,
        "venue": e.venue,
        "trade_id": e.trade_id,
        "at": e.at,
        "text": _text(e),
    }


def _text(e: OrderEvent) -> str:
    if e.kind is EventKind.TRANSFER_DENIED:
        return f"Transfer denied: {e.reason or e.reason_code}"
    side, quantity = (e.side or ""), "" if e.quantity is None else decimal(e.quantity)
    what = " ".join(
        filter(None, (f"Order {e.client_order_id}", f"({' '.join(filter(None, (side, quantity, e.symbol)))})"))
    )
    if e.kind in _REFUSED:
        return f"{what}: {_REFUSED[e.kind]}: {e.reason or e.reason_code}"
    if e.kind is EventKind.TRIGGERED:
        return f"{what}: stop triggered" + (f": {e.reason}" if e.reason else "")
    if e.kind is EventKind.WAITING:
        return f"{what}: waits: {e.reason or e.reason_code}"
    so_far = f"{decimal(e.filled)} filled" + (f" at {decimal(e.filled_quote * SCALE // e.filled)}" if e.filled else "")
    if e.kind is EventKind.FILL:
        return f"{what}: filled{f' at {e.venue}' if e.venue else ''}; {so_far} in all"
    ended = _ENDED.get(e.state, e.state.lower())
    return f"{what}: {ended}; {so_far}" + (f": {e.reason}" if e.reason else "")
