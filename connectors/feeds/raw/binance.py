"""Binance's market streams in the words of raw frames; the frames are shown in `connectors.feeds.binance`, whose parsers this uses.

Spot: a change covers the ids `U` to `u` and begins right after the change before. USD-M: `pu` names the change before. Beside the depth and
the trades this reads `bookTicker`, the best levels at an update id, with which a book can be compared:

    {"stream": "btcusdt@bookTicker", "data": {"u": 50093239212, "s": "BTCUSDT", "b": "61837.63000000", "B": "3.78826000",
     "a": "61837.64000000", "A": "1.54698000"}}

A REST snapshot names no symbol: its `symbol_id` is empty, unless a recording has it as `{"stream": "btcusdt@snapshot", "data": …}`. There is
no checksum.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from connectors.feeds import binance
from connectors.feeds.amounts import floor_units
from connectors.feeds.raw.words import Said, Texts, Traded, Words


class _Change(msgspec.Struct):
    E: int
    s: str
    U: int
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    pu: int | None = None


class _Book(msgspec.Struct):
    lastUpdateId: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class _Ticker(msgspec.Struct):
    u: int
    s: str
    b: str
    B: str
    a: str
    A: str


class Ticker(NamedTuple):
    """The best levels at update `at`, in units of 1e-8."""

    symbol_id: str
    at: int
    bid: tuple[int, int]
    ask: tuple[int, int]


_change = msgspec.json.Decoder(_Change).decode
_book = msgspec.json.Decoder(_Book).decode
_ticker = msgspec.json.Decoder(_Ticker).decode


def unified(symbol_id: str) -> str:
    """`BTCUSDT` is `BTC/USDT`; a name that ends in no known quote asset stays as it is."""
    return binance.split_symbol(symbol_id) or symbol_id


def parse(frame: bytes) -> Words:
    """What a frame says. Raises `ValueError`."""
    if frame.startswith(b'{"lastUpdateId"'):
        whole = _book(frame)
        return (Said("", True, _texts(whole.bids), _texts(whole.asks), sequence=whole.lastUpdateId),)
    if not frame.startswith(b'{"stream"'):
        msgspec.json.decode(frame)  # an answer to a subscription, or no JSON at all
        return ()
    name, content = binance.stream_of(frame)
    kind = name.partition("@")[2]
    if kind.startswith("depth"):
        raw = _change(content)
        before = raw.U - 1 if raw.pu is None else raw.pu
        return (
            Said(
                raw.s,
                False,
                _texts(raw.b),
                _texts(raw.a),
                first=raw.U,
                sequence=raw.u,
                previous=before,
                venue_at=raw.E * 1000,
            ),
        )
    if kind == "snapshot":
        whole = _book(content)
        symbol_id = name.partition("@")[0].upper()
        return (Said(symbol_id, True, _texts(whole.bids), _texts(whole.asks), sequence=whole.lastUpdateId),)
    return (Traded(*binance.trade(content)),) if kind == "trade" else ()


def ticker(frame: bytes) -> Ticker | None:
    """The best levels, if that is what the frame says. Raises `ValueError`."""
    if frame.find(b"@bookTicker", 0, 64) < 0:
        return None
    t = _ticker(binance.stream_of(frame)[1])
    return Ticker(t.s, t.u, (floor_units(t.b), floor_units(t.B)), (floor_units(t.a), floor_units(t.A)))


def _texts(levels: list[tuple[str, str]]) -> Texts:
    return tuple(levels)
