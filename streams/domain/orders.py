"""The life of an order: one table for parent orders, one for child orders. A pair that is missing is an illegal transition.

    parent                                                        child
    INITIALIZED ─► SCHEDULED ─► ARMED ─► TRIGGERED ─► ROUTING ─► …  ROUTING ─► WORKING ─► PARTIALLY_FILLED ─► FILLED
                └► DENIED                                           └► UNKNOWN ┘   └► CANCELLED, EXPIRED, REJECTED

A parent is what a client asked for, a child what one venue was asked for. Rules that the tables keep:

* a report that tells again what is known changes nothing: reports may come twice, and an acknowledgement after a fill;
* a fill after a cancel or an expiry is legal, for the venue's matching and its answers cross on the way;
* what a venue refused has no fills but those that it counted when it refused the rest: one that comes all the same contradicts the venue
  and is for a person to look at;
* UNKNOWN ends only by what the venue says.

`diagram` draws a table for the documentation, so that the picture is what the code does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from schemas.records import ChildState, ExecutionKind
from schemas.records import OrderState as S


class On(StrEnum):
    """What moves a parent order."""

    DENY = "DENY"
    SCHEDULE = "SCHEDULE"
    ARM = "ARM"
    TRIGGER = "TRIGGER"
    ACCEPT = "ACCEPT"
    PLAN = "PLAN"
    WORK = "WORK"
    FILL = "FILL"
    FILL_ALL = "FILL_ALL"
    CANCEL = "CANCEL"
    MODIFY = "MODIFY"
    # what was wanted is done (a change), or every venue refused to cancel what is still open: the order lives on
    BACK_TO_ROUTING = "BACK_TO_ROUTING"
    BACK_TO_WORKING = "BACK_TO_WORKING"
    BACK_TO_PARTIAL = "BACK_TO_PARTIAL"
    # no child is open any more, and quantity is left
    END_CANCELLED = "END_CANCELLED"
    END_EXPIRED = "END_EXPIRED"
    END_REJECTED = "END_REJECTED"


class ChildOn(StrEnum):
    """What moves a child order: the kinds of an execution report, a fill of the whole rest apart."""

    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    NOT_SENT = "NOT_SENT"
    FILL = "FILL"
    FILL_ALL = "FILL_ALL"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    CANCEL_REJECTED = "CANCEL_REJECTED"
    UNKNOWN = "UNKNOWN"


PARENT: Final[Mapping[tuple[S, On], S]] = {
    (S.INITIALIZED, On.DENY): S.DENIED,
    (S.INITIALIZED, On.SCHEDULE): S.SCHEDULED,
    (S.INITIALIZED, On.ARM): S.ARMED,
    (S.INITIALIZED, On.ACCEPT): S.ROUTING,
    # SCHEDULED: nothing is reserved, nothing is anywhere; ARMED: reserved for, the router watches
    (S.SCHEDULED, On.DENY): S.DENIED,  # at its start the rules were against it
    (S.SCHEDULED, On.ARM): S.ARMED,
    (S.SCHEDULED, On.ACCEPT): S.ROUTING,
    (S.SCHEDULED, On.CANCEL): S.PENDING_CANCEL,
    (S.ARMED, On.TRIGGER): S.TRIGGERED,
    (S.ARMED, On.CANCEL): S.PENDING_CANCEL,
    (S.TRIGGERED, On.PLAN): S.ROUTING,
    (S.TRIGGERED, On.DENY): S.DENIED,  # trading is halted
    (S.TRIGGERED, On.CANCEL): S.PENDING_CANCEL,
    (S.TRIGGERED, On.MODIFY): S.PENDING_MODIFY,
    (S.ROUTING, On.PLAN): S.ROUTING,
    (S.ROUTING, On.WORK): S.WORKING,
    (S.ROUTING, On.FILL): S.PARTIALLY_FILLED,  # of a child whose acknowledgement is late or was UNKNOWN
    (S.ROUTING, On.FILL_ALL): S.FILLED,
    (S.ROUTING, On.CANCEL): S.PENDING_CANCEL,
    (S.ROUTING, On.MODIFY): S.PENDING_MODIFY,
    (S.ROUTING, On.END_CANCELLED): S.CANCELLED,  # by the venue
    (S.ROUTING, On.END_EXPIRED): S.EXPIRED,
    (S.ROUTING, On.END_REJECTED): S.REJECTED,
    (S.WORKING, On.PLAN): S.WORKING,  # what the venues left is routed again
    (S.WORKING, On.WORK): S.WORKING,  # a further child
    (S.WORKING, On.FILL): S.PARTIALLY_FILLED,
    (S.WORKING, On.FILL_ALL): S.FILLED,
    (S.WORKING, On.CANCEL): S.PENDING_CANCEL,
    (S.WORKING, On.MODIFY): S.PENDING_MODIFY,
    (S.WORKING, On.END_CANCELLED): S.CANCELLED,  # by the venue
    (S.WORKING, On.END_EXPIRED): S.EXPIRED,
    (S.WORKING, On.END_REJECTED): S.REJECTED,  # a venue may accept first and refuse then
    (S.PARTIALLY_FILLED, On.PLAN): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, On.WORK): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, On.FILL): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, On.FILL_ALL): S.FILLED,
    (S.PARTIALLY_FILLED, On.CANCEL): S.PENDING_CANCEL,
    (S.PARTIALLY_FILLED, On.MODIFY): S.PENDING_MODIFY,
    (S.PARTIALLY_FILLED, On.END_CANCELLED): S.CANCELLED,
    (S.PARTIALLY_FILLED, On.END_EXPIRED): S.EXPIRED,
    (S.PENDING_CANCEL, On.PLAN): S.PENDING_CANCEL,  # the cancel came before the children were known
    (S.PENDING_CANCEL, On.WORK): S.PENDING_CANCEL,
    (S.PENDING_CANCEL, On.FILL): S.PENDING_CANCEL,  # the fill was first at the venue
    (S.PENDING_CANCEL, On.FILL_ALL): S.FILLED,
    (S.PENDING_CANCEL, On.CANCEL): S.PENDING_CANCEL,  # asked again
    (S.PENDING_CANCEL, On.BACK_TO_ROUTING): S.ROUTING,
    (S.PENDING_CANCEL, On.BACK_TO_WORKING): S.WORKING,
    (S.PENDING_CANCEL, On.BACK_TO_PARTIAL): S.PARTIALLY_FILLED,
    (S.PENDING_CANCEL, On.END_CANCELLED): S.CANCELLED,
    (S.PENDING_CANCEL, On.END_EXPIRED): S.EXPIRED,  # it was its time that cancelled it
    # PENDING_MODIFY: its children are called back, what is left goes out anew
    (S.PENDING_MODIFY, On.PLAN): S.PENDING_MODIFY,
    (S.PENDING_MODIFY, On.WORK): S.PENDING_MODIFY,
    (S.PENDING_MODIFY, On.FILL): S.PENDING_MODIFY,  # the fill was first at the venue
    (S.PENDING_MODIFY, On.FILL_ALL): S.FILLED,
    (S.PENDING_MODIFY, On.CANCEL): S.PENDING_CANCEL,  # the cancel wins
    (S.PENDING_MODIFY, On.BACK_TO_ROUTING): S.ROUTING,
    (S.PENDING_MODIFY, On.BACK_TO_WORKING): S.WORKING,
    (S.PENDING_MODIFY, On.BACK_TO_PARTIAL): S.PARTIALLY_FILLED,
    (S.PENDING_MODIFY, On.END_CANCELLED): S.CANCELLED,  # a venue did not say what it filled
    (S.PENDING_MODIFY, On.END_EXPIRED): S.EXPIRED,  # the end that it was to have came first
    # a late fill made it whole while what it had left was being routed: those children are called back
    (S.FILLED, On.PLAN): S.FILLED,
    (S.FILLED, On.WORK): S.FILLED,
    (S.CANCELLED, On.FILL): S.CANCELLED,  # late: the venue matched before it cancelled
    (S.CANCELLED, On.FILL_ALL): S.FILLED,
    (S.EXPIRED, On.FILL): S.EXPIRED,  # late
    (S.EXPIRED, On.FILL_ALL): S.FILLED,
}

CHILD: Final[Mapping[tuple[S, ChildOn], S]] = {
    # ROUTING: on its way, nothing is known of it
    (S.ROUTING, ChildOn.ACCEPTED): S.WORKING,
    (S.ROUTING, ChildOn.REJECTED): S.REJECTED,
    (S.ROUTING, ChildOn.NOT_SENT): S.REJECTED,
    (S.ROUTING, ChildOn.FILL): S.PARTIALLY_FILLED,
    (S.ROUTING, ChildOn.FILL_ALL): S.FILLED,
    (S.ROUTING, ChildOn.CANCELLED): S.CANCELLED,
    (S.ROUTING, ChildOn.EXPIRED): S.EXPIRED,
    (S.ROUTING, ChildOn.CANCEL_REJECTED): S.ROUTING,
    (S.ROUTING, ChildOn.UNKNOWN): S.UNKNOWN,
    # UNKNOWN: sent, perhaps there; its quantity stays reserved and is never routed again
    (S.UNKNOWN, ChildOn.ACCEPTED): S.WORKING,
    (S.UNKNOWN, ChildOn.REJECTED): S.REJECTED,  # it never arrived
    (S.UNKNOWN, ChildOn.NOT_SENT): S.REJECTED,
    (S.UNKNOWN, ChildOn.FILL): S.PARTIALLY_FILLED,
    (S.UNKNOWN, ChildOn.FILL_ALL): S.FILLED,
    (S.UNKNOWN, ChildOn.CANCELLED): S.CANCELLED,
    (S.UNKNOWN, ChildOn.EXPIRED): S.EXPIRED,
    (S.UNKNOWN, ChildOn.CANCEL_REJECTED): S.UNKNOWN,
    (S.UNKNOWN, ChildOn.UNKNOWN): S.UNKNOWN,
    (S.WORKING, ChildOn.ACCEPTED): S.WORKING,
    (S.WORKING, ChildOn.REJECTED): S.REJECTED,
    (S.WORKING, ChildOn.FILL): S.PARTIALLY_FILLED,
    (S.WORKING, ChildOn.FILL_ALL): S.FILLED,
    (S.WORKING, ChildOn.CANCELLED): S.CANCELLED,
    (S.WORKING, ChildOn.EXPIRED): S.EXPIRED,
    (S.WORKING, ChildOn.CANCEL_REJECTED): S.WORKING,
    (S.WORKING, ChildOn.UNKNOWN): S.WORKING,  # told again: we know more
    (S.PARTIALLY_FILLED, ChildOn.ACCEPTED): S.PARTIALLY_FILLED,  # after the fill
    (S.PARTIALLY_FILLED, ChildOn.REJECTED): S.REJECTED,  # of the rest
    (S.PARTIALLY_FILLED, ChildOn.FILL): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, ChildOn.FILL_ALL): S.FILLED,
    (S.PARTIALLY_FILLED, ChildOn.CANCELLED): S.CANCELLED,
    (S.PARTIALLY_FILLED, ChildOn.EXPIRED): S.EXPIRED,
    (S.PARTIALLY_FILLED, ChildOn.CANCEL_REJECTED): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, ChildOn.UNKNOWN): S.PARTIALLY_FILLED,
    (S.FILLED, ChildOn.ACCEPTED): S.FILLED,
    (S.FILLED, ChildOn.CANCELLED): S.FILLED,  # the cancel crossed the last fill
    (S.FILLED, ChildOn.EXPIRED): S.FILLED,
    (S.FILLED, ChildOn.CANCEL_REJECTED): S.FILLED,
    (S.FILLED, ChildOn.UNKNOWN): S.FILLED,
    (S.CANCELLED, ChildOn.ACCEPTED): S.CANCELLED,
    (S.CANCELLED, ChildOn.FILL): S.CANCELLED,  # late, and legal
    (S.CANCELLED, ChildOn.FILL_ALL): S.FILLED,
    (S.CANCELLED, ChildOn.CANCELLED): S.CANCELLED,
    (S.CANCELLED, ChildOn.CANCEL_REJECTED): S.CANCELLED,  # of a second cancel
    (S.CANCELLED, ChildOn.UNKNOWN): S.CANCELLED,
    (S.EXPIRED, ChildOn.ACCEPTED): S.EXPIRED,
    (S.EXPIRED, ChildOn.FILL): S.EXPIRED,  # late, and legal
    (S.EXPIRED, ChildOn.FILL_ALL): S.FILLED,
    (S.EXPIRED, ChildOn.EXPIRED): S.EXPIRED,
    (S.EXPIRED, ChildOn.CANCEL_REJECTED): S.EXPIRED,  # too late
    (S.EXPIRED, ChildOn.UNKNOWN): S.EXPIRED,
    (S.REJECTED, ChildOn.REJECTED): S.REJECTED,
    (S.REJECTED, ChildOn.NOT_SENT): S.REJECTED,
    (S.REJECTED, ChildOn.FILL): S.REJECTED,  # only what the venue counted when it refused the rest
    (S.REJECTED, ChildOn.FILL_ALL): S.FILLED,
    (S.REJECTED, ChildOn.CANCEL_REJECTED): S.REJECTED,
    (S.REJECTED, ChildOn.UNKNOWN): S.REJECTED,
}

CLOSED: Final[frozenset[S]] = frozenset({S.DENIED, S.FILLED, S.CANCELLED, S.EXPIRED, S.REJECTED})
CHILD_ON: Final[Mapping[ExecutionKind, ChildOn]] = {kind: ChildOn(kind.value) for kind in ExecutionKind}


class IllegalTransition(Exception):
    """The table has no such row."""

    def __init__(self, what: str, state: S, on: StrEnum) -> None:
        super().__init__(f"{what}: {on} is not possible in {state}")


def parent(state: S, on: On) -> S:
    """The parent's next state. Raises `IllegalTransition`."""
    try:
        return PARENT[state, on]
    except KeyError:
        raise IllegalTransition("order", state, on) from None


def child(state: S, on: ChildOn) -> S:
    """The child's next state. Raises `IllegalTransition`."""
    try:
        return CHILD[state, on]
    except KeyError:
        raise IllegalTransition("child", state, on) from None


def is_open(c: ChildState) -> bool:
    """Whether more is to come of a child: it may live at the venue, or fills that the venue counted are not here yet."""
    return c.state not in CLOSED or (c.expected is not None and c.expected > c.filled)


def in_flight(c: ChildState) -> int:
    """What may still be filled of a child."""
    return (c.quantity if c.state not in CLOSED else max(c.expected or 0, c.filled)) - c.filled


def uncounted(c: ChildState) -> bool:
    """Whether a venue ended a child without saying what it filled: more may come, or not."""
    return c.state in CLOSED and c.state is not S.REJECTED and c.filled < c.quantity and c.expected is None


def at_risk(c: ChildState) -> int:
    """What must not be asked for a second time of a child."""
    if c.state not in CLOSED:
        return c.quantity - c.filled
    return c.quantity - c.filled if uncounted(c) else in_flight(c)


def diagram(table: Mapping[tuple[S, On], S] | Mapping[tuple[S, ChildOn], S]) -> str:
    """The table as a Mermaid state diagram; rows that change nothing are left out."""
    arrows: dict[tuple[S, S], list[str]] = {}
    rows: Iterable[tuple[tuple[S, StrEnum], S]] = table.items()
    for (state, on), then in rows:
        if state is not then:
            arrows.setdefault((state, then), []).append(on.value)
    lines = ["stateDiagram-v2"]
    first = next(iter(table))[0]
    lines.append(f"    [*] --> {first}")
    lines += [f"    {a} --> {b}: {', '.join(ons)}" for (a, b), ons in arrows.items()]
    reached = dict.fromkeys(s for (a, b) in arrows for s in (a, b))
    lines += [f"    {s} --> [*]" for s in reached if s in CLOSED]
    return "\n".join(lines) + "\n"
