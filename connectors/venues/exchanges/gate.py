"""Gate, v4, spot.

Our id is `text`, of at most 28 characters after the prefix `t-`; it stands in the path where the exchange's own id would, and is known
there for an hour after an order has ended. Open orders of all pairs come in groups, one of each pair."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.venues.dialect import (
    SPOT_ONLY,
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

PREFIX = "t-"
PAGE, OPEN_PAGE = 1000, 100
VALIDITIES = {"GTC": "gtc", "IOC": "ioc", "FOK": "fok"}


def _prefixed(child_id: str) -> str:
    return PREFIX + child_id if re.fullmatch(r"[A-Za-z0-9._-]{1,26}", child_id) else hexadecimal(28, PREFIX)(child_id)


class Gate(Dialect):
    exchange, title = "gate", "Gate"
    docs = "https://www.gate.com/docs/developers/apiv4/#create-an-order"
    client_ids = ClientIds("text", r"t-[A-Za-z0-9._-]{1,26}", _prefixed)
    sandbox = True
    market_buy_in = "quote"
    fee_source = "fee and fee_currency of each trade; rates from wallet/fee"
    precision = "precision, amount_precision, min_base_amount, min_quote_amount of the pair"
    settle_seconds = 60.0
    remembers_seconds = 3600.0
    pools = (Pool("orders", 10, 1, {"*": 0, "create": 1}), Pool("queries", 200, 10, {"create": 0}))
    quirks = (
        "ccxt cancels orders/None when given only our id",
        "a market order is IOC or FOK",
        "a market buy is in quote",
    )
    balance_keys = ("currency", "available", "locked")
    code_at = ("label",)
    fine_codes = frozenset()
    unsure_codes = frozenset({"SERVER_ERROR", "INTERNAL", "TOO_BUSY"})
    missing_codes = frozenset({"ORDER_NOT_FOUND"})
    options = SPOT_ONLY

    def market_id(self, pair: Pair) -> str:
        return pair.upper("_")

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"text": order.client_id} if order.client_id else {}
        params |= {
            "currency_pair": self.market_id(order.pair),
            "type": order.kind,
            "account": "spot",
            "side": order.side,
        }
        if order.kind == "market":
            params |= {"amount": order.spend if order.side == "buy" else order.amount, "time_in_force": "ioc"}
        else:
            params |= {"amount": order.amount, "price": order.limit}
            params["time_in_force"] = "poc" if order.post_only else VALIDITIES[order.validity]
        return Send("POST", ("private", "spot"), "orders", params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        return self._one("DELETE", pair, named)

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        return (self._one("GET", pair, named),)

    def _one(self, method: str, pair: Pair, named: Named) -> Send:
        params = {"order_id": named.either, "currency_pair": self.market_id(pair), "account": "spot"}
        return Send(method, ("private", "spot"), "orders/{order_id}", params)

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        if pair is None:
            return Send("GET", ("private", "spot"), "open_orders", {"account": "spot"}, page=OPEN_PAGE)
        params = {"currency_pair": self.market_id(pair), "status": "open", "account": "spot"}
        return Send("GET", ("private", "spot"), "orders", params, page=OPEN_PAGE)

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        which: Params = {"order_id": named.venue_id} if named.venue_id else {}
        params = {"currency_pair": self.market_id(pair), "account": "spot", **which, "limit": PAGE}
        return Send("GET", ("private", "spot"), "my_trades", params, page=PAGE)

    def whole(self, send: Send, raw: object, rows: Sequence[Any]) -> bool:
        """A page holds so many of each pair."""
        sizes = [len(one["orders"]) for one in raw if "orders" in one] if isinstance(raw, list) else []
        return max(sizes) < (send.page or 0) if sizes else super().whole(send, raw, rows)

    def more_trades(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        return send.again(page=send.params.get("page", 1) + 1)

    more_orders = more_trades

    def balance(self, context: Context) -> Send:
        return Send("GET", ("private", "spot"), "accounts")

    def rows(self, raw: object, path: str) -> list[Any]:
        found = super().rows(raw, path)
        return [row for one in found for row in one.get("orders", [one])]

    def order_facts(self, row: Any) -> Mapping[str, Any]:
        """Its state, of which there are three; ccxt reads why it ended (`finish_as`: ioc, poc, fok, stp, …) and does not know all."""
        return {"status": {"open": "open", "closed": "closed", "cancelled": "canceled"}.get(row["status"])}
