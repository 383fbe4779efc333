"""What time does to an order: it starts, releases its next slice, or is over. The timers are durable and fire once.

Rules:

* a timer is about the order as it is when it fires: one that comes too early for it, or too late, does nothing;
* a TWAP of n slices over a window has released k/n of its quantity, in whole lots, once (k-1)/n of the window is over. What a slice could not
  get is asked for again with the next one; nothing is asked for that may still be filled. A late timer catches up;
* an iceberg shows one slice at a time, the next one when the last is filled;
* an order whose time is over is cancelled like by its client and ends as EXPIRED; where a venue refuses, it is asked again a second later.
"""

from __future__ import annotations

from schemas.records import Algo, EventKind, OrderRecord, OrderState
from streams.domain.commands import TIME_EXPIRED, again, due_quantity, route, start, stop
from streams.domain.decision import EXPIRY, SLICE, START, Step, replace
from streams.domain.orders import CLOSED, On, in_flight
from streams.domain.risk import Denial, show

SOON = 100_000  # until a slice is tried again whose predecessor's plan is not here yet
WINDOW_OVER = "WINDOW_OVER"
_OUT = (OrderState.ROUTING, OrderState.WORKING, OrderState.PARTIALLY_FILLED)


def fired(step: Step, what: str) -> None:
    """One of the order's timers is due."""
    order = step.order
    if order is None or order.state in CLOSED:
        return
    if what == START:
        if order.state is OrderState.SCHEDULED:
            start(step)
    elif what == EXPIRY:
        _over(step, order)
    elif what == SLICE:
        _slice(step, order)


def _over(step: Step, order: OrderRecord) -> None:
    if order.expires_at is None or order.expires_at > step.cause.now:
        return
    step.order = replace(order, expiring=True)
    stop(step, EventKind.EXPIRING, code=TIME_EXPIRED)


def _slice(step: Step, order: OrderRecord) -> None:
    if order.state is OrderState.PENDING_CANCEL:
        return
    if order.state not in _OUT or not order.planned:
        step.wake(SLICE, step.cause.now + SOON)
        return
    if order.algo is Algo.TWAP:
        _twap(step, order)
    else:
        _iceberg(step, order)


def _twap(step: Step, order: OrderRecord) -> None:
    slices, window, began = order.slices or 1, order.window_us or 1, order.started_at or 0
    k = min(slices, 1 + (step.cause.now - began) * slices // window)
    last = k == slices
    released = order.quantity
    if not last:
        released = order.quantity * k // slices
        terms = step.world.terms(order.symbol)
        released -= released % (1 if isinstance(terms, Denial) else terms.lot)
        step.wake(SLICE, began + -(-window * k // slices))
    step.order = order = replace(order, released=released, retries=0 if last else None)
    asked = due_quantity(order)
    if asked > 0:
        step.tell(EventKind.RELEASED, "", f"slice {k} of {slices}: {show(asked)}")
        route(step) if order.asked is None else again(step)
    elif last:
        step.tell(EventKind.RELEASED, "", "the window is over; nothing more is asked for")
        if not any(in_flight(c) for c in order.children):
            step.close(On.END_EXPIRED, WINDOW_OVER)
            step.tell(EventKind.CLOSED, WINDOW_OVER)


def _iceberg(step: Step, order: OrderRecord) -> None:
    released = min(order.quantity, order.filled + (order.visible or order.quantity))
    step.order = order = replace(order, released=released)
    asked = due_quantity(order)
    if asked > 0:
        step.tell(EventKind.RELEASED, "", f"{show(asked)} of {show(order.quantity - order.filled)} shows")
        again(step)
