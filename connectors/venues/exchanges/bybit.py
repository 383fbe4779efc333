"""Bybit, v5, spot.

`orderLinkId` is at most 36 characters. A market buy is in quote unless `marketUnit` says otherwise. What is done leaves `realtime` for
`history`, a moment later."""

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

PAGE, OPEN_PAGE = 100, 50
VALIDITIES = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK"}
STATUSES = {"PartiallyFilledCanceled": "canceled"}  # which ccxt takes for filled


class Bybit(Dialect):
    exchange, title = "bybit", "Bybit"
    docs = "https://bybit-exchange.github.io/docs/v5/order/create-order"
    client_ids = ClientIds("orderLinkId", WORD + "{1,36}", hexadecimal(36))
    sandbox = True
    fee_source = "execFee and feeCurrency of each execution; rates from v5/account/fee-rate"
    precision = "priceFilter.tickSize, lotSizeFilter.basePrecision, minOrderAmt of instruments-info"
    pools = (
        Pool("orders", 20, 1, {"*": 0, "create": 1}),
        Pool("cancels", 20, 1, {"*": 0, "cancel": 1}),
        Pool("queries", 50, 1, {"create": 0, "cancel": 0}),
        Pool("address", 600, 5),
    )
    quirks = (
        "ccxt passes clientOrderId through to cancel, which ignores it: orderLinkId it is",
        "errors are HTTP 200 with retCode",
        "realtime holds what is open and the last 500 done: history after it",
    )
    id_at, orders_at, trades_at, balances_at = "result.orderId", "result.list", "result.list", "result.list.0.coin"
    balance_keys = ("coin", "walletBalance", "locked")
    code_at, words_at = ("retCode",), ("retMsg",)
    unsure_codes = frozenset({"10016", "10000", "170007", "170032", "3400045"})
    duplicate_codes = frozenset({"170141", "110072"})
    status_at = "orderStatus"
    statuses = STATUSES
    options = SPOT_ONLY

    def market_id(self, pair: Pair) -> str:
        return pair.upper()

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"category": "spot", "symbol": self.market_id(order.pair), "side": order.side.capitalize()}
        if order.kind == "market":
            by_cost = order.cost is not None and order.side == "buy"
            params |= {"orderType": "Market", "qty": order.spend if by_cost else order.amount}
            params["marketUnit"] = "quoteCoin" if by_cost else "baseCoin"
        else:
            params |= {"orderType": "Limit", "qty": order.amount, "price": order.limit}
            params["timeInForce"] = "PostOnly" if order.post_only else VALIDITIES[order.validity]
        if order.client_id:
            params["orderLinkId"] = order.client_id
        return Send("POST", ("private",), "v5/order/create", params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        params = {"category": "spot", "symbol": self.market_id(pair), **named.param("orderLinkId", "orderId")}
        return Send("POST", ("private",), "v5/order/cancel", params)

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        which = {"category": "spot", "symbol": self.market_id(pair), **named.param("orderLinkId", "orderId")}
        return (
            Send("GET", ("private",), "v5/order/realtime", which, listing=True),
            Send("GET", ("private",), "v5/order/history", which, listing=True),
        )

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        which: Params = {"symbol": self.market_id(pair)} if pair else {}
        params = {"category": "spot", **which, "openOnly": 0, "limit": OPEN_PAGE}
        return Send("GET", ("private",), "v5/order/realtime", params, page=OPEN_PAGE)

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        which: Params = {"orderId": named.venue_id} if named.venue_id else {}
        params = {"category": "spot", "symbol": self.market_id(pair), **which, "limit": PAGE}
        return Send("GET", ("private",), "v5/execution/list", params, page=PAGE)

    def whole(self, send: Send, raw: object, rows: Sequence[Any]) -> bool:
        """A page that is not the last names the next one."""
        return super().whole(send, raw, rows) or not dig(raw, "result.nextPageCursor")

    def more_trades(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        return send.again(cursor=dig(raw, "result.nextPageCursor"))

    more_orders = more_trades

    def trade_row(self, row: Any) -> Any:
        """The fee's asset, where ccxt looks for it: without it, it guesses."""
        return row | ({"feeCoin": row["feeCurrency"]} if row.get("feeCurrency") else {})

    def balance(self, context: Context) -> Send:
        return Send("GET", ("private",), "v5/account/wallet-balance", {"accountType": "UNIFIED"})
