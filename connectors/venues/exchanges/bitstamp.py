"""Bitstamp, v2.

Time in force is a flag of its own: `ioc_order`, `fok_order`, `moc_order` (maker or cancel). ccxt sends `timeInForce`, which is not
documented: an IOC might rest. What an order filled is the sum of its transactions:

    {"id": 5, "client_order_id": "…", "status": "Canceled", "amount_remaining": "0.6", "transactions": [{"tid": 7, "price": "100",
     "btc": "0.4", "usd": "40", "fee": "0.1", "datetime": "2021-11-25 12:59:59.322000", "type": 2}]}

Open orders are listed without a state, with what is left of them (`amount`) and what they were (`amount_at_create`)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from connectors.venues.dialect import (
    WORD,
    ClientIds,
    Context,
    Dialect,
    Named,
    NeedsVenueId,
    NewOrder,
    Pair,
    Params,
    Send,
    uuid_of,
)
from connectors.venues.limits import Pool

FLAGS = {"IOC": "ioc_order", "FOK": "fok_order"}
STATUSES = {"Expired": "expired"}


class Bitstamp(Dialect):
    exchange, title = "bitstamp", "Bitstamp"
    docs = "https://www.bitstamp.net/api/#tag/Orders"
    client_ids = ClientIds("client_order_id", WORD + "{1,64}", uuid_of)
    nonce = "word"
    fee_source = "fee of each transaction; rates from fees/trading/"
    precision = "base_decimals, counter_decimals, minimum_order of trading-pairs-info"
    settle_seconds = 150.0
    pools = (Pool("second", 400, 1), Pool("ten minutes", 10_000, 600))
    quirks = (
        "ioc_order, fok_order, moc_order are flags",
        "errors may be HTTP 200 with status error",
        "a create has no status",
    )
    trades_at = "transactions"
    statuses = STATUSES
    code_at = ("response_code", "code", "status")
    words_at = ("response_explanation", "reason", "reason.__all__.0", "error")
    fine_codes = frozenset({"Open", "Finished", "Canceled", "Expired", "In Queue"})
    missing_codes = frozenset({"404.002"})

    def market_id(self, pair: Pair) -> str:
        return pair.lower()

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"pair": self.market_id(order.pair), "amount": order.amount}
        path = f"{order.side}/market/{{pair}}/" if order.kind == "market" else f"{order.side}/{{pair}}/"
        if order.kind == "limit":
            params["price"] = order.limit
            if order.post_only:
                params["moc_order"] = "True"
            elif order.validity in FLAGS:
                params[FLAGS[order.validity]] = "True"
        if order.client_id:
            params["client_order_id"] = order.client_id
        return self._send(path, params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        if not named.venue_id:
            raise NeedsVenueId(self.title, "cancels")
        return self._send("cancel_order/", {"id": named.venue_id})

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        return (self._send("order_status/", named.param("client_order_id", "id")),)

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        if pair is None:
            return self._send("open_orders/all/", {})
        return self._send("open_orders/{pair}/", {"pair": self.market_id(pair)})

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        if named.venue_id:
            return self._send("order_status/", {"id": named.venue_id})
        return self._send("user_transactions/{pair}/", {"pair": self.market_id(pair), "limit": 1000})

    def balance(self, context: Context) -> Send:
        return self._send("account_balances/", {})

    balance_keys = ("currency", "available", "reserved")

    def order_facts(self, row: Any) -> Mapping[str, Any]:
        if "status" not in row:
            left, whole = Decimal(row["amount"]), Decimal(row.get("amount_at_create") or row["amount"])
            return {"status": "open", "filled": format(whole - left, "f")}
        facts = dict(super().order_facts(row))
        if not row["transactions"]:
            facts["filled"] = "0"  # which ccxt takes for not told
        if row["status"] == "Finished" and Decimal(row.get("amount_remaining") or 0) > 0:
            facts["status"] = "canceled"
        return facts

    def _send(self, path: str, params: Params) -> Send:
        return Send("POST", ("private",), path, params)
