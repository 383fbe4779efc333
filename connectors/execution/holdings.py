"""What our account at a venue must hold, and whether it does: a count once, and every fill that was reported since. Pure: no I/O, no clock.

Rules:

* the first count, at a moment when nothing is in flight, is believed; from then on `amount` is moved by reported fills alone, in the transaction
  that reports them, so that no crash parts the two;
* a balance is compared only when nothing is in flight (`settled`): what the venue did and we do not know yet is no drift;
* a difference that is raised is counted in at the next look, whatever else has moved since: each deposit or withdrawal at the venue is one alert;
* a fill whose side or fee is not known, or only estimated, leaves its assets unsure: the next count of these is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from connectors.execution.findings import Finding, Standing, clear, signed
from connectors.execution.report import FEE_ESTIMATED
from connectors.venues.units import SCALE
from schemas.binary import MAX_MONEY
from schemas.records import (
    ExecutionKind,
    ExecutionPhase,
    ExecutionReport,
    ExecutionState,
    Side,
    VenueAlert,
    VenueAlertKind,
    VenueHolding,
)

Holdings = Mapping[str, VenueHolding]
DRIFT = frozenset({VenueAlertKind.BALANCE_DRIFT})


class Watched(Protocol):
    """A child, as far as it can be in flight: `known` is what the venue is known to have filled of it."""

    @property
    def state(self) -> ExecutionState: ...

    @property
    def known(self) -> int: ...


def settled(children: Mapping[str, Watched], listed: Mapping[str, int]) -> bool:
    """Whether everything that the venue did before `listed` (child id -> filled, of what is open there) has been reported here."""
    for child_id, child in children.items():
        state = child.state
        if state.phase in (ExecutionPhase.CLAIMED, ExecutionPhase.UNKNOWN) or child.known > state.reported:
            return False
        if state.phase is ExecutionPhase.OPEN and listed.get(child_id) != state.reported:
            return False
    return True


def book(holdings: Holdings, side: Side | None, reports: Iterable[ExecutionReport]) -> Holdings:
    """The holdings after what was reported of one child."""
    after = dict(holdings)

    def move(asset: str, amount: int, sure: bool) -> None:
        held = after.get(asset)
        sure = sure and (held is None or held.sure)
        after[asset] = VenueHolding(asset=asset, amount=(0 if held is None else held.amount) + amount, sure=sure)

    for report in reports:
        if report.kind is not ExecutionKind.FILL:
            continue
        base, _, quote = report.symbol.partition("/")
        price, quantity = report.price or 0, report.quantity or 0
        sign = -1 if side is Side.SELL else 1
        told = report.fee is not None and (report.fee == 0 or bool(report.fee_asset))
        told = told and report.reason_code != FEE_ESTIMATED
        sure = side is not None and told
        move(base, sign * quantity, sure)
        move(quote, -sign * (price * quantity // SCALE), sure)
        if report.fee and report.fee_asset:
            move(report.fee_asset, -report.fee, sure)
    return after


def count(found: Mapping[str, int]) -> Holdings:
    """The holdings of a first count."""
    return {a: VenueHolding(asset=a, amount=n, sure=True) for a, n in sorted(found.items()) if abs(n) < MAX_MONEY}


def take_in(
    holdings: Holdings, standing: Standing, found: Mapping[str, int], now: int
) -> tuple[Holdings, Standing, list[VenueAlert]]:
    """Count in what was raised before, or find that it is over; either way it is cleared."""
    after, raised, alerts = dict(holdings), dict(standing.raised), list[VenueAlert]()
    for subject, alert in standing.raised.items():
        if alert.kind is not VenueAlertKind.BALANCE_DRIFT or alert.asset is None:
            continue
        amount = (alert.found or 0) - (alert.expected or 0)
        held = after.get(alert.asset) or VenueHolding(asset=alert.asset, amount=0, sure=True)
        words = "the balance is again what the fills make of it"
        if found.get(alert.asset, 0) != held.amount:
            after[alert.asset] = VenueHolding(asset=alert.asset, amount=held.amount + amount, sure=held.sure)
            words = f"{signed(amount)} {alert.asset} counted in"
        del raised[subject]
        alerts.append(clear(alert, words, now))
    return after, Standing(raised, standing.doubts), alerts


def compare(holdings: Holdings, found: Mapping[str, int], slack: int) -> tuple[Holdings, list[Finding]]:
    """The holdings with what is believed without a word, and the balances that are not what they should be."""
    after, findings = dict(holdings), list[Finding]()
    for asset in sorted({*holdings, *found}):
        held, there = after.get(asset), found.get(asset, 0)
        expected = 0 if held is None else held.amount
        if abs(there) >= MAX_MONEY:
            continue  # more than a record can hold
        if (held is not None and not held.sure) or 0 < abs(there - expected) <= slack:
            after[asset] = VenueHolding(asset=asset, amount=there, sure=True)
        elif there != expected:
            words = f"{signed(there - expected)} {asset} that no fill of ours explains"
            findings.append(
                Finding(
                    VenueAlertKind.BALANCE_DRIFT,
                    asset,
                    words,
                    there - expected,
                    asset=asset,
                    expected=expected,
                    found=there,
                )
            )
    return after, findings
