"""Whether an order may go out, and what must be reserved for it. A refusal is a value: `Denial` with a stable code.

Rules:

* an order is judged by what is known now: the instruments of all venues and the consolidated quote; what cannot be judged (no price, an
  unknown symbol) is denied;
* an order must fit at least the finest venue that is open: its tick and lot, the smallest minimum, the largest maximum; whether one
  certain venue takes it is the router's matter;
* a buy reserves its worst cost: quantity times protection price times (1 + the highest fee of the open venues), rounded up; a sell reserves
  its quantity. A market order's protection price is the far touch moved by the collar: no fill is worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.records import Instrument, InstrumentStatus, OrderType, PlaceOrder, Quote, Side, TimeInForce
from streams.domain.ledger import reservation
from streams.domain.money import MAX, SCALE, assets_of, down_to, notional, up_to

# the codes of `Denial`
INVALID_CLIENT_ORDER_ID = "INVALID_CLIENT_ORDER_ID"
INVALID_QUANTITY = "INVALID_QUANTITY"
INVALID_PRICE = "INVALID_PRICE"
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


@dataclass(frozen=True, slots=True)
class RiskSettings:
    """Limits for every account. Quantities and notionals in units of 1e-8, `None` for no limit.

    `collar`: how far a market order may move from the far touch, a rate in 1e-8. `quote_age_us`: a quote older than this is no price.
    """

    max_quantity: int | None = None
    max_notional: int | None = 10_000_000 * SCALE
    collar: int = 2 * SCALE // 100
    quote_age_us: int | None = 60_000_000


@dataclass(frozen=True, slots=True)
class Denial:
    """Why not: `code` is stable, `reason` is for people."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Approval:
    """What to reserve, and on which terms the order goes out."""

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
    assets = assets_of(symbol)
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
    if not 0 < order.quantity < MAX:
        return Denial(INVALID_QUANTITY, "the quantity must be positive and fit a decimal(20,8)")
    for price in (order.price, order.stop_price):
        if price is not None and not 0 < price < MAX:
            return Denial(INVALID_PRICE, "a price must be positive and fit a decimal(20,8)")
    if order.order_type not in (OrderType.MARKET, OrderType.LIMIT) or order.stop_price is not None:
        return Denial(NOT_SUPPORTED, "stop orders are not supported")
    if order.time_in_force not in (TimeInForce.GTC, TimeInForce.IOC) or order.expires_at is not None:
        return Denial(NOT_SUPPORTED, f"time in force {order.time_in_force} is not supported")
    if order.scheduled_at is not None:
        return Denial(NOT_SUPPORTED, "scheduled orders are not supported")
    if (order.price is None) is not (order.order_type is OrderType.MARKET):
        return Denial(INVALID_PRICE, "a limit order has a price, a market order has none")
    return None


def assess(order: PlaceOrder, terms: Terms, quote: Quote | None, now: int, s: RiskSettings) -> Approval | Denial:
    """Whether a well-formed order fits market and limits, and what it must reserve. Funds are looked at by the caller."""
    quantity = order.quantity
    if quantity % terms.lot:
        return Denial(NOT_ON_LOT, f"the quantity must be a multiple of {show(terms.lot)}")
    if quantity < terms.min_quantity:
        return Denial(QUANTITY_TOO_SMALL, f"the smallest quantity is {show(terms.min_quantity)}")
    most = [m for m in (terms.max_quantity or None, s.max_quantity) if m is not None]
    if most and quantity > min(most):
        return Denial(QUANTITY_TOO_LARGE, f"the largest quantity is {show(min(most))}")
    if order.price is not None:
        if order.price % terms.tick:
            return Denial(NOT_ON_TICK, f"the price must be a multiple of {show(terms.tick)}")
        reference = protection = order.price
    else:
        touch = _far_touch(order.side, quote, now, s)
        if touch is None:
            return Denial(NO_PRICE, f"there is no current price of {order.symbol} to protect a market order with")
        reference, protection = touch, _protection(order.side, touch, terms.tick, s.collar)
    if notional(reference, quantity) < terms.min_notional:
        return Denial(NOTIONAL_TOO_SMALL, f"an order is worth at least {show(terms.min_notional)} {terms.quote}")
    worth = notional(protection, quantity)
    limit = MAX - 1 if s.max_notional is None else s.max_notional
    asset, amount = reservation(order.side, order.symbol, quantity, protection, terms.fee_rate)
    if worth > limit or amount >= MAX:
        return Denial(NOTIONAL_TOO_LARGE, f"an order is worth at most {show(limit)} {terms.quote}")
    return Approval(protection, terms.fee_rate, asset, amount)


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
