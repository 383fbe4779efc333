"""KuCoin, spot.

`clientOid` is at most 40 characters and part of the path of a fetch and a cancel. Codes are numbers in strings; 200000 is success."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.venues.dialect import (
    SPOT_ONLY,
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

PAGE = 500


class Kucoin(Dialect):
    exchange, title = "kucoin", "KuCoin"
    docs = "https://www.kucoin.com/docs/rest/spot-trading/orders/place-order"
    client_ids = ClientIds("clientOid", WORD + "{1,40}", hexadecimal(32))
    secrets = ("api_key", "secret", "password")
    fee_source = "fee and feeCurrency of each fill; rates from trade-fees"
    precision = "priceIncrement, baseIncrement, baseMinSize, minFunds of the symbol"
    settle_seconds = 10.0
    pools = (
        Pool("spot", 4000, 30, {"create": 2, "cancel": 3, "fetch": 3, "open_orders": 2, "my_trades": 10, "balance": 5}),
    )
    quirks = ("the client id is in the path", "429000 is the whole exchange's limit, not ours")
    id_at, orders_at, trades_at, balances_at = "data.orderId", "data", "data.items", "data"
    balance_keys = ("currency", "available", "holds")
    fine_codes = frozenset({"200000"})
    unsure_codes = frozenset({"500000", "429000", "230005", "100001"})
    missing_codes = frozenset({"400100", "404000"})
    options = SPOT_ONLY

    def market_id(self, pair: Pair) -> str:
        return pair.upper("-")

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"clientOid": order.client_id} if order.client_id else {}
        params |= {"side": order.side, "symbol": self.market_id(order.pair), "type": order.kind}
        if order.kind == "market":
            by_cost = order.cost is not None and order.side == "buy"
            params |= {"funds": order.spend} if by_cost else {"size": order.amount}
        else:
            params |= {"size": order.amount, "price": order.limit}
            params |= {"postOnly": True} if order.post_only else {"timeInForce": order.validity}
        return Send("POST", ("private",), "orders", params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        return self._one("DELETE", named)

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        return (self._one("GET", named),)

    def _one(self, method: str, named: Named) -> Send:
        if named.client_id:
            return Send(method, ("private",), "order/client-order/{clientOid}", {"clientOid": named.client_id})
        return Send(method, ("private",), "orders/{orderId}", {"orderId": named.either})

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        which: Params = {"symbol": self.market_id(pair)} if pair else {}
        return Send("GET", ("private",), "orders", {"status": "active", **which, "pageSize": PAGE}, page=PAGE)

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        which: Params = {"orderId": named.venue_id} if named.venue_id else {}
        params = {"symbol": self.market_id(pair), "tradeType": "TRADE", **which, "pageSize": PAGE}
        return Send("GET", ("private",), "fills", params, page=PAGE)

    def whole(self, send: Send, raw: object, rows: Sequence[Any]) -> bool:
        """A page says which of how many it is."""
        data = dig(raw, "data")
        if send.page is None or not isinstance(data, dict) or "totalPage" not in data:
            return super().whole(send, raw, rows)
        return int(data["currentPage"]) >= int(data["totalPage"])

    def more_trades(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        return send.again(currentPage=int(dig(raw, "data.currentPage")) + 1)

    more_orders = more_trades

    def balance(self, context: Context) -> Send:
        return Send("GET", ("private",), "accounts", {"type": "trade"})

    def rows(self, raw: object, path: str) -> list[Any]:
        found = dig(raw, path)
        return super().rows(raw, f"{path}.items" if isinstance(found, dict) and "items" in found else path)
