"""Orders that are changed: quantity, price, stop price, start and end. Each command is answered by exactly one event with `is_outcome`.

    MODIFIED          at once: what is scheduled or armed, and the time at which any order ends
    MODIFY_REQUESTED  what is with venues; MODIFIED, MODIFY_REJECTED or the order's end follows
    MODIFY_DENIED     and the order is what it was

Rules:

* an order that is with venues is PENDING_MODIFY until every child of it is back; then what is left goes out anew. What the change needs more
  is reserved when it is asked for, so that it cannot fail for money later;
* a fill that crosses the change counts, by the old terms: it was first at the venue. A new total at or below what is filled in the end
  ends the order as FILLED with what it has; one above the old total keeps the order open when the old total is filled on the way;
* when every venue refuses to give its child back, the change is given up and the order is what it was;
* when a venue gave a child back without saying what it filled, routing the rest could buy it twice: the order ends;
* while only sales are taken, and while trading is halted, an order may be asked to be less: smaller, at a price no more aggressive, a stop
  that is reached no sooner;
* once its children are back, a change waits for the end of a halt with nothing at a venue. Where another rule has come to stand
  against it meanwhile, the order ends, unless only sales are taken and it was to be less;
* a cancel that comes meanwhile wins; a second change has to wait for the first;
* what takes at once (IOC, FOK, market) cannot be changed once it is out.
"""

from __future__ import annotations

from schemas.moments import holds
from schemas.records import Algo, Change, EventKind, ModifyOrder, OrderRecord, OrderState, RouteCancel, Side
from streams.domain import limits, risk
from streams.domain.commands import (
    ALREADY_CLOSED,
    again,
    cancel_children,
    judged,
    needs,
    no_order,
    start,
    time_over,
)
from streams.domain.decision import EXPIRY, SLICE, START, Step, replace
from streams.domain.leftovers import due_quantity
from streams.domain.money import MAX
from streams.domain.orders import CLOSED, On, in_flight, parent, uncounted
from streams.domain.risk import RESTING, STOPS, UNPRICED, Denial

CANCEL_PENDING = "CANCEL_PENDING"
MODIFY_PENDING = "MODIFY_PENDING"
NOT_MODIFIABLE = "NOT_MODIFIABLE"
NO_CHANGE = "NO_CHANGE"
NOT_COUNTED = "NOT_COUNTED"
CHANGED = "CHANGED"

_HALTS = (limits.REDUCING, limits.HALTED)  # they do not stand against asking for less
_WAITING = (OrderState.SCHEDULED, OrderState.ARMED)
_PENDING = {OrderState.PENDING_CANCEL: CANCEL_PENDING, OrderState.PENDING_MODIFY: MODIFY_PENDING}


def modify(step: Step, command: ModifyOrder) -> None:
    """Change an order, or say why not."""
    order = step.order
    if order is None:
        no_order(step, EventKind.MODIFY_DENIED, command.client_order_id)
        return
    denial = limits.counted(step, limits.standing(step), modify=True) or _modify(step, order, command)
    if denial is not None:
        step.tell(EventKind.MODIFY_DENIED, denial.code, denial.reason, outcome=True)


def _modify(step: Step, order: OrderRecord, command: ModifyOrder) -> Denial | None:
    if order.state in CLOSED:
        return Denial(ALREADY_CLOSED, f"the order is {order.state}")
    if order.state in _PENDING:
        return Denial(_PENDING[order.state], f"the order is {order.state}")
    wanted = _wanted(step, order, command)
    if isinstance(wanted, Denial):
        return wanted
    if order.state is OrderState.SCHEDULED:
        step.order = wanted
        _times(step, order)
        step.tell(EventKind.MODIFIED, outcome=True)
        if wanted.scheduled_at is not None and wanted.scheduled_at <= step.cause.now:
            start(step)
        return None
    terms_stay = (wanted.quantity, wanted.price, wanted.stop_price) == (order.quantity, order.price, order.stop_price)
    if terms_stay:
        step.order = wanted
        _times(step, order)
        step.tell(EventKind.MODIFIED, outcome=True)
        return None
    return _rearm(step, order, wanted) if order.state is OrderState.ARMED else _recall(step, order, wanted)


def _wanted(step: Step, order: OrderRecord, c: ModifyOrder) -> OrderRecord | Denial:
    """The order as it is to be, or what is wrong with that."""
    amounts = (c.quantity, c.price, c.stop_price)
    if amounts == (None, None, None) and c.scheduled_at is None and c.expires_at is None:
        return Denial(NO_CHANGE, "the command changes nothing")
    if c.quantity is not None and not 0 < c.quantity < MAX:
        return Denial(risk.INVALID_QUANTITY, "the quantity must be positive and fit a decimal(20,8)")
    if any(p is not None and not 0 < p < MAX for p in (c.price, c.stop_price)):
        return Denial(risk.INVALID_PRICE, "a price must be positive and fit a decimal(20,8)")
    if c.price is not None and order.order_type in UNPRICED:
        return Denial(risk.INVALID_PRICE, "a market order has no price")
    if c.stop_price is not None and (order.order_type not in STOPS or order.state not in _WAITING):
        return Denial(risk.INVALID_PRICE, "there is no stop waiting")
    if c.quantity is not None and order.quote_amount is not None:
        return Denial(NOT_MODIFIABLE, "the order has an amount in place of a quantity")
    if not holds(c.scheduled_at) or not holds(c.expires_at):
        return Denial(risk.INVALID_TIME, risk.NO_TIME)
    if c.scheduled_at is not None and order.state is not OrderState.SCHEDULED:
        return Denial(risk.INVALID_TIME, "the order has started")
    if c.expires_at is not None and (order.expires_at is None or c.expires_at <= step.cause.now):
        return Denial(risk.INVALID_TIME, "the order is not good till a date, or that date is over")
    takes = order.time_in_force not in RESTING or order.order_type in UNPRICED
    if order.state not in _WAITING and takes:
        return Denial(NOT_MODIFIABLE, "what takes at once cannot be changed")
    if order.algo is Algo.ICEBERG and c.quantity is not None and c.quantity < (order.visible or 0):
        return Denial(risk.INVALID_SLICES, "an iceberg shows a part of its quantity")
    if order.algo is Algo.ICEBERG and c.quantity is not None and c.quantity > order.quantity:
        more = -(-(c.quantity - order.filled) // (order.visible or 1))
        if too_many := risk.parted(len(order.children) + more):
            return too_many
    if too_many := risk.parted(len(order.children) + 1):
        return too_many
    return replace(
        order,
        quantity=order.quantity if c.quantity is None else c.quantity,
        price=order.price if c.price is None else c.price,
        stop_price=order.stop_price if c.stop_price is None else c.stop_price,
        scheduled_at=order.scheduled_at if c.scheduled_at is None else c.scheduled_at,
        expires_at=order.expires_at if c.expires_at is None else c.expires_at,
        expiring=order.expiring if c.expires_at is None else None,
    )


def _times(step: Step, before: OrderRecord) -> None:
    order = step.the_order()
    if order.scheduled_at != before.scheduled_at:
        step.wake(START, order.scheduled_at)
    if order.expires_at != before.expires_at:
        step.wake(EXPIRY, order.expires_at)


def _rearm(step: Step, order: OrderRecord, wanted: OrderRecord) -> Denial | None:
    """The router forgets the stop and gets the new one."""
    of = limits.standing(step)
    verdict = judged(step, of, wanted, _HALTS if _less(order, wanted) else ())
    if isinstance(verdict, Denial):
        return verdict
    step.funds.unlock(order.locked_asset, order.locked)
    if not step.funds.lock(verdict.asset, verdict.amount):
        step.funds.lock(order.locked_asset, order.locked)
        return Denial(risk.INSUFFICIENT_FUNDS, "what the change needs is not available")
    limits.count(step, of, wanted, verdict)
    step.order = replace(wanted, protection=verdict.protection, fee_rate=verdict.fee_rate, locked=verdict.amount)
    _times(step, order)
    step.tell(EventKind.MODIFIED, outcome=True)
    at = step.cause.now
    step.routes.append(RouteCancel(order_id=order.order_id, account_id=order.account_id, symbol=order.symbol, at=at))
    again(step)
    return None


def _recall(step: Step, order: OrderRecord, wanted: OrderRecord) -> Denial | None:
    """The children are called back; the rest waits for them."""
    change = Change(
        quantity=wanted.quantity,
        price=wanted.price,
        protection=order.protection,
        fee_rate=order.fee_rate,
        expires_at=wanted.expires_at,
        less=_less(order, wanted) or None,
    )
    order = replace(order, expiring=wanted.expiring)
    extra = 0
    if wanted.quantity > order.filled:
        of = limits.standing(step)
        verdict = judged(step, of, wanted, _HALTS if change.less else ())
        if isinstance(verdict, Denial):
            return verdict
        change = replace(change, protection=verdict.protection, fee_rate=verdict.fee_rate)
        extra = max(0, needs(order, change) - order.locked)
        if not step.funds.lock(order.locked_asset, extra):
            return Denial(risk.INSUFFICIENT_FUNDS, "what the change needs is not available")
        limits.count(step, of, wanted, verdict)
    state = parent(order.state, On.MODIFY)
    step.order = replace(order, state=state, change=change, locked=order.locked + extra)
    if change.expires_at != order.expires_at:
        step.wake(EXPIRY, change.expires_at)
    cancel_children(step)
    step.tell(EventKind.MODIFY_REQUESTED, outcome=True)
    if order.planned and not any(in_flight(c) for c in order.children):
        apply(step)
    return None


def _less(order: OrderRecord, wanted: OrderRecord) -> bool:
    """Whether a change takes something away, and adds nothing: no quantity, no price that is more aggressive, no stop that is reached sooner."""
    sign = 1 if order.side is Side.BUY else -1
    sooner = sign * (wanted.stop_price or 0) < sign * (order.stop_price or 0)
    return not sooner and wanted.quantity <= order.quantity and sign * (wanted.price or 0) <= sign * (order.price or 0)


def apply(step: Step) -> None:
    """No child is out any more: the order becomes what it was asked to be, and what is left goes out."""
    order = step.the_order()
    change = order.change
    assert change is not None and order.state is OrderState.PENDING_MODIFY
    if any(uncounted(c) for c in order.children):
        step.close(On.END_CANCELLED, NOT_COUNTED)
        step.tell(EventKind.CLOSED, NOT_COUNTED, "a venue did not say what it filled; the rest must not go out twice")
        return
    if change.quantity <= order.filled:
        step.order = replace(order, quantity=order.filled)
        step.close(On.FILL_ALL, CHANGED)
        step.tell(EventKind.CLOSED, CHANGED, "all of the new quantity is filled")
        return
    if change.expires_at is not None and change.expires_at <= step.cause.now:
        time_over(step)
        return
    denial = limits.stands(step, order)
    if denial is not None and denial.code == limits.HALTED:
        step.hold()
        if not order.halted:
            step.tell(EventKind.WAITING, denial.code, denial.reason)
        return
    if denial is not None and not (change.less and denial.code == limits.REDUCING):
        step.close(On.END_CANCELLED, denial.code)
        step.tell(EventKind.CLOSED, denial.code, denial.reason)
        return
    needed = needs(order, change)
    missing = needed - order.locked
    if missing > 0 and not step.funds.lock(order.locked_asset, missing):
        step.close(On.END_CANCELLED, risk.INSUFFICIENT_FUNDS)
        step.tell(EventKind.CLOSED, risk.INSUFFICIENT_FUNDS, "what came back does not pay for the change")
        return
    if missing < 0:
        step.funds.unlock(order.locked_asset, -missing)
    step.order = order = replace(
        order,
        state=parent(order.state, On.BACK_TO_PARTIAL if order.filled else On.BACK_TO_ROUTING),
        quantity=change.quantity,
        price=change.price,
        protection=change.protection,
        fee_rate=change.fee_rate,
        expires_at=change.expires_at,
        locked=needed,
        close_reason="",
        settled=len(order.children),
        retries=None,
        looking_since=None,
        change=None,
        halted=None,
    )
    if change.expires_at is not None:
        step.wake(EXPIRY, change.expires_at)
    step.tell(EventKind.MODIFIED)
    order = step.the_order()
    if order.algo is Algo.ICEBERG:
        step.order = order = replace(order, released=min(order.quantity, order.filled + (order.visible or 0)))
    if order.algo is Algo.TWAP:
        step.wake(SLICE, step.cause.now)  # what was released goes out anew, also when the last slice was
    elif due_quantity(order) > 0:
        again(step)
