"""What time does to an order: it starts, releases its next slice, or is over. The timers are durable and fire once.

Rules:

* a timer is about the order as it is when it fires: one that comes too early for it, or too late, does nothing;
* a TWAP of n slices over a window has released k/n of its quantity, in whole lots, once (k-1)/n of the window is over. What a slice could not
  get is asked for again with the next one; nothing is asked for that may still be filled. A late timer catches up;
* a market TWAP's slices are each protected by the market as it is when they go out, and reserved for anew;
* an iceberg shows one slice at a time, the next one when the last is filled;
* no slice goes out while trading is halted, or another rule has come to stand against the order: a TWAP catches up with its next slice, or ends
  with its window; an iceberg waits;
* an order whose time is over is cancelled like by its client and ends as EXPIRED; where a venue refuses, it is asked again a second later.
  Of one that is being changed, the end that was asked for counts: it was in time.
"""

from __future__ import annotations

from schemas.records import Algo, EventKind, OrderRecord, OrderState, OrderType, Side
from streams.domain.commands import TIME_EXPIRED, again, needs, route, start, stop
from streams.domain.decision import EXPIRY, HALT_POLL_US, LOOK, RESUME, SLICE, START, Step, replace
from streams.domain.leftovers import due_quantity, full
from streams.domain.limits import admitted, standing, stands
from streams.domain.orders import CLOSED, On, in_flight
from streams.domain.progress import look, resumed
from streams.domain.risk import TOO_MANY_PARTS, Denial, priced, show

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
    elif what == RESUME:
        resumed(step)
    elif what == LOOK:
        look(step)


def _over(step: Step, order: OrderRecord) -> None:
    ends = order.expires_at if order.change is None else order.change.expires_at
    if ends is None:
        return
    if ends > step.cause.now:
        step.wake(EXPIRY, ends)  # it was granted more time; or the timer came too early
        return
    step.order = replace(order, expiring=True)
    stop(step, EventKind.EXPIRING, code=TIME_EXPIRED)


def _slice(step: Step, order: OrderRecord) -> None:
    if order.state is OrderState.PENDING_CANCEL:
        return
    if order.state not in _OUT or not order.planned:
        step.wake(SLICE, step.cause.now + (HALT_POLL_US if order.halted else SOON))
        return
    denial = stands(step, order)
    if order.algo is Algo.TWAP:
        if order.order_type is OrderType.MARKET and denial is None:
            denial = _repriced(step, order)
            order = step.the_order()
        _twap(step, order, denial)
    elif order.filled < (order.released or 0):
        return  # it was changed meanwhile, and shows a slice
    elif denial is not None:
        step.wake(SLICE, step.cause.now + HALT_POLL_US)
    elif full(order):
        step.close(On.END_EXPIRED, TOO_MANY_PARTS)
        step.tell(EventKind.CLOSED, TOO_MANY_PARTS)
    else:
        _iceberg(step, order)


def _repriced(step: Step, order: OrderRecord) -> Denial | None:
    """A market TWAP's next slice is protected by the market as it is now; why it cannot be.

    What a buy needs more for that is reserved; where that much is not available, the slice goes by what it was protected by before.
    """
    terms = step.world.terms(order.symbol)
    if isinstance(terms, Denial):
        return terms
    settings = admitted(step, standing(step), order.symbol, order.side, order.order_type)[0]
    found = priced(order, terms, step.world.quote(order.symbol), step.cause.now, settings)
    if isinstance(found, Denial):
        return found
    protection = found[1]
    if any(in_flight(c) for c in order.children):  # what is out may still cost what it was protected by
        protection = (max if order.side is Side.BUY else min)(protection, order.protection)
    if order.side is Side.BUY:
        repriced = replace(order, protection=protection)
        missing = needs(repriced, None) - order.locked
        if missing > 0 and not step.funds.lock(order.locked_asset, missing):
            return None
        if missing < 0:
            step.funds.unlock(order.locked_asset, -missing)
        order = replace(order, locked=order.locked + missing)
    step.order = replace(order, protection=protection)
    return None


def _twap(step: Step, order: OrderRecord, denial: Denial | None) -> None:
    slices, window, began = order.slices or 1, order.window_us or 1, order.started_at or 0
    k = min(slices, 1 + (step.cause.now - began) * slices // window)
    last = k == slices
    released = order.quantity
    if not last:
        released = order.quantity * k // slices
        terms = step.world.terms(order.symbol)
        released -= released % (1 if isinstance(terms, Denial) else terms.lot)
        step.wake(SLICE, began + -(-window * k // slices))
        if denial is not None:
            return
    step.order = order = replace(order, released=released, retries=0 if last else None)
    asked = due_quantity(order) if denial is None else 0
    if asked > 0:
        step.tell(EventKind.RELEASED, "", f"slice {k} of {slices}: {show(asked)}")
        route(step) if order.asked is None else again(step)
    elif last:
        code = WINDOW_OVER if denial is None else denial.code
        step.tell(EventKind.RELEASED, code, "the window is over; nothing more is asked for")
        if not any(in_flight(c) for c in order.children):
            step.close(On.END_EXPIRED, code)
            step.tell(EventKind.CLOSED, code)


def _iceberg(step: Step, order: OrderRecord) -> None:
    released = min(order.quantity, order.filled + (order.visible or order.quantity))
    # each slice has its attempts and its time anew: what earlier ones missed is not counted against it
    step.order = order = replace(
        order, released=released, retries=None, looking_since=None, settled=len(order.children)
    )
    asked = due_quantity(order)
    if asked > 0:
        step.tell(EventKind.RELEASED, "", f"{show(asked)} of {show(order.quantity - order.filled)} shows")
        again(step)
