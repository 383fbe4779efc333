"""A desk and a venue that answers oddly: nothing is left open for ever, nothing is believed too soon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

import httpx
import pytest
from children import CHILD

from connectors.execution import desk as desks
from connectors.execution import report
from connectors.execution.desk import Child, Claimed, Desk, now_us
from connectors.execution.journal import Kept
from connectors.execution.writer import Ownership, Writer
from connectors.venues.adapter import VenueAdapter, VenueConfig
from connectors.venues.outcomes import (
    Listing,
    NotFound,
    OrderView,
    Outcome,
    OutcomeKind,
    StreamUp,
    Unknown,
    VenueEvent,
    VenueOrderStatus,
    VenueTrade,
)
from schemas.records import (
    ChildOrder,
    ExecutionKind,
    ExecutionPhase,
    ExecutionReport,
    ExecutionState,
    Instrument,
    Liquidity,
    VenueAlert,
)

K, S = ExecutionKind, VenueOrderStatus
OPEN, GONE = OrderView("c-1", "77", S.OPEN, 0, 5), OrderView("c-1", "77", S.CANCELLED, 0, 6)
FILL = VenueTrade("1", "77", 10, 40, 0, "USDT", Liquidity.TAKER, 5)
Looked = OrderView | NotFound | Unknown


class OddVenue(VenueAdapter):
    """Says what it is told to: of a script the next line, the last one for ever."""

    def __init__(
        self,
        cancels: Sequence[Outcome] = (),
        looks: Sequence[Looked] = (NotFound(),),
        listed: Sequence[OrderView] = (),
        traded: list[VenueTrade] | Unknown | None = None,
        remembers: float | None = None,
    ) -> None:
        super().__init__(VenueConfig(name="v"), httpx.AsyncClient())
        self.cancels, self.looks, self.listed = list(cancels), list(looks), Listing(listed)
        self.traded: list[VenueTrade] | Unknown = traded or []
        self.memory, self.cancelled, self.looked = remembers, 0, 0
        self.asked_often = asyncio.Event()

    @property
    def remembers_seconds(self) -> float | None:
        return self.memory

    async def cancel(self, symbol: str, child_id: str) -> Outcome:
        self.cancelled += 1
        return self.cancels.pop(0) if len(self.cancels) > 1 else self.cancels[0]

    async def query(self, symbol: str, child_id: str) -> Looked:
        self.looked += 1
        if self.looked == 20:
            self.asked_often.set()
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    async def open_orders(self, symbol: str | None = None) -> Listing | Unknown:
        return self.listed

    async def trades(self, symbol: str, venue_order_id: str) -> list[VenueTrade] | Unknown:
        return self.traded

    async def probe(self) -> bool:
        return True

    def now_ms(self) -> int:
        return now_us() // 1000

    async def load(self) -> list[Instrument]:
        return []

    async def place(self, child: ChildOrder, signed_at: int | None = None) -> Outcome:
        raise AssertionError("nothing is sent here")

    async def balances(self) -> Mapping[str, tuple[int, int]]:
        return {}

    async def events(self) -> AsyncIterator[StreamUp | VenueEvent]:
        yield StreamUp()

    async def close(self) -> None:
        pass


class Paper(Writer):
    """Keeps what is queued instead of writing it."""

    def __init__(self) -> None:
        self.reports: list[ExecutionReport] = []
        self.ended = asyncio.Event()

    def put(
        self,
        owner: Ownership,
        key: str | None = None,
        state: Kept | None = None,
        reports: Iterable[ExecutionReport] = (),
        alerts: Iterable[VenueAlert] = (),
    ) -> None:
        self.reports.extend(reports)
        if any(r.kind is ExecutionKind.CANCELLED for r in self.reports):
            self.ended.set()

    @property
    def told(self) -> list[tuple[ExecutionKind, str]]:
        return [(r.kind, r.reason_code) for r in self.reports]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAIT_FIRST", "WAIT_LONGEST", "WAIT_ACKNOWLEDGED", "GONE_SECONDS"):
        monkeypatch.setattr(desks, name, 0.001)


def at(
    venue: OddVenue, state: ExecutionState, do: Callable[[Desk, Child, Paper], Awaitable[Any]]
) -> tuple[Child, Paper]:
    """What comes of doing something at a desk that has one child."""
    paper = Paper()

    async def run() -> Child:
        tasks: list[asyncio.Task[None]] = []

        def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            tasks.append(asyncio.get_running_loop().create_task(work))
            return tasks[-1]

        desk = Desk(venue, paper, spawn, 2, 0.0, 0.002)
        child = desk.children["c-1"] = Child("c-1", Ownership(0, 0, None), state)
        await asyncio.wait_for(do(desk, child, paper), 5)
        for task in tasks:
            task.cancel()
        return child

    return asyncio.run(run()), paper


def opened(cancelling: bool = False) -> ExecutionState:
    state = report.observe("c-1", report.claim(CHILD, now_us()), OPEN, (), now_us()).state
    return report.cancel_asked("c-1", state, now_us()).state if cancelling else state


async def cancelled(desk: Desk, child: Child, _: Paper) -> None:
    await desk.cancel(child)


async def polled(desk: Desk, _: Child, paper: Paper) -> None:
    polls = asyncio.create_task(desk.run_polls())
    await paper.ended.wait()
    polls.cancel()


ACKNOWLEDGED = Outcome(OutcomeKind.ACCEPTED, view=OPEN)
ALREADY = Outcome(OutcomeKind.REJECTED, code="CANCEL_PENDING", http_status=400)


class Reading(OddVenue):
    """Takes orders; answers questions together with others."""

    def __init__(self, looks: Sequence[Looked] = (NotFound(),), jointly: bool = False) -> None:
        super().__init__(looks=looks)
        self.jointly, self.placed = jointly, 0

    async def place(self, child: ChildOrder, signed_at: int | None = None) -> Outcome:
        self.placed += 1
        return Outcome(OutcomeKind.ACCEPTED, view=OPEN)

    def together(self, child_id: str) -> bool:
        return self.jointly


def test_an_order_waits_until_the_instruments_of_its_venue_are_known_as_long_as_its_claim_is_good() -> None:
    async def run(desk: Desk, child: Child, _: Paper) -> None:
        desk._ttl = 30.0
        desk.loaded.clear()
        placing = asyncio.create_task(desk.place(child, CHILD, Claimed.now(), lambda: None))
        for _n in range(10):
            await asyncio.sleep(0)
        assert venue.placed == 0
        desk.loaded.set()
        await placing
        assert venue.placed == 1

    venue = Reading()
    child, _ = at(venue, report.claim(CHILD, now_us()), run)
    assert child.state.phase is ExecutionPhase.OPEN

    async def never(desk: Desk, child: Child, _: Paper) -> None:
        desk.loaded.clear()
        desk._ttl = 0.001
        await asyncio.sleep(0.01)
        await desk.place(child, CHILD, Claimed(0.0, 0.0), lambda: None)

    venue = Reading()
    _, paper = at(venue, report.claim(CHILD, now_us()), never)
    assert venue.placed == 0 and paper.told == [(K.NOT_SENT, "CLAIM_EXPIRED")]


@pytest.mark.parametrize("jointly", [True, False])
def test_what_one_request_said_of_many_orders_counts_for_the_venues_health_no_more_than_once(jointly: bool) -> None:
    async def run(desk: Desk, child: Child, _: Paper) -> None:
        for _n in range(10):
            await desk._ask(child)
        assert desk.health.down is not jointly

    at(Reading([Unknown("TIMEOUT", "no answer")], jointly), report.claim(CHILD, now_us()), run)


def test_a_cancel_that_is_acknowledged_and_not_carried_out_is_asked_for_again() -> None:
    venue = OddVenue([ACKNOWLEDGED, ACKNOWLEDGED, Outcome(OutcomeKind.ACCEPTED, view=GONE)])
    child, paper = at(venue, opened(cancelling=True), cancelled)
    assert venue.cancelled == 3
    assert paper.told == [(K.CANCELLED, "")] and child.state.phase is ExecutionPhase.DONE


def test_a_cancel_on_its_way_that_is_refused_a_second_time_is_not_taken_for_refused() -> None:
    venue = OddVenue([ACKNOWLEDGED, ALREADY], [OPEN, OPEN, GONE])
    _, paper = at(venue, opened(cancelling=True), cancelled)
    assert paper.told == [(K.CANCELLED, "")]


def test_a_cancel_that_is_refused_at_once_is_refused() -> None:
    venue = OddVenue([ALREADY], [OPEN])
    child, paper = at(venue, opened(cancelling=True), cancelled)
    assert venue.cancelled == 1
    assert paper.told == [(K.CANCEL_REJECTED, "CANCEL_PENDING")] and child.state.phase is ExecutionPhase.OPEN


def test_an_order_that_its_venue_forgot_ends_with_what_its_trades_say() -> None:
    child, paper = at(OddVenue(traded=[FILL]), opened(), polled)
    assert paper.told == [(K.FILL, ""), (K.CANCELLED, report.FORGOTTEN)]
    assert paper.reports[-1].cumulative_quantity == 40 and child.state.phase is ExecutionPhase.DONE


def test_a_venue_that_does_not_tell_trades_has_not_forgotten() -> None:
    async def some_polls(desk: Desk, _: Child, __: Paper) -> None:
        polls = asyncio.create_task(desk.run_polls())
        await venue.asked_often.wait()
        polls.cancel()

    venue = OddVenue(traded=Unknown("DOWN", "nothing can be said"))
    child, paper = at(venue, opened(), some_polls)
    assert not paper.told and child.state.phase is ExecutionPhase.OPEN


def test_no_such_order_is_believed_only_while_the_venue_would_remember_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def looked(desk: Desk, child: Child, _: Paper) -> None:
        resolved, often = asyncio.create_task(desk._resolve(child, 0.0)), asyncio.create_task(venue.asked_often.wait())
        await asyncio.wait({resolved, often}, return_when=asyncio.FIRST_COMPLETED)
        resolved.cancel()
        often.cancel()

    for age, told in (
        (1, [(K.UNKNOWN, "NOT_SETTLED"), (K.REJECTED, report.NEVER_ARRIVED)]),
        (7200, [(K.UNKNOWN, report.FORGOTTEN)]),
    ):
        venue = OddVenue(remembers=3600.0)
        _, paper = at(venue, report.claim(CHILD, now_us() - age * 10**6), looked)
        assert paper.told == told


def test_what_stays_unclear_is_told_to_people() -> None:
    now = now_us()
    child = Child("c-1", Ownership(0, 0, None), report.claim(CHILD, now))
    assert not child.unclear(now) and child.unclear(now + 61_000_000)
    child.state = opened()
    assert not child.unclear(now + 61_000_000)
    child.lacking = time.monotonic() - 61
    assert "have trades" in child.unclear(now)
    child.lacking, child.gone = None, time.monotonic() - 61
    assert "not known there" in child.unclear(now)


def test_a_child_that_was_cancelled_before_it_was_sent_is_not_sent() -> None:
    venue = Reading()
    claimed = report.cancel_asked("c-1", report.claim(CHILD, now_us()), now_us()).state

    async def placed(desk: Desk, child: Child, _: Paper) -> None:
        await desk.place(child, CHILD, Claimed.now(), lambda: None)
        await desk.cancel(child)

    child, paper = at(venue, claimed, placed)
    assert venue.placed == 0 and child.state.phase is ExecutionPhase.DONE
    assert paper.told == [(K.NOT_SENT, report.CALLED_OFF), (K.CANCEL_REJECTED, report.TOO_LATE)]


@pytest.mark.parametrize("ours", [True, False])
def test_a_question_that_we_did_not_ask_says_nothing_about_the_venue(ours: bool) -> None:
    async def noted(desk: Desk, child: Child, _: Paper) -> None:
        for _i in range(10):
            desk.note(Unknown("RATE_LIMITED", "no budget is left", ours))
        assert desk.health.down is not ours

    at(OddVenue(), opened(), noted)


def test_what_is_cancelled_in_the_moment_in_which_it_wakes_ends() -> None:
    async def woken(desk: Desk, child: Child, paper: Paper) -> None:
        polls = asyncio.create_task(desk.run_polls())
        for _i in range(5):
            await asyncio.sleep(0)  # until it waits
        desk.reconcile_soon()
        polls.cancel()
        await asyncio.wait({polls}, timeout=1)
        assert polls.cancelled()

    at(OddVenue(), report.claim(CHILD, now_us()), woken)
