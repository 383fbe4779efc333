"""What an account's fills of a symbol add up to: how much is open at which average price, and what closing earned.

Rules:

* a position is what was bought less what was sold, in all and at each venue; deposits and withdrawals do not touch it, so that it is
  below zero when more was sold than bought here;
* cost is exact: fills add what they are worth; a closing fill takes out its share, rounded down, and the last one all that is left, so that
  cost and realised profit add up to what was paid and got, to the last unit;
* profit is in the quote asset and before fees, which are summed by the asset in which they were taken;
* `traded` folds fills one by one: the table is the fold over the log, whoever makes it.
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.records import AssetAmount, Fill, Position, Side, VenuePosition
from streams.domain.money import notional


class _Part(NamedTuple):
    quantity: int
    cost: int
    realised: int


def traded(position: Position | None, fill: Fill) -> Position:
    """The position after a fill of its symbol."""
    quantity = fill.quantity if fill.side is Side.BUY else -fill.quantity
    value = notional(fill.price, fill.quantity) * (1 if fill.side is Side.BUY else -1)
    whole = _Part(position.quantity, position.cost, position.realised) if position else _Part(0, 0, 0)
    whole = _after(whole, quantity, value)
    venues = {v.venue: _Part(v.quantity, v.cost, v.realised) for v in position.venues} if position else {}
    venues[fill.venue] = _after(venues.get(fill.venue, _Part(0, 0, 0)), quantity, value)
    fees = {f.asset: f.amount for f in position.fees} if position else {}
    fees[fill.fee_asset] = fees.get(fill.fee_asset, 0) + fill.fee
    return Position(
        quantity=whole.quantity,
        cost=whole.cost,
        realised=whole.realised,
        venues=tuple(
            [VenuePosition(venue=v, quantity=p.quantity, cost=p.cost, realised=p.realised) for v, p in venues.items()]
        ),
        fees=tuple([AssetAmount(asset=a, amount=n) for a, n in fees.items() if n]),
    )


def _after(p: _Part, quantity: int, value: int) -> _Part:
    """A part after `quantity` for `value`, both negative for a sale."""
    if p.quantity == 0 or (p.quantity > 0) is (quantity > 0):
        return _Part(p.quantity + quantity, p.cost + value, p.realised)
    closed = min(abs(quantity), abs(p.quantity))
    out = _share(p.cost, closed, abs(p.quantity))  # what the closed part had cost
    paid = _share(value, closed, abs(quantity))  # what was paid (got: negative) for closing it
    rest = quantity + p.quantity
    if abs(quantity) > abs(p.quantity):  # closed, and opened the other way
        return _Part(rest, value - paid, p.realised - out - paid)
    return _Part(rest, p.cost - out, p.realised - out - paid)


def _share(amount: int, part: int, whole: int) -> int:
    """`part` of `whole` of an amount, towards zero."""
    share = abs(amount) * part // whole
    return share if amount >= 0 else -share


def average_price(position: Position | VenuePosition) -> int | None:
    """What a unit of the open quantity cost, in units of the quote asset; `None` when nothing is open."""
    return abs(position.cost) * 10**8 // abs(position.quantity) if position.quantity else None
