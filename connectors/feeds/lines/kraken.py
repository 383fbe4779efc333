"""Kraken's public streams, WebSocket v2. Frames: `connectors.feeds.raw.kraken`.

`{"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": 1000}}`; `heartbeat` comes by itself once a second.
There is no count: each change carries the checksum of the ten best levels. After one that is wrong the book is unsubscribed and subscribed
again, which tells it whole. Source: Kraken, "Websocket v2: Book", "Book checksum (v2)".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.feeds.lines.base import Line, encode, pair
from connectors.feeds.raw.words import Said

DEPTH = 1000  # of 10, 25, 100, 500, 1000


class KrakenLine(Line):
    exchange = "kraken"
    ws_url = "wss://ws.kraken.com/v2"
    per_connection = 50
    ping: bytes | None = encode({"method": "ping"})

    def names(self, symbol: str) -> tuple[str, ...]:
        return ("/".join(pair(symbol)),)

    def hello(self, symbols: Sequence[str]) -> Sequence[bytes]:
        trades = {"channel": "trade", "symbol": list(symbols), "snapshot": False}
        return [_book("subscribe", list(symbols)), encode({"method": "subscribe", "params": trades})]

    def renew(self, symbol: str) -> Sequence[bytes]:
        return [_book("unsubscribe", [symbol]), _book("subscribe", [symbol])]

    def said(self, said: Said) -> Said:
        return said._replace(depth=DEPTH)  # levels beyond it fall off unsaid

    def refusal(self, frame: dict[str, Any]) -> object:
        return frame.get("error") or frame if frame.get("success") is False else None


def _book(method: str, symbols: list[str]) -> bytes:
    return encode({"method": method, "params": {"channel": "book", "symbol": symbols, "depth": DEPTH}})
