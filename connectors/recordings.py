"""Recorded market data, read back as it was: the same books for simulated venues, checks and benchmarks.

Three forms, told apart by content; each may be gzipped:

* raw (what `bestex record` writes): `<local receive time, ns> <message>`, the messages of one exchange as it sent them, which tell whose they
  are (`exchange_of`). Binance's, spot or USD-M, are a combined stream's frames (`{"stream", "data"}`, see `connectors.feeds.binance`) and
  REST snapshots, bare (`{"lastUpdateId", "bids", "asks"}`) or as `{"stream": "<symbol>@snapshot", "data": …}`; those of others are
  shown in `connectors.feeds.raw`;
* the same as a log: `wss://… <-> <s>` where a connection begins, `wss://… <- <s>: message` what was sent, `<s>: message` what came;
* tardis-normalised JSON lines: `{"exchange", "symbol", "type": "book_change" | "trade", "isSnapshot", "bids": [{"price", "amount"}],
  "localTimestamp", …}`, several exchanges on one clock.

Rules:

* of the exchanges that keep us told of so many levels a side only, what falls off unsaid is yielded as deleted;
* everything is yielded in the order of the file, which is that of arrival; where the recorder's clock was set back, time stands still
  until it has caught up;
* `read` judges nothing: changes before a REST snapshot are yielded with their ids, whether it covers them or not; who wants a book
  rather than the file takes `settled(read(…))`;
* numbers go from decimal text to ints of 1e-8 and are never floats; what is finer than 1e-8 is floored;
* of inverse contracts (BitMEX XBTUSD, Deribit BTC-PERPETUAL: an amount is in US dollars) the base quantity is amount / price, floored
  to 1e-8; a level too small for that would read as deleted, which is what can be traded there.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from heapq import nlargest, nsmallest
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from connectors.feeds.amounts import SCALE, floor_decimal, floor_units
from connectors.feeds.binance import Binance, split_symbol, stream_of
from connectors.feeds.frames import RAW, Said, Traded, exchange_of
from connectors.feeds.market import Depth, Levels, Print
from schemas.records import Side

Kind = Literal["snapshot", "diff", "trade"]

BINANCE = "binance"
RECENT = 1000  # changes that a snapshot may be older than
# Instruments of the tardis form: (exchange, symbol) -> (unified symbol, whether amounts are in the quote).
INSTRUMENTS: Mapping[tuple[str, str], tuple[str, bool]] = {
    ("bitmex", "XBTUSD"): ("BTC/USD", True),
    ("deribit", "BTC-PERPETUAL"): ("BTC/USD", True),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_STAMPED = re.compile(rb"([0-9]{19}) ")
_LOGGED = re.compile(rb"([0-9]{9,11}(?:\.[0-9]+)?): ")
_CONNECTED = re.compile(rb"(?:wss?|https?)://[^ ]+ (<->?) ")
UNDECIDED = 1000  # messages that may be anybody's before one tells whose they are


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message. `price`, `quantity`, `trade_id` and `side` (the taker's) are a trade's; the rest a book's.

    Times are int microseconds: `at_us` of the recorder's clock, `venue_at_us` of the venue's, which may be seconds off. Levels are
    (price, base quantity) in units of 1e-8; quantity 0 deletes. Ids are None where the venue has none.
    """

    at_us: int
    venue: str
    symbol: str
    kind: Kind
    bids: Levels = ()
    asks: Levels = ()
    first_id: int | None = None
    last_id: int | None = None
    trade_id: str | None = None
    price: int | None = None
    quantity: int | None = None
    side: Side | None = None
    previous_id: int | None = None
    venue_at_us: int | None = None


def read(path: Path, venue: str | None = None) -> Iterator[Recorded]:
    """What the file holds, in time order. Raises `ValueError` naming the line that cannot be read, `OSError`.

    A raw file has no venue's name: `venue` gives it (default: the exchange's). In the tardis form it is the exchange's, and `venue` filters.
    """
    return _reading(path, lambda lines: _any_raw(lines, venue), lambda lines: _tardis(lines, venue))


def settled(items: Iterable[Recorded]) -> Iterator[Recorded]:
    """What a book is rebuilt from: of each symbol a snapshot first, then every change that it does not hold, each once.

    A REST snapshot is older than its answer: changes that came before it and reach beyond it are given again, right after it and at its
    time. Trades pass. Changes before the first snapshot that it covers, or that have no ids, are left out.
    """
    recent: dict[tuple[str, str], deque[Recorded]] = defaultdict(lambda: deque(maxlen=RECENT))
    held: dict[tuple[str, str], int | None] = {}
    for item in items:
        key = (item.venue, item.symbol)
        if item.kind == "trade":
            yield item
        elif item.kind == "snapshot":
            yield item
            held[key] = item.last_id
            for change in recent[key]:
                if _beyond(change, held[key]):
                    yield replace(change, at_us=item.at_us)
                    held[key] = change.last_id
        else:
            if item.last_id is not None:
                recent[key].append(item)
            if key in held and _beyond(item, held[key]):
                yield item
                held[key] = item.last_id


def _beyond(change: Recorded, last_id: int | None) -> bool:
    return change.last_id is None or last_id is None or change.last_id > last_id


def frames(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every message as it was recorded, those too that `read` leaves out (a raw file's `bookTicker`): (local time in µs, JSON)."""
    return _reading(path, _messages, lambda lines: ((_micros(_line(line).localTimestamp), line) for line in lines))


def venues(path: Path) -> dict[str, list[str]]:
    """The venues in the file and their unified symbols, in order of appearance. Reads the whole file. Raises as `read` does."""
    found: dict[str, list[str]] = {}
    for item in read(path):
        symbols = found.setdefault(item.venue, [])
        if item.symbol not in symbols:
            symbols.append(item.symbol)
    return found


def unified(symbol_id: str) -> str:
    """`BTCUSDT` is `BTC/USDT`. Raises `ValueError` when it does not end in a known quote asset."""
    symbol = split_symbol(symbol_id)
    if symbol is None:
        raise ValueError(f"no known quote asset in {symbol_id!r}")
    return symbol


# --- lines

T = TypeVar("T")


class _Lines:
    """The lines of a file, counted, so that an error can name its place."""

    def __init__(self, file: Iterable[bytes]) -> None:
        self._file, self.number = file, 0

    def __iter__(self) -> Iterator[bytes]:
        for self.number, line in enumerate(self._file, 1):  # noqa: B020 - the count is the point
            yield line


def _reading(path: Path, raw: Callable[[_Lines], Iterator[T]], tardis: Callable[[_Lines], Iterator[T]]) -> Iterator[T]:
    """What the one or the other makes of the file's lines."""
    with path.open("rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if zipped else path.open("rb") as file:
        lines = _Lines(file)
        try:
            start = file.read(256)
            file.seek(0)
            if _STAMPED.match(start) or _LOGGED.match(start) or _CONNECTED.match(start):
                yield from raw(lines)
            elif start.startswith(b"{"):
                yield from tardis(lines)
            else:
                raise ValueError("neither raw messages of an exchange nor tardis-normalised lines")
        except (ValueError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}, line {lines.number}: {error}") from error


# --- raw


def _split(lines: _Lines) -> Iterator[tuple[int, bytes | None]]:
    """(local time in µs, message); None where a connection begins."""
    last = 0
    for line in lines:
        if (stamp := _STAMPED.match(line)) is not None:
            at = int(stamp[1]) // 1000
        elif (stamp := _LOGGED.match(line)) is not None:
            at = _seconds(stamp[1])
        elif (begins := _CONNECTED.match(line)) is not None:
            if begins[1] == b"<->":
                yield last, None
            continue
        elif not line.strip():
            continue
        else:
            raise ValueError(f"neither a message with its time nor a connection: {line[:60]!r}")
        last = max(last, at)
        yield last, line[stamp.end() :].rstrip()


def _messages(lines: _Lines) -> Iterator[tuple[int, bytes]]:
    return ((at, data) for at, data in _split(lines) if data is not None)


def _seconds(text: bytes) -> int:
    whole, _, fraction = text.partition(b".")
    return int(whole) * 1_000_000 + int(fraction[:6].ljust(6, b"0"))


def _any_raw(lines: _Lines, venue: str | None) -> Iterator[Recorded]:
    """The messages of whatever exchange they are found to be of."""
    source, seen = _split(lines), list[tuple[int, bytes | None]]()
    for one in source:
        seen.append(one)
        exchange = None if one[1] is None else exchange_of(one[1])
        if exchange is not None:
            everything = chain(seen, source)
            if exchange == BINANCE:
                return _raw(((at, data) for at, data in everything if data is not None), venue or BINANCE)
            return _worded(everything, exchange, venue or exchange)
        if len(seen) == UNDECIDED:
            break
    raise ValueError("no exchange's messages are recognised in it")


def _worded(source: Iterable[tuple[int, bytes | None]], exchange: str, venue: str) -> Iterator[Recorded]:
    """The messages of an exchange that `connectors.feeds.raw` reads. A new connection begins with new snapshots."""
    of = RAW[exchange]
    reader, books = of.reader(), dict[str, _Kept]()
    for at, data in source:
        if data is None:
            reader = of.reader()
            continue
        for word in reader.words(data):
            if isinstance(word, Said):
                yield _said(at, venue, of.unified(word.symbol_id), word, books)
            elif isinstance(word, Traded):
                yield _recorded(at, venue, of.unified(word.symbol_id), word.print)


class _Kept:
    """Prices of a book that the exchange tells only the best so many levels of."""

    def __init__(self) -> None:
        self.bids: set[int] = set()
        self.asks: set[int] = set()

    def take(self, side: Literal["bids", "asks"], levels: Levels, said: Said) -> Levels:
        """The levels, with those deleted that fall off."""
        kept: set[int] = set() if said.snapshot else getattr(self, side)
        setattr(self, side, kept)
        for price, quantity in levels:
            (kept.add if quantity else kept.discard)(price)
        beyond = len(kept) - said.depth
        if beyond <= 0:
            return levels
        fallen = (nsmallest if side == "bids" else nlargest)(beyond, kept)
        kept.difference_update(fallen)
        gone = {*fallen}
        return (*(level for level in levels if level[0] not in gone), *((price, 0) for price in fallen))


def _said(at: int, venue: str, symbol: str, said: Said, books: dict[str, _Kept]) -> Recorded:
    bids, asks = (tuple([(floor_units(p), floor_units(q)) for p, q in side]) for side in (said.bids, said.asks))
    if said.depth:
        kept = books.setdefault(symbol, _Kept())
        bids, asks = kept.take("bids", bids, said), kept.take("asks", asks, said)
    # Without ids: each exchange counts in its own way, and tells a book and its changes in order on one connection.
    return Recorded(at, venue, symbol, "snapshot" if said.snapshot else "diff", bids, asks, venue_at_us=said.venue_at)


# --- raw Binance


def _raw(source: Iterable[tuple[int, bytes]], venue: str) -> Iterator[Recorded]:
    exchange = Binance()
    names: dict[str, str] = {}  # symbol id -> unified
    waiting: list[tuple[int, bytes]] = []  # snapshots (which name no symbol) before the first frame
    for at, data in source:
        if data.startswith(b'{"lastUpdateId"'):
            waiting.append((at, data))
        elif data.find(b"@snapshot", 0, 64) > 0:
            stream, whole = stream_of(data)
            yield _recorded(at, venue, unified(stream.partition("@")[0].upper()), exchange.snapshot(bytes(whole)))
        elif not _is_quote(data) and (content := exchange.message(data)):
            symbol_id, said = content
            if symbol_id not in names:
                names[symbol_id] = unified(symbol_id)
            if waiting:
                # The first frame was read only for its symbol: the snapshots came before it.
                yield from _snapshots(exchange, waiting, names, venue)
            yield _recorded(at, venue, names[symbol_id], said)
        if waiting and names:
            yield from _snapshots(exchange, waiting, names, venue)
    if waiting:
        raise ValueError("a snapshot, and no stream that tells its symbol")


def _is_quote(data: bytes) -> bool:
    """Two lines of three are these: known by the name, without parsing."""
    return data.find(b"@bookTicker", 0, 64) > 0


def _snapshots(
    exchange: Binance, waiting: list[tuple[int, bytes]], names: Mapping[str, str], venue: str
) -> Iterator[Recorded]:
    if len(names) > 1:
        raise ValueError(f"a snapshot that may be of any of {', '.join(names.values())}")
    symbol = next(iter(names.values()))
    for at, data in waiting:
        yield _recorded(at, venue, symbol, exchange.snapshot(data))
    waiting.clear()


def _recorded(at: int, venue: str, symbol: str, said: Depth | Print) -> Recorded:
    if isinstance(said, Print):
        return Recorded(
            at,
            venue,
            symbol,
            "trade",
            trade_id=said.trade_id,
            price=said.price,
            quantity=said.quantity,
            side=said.side,
            venue_at_us=said.venue_at,
        )
    return Recorded(
        at,
        venue,
        symbol,
        "snapshot" if said.first_id is None else "diff",
        said.bids,
        said.asks,
        said.first_id,
        said.last_id,
        previous_id=said.previous_id,
        venue_at_us=said.venue_at,
    )


# --- tardis-normalised


_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Level(msgspec.Struct):
    price: Decimal
    amount: Decimal


class _Line(msgspec.Struct):
    exchange: str
    symbol: str
    type: Literal["book_change", "trade"]
    localTimestamp: _Time
    timestamp: _Time
    isSnapshot: bool = False
    bids: list[_Level] = []
    asks: list[_Level] = []
    id: str | None = None
    price: Decimal | None = None
    amount: Decimal | None = None
    side: Literal["buy", "sell", "unknown"] | None = None


_line = msgspec.json.Decoder(_Line).decode
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}


def _tardis(lines: _Lines, venue: str | None) -> Iterator[Recorded]:
    last = 0
    for text in lines:
        line = _line(text)
        last = max(last, _micros(line.localTimestamp))
        if venue is not None and line.exchange != venue:
            continue
        if (line.exchange, line.symbol) not in INSTRUMENTS:
            raise ValueError(f"{line.exchange} {line.symbol} is not in the table of instruments")
        symbol, inverse = INSTRUMENTS[line.exchange, line.symbol]
        if line.type == "book_change":
            yield Recorded(
                last,
                line.exchange,
                symbol,
                "snapshot" if line.isSnapshot else "diff",
                tuple([_level(level.price, level.amount, inverse) for level in line.bids]),
                tuple([_level(level.price, level.amount, inverse) for level in line.asks]),
                venue_at_us=_micros(line.timestamp),
            )
            continue
        if line.price is None or line.amount is None:
            raise ValueError("a trade without price or amount")
        price, quantity = _level(line.price, line.amount, inverse)
        yield Recorded(
            last,
            line.exchange,
            symbol,
            "trade",
            trade_id=line.id,
            price=price,
            quantity=quantity,
            side=_SIDES.get(line.side or ""),
            venue_at_us=_micros(line.timestamp),
        )


def _level(price: Decimal, amount: Decimal, inverse: bool) -> tuple[int, int]:
    units = floor_decimal(price)
    if units == 0:
        raise ValueError(f"a price of {price}")
    quantity = floor_decimal(amount)
    return units, quantity * SCALE // units if inverse else quantity


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND
