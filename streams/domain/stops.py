"""Armed stops of a symbol: held until a trade reaches their price, then let go exactly once.

Rules:

* a buy is triggered by a trade at or above its stop price, a sell by one at or below; of several the one that the price reaches first comes first, at one
  price the one that was armed first;
* what was there before a stop was asked for (a trade that is read late) does not trigger it, nor does it leave what holds it;
* the truth is a table (order id -> the request that armed it), written in the batch's transaction. `Stops` only knows in which order
  to look: it may hold what the table no longer has, or not yet, because a batch can be processed twice; so a stop leaves it only when
  the table is seen not to have it;
* a later attempt of an order takes the place of an earlier one; an earlier one that comes late changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from zlib import crc32

from schemas.records import RouteRequest, RouteStatus, RouteStatusKind, Side

PAGES = 64  # of a symbol's list of armed stops: what is written when one is armed
Entry = tuple[int, int, int, str]  # how soon it is reached, accepted at, attempt, order id
Lookup = Callable[[str], RouteRequest | None]


def page(symbol: str, order_id: str) -> str:
    """The key of the page that lists an armed stop."""
    return page_key(symbol, crc32(order_id.encode()) % PAGES)


def page_key(symbol: str, number: int) -> str:
    """The key of a page by its number."""
    return f"{symbol}|{number}"


class Stops:
    """The order in which a symbol's stops are reached."""

    __slots__ = ("_buys", "_sells")

    def __init__(self) -> None:
        self._buys: list[Entry] = []  # those reached first are last
        self._sells: list[Entry] = []

    def __len__(self) -> int:
        return len(self._buys) + len(self._sells)

    def arm(self, request: RouteRequest) -> None:
        """Look at this one from now on. Twice is as good as once."""
        side, entry = self._place(request)
        if not self._holds(side, entry):
            insort(side, entry)

    def reached(self, price: int, lookup: Lookup, at: int) -> list[RouteRequest]:
        """The stops that a price of the time `at` (microseconds) reaches, as the table has them now (`lookup`)."""
        return self._reached(self._buys, price, lookup, at) + self._reached(self._sells, -price, lookup, at)

    def _reached(self, side: list[Entry], price: int, lookup: Lookup, at: int) -> list[RouteRequest]:
        # an entry's first number is minus its stop price (a buy's), or the stop price (a sell's): `-number <= price` is reached
        found: list[RouteRequest] = []
        kept: list[Entry] = []
        while side and -side[-1][0] <= price:
            entry = side.pop()
            request = lookup(entry[3])
            if request is None or self._place(request)[1] != entry:
                continue
            kept.append(entry)
            if request.asked_at is None or request.asked_at <= at:
                found.append(request)
        side.extend(reversed(kept))
        return found

    def _place(self, request: RouteRequest) -> tuple[list[Entry], Entry]:
        buy = request.side is Side.BUY
        stop = request.stop_price or 0
        entry = (-stop if buy else stop, -request.accepted_at, request.attempt, request.order_id)
        return (self._buys if buy else self._sells), entry

    @staticmethod
    def _holds(side: list[Entry], entry: Entry) -> bool:
        at = bisect_left(side, entry)
        return at < len(side) and side[at] == entry


def replaces(held: RouteRequest | None, request: RouteRequest) -> bool:
    """Whether a request takes the place of what is held of its order."""
    return held is None or request.attempt >= held.attempt


def status(request: RouteRequest, kind: RouteStatusKind, price: int | None, now: int) -> RouteStatus:
    """What became of a held order, for its account."""
    return RouteStatus(
        order_id=request.order_id,
        account_id=request.account_id,
        symbol=request.symbol,
        attempt=request.attempt,
        kind=kind,
        price=price,
        reason="",
        at=now,
    )


def listed(ids: Iterable[str], order_id: str, armed: bool) -> tuple[str, ...]:
    """A page with one more order, or one less."""
    rest = tuple(one for one in ids if one != order_id)
    return (*rest, order_id) if armed else rest
