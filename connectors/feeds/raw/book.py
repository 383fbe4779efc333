"""A book kept as an exchange prints it, right by the exchange's own rule or not offered at all. Pure.

Rules:

* a snapshot replaces both sides and makes the book live; a change must follow by the exchange's count (`Said.sequence`, `Said.previous`)
  and give the exchange's checksum where it sends one; the first that does not makes the book stale at once, until a snapshot;
* a message told twice changes nothing and is noticed; where the exchange counts nothing, it is noticed by being the same as the last;
* to delete a level that is not there, though better ones and worse ones are, means that something was missed;
* levels beyond the depth that the exchange tells of are forgotten, because it will not say when they go.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from connectors.feeds.amounts import cached_units
from connectors.feeds.raw.words import Said, Texts

Checksum = Callable[[Iterable[tuple[str, str]], Iterable[tuple[str, str]]], int]


class Heard(StrEnum):
    """What a message did to a book."""

    CHANGED = "CHANGED"
    SEEN = "SEEN"
    WAITING = "WAITING"  # the book is stale: a snapshot must come first
    GAP = "GAP"
    CHECKSUM = "CHECKSUM"
    INVALID = "INVALID"  # numbers that cannot be


class _Side:
    __slots__ = ("_sign", "fallen", "keys", "levels")

    def __init__(self, bids: bool) -> None:
        self._sign = -1 if bids else 1
        self.keys: list[int] = []  # the best first
        self.levels: dict[int, tuple[str, str]] = {}
        self.fallen: list[int] = []  # prices that the last change moved out of the depth that is told of

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return (self.levels[key] for key in self.keys)

    def best(self) -> int | None:
        return self._sign * self.keys[0] if self.keys else None

    def replace(self, texts: Texts) -> None:
        self.levels = {self._sign * cached_units(p): (p, q) for p, q in texts if cached_units(q)}
        self.keys = sorted(self.levels)

    def apply(self, texts: Texts, depth: int) -> bool:
        """Set levels; False when one was to be deleted that had to be there."""
        sound = True
        self.fallen = []
        for price, quantity in texts:
            key = self._sign * cached_units(price)
            if cached_units(quantity):
                if key not in self.levels:
                    insort(self.keys, key)
                self.levels[key] = (price, quantity)
            elif key in self.levels:
                del self.levels[key]
                del self.keys[bisect_left(self.keys, key)]
            elif self.keys and key < self.keys[-1]:
                sound = False
        if depth and len(self.keys) > depth:
            for key in self.keys[depth:]:
                del self.levels[key]
                self.fallen.append(self._sign * key)
            del self.keys[depth:]
        return sound


class RawBook:
    """One exchange's book of one symbol. `checksum` is the exchange's function, if it sends checksums.

    `ordered`: the exchange's clock never runs backwards from one message of the book to the next, so that one which does tells of a wrong order.
    `tight`: a level that is not there is never deleted by this exchange, so that one which is tells of a loss.
    """

    def __init__(self, checksum: Checksum | None = None, tight: bool = False, ordered: bool = False) -> None:
        self.bids, self.asks = _Side(bids=True), _Side(bids=False)
        self.live = False
        self.sequence: int | None = None
        self.checked = 0  # checksums that were right
        self._checksum, self._tight, self._ordered = checksum, tight, ordered
        self._at = 0
        self._last: Said | None = None

    def hear(self, said: Said) -> Heard:
        """Take over a message. Anything but CHANGED and SEEN leaves the book stale."""
        if not said.snapshot:
            if not self.live:
                return Heard.WAITING
            if said == self._last:
                return Heard.SEEN
            if self.sequence is not None and said.sequence is not None:
                # OKX may count down after maintenance, and then names the change before
                if said.of == "book" and said.sequence <= self.sequence and (said.first or said.previous is None):
                    return Heard.SEEN
                if not self._follows(said, self.sequence):
                    return self._break(Heard.GAP)
            if self._ordered and said.venue_at is not None and said.venue_at < self._at:
                return self._break(Heard.GAP)
        try:
            if said.snapshot:
                self.bids.replace(said.bids)
                self.asks.replace(said.asks)
                sound = True
            else:
                sound = self.bids.apply(said.bids, said.depth) & self.asks.apply(said.asks, said.depth)
        except ValueError:
            return self._break(Heard.INVALID)
        if self._checksum is not None and said.checksum is not None:
            if self._checksum(self.bids, self.asks) != said.checksum:
                return self._break(Heard.CHECKSUM)
            self.checked += 1
        if self._tight and not sound:
            return self._break(Heard.GAP)
        self.live, self.sequence, self._last = True, said.sequence, said
        self._at = said.venue_at or (0 if said.snapshot else self._at)
        return Heard.CHANGED

    def stale(self) -> None:
        """The stream broke, or said something that cannot be read."""
        self._break(Heard.GAP)

    def _follows(self, said: Said, sequence: int) -> bool:
        # the first change after a snapshot may begin before it; USD-M's ids are not consecutive
        fresh = self._last is not None and self._last.snapshot
        if fresh and said.first is not None and said.first - 1 <= sequence <= (said.sequence or 0):
            return True
        if said.previous is not None:
            return said.previous == sequence
        # what counts the connection is checked where all of its messages are seen (`connectors.feeds.raw.registry.Reader`)
        return said.of == "connection" or said.sequence == sequence + 1

    def _break(self, why: Heard) -> Heard:
        self.live, self.sequence, self._last = False, None, None
        self.bids, self.asks = _Side(bids=True), _Side(bids=False)
        return why
