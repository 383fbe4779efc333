"""Kraken's public streams, WebSocket v1 and v2.

v1 (an array; `as`/`bs` in a snapshot, `a`/`b` in a change, which may come as two objects; a fourth member `r` marks a level told again):

    [1664, {"as": [["13.260800", "500.00000000", "1618678132.214235"]], "bs": [["13.234900", "3.00000000", "1618678131.0"]]}, "book-1000", "WAVES/EUR"]
    [1664, {"a": [["13.284500", "1396.00000000", "1618678133.383209"]], "c": "176333288"}, "book-1000", "WAVES/EUR"]
    [0, [["5541.20000", "0.15850568", "1534614057.321597", "s", "l", ""]], "trade", "XBT/USD"]

v2 (numbers unquoted, and so kept as they stand):

    {"channel": "book", "type": "update", "data": [{"symbol": "MATIC/USD", "bids": [{"price": 0.5657, "qty": 1098.3947558}], "asks": [],
     "checksum": 2114181697, "timestamp": "2023-10-06T17:35:55.440295Z"}]}
    {"channel": "trade", "type": "update", "data": [{"symbol": "MATIC/USD", "side": "sell", "price": 0.5117, "qty": 40.0,
     "ord_type": "market", "trade_id": 4665906, "timestamp": "2023-09-25T07:49:37.708706Z"}]}

Neither counts its messages. A change carries the CRC32 of the ten best levels a side after it: asks from the best up, then bids from the
best down, each price and quantity without the dot and without leading zeros. Levels beyond the subscribed depth fall off unsaid.
Source: Kraken, "Spot Websockets (v1)", `book`, and "Book checksum (v2)".
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from zlib import crc32

import msgspec

from connectors.feeds.amounts import floor_units
from connectors.feeds.market import Print
from connectors.feeds.raw.words import Said, Texts, Traded, Words
from schemas.records import Side

CHECKED = 10  # levels a side in a checksum
_NAMES = {"XBT": "BTC", "XDG": "DOGE"}


class _Book(msgspec.Struct, forbid_unknown_fields=True):
    as_: list[list[str]] | None = msgspec.field(name="as", default=None)
    bs: list[list[str]] | None = None
    a: list[list[str]] = []
    b: list[list[str]] = []
    c: str | None = None


class _Entry(msgspec.Struct):
    symbol: str
    bids: list[dict[str, msgspec.Raw]] = []
    asks: list[dict[str, msgspec.Raw]] = []
    checksum: int | None = None
    timestamp: str | None = None
    side: Literal["buy", "sell"] | None = None
    price: msgspec.Raw = msgspec.Raw(b"")
    qty: msgspec.Raw = msgspec.Raw(b"")
    trade_id: int | None = None


class _Message(msgspec.Struct):
    channel: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_book = msgspec.json.Decoder(_Book).decode
_trades = msgspec.json.Decoder(list[list[str]]).decode
_message = msgspec.json.Decoder(_Message).decode
_entries = msgspec.json.Decoder(list[_Entry]).decode


def unified(pair: str) -> str:
    """`XBT/USD` is `BTC/USD`."""
    return "/".join(_NAMES.get(asset, asset) for asset in pair.split("/"))


def parse(frame: bytes) -> Words:
    """What a frame of either version says. Raises `ValueError`."""
    return _parse_v1(frame) if frame.lstrip().startswith(b"[") else _parse_v2(frame)


def _parse_v1(frame: bytes) -> Words:
    parts = _array(frame)
    if len(parts) < 4:
        raise ValueError("an array of less than four members")
    channel, pair = _text(parts[-2]), _text(parts[-1])
    if channel == "trade":
        return [_traded_v1(pair, row) for part in parts[1:-2] for row in _trades(part)]
    if not channel.startswith("book"):
        return ()
    depth = int(channel.partition("-")[2] or 10)
    books = [_book(part) for part in parts[1:-2]]
    whole = any(book.as_ is not None or book.bs is not None for book in books)
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []
    checksum = None
    for book in books:
        bids += [(row[0], row[1]) for row in (book.bs or []) + book.b]
        asks += [(row[0], row[1]) for row in (book.as_ or []) + book.a]
        checksum = int(book.c) if book.c is not None else checksum
    if not whole and checksum is None:
        raise ValueError("a change without its checksum")
    rows = [row for book in books for row in (book.bs or []) + book.b + (book.as_ or []) + book.a]
    at = max([_micros(row[2]) for row in rows if row[-1] != "r"], default=None)  # those told again bear their old time
    return (Said(pair, whole, tuple(bids), tuple(asks), checksum=checksum, depth=depth, venue_at=at),)


def _traded_v1(pair: str, row: list[str]) -> Traded:
    side = Side.BUY if row[3] == "b" else Side.SELL
    # v1 numbers no trades; time, price and quantity name it
    return Traded(
        pair, Print(f"{row[2]}-{row[0]}-{row[1]}", floor_units(row[0]), floor_units(row[1]), side, _micros(row[2]))
    )


def _parse_v2(frame: bytes) -> Words:
    message = _message(frame)
    if message.channel == "trade":
        return [_traded_v2(entry) for entry in _entries(message.data)]
    if message.channel != "book":
        return ()
    whole = message.type == "snapshot"
    return [
        Said(
            entry.symbol,
            whole,
            _levels(entry.bids),
            _levels(entry.asks),
            checksum=entry.checksum,
            venue_at=_iso(entry.timestamp) if entry.timestamp else None,
        )
        for entry in _entries(message.data)
    ]


def _traded_v2(entry: _Entry) -> Traded:
    if entry.side is None or entry.timestamp is None:
        raise ValueError("a trade without side or time")
    price, quantity = floor_units(bytes(entry.price).decode()), floor_units(bytes(entry.qty).decode())
    return Traded(
        entry.symbol, Print(str(entry.trade_id), price, quantity, Side(entry.side.upper()), _iso(entry.timestamp))
    )


def _levels(rows: list[dict[str, msgspec.Raw]]) -> Texts:
    return tuple([(bytes(row["price"]).decode(), bytes(row["qty"]).decode()) for row in rows])


def checksum(bids: Iterable[tuple[str, str]], asks: Iterable[tuple[str, str]]) -> int:
    """Of the best levels, best first; more than ten may be given."""
    parts: list[str] = []
    for side in (asks, bids):
        for (price, quantity), _ in zip(side, range(CHECKED), strict=False):
            parts.append(price.replace(".", "").lstrip("0"))
            parts.append(quantity.replace(".", "").lstrip("0"))
    return crc32("".join(parts).encode())


def _micros(seconds: str) -> int:
    whole, _, fraction = seconds.partition(".")
    return int(whole) * 1_000_000 + int(fraction[:6].ljust(6, "0") or 0)


def _iso(text: str) -> int:
    at = datetime.fromisoformat(text)
    return int(at.timestamp()) * 1_000_000 + at.microsecond
