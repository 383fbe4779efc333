"""What would be sent to an exchange, without sending it: a call in plain JSON to its signed requests. No I/O.

    {"symbol": "BTC/USDT", "side": "buy", "type": "limit", "quantity": "0.5", "price": "30000", "time_in_force": "IOC",
     "post_only": false, "client_order_id": "c-1", "order_id": "…", "key": "…", "secret": "…", "password": "…",
     "account_id": "…", "operator_id": 1, "time": 1795491404841, "nonce": "…"}

`time` is in milliseconds (or an ISO date), `nonce` the number or word that the exchange wants in its place. The first request is what is
sent; `then` holds those that follow when the exchange needs more than one (its order id is looked up before a cancel, or an order that
is not among the open ones is looked for among those that are done).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.venues.dialect import Call, Context, Dialect, Named, NeedsVenueId, NewOrder, Pair, Send
from connectors.venues.exchanges import DIALECTS
from connectors.venues.outcomes import Refused
from connectors.venues.signing import Credentials, Moment, signed
from connectors.venues.units import units

CALLS: Mapping[str, Call] = {
    **{call.value: call for call in Call},
    "create_order": Call.CREATE,
    "createorder": Call.CREATE,
    "place": Call.CREATE,
    "cancel_order": Call.CANCEL,
    "cancelorder": Call.CANCEL,
    "fetch_order": Call.FETCH,
    "fetchorder": Call.FETCH,
    "query": Call.FETCH,
    "fetch_open_orders": Call.OPEN_ORDERS,
    "fetchopenorders": Call.OPEN_ORDERS,
    "openorders": Call.OPEN_ORDERS,
    "fetch_my_trades": Call.MY_TRADES,
    "fetchmytrades": Call.MY_TRADES,
    "mytrades": Call.MY_TRADES,
    "trades": Call.MY_TRADES,
    "fetch_balance": Call.BALANCE,
    "fetchbalance": Call.BALANCE,
    "balances": Call.BALANCE,
}
# one meaning, the names that people and libraries give it
NAMES: Mapping[str, tuple[str, ...]] = {
    "symbol": ("symbol",),
    "side": ("side",),
    "type": ("type", "order_type", "orderType"),
    "quantity": ("quantity", "amount", "qty"),
    "price": ("price",),
    "cost": ("cost", "quote_quantity", "quoteOrderQty"),
    "time_in_force": ("time_in_force", "timeInForce", "tif"),
    "post_only": ("post_only", "postOnly"),
    "client_order_id": ("client_order_id", "clientOrderId", "client_id", "child_id"),
    "order_id": ("order_id", "orderId", "venue_order_id", "id"),
    "key": ("key", "api_key", "apiKey"),
    "secret": ("secret",),
    "password": ("password", "passphrase"),
    "account_id": ("account_id", "accountId"),
    "operator_id": ("operator_id", "operatorId"),
    "recv_window_ms": ("recv_window_ms", "recv_window", "recvWindow"),
    "time": ("time", "time_ms", "timestamp"),
    "nonce": ("nonce",),
}
UNKNOWN_ID = "<order id of the answer before>"


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as it was given, read."""

    given: Mapping[str, Any]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Asked:
        """Raises `ValueError` for a field that there is none of, or that is given twice."""
        found: dict[str, Any] = {}
        known = {name: field for field, names in NAMES.items() for name in names}
        for name, value in raw.items():
            if name not in known:
                raise ValueError(f"no such field: {name!r}; there are {', '.join(NAMES)}")
            if known[name] in found:
                raise ValueError(f"{known[name]} is given twice")
            if value is not None:
                found[known[name]] = value
        return cls(found)

    def text(self, name: str, otherwise: str = "") -> str:
        return str(self.given.get(name, otherwise))

    def amount(self, name: str) -> int | None:
        """In 1e-8. Raises `ValueError`."""
        return units(self.given[name]) if name in self.given else None

    @property
    def pair(self) -> Pair | None:
        return Pair.of(self.text("symbol")) if "symbol" in self.given else None

    def must(self) -> Pair:
        """Raises `ValueError`."""
        if self.pair is None:
            raise ValueError("a symbol such as BTC/USDT is needed")
        return self.pair

    @property
    def time_ms(self) -> int | None:
        given = self.given.get("time")
        if given is None:
            return None
        if str(given).isdigit():
            number = int(given)
            return number * 1000 if number < 10**11 else number
        at = datetime.fromisoformat(str(given).replace("Z", "+00:00"))
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)

    def named(self, dialect: Dialect) -> Named:
        ours, theirs = self.text("client_order_id"), self.text("order_id")
        return Named(dialect.client_ids.of(ours) if ours else None, theirs or None)

    def order(self, dialect: Dialect) -> NewOrder:
        """Raises `ValueError`, `Refused`."""
        side, kind = self.text("side").lower(), self.text("type", "limit").lower()
        validity, post_only = self.text("time_in_force", "GTC").upper(), self.given.get("post_only", False)
        if side not in ("buy", "sell"):
            raise ValueError("side is buy or sell")
        if kind not in ("limit", "market"):
            raise Refused("UNSUPPORTED_ORDER_TYPE", f"{kind} orders are armed on our side: limit and market are sent")
        if validity in ("PO", "POST_ONLY", "POSTONLY"):
            validity, post_only = "GTC", True
        if validity not in ("GTC", "IOC", "FOK"):
            raise Refused("UNSUPPORTED_TIME_IN_FORCE", f"{validity} is kept by us: GTC, IOC and FOK are sent")
        if not isinstance(post_only, bool):
            raise ValueError("post_only is true or false")
        quantity, price, cost = self.amount("quantity"), self.amount("price"), self.amount("cost")
        client_id = self.named(dialect).client_id
        order = NewOrder(
            self.must(),
            "buy" if side == "buy" else "sell",
            "market" if kind == "market" else "limit",
            quantity,
            price,
            cost,
            "IOC" if validity == "IOC" else "FOK" if validity == "FOK" else "GTC",
            post_only,
            client_id,
        )
        dialect.check(order)
        return order


def requests(dialect: Dialect, call: Call, asked: Asked, context: Context) -> tuple[Send, ...]:
    """What is sent, in turn. Raises `ValueError`, `Refused`."""
    if call is Call.CREATE:
        return (dialect.create(asked.order(dialect), context),)
    if call is Call.BALANCE:
        return (dialect.balance(context),)
    if call is Call.OPEN_ORDERS:
        return (dialect.open_orders(asked.pair, context),)
    named = asked.named(dialect)
    if call is Call.MY_TRADES:
        return (dialect.my_trades(asked.must(), named, context),)
    if call is Call.FETCH:
        return dialect.fetch(asked.must(), named, context)
    pair = asked.must()
    try:
        return (dialect.cancel(pair, named, context),)
    except NeedsVenueId:
        if not named.client_id:
            raise Refused("NO_ORDER_ID", "neither a client order id nor the venue's order id was given") from None
        return (*dialect.fetch(pair, named, context), dialect.cancel(pair, Named(None, UNKNOWN_ID), context))


def preview(name: str, call: str, raw: Mapping[str, Any], now_ms: int | None = None) -> dict[str, Any]:
    """`method, url, headers, body` of a call, and `then` for what follows it. Raises `ValueError`, `Refused`."""
    if name not in DIALECTS:
        raise ValueError(f"no such exchange: {name!r}; there are {', '.join(DIALECTS)}")
    which = CALLS.get(call.lower())
    if which is None:
        raise ValueError(f"no such call: {call!r}; there are {', '.join(c.value for c in Call)}")
    dialect, asked = DIALECTS[name], Asked.of(raw)
    nonce = asked.text("nonce") or None
    time_ms = asked.time_ms
    if time_ms is None:
        # a nonce that is a time in milliseconds is the request's time too
        stamped = nonce is not None and nonce.isdigit() and len(nonce) == 13
        time_ms = int(nonce or 0) if stamped else now_ms if now_ms is not None else time.time_ns() // 1_000_000
    credentials = Credentials(asked.text("key"), asked.text("secret"), asked.text("password"), asked.text("account_id"))
    window = int(asked.given.get("recv_window_ms", 5_000))
    context = Context(time_ms, credentials.account_id, int(asked.given.get("operator_id", 1)), window)
    sends = requests(dialect, which, asked, context)
    made = [signed(dialect, send, credentials, Moment(time_ms, nonce), window) for send in sends]
    first: dict[str, Any] = {**made[0], "exchange": name, "call": which.value}
    if "client_order_id" in asked.given:
        first["client_order_id"] = asked.named(dialect).client_id
    return first | ({"then": made[1:]} if made[1:] else {})


def facts(dialect: Dialect) -> dict[str, Any]:
    """What is known of an exchange, for people and machines."""
    return {
        "exchange": dialect.exchange,
        "title": dialect.title,
        "docs": dialect.docs,
        "credentials": list(dialect.secrets),
        "client_order_id": {"parameter": dialect.client_ids.parameter, "accepts": dialect.client_ids.accepts},
        "order_types": ["limit", *(["market"] if dialect.market else [])],
        "market_buy_in": dialect.market_buy_in if dialect.market else None,
        "time_in_force": [v for v in ("GTC", "IOC", "FOK") if v in dialect.validities],
        "post_only": dialect.post_only,
        "fee_source": dialect.fee_source,
        "precision": dialect.precision,
        "sandbox": dialect.sandbox,
        "test_order": dialect.test_path is not None,
        "settle_seconds": dialect.settle_seconds,
        "nonce": dialect.nonce,
        "pools": [asdict(pool) | {"costs": dict(pool.costs)} for pool in dialect.pools],
        "quirks": list(dialect.quirks),
    }
