"""What our accounts at venues can pay for, where they are funded separately.

Rules:

* a venue gets no more than its account there can pay for at the order's own limit, fees included: of a buy the free quote asset counts, of a
  sale the free base asset. A venue whose balance is not known is not capped;
* a balance is what the venue said at a time. What was sent there after it, or so shortly before that the venue may not have had it, counts as
  spent, whatever became of it: the next balance tells;
* only what this task sent is known here. Two symbols that share an asset may together ask for too much; the venue then refuses, and the
  refused part goes to another venue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from schemas.records import ChildOrder, RouteRequest, Side, VenueBalance
from streams.domain.fronts import Market
from streams.domain.money import SCALE, assets_of
from streams.domain.terms import Terms

NO_INVENTORY = "NO_INVENTORY"
SETTLE_US = 2_000_000  # an order sent so shortly before a balance was asked for may not be in it


def balance_key(venue: str, asset: str) -> str:
    """The key of a venue's balance."""
    return f"{venue}|{asset}"


class Spent:
    """What was sent to venues, by balance key and by who sent it (an order's attempt: planned again, it counts once)."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, tuple[int, int]]] = {}  # key -> owner -> (at, amount)

    def add(self, owner: str, children: Iterable[ChildOrder], terms: Mapping[str, Terms]) -> None:
        """Children go out; `terms` by venue."""
        sums: dict[str, tuple[int, int]] = {}
        for child in children:
            asset, amount = needed(child.symbol, child.side, child.quantity, child.price, terms[child.venue])
            key = balance_key(child.venue, asset)
            sums[key] = child.created_at, sums.get(key, (0, 0))[1] + amount
        for key, sent in sums.items():
            self._of.setdefault(key, {})[owner] = sent

    def since(self, key: str, at: int, owner: str) -> int:
        """What others than `owner` sent after `at` (microseconds); what was sent before is forgotten."""
        of = self._of.get(key)
        if not of:
            return 0
        for old in [who for who, (sent, _) in of.items() if sent <= at]:
            del of[old]
        return sum([amount for who, (_, amount) in of.items() if who != owner])


def needed(symbol: str, side: Side, quantity: int, price: int, of: Terms) -> tuple[str, int]:
    """(asset, amount) that a venue may take for an order, rounded up."""
    base, quote = assets_of(symbol) or ("", "")
    if side is Side.SELL:
        return base, quantity
    return quote, -(-quantity * price * max(of.buy_rate, SCALE) // (SCALE * SCALE))


def capped(
    markets: Sequence[Market],
    request: RouteRequest,
    owner: str,
    balances: Mapping[str, VenueBalance],
    spent: Spent,
) -> list[Market]:
    """The venues, each with no more than its account there can pay for."""
    base, quote = assets_of(request.symbol) or ("", "")
    asset = quote if request.side is Side.BUY else base
    found = []
    for market in markets:
        of, key = market.terms, balance_key(market.terms.venue, asset)
        said = balances.get(key)
        if said is not None and not of.refused:
            free = max(0, said.free - spent.since(key, said.at - SETTLE_US, owner))
            most = free
            if request.side is Side.BUY:
                most = free * SCALE * SCALE // (max(request.price, 1) * max(of.buy_rate, SCALE))
            most -= most % of.lot
            if most <= 0 or most < of.floor:
                market = market._replace(terms=replace(of, refused=NO_INVENTORY))
            elif most < of.most:
                market = market._replace(terms=replace(of, most=most, held=most))
        found.append(market)
    return found
