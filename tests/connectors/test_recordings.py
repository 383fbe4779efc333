"""Recordings read back: small ones written here, word for word, and the real ones against what the venues themselves said."""

from __future__ import annotations

import gzip
import json
import os
from bisect import bisect_right
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.feeds.amounts import floor_decimal, floor_units
from connectors.feeds.binance import Binance
from connectors.feeds.market import Depth
from connectors.recordings import Recorded, frames, read, settled, unified, venues
from schemas.records import Side

DATA = Path(os.environ.get("BESTEX_DATA", Path(__file__).parents[2] / "../shared/data")) / "recordings"
SPOT, USDM, TARDIS = (
    DATA / name
    for name in (
        "binance-spot-btcusdt-20240808.gz",
        "binance-usdm-btcusdt-20240808.gz",
        "bitmex-deribit-20190401.jsonl.gz",
    )
)
SCALE = 10**8


def recorded(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"no recording {path.name}: BESTEX_DATA names the folder that holds recordings/")
    return path


def fraction_units(text: str) -> int:
    """The naive twin of `floor_units`."""
    return int(Fraction(text) * SCALE)


class Book:
    """A naive book: two dicts."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}

    def take(self, item: Recorded) -> None:
        for side, levels in ((self.bids, item.bids), (self.asks, item.asks)):
            if item.kind == "snapshot":
                side.clear()
            for price, quantity in levels:
                if quantity:
                    side[price] = quantity
                else:
                    side.pop(price, None)

    def best(self) -> tuple[int, int, int, int]:
        bid, ask = max(self.bids), min(self.asks)
        return bid, self.bids[bid], ask, self.asks[ask]


def books_by_id(path: Path) -> tuple[dict[int, tuple[int, int, int, int]], int, int]:
    """Best levels by the update id of each change after the snapshot; how many changes the snapshot covered; how many gaps there were."""
    exchange, book, at = Binance(), Book(), None
    bests: dict[int, tuple[int, int, int, int]] = {}
    pending: list[Recorded] = []
    gaps = covered = 0
    for item in read(path):
        if item.kind == "trade":
            continue
        assert item.last_id is not None
        if item.kind == "snapshot":
            book.take(item)
            at, fresh = item.last_id, True
            todo, pending = pending, []
        elif at is None:
            pending.append(item)
            continue
        else:
            todo = [item]
        for change in todo:
            depth = Depth(change.first_id, change.last_id or 0, change.previous_id, change.bids, change.asks, None)
            if exchange.covered(at, depth):
                covered += 1
                continue
            gaps += not exchange.follows(at, depth, fresh)
            book.take(change)
            at, fresh = depth.last_id, False
            bests[at] = book.best()
    return bests, covered, gaps


def quotes(path: Path) -> Iterator[tuple[int, tuple[int, int, int, int]]]:
    """What the venue's own `bookTicker` said at each update id."""
    for _, data in frames(path):
        if b"@bookTicker" in data[:64]:
            q = json.loads(data)["data"]
            yield (
                q["u"],
                (fraction_units(q["b"]), fraction_units(q["B"]), fraction_units(q["a"]), fraction_units(q["A"])),
            )


# The recorder got every quote: what the venue showed at an update id is its quote of that id or else the last before it.
@pytest.mark.parametrize(
    ("path", "changes", "same_id", "covered"), [(SPOT, 3_449, 564, 2), (USDM, 6_547, 629, 4)], ids=["spot", "usdm"]
)
def test_the_book_is_the_venues_own_after_every_change(path: Path, changes: int, same_id: int, covered: int) -> None:
    bests, before, gaps = books_by_id(recorded(path))
    assert (gaps, before) == (0, covered)  # the file's snapshot comes after changes that it holds
    said = dict(quotes(path))
    assert sum(update in said for update in bests) == same_id
    ids = sorted(said)
    assert len(bests) == changes
    for update, ours in bests.items():
        assert ours == said[ids[bisect_right(ids, update) - 1]], f"at update {update}"


@pytest.mark.parametrize("path", [SPOT, USDM], ids=["spot", "usdm"])
def test_a_settled_recording_needs_no_rules_of_continuity(path: Path) -> None:
    bests, _, _ = books_by_id(recorded(path))
    book = Book()
    told = [item for item in settled(read(path)) if item.kind != "trade"]
    assert [item.kind for item in told[:2]] == ["snapshot", "diff"]
    assert [item.last_id for item in told[1:]] == list(bests)
    for item in told:
        book.take(item)
        assert item.kind == "snapshot" or book.best() == bests[item.last_id or 0]
    assert [item.at_us for item in told] == sorted(item.at_us for item in told)


def test_settled_gives_what_a_late_snapshot_does_not_hold_once_more() -> None:
    def item(at: int, kind: Any, last_id: int | None) -> Recorded:
        return Recorded(at, "alpha", "BTC/USDT", kind, last_id=last_id)

    given_ids = [
        ("diff", 10),
        ("diff", 14),
        ("snapshot", 12),
        ("diff", 14),
        ("diff", 16),
        ("snapshot", 15),
        ("diff", 18),
    ]
    told = [(i.at_us, i.kind, i.last_id) for i in settled(item(at, kind, n) for at, (kind, n) in enumerate(given_ids))]
    assert told == [
        (2, "snapshot", 12), (2, "diff", 14), (4, "diff", 16), (5, "snapshot", 15), (5, "diff", 16), (6, "diff", 18),
    ]  # fmt: skip
    no_ids = [item(at, kind, None) for at, kind in enumerate(("diff", "snapshot", "diff"))]
    assert [i.at_us for i in settled(no_ids)] == [1, 2]
    trade = Recorded(0, "alpha", "BTC/USDT", "trade", trade_id="1")
    assert list(settled([trade])) == [trade]


def test_every_amount_of_a_real_file_is_exact() -> None:
    texts = iter(
        item["data"]
        for item in (json.loads(data) for _, data in frames(recorded(SPOT)))
        if item.get("stream", "").startswith(("btcusdt@depth", "btcusdt@trade"))
    )
    for item in read(SPOT):
        if item.kind == "snapshot":
            continue
        said = next(texts)
        if item.kind == "trade":
            assert (item.price, item.quantity) == (fraction_units(said["p"]), fraction_units(said["q"]))
            assert (item.side, item.trade_id) == (Side.SELL if said["m"] else Side.BUY, str(said["t"]))
        else:
            assert list(item.bids) == [(fraction_units(p), fraction_units(q)) for p, q in said["b"]]
            assert list(item.asks) == [(fraction_units(p), fraction_units(q)) for p, q in said["a"]]
            assert (item.first_id, item.last_id) == (said["U"], said["u"])
    assert next(texts, None) is None


def test_two_venues_on_one_clock_never_stay_crossed() -> None:
    assert venues(recorded(TARDIS)) == {"deribit": ["BTC/USD"], "bitmex": ["BTC/USD"]}
    raw = [
        json.loads(line, parse_float=Decimal, parse_int=Decimal)
        for line in gzip.decompress(TARDIS.read_bytes()).splitlines()
    ]
    books = {"deribit": Book(), "bitmex": Book()}
    crossed_since: dict[str, int] = {}
    for item, said in zip(read(TARDIS), raw, strict=True):
        assert (item.venue, item.symbol) == (said["exchange"], "BTC/USD")
        if item.kind == "trade":
            assert item.quantity == int(Fraction(said["amount"]) / Fraction(said["price"]) * SCALE)
            assert item.side == said["side"].upper()
            continue
        assert (item.kind == "snapshot") is said["isSnapshot"]
        for ours, theirs in ((item.bids, said["bids"]), (item.asks, said["asks"])):
            assert ours == tuple(
                (int(Fraction(x["price"]) * SCALE), int(Fraction(x["amount"]) / Fraction(x["price"]) * SCALE))
                for x in theirs
            )
        book = books[item.venue]
        book.take(item)
        bid, _, ask, _ = book.best()
        if bid < ask:
            crossed_since.pop(item.venue, None)
        else:
            since = crossed_since.setdefault(item.venue, item.at_us)
            assert item.at_us - since < 100_000, f"{item.venue} has been crossed for a tenth of a second"
    assert not crossed_since
    assert list(read(TARDIS, "bitmex")) == [r for r in read(TARDIS) if r.venue == "bitmex"]


# --- small files

CHANGE = (
    b'1723161253937085768 {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT",'
    b'"U":11,"u":14,"b":[["61737.63000000","0.00000000"]],"a":[["61837.64","1.54698"]]}}\n'
)
QUOTE = b'1723161253937085769 {"stream":"btcusdt@bookTicker","data":{"u":14,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}}\n'
TRADE = (
    b'1723161254087896568 {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":37,'
    b'"p":"61837.63000000","q":"0.020000001","T":1723161255342,"m":true,"M":true}}\n'
)
SNAPSHOT = b'1723161253900000000 {"lastUpdateId":12,"bids":[["61837.63000000","3.78826000"]],"asks":[]}\n'


@pytest.fixture(params=["plain", "gzip"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / ("recording.gz" if request.param == "gzip" else "recording")


def put(file: Path, *lines: bytes) -> Path:
    data = b"".join(lines)
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)
    return file


def test_a_raw_file_line_by_line(file: Path) -> None:
    put(file, SNAPSHOT, CHANGE, QUOTE, TRADE)
    assert list(read(file, "alpha")) == [
        Recorded(1723161253900000, "alpha", "BTC/USDT", "snapshot", ((6183763000000, 378826000),), (), last_id=12),
        Recorded(
            1723161253937085,
            "alpha",
            "BTC/USDT",
            "diff",
            ((6173763000000, 0),),
            ((6183764000000, 154698000),),
            11,
            14,
            venue_at_us=1723161255208000,
        ),
        Recorded(
            1723161254087896,
            "alpha",
            "BTC/USDT",
            "trade",
            trade_id="37",
            price=6183763000000,
            quantity=2000000,  # floored
            side=Side.SELL,
            venue_at_us=1723161255342000,
        ),
    ]
    assert venues(file) == {"binance": ["BTC/USDT"]}
    assert [data for _, data in frames(file)] == [
        x.partition(b" ")[2].rstrip() for x in (SNAPSHOT, CHANGE, QUOTE, TRADE)
    ]


def test_time_stands_still_where_the_clock_was_set_back(file: Path) -> None:
    put(file, TRADE, CHANGE)
    assert [item.at_us for item in read(file)] == [1723161254087896, 1723161254087896]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([CHANGE, TRADE[:-20]], "line 2"),
        ([CHANGE, CHANGE.replace(b"1.54698", b"many")], "line 2: 'many' is not an amount"),
        ([CHANGE, CHANGE.replace(b"1.54698", b"-1.5")], "line 2: -1.5 is not an amount"),
        ([SNAPSHOT], "no stream that tells its symbol"),
        ([CHANGE, CHANGE.replace(b"BTCUSDT", b"ETHUSDT"), SNAPSHOT], "may be of any of BTC/USDT, ETH/USDT"),
        ([CHANGE.replace(b"BTCUSDT", b"BTCXYZ")], "no known quote asset in 'BTCXYZ'"),
        ([b"wss://ws.kraken.com <-> 1618678131.6\n"], "no exchange's messages are recognised"),
        ([b"1,2,3\n"], "neither raw messages of an exchange nor tardis-normalised"),
        ([b'{"hello": 1}\n'], "line 1: Object missing required field `exchange`"),
        (
            [
                b'{"exchange":"okex","symbol":"X","type":"trade","price":1,"amount":1,"localTimestamp":"2019-04-01T00:00:00Z",'
                b'"timestamp":"2019-04-01T00:00:00Z"}\n'
            ],
            "okex X is not in the table",
        ),
    ],
)
def test_what_cannot_be_read_is_named(file: Path, lines: list[bytes], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        list(read(put(file, *lines)))


def test_a_cut_off_archive_is_no_recording(tmp_path: Path) -> None:
    whole = gzip.compress(CHANGE * 1000)
    (cut := tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="line "):
        list(read(cut))


@given(st.decimals(min_value=0, max_value=10**9, allow_nan=False, places=None), st.booleans())
def test_amounts_are_floored_exactly(value: Decimal, plain: bool) -> None:
    text = f"{value:f}" if plain else str(value)
    assert floor_units(text) == floor_decimal(value) == fraction_units(text)


@given(st.text(max_size=20))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        value = floor_units(text)
    except ValueError:
        return
    assert value == int(Fraction(Decimal(text)) * SCALE) >= 0


@pytest.mark.parametrize(
    ("symbol_id", "symbol"),
    [("BTCUSDT", "BTC/USDT"), ("BTCFDUSD", "BTC/FDUSD"), ("ETHBTC", "ETH/BTC"), ("USDCUSDT", "USDC/USDT")],
)
def test_symbols(symbol_id: str, symbol: str) -> None:
    assert unified(symbol_id) == symbol
