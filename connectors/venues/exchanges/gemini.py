"""Gemini, v1.

No market orders. What a limit order may do is an option: `maker-or-cancel`, `immediate-or-cancel`, `fill-or-kill`. The status of an order
can be asked for by our id, a cancel cannot. Parameters travel in a header, base64.
An order carries its trades."""

from __future__ import annotations

from decimal import Decimal

from connectors.venues.dialect import (
    ClientIds,
    Context,
    Dialect,
    Named,
    NeedsVenueId,
    NewOrder,
    Pair,
    Params,
    Send,
    hexadecimal,
)
from connectors.venues.limits import Pool

OPTIONS = {"IOC": "immediate-or-cancel", "FOK": "fill-or-kill"}


class Gemini(Dialect):
    exchange, title = "gemini", "Gemini"
    docs = "https://docs.gemini.com/rest/orders"
    client_ids = ClientIds("client_order_id", r"[:#A-Za-z0-9._-]{1,100}", hexadecimal(36))
    nonce = "counter"
    market = False
    sandbox = True
    fee_source = "fee_amount and fee_currency of each trade; rates from notionalvolume"
    precision = "tick_size, quote_increment, min_order_size of symbols/details"
    settle_seconds = 60.0
    pools = (Pool("private", 600, 60, {"book": 0}), Pool("public", 120, 60, {"*": 0, "book": 1}))
    quirks = (
        "ccxt sends order_id null with clientOrderId: order/status takes client_order_id, order/cancel only order_id",
        "the nonce must grow, per session",
        "no trades on ccxt's stream",
    )
    id_at, trades_at = "order_id", "trades"
    balance_keys = ("currency", "available", "availableForWithdrawal")
    code_at, words_at = ("reason",), ("message",)
    unsure_codes = frozenset({"System", "Maintenance"})
    missing_codes = frozenset({"OrderNotFound"})

    def market_id(self, pair: Pair) -> str:
        return pair.lower()

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"client_order_id": order.client_id} if order.client_id else {}
        params |= {"symbol": self.market_id(order.pair), "amount": order.amount, "price": order.limit}
        params |= {"side": order.side, "type": "exchange limit"}
        if order.post_only:
            params["options"] = ["maker-or-cancel"]
        elif order.validity in OPTIONS:
            params["options"] = [OPTIONS[order.validity]]
        return self._send("v1/order/new", params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        if not named.venue_id:
            raise NeedsVenueId(self.title, "cancels")
        return self._send("v1/order/cancel", {"order_id": _number(named.venue_id)})

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        which: Params = {"client_order_id": named.client_id} if named.client_id else {"order_id": _number(named.either)}
        return (self._send("v1/order/status", {**which, "include_trades": True}),)

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        return self._send("v1/orders", {})

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        if named.venue_id:
            return self._send("v1/order/status", {"order_id": _number(named.venue_id), "include_trades": True})
        return self._send("v1/mytrades", {"symbol": self.market_id(pair), "limit_trades": 500})

    def balance(self, context: Context) -> Send:
        return self._send("v1/balances", {})

    def _send(self, path: str, params: Params) -> Send:
        return Send("POST", ("private",), path, params)

    def balances(self, raw: object) -> dict[str, tuple[str, str]]:
        rows = self.rows(raw, "")
        return {
            r["currency"]: (r["available"], format(Decimal(r["amount"]) - Decimal(r["available"]), "f")) for r in rows
        }


def _number(venue_id: str) -> int | str:
    return int(venue_id) if venue_id.isdigit() else venue_id
