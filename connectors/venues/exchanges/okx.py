"""OKX, v5.

`clOrdId` is 1 to 32 letters and digits. An order's own success is `sCode` in its row; the code on top only counts failures. `expTime`
bounds how late the exchange may still take an order."""

from __future__ import annotations

from collections.abc import Sequence
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
from connectors.venues.outcomes import Refused

PAGE = 100
TYPES = {"GTC": "limit", "IOC": "ioc", "FOK": "fok"}


class Okx(Dialect):
    exchange, title = "okx", "OKX"
    docs = "https://www.okx.com/docs-v5/en/#order-book-trading-trade-post-place-order"
    client_ids = ClientIds("clOrdId", "[A-Za-z0-9]{1,32}", hexadecimal(32))
    secrets = ("api_key", "secret", "password")
    sandbox = True
    # `remembers_seconds`: an order that was cancelled unfilled is forgotten after two hours. That it never was, or filled nothing, is one to us.
    fee_source = "fee and feeCcy of each fill (negative: paid); rates from account/trade-fee"
    precision = "tickSz, lotSz, minSz of public/instruments"
    pools = (
        Pool("orders", 60, 2, {"*": 0, "create": 1}),
        Pool("cancels", 60, 2, {"*": 0, "cancel": 1}),
        Pool("queries", 60, 2, {"create": 0, "cancel": 0, "balance": 6}),
    )
    quirks = (
        "ccxt creates through batch-orders, whose code on top says nothing about one order: trade/order it is",
        "a market buy is in quote unless tgtCcy says base_ccy",
        "instType is needed for listings",
    )
    id_at, orders_at, trades_at, balances_at = "data.0.ordId", "data", "data", "data.0.details"
    balance_keys = ("ccy", "availBal", "frozenBal")
    code_at, words_at = ("data.0.sCode", "code"), ("data.0.sMsg", "msg")
    unsure_codes = frozenset({"50001", "50004", "50013", "50026", "51149", "51054"})
    missing_codes = frozenset({"51603"})
    duplicate_codes = frozenset({"51016"})
    options = SPOT_ONLY

    def market_id(self, pair: Pair) -> str:
        return pair.upper("-")

    def create(self, order: NewOrder, context: Context) -> Send:
        if not order.client_id:
            raise Refused("NO_CLIENT_ID", "an order without our id could not be found again")
        params: Params = {"instId": self.market_id(order.pair), "tdMode": "cash", "side": order.side}
        params["clOrdId"] = order.client_id
        if order.kind == "market":
            by_cost = order.cost is not None and order.side == "buy"
            params |= {"ordType": "market", "sz": order.spend if by_cost else order.amount}
            params["tgtCcy"] = "quote_ccy" if by_cost else "base_ccy"
        else:
            params["ordType"] = "post_only" if order.post_only else TYPES[order.validity]
            params |= {"sz": order.amount, "px": order.limit}
        until = str(context.now_ms + context.recv_window_ms)
        return Send("POST", ("private",), "trade/order", params, {"expTime": until} if context.bounded else {})

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        params = {"instId": self.market_id(pair), **named.param("clOrdId", "ordId")}
        return Send("POST", ("private",), "trade/cancel-order", params)

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        return (
            Send(
                "GET", ("private",), "trade/order", {"instId": self.market_id(pair), **named.param("clOrdId", "ordId")}
            ),
        )

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        which: Params = {"instId": self.market_id(pair)} if pair else {}
        return Send("GET", ("private",), "trade/orders-pending", {"instType": "SPOT", **which}, page=PAGE)

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        which: Params = {"ordId": named.venue_id} if named.venue_id else {}
        params = {"instType": "SPOT", "instId": self.market_id(pair), **which}
        return Send("GET", ("private",), "trade/fills", params, page=PAGE)

    def more_trades(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        """The newest come first; `after` is the last one's `billId`."""
        return send.again(after=str(rows[-1]["billId"]))

    def more_orders(self, send: Send, raw: object, rows: Sequence[Any]) -> Send | None:
        return send.again(after=str(rows[-1]["ordId"]))

    def balance(self, context: Context) -> Send:
        return Send("GET", ("private",), "account/balance")
