"""OKX's public streams, v5. Frames: `connectors.feeds.raw.okx`.

`{"op": "subscribe", "args": [{"channel": "books", "instId": "BTC-USDT"}]}`: 400 levels a side, changes every 100 ms. A connection on which
nothing is said for 30 s is closed; `ping` is answered with `pong`. Each change names the one before it, and carries a checksum where the
venue still sends one (0 where it does not). After a gap the book is subscribed again. Source: OKX v5, "Order book channel".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.feeds.lines.base import Line, encode, pair
from connectors.feeds.raw.words import Said


class OkxLine(Line):
    exchange = "okx"
    ws_url = "wss://ws.okx.com:8443/ws/v5/public"
    per_connection = 50
    ping: bytes | None = b"ping"

    def names(self, symbol: str) -> tuple[str, ...]:
        return ("-".join(pair(symbol)),)

    def hello(self, symbols: Sequence[str]) -> Sequence[bytes]:
        ids = [self.names(symbol)[0] for symbol in symbols]
        return [_ask("subscribe", "books", ids), _ask("subscribe", "trades", ids)]

    def renew(self, symbol: str) -> Sequence[bytes]:
        ids = [self.names(symbol)[0]]
        return [_ask("unsubscribe", "books", ids), _ask("subscribe", "books", ids)]

    def said(self, said: Said) -> Said:
        return said if said.checksum else said._replace(checksum=None)

    def refusal(self, frame: dict[str, Any]) -> object:
        if frame.get("event") == "error":
            return frame.get("msg") or frame
        return frame.get("msg") or frame if frame.get("event") == "notice" else None  # about to be closed


def _ask(what: str, channel: str, ids: list[str]) -> bytes:
    return encode({"op": what, "args": [{"channel": channel, "instId": symbol} for symbol in ids]})
