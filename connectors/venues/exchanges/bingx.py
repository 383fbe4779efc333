"""BingX, spot.

Our id is `newClientOrderId` in a create, and `clientOrderID` (with a capital D) in a query and a cancel. Parameters of a POST are in the
URL, sorted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    dig,
    hexadecimal,
)
from connectors.venues.limits import Pool

VALIDITIES = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK"}
PAGE = 1000
ACCESS = ("spot", "v1", "private")


class Bingx(Dialect):
    exchange, title = "bingx", "BingX"
    docs = "https://bingx-api.github.io/docs/#/en-us/spot/trade-api.html"
    client_ids = ClientIds("newClientOrderId", WORD + "{1,40}", hexadecimal(40))
    fee_source = "commission and commissionAsset of each fill; rates from user/commissionRate"
    precision = "tickSize, stepSize, minNotional of common/symbols"
    pools = (
        Pool("orders", 5, 1, {"*": 0, "create": 1, "cancel": 1}),
        Pool("queries", 10, 1, {"create": 0, "cancel": 0}),
    )
    quirks = ("ccxt queries with orderId=None and clientOrderId, which is not read: clientOrderID it is",)
    id_at, orders_at, trades_at, balances_at = "data.orderId", "data", "data.fills", "data.balances"
    unsure_codes = frozenset({"100500", "100503", "80012"})
    missing_codes = frozenset({"100404", "80016"})

    def market_id(self, pair: Pair) -> str:
        return pair.upper("-")

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"symbol": self.market_id(order.pair), "side": order.side.upper(), "type": order.kind.upper()}
        params["recvWindow"] = context.recv_window_ms
        if order.kind == "market":
            by_cost = order.cost is not None and order.side == "buy"
            params |= {"quoteOrderQty": order.spend} if by_cost else {"quantity": order.amount}
        else:
            params |= {"quantity": order.amount, "price": order.limit}
            params["timeInForce"] = "PostOnly" if order.post_only else VALIDITIES[order.validity]
        if order.client_id:
            params["newClientOrderId"] = order.client_id
        return Send("POST", ACCESS, "trade/order", params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        return Send("POST", ACCESS, "trade/cancel", self._one(pair, named))

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        return (Send("GET", ACCESS, "trade/query", self._one(pair, named)),)

    def _one(self, pair: Pair, named: Named) -> Params:
        return {"symbol": self.market_id(pair), **named.param("clientOrderID", "orderId")}

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        return Send("GET", ACCESS, "trade/openOrders", {"symbol": self.market_id(pair)} if pair else {})

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        which: Params = {"orderId": named.venue_id} if named.venue_id else {}
        return Send(
            "GET", ACCESS, "trade/myTrades", {"symbol": self.market_id(pair), **which, "limit": PAGE}, page=PAGE
        )

    def more_trades(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        return send.again(endTime=min(int(row["time"]) for row in rows))

    def balance(self, context: Context) -> Send:
        return Send("GET", ACCESS, "account/balance")

    def rows(self, raw: object, path: str) -> list[Any]:
        found = dig(raw, path)
        return super().rows(raw, f"{path}.orders" if isinstance(found, dict) and "orders" in found else path)
