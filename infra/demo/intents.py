"""What the demo's clients want: orders of every kind the pipeline supports, and of every kind it must refuse. Pure: the seed decides.

An intent says what to send, not whether it will be filled; prices come from the quote at the moment of sending.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from schemas.records import Quote

UNIT = 10**8


class Kind(StrEnum):
    """What an intent is. The first are good orders, the others must be denied or dead-lettered."""

    MARKET = "market"
    TAKE_IOC = "limit IOC that takes"
    TAKE_GTC = "limit GTC that takes"
    MISS_IOC = "limit IOC that misses"
    NEAR = "limit GTC at the touch"
    REST = "limit GTC that rests"
    FOK = "limit FOK that takes"
    SPEND = "market buy for an amount"
    POST = "post-only that rests"
    DATED = "limit GTD that rests until its date"
    CHANGED = "limit GTC that rests and is changed to take"
    LATER = "scheduled limit GTC that takes"
    STOP = "stop near the market"
    TWAP = "TWAP in three slices"
    ICEBERG = "iceberg that takes"
    GARBAGE = "garbage bytes"
    UNKNOWN_SCHEMA = "unknown schema id"
    WRONG_TYPE = "wrong-typed field"
    UNKNOWN_ACCOUNT = "unknown account"
    NEGATIVE = "negative quantity"
    NO_FUNDS = "insufficient funds"
    UNKNOWN_SYMBOL = "unknown symbol"
    TOO_LARGE = "too large"


GOOD: Mapping[Kind, int] = {
    Kind.MARKET: 34,
    Kind.TAKE_IOC: 20,
    Kind.TAKE_GTC: 18,
    Kind.MISS_IOC: 5,
    Kind.NEAR: 5,
    Kind.REST: 18,
    Kind.FOK: 4,
    Kind.SPEND: 4,
    Kind.POST: 3,
    Kind.DATED: 3,
    Kind.CHANGED: 5,
    Kind.LATER: 4,
    Kind.STOP: 4,
    Kind.TWAP: 3,
    Kind.ICEBERG: 3,
}
BAD = (
    Kind.GARBAGE,
    Kind.UNKNOWN_SCHEMA,
    Kind.WRONG_TYPE,
    Kind.UNKNOWN_ACCOUNT,
    Kind.NEGATIVE,
    Kind.NO_FUNDS,
    Kind.UNKNOWN_SYMBOL,
    Kind.TOO_LARGE,
)
UNREADABLE = frozenset({Kind.GARBAGE, Kind.UNKNOWN_SCHEMA, Kind.WRONG_TYPE})
# what may still be open later
LASTING = frozenset(
    {
        Kind.TAKE_GTC,
        Kind.NEAR,
        Kind.REST,
        Kind.POST,
        Kind.DATED,
        Kind.CHANGED,
        Kind.LATER,
        Kind.STOP,
        Kind.TWAP,
        Kind.ICEBERG,
    }
)
BAD_SHARE = 32  # one in so many is bad
DUPLICATE_SHARE = 50  # one in so many is sent twice
STRANGER_SHARE = 12  # one in so many comes from a client that partitions by another hash
PAUPER, NOBODY = "pauper", "nobody"


@dataclass(frozen=True, slots=True)
class Intent:
    """One order to be placed. `worth` in units of the quote asset; `away` is how far from the touch, in 1e-8 of the price."""

    number: int
    kind: Kind
    account: str
    client_order_id: str
    symbol: str
    buy: bool
    worth: int
    away: int
    again: bool = False
    stranger: bool = False


def intents(count: int, accounts: Sequence[str], symbols: Sequence[str], seed: int) -> Iterator[Intent]:
    """`count` intents; each kind of bad order comes at least once, when there is room."""
    rng = random.Random(seed)
    kinds, weights = list(GOOD), list(GOOD.values())
    spacing = max(2, min(BAD_SHARE, count // (len(BAD) + 1)))
    bad = 0
    for number in range(count):
        if number % spacing == spacing - 1:
            kind = BAD[bad % len(BAD)]
            bad += 1
        else:
            kind = rng.choices(kinds, weights)[0]
        good = kind in GOOD
        account = {Kind.UNKNOWN_ACCOUNT: NOBODY, Kind.NO_FUNDS: PAUPER}.get(kind) or rng.choice(accounts)
        yield Intent(
            number=number,
            kind=kind,
            account=account,
            client_order_id=f"demo-{number:06d}",
            symbol="MOON/USDT" if kind is Kind.UNKNOWN_SYMBOL else rng.choice(symbols),
            buy=rng.random() < 0.5 or kind is Kind.SPEND,
            # most are small, a few are large enough to need more than one venue
            worth=int(rng.choice((20, 100, 500, 2_000, 10_000, 60_000)) * (1 + rng.random())) * UNIT,
            away=int(rng.uniform(0.002, 0.015) * UNIT),
            again=good and rng.randrange(DUPLICATE_SHARE) == 0,
            stranger=good and rng.randrange(STRANGER_SHARE) == 0,
        )


def price_of(intent: Intent, quote: Quote, tick: int) -> int | None:
    """The limit price, a multiple of `tick`; `None` for a market order. The quote must have both sides."""
    assert quote.bid is not None and quote.ask is not None
    near, far = (quote.bid, quote.ask) if intent.buy else (quote.ask, quote.bid)
    into = 1 if intent.buy else -1  # towards a higher price for a buy
    match intent.kind:
        case Kind.TAKE_IOC | Kind.TAKE_GTC | Kind.FOK | Kind.LATER | Kind.TWAP | Kind.ICEBERG:
            price = far + into * (far * intent.away // UNIT)
        case Kind.MISS_IOC | Kind.REST | Kind.POST | Kind.DATED | Kind.CHANGED:
            price = near - into * (near * intent.away // UNIT)
        case Kind.NEAR:
            price = near
        case _:
            return None
    return max(tick, price // tick * tick)


def stop_of(quote: Quote, buy: bool, tick: int) -> int:
    """A stop price that the next moves of the market may well reach: a hundredth of a per cent beyond it."""
    assert quote.bid is not None and quote.ask is not None
    price = quote.ask + quote.ask // 10_000 if buy else quote.bid - quote.bid // 10_000
    return max(tick, price // tick * tick)


def quantity_of(intent: Intent, price: int, lot: int) -> int:
    """The quantity that is worth `intent.worth` at `price`, in whole lots, at least one; a bad order's is bad."""
    if intent.kind is Kind.TOO_LARGE:
        return 50_000_000 * UNIT
    quantity = max(lot, intent.worth * UNIT // price // lot * lot)
    return -quantity if intent.kind is Kind.NEGATIVE else quantity
