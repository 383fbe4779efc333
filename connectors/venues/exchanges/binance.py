"""Binance, spot. The stream and the order flow are in `connectors.venues.binance`; this is what is asked, and how."""

from __future__ import annotations

from connectors.venues.dialect import (
    ORDERS_ONLY,
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

OPTIONS = {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False}


class Binance(Dialect):
    exchange, title = "binance", "Binance"
    docs = "https://developers.binance.com/docs/binance-spot-api-docs/rest-api"
    client_ids = ClientIds("newClientOrderId", WORD + "{1,36}", hexadecimal(36))
    sandbox, test_path = True, "order/test"
    fee_source = "commission of each fill; rates from GET /api/v3/account/commission"
    precision = "PRICE_FILTER.tickSize, LOT_SIZE.stepSize, NOTIONAL.minNotional"
    pools = (
        Pool(
            "weight",
            6000,
            60,
            {"fetch": 4, "open_orders": 6, "my_trades": 20, "balance": 20, "book": 250, "markets": 20},
        ),
        Pool("orders", 100, 10, ORDERS_ONLY),
        Pool("orders-day", 200_000, 86_400, ORDERS_ONLY),
        Pool("requests", 61_000, 300),
    )
    quirks = ("a cancel answers with its own id as clientOrderId", "a duplicate id is -2010, as is a refusal: ask")
    options = OPTIONS
    id_at = "orderId"
    balances_at = "balances"
    unsure_codes = frozenset({"-1000", "-1001", "-1006", "-1007", "-2021", "-2022"})
    missing_codes = frozenset({"-2013"})

    def market_id(self, pair: Pair) -> str:
        return pair.upper()

    def create(self, order: NewOrder, context: Context) -> Send:
        params: Params = {"symbol": self.market_id(order.pair), "side": order.side.upper()}
        if order.kind == "market":
            params["type"] = "MARKET"
            params |= {"quantity": order.amount} if order.cost is None else {"quoteOrderQty": order.spend}
        elif order.post_only:
            params |= {"type": "LIMIT_MAKER", "quantity": order.amount, "price": order.limit}
        else:
            params |= {"type": "LIMIT", "timeInForce": order.validity, "quantity": order.amount, "price": order.limit}
        if order.client_id:
            params["newClientOrderId"] = order.client_id
        return Send("POST", ("private",), "order", params | {"newOrderRespType": "FULL"})

    def cancel(self, pair: Pair, named: Named, context: Context) -> Send:
        name = named.param("origClientOrderId", "orderId")
        return Send("DELETE", ("private",), "order", {"symbol": self.market_id(pair), **name})

    def fetch(self, pair: Pair, named: Named, context: Context) -> tuple[Send, ...]:
        name = named.param("origClientOrderId", "orderId")
        return (Send("GET", ("private",), "order", {"symbol": self.market_id(pair), **name}),)

    def open_orders(self, pair: Pair | None, context: Context) -> Send:
        return Send("GET", ("private",), "openOrders", {"symbol": self.market_id(pair)} if pair else {})

    def my_trades(self, pair: Pair, named: Named, context: Context) -> Send:
        which: Params = {"orderId": named.venue_id} if named.venue_id else {}
        return Send("GET", ("private",), "myTrades", {"symbol": self.market_id(pair), **which, "limit": 1000})

    def balance(self, context: Context) -> Send:
        return Send("GET", ("private",), "account", {"omitZeroBalances": "true"})
