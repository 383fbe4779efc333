"""Holds a venue against what we know of it, at a slow pace, and tells what differs in `venue.alerts`.

Rules:

* a venue is looked at by the process that has its children: all of `venue.orders` about it is in the partition of its name;
* balances are asked for before open orders. What an order filled before the balances were read, the listing shows; what was reported meanwhile is
  counted (`_reported`): so a look knows by itself whether anything was in flight, and compares balances only when nothing was;
* the ledger and the alerts that stand are in the journal: written in one transaction with the fills that move the one and the records that tell
  of the other, so that a crash neither loses nor repeats anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence

from connectors.execution import findings, holdings
from connectors.execution.desk import Child, Desk, now_us
from connectors.execution.findings import Finding, Standing
from connectors.execution.holdings import Holdings
from connectors.execution.journal import alert_key, ledger_key
from connectors.execution.writer import Ownership, Writer
from connectors.venues.outcomes import Listing, Unknown
from schemas.partitioner import partition_of
from schemas.records import (
    ExecutionKind,
    ExecutionReport,
    VenueAlert,
    VenueAlertKind,
    VenueAlertState,
    VenueLedger,
)

log = logging.getLogger(__name__)


class Audit:
    """One venue's. `every` in seconds; `slack`: see `ExecutionSettings.slack_units`."""

    def __init__(self, desk: Desk, writer: Writer, every: float, slack: int) -> None:
        self._desk, self._writer = desk, writer
        self._venue, self._shared = desk.adapter.config.name, desk.adapter.config.shared
        self._every, self._slack = every, slack
        self._owner: Ownership | None = None
        self._holdings: Holdings | None = None  # None: not counted yet
        self._counted_at = 0
        self._standing = Standing()
        self._reported = 0

    def home(self, partitions: int) -> int:
        """The partition of `venue.orders` in which all about this venue is."""
        return partition_of(self._venue.encode(), partitions)

    def begin(self, owner: Ownership, ledger: VenueLedger | None, alerts: Iterable[VenueAlert]) -> None:
        """The venue's partition is ours from now on; what its journal holds."""
        self._owner = owner
        self._holdings = None if ledger is None else {h.asset: h for h in ledger.holdings}
        self._counted_at = 0 if ledger is None else ledger.at
        self._standing = Standing({findings.subject_of(a): a for a in alerts if a.venue == self._venue})
        self.stream(silent=False)  # ours is a new one

    def end(self, owner: Ownership) -> None:
        """The partition is another's."""
        if self._owner is owner:
            self._owner, self._holdings, self._standing = None, None, Standing()

    def concerns(self, child_id: str) -> bool:
        """Whether an alert about this child stands: it must not be forgotten."""
        return self._standing.concerns(child_id)

    # ---- what the desk tells

    def reported(self, child: Child, reports: Sequence[ExecutionReport]) -> None:
        """Book the fills among what was reported of a child."""
        if not any(r.kind is ExecutionKind.FILL for r in reports):
            return
        self._reported += 1
        if self._holdings is not None and not self._shared:
            self._keep(holdings.book(self._holdings, child.state.child.side, reports))

    def stream(self, silent: bool) -> None:
        """See `Watcher`."""
        raised = {s: a for s, a in self._standing.raised.items() if s[0] is VenueAlertKind.STREAM_SILENT}
        if silent and not raised:
            words = "polls found what the user stream should have told; it is connected anew"
            alert = findings.raise_(self._venue, Finding(VenueAlertKind.STREAM_SILENT, "", words), now_us())
            standing = Standing({**self._standing.raised, findings.subject_of(alert): alert}, self._standing.doubts)
            self._tell(standing, [alert])
        elif raised and not silent:
            rest = {s: a for s, a in self._standing.raised.items() if s not in raised}
            alerts = [findings.clear(a, "the user stream is connected", now_us()) for a in raised.values()]
            self._tell(Standing(rest, self._standing.doubts), alerts)

    # ---- looking

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(self._every)
            owner = self._owner
            if owner is None or not owner.active or owner.draining:
                continue
            self._children()
            if not self._desk.health.away:
                await self._look(owner)

    async def _look(self, owner: Ownership) -> None:
        began, reported = now_us(), self._reported
        found = None if self._shared else await self._desk.balances()
        listed = await self._desk.adapter.open_orders()
        self._desk.note(listed if isinstance(listed, Unknown) else [])
        if isinstance(listed, Unknown) or owner is not self._owner or not owner.active or owner.draining:
            return
        self._orders(listed, began)
        filled = {view.child_id: view.filled for view in listed}
        if found is not None and self._reported == reported and holdings.settled(self._desk.children, filled):
            self._balance({asset: free + locked for asset, (free, locked) in found.items()})

    def _children(self) -> None:
        now = now_us()
        children = self._desk.children.values()
        seen = [findings.of_child(c.child_id, c.state, words) for c in children if (words := c.unclear(now))]
        self._tell(*findings.judge(self._standing, self._venue, findings.ABOUT_CHILDREN, seen, now))

    def _orders(self, listed: Listing, began: int) -> None:
        children = {child_id: child.state for child_id, child in self._desk.children.items()}
        seen = findings.of_orders(listed, children, self._desk.adapter.ours, self._shared, began)
        self._tell(
            *findings.judge(
                self._standing, self._venue, findings.ABOUT_ORDERS, seen, now_us(), whole=not listed.partial
            )
        )

    def _balance(self, found: Mapping[str, int]) -> None:
        if self._holdings is None:
            self._counted_at = now_us()
            self._keep(holdings.count(found))
            return
        held, standing, cleared = holdings.take_in(self._holdings, self._standing, found, now_us())
        held, differences = holdings.compare(held, found, self._slack)
        standing, raised = findings.judge(standing, self._venue, holdings.DRIFT, differences, now_us())
        if held != self._holdings:
            self._keep(held)
        self._tell(standing, [*cleared, *raised])

    # ---- keeping it

    def _keep(self, held: Holdings) -> None:
        self._holdings = held
        if self._owner is not None:
            ledger = VenueLedger(venue=self._venue, holdings=tuple(held.values()), at=self._counted_at)
            self._writer.put(self._owner, ledger_key(self._venue), ledger)

    def _tell(self, standing: Standing, alerts: Sequence[VenueAlert]) -> None:
        if self._owner is None:
            return
        self._standing = standing
        for alert in alerts:
            log.warning("%s %s: %s", alert.id, alert.state, alert.detail)
            stands = alert.state is VenueAlertState.RAISED
            self._writer.put(self._owner, alert_key(alert.id), alert if stands else None, alerts=[alert])
