"""Following one book: what to publish for each thing that the venue says, and when a snapshot must be asked for. Pure: no I/O, no clock.

Rules:

* a book is published only while every change since its snapshot has been seen (`Exchange.follows`); at the first that does not follow,
  and when the stream breaks, STALE goes out at once, and nothing else until a snapshot has been joined to the changes after it;
* what is published is one chain whatever the exchange's way of counting: a DIFF's `previous_id` is the `last_id` published before it and
  its `first_id` the next one, so that a reader knows a gap without knowing the exchange;
* levels beyond the best `depth` of a side are forgotten at each published snapshot: a reader and the feed hold the same book;
* now and then a live book is checked: a snapshot from the venue, joined to the changes since, must show the same best levels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from connectors.feeds.ladder import Ladder, crossed
from connectors.feeds.market import Depth, Joined, Levels
from schemas.records import BookUpdate, BookUpdateKind, Level

BUFFERED = 5_000  # changes kept while waiting for a snapshot; older ones a snapshot will cover, or show as a gap
CHECKED = 100  # best levels a side that a check compares


class _Book:
    """Both sides, and the last update they hold. `fresh`: straight from a snapshot."""

    __slots__ = ("asks", "bids", "fresh", "last_id", "venue_at")

    def __init__(self, snapshot: Depth) -> None:
        self.bids, self.asks = Ladder(True, snapshot.bids), Ladder(False, snapshot.asks)
        self.last_id, self.venue_at, self.fresh = snapshot.last_id, snapshot.venue_at, True

    def apply(self, change: Depth) -> None:
        self.bids.apply(change.bids)
        self.asks.apply(change.asks)
        self.last_id, self.venue_at, self.fresh = change.last_id, change.venue_at, False

    def best(self, depth: int) -> tuple[Levels, Levels]:
        return self.bids.best(depth), self.asks.best(depth)

    @property
    def crossed(self) -> bool:
        return crossed(self.bids, self.asks)


class Follower:
    """One venue's book of one symbol. Every method returns what to publish, in order. Without `diffs` that is whole books alone."""

    def __init__(self, venue: str, symbol: str, exchange: Joined, depth: int = 1000, diffs: bool = True) -> None:
        self.venue, self.symbol = venue, symbol
        self._exchange, self._depth, self._diffs = exchange, depth, diffs
        self._book: _Book | None = None
        self._changes: deque[Depth] = deque(maxlen=BUFFERED)  # since the stream began, or since a check did
        self._checking = False
        self._witness: Depth | None = None  # a check's snapshot that the stream has not reached yet
        self.mismatches = 0

    @property
    def live(self) -> bool:
        """Whether the book is known. If not, `snapshot` is waited for."""
        return self._book is not None

    @property
    def behind(self) -> bool:
        """Whether a check has shown a state that the stream has not told yet; if that lasts, the stream is dead."""
        return self._witness is not None

    @property
    def last_id(self) -> int | None:
        """The venue's id of the last update that the book holds."""
        return None if self._book is None else self._book.last_id

    def best(self, depth: int) -> tuple[Levels, Levels]:
        """The best levels of both sides as they are now, best first; none while the book is not known."""
        return self._book.best(depth) if self._book is not None else ((), ())

    def change(self, change: Depth, at: int) -> list[BookUpdate]:
        """The stream's next change, received `at`."""
        book = self._book
        if book is None:
            self._changes.append(change)
            return []
        if self._exchange.covered(book.last_id, change):
            return []
        if not self._exchange.follows(book.last_id, change, book.fresh):
            lost = self.broken(at)
            self._changes.append(change)
            return lost
        out = [self._diff(book.last_id, change, at)] if self._diffs else []
        book.apply(change)
        if self._checking:
            self._changes.append(change)
            if self._witness is not None and book.last_id >= self._witness.last_id:
                out += self._judge(book, self._witness, at)
        return out

    def snapshot(self, snapshot: Depth, at: int) -> list[BookUpdate]:
        """The venue's whole book. When it is too old to be joined to the stream, the book stays unknown: ask again."""
        if self._book is not None:
            if not self._checking:
                return []
            if snapshot.last_id > self._book.last_id:
                self._witness = snapshot
                return []
            return self._judge(self._book, snapshot, at)
        book = _joined(self._exchange, snapshot, self._changes)
        if book is None:
            return []
        self._changes.clear()
        self._book = book
        return self.again(at)

    def broken(self, at: int) -> list[BookUpdate]:
        """The stream ended, or cannot be trusted."""
        self._changes.clear()
        self.check_off()
        if self._book is None:
            return []
        self._book = None
        return [self.stale(at)]

    def again(self, at: int) -> list[BookUpdate]:
        """The book once more, whole, for readers that come late. A crossed one was not followed well: it is broken."""
        book = self._book
        if book is None:
            return []
        if book.crossed:
            self.mismatches += 1
            return self.broken(at)
        book.bids.cut(self._depth)
        book.asks.cut(self._depth)
        bids, asks = book.best(self._depth)
        return [self._record(BookUpdateKind.SNAPSHOT, at, bids, asks, last_id=book.last_id, venue_at=book.venue_at)]

    def stale(self, at: int) -> BookUpdate:
        """That the book must not be used."""
        return self._record(BookUpdateKind.STALE, at)

    def check_on(self) -> None:
        """A check begins: the next `snapshot` is compared with the book."""
        if self._book is not None:
            self._changes.clear()
            self._checking = True

    def check_off(self) -> None:
        """The check is over, or its snapshot did not come."""
        self._checking, self._witness = False, None
        if self._book is not None:
            self._changes.clear()

    def _judge(self, book: _Book, snapshot: Depth, at: int) -> list[BookUpdate]:
        """Both are at one update id now: they must be one."""
        witness = _joined(self._exchange, snapshot, self._changes)
        self.check_off()
        if witness is None or witness.last_id != book.last_id:
            return []  # the snapshot is older than the changes kept: it proves nothing
        if witness.best(CHECKED) == book.best(CHECKED):
            return []
        self.mismatches += 1
        self._book = witness
        return [self.stale(at), *self.again(at)]

    def _diff(self, previous_id: int, change: Depth, at: int) -> BookUpdate:
        return BookUpdate(
            venue=self.venue,
            symbol=self.symbol,
            kind=BookUpdateKind.DIFF,
            first_id=previous_id + 1,
            last_id=change.last_id,
            previous_id=previous_id,
            bids=tuple([Level(price=price, quantity=quantity) for price, quantity in change.bids]),
            asks=tuple([Level(price=price, quantity=quantity) for price, quantity in change.asks]),
            venue_at=change.venue_at,
            received_at=at,
        )

    def _record(
        self,
        kind: BookUpdateKind,
        at: int,
        bids: Levels = (),
        asks: Levels = (),
        *,
        first_id: int | None = None,
        last_id: int | None = None,
        previous_id: int | None = None,
        venue_at: int | None = None,
    ) -> BookUpdate:
        return BookUpdate(
            venue=self.venue,
            symbol=self.symbol,
            kind=kind,
            first_id=first_id,
            last_id=last_id,
            previous_id=previous_id,
            bids=tuple([Level(price=price, quantity=quantity) for price, quantity in bids]),
            asks=tuple([Level(price=price, quantity=quantity) for price, quantity in asks]),
            venue_at=venue_at,
            received_at=at,
        )


def _joined(exchange: Joined, snapshot: Depth, changes: Iterable[Depth]) -> _Book | None:
    """The snapshot with the changes after it; None when there is a gap between them."""
    book = _Book(snapshot)
    for change in changes:
        if exchange.covered(book.last_id, change):
            continue
        if not exchange.follows(book.last_id, change, book.fresh):
            return None
        book.apply(change)
    return book
