"""Which order at an exchange is which child of ours, by every name it goes by, and when it may have been taken.

An order has our id on the wire, which follows from its child's, and the exchange's own, which is known once the exchange has told it. Where an
exchange looks at the time of signing, an order was taken within `LEEWAY_MS` of one of its signings, or never; of one that a former
process signed only the claim is known, by a clock that may have been set since, but by no more than `DAY_MS`.
"""

from __future__ import annotations

from dataclasses import replace

from connectors.venues.dialect import ClientIds, Named
from connectors.venues.outcomes import OrderView

LEEWAY_MS = 300_000
DAY_MS = 86_400_000


class Names:
    """Of all children that an adapter was told of. `ids` says how our ids look on the wire."""

    def __init__(self, ids: ClientIds) -> None:
        self._ids = ids
        self._children: dict[str, str] = {}  # our id on the wire -> child id
        self._venue_ids: dict[str, str] = {}  # child id -> the exchange's id
        self._owners: dict[str, str] = {}  # the exchange's id -> child id
        # child id -> from when to when (ms of the exchange's clock) it may have been taken, where that is sure
        self._when: dict[str, tuple[int, int | None]] = {}

    def of(self, child_id: str) -> Named:
        """By what a child can be asked for; from now on what comes in by our id is known to be the child's."""
        wire = self._ids.of(child_id)
        self._children[wire] = child_id
        return Named(wire, self._venue_ids.get(child_id), *self._when.get(child_id, ()))

    def called(self, child_id: str, venue_id: str) -> None:
        """The exchange told its own id of a child."""
        self._venue_ids[child_id], self._owners[venue_id] = venue_id, child_id

    def signed(self, child_id: str, at_ms: int) -> None:
        """A child is being sent, signed with this time."""
        since, _ = self._when.get(child_id, (at_ms - LEEWAY_MS, None))
        self._when[child_id] = since, at_ms + LEEWAY_MS

    def claimed(self, child_id: str, at_ms: int) -> None:
        """A former process may have sent a child, after it had claimed it at this time."""
        self._when.setdefault(child_id, (at_ms - DAY_MS, None))

    def has_venue_id(self, child_id: str) -> bool:
        """Whether the exchange's own id of a child is known."""
        return child_id in self._venue_ids

    def child(self, wire: str) -> str | None:
        """The child that our id on the wire is of, if we were told of it."""
        return self._children.get(wire)

    def owned(self, view: OrderView, child_id: str | None = None) -> OrderView:
        """The order by the name of our child, or of the one it is known to be; as it is where it is none."""
        found = child_id or self.child(view.child_id) or self._owners.get(view.venue_order_id)
        return view if found is None else replace(view, child_id=found)

    def listed(self, view: OrderView) -> None:
        """An order in a listing, by our child's name: it may be one that was told of."""
        if self.child(self._ids.of(view.child_id)) == view.child_id:
            self.called(view.child_id, view.venue_order_id)

    def forget(self, child_id: str) -> None:
        """Nothing more is to be heard of a child."""
        self._children.pop(self._ids.of(child_id), None)
        self._owners.pop(self._venue_ids.pop(child_id, ""), None)
        self._when.pop(child_id, None)
