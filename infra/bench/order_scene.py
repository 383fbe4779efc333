"""What `bestex bench orders` trades: twenty symbols at three venues with deep books, and orders that their accounts can pay for."""

from __future__ import annotations

import random

from schemas.records import (
    BookUpdate,
    BookUpdateKind,
    Instrument,
    InstrumentStatus,
    Level,
    OrderType,
    PlaceOrder,
    Side,
    TimeInForce,
    Transfer,
    TransferKind,
)

SCALE = 100_000_000
TICK, MID = SCALE // 100, 60_000 * SCALE
VENUES = ("alpha", "beta", "gamma")
SYMBOLS = tuple(f"C{n:02}/USDT" for n in range(20))
LEVELS = 200


def instrument(venue: str, symbol: str, at: int) -> Instrument:
    """What a venue takes of a symbol."""
    return Instrument(
        venue=venue,
        symbol=symbol,
        base=symbol.partition("/")[0],
        quote="USDT",
        tick=TICK,
        lot=SCALE // 1000,
        min_quantity=SCALE // 1000,
        max_quantity=0,
        min_notional=5 * SCALE,
        maker_fee=80_000,
        taker_fee=100_000,
        status=InstrumentStatus.OPEN,
        at=at,
    )


def snapshot(venue: str, symbol: str, number: int, at: int) -> BookUpdate:
    """A whole book, deep enough that the bench does not empty it."""
    far = 20 + VENUES.index(venue)

    def side(sign: int) -> tuple[Level, ...]:
        return tuple(
            [Level(price=MID + sign * TICK * (far + 3 * n), quantity=(5 + n % 7) * 10 * SCALE) for n in range(LEVELS)]
        )

    return BookUpdate(
        venue=venue,
        symbol=symbol,
        kind=BookUpdateKind.SNAPSHOT,
        last_id=number,
        bids=side(-1),
        asks=side(1),
        received_at=at,
    )


def command(chance: random.Random, account: int, name: str, scheduled_at: int | None = None) -> PlaceOrder:
    """An order of a kind that the account has the money for: even accounts buy, odd ones sell; market and limit orders that take at once.

    One in fifty asks for more than there is, and is denied.
    """
    market = chance.random() < 0.5 and scheduled_at is None
    buys = account % 2 == 0
    price = MID + (SCALE if buys else -SCALE)
    lots = chance.randrange(1, 20) if chance.random() >= 0.02 else 10**9
    return PlaceOrder(
        account_id=account_id(account),
        client_order_id=name,
        symbol=symbol_of(account),
        side=Side.BUY if buys else Side.SELL,
        order_type=OrderType.MARKET if market else OrderType.LIMIT,
        time_in_force=TimeInForce.IOC if market else TimeInForce.GTC,
        quantity=lots * SCALE // 1000,
        price=None if market else price,
        sent_at=0,
        scheduled_at=scheduled_at,
    )


def account_id(number: int) -> str:
    """The name of an account."""
    return f"acct-{number:07}"


def symbol_of(account: int) -> str:
    """What an account trades."""
    return SYMBOLS[account // 2 % len(SYMBOLS)]


def deposit(number: int) -> Transfer:
    """The money of an account: of what it pays with."""
    asset = "USDT" if number % 2 == 0 else symbol_of(number).partition("/")[0]
    return Transfer(
        transfer_id="first",
        account_id=account_id(number),
        asset=asset,
        amount=10**9 * SCALE if asset == "USDT" else 10**5 * SCALE,
        kind=TransferKind.DEPOSIT,
        sent_at=0,
    )
