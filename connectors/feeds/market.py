"""The words in which every exchange's market data is told, and what the feed must know of an exchange to follow it.

Prices and quantities are ints of 1e-8, times int microseconds (UTC) of the venue's clock. A parser is a pure function from the bytes
of one message to one of these; what it cannot read raises `ValueError` and is a broken stream to the feed, never a skipped message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from schemas.records import BookUpdate, Side

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


Message = tuple[str, Any]  # the exchange's symbol id; a `Print`, or what the exchange's `Followed.change` takes
Parse = Callable[[bytes], Sequence[Message]]


class Followed(Protocol):
    """One book of one venue as its stream tells it. Every method returns what to publish, in order."""

    venue: str
    symbol: str
    mismatches: int  # how often the book turned out not to be the venue's

    @property
    def live(self) -> bool:
        """Whether the book is known."""

    @property
    def behind(self) -> bool:
        """Whether the venue is known to be somewhere that the stream has not told of."""

    def change(self, said: Any, at: int) -> list[BookUpdate]:
        """What the stream says next, received `at`; `said` as the exchange's parser gives it."""

    def broken(self, at: int) -> list[BookUpdate]:
        """The stream ended, or cannot be trusted."""

    def again(self, at: int) -> list[BookUpdate]:
        """The book once more, whole, for readers that come late."""

    def stale(self, at: int) -> BookUpdate:
        """That the book must not be used."""


class Exchange(Protocol):
    """One exchange's protocol of public market data. No I/O, no state.

    `ws_url`, `rest_url`: where the exchange itself is. `per_connection`: how many symbols one connection may carry. `ping`: a message that
    is answered, for exchanges whose stream may be silent in a quiet market; `None` where the stream never is, or books are joined (`Pulse`).
    """

    ws_url: str
    rest_url: str
    per_connection: int
    ping: bytes | None

    def names(self, symbol: str) -> tuple[str, ...]:
        """By what symbol ids the exchange may call a unified symbol; the first is the one to ask with. Raises `ValueError`."""

    def stream_url(self, ws_url: str, symbols: Sequence[str]) -> str:
        """Where the depth and trade streams of the symbols come from."""

    def hello(self, symbols: Sequence[str]) -> Sequence[bytes]:
        """What to send on a new connection."""

    def renew(self, symbol: str) -> Sequence[bytes]:
        """What to send to be told a whole book again; nothing when that takes a new connection, or a snapshot by REST."""

    def parser(self) -> Parse:
        """The reader of one connection's messages. What it cannot read, and a gap in the connection's count, raise `ValueError`."""

    def follower(self, venue: str, symbol: str, depth: int, diffs: bool) -> Followed:
        """A book of the exchange; published snapshots have `depth` levels a side, and without `diffs` nothing is published between them."""


class Joined(Protocol):
    """An exchange whose stream tells changes only: whole books come by REST and are joined to them."""

    def snapshot_url(self, rest_url: str, symbol: str) -> str:
        """Where the whole book is."""

    def snapshot(self, data: bytes) -> Depth:
        """The book in an answer of `snapshot_url`. Raises `ValueError`."""

    def covered(self, last_id: int, change: Depth) -> bool:
        """Whether a book whose last update is `last_id` holds all of the change."""

    def follows(self, last_id: int, change: Depth, fresh: bool) -> bool:
        """Whether the change comes right after `last_id`; `fresh` when that is a REST snapshot's, into the middle of which it may reach."""
