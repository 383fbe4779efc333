"""Orders looked for together in listings: who may take what for an answer, and how often a venue is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from connectors.venues.dialect import Named
from connectors.venues.outcomes import NotWhole, OrderView, VenueOrderStatus
from connectors.venues.search import Reading, Search

BTC, MS = "BTC/USDT", 1_700_000_000_000


class Listing:
    """A venue's listing that is read when the test says so."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.read: list[list[str]] = []
        self.go = asyncio.Event()
        self.failure: Callable[[int], Exception | None] = lambda asked: None
        self.search = Search(self._read)

    async def _read(self, symbol: str, asked: Sequence[Named]) -> Reading:
        names = [named.client_id or "" for named in asked]
        self.read.append(names)
        found = {n: OrderView(n, f"v{n}", VenueOrderStatus.OPEN, 0, None) for n in names if n in self.there}
        await self.go.wait()
        return Reading(found, self.failure(len(asked)))

    def ask(self, name: str, until: int | None = None) -> asyncio.Task[OrderView | None]:
        return asyncio.create_task(self.search.find(BTC, Named(name, until=until)))


async def turns() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_reading_answers_all_who_asked_before_it() -> None:
    listing = Listing()
    listing.there, names = {"3", "7"}, [str(n) for n in range(100)]
    first = [listing.ask(name) for name in names]
    await turns()
    late = listing.ask("late")
    await turns()
    assert listing.read == [names]
    listing.go.set()
    found = await asyncio.gather(*first)
    assert [view.child_id for view in found if view is not None] == ["3", "7"]
    assert await late is None and listing.read == [names, ["late"]], (
        "a reading that had begun says nothing of who came later"
    )


async def test_what_is_bounded_in_time_is_looked_for_apart() -> None:
    listing = Listing()
    listing.go.set()
    await asyncio.gather(listing.ask("a"), listing.ask("b", MS), listing.ask("c"), listing.ask("d", MS + 1))
    assert sorted(listing.read) == [["a", "c"], ["b", "d"]]


async def test_a_listing_that_is_not_whole_still_tells_what_it_has_and_the_others_are_looked_for_alone() -> None:
    listing = Listing()
    listing.there = {"a"}
    listing.failure = lambda asked: NotWhole("more than can be asked for") if asked > 1 else None
    listing.go.set()
    found = await asyncio.gather(*(listing.ask(name, MS) for name in "abc"))
    assert [view and view.child_id for view in found] == ["a", None, None]
    assert listing.read == [["a", "b", "c"], ["b"], ["c"]]
    listing.failure = lambda asked: NotWhole("more than can be asked for")
    with pytest.raises(NotWhole):
        await listing.ask("d", MS)
    listing.read.clear()
    unbounded = await asyncio.gather(*(listing.ask(name) for name in "abc"), return_exceptions=True)
    assert isinstance(unbounded[0], OrderView) and all(isinstance(one, NotWhole) for one in unbounded[1:])
    assert listing.read == [["a", "b", "c"]], "each alone would have to read the same again"


async def test_a_failure_is_told_to_all_that_were_not_found_and_the_next_reading_is_a_new_one() -> None:
    listing = Listing()
    listing.there = {"a"}
    listing.failure = lambda asked: ValueError("no listing")
    listing.go.set()
    found = await asyncio.gather(*(listing.ask(name) for name in "ab"), return_exceptions=True)
    assert isinstance(found[0], OrderView) and isinstance(found[1], ValueError)
    listing.failure = lambda asked: None
    assert await listing.ask("b") is None and len(listing.read) == 2


async def test_who_stops_waiting_keeps_nobody_else_from_an_answer() -> None:
    listing = Listing()
    gone, stays = listing.ask("a"), listing.ask("b")
    await turns()
    gone.cancel()
    listing.go.set()
    assert await stays is None
    listing.go.clear()
    waits = listing.ask("c")
    await turns()
    await listing.search.close()
    with pytest.raises(asyncio.CancelledError):
        await waits
    waits = asyncio.ensure_future(listing.search.find(BTC, Named("d")))
    await asyncio.sleep(0)  # it has asked, and nobody has begun to read
    await listing.search.close()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waits, 5)
