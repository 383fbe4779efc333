"""A book that the venue's stream tells whole and then changes: what to publish for each thing it says. Pure: no I/O, no clock.

Rules:

* what is right, and when it is not, is `connectors.feeds.raw.book`'s to say: by the venue's sequence and its checksum. The first message
  that is not makes the book STALE at once, and nothing else goes out until the venue tells it whole again;
* the published chain has numbers of our own, for not every venue has some: a whole book takes the time of its receiving (so that numbers
  never come again after a restart), each change the next; changes of one message are one DIFF;
* levels that fall out of the depth that the venue tells of are deleted in the DIFF: a reader never keeps one that nobody would take away;
* a venue that tells a level a message may be crossed between two of them, so that only a book which is still crossed at the next
  look is disbelieved, and none is told whole while it is.
"""

from __future__ import annotations

from itertools import islice

from connectors.feeds.amounts import cached_units
from connectors.feeds.market import Levels
from connectors.feeds.raw.book import Heard, RawBook
from connectors.feeds.raw.words import Said, Texts
from schemas.records import BookUpdate, BookUpdateKind, Level


class Told:
    """One venue's book of one symbol. Every method returns what to publish, in order. `book` keeps it by the exchange's rules.

    Without `diffs` whole books alone are published.
    """

    def __init__(self, venue: str, symbol: str, book: RawBook, depth: int = 1000, diffs: bool = True) -> None:
        self.venue, self.symbol = venue, symbol
        self._book, self._depth, self._diffs = book, depth, diffs
        self._id = 0
        self._venue_at: int | None = None
        self._crossed = False
        self.mismatches = 0

    @property
    def live(self) -> bool:
        """Whether the book is known. If not, the venue must tell it whole."""
        return self._book.live

    @property
    def behind(self) -> bool:
        """Never known: nothing but the stream is asked."""
        return False

    def change(self, said: Said, at: int) -> list[BookUpdate]:
        """The stream's next message about the book, received `at`."""
        was_live = self._book.live
        heard = self._book.hear(said)
        if heard is Heard.CHANGED:
            if not said.snapshot:
                return self._diff(said, at)
            self._id, self._venue_at, self._crossed = max(self._id + 1, at), said.venue_at, False
            # Told whole in the middle, as after a venue's restart: what was published before does not lead here.
            return [*([self.stale(at)] if was_live else []), *self._whole(at)]
        if heard in (Heard.SEEN, Heard.WAITING):
            return []
        if heard is not Heard.GAP:
            self.mismatches += 1
        return [self.stale(at)] if was_live else []

    def broken(self, at: int) -> list[BookUpdate]:
        """The stream ended, or cannot be trusted."""
        was_live = self._book.live
        self._book.stale()
        return [self.stale(at)] if was_live else []

    def again(self, at: int) -> list[BookUpdate]:
        """The book once more, whole. One that stays crossed from one call to the next was not followed well: it is broken."""
        if not self._book.live:
            return []
        bid, ask = self._book.bids.best(), self._book.asks.best()
        if bid is not None and ask is not None and bid >= ask:
            if not self._crossed:
                self._crossed = True
                return []
            self.mismatches += 1
            return self.broken(at)
        self._crossed = False
        return self._whole(at)

    def stale(self, at: int) -> BookUpdate:
        """That the book must not be used."""
        return BookUpdate(
            venue=self.venue, symbol=self.symbol, kind=BookUpdateKind.STALE, bids=(), asks=(), received_at=at
        )

    def _whole(self, at: int) -> list[BookUpdate]:
        return [
            BookUpdate(
                venue=self.venue,
                symbol=self.symbol,
                kind=BookUpdateKind.SNAPSHOT,
                last_id=self._id,
                bids=_levels(_units(tuple(islice(self._book.bids, self._depth)))),
                asks=_levels(_units(tuple(islice(self._book.asks, self._depth)))),
                venue_at=self._venue_at,
                received_at=at,
            )
        ]

    def _diff(self, said: Said, at: int) -> list[BookUpdate]:
        bids, asks = dict(_units(said.bids)), dict(_units(said.asks))
        bids.update(dict.fromkeys(self._book.bids.fallen, 0))
        asks.update(dict.fromkeys(self._book.asks.fallen, 0))
        if not bids and not asks:
            return []  # a checksum, or word that nothing changed
        previous, self._id = self._id, self._id + 1
        self._venue_at = said.venue_at
        if not self._diffs:
            return []
        return [
            BookUpdate(
                venue=self.venue,
                symbol=self.symbol,
                kind=BookUpdateKind.DIFF,
                first_id=self._id,
                last_id=self._id,
                previous_id=previous,
                bids=_levels(tuple(bids.items())),
                asks=_levels(tuple(asks.items())),
                venue_at=said.venue_at,
                received_at=at,
            )
        ]


def _units(texts: Texts) -> Levels:
    return tuple([(cached_units(price), cached_units(quantity)) for price, quantity in texts])


def _levels(pairs: Levels) -> tuple[Level, ...]:
    return tuple([Level(price=price, quantity=quantity) for price, quantity in pairs])
