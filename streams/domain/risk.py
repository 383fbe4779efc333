"""Whether an order may go out, and what must be reserved for it. A refusal is a value: `Denial` with a stable code.

Rules:

* an order is judged by what is known now: the instruments of all venues and the consolidated quote; what cannot be judged (no price, an
  unknown symbol) is denied;
* an order must fit at least the finest venue that is open: its tick and lot, the smallest minimum, the largest maximum; whether one
  certain venue takes it is the router's matter;
* a buy reserves its worst cost: quantity times protection price times (1 + the highest fee of the open venues), rounded up; a sell reserves
  its quantity. A market order's protection price is the far touch moved by the collar: no fill is worse. A stop order's is its stop price
  moved by the collar, as futures exchanges' "stop with protection" has it, so that what it may cost is known when it is armed;
* a limit that lies further beyond the consolidated mid than the band is a slip of the finger;
* an amount in quote is reserved whole, and buys what it pays for at the protection price: never more is spent; see `amounts`.

What holds for an account rather than an order is in `limits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from schemas.moments import holds
from schemas.records import (
    Algo,
    Instrument,
    InstrumentStatus,
    OrderRecord,
    OrderState,
    OrderType,
    PlaceOrder,
    Quote,
    Side,
    TimeInForce,
)
from streams.domain.ledger import reservation
from streams.domain.money import MAX, SCALE, down_to, notional, split, up_to

# the codes of `Denial`
INVALID_CLIENT_ORDER_ID = "INVALID_CLIENT_ORDER_ID"
INVALID_QUANTITY = "INVALID_QUANTITY"
INVALID_PRICE = "INVALID_PRICE"
INVALID_TIME = "INVALID_TIME"
INVALID_SLICES = "INVALID_SLICES"
TOO_MANY_PARTS = "TOO_MANY_PARTS"
PRICE_COLLAR = "PRICE_COLLAR"
REDUCE_ONLY = "REDUCE_ONLY"
NOT_SUPPORTED = "NOT_SUPPORTED"
UNKNOWN_ACCOUNT = "UNKNOWN_ACCOUNT"
UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
SYMBOL_CLOSED = "SYMBOL_CLOSED"
NOT_ON_LOT = "NOT_ON_LOT"
NOT_ON_TICK = "NOT_ON_TICK"
QUANTITY_TOO_SMALL = "QUANTITY_TOO_SMALL"
QUANTITY_TOO_LARGE = "QUANTITY_TOO_LARGE"
NOTIONAL_TOO_SMALL = "NOTIONAL_TOO_SMALL"
NOTIONAL_TOO_LARGE = "NOTIONAL_TOO_LARGE"
NO_PRICE = "NO_PRICE"
FUNDS_OWED = "FUNDS_OWED"
INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"

MAX_ID = 128
NO_TIME = "a time lies before the year 2262"
NEAR = 5 * SCALE // 10_000  # how far beyond the touch the first round of a buy for an amount goes
MAX_SLICES = 10_000
MAX_PARTS = 5_000  # children of an order: its record has all of them, and is written anew with each event
PARTS_OF_A_SLICE = 8  # at as many venues as the router uses at most by default
MAX_TWAP = min(MAX_SLICES, MAX_PARTS // PARTS_OF_A_SLICE)
STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)
UNPRICED = (OrderType.MARKET, OrderType.STOP)
RESTING = (TimeInForce.GTC, TimeInForce.GTD)


@dataclass(frozen=True, slots=True)
class RiskSettings:
    """Limits for every account. Quantities and notionals in units of 1e-8, `None` for no limit.

    `collar`: how far a market order may move from the far touch, `band`: how far a limit may lie beyond the mid, rates in 1e-8.
    `quote_age_us`: a quote older than this is no price. `currency`: what limits over several symbols are counted in,
    also by a cross through one of `through`. The others are
    what `SetLimits` says of an account, for those of which it says nothing. `wait_us`: how long an order that takes at once waits for a
    venue that can be routed to; `sweep_us`: how long a market order looks for what is left, `sweep_pause_us` between two looks at thin books.
    `order_retention_us`, `transfer_retention_us`: for how long orders that are over, and with them their client order ids, and transfer ids
    are kept; at least a second.
    """

    max_quantity: int | None = None
    max_notional: int | None = 10_000_000 * SCALE
    collar: int = 2 * SCALE // 100
    band: int | None = SCALE // 10
    quote_age_us: int | None = 60_000_000
    currency: str = "USDT"
    through: tuple[str, ...] = ("USDT", "USD", "USDC", "EUR", "BTC")
    min_tier: int = 0
    max_open_orders: int | None = 10_000
    max_day_notional: int | None = None
    max_account_position: int | None = None
    order_rate: int | None = None
    modify_rate: int | None = None
    wait_us: int = 2_000_000
    sweep_us: int = 2_000_000
    sweep_pause_us: int = 250_000
    order_retention_us: int = 7 * 86_400_000_000
    transfer_retention_us: int = 30 * 86_400_000_000


class Denial(msgspec.Struct, frozen=True, gc=False):
    """Why not: `code` is stable, `reason` is for people."""

    code: str
    reason: str


class Approval(msgspec.Struct, frozen=True, gc=False):
    """What to reserve, and on which terms the order goes out: the quantity is worked out where an amount was given."""

    quantity: int
    protection: int
    fee_rate: int
    asset: str
    amount: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What the open venues of a symbol accept, taken together. `max_quantity` 0: no limit is known."""

    base: str
    quote: str
    tick: int
    lot: int
    min_quantity: int
    max_quantity: int
    min_notional: int
    fee_rate: int


def terms_of(symbol: str, instruments: Iterable[Instrument]) -> Terms | Denial:
    """The terms of a symbol from its instruments, closed ones included."""
    assets = split(symbol)  # perhaps no symbol at all, and nothing to be remembered
    listed = [i for i in instruments if (i.base, i.quote) == assets]
    if assets is None or not listed:
        return Denial(UNKNOWN_SYMBOL, f"no venue lists {symbol}")
    trading = [i for i in listed if i.status is InstrumentStatus.OPEN]
    if not trading:
        return Denial(SYMBOL_CLOSED, f"{symbol} is closed at every venue")
    largest = [i.max_quantity for i in trading]
    return Terms(
        base=assets[0],
        quote=assets[1],
        tick=max(1, min(i.tick for i in trading)),
        lot=max(1, min(i.lot for i in trading)),
        min_quantity=min(i.min_quantity for i in trading),
        max_quantity=0 if 0 in largest else max(largest),
        min_notional=min(i.min_notional for i in trading),
        fee_rate=max(0, *(i.taker_fee for i in trading), *(i.maker_fee for i in trading)),
    )


class Listings:
    """The terms of every symbol, worked out when they are asked for and kept while its instruments stay the same.

    `instruments` is a live view keyed by venue and symbol. Which keys belong to a symbol is looked up again when their number has changed
    and, in case one came as another went, every `REFRESH_US`.
    """

    REFRESH_US = 1_000_000

    def __init__(self) -> None:
        self._keys: dict[str, list[str]] = {}
        self._count, self._at = -1, 0
        self._terms: dict[str, tuple[list[Instrument | None], Terms | Denial]] = {}
        self._current: dict[
            str, Terms | Denial
        ] = {}  # as of `_now`: a batch has one time, and its instruments do not change
        self._now = -1

    def terms(self, symbol: str, instruments: Mapping[str, Instrument], now: int) -> Terms | Denial:
        """The terms of `symbol` as of `now` (microseconds)."""
        if len(instruments) != self._count or now - self._at >= self.REFRESH_US:
            self._keys = {}
            for key, instrument in instruments.items():
                self._keys.setdefault(instrument.symbol, []).append(key)
            self._count, self._at = len(instruments), now
        found = [instruments.get(key) for key in self._keys.get(symbol, ())]
        known = self._terms.get(symbol)
        if known is not None and known[0] == found:
            return known[1]
        terms = terms_of(symbol, [i for i in found if i is not None])
        if found:
            self._terms[symbol] = (found, terms)
        return terms


def well_formed(order: PlaceOrder) -> Denial | None:
    """What can be said without knowing account or market."""
    if not 0 < len(order.client_order_id) <= MAX_ID:
        return Denial(INVALID_CLIENT_ORDER_ID, f"a client order id has 1 to {MAX_ID} characters")
    if order.quote_amount is not None:
        if (order.order_type, order.side, order.quantity) != (OrderType.MARKET, Side.BUY, 0):
            return Denial(INVALID_QUANTITY, "an amount in quote is for market buys, in place of a quantity")
        if not 0 < order.quote_amount < MAX:
            return Denial(INVALID_QUANTITY, "the amount must be positive and fit a decimal(20,8)")
    elif not 0 < order.quantity < MAX:
        return Denial(INVALID_QUANTITY, "the quantity must be positive and fit a decimal(20,8)")
    for price in (order.price, order.stop_price):
        if price is not None and not 0 < price < MAX:
            return Denial(INVALID_PRICE, "a price must be positive and fit a decimal(20,8)")
    if (order.price is None) is not (order.order_type in UNPRICED):
        return Denial(INVALID_PRICE, "a limit order has a price, a market order has none")
    if (order.stop_price is None) is (order.order_type in STOPS):
        return Denial(INVALID_PRICE, "a stop order has a stop price, no other has one")
    if order.post_only and (order.order_type is not OrderType.LIMIT or order.time_in_force not in RESTING):
        return Denial(NOT_SUPPORTED, "post-only is for limit orders that may rest")
    if order.reduce_only and order.side is not Side.SELL:
        return Denial(REDUCE_ONLY, "only a sale reduces what is held")
    return _timely(order) or (_sliced(order) if order.algo is not None else None)


def _timely(order: PlaceOrder) -> Denial | None:
    if not holds(order.scheduled_at) or not holds(order.expires_at):
        return Denial(INVALID_TIME, NO_TIME)
    if (order.expires_at is None) is (order.time_in_force is TimeInForce.GTD):
        return Denial(INVALID_TIME, "an order good till a date has the date, no other has one")
    if order.expires_at is not None and order.order_type is OrderType.MARKET:
        return Denial(INVALID_TIME, "a market order does not wait")
    if order.expires_at is not None and order.scheduled_at is not None and order.scheduled_at >= order.expires_at:
        return Denial(INVALID_TIME, "the order would be over before it starts")
    return None


def _sliced(order: PlaceOrder) -> Denial | None:
    market = order.algo is Algo.TWAP and order.order_type is OrderType.MARKET and order.quote_amount is None
    if market and order.time_in_force is TimeInForce.FOK:
        return Denial(NOT_SUPPORTED, "what is cut into slices cannot be filled at once")
    if not market and (order.order_type is not OrderType.LIMIT or order.time_in_force not in RESTING):
        return Denial(
            NOT_SUPPORTED, "a bulk order has a quantity, and a limit at which it may rest; a TWAP may be a market order"
        )
    if order.algo is Algo.ICEBERG:
        if order.visible is None or not 0 < order.visible <= order.quantity:
            return Denial(INVALID_SLICES, "an iceberg shows a positive part of its quantity")
        return parted(-(-order.quantity // order.visible))
    slices, window = order.slices or 0, order.window_us or 0
    if not 0 < slices <= MAX_SLICES or window <= 0 or order.post_only:
        return Denial(INVALID_SLICES, f"a TWAP has 1 to {MAX_TWAP} slices over a window of time, and never rests")
    return parted(slices * PARTS_OF_A_SLICE)


def parted(parts: int) -> Denial | None:
    """Whether an order may come to have so many children."""
    return Denial(TOO_MANY_PARTS, f"an order has {MAX_PARTS} parts at most") if parts > MAX_PARTS else None


def assess(
    order: PlaceOrder | OrderRecord, terms: Terms, quote: Quote | None, now: int, s: RiskSettings
) -> Approval | Denial:
    """Whether a well-formed order fits market and limits, and what it must reserve. Funds are looked at by the caller."""
    found = priced(order, terms, quote, now, s)
    if isinstance(found, Denial):
        return found
    reference, protection = found
    quantity = order.quantity
    if order.quote_amount is not None and not quantity:
        if order.time_in_force is not TimeInForce.FOK:
            protection = min(protection, near(reference, terms.tick))
        quantity = bought(order.quote_amount, protection, terms)
    if quantity % terms.lot or (order.visible or 0) % terms.lot:
        return Denial(NOT_ON_LOT, f"the quantity must be a multiple of {show(terms.lot)}")
    if quantity < terms.min_quantity or quantity <= 0:
        return Denial(QUANTITY_TOO_SMALL, f"the smallest quantity is {show(terms.min_quantity)}")
    most = terms.max_quantity or MAX
    if s.max_quantity is not None and s.max_quantity < most:
        most = s.max_quantity
    if quantity > most:
        return Denial(QUANTITY_TOO_LARGE, f"the largest quantity is {show(most)}")
    if notional(reference, quantity) < terms.min_notional:
        return Denial(NOTIONAL_TOO_SMALL, f"an order is worth at least {show(terms.min_notional)} {terms.quote}")
    worth = notional(protection, quantity)
    limit = MAX - 1 if s.max_notional is None else s.max_notional
    asset, amount = reservation(order.side, order.symbol, quantity, protection, terms.fee_rate)
    if order.quote_amount is not None:
        amount = order.quote_amount
    if worth > limit or amount >= MAX:
        return Denial(NOTIONAL_TOO_LARGE, f"an order is worth at most {show(limit)} {terms.quote}")
    return Approval(quantity, protection, terms.fee_rate, asset, amount)


def bought(amount: int, protection: int, terms: Terms) -> int:
    """The quantity, in whole lots, that an amount of quote surely pays for at a price or better, fees included."""
    quantity = amount * SCALE * SCALE // (protection * (SCALE + terms.fee_rate))
    return quantity - quantity % terms.lot


def near(touch: int, tick: int) -> int:
    """A buy's protection price close to the touch: beyond it by `NEAR`, at least the touch."""
    return max(touch, down_to(touch * (SCALE + NEAR) // SCALE, tick))


def priced(
    order: PlaceOrder | OrderRecord, terms: Terms, quote: Quote | None, now: int, s: RiskSettings
) -> tuple[int, int] | Denial:
    """(what an order's worth is judged by, its protection price), or why there is none."""
    for price in (order.price, order.stop_price):
        if price is not None and price % terms.tick:
            return Denial(NOT_ON_TICK, f"the price must be a multiple of {show(terms.tick)}")
    if order.price is not None:
        return (order.price, order.price) if s.band is None else _in_band(order, order.price, quote, now, s, s.band)
    stop = _awaited(order)
    touch = stop if stop is not None else _far_touch(order.side, quote, now, s)
    if touch is None:
        return Denial(NO_PRICE, f"there is no current price of {order.symbol} to protect a market order with")
    return touch, _protection(order.side, touch, terms.tick, s.collar)


def _in_band(
    order: PlaceOrder | OrderRecord, price: int, quote: Quote | None, now: int, s: RiskSettings, band: int
) -> tuple[int, int] | Denial:
    """A stop-limit that is not triggered yet is measured from its stop price: that is where the market will be."""
    stop = _awaited(order)
    middle = stop if stop is not None else mid(quote, now, s)
    if middle is None:
        return Denial(NO_PRICE, f"there is no current price of {order.symbol} to judge a limit by")
    beyond = price - middle if order.side is Side.BUY else middle - price
    if beyond * SCALE > middle * band:
        far = f"more than {show(band * 100)} % beyond the market, {show(middle)}"
        return Denial(PRICE_COLLAR, f"{show(price)} is {far}")
    return price, price


def _awaited(order: PlaceOrder | OrderRecord) -> int | None:
    """The stop price that an order still waits for."""
    waits = isinstance(order, PlaceOrder) or order.state in (
        OrderState.INITIALIZED,
        OrderState.SCHEDULED,
        OrderState.ARMED,
    )
    return order.stop_price if waits else None


def mid(quote: Quote | None, now: int, s: RiskSettings) -> int | None:
    """The consolidated mid, as long as it is young enough; of a book with one side only, that side."""
    if quote is None or (s.quote_age_us is not None and now - quote.at > s.quote_age_us):
        return None
    bid, ask = quote.bid, quote.ask
    if bid is None or ask is None:
        return ask if bid is None else bid
    return (bid + ask) // 2


def _far_touch(side: Side, quote: Quote | None, now: int, s: RiskSettings) -> int | None:
    """The best price on the side that a market order takes from."""
    if quote is None or (s.quote_age_us is not None and now - quote.at > s.quote_age_us):
        return None
    return quote.ask if side is Side.BUY else quote.bid


def _protection(side: Side, touch: int, tick: int, collar: int) -> int:
    if side is Side.BUY:
        return max(touch, down_to(touch * (SCALE + collar) // SCALE, tick))
    return max(tick, up_to(-(-touch * (SCALE - collar) // SCALE), tick))


def show(units: int) -> str:
    """Units of 1e-8 as people write them: `show(150_000_000) == "1.5"`."""
    whole, rest = divmod(units, SCALE)
    return f"{whole}.{rest:08d}".rstrip("0").rstrip(".")
