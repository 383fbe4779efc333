"""What stands at a venue that is not as we know it, from looks to alerts. Pure: no I/O, no clock.

Rules:

* one look proves nothing: an answer may be older than the event that overtook it. What `LOOKS` in a row show is raised, what as many do not
  show any more is cleared;
* a finding is raised once and cleared once, under one id; what is raised stays so for whoever looks next (`Standing.raised` is durable, doubts
  are not);
* an order is held against the children as they are known when the answer is there: one that was sent meanwhile is known by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from connectors.venues.outcomes import OrderView
from connectors.venues.units import text
from schemas.records import ExecutionPhase, ExecutionState, VenueAlert, VenueAlertKind, VenueAlertState

LOOKS = 2
ABOUT_ORDERS = frozenset({VenueAlertKind.ORPHAN_ORDER, VenueAlertKind.CLOSED_ORDER_OPEN, VenueAlertKind.FOREIGN_ORDER})
ABOUT_CHILDREN = frozenset({VenueAlertKind.UNRESOLVED_CHILD})
Subject = tuple[VenueAlertKind, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look shows. `about`: the venue's order id, the asset or the child; `value`: what must be the same in the next look to be the same finding."""

    kind: VenueAlertKind
    about: str
    detail: str
    value: int = 0
    asset: str | None = None
    expected: int | None = None
    found: int | None = None
    symbol: str | None = None
    child_id: str | None = None
    client_order_id: str | None = None
    venue_order_id: str | None = None

    @property
    def subject(self) -> Subject:
        return self.kind, self.about


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one venue: what is raised; and what was seen otherwise in the last looks, as (value, how many in a row)."""

    raised: Mapping[Subject, VenueAlert] = field(default_factory=dict)
    doubts: Mapping[Subject, tuple[int, int]] = field(default_factory=dict)

    def concerns(self, child_id: str) -> bool:
        """Whether an alert about this child stands: it must not be forgotten."""
        return any(alert.child_id == child_id for alert in self.raised.values())


def subject_of(alert: VenueAlert) -> Subject:
    """What a raised alert is about."""
    return alert.kind, alert.asset or alert.venue_order_id or alert.child_id or ""


def of_child(child_id: str, state: ExecutionState, words: str) -> Finding:
    """What of a child has not been clear for long, in words."""
    return Finding(VenueAlertKind.UNRESOLVED_CHILD, child_id, words, symbol=state.child.symbol, child_id=child_id)


def of_orders(
    listed: Iterable[OrderView],
    children: Mapping[str, ExecutionState],
    ours: Callable[[str], bool],
    shared: bool,
    began: int,
) -> list[Finding]:
    """What is open at the venue, in a listing asked for at `began`, and should not be. `ours`: whether an id looks like one that we make."""
    found = []
    for view in listed:
        order = {"about": view.venue_order_id, "venue_order_id": view.venue_order_id, "found": view.filled}
        state = children.get(view.child_id)
        if state is not None:
            if state.phase is ExecutionPhase.DONE and (state.closed_at or 0) < began:
                words = "open at the venue; closed here"
                kind = VenueAlertKind.CLOSED_ORDER_OPEN
                more = {"child_id": view.child_id, "symbol": state.child.symbol, "expected": state.reported}
                found.append(Finding(kind, detail=words, **order, **more))  # type: ignore[arg-type]
            continue
        more = {"client_order_id": view.child_id or None, "symbol": view.symbol or None}
        if ours(view.child_id):
            words = "open at the venue under an id like ours; no child order of ours has it"
            found.append(Finding(VenueAlertKind.ORPHAN_ORDER, detail=words, **order, **more))  # type: ignore[arg-type]
        elif not shared:
            words = "open at the venue, not placed by us, at an account that is ours alone"
            found.append(Finding(VenueAlertKind.FOREIGN_ORDER, detail=words, **order, **more))  # type: ignore[arg-type]
    return found


def judge(
    standing: Standing,
    venue: str,
    kinds: frozenset[VenueAlertKind],
    findings: Iterable[Finding],
    now: int,
    whole: bool = True,
) -> tuple[Standing, list[VenueAlert]]:
    """The standing after a look at `kinds`, and the alerts to tell. `whole`: it would have shown every finding; else nothing is cleared by it."""
    seen = {f.subject: f for f in findings}
    raised, doubts, alerts = dict(standing.raised), dict(standing.doubts), list[VenueAlert]()
    for subject in {**standing.doubts, **standing.raised, **seen}:
        if subject[0] not in kinds:
            continue
        finding, alert = seen.get(subject), raised.get(subject)
        if (finding is None) == (alert is None):
            doubts.pop(subject, None)
            continue
        if finding is None and not whole:
            continue
        value = 0 if finding is None else finding.value
        before, looks = doubts.get(subject, (value, 0))
        looks = looks + 1 if before == value else 1
        if looks < LOOKS:
            doubts[subject] = value, looks
            continue
        doubts.pop(subject, None)
        if finding is not None:
            raised[subject] = raise_(venue, finding, now)
            alerts.append(raised[subject])
        elif alert is not None:
            del raised[subject]
            alerts.append(clear(alert, "no longer so", now))
    return Standing(raised, doubts), alerts


def raise_(venue: str, finding: Finding, now: int) -> VenueAlert:
    """The alert that a finding is. Its time makes the id one of this occasion."""
    return VenueAlert(
        id=f"{venue}|{finding.kind}|{finding.about}|{now}",
        venue=venue,
        kind=finding.kind,
        state=VenueAlertState.RAISED,
        asset=finding.asset,
        expected=finding.expected,
        found=finding.found,
        symbol=finding.symbol,
        child_id=finding.child_id,
        client_order_id=finding.client_order_id,
        venue_order_id=finding.venue_order_id,
        detail=finding.detail,
        raised_at=now,
        at=now,
    )


def clear(alert: VenueAlert, detail: str, now: int) -> VenueAlert:
    """The end of what was raised."""
    return msgspec.structs.replace(alert, state=VenueAlertState.CLEARED, detail=detail, at=now)


def signed(amount: int) -> str:
    """An amount in words: `+5`, `-0.25`."""
    return f"+{text(amount)}" if amount >= 0 else text(amount)
