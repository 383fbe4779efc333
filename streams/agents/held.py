"""What the router holds: stops until a trade reaches them, and orders that found no venue until one can be routed to.

    orders.routable ──► held ──► exchange.acks: TRIGGERED (a stop), RESUMED (a venue is back); the account then asks for the route anew

Both lie in one table of their symbol's task, listed by pages, and leave it in the transaction that says so: once, whatever is restarted.
Nothing that is held is sent to a venue by the router of itself: its account may have cancelled it meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from schemas.records import OpenOrders, RouteCancel, RouteRequest, RouteStatusKind
from streams.domain import stops
from streams.engine.agent import Context, Table

STATUSES = "exchange.acks"
STOPS = Table("stops", RouteRequest)  # key: order id
ARMED = Table("armed", OpenOrders)  # key: `stops.page_key`; which orders of a symbol are held
WAIT = "wait"  # the timer, and the lists, of those that wait
LOOK_US = 250_000  # between two looks whether a venue is back
RESUMED_MOST = 2_000  # in one look

Stops = dict[str, stops.Stops]  # a task's stops in order, of symbols that were looked at


def arm(ctx: Context, found: Stops, request: RouteRequest) -> None:
    """Hold a stop from now on; a later attempt replaces an earlier one."""
    table = ctx.table(STOPS)
    if stops.replaces(table.get(request.order_id), request):
        _stops(ctx, found, request.symbol).arm(request)
        table[request.order_id] = request
        _list(ctx, request.symbol, request.order_id, held=True)


def wait(ctx: Context, request: RouteRequest) -> None:
    """Hold an order that found no venue."""
    ctx.table(STOPS)[request.order_id] = request
    _list(ctx, f"{WAIT}|{request.symbol}", request.order_id, held=True)
    look_later(ctx, request.symbol)


def look_later(ctx: Context, symbol: str) -> None:
    """Look whether a venue is back, at the next full quarter of a second: orders that come meanwhile do not put it off."""
    ctx.set_timer(f"{WAIT}|{symbol}", (ctx.now // LOOK_US + 1) * LOOK_US)


def resume(ctx: Context, symbol: str, goes: Callable[[RouteRequest], bool]) -> None:
    """Say to those that wait, oldest first, that a venue can be routed to; look at the rest, and at those that do not go, again in a moment."""
    table, pages = ctx.table(STOPS), ctx.table(ARMED)
    waiting: list[RouteRequest] = []
    for number in range(stops.PAGES):
        page = pages.get(stops.page_key(f"{WAIT}|{symbol}", number))
        waiting += [request for i in (page.order_ids if page else ()) if (request := table.get(i)) is not None]
    waiting.sort(key=lambda request: (request.accepted_at, request.order_id))
    going = list(islice(filter(goes, waiting), RESUMED_MOST))
    for request in going:
        _forget(ctx, request)
        ctx.send(STATUSES, request.account_id, stops.status(request, RouteStatusKind.RESUMED, None, ctx.now))
    if len(going) < len(waiting):
        look_later(ctx, symbol)


def replaced(ctx: Context, request: RouteRequest) -> None:
    """A later attempt of an order is to be planned: what waits of it does so no more."""
    held = ctx.table(STOPS).get(request.order_id)
    if held is not None and held.attempt <= request.attempt:
        _forget(ctx, held)


def drop(ctx: Context, cancel: RouteCancel) -> None:
    """Forget an order."""
    held = ctx.table(STOPS).get(cancel.order_id)
    if held is not None:
        _forget(ctx, held)
        if held.stop_price is not None:
            ctx.send(STATUSES, held.account_id, stops.status(held, RouteStatusKind.DISARMED, None, ctx.now))


def reached(ctx: Context, found: Stops, symbol: str, price: int, at: int) -> None:
    """Let go the stops that a price of the time `at` reaches."""
    for held in _stops(ctx, found, symbol).reached(price, ctx.table(STOPS).get, at):
        _forget(ctx, held)
        ctx.send(STATUSES, held.account_id, stops.status(held, RouteStatusKind.TRIGGERED, price, ctx.now))


def _stops(ctx: Context, found: Stops, symbol: str) -> stops.Stops:
    """The symbol's stops in order, from the tables when they are looked at for the first time."""
    of = found.get(symbol)
    if of is None:
        of = found[symbol] = stops.Stops()
        armed, table = ctx.table(ARMED), ctx.table(STOPS)
        for number in range(stops.PAGES):
            page = armed.get(stops.page_key(symbol, number))
            for order_id in page.order_ids if page else ():
                if (request := table.get(order_id)) is not None:
                    of.arm(request)
    return of


def _forget(ctx: Context, held: RouteRequest) -> None:
    del ctx.table(STOPS)[held.order_id]
    _list(ctx, held.symbol if held.stop_price is not None else f"{WAIT}|{held.symbol}", held.order_id, held=False)


def _list(ctx: Context, of: str, order_id: str, *, held: bool) -> None:
    pages, key = ctx.table(ARMED), stops.page(of, order_id)
    page = pages.get(key)
    ids = stops.listed(page.order_ids if page else (), order_id, held)
    if ids:
        pages[key] = OpenOrders(order_ids=ids)
    else:
        del pages[key]
