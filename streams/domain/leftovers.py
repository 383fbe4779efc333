"""What becomes of quantity that is left when no child of an order is open: it is routed again, waits, or the order ends.

Rules:

* what a venue refused, or could not be reached for, goes to another venue; what the market had moved away from before a child came is
  routed again as well, save of a limit order that takes what it can now (IOC, FOK);
* not while a venue has not said how much it filled: more than was wanted might come back;
* where no venue can be routed to, an order that may rest waits until the router says that one is back, one that takes at once
  `RiskSettings.wait_us` at most;
* a market order sweeps what is left on a book that has moved on, every `sweep_pause_us` within `sweep_us`, never beyond its protection price;
* all of it at most `ATTEMPTS` times; then a market order's rest is CANCELLED, that of others EXPIRED, with the last cause. An order of which
  every venue refused all is REJECTED.
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.records import Algo, ChildState, OrderRecord, OrderState, TimeInForce
from streams.domain.orders import On, at_risk, is_open, uncounted
from streams.domain.risk import MAX_PARTS, UNPRICED, RiskSettings
from streams.domain.routing import CHILD_LIMIT, HALTED, NO_ELIGIBLE_VENUE, NO_LIQUIDITY

ATTEMPTS = 10
MOST_CHILDREN = 2 * MAX_PARTS
IOC_REMAINDER = "IOC_REMAINDER"  # why quantity stayed unfilled, where nobody gave a better code
_OUT = (OrderState.ROUTING, OrderState.WORKING, OrderState.PARTIALLY_FILLED)
_SWEPT = (NO_LIQUIDITY, CHILD_LIMIT)  # other books may be here soon; a rest that is too small stays too small


class Next(NamedTuple):
    """`again`: it is routed now. `waits`: it stays, until `due` (microseconds) where that is not `None`. Neither: the order ends."""

    again: bool = False
    waits: bool = False
    due: int | None = None


def due_quantity(order: OrderRecord) -> int:
    """What of an order may be routed and neither is filled nor on its way."""
    whole = order.quantity if order.released is None else min(order.released, order.quantity)
    return whole - order.filled - sum([at_risk(c) for c in order.children])


def waiting(order: OrderRecord) -> bool:
    """Whether an order has nothing anywhere because no venue could be routed to (the router then holds its request), or for a halt."""
    return stranded(order) and not any(is_open(c) for c in order.children)


def stranded(order: OrderRecord) -> bool:
    """Whether an order, or what some of its children left, is in no plan because no venue could be routed to, or for a halt."""
    reasons = (NO_ELIGIBLE_VENUE, HALTED)
    return order.close_reason in reasons and order.unrouted > 0 and order.planned and order.state in _OUT


def full(order: OrderRecord) -> bool:
    """Whether an order has had as many children as its record may bear, twice of what it was let in with."""
    return len(order.children) >= MOST_CHILDREN


def next_step(order: OrderRecord, now: int, settings: RiskSettings) -> Next:
    """What to do with the rest of an order that no open child has, at `now` (microseconds)."""
    since = now if order.looking_since is None else order.looking_since
    if order.algo is Algo.TWAP:
        return Next()  # its slices are its attempts
    if waiting(order):
        over = since + settings.wait_us if _takes(order) else None
        return Next(waits=over is None or now < over, due=over)
    if full(order) or (order.retries or 0) + 1 >= ATTEMPTS or any(uncounted(c) for c in order.children):
        return Next()
    sweeps = order.order_type in UNPRICED and order.time_in_force is not TimeInForce.FOK
    if sweeps and now - since >= settings.sweep_us:
        return Next()
    if _missed(order):
        return Next(again=True)
    due = now + settings.sweep_pause_us
    if sweeps and order.unrouted and order.close_reason in _SWEPT and due < since + settings.sweep_us:
        return Next(waits=True, due=due)
    return Next()


def refusers(order: OrderRecord) -> tuple[str, ...]:
    """The venues that refused an order, or could not be reached for it: others come first. Of a bulk order, those of the last plan."""
    of = order.children[order.settled or 0 :] if order.algo is None else _latest(order)
    return tuple(dict.fromkeys([c.venue for c in of if c.state is OrderState.REJECTED]))


def ending(order: OrderRecord) -> tuple[On, str]:
    """How an order ends of which quantity is left and no child is open."""
    states = {c.state for c in order.children[order.settled or 0 :]}
    refused = order.filled == 0 and states <= {OrderState.REJECTED}
    if _takes(order) or order.algo is Algo.TWAP:
        if refused and states:
            return On.END_REJECTED, order.close_reason
        swept = order.order_type in UNPRICED and order.time_in_force is not TimeInForce.FOK
        told = OrderState.REJECTED in states or order.unrouted
        return On.END_CANCELLED if swept else On.END_EXPIRED, order.close_reason if told else IOC_REMAINDER
    if refused:  # or no venue was there to ask
        return On.END_REJECTED, order.close_reason
    if OrderState.CANCELLED in states:
        return On.END_CANCELLED, order.close_reason
    return On.END_EXPIRED, order.close_reason


def _takes(order: OrderRecord) -> bool:
    return order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK) or order.order_type in UNPRICED


def _latest(order: OrderRecord) -> tuple[ChildState, ...]:
    """The children of the last plan, and those that were open when it was asked for: it was not asked for what they left."""
    return order.children[max(order.latest or 0, order.settled or 0) :]


def _missed(order: OrderRecord) -> bool:
    """Whether quantity that had a child of the last plan is left, of an order that still may be filled or rest."""
    tif = order.time_in_force
    immediate = tif is TimeInForce.FOK or (tif is TimeInForce.IOC and order.order_type not in UNPRICED)
    # expired: the market had moved on; rejected: the venue refused it or could not be reached, and another may not
    failed = (OrderState.REJECTED,) if immediate else (OrderState.EXPIRED, OrderState.REJECTED)
    return any(c.state in failed for c in _latest(order)) and due_quantity(order) > order.unrouted
