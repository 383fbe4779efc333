"""Bitget, v2, spot.

`force` is written small (`gtc`, `ioc`, `fok`, `post_only`); ccxt sends IOC and FOK in capitals. A market buy is in quote."""

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
    hexadecimal,
)
from connectors.venues.limits import Pool

PAGE = 100
FORCE = {"GTC": "gtc", "IOC": "ioc", "FOK": "fok"}
ACCESS = ("private", "spot")


class Bitget(Dialect):
    exchange, title = "bitget", "Bitget"
    docs = "https://www.bitget.com/api-doc/spot/trade/Place-Order"
    client_ids = ClientIds("clientOid", WORD + "{1,50}", hexadecimal(40))
    secrets = ("api_key", "secret", "password")
    market_buy_in = "quote"
    sandbox = True
    fee_source = "feeDetail of each fill; rates from v2/common/trade-rate"
    precision = "pricePrecision, quantityPrecision, minTradeUSDT of the symbol"
    settle_seconds = 30.0
    pools = (
        Pool("orders", 10, 1, {"*": 0, "create": 1, "cancel": 1}),
        Pool("queries", 20, 1, {"create": 0, "cancel": 0}),
    )
    quirks = ("force in small letters", "a market buy is in quote", "an id that was used answers 40786")
    id_at, orders_at, trades_at, balances_at = "data.orderId", "data", "data", "data"
    balance_keys = ("coin", "available", "frozen")
    fine_codes = frozenset({"00000", "0"})
    unsure_codes = frozenset({"40015", "40010", "40725", "45001", "50001"})
    missing_codes = frozenset({"43001", "40109"})
    duplicate_codes = frozenset({"40786", "43118"})
    options = SPOT_ONLY

    def market_id(self, pair: Pair) -> str:
        return pair.upper()

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"symbol": self.market_id(order.pair), "side": order.side, "orderType": order.kind}
        if order.kind == "market":
            params["size"] = order.spend if order.side == "buy" else order.amount
        else:
            params["force"] = "post_only" if order.post_only else FORCE[order.validity]
            params |= {"price": order.limit, "size": order.amount}
        if order.client_id:
            params["clientOid"] = order.client_id
        return Send("POST", ACCESS, "v2/spot/trade/place-order", params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        params = {"symbol": self.market_id(pair), **named.param("clientOid", "orderId")}
        return Send("POST", ACCESS, "v2/spot/trade/cancel-order", params)

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        return (Send("GET", ACCESS, "v2/spot/trade/orderInfo", named.param("clientOid", "orderId"), listing=True),)

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        which: Params = {"symbol": self.market_id(pair)} if pair else {}
        return Send("GET", ACCESS, "v2/spot/trade/unfilled-orders", {**which, "limit": PAGE}, page=PAGE)

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        which: Params = {"orderId": named.venue_id} if named.venue_id else {}
        params = {"symbol": self.market_id(pair), **which, "limit": PAGE}
        return Send("GET", ACCESS, "v2/spot/trade/fills", params, page=PAGE)

    def more_trades(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        return send.again(idLessThan=rows[-1]["tradeId"])

    def more_orders(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        return send.again(idLessThan=rows[-1]["orderId"])

    def balance(self, context: Context) -> Send:
        return Send("GET", ACCESS, "v2/spot/account/assets")

    def order_row(self, row: Any) -> Any:
        """Without the fees: where none were paid they are an empty text, which ccxt cannot read."""
        return {key: value for key, value in row.items() if key != "feeDetail"}
