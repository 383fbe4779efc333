"""Coinbase Advanced Trade's REST. Source: Coinbase's API documentation. Keys sign with a shared secret; an order whose client id is taken
answers with the order that has it; cancels and details go by the venue's id alone; a refusal is HTTP 200 with `success: false`."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from connectors.simulator.amounts import fixed
from connectors.simulator.dialects.base import Denied, Foreign, Params, Why
from connectors.simulator.exchange import Order, Trade, Validity
from connectors.simulator.rules import Refusal, Rules

WINDOW = 30  # seconds
PAGE = 1000  # orders
STATES = {"NEW": "OPEN", "PARTIALLY_FILLED": "OPEN", "FILLED": "FILLED", "CANCELED": "CANCELLED", "EXPIRED": "EXPIRED"}
CONFIGURATIONS: dict[str, tuple[Validity, bool]] = {
    "limit_limit_gtc": ("GTC", False),
    "sor_limit_ioc": ("IOC", False),
    "limit_limit_fok": ("FOK", False),
    "market_market_ioc": ("IOC", True),
}
ERRORS = {
    Why.FUNDS: "INSUFFICIENT_FUND",
    Why.POST_ONLY: "INVALID_LIMIT_PRICE_POST_ONLY",
    Why.RULES: "INVALID_SIZE_PRECISION",
    Why.SYMBOL: "INVALID_PRODUCT_ID",
    Why.BAD: "UNSUPPORTED_ORDER_CONFIGURATION",
}
BASE = "/api/v3/brokerage"


class Coinbase(Foreign):
    def routes(self) -> list[web.RouteDef]:
        private = self.private
        return [
            web.get("/v2/time", self.public(lambda: {"data": {"iso": _iso(self.now()), "epoch": self.now() // 1000}})),
            web.get(f"{BASE}/time", self.public(lambda: {"epochMillis": str(self.now()), "iso": _iso(self.now())})),
            web.get(f"{BASE}/market/products", self.public(self._products)),
            web.get(f"{BASE}/transaction_summary", private(self._rates)),
            web.post(f"{BASE}/orders", private(self._place)),
            web.post(f"{BASE}/orders/batch_cancel", private(self._cancel)),
            web.get(f"{BASE}/orders/historical/batch", private(self._list)),
            web.get(f"{BASE}/orders/historical/fills", private(self._fills)),
            web.get(f"{BASE}/orders/historical/{{order_id}}", private(self._order)),
            web.get(f"{BASE}/accounts", private(self._accounts)),
        ]

    def market_id(self, rules: Rules) -> str:
        return f"{rules.base}-{rules.quote}"

    def who(self, request: web.Request, body: str) -> str:
        h = request.headers
        account = self.keys.get(h.get("CB-ACCESS-KEY", ""))
        if account is None:
            raise Denied(Why.KEY, "Unauthorized")
        stamp = h.get("CB-ACCESS-TIMESTAMP", "0")
        told = f"{stamp}{request.method}{request.path}{body}"
        expected = hmac.digest(account.secret.encode(), told.encode(), hashlib.sha256).hex()
        if not hmac.compare_digest(expected.encode(), h.get("CB-ACCESS-SIGN", "").encode()):
            raise Denied(Why.SIGNATURE, "Unauthorized")
        if abs(self.now() / 1000 - int(stamp)) > WINDOW:
            raise Denied(Why.CLOCK, "Unauthorized")
        return account.name

    def params(self, request: web.Request, body: str) -> Params:
        found: dict[str, Any] = orjson.loads(body) if body else {k: request.query.getall(k) for k in request.query}
        return found

    def refused(self, reason: Why, words: str) -> web.Response:
        if reason in (Why.KEY, Why.SIGNATURE, Why.CLOCK):
            return self.json({"error": "unauthorized", "message": words}, 401)
        if reason is Why.MISSING:
            return self.json({"error": "NOT_FOUND", "message": f"order not found: {words}"}, 404)
        error = {"error": ERRORS.get(reason, ERRORS[Why.BAD]), "message": words, "error_details": ""}
        return self.json({"success": False, "error_response": error})

    # ---- calls

    def _rates(self, account: str, params: Params) -> Any:
        maker, taker = fixed(self.exchange.maker_fee), fixed(self.exchange.taker_fee)
        return {"fee_tier": {"maker_fee_rate": maker, "taker_fee_rate": taker}}

    def _products(self) -> Any:
        return {"products": [self._product(m.rules) for m in self.exchange.markets.values()]}

    def _product(self, rules: Rules) -> dict[str, Any]:
        return {
            "product_id": self.market_id(rules),
            "base_currency_id": rules.base,
            "quote_currency_id": rules.quote,
            "product_type": "SPOT",
            "status": "online",
            "trading_disabled": False,
            "base_increment": fixed(rules.lot),
            "quote_increment": fixed(rules.tick),
            "price_increment": fixed(rules.tick),
            "base_min_size": fixed(rules.min_quantity),
            "base_max_size": fixed(rules.max_quantity),
            "quote_min_size": fixed(rules.min_notional),
            "quote_max_size": "1000000000",
        }

    def _place(self, account: str, params: Params) -> Any:
        ((name, how),) = params["order_configuration"].items()
        validity, market = CONFIGURATIONS[name]
        try:
            order = self.place(
                account,
                self.rules(params["product_id"]),
                params["client_order_id"],
                params["side"].lower(),
                how["base_size"],
                None if market else how["limit_price"],
                validity,
                bool(how.get("post_only", False)),
            )
        except Refusal as refusal:
            if refusal.words != "Duplicate order sent.":
                raise
            order = self.named(account, None, params["client_order_id"])
        success = {
            "order_id": str(order.number),
            "product_id": params["product_id"],
            "side": params["side"],
            "client_order_id": order.asked.client_id,
        }
        return {"success": True, "success_response": success, "order_configuration": params["order_configuration"]}

    def _cancel(self, account: str, params: Params) -> Any:
        results = []
        for number in params["order_ids"]:
            try:
                self.exchange.cancel(self.named(account, number, None), f"cancel-{number}", self.now())
                results.append({"success": True, "failure_reason": "UNKNOWN_CANCEL_FAILURE_REASON", "order_id": number})
            except (Denied, Refusal):
                results.append({"success": False, "failure_reason": "UNKNOWN_CANCEL_ORDER", "order_id": number})
        return {"results": results}

    def _list(self, account: str, params: Params) -> Any:
        """The latest first, a page at a time: its cursor is the number of the last that was shown."""
        products, states = params.get("product_ids"), params.get("order_status")
        limit = min(int((params.get("limit") or [PAGE])[0]), PAGE)
        shown = int((params.get("cursor") or [0])[0] or 0)
        start = _ms(params["start_date"][0]) if "start_date" in params else 0
        end = _ms(params["end_date"][0]) if "end_date" in params else 1 << 62
        found: list[Order] = []
        for order in reversed(self.exchange.orders_of(account)):
            if order.created < start:
                break
            asked = (not shown or order.number < shown) and order.created < end
            if not asked or (products and self.market_id(order.rules) not in products):
                continue
            if not states or STATES[order.status] in states:
                if len(found) == limit:
                    return {"orders": [self._row(o) for o in found], "has_next": True, "cursor": str(found[-1].number)}
                found.append(order)
        return {"orders": [self._row(o) for o in found], "has_next": False, "cursor": ""}

    def _order(self, account: str, params: Params) -> Any:
        return {"order": self._row(self.named(account, params["order_id"], None))}

    def _row(self, order: Order) -> dict[str, Any]:
        asked = order.asked
        name = (
            "market_market_ioc"
            if asked.limit is None
            else {"GTC": "limit_limit_gtc", "IOC": "sor_limit_ioc", "FOK": "limit_limit_fok"}[asked.validity]
        )
        how: dict[str, Any] = {"base_size": fixed(asked.quantity)}
        if asked.limit is not None:
            how |= {"limit_price": fixed(asked.limit), "post_only": asked.kind == "LIMIT_MAKER"}
        return {
            "order_id": str(order.number),
            "product_id": self.market_id(order.rules),
            "order_configuration": {name: how},
            "side": asked.side,
            "client_order_id": asked.client_id,
            "status": STATES[order.status],
            "time_in_force": {"GTC": "GOOD_UNTIL_CANCELLED", "IOC": "IMMEDIATE_OR_CANCEL", "FOK": "FILL_OR_KILL"}[
                asked.validity
            ],
            "created_time": _iso(order.created),
            "last_fill_time": _iso(order.updated),
            "filled_size": fixed(order.filled),
            "average_filled_price": fixed(order.quote * 10**8 // order.filled) if order.filled else "0",
            "filled_value": fixed(order.quote),
            "total_fees": fixed(order.fees),
            "order_type": "MARKET" if asked.limit is None else "LIMIT",
        }

    def _fills(self, account: str, params: Params) -> Any:
        number = (params.get("order_ids") or [None])[0]
        start = int((params.get("cursor") or [0])[0] or 0)
        rows = [self._fill(o, t) for o, t in reversed(self.fills(account, number))]
        end = start + 100
        return {"fills": rows[start:end], "cursor": str(end) if end < len(rows) else ""}

    def _fill(self, order: Order, trade: Trade) -> dict[str, Any]:
        return {
            "entry_id": str(trade.trade_id),
            "trade_id": str(trade.trade_id),
            "order_id": str(order.number),
            "trade_time": _iso(trade.at),
            "trade_type": "FILL",
            "price": fixed(trade.price),
            "size": fixed(trade.quantity),
            "commission": fixed(trade.fee),
            "product_id": self.market_id(order.rules),
            "liquidity_indicator": "MAKER" if trade.maker else "TAKER",
            "size_in_quote": False,
            "side": trade.side,
        }

    def _accounts(self, account: str, params: Params) -> Any:
        rows = [
            {
                "uuid": f"{account}-{asset}",
                "currency": asset,
                "available_balance": {"value": fixed(free), "currency": asset},
                "hold": {"value": fixed(locked), "currency": asset},
            }
            for asset, (free, locked) in self.exchange.ledger.of(account).items()
        ]
        return {"accounts": rows, "has_next": False, "cursor": ""}


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def _ms(iso: str) -> int:
    return int(datetime.fromisoformat(iso).timestamp() * 1000)
