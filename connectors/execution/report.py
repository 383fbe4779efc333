"""What to report about a child, decided from what was reported before and what the venue says now. Pure: no I/O, no clock.

Rules:

* ACCEPTED comes first and once; a fill is reported once, by its trade id, however often and in whatever order it is told;
* a terminal report waits until all that the venue says was filled has been reported;
* a fill after the terminal report is legal and is still reported;
* an order that its venue calls filled, and that has less than its quantity, is over with what it has: CANCELLED;
* what takes at once (IOC, FOK) and is over with less, without anybody having asked for that, has EXPIRED: some venues call it so, others
  call it cancelled, and what becomes of the rest must not depend on the word;
* DONE never goes back.

`ExecutionState.phase` holds where a child is: CLAIMED and UNKNOWN may or may not be at the venue, OPEN is, DONE needs nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from connectors.venues.outcomes import OrderView, Outcome, VenueOrderStatus, VenueTrade
from schemas.records import (
    ChildCancel,
    ChildOrder,
    ClaimedChild,
    ExecutionKind,
    ExecutionPhase,
    ExecutionReport,
    ExecutionState,
    Liquidity,
    TimeInForce,
)

NEVER_ARRIVED = "NEVER_ARRIVED"
CALLED_OFF = "CALLED_OFF"
TOO_LATE = "TOO_LATE"
UNKNOWN_CHILD = "UNKNOWN_CHILD"
CLOSED_SHORT = "CLOSED_SHORT"
FORGOTTEN = "FORGOTTEN"
FEE_ESTIMATED = "FEE_ESTIMATED"

_AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)
_TERMINAL = {
    VenueOrderStatus.CANCELLED: ExecutionKind.CANCELLED,
    VenueOrderStatus.EXPIRED: ExecutionKind.EXPIRED,
    VenueOrderStatus.REJECTED: ExecutionKind.REJECTED,
}


@dataclass(frozen=True, slots=True)
class Step:
    """The new state, what to report in this order, and whether the venue tells of fills whose trades were not seen yet."""

    state: ExecutionState
    reports: tuple[ExecutionReport, ...] = ()
    missing: bool = False


def claim(child: ChildOrder, now: int) -> ExecutionState:
    """The state that must be durable before the child is sent."""
    return ExecutionState(
        child=ClaimedChild(
            order_id=child.order_id,
            account_id=child.account_id,
            venue=child.venue,
            symbol=child.symbol,
            quantity=child.quantity,
            side=child.side,
            time_in_force=child.time_in_force,
        ),
        claimed_at=now,
        phase=ExecutionPhase.CLAIMED,
        reported=0,
        trades=(),
    )


def _report(child_id: str, state: ExecutionState, kind: ExecutionKind, now: int) -> ExecutionReport:
    return ExecutionReport(
        account_id=state.child.account_id,
        order_id=state.child.order_id,
        child_id=child_id,
        venue=state.child.venue,
        symbol=state.child.symbol,
        kind=kind,
        venue_order_id=state.venue_order_id,
        liquidity=Liquidity.NOT_KNOWN,
        cumulative_quantity=state.reported,
        reason_code="",
        reason="",
        at=now,
    )


def observe(child_id: str, state: ExecutionState, view: OrderView, trades: Iterable[VenueTrade], now: int) -> Step:
    """What the venue shows of a child: an answer, a stream event or a poll."""
    reports: list[ExecutionReport] = []
    if state.venue_order_id is None:
        state = msgspec.structs.replace(state, venue_order_id=view.venue_order_id)
    if state.phase in (ExecutionPhase.CLAIMED, ExecutionPhase.UNKNOWN):
        state = msgspec.structs.replace(state, phase=ExecutionPhase.OPEN)
        if view.status is not VenueOrderStatus.REJECTED:
            accepted = _report(child_id, state, ExecutionKind.ACCEPTED, now)
            reports.append(msgspec.structs.replace(accepted, venue_at=view.at))
    known = set(state.trades)
    for trade in trades:
        if trade.trade_id in known:
            continue
        known.add(trade.trade_id)
        state = msgspec.structs.replace(
            state, reported=state.reported + trade.quantity, trades=(*state.trades, trade.trade_id)
        )
        reports.append(
            msgspec.structs.replace(
                _report(child_id, state, ExecutionKind.FILL, now),
                trade_id=trade.trade_id,
                price=trade.price,
                quantity=trade.quantity,
                fee=trade.fee,
                fee_asset=trade.fee_asset,
                liquidity=trade.liquidity,
                venue_at=trade.at,
                reason_code=FEE_ESTIMATED if trade.estimated else "",
                reason="the venue did not tell this trade's fee in full" if trade.estimated else "",
            )
        )
    missing = view.filled > state.reported
    if missing or view.status is VenueOrderStatus.OPEN or state.phase is ExecutionPhase.DONE:
        return Step(state, tuple(reports), missing)
    status = view.status
    short = status is VenueOrderStatus.FILLED and state.reported < state.child.quantity
    if short:
        status = VenueOrderStatus.CANCELLED
    asked = state.cancel_at is not None
    if status is VenueOrderStatus.CANCELLED and state.child.time_in_force in _AT_ONCE and not asked:
        status = VenueOrderStatus.EXPIRED
    if status in _TERMINAL:
        closing = _report(child_id, state, _TERMINAL[status], now)
        code, reason = (CLOSED_SHORT, "the venue calls it filled, with less than its quantity") if short else ("", "")
        reports.append(msgspec.structs.replace(closing, reason_code=code, reason=reason, venue_at=view.at))
    if asked and status is not VenueOrderStatus.CANCELLED:
        reports.append(_cancel_rejected(child_id, state, TOO_LATE, f"the order is {view.status}", now))
    return Step(_done(state, now), tuple(reports))


def _done(state: ExecutionState, now: int) -> ExecutionState:
    return msgspec.structs.replace(state, phase=ExecutionPhase.DONE, closed_at=now, cancel_at=None)


def refused(child_id: str, state: ExecutionState, kind: ExecutionKind, outcome: Outcome, now: int) -> Step:
    """The child does not exist at the venue, for sure: `kind` is REJECTED or NOT_SENT."""
    report = msgspec.structs.replace(
        _report(child_id, state, kind, now),
        reason_code=outcome.code,
        reason=outcome.reason,
        http_status=outcome.http_status,
        venue_code=outcome.venue_code,
    )
    reports = [report]
    if state.cancel_at is not None:
        reports.append(_cancel_rejected(child_id, state, TOO_LATE, "the order was refused", now))
    return Step(_done(state, now), tuple(reports))


def forgotten(child_id: str, state: ExecutionState, now: int) -> Step:
    """The venue had the order, and does not know it any more: it is over, with what its trades say was filled, all of which is reported."""
    report = msgspec.structs.replace(
        _report(child_id, state, ExecutionKind.CANCELLED, now),
        reason_code=FORGOTTEN,
        reason="the venue does not know the order any more; its trades say what was filled",
    )
    return Step(_done(state, now), (report,))


def unknown(child_id: str, state: ExecutionState, code: str, reason: str, outcome: Outcome | None, now: int) -> Step:
    """It is not known whether the venue took the child. Reported once."""
    if state.phase is not ExecutionPhase.CLAIMED:
        return Step(state)
    state = msgspec.structs.replace(state, phase=ExecutionPhase.UNKNOWN)
    report = msgspec.structs.replace(
        _report(child_id, state, ExecutionKind.UNKNOWN, now),
        reason_code=code,
        reason=reason,
        http_status=outcome.http_status if outcome else None,
        venue_code=outcome.venue_code if outcome else None,
    )
    return Step(state, (report,))


def cancel_asked(child_id: str, state: ExecutionState, now: int) -> Step:
    """A cancel was claimed: noted when the child may live, refused when it does not."""
    if state.phase is ExecutionPhase.DONE:
        return Step(state, (_cancel_rejected(child_id, state, TOO_LATE, "the order is closed", now),))
    return Step(msgspec.structs.replace(state, cancel_at=state.cancel_at or now))


def cancel_refused(child_id: str, state: ExecutionState, outcome: Outcome, now: int) -> Step:
    """The venue refused the cancel of an order that stays open."""
    report = msgspec.structs.replace(
        _cancel_rejected(child_id, state, outcome.code, outcome.reason, now),
        http_status=outcome.http_status,
        venue_code=outcome.venue_code,
    )
    return Step(msgspec.structs.replace(state, cancel_at=None), (report,))


def _cancel_rejected(child_id: str, state: ExecutionState, code: str, reason: str, now: int) -> ExecutionReport:
    report = _report(child_id, state, ExecutionKind.CANCEL_REJECTED, now)
    return msgspec.structs.replace(report, reason_code=code, reason=reason)


def no_such_child(cancel: ChildCancel, now: int) -> ExecutionReport:
    """The answer to a cancel of a child that this connector never claimed, or forgot long after it closed."""
    return ExecutionReport(
        account_id=cancel.account_id,
        order_id=cancel.order_id,
        child_id=cancel.child_id,
        venue=cancel.venue,
        symbol=cancel.symbol,
        kind=ExecutionKind.CANCEL_REJECTED,
        liquidity=Liquidity.NOT_KNOWN,
        reason_code=UNKNOWN_CHILD,
        reason="no such child is known",
        at=now,
    )
