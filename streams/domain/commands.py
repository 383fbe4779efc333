"""What clients ask for: orders, cancels, changes, transfers. Each command is answered by exactly one event with `is_outcome`.

    PlaceOrder   ACCEPTED | DENIED | DUPLICATE (it names the first order of that client order id)
    CancelOrder  CANCEL_REQUESTED | CANCEL_DENIED
    ModifyOrder  MODIFY_DENIED
    Transfer     TRANSFERRED | TRANSFER_DENIED

Rules:

* a client order id and a transfer id are used once, also by what was denied: a repeat is answered and does nothing;
* an account exists once money has come in;
* an account that owes something places no orders and withdraws nothing until it is paid back;
* a cancel that comes before the children are known is remembered in the order's state, PENDING_CANCEL.
"""

from __future__ import annotations

from schemas.records import (
    CancelOrder,
    ChildCancel,
    ClientId,
    EventKind,
    ModifyOrder,
    OrderRecord,
    OrderState,
    OrderType,
    PlaceOrder,
    RouteRequest,
    TimeInForce,
    Transfer,
    TransferKind,
)
from streams.domain import risk
from streams.domain.decision import Impossible, Step, replace
from streams.domain.events import order_id_of
from streams.domain.money import MAX
from streams.domain.orders import CLOSED, On, parent
from streams.domain.risk import Approval, Denial, show

UNKNOWN_ORDER = "UNKNOWN_ORDER"
ALREADY_CLOSED = "ALREADY_CLOSED"
DUPLICATE_ORDER = "DUPLICATE_ORDER"
DUPLICATE_TRANSFER = "DUPLICATE_TRANSFER"
INVALID_AMOUNT = "INVALID_AMOUNT"
INVALID_ASSET = "INVALID_ASSET"


def place(step: Step, command: PlaceOrder) -> None:
    """A new order: denied, or reserved for and sent to the router."""
    if step.order is not None:
        if (step.order.account_id, step.order.client_order_id) != (command.account_id, command.client_order_id):
            raise Impossible("ORDER_ID_COLLISION", f"{step.order.order_id} is another order's id")
        reason = f"{command.client_order_id} is order {step.order.order_id}"
        step.tell(EventKind.DUPLICATE, DUPLICATE_ORDER, reason, outcome=True)
        return
    verdict = _judge(step, command)
    step.order = order = _record(step, command, verdict)
    if isinstance(verdict, Denial):
        step.order = replace(order, state=parent(order.state, On.DENY), close_reason=verdict.code)
        step.tell(EventKind.DENIED, verdict.code, verdict.reason, outcome=True)
        return
    step.opened()
    step.order = order = replace(order, state=parent(order.state, On.ACCEPT))
    step.tell(EventKind.ACCEPTED, outcome=True)
    route(step)


def route(step: Step) -> None:
    """Ask the router where what is left of the order goes."""
    order = step.the_order()
    step.routes.append(
        RouteRequest(
            order_id=order.order_id,
            account_id=order.account_id,
            symbol=order.symbol,
            side=order.side,
            order_type=order.order_type,
            time_in_force=order.time_in_force,
            quantity=order.quantity - order.filled,
            price=order.protection,
            attempt=order.attempt,
            accepted_at=order.accepted_at,
        )
    )


def _judge(step: Step, command: PlaceOrder) -> Approval | Denial:
    """The risk check; the reservation is made when it passes."""
    malformed = risk.well_formed(command)
    if malformed is not None:
        return malformed
    account = step.before.account
    if account is None or not account.balances:
        return Denial(risk.UNKNOWN_ACCOUNT, f"account {command.account_id} has had no transfer")
    terms = step.world.terms(command.symbol)
    if isinstance(terms, Denial):
        return terms
    quote = step.world.quote(command.symbol)
    verdict = risk.assess(command, terms, quote, step.cause.now, step.world.settings)
    if isinstance(verdict, Denial):
        return verdict
    owed = next((b.asset for b in account.balances if b.owed), None)
    if owed is not None:
        return Denial(risk.FUNDS_OWED, f"the account owes {owed}")
    if not step.funds.lock(verdict.asset, verdict.amount):
        available = show(step.funds.available(verdict.asset))
        wanted = f"{show(verdict.amount)} {verdict.asset}"
        return Denial(risk.INSUFFICIENT_FUNDS, f"the order needs {wanted}, {available} is available")
    return verdict


def _record(step: Step, command: PlaceOrder, verdict: Approval | Denial) -> OrderRecord:
    approved = verdict if isinstance(verdict, Approval) else Approval(0, 0, "", 0)
    market = command.order_type is OrderType.MARKET
    return OrderRecord(
        order_id=order_id_of(command.account_id, command.client_order_id),
        account_id=command.account_id,
        client_order_id=command.client_order_id,
        symbol=command.symbol,
        side=command.side,
        order_type=command.order_type,
        # A market order never rests, whatever its time in force says.
        time_in_force=TimeInForce.IOC if market and isinstance(verdict, Approval) else command.time_in_force,
        state=OrderState.INITIALIZED,
        # A quantity that the wire's decimal cannot hold is denied and must not be told on.
        quantity=command.quantity if abs(command.quantity) < MAX else 0,
        price=command.price if command.price is None or abs(command.price) < MAX else None,
        protection=approved.protection,
        filled=0,
        filled_quote=0,
        locked_asset=approved.asset,
        locked=approved.amount,
        fee_rate=approved.fee_rate,
        children=(),
        planned=False,
        unrouted=0,
        close_reason="",
        seq=0,
        sent_at=command.sent_at,
        accepted_at=step.cause.now,
        attempt=1,
    )


def cancel(step: Step, command: CancelOrder) -> None:
    """Cancel what is open of an order, wherever it is."""
    order = step.order
    if order is None:
        _no_order(step, EventKind.CANCEL_DENIED, command.client_order_id)
    elif order.state in CLOSED:
        step.tell(EventKind.CANCEL_DENIED, ALREADY_CLOSED, f"the order is {order.state}", outcome=True)
    else:
        step.order = replace(order, state=parent(order.state, On.CANCEL))
        cancel_children(step)
        step.tell(EventKind.CANCEL_REQUESTED, outcome=True)


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


def modify(step: Step, command: ModifyOrder) -> None:
    """Orders cannot be changed yet: the answer says so."""
    order = step.order
    if order is None:
        _no_order(step, EventKind.MODIFY_DENIED, command.client_order_id)
    elif order.state in CLOSED:
        step.tell(EventKind.MODIFY_DENIED, ALREADY_CLOSED, f"the order is {order.state}", outcome=True)
    else:
        step.tell(EventKind.MODIFY_DENIED, risk.NOT_SUPPORTED, "orders cannot be modified", outcome=True)


def _no_order(step: Step, kind: EventKind, client_order_id: str) -> None:
    reason = f"the account has no order {client_order_id}"
    step.tell(kind, UNKNOWN_ORDER, reason, outcome=True, client_order_id=client_order_id)


def transfer(step: Step, command: Transfer) -> None:
    """Money in or out."""
    amount = command.amount if abs(command.amount) < MAX else 0
    if step.before.taken is not None:
        denial: Denial | None = Denial(DUPLICATE_TRANSFER, f"transfer {command.transfer_id} was answered before")
    else:
        step.taken = ClientId(order_id=command.transfer_id)
        denial = _transfer(step, command)
    if denial is None:
        step.tell(EventKind.TRANSFERRED, outcome=True, client_order_id=command.transfer_id, amount=amount)
    else:
        step.tell(
            EventKind.TRANSFER_DENIED,
            denial.code,
            denial.reason,
            outcome=True,
            client_order_id=command.transfer_id,
            amount=amount,
        )


def _transfer(step: Step, command: Transfer) -> Denial | None:
    amount, funds, asset = command.amount, step.funds, command.asset
    if not 0 < amount < MAX:
        return Denial(INVALID_AMOUNT, "the amount must be positive and fit a decimal(20,8)")
    if not asset:
        return Denial(INVALID_ASSET, "the asset has no name")
    balances = step.before.account.balances if step.before.account else ()
    if command.kind is TransferKind.DEPOSIT:
        held = next((b.available + b.locked for b in balances if b.asset == asset), 0)
        if held + amount >= MAX:
            return Denial(INVALID_AMOUNT, "the balance would not fit a decimal(20,8)")
        funds.credit(asset, amount)
        return None
    if not balances:
        return Denial(risk.UNKNOWN_ACCOUNT, f"account {command.account_id} has had no transfer")
    if any(b.owed for b in balances):
        return Denial(risk.FUNDS_OWED, "the account owes money")
    if funds.available(asset) < amount:
        return Denial(risk.INSUFFICIENT_FUNDS, f"{show(funds.available(asset))} {asset} is available")
    funds.debit(asset, amount)
    return None
