"""The simulator's mishaps, one by one and at random, and that every dialect's adapter comes out of them knowing what really happened."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from ccxt.base import errors  # type: ignore[import-untyped, unused-ignore]  # upstream ships no types
from test_venue_conformance import BTC, SCALE, Rig, Told, child, rig
from test_venue_conformance import DIALECTS as DIALECTS

from connectors.simulator.mishaps import CUT, EVENTS, ORDERS, REQUESTS, Mishaps, Shaken
from connectors.simulator.voice import VOICES
from connectors.venues.outcomes import NotFound, OrderView, OutcomeKind, VenueOrderStatus
from connectors.venues.registry import adapter
from schemas.records import Liquidity, Side, TimeInForce

__all__ = ["rig"]
ACCEPTED, REJECTED, UNKNOWN = OutcomeKind.ACCEPTED, OutcomeKind.REJECTED, OutcomeKind.UNKNOWN


UNANSWERED = ("reset", "page", "cut", "empty", "braces", "late", "hang")


@pytest.mark.parametrize("kind", [*UNANSWERED, "429", "418", "maintenance", "reject"])
async def test_each_mishap_is_known_for_what_it_is(rig: Rig, kind: str) -> None:
    for acts in (False, True):
        name = f"x{acts:d}"
        await rig.fault(kind="shaken", kinds=[kind], accepts=acts, times=1, latency=0.8, hang=0.8)
        outcome = await rig.venue.place(child(name))
        await rig.fault(kind="ok")
        expected = REJECTED if kind in ("429", "418", "reject") else UNKNOWN
        assert outcome.kind is expected, (kind, acts, outcome)
        audit = await rig.audit()
        taken = len(audit["accepted"])
        found = await rig.venue.query(BTC, name)
        real = any(o for o in rig.exchange.orders.values() if rig.venue_name(o.asked.client_id) == name)
        assert isinstance(found, OrderView if real else NotFound), (kind, acts, found)
        if kind in ("429", "418", "maintenance", "reject"):
            assert taken == 0
        elif kind in ("cut", "empty", "braces", "late") or acts:
            assert real
    assert audit["faults"] == {kind: 2}


@pytest.mark.parametrize("status", [500, 502, 503, 504, 523])
async def test_every_page_of_html_leaves_the_order_unknown(rig: Rig, status: int) -> None:
    await rig.fault(kind="shaken", kinds=["page"], accepts=True, status=status, times=1)
    outcome = await rig.venue.place(child("p1"))
    assert (outcome.kind, outcome.http_status) == (UNKNOWN, status)
    assert isinstance(await rig.venue.query(BTC, "p1"), OrderView)


async def test_every_code_that_the_venue_refuses_with_is_a_refusal(rig: Rig) -> None:
    for n, (code, words) in enumerate(VOICES[rig.config.exchange].rejections):
        await rig.fault(kind="shaken", kinds=["reject"], code=code, words=words, times=1)
        outcome = await rig.venue.place(child(f"j{n}"))
        assert (outcome.kind, outcome.venue_code) == (REJECTED, str(code)), outcome
        assert (await rig.venue.place(child(f"after{n}", quantity=SCALE // 100))).kind is ACCEPTED
        await rig.fault(kind="reject", code=code, words=words)
        assert (await rig.venue.place(child(f"k{n}"))).kind is REJECTED
    assert len((await rig.audit())["accepted"]) == len(VOICES[rig.config.exchange].rejections)


async def test_another_is_faster_and_the_order_gets_a_part(rig: Rig) -> None:
    await rig.fault(kind="shaken", kinds=["partial"], times=1)
    await rig.venue.place(child("p1", quantity=4 * SCALE, price=60_020 * SCALE, time_in_force=TimeInForce.IOC))
    view = await rig.query("p1")
    assert view.status in (VenueOrderStatus.CANCELLED, VenueOrderStatus.EXPIRED) and view.filled == 2 * SCALE
    trades = await rig.venue.trades(BTC, view.venue_order_id)
    assert isinstance(trades, list) and [(t.price, t.quantity) for t in trades] == [(60_010 * SCALE, 2 * SCALE)]
    prints = rig.exchange.markets["BTCUSDT"].prints
    assert sum(p.quantity for p in prints) == 5 * SCALE, "what the other took is a public trade too"


async def test_a_clock_goes_off_for_a_while(rig: Rig) -> None:
    """Ahead or behind: whatever the venue says to an order meanwhile, we know what it did; and then it is right again."""
    outcomes = []
    for n in range(6):
        await rig.fault(kind="shaken", kinds=["skew"], times=1, seed=n, skew_seconds=30.0)
        outcome = await rig.venue.place(child(f"s{n}", quantity=SCALE // 100))
        assert outcome.kind is not OutcomeKind.NOT_SENT
        outcomes.append(outcome.kind)
        await rig.fault(kind="ok")
        found = await rig.venue.query(BTC, f"s{n}")
        assert isinstance(found, OrderView) is (outcome.kind is ACCEPTED), (outcome, found)
    if rig.config.exchange != "kraken":  # which signs a counter: only an order that is late by its deadline is refused
        assert ACCEPTED not in outcomes
    assert REJECTED in outcomes and (await rig.venue.place(child("s9"))).kind is ACCEPTED


async def test_at_random_nothing_is_doubled_lost_or_left_unknown(rig: Rig) -> None:
    """120 orders and their cancels while three requests of ten go wrong; then what we know is what the venue did."""
    await rig.fault(kind="shaken", kinds=list(REQUESTS), rate=0.3, seed=11, latency=0.6, hang=0.6, skew_seconds=0.2)
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
    assert len(really) > 40 and sum(audit["faults"].values()) > 60
    assert {*audit["faults"], *ORDERS} == set(REQUESTS), "kinds that only a new order meets may have had no turn"


async def test_a_seed_gives_the_same_mishaps_again() -> None:
    def drawn(seed: int) -> list[str | None]:
        mishaps = Mishaps(REQUESTS, 0.4, seed)
        return [mishaps.draw(REQUESTS) for _ in range(200)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert set(drawn(1)) == {None, *REQUESTS}


async def test_events_are_lost_doubled_swapped_and_end() -> None:
    async def out(kind: str, times: int = 1) -> list[bytes]:
        mishaps, shaken = Mishaps([kind], times=times, latency=0.0), Shaken(VOICES["binance"].farewell)
        return [one for event in (b"1", b"2", b"3") for one in await shaken.after(mishaps, event)]

    assert await out("lose") == [b"2", b"3"]
    assert await out("double") == [b"1", b"1", b"2", b"3"]
    assert await out("swap") == [b"2", b"1", b"3"]
    assert await out("delay") == [b"1", b"2", b"3"]
    ended = await out("terminate")
    assert len(ended) == 4 and b"eventStreamTerminated" in ended[1]
    assert await out("break") == [CUT, b"2", b"3"] and await out("mute") == []
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


async def test_the_stream_comes_back_and_tells_each_trade_as_it_was(rig: Rig) -> None:
    """Every mishap of a stream: what was told is true, and after each end, and each loss that can be noticed, we are told to ask."""
    counted = rig.config.exchange in ("coinbase", "kraken")  # whose streams number what they tell

    async def met(kind: str) -> None:
        while kind not in (await rig.audit())["faults"]:
            continue

    async with Told(rig.venue) as told:
        for kind in (kind for kind in EVENTS if kind != "mute"):
            await rig.fault(kind="shaken", kinds=[kind], times=1, latency=0.05)
            for n in range(3):
                await rig.venue.place(child(f"{kind}{n}", quantity=SCALE // 1000, price=60_010 * SCALE))
            await asyncio.wait_for(met(kind), 5)
            if kind in ("terminate", "break") or (counted and kind in ("lose", "swap")):
                await told.up()
            await rig.venue.place(child(f"{kind}9", quantity=SCALE // 1000))
            await told.until(f"{kind}9", VenueOrderStatus.OPEN, 0)
        real = {str(t.trade_id): t.quantity for o in rig.exchange.orders.values() for t in o.trades}
        trades = [event.trade for event in told.seen if event.trade is not None]
        assert all(real[trade.trade_id] == trade.quantity for trade in trades)
        assert len(trades) >= 6 or rig.config.exchange == "coinbase"
        assert (await rig.audit())["faults"] == dict.fromkeys((kind for kind in EVENTS if kind != "mute"), 1)


async def test_a_stream_that_is_doubted_is_connected_anew(rig: Rig) -> None:
    """It tells nothing more, though it answers pings: only who asks the venue can know, and says so."""
    async with Told(rig.venue) as told:
        await rig.fault(kind="shaken", kinds=["mute"], times=1)
        await rig.venue.place(child("m1"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(told.queue.get(), 0.5)
        rig.venue.doubt()
        await told.up()
        await rig.venue.place(child("m2"))
        await told.until("m2", VenueOrderStatus.OPEN, 0)


async def test_an_answer_that_lists_no_market_is_not_believed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """`{}` in the place of its markets would have every order refused for an unknown symbol."""

    async def known(_: object) -> None:
        """The clock: the mishap is for what comes after it."""

    monkeypatch.setattr(type(rig.venue), "_measure_clock", known)
    async with httpx.AsyncClient(timeout=2) as http:
        venue = adapter(rig.config, http)
        await rig.fault(kind="shaken", kinds=["braces"], accepts=True)
        with pytest.raises((errors.BaseError, ValueError, KeyError)):
            await venue.load()
        assert not venue.instruments
        await rig.fault(kind="ok")
        assert BTC in {i.symbol for i in await venue.load()}


async def test_of_a_trade_between_two_of_ours_each_order_has_its_own_end(rig: Rig) -> None:
    """What the stream did not tell is asked for, order by order."""
    rig.show([(58_000, SCALE)], [(62_000, SCALE)])
    rested = await rig.venue.place(child("s1", side=Side.SELL, price=60_000 * SCALE))
    took = await rig.venue.place(child("b1", price=60_000 * SCALE))
    assert rested.kind is took.kind is ACCEPTED
    ends = []
    for name in ("s1", "b1"):
        view = await rig.query(name)
        (trade,) = await rig.venue.trades(BTC, view.venue_order_id)  # type: ignore[misc]
        assert (view.filled, trade.quantity, trade.price) == (SCALE, SCALE, 60_000 * SCALE)
        ends.append((trade.trade_id, trade.liquidity is Liquidity.MAKER))
    assert [maker for _, maker in ends] == [True, False]
    told = {(t["trade_id"], t["maker"]) for t in (await rig.audit())["trades"]}
    assert told == set(ends)
