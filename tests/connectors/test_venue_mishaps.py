"""The simulator's mishaps, one by one and at random, and that every dialect's adapter comes out of them knowing what really happened."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from test_venue_conformance import BTC, SCALE, Rig, child, rig
from test_venue_conformance import DIALECTS as DIALECTS

from connectors.simulator.mishaps import EVENTS, REQUESTS, Mishaps, Shaken
from connectors.venues.outcomes import NotFound, OrderView, OutcomeKind, StreamUp, VenueEvent, VenueOrderStatus

__all__ = ["rig"]
ACCEPTED, REJECTED, UNKNOWN = OutcomeKind.ACCEPTED, OutcomeKind.REJECTED, OutcomeKind.UNKNOWN


@pytest.mark.parametrize("kind", REQUESTS)
async def test_each_mishap_is_known_for_what_it_is(rig: Rig, kind: str) -> None:
    for acts in (False, True):
        name = f"x{acts:d}"
        await rig.fault(kind="shaken", kinds=[kind], accepts=acts, times=1, latency=0.8)
        outcome = await rig.venue.place(child(name))
        await rig.fault(kind="ok")
        expected = REJECTED if kind in ("429", "418") else UNKNOWN
        assert outcome.kind is expected, (kind, acts, outcome)
        audit = await rig.audit()
        taken = len(audit["accepted"])
        found = await rig.venue.query(BTC, name)
        real = any(o for o in rig.exchange.orders.values() if rig.venue_name(o.asked.client_id) == name)
        assert isinstance(found, OrderView if real else NotFound), (kind, acts, found)
        if kind in ("429", "418", "maintenance"):
            assert taken == 0
        elif kind in ("cut", "empty", "braces", "late") or acts:
            assert real
    assert audit["faults"] == {kind: 2}


async def test_at_random_nothing_is_doubled_lost_or_left_unknown(rig: Rig) -> None:
    """120 orders and their cancels while three requests of ten go wrong; then what we know is what the venue did."""
    await rig.fault(kind="shaken", kinds=list(REQUESTS), rate=0.3, seed=11, latency=0.6)
    known: dict[str, str] = {}
    gate = asyncio.Semaphore(8)

    async def through(name: str, crosses: bool) -> None:
        async with gate:
            outcome = await rig.venue.place(
                child(name, quantity=SCALE // 100, price=(60_010 if crosses else 59_000) * SCALE)
            )
            if outcome.kind is REJECTED or outcome.kind is OutcomeKind.NOT_SENT:
                known[name] = "never"
                return
            misses = 0
            while misses < 3:
                found = await rig.venue.query(BTC, name)
                if isinstance(found, OrderView):
                    if found.status is not VenueOrderStatus.OPEN:
                        known[name] = f"{found.status.value} {found.filled}"
                        return
                    await rig.venue.cancel(BTC, name)
                misses += isinstance(found, NotFound)
            known[name] = "never"

    await asyncio.wait_for(asyncio.gather(*(through(f"r{n}", n % 3 == 0) for n in range(120))), 120)
    await rig.fault(kind="ok")
    audit = await rig.audit()
    assert all(times == 1 for times in audit["accepted"].values())
    really = {
        rig.venue_name(o.asked.client_id): f"{ {'CANCELED': 'CANCELLED'}.get(o.status, o.status) } {o.filled}"
        for o in rig.exchange.orders.values()
    }
    assert known == {f"r{n}": really.get(f"r{n}", "never") for n in range(120)}
    assert len(really) > 60 and sum(audit["faults"].values()) > 60 and set(audit["faults"]) == set(REQUESTS)


async def test_a_seed_gives_the_same_mishaps_again() -> None:
    def drawn(seed: int) -> list[str | None]:
        mishaps = Mishaps(REQUESTS, 0.4, seed)
        return [mishaps.draw(REQUESTS) for _ in range(200)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert set(drawn(1)) == {None, *REQUESTS}


async def test_events_are_lost_doubled_swapped_and_end() -> None:
    async def out(kind: str, times: int = 1) -> list[bytes]:
        mishaps, shaken = Mishaps([kind], times=times, latency=0.0), Shaken()
        return [one for event in (b"1", b"2", b"3") for one in await shaken.after(mishaps, event)]

    assert await out("lose") == [b"2", b"3"]
    assert await out("double") == [b"1", b"1", b"2", b"3"]
    assert await out("swap") == [b"2", b"1", b"3"]
    assert await out("delay") == [b"1", b"2", b"3"]
    ended = await out("terminate")
    assert len(ended) == 4 and b"eventStreamTerminated" in ended[1]
    with pytest.raises(ValueError, match="no such mishap"):
        Mishaps(["rain"])


async def test_a_clock_that_goes_wrong_is_the_venues(rig: Rig) -> None:
    if rig.config.exchange == "kraken":
        pytest.skip("Kraken signs a counter, not a time")
    await rig.fault(kind="skew", skew_ms=120_000)
    assert (await rig.venue.place(child("k1"))).kind is not ACCEPTED
    assert await rig.venue.probe()
    assert (await rig.venue.place(child("k2"))).kind is ACCEPTED


async def test_a_wrong_command_is_refused(rig: Rig) -> None:
    for wrong in (
        {"kind": "shaken", "kinds": ["rain"]},
        {"kind": "shaken", "colour": 1},
        {"kind": "shaken", "rate": 2},
    ):
        with pytest.raises(httpx.HTTPStatusError):
            await rig.fault(**wrong)


@pytest.mark.parametrize("rig", ["binance"], indirect=True)
async def test_the_stream_comes_back_and_tells_each_trade_as_it_was(rig: Rig) -> None:
    told: asyncio.Queue[StreamUp | VenueEvent] = asyncio.Queue()

    async def listen() -> None:
        async for event in rig.venue.events():
            told.put_nowait(event)

    async def until_up() -> list[VenueEvent]:
        seen = []
        while not isinstance(event := await asyncio.wait_for(told.get(), 10), StreamUp):
            seen.append(event)
        return seen

    async def met(kind: str) -> None:
        while kind not in (await rig.audit())["faults"]:
            continue

    task = asyncio.create_task(listen())
    try:
        await until_up()
        seen = []
        for kind in EVENTS:
            await rig.fault(kind="shaken", kinds=[kind], times=1, latency=0.05)
            for n in range(3):
                await rig.venue.place(child(f"{kind}{n}", quantity=SCALE // 1000, price=60_010 * SCALE))
            await asyncio.wait_for(met(kind), 5)
            if kind == "terminate":
                seen += await until_up()
        seen += [event for event in (told.get_nowait() for _ in range(told.qsize())) if isinstance(event, VenueEvent)]
        real = {str(t.trade_id): t.quantity for o in rig.exchange.orders.values() for t in o.trades}
        trades = [event.trade for event in seen if event.trade is not None]
        assert len(trades) >= 6 and all(real[trade.trade_id] == trade.quantity for trade in trades)
        assert (await rig.audit())["faults"] == dict.fromkeys(EVENTS, 1)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
