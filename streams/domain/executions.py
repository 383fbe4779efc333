"""What comes back about an order: the router's plan, its word that a stop was triggered, and the venues' execution reports.

Rules:

* a plan answers the order's last route request, once; its children are recorded before anything can be reported about them;
* a fill is applied once, by the venue's trade id within its child (a venue gives both sides of a trade one id, so a trade with
  oneself has two children); it pays from the order's reservation;
* a child ends when the venue says so *and* all fills that the venue counts have come; then only is its order looked at;
* a trigger counts for the stop as it is armed now: one for what was changed or cancelled meanwhile comes too late and does nothing;
* what happens once nothing of an order is with a venue is `progress`;
* an UNKNOWN child keeps its order open and its money locked until the venue says what became of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from schemas.records import (
    Algo,
    ChildState,
    EventKind,
    ExecutionKind,
    ExecutionReport,
    Fill,
    OrderRecord,
    OrderState,
    PlannedChild,
    RoutePlan,
    RouteStatus,
    RouteStatusKind,
    Side,
)
from streams.domain import limits
from streams.domain.commands import again, cancel_children, stopped_by, surplus
from streams.domain.decision import EXPIRY, SLICE, Impossible, Step, replace
from streams.domain.events import fill_id
from streams.domain.ledger import AmountOutOfRange, settle
from streams.domain.leftovers import due_quantity, stranded
from streams.domain.money import MAX, assets_of, notional
from streams.domain.orders import CHILD_ON, CLOSED, ChildOn, IllegalTransition, On, child, is_open, parent, uncounted
from streams.domain.progress import buys_more, end_if_done, resume, triggered
from streams.domain.risk import show

# Why quantity stayed unfilled, where nobody gave a better code.
NO_VENUE = "NO_VENUE"
VENUE_CANCELLED = "VENUE_CANCELLED"
ASK_AGAIN_US = 1_000_000
VENUE_EXPIRED = "VENUE_EXPIRED"
CALLED_BACK = "CALLED_BACK"
VENUE_REJECTED = "VENUE_REJECTED"

_ENDED = {
    ExecutionKind.CANCELLED: VENUE_CANCELLED,
    ExecutionKind.EXPIRED: VENUE_EXPIRED,
    ExecutionKind.REJECTED: VENUE_REJECTED,
    ExecutionKind.NOT_SENT: VENUE_REJECTED,
}


def planned(step: Step, plan: RoutePlan) -> None:
    """The router's decision: the children are on their way to the venues."""
    order = step.the_order()
    state = parent(order.state, On.PLAN)
    if order.planned or plan.attempt != order.attempt:
        raise Impossible("UNEXPECTED_PLAN", f"attempt {plan.attempt}: the order waits for none or another")
    wrong = _mismatch(order, plan)
    if wrong:
        raise Impossible("PLAN_MISMATCH", wrong)
    unplaced = (plan.reason or NO_VENUE) if plan.unrouted else ""
    # What the market was when the order was first planned: not by its attempt, which a stop, or one that waited, has used up before.
    mid = plan.arrival_mid if order.arrival_mid is None else order.arrival_mid
    single = order.best_single_price
    if single is None and not order.children and plan.children:
        single = plan.best_single_price
    step.order = replace(
        order,
        state=state,
        children=(*order.children, *[_child(c) for c in plan.children]),
        planned=True,
        unrouted=plan.unrouted,
        arrival_mid=mid,
        best_single_price=single,
        close_reason=order.close_reason if state in CLOSED else unplaced,
    )
    step.tell(EventKind.ROUTED, unplaced)
    if state in CLOSED or state in (OrderState.PENDING_CANCEL, OrderState.PENDING_MODIFY):
        cancel_children(step)
    end_if_done(step, planned=True)


def held(step: Step, status: RouteStatus) -> None:
    """The router's word about an order that it holds: a stop, or one that waits for a venue."""
    order = step.the_order()
    if status.kind is RouteStatusKind.RESUMED:
        if status.attempt == order.attempt and stranded(order) and order.algo is not Algo.TWAP:
            resume(step)
        return
    current = order.state is OrderState.ARMED and status.attempt == order.attempt
    if not current or status.kind is not RouteStatusKind.TRIGGERED:
        return
    step.order = replace(order, state=parent(order.state, On.TRIGGER))
    price = f"{order.symbol} was traded at {show(status.price)}" if status.price is not None else ""
    denial = limits.stands(step, order)
    if denial is not None and denial.code == limits.HALTED:
        step.hold()
        step.tell(EventKind.TRIGGERED, denial.code, f"{price}; {denial.reason}, it waits" if price else denial.reason)
        return
    step.tell(EventKind.TRIGGERED, status.reason, price)
    triggered(step, denial)


def _child(c: PlannedChild) -> ChildState:
    return ChildState(
        child_id=c.child_id,
        venue=c.venue,
        state=OrderState.ROUTING,
        quantity=c.quantity,
        price=c.price,
        filled=0,
        trades=(),
        cancel_sent=False,
    )


def _mismatch(order: OrderRecord, plan: RoutePlan) -> str:
    """What a plan has that its order does not allow, or empty."""
    ids = {c.child_id for c in order.children} | {c.child_id for c in plan.children}
    quantities = [c.quantity for c in plan.children]
    sign = 1 if order.side is Side.BUY else -1
    if plan.symbol != order.symbol:
        return f"the order is of {order.symbol}, the plan of {plan.symbol}"
    if len(ids) != len(order.children) + len(plan.children):
        return "a child id is used twice"
    if plan.unrouted < 0 or min(quantities, default=1) <= 0:
        return "a quantity is not positive"
    total = sum(quantities) + plan.unrouted
    asked = order.quantity - order.filled if order.asked is None else order.asked
    if total != asked:
        return f"the plan is about {total}, the order about {asked}"
    if plan.children and max([sign * c.price for c in plan.children]) > sign * order.protection:
        return f"a child goes beyond the protection price {order.protection}"
    return ""


def reported(step: Step, report: ExecutionReport) -> None:
    """A venue's word about a child."""
    order = step.the_order()
    at = next((i for i, c in enumerate(order.children) if c.child_id == report.child_id), None)
    if at is None:
        raise Impossible("UNKNOWN_CHILD", f"order {order.order_id} has no child {report.child_id}")
    one = order.children[at]
    if (report.venue, report.symbol) != (one.venue, order.symbol):
        raise Impossible("REPORT_MISMATCH", f"child {one.child_id} is {order.symbol} at {one.venue}")
    _BY_KIND[report.kind](step, at, one, report)


def _put(step: Step, at: int, one: ChildState) -> OrderRecord:
    order = step.the_order()
    step.order = order = replace(order, children=(*order.children[:at], one, *order.children[at + 1 :]))
    return order


def _accepted(step: Step, at: int, one: ChildState, report: ExecutionReport) -> None:
    state = child(one.state, ChildOn.ACCEPTED)
    if state is one.state:
        return
    one = replace(one, state=state)
    order = _put(step, at, one)
    step.order = replace(order, state=parent(order.state, On.WORK))
    step.tell(EventKind.WORKING, child=one)


def _unknown(step: Step, at: int, one: ChildState, report: ExecutionReport) -> None:
    state = child(one.state, ChildOn.UNKNOWN)
    if state is one.state:
        return
    one = replace(one, state=state)
    _put(step, at, one)
    step.tell(EventKind.CHILD_UNKNOWN, report.reason_code, report.reason, child=one)


def _filled(step: Step, at: int, one: ChildState, report: ExecutionReport) -> None:
    trade_id, price, quantity = report.trade_id, report.price, report.quantity
    if not trade_id or price is None or quantity is None or not 0 < price < MAX or not 0 < quantity < MAX:
        raise Impossible("MALFORMED_REPORT", "a fill has a trade id, a positive price and a positive quantity")
    if trade_id in one.trades:
        return
    if one.state is OrderState.REJECTED and not is_open(one):
        raise IllegalTransition("child", one.state, ChildOn.FILL)
    order = step.the_order()
    filled, total = one.filled + quantity, order.filled + quantity
    if order.change is not None and total == order.quantity < order.change.quantity:
        # the old total is filled on the way to a greater one: the order lives on
        step.order = order = replace(order, quantity=order.change.quantity)
    if filled > one.quantity or total > order.quantity:
        raise Impossible("OVERFILL", f"{filled} of {one.quantity} at {one.venue}, {total} of {order.quantity} in all")
    fee, fee_asset = report.fee or 0, report.fee_asset or (assets_of(order.symbol) or ("", ""))[1]
    one = replace(
        one,
        state=child(one.state, ChildOn.FILL_ALL if filled == one.quantity else ChildOn.FILL),
        filled=filled,
        trades=(*one.trades, trade_id),
    )
    left = settle(step.funds, order, price, quantity, fee, fee_asset)
    if order.quote_amount is not None and total == order.quantity and (more := buys_more(step, order, left)):
        step.order = order = replace(order, quantity=total + more)
    state = parent(order.state, On.FILL_ALL if total == order.quantity else On.FILL)
    _put(step, at, one)
    worth = order.filled_quote + notional(price, quantity)
    if worth >= MAX:
        raise AmountOutOfRange(f"fills worth {worth}")
    step.order = order = replace(step.the_order(), filled=total, filled_quote=worth, locked=left)
    given_up = False
    if state is OrderState.FILLED:
        step.close(On.FILL_ALL, "")
    else:
        step.order = replace(order, state=state)
        given_up = _back_if_refused(step)
    step.tell(EventKind.FILL, child=one, trade_id=trade_id)
    step.fill(
        Fill(
            fill_id=fill_id(report.venue, report.symbol, trade_id),
            account_id=order.account_id,
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            child_id=one.child_id,
            venue=report.venue,
            symbol=report.symbol,
            side=order.side,
            price=price,
            quantity=quantity,
            fee=fee,
            fee_asset=fee_asset,
            liquidity=report.liquidity,
            arrival_mid=order.arrival_mid,
            best_single_price=order.best_single_price,
            venue_at=report.at if report.venue_at is None else report.venue_at,
            at=step.cause.now,
        )
    )
    if given_up:
        step.tell(EventKind.MODIFY_REJECTED)
    _back_out(step, given_up)
    end_if_done(step)


def _ended(step: Step, at: int, one: ChildState, report: ExecutionReport) -> None:
    state = child(one.state, CHILD_ON[report.kind])
    if one.state in CLOSED:
        return
    # that we asked for it is no reason: what had us ask will give one
    asked = one.cancel_sent and report.kind is ExecutionKind.CANCELLED
    code = report.reason_code or ("" if asked else _ENDED[report.kind])
    one = replace(one, state=state, expected=report.cumulative_quantity, cancel_sent=False)
    order = _put(step, at, one)
    # A refusal says more than that the rest expired, and so does what the plan said of it.
    telling = order.state not in CLOSED and (state is OrderState.REJECTED or not order.close_reason)
    why = code or (stopped_by(order) if order.state is OrderState.PENDING_CANCEL else CALLED_BACK)
    step.order = replace(order, close_reason=why if telling else order.close_reason)
    given_up = _back_if_refused(step)
    step.tell(EventKind.CHILD_CLOSED, code, report.reason, child=one)
    if given_up:
        step.tell(EventKind.MODIFY_REJECTED)
    _back_out(step, given_up)
    end_if_done(step)


def _cancel_rejected(step: Step, at: int, one: ChildState, report: ExecutionReport) -> None:
    child(one.state, ChildOn.CANCEL_REJECTED)
    if not one.cancel_sent or one.state in CLOSED:
        return
    one = replace(one, cancel_sent=False)
    _put(step, at, one)
    given_up = _back_if_refused(step)
    step.tell(EventKind.CANCEL_REJECTED, report.reason_code, report.reason, child=one)
    if given_up:
        step.tell(EventKind.MODIFY_REJECTED, report.reason_code, report.reason)
    _back_out(step, given_up)
    end_if_done(step)


_BY_KIND: Mapping[ExecutionKind, Callable[[Step, int, ChildState, ExecutionReport], None]] = {
    ExecutionKind.ACCEPTED: _accepted,
    ExecutionKind.UNKNOWN: _unknown,
    ExecutionKind.FILL: _filled,
    ExecutionKind.REJECTED: _ended,
    ExecutionKind.NOT_SENT: _ended,
    ExecutionKind.CANCELLED: _ended,
    ExecutionKind.EXPIRED: _ended,
    ExecutionKind.CANCEL_REJECTED: _cancel_rejected,
}


def _back_out(step: Step, given_up: bool) -> None:
    """What venues gave back for a change that others refused goes out again by the old terms, after a halt if there is one.

    So does what waited for a venue: the router may have said meanwhile that there is one.
    """
    order = step.the_order()
    if not given_up or order.algo is Algo.TWAP or order.expiring:
        return
    counted = not any(uncounted(c) for c in order.children)
    if not stranded(order) and not (counted and due_quantity(order) > order.unrouted):
        return
    denial = limits.stands(step, order)
    if denial is None:
        again(step)
    elif denial.code == limits.HALTED:
        step.order = replace(order, unrouted=due_quantity(order), close_reason=denial.code)
        step.hold()
        step.tell(EventKind.WAITING, denial.code, denial.reason)
    elif stranded(order):
        step.order = replace(order, close_reason=denial.code)  # it waits for nothing any more


def _back_if_refused(step: Step) -> bool:
    """A cancel that no venue is considering any more, while children live: the order is again what it was. Whether it was to be changed."""
    order = step.the_order()
    live = [c for c in order.children if c.state not in CLOSED]
    pending = order.state in (OrderState.PENDING_CANCEL, OrderState.PENDING_MODIFY)
    if not pending or not order.planned or not live or any(c.cancel_sent for c in live):
        return False
    if order.filled:
        on = On.BACK_TO_PARTIAL
    elif any(c.state is OrderState.WORKING for c in live):
        on = On.BACK_TO_WORKING
    else:
        on = On.BACK_TO_ROUTING
    changing = order.state is OrderState.PENDING_MODIFY
    step.order = replace(order, state=parent(order.state, on), swept=None)
    surplus(step)
    if order.expiring:
        step.wake(EXPIRY, step.cause.now + ASK_AGAIN_US)
    elif order.expires_at is not None:
        step.wake(EXPIRY, order.expires_at)  # which may have come while it was to have another end
    if order.algo is Algo.TWAP and order.retries is None:
        step.wake(SLICE, step.cause.now)  # one that was due meanwhile was not released
    return changing
