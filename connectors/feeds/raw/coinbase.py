"""Coinbase Advanced Trade's public streams, channels `level2` (which answers as `l2_data`), `market_trades` and `heartbeats`.

    {"channel": "l2_data", "client_id": "", "timestamp": "2023-02-09T20:32:50.714964855Z", "sequence_num": 0, "events": [
     {"type": "snapshot", "product_id": "BTC-USD", "updates": [{"side": "bid", "event_time": "1970-01-01T00:00:00Z",
      "price_level": "21921.73", "new_quantity": "0.06317902"}, {"side": "offer", "event_time": "1970-01-01T00:00:00Z",
      "price_level": "21921.74", "new_quantity": "0.02"}]}]}
    {"channel": "market_trades", "client_id": "", "timestamp": "2023-02-09T20:19:35.39625135Z", "sequence_num": 1, "events": [{"type":
     "update", "trades": [{"trade_id": "000000000", "product_id": "ETH-USD", "price": "1260.01", "size": "0.3", "side": "BUY",
     "time": "2019-08-14T20:42:27.265Z"}]}]}

`sequence_num` counts every message of the connection, whatever its channel; there is no checksum. A trade's `side` is the maker's.
Source: Coinbase, "Advanced Trade WebSocket Channels".
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from connectors.feeds.amounts import floor_units
from connectors.feeds.market import Print
from connectors.feeds.raw.words import Counted, Said, Traded, Words
from schemas.records import Side


class _Update(msgspec.Struct):
    side: Literal["bid", "offer"]
    price_level: str
    new_quantity: str


class _Trade(msgspec.Struct):
    trade_id: str
    product_id: str
    price: str
    size: str
    side: Literal["BUY", "SELL"]
    time: str


class _Event(msgspec.Struct):
    type: str = ""
    product_id: str = ""
    updates: list[_Update] = []
    trades: list[_Trade] = []


class _Frame(msgspec.Struct):
    channel: str = ""
    sequence_num: int | None = None
    timestamp: str | None = None
    events: msgspec.Raw = msgspec.Raw(b"[]")


_frame = msgspec.json.Decoder(_Frame).decode
_events = msgspec.json.Decoder(list[_Event]).decode


def unified(symbol_id: str) -> str:
    """`BTC-USD` is `BTC/USD`."""
    return symbol_id.replace("-", "/", 1)


def parse(frame: bytes) -> Words:
    """What a frame says. Raises `ValueError`."""
    message = _frame(frame)
    number = message.sequence_num
    if message.channel == "l2_data":
        at = _iso(message.timestamp) if message.timestamp else None
        # one number for all events of the frame: the same number again is no gap
        return [
            Said(
                event.product_id,
                event.type == "snapshot",
                tuple([(u.price_level, u.new_quantity) for u in event.updates if u.side == "bid"]),
                tuple([(u.price_level, u.new_quantity) for u in event.updates if u.side == "offer"]),
                sequence=number,
                of="connection",
                venue_at=at,
            )
            for event in _events(message.events)
        ]
    counted = () if number is None else (Counted(number),)
    if message.channel != "market_trades":
        return counted
    traded = [_traded(trade) for event in _events(message.events) for trade in event.trades]
    return (*counted, *traded)


def _traded(trade: _Trade) -> Traded:
    taker = Side.SELL if trade.side == "BUY" else Side.BUY
    size = floor_units(trade.size)
    return Traded(trade.product_id, Print(trade.trade_id, floor_units(trade.price), size, taker, _iso(trade.time)))


def _iso(text: str) -> int:
    # nanoseconds, of which datetime reads six digits
    whole, dot, rest = text.removesuffix("Z").partition(".")
    at = datetime.fromisoformat(whole + "+00:00")
    return int(at.timestamp()) * 1_000_000 + (int(rest[:6].ljust(6, "0")) if dot else 0)
