"""OKX's public streams, v5, channels `books` and `trades`.

    {"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": "update", "data": [{"asks": [["8476.98", "415", "0", "13"]],
     "bids": [["8476.97", "256", "0", "12"]], "ts": "1597026383085", "checksum": -855196043, "prevSeqId": 123450, "seqId": 123456}]}
    {"arg": {"channel": "trades", "instId": "BTC-USDT"}, "data": [{"instId": "BTC-USDT", "tradeId": "130639474", "px": "42219.9",
     "sz": "0.12060306", "side": "buy", "ts": "1630048897897"}]}

A snapshot has `prevSeqId` -1; a change's `prevSeqId` is the `seqId` before it. When nothing changed for a minute both are equal, and after
maintenance `seqId` may be smaller than `prevSeqId`. The checksum is the signed CRC32 of the 25 best levels, `bid price:size:ask
price:size:…` alternating as printed; where one side has fewer, the other goes on alone. Source: OKX, "Order book channel".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal
from zlib import crc32

import msgspec

from connectors.feeds.amounts import floor_units
from connectors.feeds.market import Print
from connectors.feeds.raw.words import Said, Traded, Words, signed32
from schemas.records import Side

CHECKED = 25


class _Arg(msgspec.Struct):
    channel: str
    instId: str = ""


class _Frame(msgspec.Struct):
    arg: _Arg | None = None
    action: str = ""
    event: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


class _Book(msgspec.Struct):
    asks: list[list[str]]
    bids: list[list[str]]
    ts: str
    seqId: int
    prevSeqId: int
    checksum: int | None = None


class _Trade(msgspec.Struct):
    instId: str
    tradeId: str
    px: str
    sz: str
    side: Literal["buy", "sell"]
    ts: str


_frame = msgspec.json.Decoder(_Frame).decode
_books = msgspec.json.Decoder(list[_Book]).decode
_trades = msgspec.json.Decoder(list[_Trade]).decode


def unified(symbol_id: str) -> str:
    """`BTC-USDT` is `BTC/USDT`."""
    return symbol_id.replace("-", "/", 1)


def parse(frame: bytes) -> Words:
    """What a frame says. Raises `ValueError`."""
    if frame == b"pong":
        return ()
    message = _frame(frame)
    if message.arg is None or message.event:
        return ()
    if message.arg.channel == "trades":
        return [
            Traded(t.instId, Print(t.tradeId, floor_units(t.px), floor_units(t.sz), Side(t.side.upper()), _ms(t.ts)))
            for t in _trades(message.data)
        ]
    if not message.arg.channel.startswith("books"):
        return ()
    return [
        Said(
            message.arg.instId,
            message.action == "snapshot",
            tuple([(row[0], row[1]) for row in book.bids]),
            tuple([(row[0], row[1]) for row in book.asks]),
            sequence=book.seqId,
            previous=book.prevSeqId,
            checksum=book.checksum,
            venue_at=_ms(book.ts),
        )
        for book in _books(message.data)
    ]


def checksum(bids: Iterable[tuple[str, str]], asks: Iterable[tuple[str, str]]) -> int:
    """Of the best levels, best first; more than 25 may be given."""
    best_bids = [level for level, _ in zip(bids, range(CHECKED), strict=False)]
    best_asks = [level for level, _ in zip(asks, range(CHECKED), strict=False)]
    parts: list[str] = []
    for n in range(max(len(best_bids), len(best_asks))):
        for side in (best_bids, best_asks):
            if n < len(side):
                parts += side[n]
    return signed32(crc32(":".join(parts).encode()))


def _ms(text: str) -> int:
    return int(text) * 1000
