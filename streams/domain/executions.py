"""What comes back about an order: the router's plan, its word that a stop was triggered, and the venues' execution reports.

Rules:

* a plan answers the order's last route request, once; its children are recorded before anything can be reported about them;
* a fill is applied once, by the venue's trade id within its child (a venue gives both sides of a trade one id, so a trade with
  oneself has two children); it pays from the order's reservation;
* a child ends when the venue says so *and* all fills that the venue counts have come; then only is its order looked at;
* when the market moved away before an immediate child arrived, what it left is routed again, at most `ATTEMPTS` times in all: a market order
  is there to be filled, one that may rest to rest. Not so a limit order that takes what it can now, and not while a venue has not said
  how much it filled: more than was wanted might come back;
* a trigger counts for the stop as it is armed now: one for what was changed or cancelled meanwhile comes too late and does nothing;
* a bulk order does not end while more of it is to be released; one that is being changed goes out anew;
* the order ends when no child is open: FILLED, CANCELLED when its client wanted that, REJECTED when every venue refused all of it,
  else EXPIRED or CANCELLED as the venues said; what is still locked is given back to the last unit;
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
    TimeInForce,
)
from streams.domain import changes, limits
from streams.domain.commands import again, cancel_children, due_quantity, end_stopped, surplus
from streams.domain.decision import EXPIRY, SLICE, Impossible, Step, replace
from streams.domain.events import fill_id
from streams.domain.ledger import AmountOutOfRange, settle
from streams.domain.money import MAX, assets_of, notional
from streams.domain.orders import CHILD_ON, CLOSED, ChildOn, On, child, is_open, parent, uncounted
from streams.domain.risk import UNPRICED, show

# Why quantity stayed unfilled, where nobody gave a better code.
NO_VENUE = "NO_VENUE"
IOC_REMAINDER = "IOC_REMAINDER"
VENUE_CANCELLED = "VENUE_CANCELLED"
ATTEMPTS = 10
ASK_AGAIN_US = 1_000_000
VENUE_EXPIRED = "VENUE_EXPIRED"
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
    first = plan.attempt == 1  # what the market was when the order came
    step.order = replace(
        order,
        state=state,
        children=order.children + tuple(_child(c) for c in plan.children),
        planned=True,
        unrouted=plan.unrouted,
        arrival_mid=plan.arrival_mid if first else order.arrival_mid,
        best_single_price=plan.best_single_price if first else order.best_single_price,
        close_reason=unplaced,
    )
    step.tell(EventKind.ROUTED, unplaced)
    if state in (OrderState.PENDING_CANCEL, OrderState.PENDING_MODIFY):
        cancel_children(step)
    _end_if_done(step)


def held(step: Step, status: RouteStatus) -> None:
    """The router's word about a stop that it holds."""
    order = step.the_order()
    current = order.state is OrderState.ARMED and status.attempt == order.attempt
    if not current or status.kind is not RouteStatusKind.TRIGGERED:
        return
    step.order = replace(order, state=parent(order.state, On.TRIGGER))
    price = f"{order.symbol} was traded at {show(status.price)}" if status.price is not None else ""
    step.tell(EventKind.TRIGGERED, status.reason, price)
    denial = limits.admitted(step, limits.standing(step), order.symbol, order.side, order.order_type)[1]
    if denial is None:
        again(step)
        return
    step.close(On.DENY, denial.code)
    step.tell(EventKind.CLOSED, denial.code, denial.reason)


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
    sign = 1 if order.side is Side.BUY else -1
    if plan.symbol != order.symbol:
        return f"the order is of {order.symbol}, the plan of {plan.symbol}"
    if len(ids) != len(order.children) + len(plan.children):
        return "a child id is used twice"
    if plan.unrouted < 0 or any(c.quantity <= 0 for c in plan.children):
        return "a quantity is not positive"
    total = sum(c.quantity for c in plan.children) + plan.unrouted
    asked = order.quantity - order.filled if order.asked is None else order.asked
    if total != asked:
        return f"the plan is about {total}, the order about {asked}"
    if any(sign * c.price > sign * order.protection for c in plan.children):
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
    state = parent(order.state, On.FILL_ALL if total == order.quantity else On.FILL)
    left = settle(step.funds, order, price, quantity, fee, fee_asset)
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
    _end_if_done(step)


def _ended(step: Step, at: int, one: ChildState, report: ExecutionReport) -> None:
    state = child(one.state, CHILD_ON[report.kind])
    if one.state in CLOSED:
        return
    code = report.reason_code or _ENDED[report.kind]
    one = replace(one, state=state, expected=report.cumulative_quantity, cancel_sent=False)
    order = _put(step, at, one)
    # A refusal says more than that the rest expired, and so does what the plan said of it.
    telling = state is OrderState.REJECTED or not order.close_reason
    step.order = replace(order, close_reason=code if telling else order.close_reason)
    given_up = _back_if_refused(step)
    step.tell(EventKind.CHILD_CLOSED, code, report.reason, child=one)
    if given_up:
        step.tell(EventKind.MODIFY_REJECTED)
    _end_if_done(step)


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
    step.order = replace(order, state=parent(order.state, on))
    surplus(step)
    if order.expiring:
        step.wake(EXPIRY, step.cause.now + ASK_AGAIN_US)
    return changing


def _end_if_done(step: Step) -> None:
    order = step.the_order()
    if order.state in CLOSED or not order.planned or any(is_open(c) for c in order.children):
        return
    if order.state is OrderState.PENDING_MODIFY:
        changes.apply(step)
    elif order.state is OrderState.PENDING_CANCEL:
        end_stopped(step)
    elif order.algo is Algo.TWAP and order.retries is None:
        return  # its timer goes on with it
    elif order.algo is Algo.ICEBERG and order.filled >= (order.released or 0):
        step.wake(SLICE, step.cause.now)
    elif _missed(order):
        step.order = replace(order, retries=(order.retries or 0) + 1)
        again(step)
    else:
        on, code = _ending(order)
        step.close(on, code)
        step.tell(EventKind.CLOSED, code)


def _missed(order: OrderRecord) -> bool:
    """Whether quantity that had a child is left, of an order that is there to be filled or to rest."""
    tif = order.time_in_force
    immediate = tif is TimeInForce.FOK or (tif is TimeInForce.IOC and order.order_type not in UNPRICED)
    if immediate or order.algo is Algo.TWAP or (order.retries or 0) + 1 >= ATTEMPTS:
        return False
    if any(uncounted(c) for c in order.children):
        return False
    # expired: the market had moved on; rejected: the venue refused it or could not be reached, and another may not
    failed = (OrderState.EXPIRED, OrderState.REJECTED)
    missed = any(c.state in failed for c in order.children[order.settled or 0 :])
    return missed and due_quantity(order) > order.unrouted


def _ending(order: OrderRecord) -> tuple[On, str]:
    """How an order ends of which quantity is left and no child is open."""
    states = {c.state for c in order.children[order.settled or 0 :]}
    refused = order.filled == 0 and states <= {OrderState.REJECTED}
    if (
        order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
        or order.algo is Algo.TWAP
        or order.order_type in UNPRICED
    ):
        if refused and states:
            return On.END_REJECTED, order.close_reason
        told = OrderState.REJECTED in states or order.unrouted
        return On.END_EXPIRED, order.close_reason if told else IOC_REMAINDER
    if refused:  # or no venue was there to ask
        return On.END_REJECTED, order.close_reason
    if OrderState.CANCELLED in states:
        return On.END_CANCELLED, order.close_reason
    return On.END_EXPIRED, order.close_reason
