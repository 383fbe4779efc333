"""MEXC, spot.

Binance's dialect with other types: IOC and FOK are types of their own, and there is no time in force. All parameters of a POST are in
the URL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.venues.dialect import (
    ORDERS_ONLY,
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
from connectors.venues.outcomes import Refused

PAGE = 100
TYPES = {"GTC": "LIMIT", "IOC": "IMMEDIATE_OR_CANCEL", "FOK": "FILL_OR_KILL"}
ACCESS = ("spot", "private")

OPTIONS = {"fetchMarkets": {"types": {"spot": True, "swap": {"linear": False, "inverse": False}}}}


class Mexc(Dialect):
    exchange, title = "mexc", "MEXC"
    docs = "https://www.mexc.com/api-docs/spot-v3/spot-account-trade#new-order"
    client_ids = ClientIds("newClientOrderId", WORD + "{1,32}", hexadecimal(32))
    test_path = "order/test"
    fee_source = "commission of each trade; rates from tradeFee"
    precision = "quotePrecision, baseSizePrecision, quoteAmountPrecision of exchangeInfo"
    pools = (
        Pool("weight", 500, 10, {"fetch": 2, "open_orders": 3, "my_trades": 10, "balance": 10}),
        Pool("orders", 5, 1, ORDERS_ONLY),
    )
    quirks = ("no edit", "open orders need a symbol", "ccxt sends both origClientOrderId and clientOrderId on cancel")
    id_at, balances_at = "orderId", "balances"
    missing_codes = frozenset({"-2013"})
    options = OPTIONS

    def market_id(self, pair: Pair) -> str:
        return pair.upper()

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"symbol": self.market_id(order.pair), "side": order.side.upper()}
        if order.kind == "market":
            by_cost = order.cost is not None and order.side == "buy"
            params |= {"type": "MARKET"} | ({"quoteOrderQty": order.spend} if by_cost else {"quantity": order.amount})
        else:
            params["type"] = "LIMIT_MAKER" if order.post_only else TYPES[order.validity]
            params |= {"quantity": order.amount, "price": order.limit}
        if order.client_id:
            params["newClientOrderId"] = order.client_id
        return Send("POST", ACCESS, "order", params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        return Send("DELETE", ACCESS, "order", self._one(pair, named))

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        return (Send("GET", ACCESS, "order", self._one(pair, named)),)

    def _one(self, pair: Pair, named: Named) -> Params:
        return {"symbol": self.market_id(pair), **named.param("origClientOrderId", "orderId")}

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        if pair is None:
            raise Refused("NEEDS_SYMBOL", f"{self.title} lists open orders of one symbol")
        return Send("GET", ACCESS, "openOrders", {"symbol": self.market_id(pair)})

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        which: Params = {"orderId": named.venue_id} if named.venue_id else {}
        return Send("GET", ACCESS, "myTrades", {"symbol": self.market_id(pair), **which, "limit": PAGE}, page=PAGE)

    def more_trades(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        """The newest come first."""
        return send.again(endTime=min(int(row["time"]) for row in rows))

    def balance(self, context: Context) -> Send:
        return Send("GET", ACCESS, "account")
