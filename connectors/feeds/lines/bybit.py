"""Bybit's public spot streams, v5. Frames: `connectors.feeds.raw.bybit`.

`{"op": "subscribe", "args": ["orderbook.200.BTCUSDT", "publicTrade.BTCUSDT"]}`, at most ten a request. `{"op": "ping"}` is answered, and
wanted every 20 s. `u` counts the changes of a book; after a gap the book is subscribed again. Source: Bybit v5, "Connect", "Orderbook".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.feeds.lines.base import Line, encode, pair

DEPTH = 200  # of 1, 50, 200, 1000; a change comes every 20 ms
AT_ONCE = 10


class BybitLine(Line):
    exchange = "bybit"
    ws_url = "wss://stream.bybit.com/v5/public/spot"
    per_connection = 50
    ping: bytes | None = encode({"op": "ping"})

    def names(self, symbol: str) -> tuple[str, ...]:
        return ("".join(pair(symbol)),)

    def hello(self, symbols: Sequence[str]) -> Sequence[bytes]:
        ids = [self.names(symbol)[0] for symbol in symbols]
        topics = [f"orderbook.{DEPTH}.{i}" for i in ids] + [f"publicTrade.{i}" for i in ids]
        return [_ask("subscribe", topics[n : n + AT_ONCE]) for n in range(0, len(topics), AT_ONCE)]

    def renew(self, symbol: str) -> Sequence[bytes]:
        topic = [f"orderbook.{DEPTH}.{self.names(symbol)[0]}"]
        return [_ask("unsubscribe", topic), _ask("subscribe", topic)]

    def refusal(self, frame: dict[str, Any]) -> object:
        return frame.get("ret_msg") or frame if frame.get("success") is False else None


def _ask(what: str, topics: list[str]) -> bytes:
    return encode({"op": what, "args": topics})
