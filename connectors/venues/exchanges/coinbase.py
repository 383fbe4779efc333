"""Coinbase Advanced Trade.

Its time in force is the name of an order's configuration. It cancels and shows orders by its own id alone: ours is found in the
listing of orders of the time when it was sent, which is complete where `has_next` is false. A create with an id that is taken answers with the order that has it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

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
    dig,
    uuid_of,
)
from connectors.venues.limits import Pool

ORDERS = "brokerage/orders"
STATUSES = {
    "PENDING": "open",
    "QUEUED": "open",
    "CANCEL_QUEUED": "open",
    "EDIT_QUEUED": "open",
    "EXPIRED": "expired",
}


class Coinbase(Dialect):
    exchange, title = "coinbase", "Coinbase Advanced"
    docs = "https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api"
    client_ids = ClientIds("client_order_id", WORD + "{1,128}", uuid_of)
    nonce = "word"
    market_buy_in = "quote"
    fee_source = "commission of each fill; rates from GET /api/v3/brokerage/transaction_summary"
    precision = "quote_increment, base_increment, base_min_size of the product"
    settle_seconds = 120.0  # a JWT's life; a signed timestamp counts for 30 seconds
    settle_shared = 30.0
    looks_at_time = True
    listed_by = "client_order_id"
    pools = (Pool("private", 30, 1), Pool("public", 10, 1, {"*": 0, "book": 1}))
    quirks = (
        "ccxt drops a unified clientOrderId: client_order_id it is",
        "no cancel and no fetch by our id: list and match",
        "200 with success=false is a refusal",
        "no trades on the user stream: orders carry cumulative quantities",
    )
    id_at = "success_response.order_id"
    orders_at, trades_at = "orders", "fills"
    code_at = ("error_response.error", "failure_reason", "error", "results.0.failure_reason")
    words_at = ("error_response.message", "message", "error_details")
    sure_codes = frozenset(
        {
            "INSUFFICIENT_FUND",
            "INVALID_LIMIT_PRICE_POST_ONLY",
            "INVALID_LIMIT_PRICE",
            "INVALID_PRICE_PRECISION",
            "INVALID_SIZE_PRECISION",
            "INVALID_PRODUCT_ID",
            "UNSUPPORTED_ORDER_CONFIGURATION",
            "UNTRADABLE_PRODUCT",
        }
    )
    statuses = STATUSES
    fine_codes = frozenset({"UNKNOWN_FAILURE_REASON", "UNKNOWN_CANCEL_FAILURE_REASON"})

    def market_id(self, pair: Pair) -> str:
        return pair.upper("-")

    def create(self, order: NewOrder, context: Context) -> Send:
        if order.kind == "market":
            size: Params = {"quote_size": order.spend} if order.side == "buy" else {"base_size": order.amount}
            how = {"market_market_ioc": size}
        else:
            limit: Params = {"base_size": order.amount, "limit_price": order.limit}
            if order.validity == "GTC":
                limit["post_only"] = order.post_only
            how = {{"GTC": "limit_limit_gtc", "IOC": "sor_limit_ioc", "FOK": "limit_limit_fok"}[order.validity]: limit}
        params: Params = {"client_order_id": order.client_id} if order.client_id else {}
        params |= {"product_id": self.market_id(order.pair), "side": order.side.upper(), "order_configuration": how}
        return Send("POST", ("v3", "private"), ORDERS, params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        if not named.venue_id:
            raise NeedsVenueId(self.title, "cancels")
        return Send("POST", ("v3", "private"), f"{ORDERS}/batch_cancel", {"order_ids": [named.venue_id]})

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        if named.venue_id:
            return (Send("GET", ("v3", "private"), f"{ORDERS}/historical/{{order_id}}", {"order_id": named.venue_id}),)
        when: Params = {"start_date": _iso(named.since)} if named.since is not None else {}
        if named.until is not None:
            when["end_date"] = _iso(named.until)
        return (self._list({"product_ids": [self.market_id(pair)], "limit": 1000, **when}),)

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        which: Params = {"product_ids": [self.market_id(pair)]} if pair else {}
        return self._list({"order_status": ["OPEN"], **which})

    def _list(self, params: Params) -> Send:
        return Send("GET", ("v3", "private"), f"{ORDERS}/historical/batch", params, listing=True)

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        which: Params = {"order_ids": [named.venue_id]} if named.venue_id else {}
        params = {"product_ids": [self.market_id(pair)], **which}
        return Send("GET", ("v3", "private"), f"{ORDERS}/historical/fills", params)

    def whole(self, send: Send, raw: object, rows: Sequence[Any]) -> bool:
        """Orders say whether there are more; of fills a page that is not the last has a cursor."""
        if not isinstance(raw, dict) or raw.get("proof_token_required"):
            return False
        if "orders" not in raw:
            return not (rows and raw.get("cursor"))
        return raw["has_next"] is False if "has_next" in raw else len(rows) < send.params.get("limit", 0)

    def more_trades(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        cursor = dig(raw, "cursor")
        return send.again(cursor=cursor) if cursor else None

    more_orders = more_trades

    def balance(self, context: Context) -> Send:
        return Send("GET", ("v3", "private"), "brokerage/accounts", {"limit": 250})

    def rows(self, raw: object, path: str) -> list[Any]:
        if path == self.orders_at and isinstance(raw, dict) and "order" in raw:
            return [raw["order"]]
        return super().rows(raw, path)

    def balances(self, raw: object) -> dict[str, tuple[str, str]]:
        rows = self.rows(raw, "accounts")
        return {dig(r, "currency"): (dig(r, "available_balance.value"), dig(r, "hold.value")) for r in rows}


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
