"""Bitfinex's public streams, v2, raw numbers of channel `book` (precision P0) with the flags for sequence (65536) and checksum (131072).

    {"event": "subscribed", "channel": "book", "chanId": 10092, "symbol": "tBTCUSD", "prec": "P0", "len": "25"}
    [10092, [[7254.7, 3, 3.3], [7254.8, 1, -0.5]], 1]          snapshot: [price, count, amount]; an ask's amount is negative
    [10092, [7254.5, 0, 1], 2]                                 count 0 deletes the level: amount 1 of the bids, -1 of the asks
    [10092, "cs", -1234567, 3]                                 checksum of the book as it is now
    [10092, "hb", 4]
    [17470, "te", [401597395, 1574694478808, 0.005, 7245.3], 5]

A frame names its channel by number only, so that what a number means is handed in (`channels`: number -> (channel, symbol), which
`subscribed` reads from the exchange's answers). The last member counts everything on the connection. The checksum is the signed CRC32 of
the 25 best levels, `bid price:amount:ask price:amount` alternating, asks' amounts with their sign. Source: Bitfinex, "WS public books".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from zlib import crc32

import msgspec

from connectors.feeds.amounts import floor_units
from connectors.feeds.market import Print
from connectors.feeds.raw.words import Counted, Said, Traded, Words, signed32
from schemas.records import Side

CHECKED = 25
Channels = Mapping[int, tuple[str, str]]


class _Event(msgspec.Struct):
    event: str
    channel: str = ""
    chanId: int = 0
    symbol: str = ""


_event = msgspec.json.Decoder(_Event).decode
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_rows = msgspec.json.Decoder(list[list[msgspec.Raw]]).decode
_number = msgspec.json.Decoder(int).decode


def unified(symbol_id: str) -> str:
    """`tBTCUSD` is `BTC/USD`, `tBTCUST` is `BTC/USDT`, `tDUSK:USD` is `DUSK/USD`."""
    name = symbol_id.removeprefix("t")
    base, colon, quote = name.partition(":")
    if not colon:
        base, quote = name[:-3], name[-3:]
    return f"{base}/{'USDT' if quote == 'UST' else quote}"


def subscribed(frame: bytes) -> tuple[int, tuple[str, str]] | None:
    """The number and meaning of a channel, if that is what the frame says. Raises `ValueError`."""
    if not frame.startswith(b"{"):
        return None
    event = _event(frame)
    return (event.chanId, (event.channel, event.symbol)) if event.event == "subscribed" else None


def parse(frame: bytes, channels: Channels) -> Words:
    """What a frame says. Raises `ValueError`, also for a channel that is not known."""
    if frame.startswith(b"{"):
        return ()
    parts = _array(frame)
    number = _number(parts[0])
    if number == 0:  # of the connection or the account, not of a channel
        return ()
    if number not in channels:
        raise ValueError(f"channel {number} was not subscribed")
    channel, symbol = channels[number]
    content = bytes(parts[1])
    sequence = _number(parts[-1]) if len(parts) > 2 and not bytes(parts[-1]).startswith(b"[") else None
    if channel == "trades":
        return _traded(symbol, parts, sequence)
    if content == b'"hb"':
        return () if sequence is None else (Counted(sequence),)
    if content == b'"cs"':
        return (Said(symbol, False, sequence=sequence, of="connection", checksum=_number(parts[2])),)
    whole = content.startswith(b"[[") or content == b"[]"
    rows = _rows(content) if whole else _rows(b"[" + content + b"]")
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []
    for row in rows:
        price, count, amount = (bytes(part).decode() for part in row)
        side = asks if amount.startswith("-") else bids
        side.append((price, "0" if count == "0" else amount.removeprefix("-")))
    return (Said(symbol, whole, tuple(bids), tuple(asks), sequence=sequence, of="connection"),)


def _traded(symbol: str, parts: list[msgspec.Raw], sequence: int | None) -> Words:
    counted: Words = () if sequence is None else (Counted(sequence),)
    if bytes(parts[1]) != b'"te"':  # "tu" tells the same trade again, the snapshot those of before
        return counted
    number, at, amount, price = (bytes(part).decode() for part in _array(parts[2]))
    side = Side.SELL if amount.startswith("-") else Side.BUY
    size = floor_units(amount.removeprefix("-"))
    return (*counted, Traded(symbol, Print(number, floor_units(price), size, side, int(at) * 1000)))


def checksum(bids: Iterable[tuple[str, str]], asks: Iterable[tuple[str, str]]) -> int:
    """Of the best levels, best first, amounts of both sides positive; more than 25 may be given."""
    best_bids = [level for level, _ in zip(bids, range(CHECKED), strict=False)]
    best_asks = [level for level, _ in zip(asks, range(CHECKED), strict=False)]
    parts: list[str] = []
    for n in range(CHECKED):
        if n < len(best_bids):
            parts += best_bids[n]
        if n < len(best_asks):
            parts += (best_asks[n][0], "-" + best_asks[n][1])
    return signed32(crc32(":".join(parts).encode()))
