"""LBank.

Type, side and time in force are one word. Our id is `custom_id` in a create and `origClientOrderId` elsewhere. No post-only: what ccxt
sends for it is not to be relied on. A market buy is the amount to spend, in `price`.
An order's trades are asked for by its id, the account's are listed a hundred at most."""

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
from connectors.venues.outcomes import Refused

PAGE = 100
SUFFIXES = {"GTC": "", "IOC": "_ioc", "FOK": "_fok"}
ACCESS = ("spot", "private")
STATUSES = {"4": "open"}  # being cancelled, which ccxt takes for filled


class Lbank(Dialect):
    exchange, title = "lbank", "LBank"
    docs = "https://www.lbank.com/docs/index.html#create-order"
    client_ids = ClientIds("custom_id", WORD + "{1,36}", hexadecimal(32))
    nonce = "word"
    post_only = False
    market_buy_in = "quote"
    test_path = "supplement/create_order_test"
    fee_source = "tradeFee of each transaction; rates from supplement/customer_trade_fee"
    precision = "priceAccuracy, quantityAccuracy, minTranQua of accuracy"
    settle_seconds = 60.0
    pools = (
        Pool("orders", 500, 10, {"*": 0, "create": 1, "cancel": 1}),
        Pool("queries", 200, 10, {"create": 0, "cancel": 0}),
    )
    quirks = (
        "ccxt fetches with orderId=None and clientOrderId: origClientOrderId it is",
        "errors are HTTP 200 with error_code",
        "no trades on ccxt's stream",
    )
    id_at, orders_at, trades_at = "data.order_id", "data", "data"
    code_at = ("error_code",)
    statuses = STATUSES
    unsure_codes = frozenset({"10000", "10017"})
    missing_codes = frozenset({"10025"})

    def market_id(self, pair: Pair) -> str:
        return pair.lower("_")

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"symbol": self.market_id(order.pair)}
        if order.kind == "market":
            params["type"] = f"{order.side}_market"
            params |= {"price": order.spend} if order.side == "buy" else {"amount": order.amount}
        else:
            params["type"] = f"{order.side}{SUFFIXES[order.validity]}"
            params |= {"price": order.limit, "amount": order.amount}
        if order.client_id:
            params["custom_id"] = order.client_id
        return Send("POST", ACCESS, "supplement/create_order", params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        return Send("POST", ACCESS, "supplement/cancel_order", self._one(pair, named))

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        return (Send("POST", ACCESS, "supplement/orders_info", self._one(pair, named)),)

    def _one(self, pair: Pair, named: Named) -> Params:
        return {"symbol": self.market_id(pair), **named.param("origClientOrderId", "orderId")}

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        if pair is None:
            raise Refused("NEEDS_SYMBOL", f"{self.title} lists open orders of one symbol")
        params = {"symbol": self.market_id(pair), "current_page": 1, "page_length": PAGE}
        return Send("POST", ACCESS, "supplement/orders_info_no_deal", params, page=PAGE)

    def more_orders(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        return send.again(current_page=send.params["current_page"] + 1)

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        if named.venue_id:
            params = {"symbol": self.market_id(pair), "order_id": named.venue_id}
            return Send("POST", ACCESS, "order_transaction_detail", params)
        return Send("POST", ACCESS, "supplement/transaction_history", {"symbol": self.market_id(pair), "limit": 100})

    def balance(self, context: Context) -> Send:
        return Send("POST", ACCESS, "supplement/user_info_account")

    def rows(self, raw: object, path: str) -> list[Any]:
        if isinstance(raw, dict) and "transaction" in raw:
            path = "transaction"
        found = dig(raw, path)
        return super().rows(raw, f"{path}.orders" if isinstance(found, dict) and "orders" in found else path)

    def balances(self, raw: object) -> dict[str, tuple[str, str]]:
        return {row["asset"]: (row["free"], row.get("locked") or "0") for row in self.rows(raw, "data.balances")}
