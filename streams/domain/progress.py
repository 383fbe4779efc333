"""How an order goes on when nothing of it, or no longer all, is with a venue: another round, another venue, a wait, or its end.

Rules:

* what one child could not get goes out again though other children live: a resting one may live for days;
* one that is being changed goes out anew, one that is being cancelled ends; a bulk order does not end while more of it is to be released;
* what is left of the others is routed again, waits, or ends as `leftovers` says. A trader hears when an order begins to wait for a venue
  (WAITING), and when it goes on (REROUTED);
* while trading is halted nothing goes out that was not out: a stop that is triggered, and what a venue left, wait until trading goes on, and can
  be cancelled meanwhile. Any other rule that has come to stand against the order (only sales, sanctions) ends it;
* of an order whose time is over nothing goes out any more: what venues have of it is its last;
* the order ends FILLED, CANCELLED when its client wanted that, REJECTED when every venue refused all of it, else EXPIRED or CANCELLED
  as the venues said; what is still locked is given back to the last unit.
"""

from __future__ import annotations

from schemas.records import Algo, EventKind, OrderRecord, OrderState, TimeInForce
from streams.domain import amounts, changes, limits
from streams.domain.commands import again, end_stopped, recall, time_over
from streams.domain.decision import LOOK, SLICE, Step, replace
from streams.domain.leftovers import ATTEMPTS, due_quantity, ending, next_step, stranded, waiting
from streams.domain.orders import CLOSED, On, is_open, uncounted
from streams.domain.risk import QUANTITY_TOO_SMALL, RESTING, Denial, show

_OUT = (OrderState.ROUTING, OrderState.WORKING, OrderState.PARTIALLY_FILLED)


def end_if_done(step: Step, planned: bool = False) -> None:
    """When nothing of an order is with a venue any more, it goes on, goes out again, or ends. `planned`: by a plan that came just now."""
    order = step.the_order()
    if order.state in CLOSED or not order.planned:
        return
    if any(is_open(c) for c in order.children):
        _beside(step, order, planned)
    elif order.state is OrderState.PENDING_MODIFY:
        changes.apply(step)
    elif order.state is OrderState.PENDING_CANCEL:
        end_stopped(step)
    elif _late(step, order):
        if waiting(order):
            recall(step)
        time_over(step)
    elif order.algo is Algo.TWAP and order.retries is None:
        return  # its timer goes on with it
    elif order.close_reason == limits.HALTED and waiting(order) and order.algo is not Algo.TWAP:
        _held_back(step, planned)
    elif order.algo is Algo.ICEBERG and order.filled >= (order.released or 0):
        step.wake(SLICE, step.cause.now)
    elif order.quote_amount is None or waiting(order) or not _spent_on(step, order):
        _rest(step, planned)


def _late(step: Step, order: OrderRecord) -> bool:
    """Whether an order's time is over: nothing more of it may go out, whether its timer has said so or not."""
    return bool(order.expiring) or (order.expires_at is not None and order.expires_at <= step.cause.now)


def _beside(step: Step, order: OrderRecord, planned: bool) -> None:
    """What one child missed goes out again while others live. Of an order for an amount that waits for them: its rounds are whole."""
    if order.state not in _OUT or order.halted or order.quote_amount is not None or _late(step, order):
        return
    if order.algo is Algo.TWAP:
        return  # its slices are its attempts, also after a halt
    if order.close_reason == limits.HALTED and stranded(order):
        _held_back(step, planned)
        return
    if due_quantity(order) <= order.unrouted:
        return  # nothing was missed
    now = step.cause.now
    if next_step(order, now, step.world.settings).again and _may(step, order):
        since = now if order.looking_since is None else order.looking_since
        step.order = replace(order, retries=(order.retries or 0) + 1, looking_since=since)
        again(step)


def _rest(step: Step, planned: bool) -> None:
    """Quantity is left that no child has."""
    order, now = step.the_order(), step.cause.now
    then = next_step(order, now, step.world.settings)
    since = now if order.looking_since is None else order.looking_since
    if then.again and _may(step, order):
        step.order = replace(order, retries=(order.retries or 0) + 1, looking_since=since)
        again(step)
    elif then.waits:
        step.order = replace(order, looking_since=since)
        if then.due is not None:
            step.wake(LOOK, then.due)
        if planned and waiting(order):
            step.tell(EventKind.WAITING, order.close_reason, "no venue can be routed to: the order waits")
    elif not step.the_order().halted:
        _end(step)


def _held_back(step: Step, planned: bool) -> None:
    """The router knew of a halt and planned nothing: the order waits for its end, and has all its time then."""
    step.order = replace(step.the_order(), looking_since=None)
    step.hold()
    if planned:
        step.tell(EventKind.WAITING, limits.HALTED, "trading is halted: the order waits")


def _may(step: Step, order: OrderRecord) -> bool:
    """Whether more of an order may go out. If not because of a halt, the order waits for its end, and has all its time then."""
    denial = limits.stands(step, order)
    if denial is not None and denial.code == limits.HALTED:
        step.order = replace(order, looking_since=None)
        step.hold()
    return denial is None


def _end(step: Step) -> None:
    order = step.the_order()
    if waiting(order):
        recall(step)
    on, code = ending(order)
    step.close(on, code)
    step.tell(EventKind.CLOSED, code)


def look(step: Step) -> None:
    """The time is over for which an order waited for a venue, or for other books."""
    order = step.the_order()
    idle = order.state in _OUT and order.planned and not any(is_open(c) for c in order.children)
    if not idle or order.halted:
        return
    if waiting(order):
        _rest(step, planned=False)
    elif _may(step, order):
        step.order = replace(order, retries=(order.retries or 0) + 1)
        step.tell(EventKind.REROUTED, "", f"{show(due_quantity(order))} is looked for again")
        again(step)
    else:
        _stopped(step, order)


def resume(step: Step) -> None:
    """A venue is back for an order that waits for one."""
    order = step.the_order()
    if _late(step, order):
        end_if_done(step)
    elif _may(step, order):
        step.order = replace(order, looking_since=None if order.time_in_force in RESTING else order.looking_since)
        step.tell(EventKind.REROUTED, "", "a venue can be routed to")
        again(step, anew=True)
    else:
        _stopped(step, order)


def _stopped(step: Step, order: OrderRecord) -> None:
    """What was to go out may not: it waits for the end of the halt, or the order ends, with what venues still have of it if they do."""
    denial = limits.stands(step, order)
    if denial is not None and step.the_order().halted:
        step.tell(EventKind.WAITING, denial.code, denial.reason)
    elif denial is not None and any(is_open(c) for c in order.children):
        _no_more(step, denial)
    else:
        _end(step)


def resumed(step: Step) -> None:
    """An order that waits for the end of a halt looks whether trading goes on."""
    order = step.the_order()
    if not order.halted:
        return
    denial = limits.stands(step, order)
    if denial is not None and denial.code == limits.HALTED:
        step.hold()
        return
    step.order = order = replace(order, halted=None)
    if denial is None:
        step.tell(EventKind.RELEASED, "", "trading goes on")
    if order.state is OrderState.TRIGGERED:
        triggered(step, denial)
    elif order.state in _OUT and _late(step, order):
        end_if_done(step)
    elif stranded(order) and denial is None:
        again(step, anew=True)  # the router has said before that a venue is back
    elif waiting(order) or (denial is not None and _idle(order)):
        _end(step)
    elif denial is not None and any(is_open(c) for c in order.children):
        _no_more(step, denial)
    else:
        end_if_done(step)


def _idle(order: OrderRecord) -> bool:
    """Whether an order has nothing at a venue that was all out: a bulk order's next part may still come."""
    return order.state in _OUT and order.algo is None and not any(is_open(c) for c in order.children)


def _no_more(step: Step, denial: Denial) -> None:
    """What is left may not go out, while venues have a part of the order: it waits for nothing any more, and ends with that part."""
    order = step.the_order()
    step.order = replace(order, close_reason=denial.code if stranded(order) else order.close_reason)
    step.tell(EventKind.RELEASED, denial.code, f"nothing more is asked for: {denial.reason}")


def triggered(step: Step, denial: Denial | None) -> None:
    """A stop goes out, unless something stands against it."""
    if denial is None:
        again(step)
        return
    step.close(On.DENY, denial.code)
    step.tell(EventKind.CLOSED, denial.code, denial.reason)


# ---- orders for an amount


def buys_more(step: Step, order: OrderRecord, left: int) -> int:
    """How much more an order for an amount buys once all that it asked for is filled."""
    if order.state not in _OUT:
        return 0
    if order.time_in_force is TimeInForce.FOK or (order.retries or 0) + 1 >= ATTEMPTS:
        return 0
    found = amounts.next_round(step, order, left, wide=False)
    return 0 if isinstance(found, Denial) else found.quantity


def _spent_on(step: Step, order: OrderRecord) -> bool:
    """Another round of an order for an amount, after the halt if there is one, or its end as FILLED; `False` where it ends unfilled."""
    gone = order.unrouted > 0 and order.wide  # the book has no more within the collar
    over = order.time_in_force is TimeInForce.FOK or (order.retries or 0) + 1 >= ATTEMPTS
    if gone or over or any(uncounted(c) for c in order.children):
        return False
    denial = limits.stands(step, order)
    if denial is not None:
        if denial.code == limits.HALTED:
            step.hold()
        return denial.code == limits.HALTED
    found = amounts.next_round(step, order, order.locked, wide=amounts.missed(order))
    if isinstance(found, Denial):
        if found.code != QUANTITY_TOO_SMALL or not order.filled:
            return False
        step.order = replace(order, quantity=order.filled)
        step.close(On.FILL_ALL, amounts.AMOUNT_SPENT)
        step.tell(EventKind.CLOSED, amounts.AMOUNT_SPENT, found.reason)
        return True
    step.order = replace(
        order,
        quantity=order.filled + found.quantity,
        protection=found.protection,
        wide=found.wide,
        retries=(order.retries or 0) + 1,
        settled=len(order.children),
    )
    step.tell(EventKind.RELEASED, "", f"{show(found.quantity)} for what is left of the amount, {show(order.locked)}")
    again(step)
    return True
