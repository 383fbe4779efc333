"""Everything that concerns an account, decided: `decide(record, …) -> Decision | Refused`, a pure function.

The accounts agent loads the state that `subject` names, asks `decide`, writes the state after and sends what goes out. What a decision
is made from and what it is: `decision`; what clients ask for: `commands`, `changes`, `transfers`; what comes back from the router and the
venues: `executions`; what time does: `alarms`; the life of an order: `orders`; the money: `ledger`, `positions`; what is refused: `risk`
for an order, `limits` for an account; ids and the hash chain: `events`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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
from streams.domain.decision import Before, Cause, Decision, Impossible, Refused, Step, World
from streams.domain.events import order_id_of, transfer_key
from streams.domain.ledger import AmountOutOfRange
from streams.domain.orders import IllegalTransition


class Subject(NamedTuple):
    """What a record is about: keys into the state. Empty: nothing of that kind."""

    account_id: str
    order_id: str = ""
    transfer: str = ""


def subject(record: Record) -> Subject:
    """Which state `decide` needs for a record."""
    if isinstance(record, Transfer):
        return Subject(record.account_id, transfer=transfer_key(record.account_id, record.transfer_id))
    if isinstance(record, PlaceOrder | CancelOrder | ModifyOrder):
        return Subject(record.account_id, order_id_of(record.account_id, record.client_order_id))
    if isinstance(record, CancelAll | SetLimits):
        return Subject(record.account_id)
    assert isinstance(record, RoutePlan | RouteStatus | ExecutionReport)
    return Subject(record.account_id, record.order_id)


class _How(NamedTuple):
    """How a record is handled, who its actor is, and when it was sent."""

    handle: Callable[[Step, Any], None]
    actor: Callable[[Any], str]
    sent_at: Callable[[Any], int | None]


def _command(handle: Callable[[Step, Any], None]) -> _How:
    return _How(handle, lambda _: "client", lambda r: r.sent_at)


_HOW: dict[type[Record], _How] = {
    PlaceOrder: _command(commands.place),
    CancelOrder: _command(commands.cancel),
    CancelAll: _command(commands.cancel_all),
    ModifyOrder: _command(changes.modify),
    Transfer: _command(transfers.transfer),
    SetLimits: _command(transfers.set_limits),
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
    if before.order is not None and before.order.account_id != account_id:
        return Refused("WRONG_ACCOUNT", f"order {before.order.order_id} is of another account")
    step = Step(account_id, cause, before, world, how.actor(record), how.sent_at(record))
    return _done(step, lambda: how.handle(step, record))


def alarm(key: str, cause: Cause, before: Before, world: World) -> Decision | Refused:
    """The state after the timer `key` of `before.order` has fired."""
    assert before.order is not None
    step = Step(before.order.account_id, cause, before, world, "timer")
    return _done(step, lambda: alarms.fired(step, key.partition("|")[0]))


def order_of(key: str) -> str:
    """The id of the order that a timer is about."""
    return key.partition("|")[2]


def _done(step: Step, handle: Callable[[], None]) -> Decision | Refused:
    try:
        handle()
    except Impossible as refusal:
        return Refused(refusal.cause, refusal.detail)
    except IllegalTransition as error:
        return Refused("ILLEGAL_TRANSITION", str(error))
    except AmountOutOfRange as error:
        return Refused("AMOUNT_OUT_OF_RANGE", str(error))
    return step.done()
