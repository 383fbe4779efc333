"""The words in which a raw frame of any exchange is told: whole books and changes with their numbers as printed, and trades.

Numbers stay text because checksums are made of what was printed; `floor_units` turns them into ints of 1e-8 where they are used. What a
parser cannot read raises `ValueError`. A frame without market data (heartbeats, subscriptions) is no words at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from connectors.feeds.market import Print

Texts = tuple[tuple[str, str], ...]  # (price, quantity) as printed; in a change, a quantity of zero deletes the level


class Said(NamedTuple):
    """A whole book (`snapshot`) or a change of one, of the exchange's `symbol_id`.

    `first` is the first id that a change covers, where it may cover several. `sequence` counts on by the exchange's own rule, `previous` is the sequence before it where the exchange names it. `of`: what the
    sequence counts: a book, or everything on the `connection`. `checksum` is of the book after the change; `depth` is how many levels
    a side the exchange keeps us told of, 0 for all.
    """

    symbol_id: str
    snapshot: bool
    bids: Texts = ()
    asks: Texts = ()
    first: int | None = None
    sequence: int | None = None
    previous: int | None = None
    of: Literal["book", "connection"] = "book"
    checksum: int | None = None
    depth: int = 0
    venue_at: int | None = None  # microseconds


class Traded(NamedTuple):
    """A public trade of the exchange's `symbol_id`."""

    symbol_id: str
    print: Print


class Counted(NamedTuple):
    """A frame without market data that takes part in the connection's count all the same (Coinbase's heartbeats)."""

    sequence: int


Words = Sequence[Said | Traded | Counted]


def signed32(crc: int) -> int:
    """A CRC32 as the signed number that OKX and Bitfinex print."""
    return crc - (1 << 32) if crc >= 1 << 31 else crc
