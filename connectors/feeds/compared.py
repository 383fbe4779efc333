"""A book of which only whole states are seen, as ccxt shows them: what changed from one to the next. Pure: no I/O, no clock.

Rules:

* the first state is a SNAPSHOT, each other a DIFF of what differs; states that were not looked at are within the next DIFF, so that a reader's
  book is always one that was shown;
* a state that is crossed, or has no side, is not believed: the book is STALE until one is whole again;
* levels beyond `depth` are not told, and deleted when they fall out of it.
"""

from __future__ import annotations

from connectors.feeds.market import Levels
from schemas.records import BookUpdate, BookUpdateKind, Level

Sides = tuple[dict[int, int], dict[int, int]]


class Compared:
    """One venue's book of one symbol. Numbers of the published chain are our own, from the time of the first state on."""

    def __init__(self, venue: str, symbol: str) -> None:
        self.venue, self.symbol = venue, symbol
        self._shown: Sides | None = None
        self._id = 0
        self._venue_at: int | None = None
        self.mismatches = 0

    @property
    def live(self) -> bool:
        """Whether the book is known."""
        return self._shown is not None

    def show(self, bids: Levels, asks: Levels, at: int, venue_at: int | None = None) -> list[BookUpdate]:
        """The book as it is now, best levels first."""
        if not bids or not asks or bids[0][0] >= asks[0][0]:
            self.mismatches += 1
            return self.broken(at)
        before, now = self._shown, (dict(bids), dict(asks))
        self._venue_at = venue_at
        if before is None:
            self._shown, self._id = now, max(self._id + 1, at)
            return self.again(at)
        changed = [_changes(was, new) for was, new in zip(before, now, strict=True)]
        if not any(changed):
            return []
        self._shown = now
        previous, self._id = self._id, self._id + 1
        return [self._record(BookUpdateKind.DIFF, at, changed[0], changed[1], self._id, previous)]

    def broken(self, at: int) -> list[BookUpdate]:
        """What was shown is not to be trusted."""
        if self._shown is None:
            return []
        self._shown = None
        return [self.stale(at)]

    def again(self, at: int) -> list[BookUpdate]:
        """The book once more, whole; `at` is when the venue was last heard."""
        if self._shown is None:
            return []
        bids, asks = (list(side.items()) for side in self._shown)
        return [self._record(BookUpdateKind.SNAPSHOT, at, bids, asks)]

    def stale(self, at: int) -> BookUpdate:
        """That the book must not be used."""
        return BookUpdate(
            venue=self.venue, symbol=self.symbol, kind=BookUpdateKind.STALE, bids=(), asks=(), received_at=at
        )

    def _record(
        self,
        kind: BookUpdateKind,
        at: int,
        bids: list[tuple[int, int]],
        asks: list[tuple[int, int]],
        first_id: int | None = None,
        previous_id: int | None = None,
    ) -> BookUpdate:
        return BookUpdate(
            venue=self.venue,
            symbol=self.symbol,
            kind=kind,
            first_id=first_id,
            last_id=self._id,
            previous_id=previous_id,
            bids=tuple([Level(price=price, quantity=quantity) for price, quantity in bids]),
            asks=tuple([Level(price=price, quantity=quantity) for price, quantity in asks]),
            venue_at=self._venue_at,
            received_at=at,
        )


def _changes(was: dict[int, int], now: dict[int, int]) -> list[tuple[int, int]]:
    gone = [(price, 0) for price in was if price not in now]
    return gone + [(price, quantity) for price, quantity in now.items() if was.get(price) != quantity]
