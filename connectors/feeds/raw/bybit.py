"""Bybit's public streams, v5, topics `orderbook.<depth>.<symbol>` and `publicTrade.<symbol>`.

    {"topic": "orderbook.50.BTCUSDT", "type": "delta", "ts": 1687940967466, "data": {"s": "BTCUSDT", "b": [["30247.20", "30.028"],
     ["30245.40", "0"]], "a": [["30248.70", "0"]], "u": 177400507, "seq": 66544703342}, "cts": 1687940967464}
    {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 1672304486868, "data": [{"T": 1672304486865, "s": "BTCUSDT", "S": "Buy",
     "v": "0.001", "p": "16578.50", "i": "20f43950-d8dd-5b31-9112-a178eb6023af"}]}

`u` of a delta is one more than the `u` before; a snapshot replaces the book at any time, also with `u` 1 after the service was restarted.
There is no checksum. A trade's `S` is the taker's side. Source: Bybit v5, "Orderbook" and "Trade".
"""

from __future__ import annotations

from typing import Literal

import msgspec

from connectors.feeds.amounts import floor_units
from connectors.feeds.market import Print
from connectors.feeds.raw.words import Said, Traded, Words
from schemas.records import Side


class _Frame(msgspec.Struct):
    topic: str = ""
    type: str = ""
    ts: int = 0
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Book(msgspec.Struct):
    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    u: int


class _Trade(msgspec.Struct):
    T: int
    s: str
    S: Literal["Buy", "Sell"]
    v: str
    p: str
    i: str


_frame = msgspec.json.Decoder(_Frame).decode
_book = msgspec.json.Decoder(_Book).decode
_trades = msgspec.json.Decoder(list[_Trade]).decode


def parse(frame: bytes) -> Words:
    """What a frame says. Raises `ValueError`."""
    message = _frame(frame)
    if message.topic.startswith("publicTrade."):
        return [
            Traded(t.s, Print(t.i, floor_units(t.p), floor_units(t.v), Side(t.S.upper()), t.T * 1000))
            for t in _trades(message.data)
        ]
    if not message.topic.startswith("orderbook."):
        return ()
    book = _book(message.data)
    whole = message.type == "snapshot" or book.u == 1
    depth = int(message.topic.split(".")[1])
    return (
        Said(book.s, whole, tuple(book.b), tuple(book.a), sequence=book.u, depth=depth, venue_at=message.ts * 1000),
    )
