"""Raw frames to those who have them and not the connection that they came by: whose they are, and who reads them.

Every exchange's frames can be told from the others' by what is in them, so that a recording needs no label.
"""

from __future__ import annotations

import re

from connectors.feeds.raw.registry import RAW
from connectors.feeds.raw.words import Said, Traded

__all__ = ["RAW", "Said", "Traded", "exchange_of"]


def exchange_of(message: bytes) -> str | None:
    """Whose message it is, by ccxt's id; None when it could be several's."""
    if message.startswith((b'{"stream"', b'{"lastUpdateId"')):
        return "binance"
    head = message[:400].replace(b'": "', b'":"')
    for mark, name in (
        (b'"channelName":"book', "kraken"),
        (b'"chanId"', "bitfinex"),
        (b'"sequence_num"', "coinbase"),
        (b'"instId"', "okx"),
        (b'"topic"', "bybit"),
        (b'"channel":"book"', "kraken"),
    ):
        if mark in head or mark in message[-200:]:
            return name
    return "kraken" if re.search(rb'"book-[0-9]+",\s*"[^"]+"\]$', message) else None
