"""Coinbase Advanced Trade's public streams. Frames: `connectors.feeds.raw.coinbase`.

One message a channel: `{"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "level2"}`. Beside the books and the trades the
heartbeats are asked for, a second apart, so that a quiet market is no silence. Books come in full depth. The count is the connection's, so
that a gap takes all of its books, and a new connection to be right again. What is asked for as USDC is told as USD, one book for both.
Source: Coinbase, "Advanced Trade WebSocket Overview".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.feeds.lines.base import Line, encode, pair


class CoinbaseLine(Line):
    exchange = "coinbase"
    ws_url = "wss://advanced-trade-ws.coinbase.com"
    per_connection = 20

    def names(self, symbol: str) -> tuple[str, ...]:
        base, quote = pair(symbol)
        return (f"{base}-{quote}", f"{base}-USD") if quote == "USDC" else (f"{base}-{quote}",)

    def hello(self, symbols: Sequence[str]) -> Sequence[bytes]:
        products = [self.names(symbol)[0] for symbol in symbols]
        return [
            encode({"type": "subscribe", "product_ids": products, "channel": "level2"}),
            encode({"type": "subscribe", "product_ids": products, "channel": "market_trades"}),
            encode({"type": "subscribe", "channel": "heartbeats"}),
        ]

    def refusal(self, frame: dict[str, Any]) -> object:
        return frame.get("message") or frame if frame.get("type") == "error" else None
