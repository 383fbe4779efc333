"""The five statuses that users see, from the states that the pipeline keeps.

One table, total over `OrderState`, so that every reader (read model, notifier, gateway, command line) says the same word for the
same order. An order that still works and has fills is `partial` whatever else is going on with it; one that has ended keeps the
word for how it ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from schemas.records import OrderState

Status = Literal["pending", "partial", "filled", "cancelled", "rejected"]

PUBLIC_STATUS: Final[Mapping[OrderState, Status]] = {
    OrderState.INITIALIZED: "pending",
    OrderState.SCHEDULED: "pending",
    OrderState.ARMED: "pending",
    OrderState.TRIGGERED: "pending",
    OrderState.ROUTING: "pending",
    OrderState.WORKING: "pending",
    OrderState.PENDING_CANCEL: "pending",
    OrderState.PENDING_MODIFY: "pending",
    OrderState.UNKNOWN: "pending",  # the venue has not said: neither done nor failed
    OrderState.PARTIALLY_FILLED: "partial",
    OrderState.FILLED: "filled",
    OrderState.CANCELLED: "cancelled",
    OrderState.EXPIRED: "cancelled",  # the time in force cancelled it
    OrderState.DENIED: "rejected",  # by us
    OrderState.REJECTED: "rejected",  # by a venue
}
OPEN: Final[frozenset[Status]] = frozenset({"pending", "partial"})


def public_status(state: OrderState, filled: int = 0) -> Status:
    """The status of an order in `state` of which `filled` (units of 1e-8) is filled."""
    status = PUBLIC_STATUS[state]
    return "partial" if status == "pending" and filled > 0 else status
