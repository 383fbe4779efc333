"""Upbit.

Our id is `identifier`, in create, fetch and cancel. A market buy is type `price` (an amount to spend), a market sell type `market`.
Markets are named quote first. Trades are part of an order."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal
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
    uuid_of,
)
from connectors.venues.limits import Pool

PAGE = 100
SMALLEST = Decimal("1e-8")
VALIDITIES = {"IOC": "ioc", "FOK": "fok"}


class Upbit(Dialect):
    exchange, title = "upbit", "Upbit"
    docs = "https://global-docs.upbit.com/reference/new-order"
    client_ids = ClientIds("identifier", WORD + "{1,64}", uuid_of)
    nonce = "word"
    market_buy_in = "quote"
    test_path = "orders/test"
    fee_source = "paid_fee of the order; rates from orders/chance"
    precision = (
        "price units by price level from the documentation; eight decimals of the volume; min_total from orders/chance"
    )
    settle_seconds = 30.0
    pools = (
        Pool("orders", 8, 1, {"*": 0, "create": 1}),
        Pool("queries", 30, 1, {"create": 0, "book": 0}),
        Pool("quotation", 10, 1, {"*": 0, "book": 1}),
    )
    quirks = (
        "ccxt sends uuid=None with clientOrderId: identifier it is",
        "no listing of trades: an order carries its own",
        "an identifier that was used is refused for ever",
    )
    id_at = "uuid"
    trades_at = "trades"
    balance_keys = ("currency", "balance", "locked")
    code_at, words_at = ("error.name",), ("error.message",)
    unsure_codes = frozenset({"server_error", "exchange_maintenance"})
    missing_codes = frozenset({"order_not_found"})

    def market_id(self, pair: Pair) -> str:
        return f"{pair.quote}-{pair.base}"

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"market": self.market_id(order.pair), "side": "bid" if order.side == "buy" else "ask"}
        if order.kind == "limit":
            params |= {"volume": order.amount, "price": order.limit, "ord_type": "limit"}
            if order.post_only:
                params["time_in_force"] = "post_only"
            elif order.validity in VALIDITIES:
                params["time_in_force"] = VALIDITIES[order.validity]
        elif order.side == "buy":
            params |= {"price": order.spend, "ord_type": "price"}
        else:
            params |= {"volume": order.amount, "ord_type": "market"}
        if order.client_id:
            params["identifier"] = order.client_id
        return Send("POST", ("private",), "orders", params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        return Send("DELETE", ("private",), "order", named.param("identifier", "uuid"))

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        return (Send("GET", ("private",), "order", named.param("identifier", "uuid")),)

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        which: Params = {"market": self.market_id(pair)} if pair else {}
        return Send("GET", ("private",), "orders/open", {**which, "limit": PAGE}, page=PAGE)

    def more_orders(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        return send.again(page=send.params.get("page", 1) + 1)

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        if named.venue_id or named.client_id:
            return self.fetch(pair, named, context)[0]
        return Send("GET", ("private",), "orders/closed", {"market": self.market_id(pair), "limit": 1000})

    def balance(self, context: Context) -> Send:
        return Send("GET", ("private",), "accounts")

    def rows(self, raw: object, path: str) -> list[Any]:
        """Trades with their parts of the fee that the order has paid, where ccxt looks for them: a trade does not tell its own. The fee is a rate
        of what a trade is worth, so the parts are, too; the last one takes what rounding leaves."""
        found = super().rows(raw, path)
        paid = raw.get("paid_fee") if isinstance(raw, dict) and path == self.trades_at else None
        worth = sum(Decimal(trade["funds"]) for trade in found) if paid is not None else 0
        if not worth:
            return found
        left, shared = Decimal(str(paid)), []
        for number, trade in enumerate(found, 1):
            part = (Decimal(str(paid)) * Decimal(trade["funds"]) / worth).quantize(SMALLEST, ROUND_DOWN)
            part = left if number == len(found) else part
            left -= part
            shared.append({**trade, f"{trade['side']}_fee": format(part, "f")})
        return shared
