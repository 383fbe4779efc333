"""Recorded market data, read back as it was: the same books for simulated venues, checks and benchmarks.

Two forms, told apart by content; either may be gzipped:

* raw Binance, spot or USD-M: `<local receive time, ns> <JSON>`, where the JSON is a combined stream's frame (`{"stream", "data"}`, see
  `connectors.feeds.binance`) or a bare REST snapshot (`{"lastUpdateId", "bids", "asks"}`);
* tardis-normalised JSON lines: `{"exchange", "symbol", "type": "book_change" | "trade", "isSnapshot", "bids": [{"price", "amount"}],
  "localTimestamp", …}`, several exchanges on one clock.

Rules:

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
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from connectors.feeds.amounts import SCALE, floor_decimal
from connectors.feeds.binance import Binance, split_symbol
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
_RAW_LINE = re.compile(rb"[0-9]{19} [{]")


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

    A raw file has no venue's name: `venue` gives it (default `binance`). In the tardis form it is the exchange's, and `venue` filters.
    """
    return _reading(path, lambda lines: _raw(lines, venue or BINANCE), lambda lines: _tardis(lines, venue))


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
    return _reading(path, _split, lambda lines: ((_micros(_line(line).localTimestamp), line) for line in lines))


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
            start = file.read(64)
            file.seek(0)
            if _RAW_LINE.match(start):
                yield from raw(lines)
            elif start.startswith(b"{"):
                yield from tardis(lines)
            else:
                raise ValueError("neither raw Binance lines nor tardis-normalised ones")
        except (ValueError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}, line {lines.number}: {error}") from error


# --- raw Binance


def _split(lines: _Lines) -> Iterator[tuple[int, bytes]]:
    last = 0
    for line in lines:
        stamp, _, data = line.partition(b" ")
        last = max(last, int(stamp) // 1000)
        yield last, data


def _raw(lines: _Lines, venue: str) -> Iterator[Recorded]:
    exchange = Binance()
    names: dict[str, str] = {}  # symbol id -> unified
    waiting: list[tuple[int, bytes]] = []  # snapshots (which name no symbol) before the first frame
    for at, data in _split(lines):
        if data.startswith(b'{"lastUpdateId"'):
            waiting.append((at, data))
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
