"""WhiteBIT, v4.

IOC and post-only are flags; there is no FOK. A market order in the base asset has an address of its own. Open orders and those that are
done are asked for in different places: only the latter say how they ended, and not always."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from connectors.venues.dialect import (
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
ACCESS = ("v4", "private")


class Whitebit(Dialect):
    exchange, title = "whitebit", "WhiteBIT"
    docs = "https://docs.whitebit.com/private/http-trade-v4/"
    client_ids = ClientIds("clientOrderId", r"[A-Za-z0-9._-]{1,32}", hexadecimal(32))
    nonce = "counter"
    validities = frozenset({"GTC", "IOC"})
    fee_source = "fee of each deal; rates from the market's makerFee and takerFee"
    precision = "moneyPrec, stockPrec, minAmount, minTotal of markets"
    settle_seconds = 10.0
    pools = (Pool("private", 10_000, 10, {"book": 0}), Pool("public", 2000, 10, {"*": 0, "book": 1}))
    quirks = ("no FOK", "ccxt cannot cancel by our id", "the nonce must grow", "422 is a refusal")
    id_at, trades_at = "orderId", "records"
    words_at = ("message", "errors")
    fine_codes = frozenset()
    missing_codes = frozenset({"2"})

    def market_id(self, pair: Pair) -> str:
        return pair.upper("_")

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"market": self.market_id(order.pair), "side": order.side}
        path = "order/new"
        if order.kind == "market":
            by_cost = order.cost is not None and order.side == "buy"
            path = "order/market" if by_cost else "order/stock_market"
            params["amount"] = order.spend if by_cost else order.amount
        else:
            params |= {"amount": order.amount, "price": order.limit}
        if order.client_id:
            params["clientOrderId"] = order.client_id
        if order.post_only:
            params["postOnly"] = True
        elif order.validity == "IOC":
            params["ioc"] = True
        return Send("POST", ACCESS, path, params)

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        return Send("POST", ACCESS, "order/cancel", self._one(pair, named))

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        one = self._one(pair, named)
        paths = ("orders", "trade-account/order/history")
        return tuple(Send("POST", ACCESS, path, one, listing=True) for path in paths)

    def _one(self, pair: Pair, named: Named) -> Params:
        return {"market": self.market_id(pair), **named.param("clientOrderId", "orderId")}

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        which: Params = {"market": self.market_id(pair)} if pair else {}
        return Send("POST", ACCESS, "orders", {**which, "limit": PAGE, "offset": 0}, page=PAGE)

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        if named.venue_id:
            params = {"orderId": named.venue_id, "limit": PAGE, "offset": 0}
            return Send("POST", ACCESS, "trade-account/order", params, page=PAGE)
        return Send("POST", ACCESS, "trade-account/executed-history", {"market": self.market_id(pair)})

    def more_trades(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        return send.again(offset=send.params["offset"] + PAGE)

    more_orders = more_trades

    def order_facts(self, row: Any) -> Mapping[str, Any]:
        """What is open has something `left`."""
        if "left" in row:
            return {"status": "open"}
        word = str(row.get("status") or "")
        by_cost = row["type"] == "market" and row["side"] == "buy"
        done = Decimal(row["dealMoney" if by_cost else "dealStock"]) >= Decimal(row["amount"])
        return {"status": "canceled" if word.endswith("CANCELED") or not (done or word == "FILLED") else "closed"}

    def balance(self, context: Context) -> Send:
        return Send("POST", ACCESS, "trade-account/balance")

    def rows(self, raw: object, path: str) -> list[Any]:
        if isinstance(raw, dict) and "orderId" not in raw and "id" not in raw and "records" not in raw:
            # history is a list of each market
            return [row for rows in raw.values() for row in self.rows(rows, "")]
        return super().rows(raw, path if isinstance(raw, dict) and "records" in raw else "")

    def balances(self, raw: object) -> dict[str, tuple[str, str]]:
        if not isinstance(raw, dict):
            raise ValueError(f"no balances: {raw!r:.200}")
        return {asset: (row["available"], row["freeze"]) for asset, row in raw.items()}
