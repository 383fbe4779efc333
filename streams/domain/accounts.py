"""Everything that concerns an account, decided: `decide(record, …) -> Decision | Refused`, a pure function.

The accounts agent loads the state that `subject` names, asks `decide`, writes the state after and sends what goes out. What a decision
is made from and what it is: `decision`; what clients ask for: `commands`, `changes`, `transfers`; what comes back from the router and the
venues: `executions`; what time does: `alarms`; the life of an order: `orders`; the money: `ledger`, `positions`; what is refused: `risk`
for an order, `limits` for an account; ids and the hash chain: `events`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from schemas.records import (
    CancelAll,
    CancelOrder,
    ExecutionReport,
    ModifyOrder,
    PlaceOrder,
    Record,
    RoutePlan,
    RouteStatus,
    SetLimits,
    Transfer,
)
from streams.domain import alarms, changes, commands, executions, transfers
from streams.domain.decision import Before, Cause, Decision, Impossible, Refused, Step, World, replace
from streams.domain.events import order_id_of, order_key, transfer_key
from streams.domain.ledger import AmountOutOfRange
from streams.domain.orders import IllegalTransition
from streams.domain.risk import MAX_ID

MAX_NAME = 1024  # of an id that is repeated in the answer, even in a denial


class Subject(msgspec.Struct, frozen=True, gc=False):
    """What a record is about: keys into the state. Empty: nothing of that kind."""

    account_id: str
    order_id: str = ""
    transfer: str = ""


def subject(record: Record) -> Subject:
    """Which state `decide` needs for a record. An order is named by its key."""
    return _SUBJECT[type(record)](record)


def _of_command(record: PlaceOrder | CancelOrder | ModifyOrder) -> Subject:
    return Subject(record.account_id, order_id_of(record.account_id, record.client_order_id))


def _of_order(record: RoutePlan | RouteStatus | ExecutionReport) -> Subject:
    return Subject(record.account_id, order_key(record.order_id))


_SUBJECT: dict[type[Record], Callable[[Any], Subject]] = {
    Transfer: lambda r: Subject(r.account_id, transfer=transfer_key(r.account_id, r.transfer_id)),
    PlaceOrder: _of_command,
    CancelOrder: _of_command,
    ModifyOrder: _of_command,
    CancelAll: lambda r: Subject(r.account_id),
    SetLimits: lambda r: Subject(r.account_id),
    RoutePlan: _of_order,
    RouteStatus: _of_order,
    ExecutionReport: _of_order,
}


class _How(NamedTuple):
    """How a record is handled, who its actor is, and when it was sent."""

    handle: Callable[[Step, Any], None]
    actor: Callable[[Any], str]
    sent_at: Callable[[Any], int | None]
    named: Callable[[Any], str] | None = None  # what a client named it by, which the answer repeats


def _command(handle: Callable[[Step, Any], None], named: Callable[[Any], str] = lambda r: r.client_order_id) -> _How:
    return _How(handle, lambda _: "client", lambda r: r.sent_at, named)


_HOW: dict[type[Record], _How] = {
    PlaceOrder: _command(commands.place),
    CancelOrder: _command(commands.cancel),
    CancelAll: _command(commands.cancel_all, lambda r: r.symbol or ""),
    ModifyOrder: _command(changes.modify),
    Transfer: _command(transfers.transfer, lambda r: r.transfer_id),
    SetLimits: _command(transfers.set_limits, lambda r: r.command_id),
    RoutePlan: _How(executions.planned, lambda _: "router", lambda _: None),
    RouteStatus: _How(executions.held, lambda _: "router", lambda _: None),
    ExecutionReport: _How(executions.reported, lambda r: r.venue, lambda _: None),
}


def decide(record: Record, cause: Cause, before: Before, world: World) -> Decision | Refused:
    """The state after `record`, and what goes out; or why it cannot be."""
    how = _HOW[type(record)]
    account_id = record.account_id  # type: ignore[attr-defined]  # every record of the table has one
    if not account_id:
        return Refused("NO_ACCOUNT", "the record names no account")
    order = before.order
    if order is not None:
        if order.account_id != account_id:
            return Refused("WRONG_ACCOUNT", f"order {order.order_id} is of another account")
        if getattr(record, "order_id", order.order_id) != order.order_id:
            before = replace(before, order=None)  # it is about one that was forgotten
    if len(account_id) > MAX_ID or (how.named is not None and len(how.named(record)) > MAX_NAME):
        return Refused("ID_TOO_LONG", f"an account's id has at most {MAX_ID} characters, any other {MAX_NAME}")
    step = Step(account_id, cause, before, world, how.actor(record), how.sent_at(record))
    return _done(step, how.handle, record)


def alarm(key: str, cause: Cause, before: Before, world: World) -> Decision | Refused:
    """The state after the timer `key` of `before.order` has fired."""
    assert before.order is not None
    step = Step(before.order.account_id, cause, before, world, "timer")
    return _done(step, alarms.fired, key.partition("|")[0])


def order_of(key: str) -> str:
    """The id of the order that a timer is about."""
    return key.partition("|")[2]


def sweep(account_id: str, symbol: str, by: int, cause: Cause, before: Before, world: World) -> Decision | Refused:
    """The account after an operator's cancel of all that is open of a symbol and was accepted by then (microseconds)."""
    step = Step(account_id, cause, before, world, "operator")
    return _done(step, commands.swept, symbol, by)


def _done(step: Step, handle: Callable[..., None], *what: object) -> Decision | Refused:
    try:
        handle(step, *what)
    except Impossible as refusal:
        return Refused(refusal.cause, refusal.detail)
    except IllegalTransition as error:
        return Refused("ILLEGAL_TRANSITION", str(error))
    except AmountOutOfRange as error:
        return Refused("AMOUNT_OUT_OF_RANGE", str(error))
    return step.done()
