"""Bitvavo.

Every order and cancel names the trader (`operatorId`). Our id is a UUID. An order carries its fills; the account's trades are listed a
thousand at most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.venues.dialect import (
    UUID,
    ClientIds,
    Context,
    Dialect,
    Named,
    NewOrder,
    Pair,
    Params,
    Send,
    uuid_of,
)
from connectors.venues.limits import Pool


class Bitvavo(Dialect):
    exchange, title = "bitvavo", "Bitvavo"
    docs = "https://docs.bitvavo.com/docs/rest-api/create-order/"
    client_ids = ClientIds("clientOrderId", UUID, uuid_of)
    fee_source = "fee and feeCurrency of each fill; rates from account"
    precision = "pricePrecision (significant digits), quantityDecimals, minOrderInBaseAsset of markets"
    price_digits = 5
    pools = (Pool("weight", 1000, 60, {"open_orders": 25, "my_trades": 5, "balance": 5}),)
    quirks = ("operatorId is needed to trade", "the client id is a UUID", "a price has five significant digits")
    id_at, trades_at = "orderId", "fills"
    balance_keys = ("symbol", "available", "inOrder")
    code_at, words_at = ("errorCode",), ("error",)
    unsure_codes = frozenset({"101", "107", "108", "109", "400", "430"})
    missing_codes = frozenset({"240"})

    def market_id(self, pair: Pair) -> str:
        return pair.upper("-")

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"market": self.market_id(order.pair), "side": order.side, "orderType": order.kind}
        if order.kind == "market":
            by_cost = order.cost is not None and order.side == "buy"
            params |= {"amountQuote": order.spend} if by_cost else {"amount": order.amount}
        else:
            params |= {"amount": order.amount, "price": order.limit}
            params |= {"postOnly": True} if order.post_only else {"timeInForce": order.validity}
        params["operatorId"] = context.operator_id
        if order.client_id:
            params["clientOrderId"] = order.client_id
        return Send("POST", ("private",), "order", params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        params = {**self._one(pair, named), "operatorId": context.operator_id}
        return Send("DELETE", ("private",), "order", params)

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        return (Send("GET", ("private",), "order", self._one(pair, named)),)

    def _one(self, pair: Pair, named: Named) -> Params:
        return {"market": self.market_id(pair), **named.param("clientOrderId", "orderId")}

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        return Send("GET", ("private",), "ordersOpen", {"market": self.market_id(pair)} if pair else {})

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        if named.venue_id:
            return self.fetch(pair, named, context)[0]
        return Send("GET", ("private",), "trades", {"market": self.market_id(pair), "limit": 1000})

    def balance(self, context: Context) -> Send:
        return Send("GET", ("private",), "balance")

    def order_facts(self, row: Any) -> Mapping[str, Any]:
        """Our id, which ccxt does not read."""
        return {"clientOrderId": row.get("clientOrderId")}
