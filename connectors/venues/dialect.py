"""An exchange's own truth, as values: what an order looks like to it, what it can do, how it names things, how fast it may be asked.

Rules every dialect keeps:

* a request is built here, from exact ints and in the exchange's documented parameters; ccxt only signs it. So nothing is dropped,
  renamed, rounded or added on the way;
* what the exchange cannot do is refused before sending (`Refused`), never changed into something else;
* an order is named by an id of ours that follows from the child id alone: the same child has the same name after any crash;
* an answer is read only where it says what it is documented to say. Anything else raises `ValueError`, and the outcome is unknown.

Pure: no I/O, no clock, no randomness.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar, Literal

from connectors.venues.limits import Pool
from connectors.venues.outcomes import Refused
from connectors.venues.units import SCALE, text

Params = dict[str, Any]
Validity = Literal["GTC", "IOC", "FOK"]


class Call(StrEnum):
    """What can be asked of a venue."""

    CREATE = "create"
    CANCEL = "cancel"
    FETCH = "fetch"
    OPEN_ORDERS = "open_orders"
    MY_TRADES = "my_trades"
    BALANCE = "balance"


class NeedsVenueId(Refused):
    """The exchange takes only its own order id here: it must be looked up first."""

    def __init__(self, exchange: str, what: str) -> None:
        super().__init__("NEEDS_VENUE_ORDER_ID", f"{exchange} {what} by its own order id only: look the order up first")


@dataclass(frozen=True, slots=True)
class Pair:
    """A spot market, in unified names."""

    base: str
    quote: str

    @classmethod
    def of(cls, symbol: str) -> Pair:
        """`BTC/USDT`. Raises `ValueError`."""
        base, slash, quote = symbol.partition("/")
        if not (slash and base and quote) or ":" in quote or "/" in quote:
            raise ValueError(f"{symbol!r} is no spot symbol such as BTC/USDT")
        return cls(base, quote)

    @property
    def symbol(self) -> str:
        return f"{self.base}/{self.quote}"

    def lower(self, between: str = "") -> str:
        return f"{self.base}{between}{self.quote}".lower()

    def upper(self, between: str = "") -> str:
        return f"{self.base}{between}{self.quote}".upper()


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order to be sent; amounts in 1e-8. `client_id` as it goes over the wire; `cost` is what a market buy may spend."""

    pair: Pair
    side: Literal["buy", "sell"]
    kind: Literal["limit", "market"]
    quantity: int | None = None
    price: int | None = None
    cost: int | None = None
    validity: Validity = "GTC"
    post_only: bool = False
    client_id: str | None = None

    @property
    def amount(self) -> str:
        """The quantity as a decimal string. Raises `Refused`."""
        if self.quantity is None or self.quantity <= 0:
            raise Refused("INVALID_QUANTITY", "a positive quantity is needed")
        return text(self.quantity)

    @property
    def limit(self) -> str:
        """The price as a decimal string. Raises `Refused`."""
        if self.price is None or self.price <= 0:
            raise Refused("INVALID_PRICE", "a positive price is needed")
        return text(self.price)

    @property
    def spend(self) -> str | None:
        """What a market buy may spend, as a decimal string: `cost`, else quantity times the price it is valued at (cut to 1e-8)."""
        if self.cost is not None:
            return text(self.cost)
        if self.quantity is not None and self.price is not None:
            return text(self.quantity * self.price // SCALE)
        return None


@dataclass(frozen=True, slots=True)
class Named:
    """An order, by our id on the wire, the exchange's own, or both. `since`, `until` (ms): it was not made before or after, so that a
    listing may be of that time alone."""

    client_id: str | None = None
    venue_id: str | None = None
    since: int | None = None
    until: int | None = None

    @property
    def either(self) -> str:
        """Raises `Refused`."""
        found = self.venue_id or self.client_id
        if not found:
            raise Refused("NO_ORDER_ID", "neither a client order id nor the venue's order id was given")
        return found

    def param(self, own: str, theirs: str) -> Params:
        """The order's name as a parameter: `own` for our id where we have it, else `theirs`. Raises `Refused`."""
        if self.client_id:
            return {own: self.client_id}
        return {theirs: self.either}


@dataclass(frozen=True, slots=True)
class Context:
    """What else a request may need: the time (ms), the account's number at the exchange, the number of who trades."""

    now_ms: int
    account_id: str = ""
    operator_id: int = 1
    recv_window_ms: int = 5_000
    bounded: bool = False  # whether a new order must say until when it may be taken, where it can


@dataclass(frozen=True, slots=True)
class Send:
    """One request: `api` and `path` as ccxt files them, `params` as the exchange documents them."""

    method: str
    api: tuple[str, ...]
    path: str
    params: Params = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    # its answer lists orders, so that one which is not there is not there; else an answer without the order says nothing
    listing: bool = False
    # the most rows of an answer: one that is full may not be all (`Dialect.whole`)
    page: int | None = None

    def again(self, **params: Any) -> Send:
        """The same question with other parameters: its next page."""
        return replace(self, params={**self.params, **params})


# Not an order: a pool that counts only new orders.
ORDERS_ONLY: Mapping[str, int] = {"*": 0, Call.CREATE: 1}


# how the router names a child: the order's id, which attempt, which part
CHILD_ID = re.compile(r".+-[0-9]+-[0-9]+")


@dataclass(frozen=True, slots=True)
class ClientIds:
    """How an exchange wants our ids: what it accepts, and how one is made of a child id that it does not."""

    parameter: str
    accepts: str
    make: Callable[[str], str]

    def of(self, child_id: str) -> str:
        """The id on the wire: the child's own where that is accepted, else one that follows from it."""
        return child_id if re.fullmatch(self.accepts, child_id) else self.make(child_id)

    def ours(self, wire: str) -> bool:
        """Whether an id on the wire looks like a child's own, or like those that are made of one. Those of others may, too."""
        if CHILD_ID.fullmatch(wire):
            return True
        made = self.make("")
        if made.isdigit():
            return wire.isdigit() and re.fullmatch(self.accepts, wire) is not None
        return re.sub(r"[0-9a-f]", "0", wire) == re.sub(r"[0-9a-f]", "0", made)


def hexadecimal(length: int, prefix: str = "") -> Callable[[str], str]:
    """Ids of `length` characters in all."""
    return lambda child_id: prefix + hashlib.sha256(child_id.encode()).hexdigest()[: length - len(prefix)]


def uuid_of(child_id: str) -> str:
    """A UUID that follows from the child id."""
    return str(uuid.UUID(bytes=hashlib.sha256(child_id.encode()).digest()[:16], version=4))


def number_of(bits: int) -> Callable[[str], str]:
    """A positive number of so many bits."""
    return lambda child_id: str(
        int.from_bytes(hashlib.sha256(child_id.encode()).digest()[:8], "big") >> (64 - bits) or 1
    )


# what most of ccxt's classes are told, not to list derivatives
SPOT_ONLY: Mapping[str, Any] = {"fetchMarkets": {"types": ["spot"]}}
WORD = r"[A-Za-z0-9_-]"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def dig(raw: object, path: str) -> Any:
    """What is at `result.list` of an answer; numbers are places of a list. Raises `ValueError`."""
    found: Any = raw
    for step in path.split(".") if path else ():
        if isinstance(found, dict) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            raise ValueError(f"no {path} in {raw!r:.200}")
    return found


class Dialect:
    """See the module. Class attributes hold what is plain; the methods build requests and raise `Refused`."""

    exchange: ClassVar[str]
    title: ClassVar[str]
    docs: ClassVar[str]
    client_ids: ClassVar[ClientIds]
    # it tells no trades by order: the order tells what to ask for (`listed_trades`)
    lists_trades: ClassVar[bool] = False
    trades_by_order: ClassVar[bool] = True  # what it tells when asked for an order's trades are that order's alone
    secrets: ClassVar[tuple[str, ...]] = ("api_key", "secret")

    validities: ClassVar[frozenset[str]] = frozenset({"GTC", "IOC", "FOK"})
    post_only: ClassVar[bool] = True
    market: ClassVar[bool] = True
    market_buy_in: ClassVar[Literal["base", "quote"]] = "base"
    fee_source: ClassVar[str] = "the trade's own fee; rates from the account's fee tier"
    precision: ClassVar[str] = "steps of price and quantity from the exchange's list of markets"
    # significant digits of a price, where it has no fixed step
    price_digits: ClassVar[int | None] = None
    sandbox: ClassVar[bool] = False
    # where an order can be tried that is checked and not placed
    test_path: ClassVar[str | None] = None
    pools: ClassVar[tuple[Pool, ...]]
    # how long after its signing the exchange may still take a request and let it be seen, where that is more than the time window told
    settle_seconds: ClassVar[float] = 2.0
    # the same where the key signs with a shared secret, if that differs
    settle_shared: ClassVar[float | None] = None
    # whether it refuses what was signed minutes before or after its own time, so that it took an order then or never
    looks_at_time: ClassVar[bool] = False
    # where an order is found by our id only in the listing of all (what `fetch` asks for without the exchange's id): its rows' field for our id
    listed_by: ClassVar[str | None] = None
    # how long after an order's end it is still found by our id, where that is known to be bounded
    remembers_seconds: ClassVar[float | None] = None
    quirks: ClassVar[tuple[str, ...]] = ()
    # what a nonce is here: the clock, a counter that must grow, or a unique word
    nonce: ClassVar[Literal["clock", "counter", "word"]] = "clock"
    nonces_per_ms: ClassVar[int] = 1

    # what ccxt's class is told, beside what all are
    options: ClassVar[Mapping[str, Any]] = {}

    # where answers hold what is asked for
    id_at: ClassVar[str] = "id"
    order_at: ClassVar[str] = ""
    orders_at: ClassVar[str] = ""
    trades_at: ClassVar[str] = ""
    balances_at: ClassVar[str] = ""
    balance_keys: ClassVar[tuple[str, str, str]] = ("asset", "free", "locked")
    # states of an order that ccxt does not know or takes for others, by the exchange's word: one of ccxt's (`reading.STATUS`)
    status_at: ClassVar[str] = "status"
    statuses: ClassVar[Mapping[str, str]] = {}
    # how it says no
    code_at: ClassVar[tuple[str, ...]] = ("code",)
    words_at: ClassVar[tuple[str, ...]] = ("msg", "message")
    fine_codes: ClassVar[frozenset[str]] = frozenset({"0"})
    unsure_codes: ClassVar[frozenset[str]] = frozenset()
    # refusals that ccxt does not tell apart
    sure_codes: ClassVar[frozenset[str]] = frozenset()
    missing_codes: ClassVar[frozenset[str]] = frozenset()
    duplicate_codes: ClassVar[frozenset[str]] = frozenset()

    # ---- what is asked

    def market_id(self, pair: Pair) -> str:
        raise NotImplementedError

    def create(self, order: NewOrder, context: Context) -> Send:
        """A new order that `check` let pass."""
        raise NotImplementedError

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        raise NotImplementedError

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        """What to ask, one after the other, until one of the answers has the order."""
        raise NotImplementedError

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        raise NotImplementedError

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        """Trades of an order where it is named, else the account's latest."""
        raise NotImplementedError

    def listed_trades(self, order: Mapping[str, Any], context: Context) -> tuple[Send, ...]:
        """How to ask for the trades of an order, as it is listed, where `lists_trades`."""
        raise NotImplementedError

    def whole(self, send: Send, raw: object, rows: Sequence[Any]) -> bool:
        """Whether `raw`, which holds `rows`, is all that there is from the page on that `send` asked for."""
        return send.page is None or len(rows) < send.page

    def more_trades(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        """The next page of trades, after an answer that is not `whole`; it may hold some of this one's again. None: there is no way."""
        return None

    def more_orders(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        """The next page of orders, likewise."""
        return None

    def balance(self, context: Context) -> Send:
        raise NotImplementedError

    def check(self, order: NewOrder) -> None:
        """Raises `Refused` for what the exchange does not have."""
        if order.kind == "market":
            if not self.market:
                raise Refused("UNSUPPORTED_ORDER_TYPE", f"{self.title} has no market orders")
            if order.post_only or order.validity == "FOK":
                raise Refused("UNSUPPORTED_TIME_IN_FORCE", "a market order takes what is there and ends")
            if order.side == "buy" and self.market_buy_in == "quote" and order.spend is None:
                words = (
                    f"{self.title} takes a market buy as an amount to spend: give its cost, or a price to value it at"
                )
                raise Refused("MARKET_BUY_NEEDS_COST", words)
            return
        if order.post_only and order.validity != "GTC":
            raise Refused("UNSUPPORTED_TIME_IN_FORCE", "a post-only order rests: it cannot be IOC or FOK")
        if order.post_only and not self.post_only:
            raise Refused("UNSUPPORTED_POST_ONLY", f"{self.title} has no post-only orders")
        if order.validity not in self.validities:
            raise Refused("UNSUPPORTED_TIME_IN_FORCE", f"{self.title} has no {order.validity}")

    # ---- what is answered

    def error_of(self, body: object) -> tuple[str | None, str]:
        """The exchange's own code and words in an answer that is no success; (None, "") where it has none."""
        if not isinstance(body, dict):
            return None, ""
        code = _first(body, self.code_at)
        return (None if code in self.fine_codes else code), _first(body, self.words_at) or ""

    def order_id(self, raw: object) -> str:
        """The exchange's order id in the answer to a create. Raises `ValueError`."""
        return self.identified(dig(raw, self.id_at), raw)

    def identified(self, found: object, raw: object) -> str:
        """What may be an order id. Raises `ValueError`."""
        if not isinstance(found, str | int) or isinstance(found, bool) or not str(found):
            raise ValueError(f"no order id in {raw!r:.200}")
        return str(found)

    def rows(self, raw: object, path: str) -> list[Any]:
        """The rows of a listing. Raises `ValueError`."""
        found = dig(raw, path)
        if isinstance(found, dict):
            return [found]
        if not isinstance(found, list):
            raise ValueError(f"no list at {path or 'the top'} of {raw!r:.200}")
        return found

    def order_row(self, row: Any) -> Any:
        """A row of orders as ccxt's parser takes it."""
        return row

    def order_facts(self, row: Any) -> Mapping[str, Any]:
        """What of an order's row is to be laid over ccxt's reading of it: fields of ccxt's order."""
        word = str(row.get(self.status_at)) if self.statuses else ""
        return {"status": self.statuses[word]} if word in self.statuses else {}

    def trade_row(self, row: Any) -> Any:
        """A row of trades as ccxt's parser takes it."""
        return row

    def balances(self, raw: object) -> dict[str, tuple[str, str]]:
        """Asset as the exchange names it -> (free, locked) as decimal strings. Raises `ValueError`, `KeyError`."""
        asset, free, locked = self.balance_keys
        return {row[asset]: (str(row[free]), str(row.get(locked) or "0")) for row in self.rows(raw, self.balances_at)}


def _first(body: Mapping[str, Any], paths: tuple[str, ...]) -> str | None:
    for path in paths:
        try:
            found = dig(body, path)
        except ValueError:
            continue
        if isinstance(found, str | int) and not isinstance(found, bool) and str(found):
            return str(found)
    return None
