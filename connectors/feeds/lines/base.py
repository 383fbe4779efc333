"""What the exchanges share whose streams tell whole books by themselves: their raw parser becomes the feed's.

A line adds to the raw frames how a connection is asked for them: the address, the subscriptions, the heartbeat, and how one book is asked
for again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import msgspec

from connectors.feeds.market import Message, Parse
from connectors.feeds.raw.book import RawBook
from connectors.feeds.raw.registry import RAW
from connectors.feeds.raw.words import Counted, Said, Traded
from connectors.feeds.told import Told

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Line(ABC):
    """`connectors.feeds.market.Exchange`. `exchange`: its raw frames' name in `RAW`."""

    exchange: ClassVar[str]
    ws_url: str
    rest_url = ""  # nothing is asked there
    per_connection: int
    ping: bytes | None = None

    @abstractmethod
    def names(self, symbol: str) -> tuple[str, ...]:
        """See `Exchange`."""

    @abstractmethod
    def hello(self, symbols: Sequence[str]) -> Sequence[bytes]:
        """See `Exchange`."""

    @abstractmethod
    def refusal(self, frame: dict[str, Any]) -> object:
        """What the exchange says against a subscription, or why the connection is no good any more; else None or ''."""

    def stream_url(self, ws_url: str, symbols: Sequence[str]) -> str:
        """Another host has the exchange's own path, unless it names one."""
        given = urlsplit(ws_url)
        return ws_url if given.path.strip("/") else urlunsplit(given._replace(path=urlsplit(self.ws_url).path))

    def renew(self, symbol: str) -> Sequence[bytes]:
        return ()

    def said(self, said: Said) -> Said:
        """A word about a book, with what the subscription says and the frame does not."""
        return said

    def parser(self) -> Parse:
        reader = RAW[self.exchange].reader()

        def parse(frame: bytes) -> Sequence[Message]:
            words = reader.words(frame)
            if reader.gap:
                raise ValueError("the connection's count jumped")
            if not words:
                self._look(frame)
                return ()
            found: list[Message] = []
            for word in words:
                if isinstance(word, Said):
                    found.append((word.symbol_id, self.said(word)))
                elif isinstance(word, Traded):
                    found.append((word.symbol_id, word.print))
                else:
                    assert isinstance(word, Counted)
            return found

        return parse

    def follower(self, venue: str, symbol: str, depth: int, diffs: bool) -> Told:
        return Told(venue, symbol, RawBook(RAW[self.exchange].checksum), depth, diffs)

    def _look(self, frame: bytes) -> None:
        if frame.startswith(b"{"):
            why = self.refusal(_decode(frame))
            if why:
                raise ValueError(f"the venue says {why!r:.300}")


def pair(symbol: str) -> tuple[str, str]:
    """`BTC/USDT`. Raises `ValueError`."""
    base, slash, quote = symbol.partition("/")
    if not (slash and base and quote) or "/" in quote or ":" in quote:
        raise ValueError(f"{symbol!r} is no spot symbol such as BTC/USDT")
    return base, quote
