"""The words in which every exchange's market data is told, and what the feed must know of an exchange to follow it.

Prices and quantities are ints of 1e-8, times int microseconds (UTC) of the venue's clock. A parser is a pure function from the bytes
of one message to one of these; what it cannot read raises `ValueError` and is a broken stream to the feed, never a skipped message.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from schemas.records import Side

Levels = tuple[tuple[int, int], ...]  # (price, quantity); in a change, quantity 0 deletes the level


class Depth(NamedTuple):
    """A whole book (REST snapshot: `first_id` is None), or a change of one that covers the update ids `first_id` to `last_id`."""

    first_id: int | None
    last_id: int
    previous_id: int | None  # last id of the change before, where the venue tells
    bids: Levels
    asks: Levels
    venue_at: int | None


class Print(NamedTuple):
    """A public trade. `side` is the taker's."""

    trade_id: str
    price: int
    quantity: int
    side: Side
    venue_at: int


class Exchange(Protocol):
    """One exchange's protocol of public market data. No I/O, no state."""

    def symbol_id(self, symbol: str) -> str:
        """The exchange's name of a unified symbol."""

    def stream_url(self, ws_url: str, symbols: list[str]) -> str:
        """Where the depth and trade streams of the symbols come from."""

    def snapshot_url(self, rest_url: str, symbol: str) -> str:
        """Where the whole book is."""

    def message(self, data: bytes) -> tuple[str, Depth | Print] | None:
        """The symbol id and content of a stream's message; None for one that carries no market data. Raises `ValueError`."""

    def snapshot(self, data: bytes) -> Depth:
        """The book in an answer of `snapshot_url`. Raises `ValueError`."""

    def covered(self, last_id: int, change: Depth) -> bool:
        """Whether a book whose last update is `last_id` holds all of the change."""

    def follows(self, last_id: int, change: Depth, fresh: bool) -> bool:
        """Whether the change comes right after `last_id`; `fresh` when that is a REST snapshot's, into the middle of which it may reach."""
