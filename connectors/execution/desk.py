"""One venue's children: sending them, cancelling them, and finding out what became of them.

Rules:

* a child is sent once, by the process that claimed it, and only while the claim is fresh (`Claimed.fresh`): the request is signed with
  a time taken before that check, so a process that was frozen in between is refused by the venue itself, `recv_window_ms` later;
* a child whose cancel was claimed before it was sent is not sent;
* one child's requests never overtake each other: each holds the child's lock until its outcome is known;
* an unknown outcome is resolved by asking. "No such order" counts only after the last moment at which the venue could have accepted the
  request, when it says so twice, and while the venue still remembers what it took at that time (`remembers_seconds`); then the child is
  REJECTED with NEVER_ARRIVED. Nothing is sent again, except cancels, which are safe to repeat, and are repeated while the order is open;
* an order that its venue had and does not know any more, for `GONE_SECONDS` and whichever way it is asked, is over with what its trades say;
* what stays unclear for `LONG_SECONDS` is told to people (`Child.unclear`), and asked about for as long as it takes;
* stream events, answers and polls all go through `report.observe`, in whatever order they come.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ccxt.base import errors  # type: ignore[import-untyped, unused-ignore]  # upstream ships no types

from connectors.execution import report
from connectors.execution.health import Health
from connectors.execution.report import Step
from connectors.execution.waits import at_most
from connectors.execution.writer import Ownership, Writer
from connectors.venues.adapter import VenueAdapter
from connectors.venues.outcomes import (
    NotFound,
    OrderView,
    Outcome,
    OutcomeKind,
    StreamUp,
    Unknown,
    VenueOrderStatus,
    VenueTrade,
)
from connectors.venues.units import text
from schemas.records import ChildOrder, ExecutionKind, ExecutionPhase, ExecutionReport, ExecutionState

log = logging.getLogger(__name__)

OPEN_OR_DONE = (ExecutionPhase.OPEN, ExecutionPhase.DONE)
CLOCK_MARGIN = 1.0  # seconds: venues accept a signing time up to a second ahead of their clock
WAIT_FIRST, WAIT_LONGEST = 0.1, 2.0  # seconds between repeated questions
WAIT_ACKNOWLEDGED = 0.5  # seconds that a venue has for a cancel that it acknowledged, before it is asked for again
RATE_LIMITED = (418, 429)
CLOCK_OFF = "INVALID_NONCE"  # says something about our clock and the venue's, and nothing about an order
DEAF_MS = 2_000  # what is older than this a stream that works has told
GONE_SECONDS = 60.0
LONG_SECONDS = 60.0
REFUSALS = 3  # of a cancel that was acknowledged before: the order may be on its way out


def now_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Claimed:
    """When a claim was made, by both clocks: one of them may have been stopped or set while the process slept."""

    wall: float
    monotonic: float

    @classmethod
    def now(cls) -> Claimed:
        return cls(time.time(), time.monotonic())

    def fresh(self, ttl: float) -> bool:
        """Whether at most `ttl` seconds passed since."""
        return max(time.time() - self.wall, time.monotonic() - self.monotonic) <= ttl


@dataclass(slots=True, eq=False)
class Child:
    """A child this process owns."""

    child_id: str
    owner: Ownership
    state: ExecutionState
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    seen: OrderView | None = None  # the venue's view whose trades are being fetched
    fetching: bool = False
    # since when (monotonic) the venue tells of fills without their trades, and denies that it has the order
    lacking: float | None = None
    gone: float | None = None

    @property
    def known(self) -> int:
        """What the venue is known to have filled, reported or not."""
        return 0 if self.seen is None else self.seen.filled

    def unclear(self, now: int) -> str:
        """What of this child has not been clear for long, at `now` (microseconds); nothing, as a rule."""
        moment = time.monotonic()
        if self.state.phase in (ExecutionPhase.CLAIMED, ExecutionPhase.UNKNOWN):
            return "whether it was taken is not known" if now - self.state.claimed_at > LONG_SECONDS * 1e6 else ""
        if self.lacking is not None and moment - self.lacking > LONG_SECONDS:
            return f"{text(self.known)} are filled; only {text(self.state.reported)} have trades"
        if self.gone is not None and moment - self.gone > LONG_SECONDS:
            return "it was open there, and is not known there any more"
        return ""


def _latest(seen: OrderView | None, view: OrderView) -> OrderView:
    """What is known after one more look: answers, events and polls overtake each other, but no order reopens and no fill is undone."""
    if seen is None:
        return view
    latest = seen if seen.status is not VenueOrderStatus.OPEN and view.status is VenueOrderStatus.OPEN else view
    return replace(latest, filled=max(seen.filled, view.filled))


Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Watcher(Protocol):
    """Who holds the venue against what is reported."""

    def reported(self, child: Child, reports: Sequence[ExecutionReport]) -> None:
        """Reports that were queued just now: what is queued in the same breath is written in their transaction."""

    def stream(self, silent: bool) -> None:
        """The user stream was found to be silent about what happened, or is subscribed again."""


class Desk:
    """See the module. `claim_ttl` in seconds; `in_flight` orders and as many cancels may be on their way at once."""

    def __init__(
        self, adapter: VenueAdapter, writer: Writer, spawn: Spawn, in_flight: int, claim_ttl: float, poll: float
    ) -> None:
        self.adapter, self.health = adapter, Health(adapter.config.name)
        self.children: dict[str, Child] = {}
        self._writer, self._spawn = writer, spawn
        self._ttl, self._poll = claim_ttl, poll
        self._orders, self._cancels = asyncio.Semaphore(in_flight), asyncio.Semaphore(in_flight)
        self._questions = asyncio.Semaphore(max(2, in_flight // 2))
        self._reconcile = asyncio.Event()
        self.reconciles = True
        self.watcher: Watcher | None = None
        self.health_changed = asyncio.Event()
        self.tried = asyncio.Event()  # the venue's instruments were asked for, with or without success
        self.loaded = asyncio.Event()  # they are known; cleared by who goes to read them
        self.loaded.set()

    @property
    def settle(self) -> float:
        """Seconds after signing until the venue can no longer accept a request."""
        return self.adapter.takes_seconds + CLOCK_MARGIN

    def apply(self, child: Child, step: Step) -> None:
        """Take a step: remember it, queue it for the next transaction, ask for trades that are missing."""
        if step.state is not child.state or step.reports:
            child.state = step.state
            self._writer.put(child.owner, child.child_id, step.state, step.reports)
            if self.watcher is not None and child.owner.active:
                self.watcher.reported(child, step.reports)
        if step.missing and not child.fetching and self.reconciles:
            child.fetching = True
            self._spawn(self._fetch_trades(child))

    def _observe(self, child: Child, view: OrderView, trades: tuple[VenueTrade, ...] | list[VenueTrade] = ()) -> None:
        child.seen, child.gone = _latest(child.seen, view), None
        step = report.observe(child.child_id, child.state, child.seen, trades, now_us())
        child.lacking = (child.lacking or time.monotonic()) if step.missing else None
        self.apply(child, step)

    def note(
        self, outcome: Outcome | OrderView | NotFound | Unknown | list[Any], latency_us: int | None = None
    ) -> None:
        """Take what came of a request into the venue's health."""
        before = self.health.status
        if isinstance(outcome, Unknown):
            if outcome.ours:
                return
            failed, reason = True, f"{outcome.code}: {outcome.reason}"
        elif isinstance(outcome, Outcome):
            # An id that is taken is an answer, a refusal of our own says nothing about the venue.
            failed = (outcome.kind is OutcomeKind.UNKNOWN and outcome.code != "DUPLICATE") or outcome.code == "NOT_SENT"
            reason = f"{outcome.code}: {outcome.reason}"
            if outcome.kind is OutcomeKind.NOT_SENT and not failed:
                return
        else:
            failed, reason = False, ""
        if failed:
            self.health.failed(reason)
        else:
            rejected = isinstance(outcome, Outcome) and outcome.kind is OutcomeKind.REJECTED and latency_us is not None
            self.health.answered(latency_us, rejected=rejected)
        if self.health.status is not before:
            self.health_changed.set()

    # ---- sending

    async def place(self, child: Child, order: ChildOrder, claimed: Claimed, sent: Callable[[], None]) -> None:
        """Send a claimed child and see it through to a known outcome. `sent` is called when the venue has had its say."""
        async with child.lock:
            try:
                outcome = await self._send(child, order, claimed)
            finally:
                sent()
            if not child.owner.active:
                return
            if outcome.kind is OutcomeKind.ACCEPTED and outcome.view is not None:
                self._observe(child, outcome.view, outcome.trades)
            elif outcome.kind is OutcomeKind.UNKNOWN:
                deadline = time.monotonic() + self.settle
                step = report.unknown(child.child_id, child.state, outcome.code, outcome.reason, outcome, now_us())
                self.apply(child, step)
                await self._resolve(child, deadline)
            elif child.state.phase is ExecutionPhase.CLAIMED:
                kind = ExecutionKind.REJECTED if outcome.kind is OutcomeKind.REJECTED else ExecutionKind.NOT_SENT
                self.apply(child, report.refused(child.child_id, child.state, kind, outcome, now_us()))

    async def _send(self, child: Child, order: ChildOrder, claimed: Claimed) -> Outcome:
        if not self.health.down and not self.loaded.is_set():
            # What was never read says nothing about a symbol. The claim bounds the wait.
            await at_most(self._ttl, self.loaded)
        async with self._orders:
            signed_at = (
                self.adapter.now_ms()
            )  # before the check: what passes it cannot be accepted later than this allows
            if child.owner.draining or not child.owner.active:
                return Outcome(OutcomeKind.NOT_SENT, code="DRAINING", reason="the connector is leaving")
            if child.state.cancel_at is not None:
                return Outcome(OutcomeKind.NOT_SENT, code=report.CALLED_OFF, reason="cancelled before it was sent")
            if self.health.down:
                return Outcome(OutcomeKind.NOT_SENT, code="VENUE_DOWN", reason=self.health.reason)
            if not claimed.fresh(self._ttl):
                return Outcome(OutcomeKind.NOT_SENT, code="CLAIM_EXPIRED", reason=f"not sent within {self._ttl} s")
            started = time.perf_counter_ns()
            outcome = await self.adapter.place(order, signed_at)
            self.note(outcome, (time.perf_counter_ns() - started) // 1000)
            return outcome

    async def recover(self, child: Child) -> None:
        """A child claimed by a process that is gone: it may have been sent, a moment ago or never."""
        async with child.lock:
            # By our own clock, from now: the other's may have been set differently.
            await self._resolve(child, time.monotonic() + self._ttl + self.settle)

    async def _resolve(self, child: Child, deadline: float) -> None:
        """Ask until it is known whether the venue has the child. Before `deadline` (monotonic) an absence means nothing."""
        wait, misses = WAIT_FIRST, 0
        while child.owner.active and child.state.phase not in OPEN_OR_DONE:
            found = await self._ask(child)
            if not child.owner.active or child.state.phase in OPEN_OR_DONE:
                return
            if isinstance(found, OrderView):
                self._observe(child, found)
                return
            if isinstance(found, NotFound) and self._forgets(child):
                misses, code, reason = 0, report.FORGOTTEN, "the venue would not remember the order any more"
            elif isinstance(found, NotFound):
                misses += time.monotonic() >= deadline
                if misses >= 2:
                    outcome = Outcome(
                        OutcomeKind.REJECTED, code=report.NEVER_ARRIVED, reason="the venue has no such order"
                    )
                    step = report.refused(child.child_id, child.state, ExecutionKind.REJECTED, outcome, now_us())
                    self.apply(child, step)
                    return
                code, reason = "NOT_SETTLED", "the venue has no such order yet"
            else:
                misses, code, reason = 0, found.code, found.reason
            self.apply(child, report.unknown(child.child_id, child.state, code, reason, None, now_us()))
            await asyncio.sleep(wait)
            wait = min(wait * 2, WAIT_LONGEST)

    def _forgets(self, child: Child) -> bool:
        """Whether the child was claimed so long ago that its venue may have taken it, ended it, and forgotten it."""
        memory = self.adapter.remembers_seconds
        return memory is not None and now_us() - child.state.claimed_at > (memory - self.settle) * 1e6

    async def balances(self) -> Mapping[str, tuple[int, int]] | None:
        """Asset -> (free, locked) of what we have there; None, with a word in the log, when the venue does not tell."""
        try:
            return await self.adapter.balances()
        except (errors.BaseError, ValueError, KeyError) as error:
            log.warning("%s: balances cannot be read: %s", self.adapter.config.name, str(error)[:300])
            return None

    async def _ask(self, child: Child) -> OrderView | NotFound | Unknown:
        together = self.adapter.together(child.child_id)
        async with contextlib.nullcontext() if together else self._questions:
            found = await self.adapter.query(child.state.child.symbol, child.child_id)
        if not together:  # one request answered many: it would count as many failures, or as many successes
            self.note(found)
        return found

    async def _ask_trades(self, child: Child, venue_order_id: str) -> list[VenueTrade] | Unknown:
        async with self._questions:
            found = await self.adapter.trades(child.state.child.symbol, venue_order_id)
        self.note(found)
        return found

    # ---- cancelling

    async def cancel(self, child: Child) -> None:
        """See a claimed cancel through: the child closes, or the venue refuses for sure."""
        wait, absent, refusals, needed = WAIT_FIRST, 0, 0, 1
        async with child.lock:
            while child.owner.active and not child.owner.draining and child.state.cancel_at is not None:
                async with self._cancels:
                    outcome = await self.adapter.cancel(child.state.child.symbol, child.child_id)
                self.note(outcome)
                if outcome.kind is OutcomeKind.ACCEPTED:
                    needed, wait = REFUSALS, max(wait, WAIT_ACKNOWLEDGED)
                found = outcome.view or await self._ask(child)
                if isinstance(found, OrderView):
                    self._observe(child, found)
                    if found.status is not VenueOrderStatus.OPEN:
                        return
                if outcome.code == CLOCK_OFF:
                    await self.adapter.probe()
                answered = outcome.code != CLOCK_OFF and outcome.http_status not in RATE_LIMITED
                refused = outcome.kind is OutcomeKind.REJECTED and answered
                absent = absent + 1 if isinstance(found, NotFound) else 0
                refusals = refusals + 1 if refused and isinstance(found, OrderView) else 0
                if refused and child.state.cancel_at is not None and (refusals >= needed or absent >= REFUSALS):
                    self.apply(child, report.cancel_refused(child.child_id, child.state, outcome, now_us()))
                    return
                await asyncio.sleep(wait)
                wait = min(wait * 2, WAIT_LONGEST)

    # ---- what became of them

    async def _fetch_trades(self, child: Child) -> None:
        wait = WAIT_FIRST
        try:
            while child.owner.active and child.seen is not None and child.state.venue_order_id is not None:
                if child.seen.filled <= child.state.reported:
                    return
                found = await self._ask_trades(child, child.state.venue_order_id)
                if isinstance(found, list) and child.owner.active:
                    self._observe(child, child.seen, found)
                    if child.seen.filled <= child.state.reported:
                        return
                await asyncio.sleep(wait)
                wait = min(wait * 2, WAIT_LONGEST)
        finally:
            child.fetching = False

    async def run_stream(self) -> None:
        """Take the user stream's events, for ever."""
        async for event in self.adapter.events():
            if isinstance(event, StreamUp):
                self._reconcile.set()
                if self.watcher is not None:
                    self.watcher.stream(silent=False)
                continue
            child = self.children.get(event.view.child_id)
            if child is not None and child.owner.active:
                self._observe(child, event.view, () if event.trade is None else (event.trade,))

    def reconcile_soon(self) -> None:
        """Compare with the venue now rather than at the next slow poll."""
        self._reconcile.set()

    def _polled(self, child: Child, view: OrderView) -> bool:
        """Take over what a poll shows; whether the stream should have told of it before, but did not."""
        seen = child.seen
        self._observe(child, view)
        if seen is None or view.at is None or view.at > (self.adapter.now_ms() - DEAF_MS) * 1000:
            return False
        return view.filled > seen.filled or (view.status is not seen.status is VenueOrderStatus.OPEN)

    async def run_polls(self) -> None:
        """Compare what is open here with what is open there: slowly, and at once after the stream came back.

        A slow poll that finds what the stream was silent about has the stream connected anew.
        """
        while True:
            await at_most(self._poll, self._reconcile)
            slow, deaf = not self._reconcile.is_set(), False
            self._reconcile.clear()
            ours = [c for c in self.children.values() if c.state.phase is ExecutionPhase.OPEN]
            if not ours or self.health.down:
                continue
            listed = await self.adapter.open_orders()
            self.note(listed if isinstance(listed, Unknown) else [])
            if isinstance(listed, Unknown):
                continue
            theirs = {view.child_id: view for view in listed}
            for child in ours:
                view = theirs.get(child.child_id)
                if view is not None:
                    deaf |= self._polled(child, view)
                elif child.owner.active and child.state.phase is ExecutionPhase.OPEN:
                    found = await self._ask(child)
                    if isinstance(found, OrderView) and child.owner.active:
                        deaf |= self._polled(child, found)
                    elif isinstance(found, NotFound) and not listed.partial:
                        await self._missed(child)
            if slow and deaf:
                log.warning("%s: the user stream is silent about what polls find", self.adapter.config.name)
                if self.watcher is not None:
                    self.watcher.stream(silent=True)
                self.adapter.doubt()

    async def _missed(self, child: Child) -> None:
        """The venue neither lists nor knows a child that it had."""
        child.gone = child.gone or time.monotonic()
        if time.monotonic() - child.gone < GONE_SECONDS or child.state.venue_order_id is None:
            return
        found = await self._ask_trades(child, child.state.venue_order_id)
        if isinstance(found, Unknown) or not child.owner.active or child.gone is None:
            return  # cannot be said, or was heard of meanwhile
        filled = max(child.known, sum(trade.quantity for trade in found))
        view = OrderView(child.child_id, child.state.venue_order_id, VenueOrderStatus.OPEN, filled, None)
        self.apply(child, report.observe(child.child_id, child.state, view, found, now_us()))
        if child.state.phase is ExecutionPhase.OPEN and filled <= child.state.reported:
            self.apply(child, report.forgotten(child.child_id, child.state, now_us()))

    async def run_probes(self, every: float = 1.0, clock_every: float = 30.0) -> None:
        """Ask a venue that is down, or on trial, whether it is back; measure the clock of one that is up."""
        measured = time.monotonic()
        while True:
            await asyncio.sleep(every)
            if not self.health.away and time.monotonic() - measured < clock_every:
                continue
            measured = time.monotonic()
            if await self.adapter.probe() and self.health.away:
                self.health.answered()
                self.health_changed.set()
                self._reconcile.set()
