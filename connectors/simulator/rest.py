"""The venue's REST end: `/api/v3` of the dialect, and `/sim` for tests, without keys.

    GET  /sim/audit    what was accepted, traded and is owned
    POST /sim/fault    see `faults`
    POST /sim/book     {"symbol": "BTC/USDT", "bids": [["59990", "2"]], "asks": […]}: what is displayed from now on
    POST /sim/trade    {"symbol": "BTC/USDT", "price": "59990", "quantity": "0.1", "side": "SELL"}: a trade of others; its taker's side
    POST /sim/order    the same with "account" and "client_order_id": a limit order of the account's owner, past all who trade for it
    POST /sim/cancel   {"account": "account-1", "client_order_id": "web-1"}: its end
    POST /sim/funds    {"account": "account-1", "asset": "USDT", "amount": "-5"}: the owner brings money, or takes it out

An order request takes the venue's latency, half of it before the venue acts and half after; what it acts on is checked, signature and
time window included, when it acts. A peer that leaves meanwhile changes nothing.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from connectors.simulator import dialect
from connectors.simulator.access import Access, whole
from connectors.simulator.amounts import parse
from connectors.simulator.audit import audit
from connectors.simulator.budget import Budget
from connectors.simulator.config import sides
from connectors.simulator.exchange import Exchange, Market, NewOrder, Order
from connectors.simulator.faults import Fault, Faults, Spared, fault
from connectors.simulator.ledger import InsufficientFunds
from connectors.simulator.matching import Direction
from connectors.simulator.rules import Refusal

Params = Mapping[str, str]
Public = Callable[[Params], Any]
Private = Callable[[str, Params], Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SetFault = Callable[[str | None, Fault, Spared], Awaitable[None]]


def as_json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def refused(refusal: Refusal) -> web.Response:
    return as_json({"code": refusal.code, "msg": refusal.words}, refusal.status)


class Rest:
    """The HTTP handlers of one venue. `now` gives milliseconds, `latency` is in seconds, `set_fault` carries a fault out."""

    def __init__(
        self,
        name: str,
        exchange: Exchange,
        access: Access,
        latency: float,
        now: Callable[[], int],
        set_fault: SetFault,
        budget: Budget,
        faults: Faults,
    ) -> None:
        self._name, self._exchange, self._access, self._latency = name, exchange, access, latency
        self._now, self._set_fault, self._budget, self._faults = now, set_fault, budget, faults

    def routes(self) -> list[web.RouteDef]:
        public, private = self._public, self._private
        return [
            web.get("/api/v3/ping", public(lambda _: {})),
            web.get("/api/v3/time", public(lambda _: {"serverTime": self._now()})),
            web.get("/api/v3/exchangeInfo", public(self._info)),
            web.get("/api/v3/depth", public(self._depth)),
            web.get("/api/v3/ticker/bookTicker", public(self._book_ticker)),
            web.get("/api/v3/trades", public(self._trades)),
            web.post("/api/v3/order", private(self._place)),
            web.get("/api/v3/order", private(self._query)),
            web.delete("/api/v3/order", private(self._cancel)),
            web.get("/api/v3/openOrders", private(self._open_orders)),
            web.delete("/api/v3/openOrders", private(self._cancel_all)),
            web.get("/api/v3/allOrders", private(self._all_orders)),
            web.get("/api/v3/account", private(self._account)),
            web.get("/api/v3/myTrades", private(self._my_trades)),
            *self.control(),
        ]

    def control(self) -> list[web.RouteDef]:
        """What tests ask, whatever the dialect."""
        return [
            web.get("/sim/audit", self._audit),
            web.post("/sim/fault", self._fault),
            web.post("/sim/book", self._book),
            web.post("/sim/trade", self._trade),
            web.post("/sim/order", self._owner(self._owners_order)),
            web.post("/sim/cancel", self._owner(self._owners_cancel)),
            web.post("/sim/funds", self._owner(self._owners_funds)),
        ]

    def _public(self, answer: Public) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                return as_json(answer(request.query))
            except Refusal as refusal:
                return refused(refusal)

        return handle

    def _private(self, answer: Private) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            body = (await request.read()).decode(errors="replace")
            query, key = request.rel_url.raw_query_string, request.headers.get("X-MBX-APIKEY")
            if self._latency:
                await asyncio.sleep(self._latency / 2)
            try:
                account, params = self._access.http(key, query, body, self._now())
                response = as_json(answer(account, params))
            except Refusal as refusal:
                response = refused(refusal)
            if self._latency:
                await asyncio.sleep(self._latency / 2)
            return response

        return handle

    # ---- market data

    def _markets(self, params: Params) -> list[Market]:
        """The market of `symbol`, those of `symbols` (a JSON list), or all."""
        if "symbol" in params:
            return [self._exchange.market(params["symbol"])]
        if "symbols" not in params:
            return list(self._exchange.markets.values())
        try:
            wanted = orjson.loads(params["symbols"])
        except orjson.JSONDecodeError:
            wanted = None
        if not isinstance(wanted, list):
            raise Refusal(-1100, "Illegal characters found in parameter 'symbols'.")
        return [self._exchange.market(str(symbol)) for symbol in wanted]

    def _info(self, params: Params) -> Any:
        return dialect.exchange_info([m.rules for m in self._markets(params)], self._now())

    def _depth(self, params: Params) -> Any:
        market = self._exchange.market(dialect.text(params, "symbol"))
        return dialect.depth(market, dialect.levels_wanted(params, 5000, 100))

    def _book_ticker(self, params: Params) -> Any:
        found = [dialect.book_ticker(m) for m in self._markets(params)]
        return found[0] if "symbol" in params else found

    def _trades(self, params: Params) -> Any:
        market = self._exchange.market(dialect.text(params, "symbol"))
        return [dialect.public_trade(t) for t in market.prints[-dialect.levels_wanted(params, 1000, 500) :]]

    # ---- orders

    def _place(self, account: str, params: Params) -> Any:
        asked = dialect.new_order(params, f"sim-{uuid.uuid4().hex}"[:36])
        default = "ACK" if asked.kind == "LIMIT_MAKER" else "FULL"
        response = params.get("newOrderRespType", default)
        if response not in dialect.RESPONSES:
            raise Refusal(-1130, "Data sent for parameter 'newOrderRespType' is not valid.")
        return dialect.placed(self._exchange.place(account, asked, self._now()), response)

    def _found(self, account: str, params: Params) -> Order | None:
        symbol = dialect.text(params, "symbol")
        return self._exchange.find(account, symbol, *dialect.order_key(params))

    def _query(self, account: str, params: Params) -> Any:
        order = self._found(account, params)
        if order is None:
            raise Refusal(-2013, "Order does not exist.")
        return dialect.order_row(order)

    def _cancel(self, account: str, params: Params) -> Any:
        cancel_id = dialect.client_id(params, "newClientOrderId", f"cancel-{uuid.uuid4().hex}"[:36])
        order = self._found(account, params)
        if order is None:
            raise Refusal(-2011, "Unknown order sent.")
        self._exchange.cancel(order, cancel_id, self._now())
        return dialect.cancelled(order, cancel_id)

    def _open_orders(self, account: str, params: Params) -> Any:
        symbol = params.get("symbol")
        if symbol is not None:
            self._exchange.market(symbol)
        return [dialect.order_row(o) for o in self._exchange.open_of(account, symbol)]

    def _cancel_all(self, account: str, params: Params) -> Any:
        symbol = self._exchange.market(dialect.text(params, "symbol")).rules.id
        answers = []
        for order in self._exchange.open_of(account, symbol):
            cancel_id = f"cancel-{uuid.uuid4().hex}"[:36]
            self._exchange.cancel(order, cancel_id, self._now())
            answers.append(dialect.cancelled(order, cancel_id))
        if not answers:
            raise Refusal(-2011, "Unknown order sent.")
        return answers

    def _all_orders(self, account: str, params: Params) -> Any:
        symbol = self._exchange.market(dialect.text(params, "symbol")).rules.id
        limit, since = dialect.levels_wanted(params, 1000, 500), whole(params, "orderId", 0)
        found = [o for o in self._exchange.orders_of(account, symbol) if o.number >= since]
        return [dialect.order_row(o) for o in (found[:limit] if since else found[-limit:])]

    def _account(self, account: str, params: Params) -> Any:
        exchange = self._exchange
        balances = exchange.ledger.of(account)
        if params.get("omitZeroBalances") == "true":
            balances = {asset: b for asset, b in balances.items() if any(b)}
        return dialect.account(balances, exchange.maker_fee, exchange.taker_fee, self._now())

    def _my_trades(self, account: str, params: Params) -> Any:
        symbol = self._exchange.market(dialect.text(params, "symbol")).rules.id
        limit, since = dialect.levels_wanted(params, 1000, 500), whole(params, "fromId", 0)
        if "orderId" in params:
            one = self._exchange.find(account, symbol, whole(params, "orderId"), None)
            orders = [one] if one else []
        else:
            orders = self._exchange.orders_of(account, symbol)
        rows = sorted(
            ((o, t) for o in orders for t in o.trades if t.trade_id >= since), key=lambda row: row[1].trade_id
        )
        return [dialect.own_trade(*row) for row in (rows[:limit] if since or "orderId" in params else rows[-limit:])]

    # ---- for tests

    async def _audit(self, request: web.Request) -> web.Response:
        return as_json(audit(self._name, self._exchange, self._budget) | {"faults": self._faults.met})

    async def _fault(self, request: web.Request) -> web.Response:
        try:
            raw = orjson.loads(await request.read())
            if not isinstance(raw, dict):
                raise ValueError("not an object")
            venue = raw.pop("venue", None)
            new = fault(raw)
            await self._set_fault(None if venue is None else str(venue), new, request.transport)
        except ValueError as error:
            return as_json({"error": str(error)}, 400)
        return as_json({"venue": venue or self._name, "kind": new.kind})

    async def _book(self, request: web.Request) -> web.Response:
        try:
            raw = orjson.loads(await request.read())
            market = self._named_market(raw)
            bids, asks = sides(raw, market.rules.symbol)
        except ValueError as error:
            return as_json({"error": str(error)}, 400)
        # A level that shows what it showed before would stay as far as it was taken: all is taken down first.
        self._exchange.show(market, (), (), self._now(), whole=True)
        self._exchange.show(market, bids, asks, self._now(), whole=True)
        return as_json({"symbol": market.rules.symbol, "update_id": market.update_id})

    async def _trade(self, request: web.Request) -> web.Response:
        try:
            raw = orjson.loads(await request.read())
            market = self._named_market(raw)
            price, quantity = (parse(str(raw.get(name))) for name in ("price", "quantity"))
            taker: Direction | None = {"BUY": "BUY", "SELL": "SELL"}.get(str(raw.get("side")))  # type: ignore[assignment]
            if not price or not quantity or taker is None:
                raise ValueError("price and quantity are above zero, side is BUY or SELL")
        except ValueError as error:
            return as_json({"error": str(error)}, 400)
        self._exchange.printed(market, price, quantity, taker, self._now())
        return as_json({"symbol": market.rules.symbol})

    def _owner(self, act: Callable[[Mapping[str, Any]], Any]) -> Handler:
        """What an account's owner does at the venue by himself."""

        async def handle(request: web.Request) -> web.Response:
            try:
                raw = orjson.loads(await request.read())
                if not isinstance(raw, dict) or str(raw.get("account")) not in self._access.names:
                    raise ValueError("account is one of the venue's")
                return as_json(act(raw))
            except Refusal as refusal:
                return refused(refusal)
            except (ValueError, InsufficientFunds) as error:
                return as_json({"error": str(error)}, 400)

        return handle

    def _owners_order(self, raw: Mapping[str, Any]) -> Any:
        fields = {name: raw.get(name) for name in ("symbol", "price", "quantity", "side", "client_order_id")}
        market = self._named_market(dict(fields))
        price, quantity = (parse(str(fields[name])) for name in ("price", "quantity"))
        side: Direction = "SELL" if fields["side"] == "SELL" else "BUY"
        asked = NewOrder(market.rules.id, str(fields["client_order_id"]), side, "LIMIT", "GTC", quantity, price)
        order = self._exchange.place(str(raw["account"]), asked, self._now())
        return {"order": str(order.number), "status": order.status}

    def _owners_cancel(self, raw: Mapping[str, Any]) -> Any:
        name = str(raw.get("client_order_id"))
        for order in self._exchange.open_of(str(raw["account"])):
            if order.asked.client_id == name:
                self._exchange.cancel(order, "", self._now())
                return {"order": str(order.number), "status": order.status}
        raise ValueError(f"no open order {name}")

    def _owners_funds(self, raw: Mapping[str, Any]) -> Any:
        amount = str(raw.get("amount"))
        units = -parse(amount[1:]) if amount.startswith("-") else parse(amount)
        self._exchange.fund(str(raw["account"]), str(raw.get("asset")), units, self._now())
        return {"asset": raw.get("asset"), "amount": amount}

    def _named_market(self, raw: Any) -> Market:
        """The market whose unified symbol is taken out of a command. Raises `ValueError`."""
        symbol = raw.pop("symbol", None) if isinstance(raw, dict) else None
        found = next((m for m in self._exchange.markets.values() if m.rules.symbol == symbol), None)
        if found is None:
            raise ValueError(f"no symbol {symbol!r} here")
        return found
