"""HTX (once Huobi), spot.

Type and side are one word, time in force a part of it. Orders need the account's number. Errors are HTTP 200 with `status: error`.
Our id is forgotten, its own is not: it is asked by its own where that is known."""

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
    hexadecimal,
)
from connectors.venues.limits import Pool
from connectors.venues.outcomes import Refused

PAGE = 500
TYPES = {"GTC": "limit", "IOC": "ioc", "FOK": "limit-fok"}

OPTIONS = {"fetchMarkets": {"types": {"spot": True, "linear": False, "inverse": False}}}


class Htx(Dialect):
    exchange, title = "htx", "HTX"
    docs = "https://www.htx.com/en-us/opend/newApiPages/?id=7ec4ee16-7773-11ed-9966-0242ac110003"
    client_ids = ClientIds("client-order-id", WORD + "{1,64}", hexadecimal(64))
    secrets = ("api_key", "secret", "account_id")
    market_buy_in = "quote"
    fee_source = "filled-fees and fee-currency of each match; rates from v2/reference/transact-fee-rate"
    precision = "price-precision, amount-precision, min-order-value of the symbol"
    settle_seconds = 300.0
    remembers_seconds = 7200.0
    pools = (
        Pool("orders", 100, 2, {"*": 0, "create": 1, "cancel": 1}),
        Pool("queries", 50, 2, {"create": 0, "cancel": 0}),
    )
    quirks = ("a market buy is in quote", "our id is known for 8 hours once an order is open, 2 hours after it ended")
    id_at, orders_at, trades_at, balances_at = "data", "data", "data", "data.list"
    code_at, words_at = ("err-code",), ("err-msg",)
    unsure_codes = frozenset({"gateway-internal-error", "system-maintenance", "base-system-error", "timeout"})
    missing_codes = frozenset({"base-record-invalid", "not-found"})
    duplicate_codes = frozenset({"order-duplicate-client-order-id", "base-duplicated-client-order-id"})
    options = OPTIONS

    def market_id(self, pair: Pair) -> str:
        return pair.lower()

    def create(self, order: NewOrder, context: Context) -> Send:
        how = "limit-maker" if order.post_only else "market" if order.kind == "market" else TYPES[order.validity]
        params: Params = {"account-id": self._account(context), "symbol": self.market_id(order.pair)}
        params["type"] = f"{order.side}-{how}"
        if order.kind == "market":
            params["amount"] = order.spend if order.side == "buy" else order.amount
        else:
            params |= {"amount": order.amount, "price": order.limit}
        params["source"] = "spot-api"
        if order.client_id:
            params["client-order-id"] = order.client_id
        return Send("POST", ("spot", "private"), "v1/order/orders/place", params)

    def _account(self, context: Context) -> str:
        if not context.account_id:
            raise Refused("NO_ACCOUNT_ID", f"{self.title} needs the number of the spot account (account_id)")
        return context.account_id

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        if named.client_id and not named.venue_id:
            params: Params = {"client-order-id": named.client_id}
            return Send("POST", ("spot", "private"), "v1/order/orders/submitCancelClientOrder", params)
        return Send("POST", ("spot", "private"), "v1/order/orders/{order-id}/submitcancel", {"order-id": named.either})

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        if named.client_id and not named.venue_id:
            params: Params = {"clientOrderId": named.client_id}
            return (Send("GET", ("spot", "private"), "v1/order/orders/getClientOrder", params),)
        return (Send("GET", ("spot", "private"), "v1/order/orders/{order-id}", {"order-id": named.either}),)

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        params: Params = {"account-id": self._account(context)}
        params |= {"symbol": self.market_id(pair)} if pair else {}
        return Send("GET", ("spot", "private"), "v1/order/openOrders", {**params, "size": PAGE}, page=PAGE)

    def more_orders(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        return send.again(**{"from": rows[-1]["id"], "direct": "next"})

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        if named.venue_id:
            path = "v1/order/orders/{order-id}/matchresults"
            return Send("GET", ("spot", "private"), path, {"order-id": named.venue_id})
        return Send("GET", ("spot", "private"), "v1/order/matchresults", {"symbol": self.market_id(pair)})

    def balance(self, context: Context) -> Send:
        path = "v1/account/accounts/{account-id}/balance"
        return Send("GET", ("spot", "private"), path, {"account-id": self._account(context)})

    def balances(self, raw: object) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for row in self.rows(raw, self.balances_at):
            free, locked = found.get(row["currency"], ("0", "0"))
            if row["type"] in ("trade", "frozen"):
                pair = (row["balance"], locked) if row["type"] == "trade" else (free, row["balance"])
                found[row["currency"]] = pair
        return found
