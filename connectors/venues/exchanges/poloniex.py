"""Poloniex, spot.

Our id stands in the path of a fetch and a cancel as `cid:…`; without the prefix it would be read as the exchange's own. A market buy is
in quote."""

from __future__ import annotations

from connectors.venues.dialect import (
    WORD,
    ClientIds,
    Context,
    Dialect,
    Named,
    NewOrder,
    Pair,
    Params,
    Send,
    hexadecimal,
)
from connectors.venues.limits import Pool

STATUSES = {"PENDING_CANCEL": "open"}  # which ccxt takes for cancelled


class Poloniex(Dialect):
    exchange, title = "poloniex", "Poloniex"
    docs = "https://api-docs.poloniex.com/spot/api/private/order"
    client_ids = ClientIds("clientOrderId", WORD + "{1,64}", hexadecimal(40))
    market_buy_in = "quote"
    fee_source = "feeAmount and feeCurrency of each trade; rates from feeinfo"
    precision = "priceScale, quantityScale, minQuantity, minAmount of markets"
    settle_seconds = 30.0
    pools = (
        Pool("orders", 50, 1, {"*": 0, "create": 1, "cancel": 1}),
        Pool("queries", 10, 1, {"create": 0, "cancel": 0}),
    )
    quirks = ("ccxt fetches orders/None and cancels without the prefix: cid: it is", "a market buy is in quote")
    balances_at = "0.balances"
    balance_keys = ("currency", "available", "hold")
    fine_codes = frozenset({"200"})
    unsure_codes = frozenset({"500", "603", "601"})
    missing_codes = frozenset({"21302", "24102"})
    duplicate_codes = frozenset({"21304"})
    status_at = "state"
    statuses = STATUSES

    def market_id(self, pair: Pair) -> str:
        return pair.upper("_")

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"symbol": self.market_id(order.pair), "side": order.side.upper()}
        if order.kind == "market":
            params["type"] = "MARKET"
            params |= {"amount": order.spend} if order.side == "buy" else {"quantity": order.amount}
        else:
            params["type"] = "LIMIT_MAKER" if order.post_only else "LIMIT"
            params |= {"quantity": order.amount, "price": order.limit}
            if not order.post_only:
                params["timeInForce"] = order.validity
        if order.client_id:
            params["clientOrderId"] = order.client_id
        return Send("POST", ("private",), "orders", params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        return self._one("DELETE", named)

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        return (self._one("GET", named),)

    def _one(self, method: str, named: Named) -> Send:
        name = f"cid:{named.client_id}" if named.client_id else named.either
        return Send(method, ("private",), "orders/{id}", {"id": name})

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        return Send("GET", ("private",), "orders", {"symbol": self.market_id(pair)} if pair else {})

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        if named.venue_id:
            return Send("GET", ("private",), "orders/{id}/trades", {"id": named.venue_id})
        return Send("GET", ("private",), "trades", {"symbols": self.market_id(pair), "limit": 1000})

    def balance(self, context: Context) -> Send:
        return Send("GET", ("private",), "accounts/balances", {"accountType": "SPOT"})
