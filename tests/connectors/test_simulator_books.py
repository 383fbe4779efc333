"""Where the simulator's books come from: the generator, recordings on one clock, and the configuration that names them."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.simulator.amounts import SCALE, parse
from connectors.simulator.config import ConfigError, Published, VenueSettings
from connectors.simulator.config import settings as read_settings
from connectors.simulator.drivers import Generator, Player, drivers
from connectors.simulator.exchange import Exchange
from connectors.simulator.generator import BPS, GeneratedBook, Shape
from connectors.simulator.published import Follower
from connectors.simulator.rules import Rules
from connectors.simulator.streams import Streams
from connectors.simulator.venue import Simulator
from schemas.records import BookUpdate, BookUpdateKind, Level

DATA = Path(os.environ.get("BESTEX_DATA", Path(__file__).parents[3] / "shared" / "data")) / "recordings"
SPOT = DATA / "binance-spot-btcusdt-20240808.gz"
TWO = DATA / "bitmex-deribit-20190401.jsonl.gz"
RULES = Rules("BTC/USDT", SCALE // 100, 1000, 1000, 5 * SCALE, 9000 * SCALE)

shapes = st.builds(
    Shape,
    spread=st.integers(0, 50 * SCALE),
    levels=st.integers(1, 40),
    gap=st.integers(0, 3 * SCALE),
    step=st.integers(0, 20 * SCALE),
    touch_notional=st.integers(SCALE, 10**6 * SCALE),
)


@settings(deadline=None)
@given(shapes, st.integers(1, 10**6 * SCALE), st.integers(0, 99), st.booleans())
def test_generated_book(shape: Shape, mid: int, seed: int, follow: bool) -> None:
    book, twin = (GeneratedBook(RULES, shape, mid, Random(seed)) for _ in range(2))
    mirror = [dict(side) for side in book.whole()]
    for number in range(30):
        around = mid + number * SCALE if follow else None
        update = book.step(around)
        assert update == twin.step(around)
        for side, changes in zip(mirror, (update.bids, update.asks), strict=True):
            side.update(changes)
            for price in [p for p, q in side.items() if not q]:
                del side[price]
        bids, asks = book.whole()
        assert mirror == [dict(bids), dict(asks)]
        spread = max(1, book.mid // RULES.tick * shape.spread // BPS) * RULES.tick
        assert asks[0][0] - bids[0][0] == spread and bids[0][0] <= book.mid <= asks[0][0]
        assert 1 <= len(bids) <= shape.levels and len(asks) == shape.levels
        assert all(p > 0 and p % RULES.tick == 0 and q > 0 and q % RULES.lot == 0 for p, q in bids + asks)
        if update.trade is not None:
            assert update.trade[1] > 0 and update.trade[1] % RULES.lot == 0


def test_generated_book_moves_and_deepens() -> None:
    book = GeneratedBook(RULES, Shape(), 60_000 * SCALE, Random(1))
    mids = {book.mid}
    for _ in range(2000):
        book.step()
        mids.add(book.mid)
    bids, asks = book.whole()
    assert len(mids) > 1000 and len(bids) == len(asks) == 200
    assert abs(book.mid - 60_000 * SCALE) < 60_000 * SCALE // 50
    for side in (bids, asks):
        assert sum(q for _, q in side[:20]) * 3 < sum(q for _, q in side[-20:])


# ---- recordings


def frame(at_ms: int, kind: str, **data: object) -> str:
    body = {"stream": f"btcusdt@{kind}", "data": data}
    return f"{(1_700_000_000_000 + at_ms) * 1_000_000} {json.dumps(body)}"


def diff(at_ms: int, first: int, last: int, bids: list[list[str]], asks: list[list[str]]) -> str:
    times = {"E": 1_700_000_000_000 + at_ms}
    return frame(at_ms, "depth@100ms", e="depthUpdate", s="BTCUSDT", U=first, u=last, b=bids, a=asks, **times)


def snapshot(at_ms: int, last: int, bids: list[list[str]], asks: list[list[str]]) -> str:
    body = {"lastUpdateId": last, "bids": bids, "asks": asks}
    return f"{(1_700_000_000_000 + at_ms) * 1_000_000} {json.dumps(body)}"


def config(file: Path, **fields: Any) -> dict[str, Any]:
    books = {"kind": "recording", "file": str(file)}
    return {"name": "v", "symbols": [{"symbol": "BTC/USDT"}], "books": books, **fields}


def player(file: Path) -> tuple[Player, Exchange]:
    read = read_settings({"venues": [config(file)]}, file.parent)
    exchange = Exchange(read.venues[0].symbols, 0, 0, Streams(lambda: 0))
    made = drivers(read, {"v": exchange}, lambda: 0)["v"]
    assert isinstance(made, Player)
    return made, exchange


async def play(made: Player) -> None:
    class Late:
        def until(self, after_us: int) -> float:
            return -1.0

    await made.run(Late())  # type: ignore[arg-type]


async def test_recording_starts_with_its_snapshot_and_a_later_one_replaces(tmp_path: Path) -> None:
    file = tmp_path / "recording"
    lines = [
        diff(0, 1, 4, [["90.00", "1"]], []),
        snapshot(10, 5, [["99.00", "1"], ["98.00", "1"]], [["100.00", "1"], ["101.00", "2.000001"]]),
        diff(20, 4, 5, [["98.00", "7"]], []),  # covered by the snapshot
        diff(30, 6, 7, [["99.00", "2"]], [["100.00", "0"]]),
    ]
    file.write_text("\n".join(lines) + "\n")
    made, exchange = player(file)
    await play(made)
    book = exchange.market("BTCUSDT").book
    assert book.bids.levels() == [(99 * SCALE, 2 * SCALE), (98 * SCALE, SCALE)]
    assert book.asks.levels() == [(101 * SCALE, 2 * SCALE)]  # cut down to lots
    file.write_text("\n".join([*lines, snapshot(40, 9, [["97.00", "1"]], [["103.00", "1"]])]) + "\n")
    made, exchange = player(file)
    await play(made)
    book = exchange.market("BTCUSDT").book
    assert (book.bids.levels(), book.asks.levels()) == ([(97 * SCALE, SCALE)], [(103 * SCALE, SCALE)])


@pytest.mark.skipif(not SPOT.exists(), reason=f"no recording {SPOT}; BESTEX_DATA names the folder of recordings")
async def test_real_recording_ends_in_the_same_book() -> None:
    made, exchange = player(SPOT)
    await play(made)
    with gzip.open(SPOT, "rt") as lines:
        said = [json.loads(line.partition(" ")[2]) for line in lines]
    (whole,) = [s for s in said if "lastUpdateId" in s]
    changes = [s["data"] for s in said if s.get("data", {}).get("e") == "depthUpdate"]
    # one of these came before the answer of the snapshot that does not hold all of it
    changes = [c for c in changes if c["u"] > whole["lastUpdateId"]]
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for bids, asks in [(whole["bids"], whole["asks"]), *((c["b"], c["a"]) for c in changes)]:
        for side, levels in zip(sides, (bids, asks), strict=True):
            side.update({parse(p): parse(q) // 1000 * 1000 for p, q in levels})
    book = exchange.market("BTCUSDT").book
    assert book.bids.levels() == sorted(((p, q) for p, q in sides[0].items() if q), reverse=True)
    assert book.asks.levels() == sorted((p, q) for p, q in sides[1].items() if q)
    assert len(book.bids.levels()) > 1000 and len(exchange.market("BTCUSDT").prints) >= 1000


def test_recordings_of_one_time_share_time_zero(tmp_path: Path) -> None:
    starts = {"a": 5_000, "b": 2_000, "c": 2_000 + 3_600_001}
    for name, at in starts.items():
        (tmp_path / name).write_text(snapshot(at, 1, [], [["1.00", "1"]]) + "\n" + diff(at + 1, 2, 3, [], []) + "\n")
    read = read_settings({"venues": [config(tmp_path / name, name=name) for name in starts]}, tmp_path)
    exchanges = {v.name: Exchange(v.symbols, 0, 0, Streams(lambda: 0)) for v in read.venues}
    made = drivers(read, exchanges, lambda: 0)
    zero = {name: d.origin // 1000 - 1_700_000_000_000 for name, d in made.items() if isinstance(d, Player)}
    assert zero == {"a": 2_000, "b": 2_000, "c": starts["c"]}


async def test_recordings_play_on_their_clock(tmp_path: Path) -> None:
    lines = [snapshot(0, 1, [["99.00", "1"]], [["100.00", "1"]])]
    lines += [diff(at, at + 1, at + 1, [], [["100.00", str(at)]]) for at in range(100, 2_100, 100)]
    (tmp_path / "file").write_text("\n".join(lines) + "\n")
    simulator = Simulator(read_settings({"speed": 10, "venues": [config(tmp_path / "file")]}, tmp_path))
    market = simulator.venues["v"].exchange.market("BTCUSDT")
    loop = asyncio.get_running_loop()
    started, seen = loop.time(), {}
    running = asyncio.create_task(simulator.run())
    while (quantity := market.book.asks.best()) is None or quantity[1] < 2_000 * SCALE:
        if quantity is not None and quantity[1] not in seen:
            seen[quantity[1]] = loop.time() - started
        await asyncio.sleep(0.001)
    took = loop.time() - started
    running.cancel()
    assert 0.2 <= took < 10 and len(seen) >= 3
    assert all(after >= quantity / SCALE / 10_000 - 0.002 for quantity, after in seen.items())


@pytest.mark.skipif(not TWO.exists(), reason=f"no recording {TWO}; BESTEX_DATA names the folder of recordings")
async def test_file_of_two_venues() -> None:
    symbols = [{"symbol": "BTC/USD", "tick": "0.25"}]
    raw = {"venues": [config(TWO, name=name, symbols=symbols) for name in ("bitmex", "deribit")]}
    read = read_settings(raw, TWO.parent)
    exchanges = {v.name: Exchange(v.symbols, 0, 0, Streams(lambda: 0)) for v in read.venues}
    mids = []
    for made in drivers(read, exchanges, lambda: 0).values():
        assert isinstance(made, Player)
        await play(made)
        mids.append(made.mid("BTC/USD") or 0)
    assert all(4_050 * SCALE < mid < 4_150 * SCALE for mid in mids) and mids[0] != mids[1]


async def test_follower_stays_near_what_it_follows(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(
        diff(0, 1, 1, [], []) + "\n" + snapshot(1, 1, [["999.00", "1"]], [["1001.00", "1"]]) + "\n"
    )
    follower = {"name": "f", "symbols": [{"symbol": "BTC/USDT"}], "books": {"kind": "follow", "of": "v"}}
    read = read_settings({"venues": [follower, config(tmp_path / "file")]}, tmp_path)
    exchanges = {v.name: Exchange(v.symbols, 0, 0, Streams(lambda: 0)) for v in read.venues}
    made = drivers(read, exchanges, lambda: 0)
    follow, played = made["f"], made["v"]
    assert isinstance(follow, Generator) and isinstance(played, Player)
    follow.tick()
    assert follow.mid("BTC/USDT") is None and not exchanges["f"].market("BTCUSDT").book.asks.keys
    await play(played)
    for _ in range(300):
        follow.tick()
        assert abs((follow.mid("BTC/USDT") or 0) - 1000 * SCALE) < SCALE
        book = exchanges["f"].market("BTCUSDT").book
        bid, ask = book.bids.best(), book.asks.best()
        assert bid is not None and ask is not None and bid[0] < ask[0]


# ---- the configuration

GOOD = {"name": "v", "symbols": [{"symbol": "BTC/USDT"}], "books": {"kind": "generated", "mid": {"BTC/USDT": "1"}}}


@pytest.mark.parametrize(
    ("venues", "words"),
    [
        ([], "venues"),
        ([GOOD, GOOD], "each its own"),
        ([{**GOOD, "colour": 1}], "no such field: colour"),
        ([{**GOOD, "taker_fee": "0.000000001"}], "taker_fee"),
        ([{**GOOD, "taker_fee": "-1"}], "taker_fee"),
        ([{**GOOD, "latency_ms": "x"}], "latency_ms"),
        ([{**GOOD, "symbols": [{"symbol": "BTC/USDT", "lot": "0"}]}], "above zero"),
        ([{**GOOD, "symbols": [{"symbol": "BTCUSDT"}]}], "no mid|BASE/QUOTE"),
        ([{**GOOD, "accounts": [{"api_key": "k"}]}], "secret is missing"),
        ([{**GOOD, "accounts": [{"api_key": "k", "secret": "s"}] * 2}], "one api_key"),
        ([{**GOOD, "books": {"kind": "magic"}}], "magic"),
        ([{**GOOD, "books": {"kind": "generated", "mid": {}}}], "no mid"),
        ([{**GOOD, "books": {"kind": "follow", "of": "w"}}], "not here"),
        ([{**GOOD, "books": {"kind": "follow", "of": "v"}}], "follows itself"),
    ],
)
def test_wrong_configuration_is_named(venues: list[object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_settings({"venues": venues}, Path())


def test_configuration(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush\n")
    account = {"api_key": "k", "secret_file": "secret", "balances": {"USDT": "1.5"}}
    raw = {**GOOD, "latency_ms": 5, "maker_fee": "0.0008", "accounts": [account]}
    read = read_settings({"seed": 7, "venues": [raw]}, tmp_path)
    (venue,) = read.venues
    assert (read.seed, read.speed, venue.latency, venue.maker_fee, venue.taker_fee) == (7, 1.0, 0.005, 80_000, 100_000)
    assert venue.accounts[0].secret == "hush" and venue.accounts[0].balances == {"USDT": 150_000_000}
    assert "hush" not in repr(read)


async def test_a_published_book_is_shown_while_it_is_known_and_empty_otherwise() -> None:
    books = Published({}, "", None)
    venue = VenueSettings("alpha", 0, 0, 0, 0.0, (RULES,), (), books)
    exchange = Exchange((RULES,), 0, 0, Streams(lambda: 1))
    follower = Follower(exchange, venue, books, lambda: 1)
    market = exchange.markets["BTCUSDT"]

    def shown() -> tuple[int | None, int | None]:
        return market.book.bids.best_shown(), market.book.asks.best_shown()

    def update(kind: BookUpdateKind, bids: dict[int, int], asks: dict[int, int], **ids: int) -> BookUpdate:
        sides = [tuple(Level(price=p * SCALE, quantity=q) for p, q in side.items()) for side in (bids, asks)]
        return BookUpdate(
            venue="alpha", symbol="BTC/USDT", kind=kind, bids=sides[0], asks=sides[1], received_at=1, **ids
        )

    diff = update(BookUpdateKind.DIFF, {101: 5000}, {}, last_id=2, previous_id=1)
    follower.apply(market, diff)
    assert shown() == (None, None)  # nothing is known before a whole book
    for _ in range(2):
        follower.apply(market, update(BookUpdateKind.SNAPSHOT, {100: 5000}, {110: 5999}, last_id=1))
        follower.apply(market, diff)
        assert shown() == (101 * SCALE, 110 * SCALE) and follower.mid("BTC/USDT") == 1055 * SCALE // 10
        follower.apply(market, update(BookUpdateKind.DIFF, {102: 5000}, {}, last_id=4, previous_id=3))
        assert shown() == (None, None)  # a change is missing
    follower.apply(market, update(BookUpdateKind.SNAPSHOT, {100: 5000}, {110: 5999}, last_id=9))
    follower.apply(market, update(BookUpdateKind.STALE, {}, {}))
    assert shown() == (None, None)
