"""A stream that says nothing: a quiet market, or a feed that is dead while its socket lives? Pure: times come in as arguments.

Nothing on the socket tells the two apart where a venue's stream speaks only of changes: pings are answered by both. So the venue is asked by REST
for the book that changed last:

* no change of any book for `quiet` seconds on the whole connection: ask. The book is where the stream left it: the market is quiet, ask again,
  each time in twice as long, at most `LONGEST` times `quiet`. It has moved on: the stream has `grace` seconds to say so, else it is dead. No answer: nothing is known;
* after a dead stream a new connection is in doubt, and no book of it is to be used, until it tells market data, or two answers, `quiet` seconds
  apart, show one and the same state. When they differ and nothing was told, it is dead too.

Venues whose streams have a heartbeat of their own need none of this: there silence is the end.
"""

from __future__ import annotations

from enum import Enum

LONGEST = 4


class Look(Enum):
    """What to do now: nothing, ask for a book, or take the stream for dead."""

    WELL = 0
    ASK = 1
    DEAD = 2


class Pulse:
    """Of one venue's connections, one after the other. Times are seconds of any steady clock."""

    def __init__(self, quiet: float, grace: float = 0.75) -> None:
        self._quiet, self._grace = quiet, grace
        self._wait = quiet
        self.doubted = False
        self.last = 0.0  # when a book was told of
        self._asked = False
        self._due = 0.0  # when to ask
        self._dead_at: float | None = None
        self._first: int | None = None  # what the venue answered first on a connection in doubt

    def begin(self, now: float) -> None:
        """A new connection."""
        self._asked, self._dead_at, self._first, self._wait = False, None, None, self._quiet
        self._due = now if self.doubted else now + self._quiet

    def data(self, now: float) -> None:
        """A change of a book came."""
        self.last, self.doubted, self._asked, self._dead_at = now, False, False, None
        self._wait = self._quiet
        self._due = now + self._quiet

    def look(self, now: float) -> Look:
        """What to do; after `ASK`, `told` or `untold` is waited for."""
        if self._dead_at is not None and now >= self._dead_at:
            self._dead_at, self.doubted = None, True
            return Look.DEAD
        if self._dead_at is not None or self._asked or now < self._due:
            return Look.WELL
        self._asked = True
        return Look.ASK

    def told(self, now: float, last_id: int, ours: int | None) -> None:
        """The venue's book is at `last_id`; the stream has told it up to `ours`, which is `None` while it is not known."""
        if not self._asked:
            return  # market data came meanwhile
        self._asked, self._due = False, now + self._quiet
        if not self.doubted:
            if ours is not None and last_id > ours:
                self._dead_at = now + self._grace
            else:
                self._wait = min(2 * self._wait, LONGEST * self._quiet)
                self._due = now + self._wait
        elif self._first is None:
            self._first = last_id
        elif last_id == self._first:
            self.doubted = False
        else:
            self._dead_at = now

    def untold(self, now: float) -> None:
        """The venue did not answer."""
        self._asked, self._due = False, now + self._quiet
