"""Bitstamp, v2.

Time in force is a flag of its own: `ioc_order`, `fok_order`, `moc_order` (maker or cancel). ccxt sends `timeInForce`, which is not
documented: an IOC might rest."""

from __future__ import annotations

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
    orders_at = ""
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
        return self._send("user_transactions/{pair}/", {"pair": self.market_id(pair), "limit": 1000})

    def balance(self, context: Context) -> Send:
        return self._send("account_balances/", {})

    balance_keys = ("currency", "available", "reserved")

    def _send(self, path: str, params: Params) -> Send:
        return Send("POST", ("private",), path, params)
