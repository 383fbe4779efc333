"""What clients ask of orders: to place and to cancel them. Each command is answered by exactly one event with `is_outcome`.

    PlaceOrder   ACCEPTED | DENIED | DUPLICATE (it names the first order of that client order id)
    CancelOrder  CANCEL_REQUESTED | CANCEL_DENIED
    CancelAll    ALL_CANCELLED, then CANCEL_REQUESTED for each order; of account *, by an operator: that it was passed on to all

What changes an order is in `changes`, what time does to one in `alarms`, money and limits in `transfers`. Rules:

* a client order id is used once, also by what was denied: a repeat is answered and does nothing;
* an account that owes something places no orders until it is paid back;
* an order for later is judged by its form when it comes, and by everything when it starts; only then money is reserved for it. One whose
  time has passed starts at once;
* a stop is reserved for when it is armed, and then held by the router, which says when its price was traded;
* a bulk order's money is reserved whole; its quantity is released slice by slice;
* a cancel that comes before the children are known is remembered in the order's state, PENDING_CANCEL. What is scheduled or armed
  has nothing at a venue and ends at once, whatever the router says of it later. Cancels are never refused by a limit.
"""

from __future__ import annotations

from schemas.moments import held
from schemas.records import (
    Algo,
    CancelAll,
    CancelOrder,
    Change,
    ChildCancel,
    EventKind,
    OrderRecord,
    OrderState,
    OrderType,
    PlaceOrder,
    RouteCancel,
    RouteRequest,
    TimeInForce,
)
from streams.domain import limits, risk
from streams.domain.decision import EXPIRY, SLICE, START, Impossible, Step, replace
from streams.domain.events import order_id_of
from streams.domain.ledger import reservation
from streams.domain.leftovers import due_quantity, refusers, stranded
from streams.domain.limits import EVERYBODY, Standing
from streams.domain.money import MAX
from streams.domain.orders import CLOSED, On, in_flight, is_open, parent
from streams.domain.risk import STOPS, Approval, Denial, show
from streams.domain.routing import TIME_EXPIRED as TIME_EXPIRED

UNKNOWN_ORDER = "UNKNOWN_ORDER"
ALREADY_CLOSED = "ALREADY_CLOSED"
DUPLICATE_ORDER = "DUPLICATE_ORDER"
CLIENT_CANCEL = "CLIENT_CANCEL"
OPERATOR_CANCEL = "OPERATOR_CANCEL"
NO_SYMBOL = "NO_SYMBOL"


def place(step: Step, command: PlaceOrder) -> None:
    """A new order: denied, kept for its time, armed, or reserved for and sent to the router."""
    if step.order is not None:
        if (step.order.account_id, step.order.client_order_id) != (command.account_id, command.client_order_id):
            raise Impossible("ORDER_ID_COLLISION", f"{step.order.order_id} is another order's id")
        reason = f"{command.client_order_id} is order {step.order.order_id}"
        step.tell(EventKind.DUPLICATE, DUPLICATE_ORDER, reason, outcome=True)
        return
    later = command.scheduled_at is not None and command.scheduled_at > step.cause.now
    step.order = _record(step, command)
    denial = risk.well_formed(command) or _known(step, step.order)
    if denial is None:
        of = limits.standing(step)
        denial = limits.counted(step, of) or limits.room(step, of)
        if denial is None:
            denial = _expired(step, step.order) or (_listed(step, step.order) if later else _approve(step, of))
    order = step.the_order()
    if denial is not None:
        step.order = replace(order, state=parent(order.state, On.DENY), close_reason=denial.code)
        step.tell(EventKind.DENIED, denial.code, denial.reason, outcome=True)
    elif later:
        step.order = replace(order, state=parent(order.state, On.SCHEDULE))
        step.wake(START, order.scheduled_at)
        _until(step)
        step.tell(EventKind.ACCEPTED, outcome=True)
    else:
        _until(step)
        _go(step, EventKind.ACCEPTED, outcome=True)


def start(step: Step, outcome: bool = False) -> None:
    """The time of a scheduled order has come: it is judged anew, and goes out or ends with the cause."""
    order = step.the_order()
    denial = _known(step, order) or _expired(step, order) or _approve(step, limits.standing(step))
    if denial is None:
        _go(step, EventKind.STARTED)
        return
    step.close(On.DENY, denial.code)
    step.tell(EventKind.CLOSED, denial.code, denial.reason)


def _go(step: Step, kind: EventKind, outcome: bool = False) -> None:
    """What was approved is armed or routed."""
    order = step.the_order()
    stop = order.order_type in STOPS
    step.order = order = replace(order, state=parent(order.state, On.ARM if stop else On.ACCEPT))
    if order.algo is not None:
        first = order.visible or order.quantity if order.algo is Algo.ICEBERG else 0
        step.order = replace(order, released=first, started_at=step.cause.now, planned=order.algo is Algo.TWAP)
    step.tell(kind, outcome=outcome)
    if order.algo is Algo.TWAP:
        step.wake(SLICE, step.cause.now)
    else:
        route(step)


def _until(step: Step) -> None:
    order = step.the_order()
    if order.expires_at is not None:
        step.wake(EXPIRY, order.expires_at)


def route(step: Step, anew: bool = False) -> None:
    """Ask the router where what is left of the order goes, also to venues that refused it if `anew`; an order to be armed, to hold it."""
    order = step.the_order()
    armed = order.state is OrderState.ARMED
    kind = order.order_type
    if kind in STOPS and not armed:
        kind = OrderType.MARKET if kind is OrderType.STOP else OrderType.LIMIT
    tif = order.time_in_force
    if order.algo is Algo.TWAP or (kind is OrderType.MARKET and tif is not TimeInForce.FOK):
        tif = TimeInForce.IOC
    asked = due_quantity(order)
    children = order.children
    latest = next((i for i, c in enumerate(children) if is_open(c)), len(children)) if children else 0
    step.order = replace(order, asked=asked, planned=False, halted=None, latest=latest)
    step.routes.append(
        RouteRequest(
            order_id=order.order_id,
            account_id=order.account_id,
            symbol=order.symbol,
            side=order.side,
            order_type=kind,
            time_in_force=tif,
            quantity=asked,
            price=order.protection,
            attempt=order.attempt,
            accepted_at=order.accepted_at,
            stop_price=order.stop_price if armed else None,
            expires_at=order.expires_at,
            post_only=order.post_only,
            avoid=None if anew or not children else refusers(order) or None,
            asked_at=step.cause.now,
        )
    )


def again(step: Step, anew: bool = False) -> None:
    """Route what is left once more; see `route`."""
    order = step.the_order()
    step.order = replace(order, attempt=order.attempt + 1, unrouted=0)
    route(step, anew)


def _known(step: Step, order: OrderRecord) -> Denial | None:
    account = step.before.account
    if account is None or not account.balances:
        return Denial(risk.UNKNOWN_ACCOUNT, f"account {order.account_id} has had no transfer")
    return None


def _expired(step: Step, order: OrderRecord) -> Denial | None:
    if order.expires_at is not None and order.expires_at <= step.cause.now:
        return Denial(risk.INVALID_TIME, "the order's time is over")
    return None


def _listed(step: Step, order: OrderRecord) -> Denial | None:
    terms = step.world.terms(order.symbol)
    return terms if isinstance(terms, Denial) and terms.code == risk.UNKNOWN_SYMBOL else None


def _approve(step: Step, of: Standing) -> Denial | None:
    """The whole check of the step's order; when it passes, the reservation is made and the order has its terms."""
    order = step.the_order()
    verdict = judged(step, of, order)
    if isinstance(verdict, Denial):
        return verdict
    if not step.funds.lock(verdict.asset, verdict.amount):
        available = show(step.funds.available(verdict.asset))
        return Denial(
            risk.INSUFFICIENT_FUNDS,
            f"the order needs {show(verdict.amount)} {verdict.asset}, {available} is available",
        )
    limits.count(step, of, order, verdict)
    tif = order.time_in_force
    step.order = replace(
        order,
        # A market order never rests, whatever its time in force says.
        time_in_force=TimeInForce.IOC if order.order_type in risk.UNPRICED and tif is TimeInForce.GTC else tif,
        quantity=verdict.quantity,
        protection=verdict.protection,
        fee_rate=verdict.fee_rate,
        locked_asset=verdict.asset,
        locked=verdict.amount,
    )
    return None


def judged(step: Step, of: Standing, order: OrderRecord, but: tuple[str, ...] = ()) -> Approval | Denial:
    """Everything but the funds: who may trade what now, the market's terms, the account's limits. `but`: who may trade what is not a matter of these codes."""
    settings, denial = limits.admitted(step, of, order.symbol, order.side, order.order_type)
    if denial is not None and denial.code not in but:
        return denial
    terms = step.world.terms(order.symbol)
    if isinstance(terms, Denial):
        return terms
    verdict = risk.assess(order, terms, step.world.quote(order.symbol), step.cause.now, settings)
    if isinstance(verdict, Denial):
        return verdict
    account = step.before.account
    for balance in account.balances if account is not None else ():
        if balance.owed:
            return Denial(risk.FUNDS_OWED, f"the account owes {balance.asset}")
    return limits.within(step, of, order, verdict) or verdict


def _fits(amount: int | None) -> int | None:
    """A value that the wire's decimal cannot hold is denied and must not be told on."""
    return amount if amount is None or -MAX < amount < MAX else None


def _record(step: Step, command: PlaceOrder) -> OrderRecord:
    return OrderRecord(
        order_id=order_id_of(command.account_id, command.client_order_id, step.world.era),
        account_id=command.account_id,
        client_order_id=command.client_order_id,
        symbol=command.symbol,
        side=command.side,
        order_type=command.order_type,
        time_in_force=command.time_in_force,
        state=OrderState.INITIALIZED,
        quantity=_fits(command.quantity) or 0,
        price=_fits(command.price),
        protection=0,
        filled=0,
        filled_quote=0,
        locked_asset="",
        locked=0,
        fee_rate=0,
        children=(),
        planned=False,
        unrouted=0,
        close_reason="",
        seq=0,
        sent_at=command.sent_at,
        accepted_at=step.cause.now,
        attempt=1,
        stop_price=_fits(command.stop_price),
        scheduled_at=held(command.scheduled_at),
        expires_at=held(command.expires_at),
        post_only=command.post_only,
        reduce_only=command.reduce_only,
        quote_amount=_fits(command.quote_amount),
        algo=command.algo,
        slices=command.slices,
        window_us=command.window_us,
        visible=_fits(command.visible),
    )


def cancel(step: Step, command: CancelOrder) -> None:
    """Cancel what is open of an order, wherever it is."""
    order = step.order
    if order is None:
        no_order(step, EventKind.CANCEL_DENIED, command.client_order_id)
    elif order.state in CLOSED:
        step.tell(EventKind.CANCEL_DENIED, ALREADY_CLOSED, f"the order is {order.state}", outcome=True)
    else:
        stop(step, EventKind.CANCEL_REQUESTED, outcome=True)


def cancel_all(step: Step, command: CancelAll) -> None:
    """Cancel all that is open, of the account or of one of its symbols; of a symbol in every account."""
    if command.account_id == EVERYBODY:
        if command.symbol is None:
            step.tell(
                EventKind.CANCEL_DENIED, NO_SYMBOL, "all accounts' orders are cancelled symbol by symbol", outcome=True
            )
            return
        step.sweep = command
        step.tell(EventKind.ALL_CANCELLED, "", f"asked of every account: {command.symbol}", outcome=True)
        return
    found = [step.world.order(order_id) for order_id in step.open_ids()]
    orders = [o for o in found if o is not None and o.state not in CLOSED and command.symbol in (None, o.symbol)]
    about = command.symbol or "all symbols"
    step.tell(EventKind.ALL_CANCELLED, "", f"{len(orders)} open orders of {about}", outcome=True)
    for order in orders:
        step.turn(order)
        stop(step, EventKind.CANCEL_REQUESTED)


def swept(step: Step, symbol: str, before: int) -> None:
    """An operator cancels what is open of a symbol and was accepted by then. What is being cancelled already is left at that."""
    for order in [step.world.order(order_id) for order_id in step.open_ids()]:
        if order is None or order.symbol != symbol or order.accepted_at > before:
            continue
        if order.state not in CLOSED and order.state is not OrderState.PENDING_CANCEL:
            step.turn(replace(order, swept=True))
            stop(step, EventKind.CANCEL_REQUESTED, code=OPERATOR_CANCEL)


def stop(step: Step, kind: EventKind, outcome: bool = False, code: str = "") -> None:
    """End an open order: at once where no venue has any of it, else when the venues have answered."""
    order = step.the_order()
    waits = order.state in (OrderState.SCHEDULED, OrderState.ARMED)
    why = order.close_reason
    if order.state is OrderState.ARMED or stranded(order):
        recall(step)
        why = ""  # it waits for no venue any more, also where one refuses to cancel what it has
    changing = order.state is OrderState.PENDING_MODIFY
    state = parent(order.state, On.CANCEL)
    step.order = replace(order, state=state, change=None, planned=order.planned or waits, close_reason=why)
    if changing:
        surplus(step)
    cancel_children(step)
    order = step.the_order()
    step.tell(kind, code, "its change is given up" if changing else "", outcome=outcome)
    if all(not in_flight(c) for c in order.children) and order.planned:
        end_stopped(step)


def recall(step: Step) -> None:
    """The router forgets what it holds of the order."""
    order, at = step.the_order(), step.cause.now
    step.routes.append(RouteCancel(order_id=order.order_id, account_id=order.account_id, symbol=order.symbol, at=at))


def needs(order: OrderRecord, change: Change | None) -> int:
    """What the rest of an order needs reserved, by a change's terms or its own."""
    quantity, protection, fee_rate = (
        (order.quantity, order.protection, order.fee_rate)
        if change is None
        else (change.quantity, change.protection, change.fee_rate)
    )
    return reservation(order.side, order.symbol, max(0, quantity - order.filled), protection, fee_rate)[1]


def surplus(step: Step) -> None:
    """The change is given up: what was reserved for it alone is given back."""
    order = step.the_order()
    # what an order for an amount saved is still to be spent
    more = order.locked - needs(order, None) if order.quote_amount is None else 0
    if order.change is not None or more > 0:
        step.funds.unlock(order.locked_asset, max(0, more))
        step.order = replace(order, change=None, locked=order.locked - max(0, more))


def stopped_by(order: OrderRecord) -> str:
    """Who or what had the order cancelled, as a code."""
    return OPERATOR_CANCEL if order.swept else TIME_EXPIRED if order.expiring else CLIENT_CANCEL


def end_stopped(step: Step) -> None:
    """What was to end has nothing at a venue any more."""
    code = stopped_by(step.the_order())
    step.close(On.END_EXPIRED if code == TIME_EXPIRED else On.END_CANCELLED, code)
    step.tell(EventKind.CLOSED, code)


def time_over(step: Step) -> None:
    """The order's time is over, and no venue has anything of it."""
    step.close(On.END_EXPIRED, TIME_EXPIRED)
    step.tell(EventKind.CLOSED, TIME_EXPIRED)


def cancel_children(step: Step) -> None:
    """Ask the venues to cancel every child that may live there and was not asked about yet."""
    order = step.the_order()
    asked = tuple(c if c.cancel_sent or c.state in CLOSED else replace(c, cancel_sent=True) for c in order.children)
    for before, after in zip(order.children, asked, strict=True):
        if after is not before:
            step.cancels.append(
                ChildCancel(
                    child_id=after.child_id,
                    order_id=order.order_id,
                    account_id=order.account_id,
                    venue=after.venue,
                    symbol=order.symbol,
                    created_at=step.cause.now,
                )
            )
    step.order = replace(order, children=asked)


def no_order(step: Step, kind: EventKind, client_order_id: str) -> None:
    """The answer to a command about an order that there is not."""
    code, reason = UNKNOWN_ORDER, f"the account has no order {client_order_id}"
    if not 0 < len(client_order_id) <= risk.MAX_ID:
        code, reason = risk.INVALID_CLIENT_ORDER_ID, f"a client order id has 1 to {risk.MAX_ID} characters"
    step.tell(kind, code, reason, outcome=True, client_order_id=client_order_id)
