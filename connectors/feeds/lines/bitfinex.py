"""Bitfinex's public streams, v2. Frames: `connectors.feeds.raw.bitfinex`.

`{"event": "conf", "flags": 196608}` turns the connection's count and the checksums on; a channel a symbol and kind is subscribed, at most
25 a connection, and known by its number from then on. Each channel says `hb` every 15 s; `ping` is answered. A frame tells one level. A
gap in the count or a wrong checksum takes a new connection. Source: Bitfinex, "WS public books", "Configuration flags".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.feeds.lines.base import Line, encode, pair

SEQUENCE, CHECKSUM = 65536, 131072
DEPTH = 250  # of 1, 25, 100, 250
ASSETS = {"USDT": "UST", "USDC": "UDC"}
GOING = (20051, 20060)  # the venue restarts, or goes into maintenance


class BitfinexLine(Line):
    exchange = "bitfinex"
    ws_url = "wss://api-pub.bitfinex.com/ws/2"
    per_connection = 12
    ping: bytes | None = encode({"event": "ping"})

    def names(self, symbol: str) -> tuple[str, ...]:
        base, quote = (ASSETS.get(asset, asset) for asset in pair(symbol))
        return (f"t{base}:{quote}" if len(base) > 3 or len(quote) > 3 else f"t{base}{quote}",)

    def hello(self, symbols: Sequence[str]) -> Sequence[bytes]:
        sent = [encode({"event": "conf", "flags": SEQUENCE + CHECKSUM})]
        for name in (self.names(symbol)[0] for symbol in symbols):
            book = {"channel": "book", "symbol": name, "prec": "P0", "freq": "F0", "len": str(DEPTH)}
            sent += [encode({"event": "subscribe", **what}) for what in (book, {"channel": "trades", "symbol": name})]
        return sent

    def refusal(self, frame: dict[str, Any]) -> object:
        if frame.get("event") == "error" or frame.get("code") in GOING:
            return frame.get("msg") or frame
        return None
