"""Kraken's spot REST. Source: Kraken's API documentation. Errors come with HTTP 200; the nonce may be used once and not be too old;
`deadline` bounds how late an order may come."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from connectors.simulator.amounts import fixed
from connectors.simulator.dialects.base import Denied, Foreign, Params, Why
from connectors.simulator.exchange import Order, Trade
from connectors.simulator.rules import Rules

NONCE_WINDOW = 10_000_000  # microseconds: how far below the highest nonce another may lie: requests overtake each other on their way
TOKEN_SECONDS = 900
ALIASES = {"BTC": "XBT", "DOGE": "XDG"}
STATES = {"NEW": "open", "PARTIALLY_FILLED": "open", "FILLED": "closed", "CANCELED": "canceled", "EXPIRED": "canceled"}
WORDS = {
    Why.FUNDS: "EOrder:Insufficient funds",
    Why.DUPLICATE: "EGeneral:Invalid arguments:cl_ord_id",
    Why.POST_ONLY: "EOrder:Post only order",
    Why.MISSING: "EOrder:Unknown order",
    Why.CLOSED: "EOrder:Unknown order",
    Why.SYMBOL: "EQuery:Unknown asset pair",
    Why.RULES: "EGeneral:Invalid arguments:volume",
    Why.LATE: "EOrder:Deadline expired",
    Why.KEY: "EAPI:Invalid key",
    Why.SIGNATURE: "EAPI:Invalid signature",
    Why.NONCE: "EAPI:Invalid nonce",
    Why.BAD: "EGeneral:Invalid arguments",
}


class Kraken(Foreign):
    nonces: dict[str, set[int]]
    tokens: dict[str, tuple[str, int]]  # of the private stream: whose, and until when (milliseconds)

    def routes(self) -> list[web.RouteDef]:
        self.nonces, self.tokens = {key: set() for key in self.keys}, {}
        calls = {
            "AddOrder": self._place,
            "CancelOrder": self._cancel,
            "OpenOrders": lambda a, p: {"open": self._orders(a, p, True)},
            "ClosedOrders": lambda a, p: {"closed": (found := self._orders(a, p, False)), "count": len(found)},
            "QueryOrders": self._query,
            "TradesHistory": self._trades,
            "QueryTrades": self._some_trades,
            "BalanceEx": self._balance,
            "GetWebSocketsToken": self._token,
        }
        return [
            web.get("/0/public/Time", self.public(lambda: _ok({"unixtime": self.now() // 1000}))),
            web.get("/0/public/AssetPairs", self.public(self._pairs)),
            *(web.post(f"/0/private/{name}", self.private(self._wrapped(call))) for name, call in calls.items()),
        ]

    @staticmethod
    def _wrapped(call: Any) -> Any:
        return lambda account, params: _ok(call(account, params))

    def market_id(self, rules: Rules) -> str:
        return ALIASES.get(rules.base, rules.base) + ALIASES.get(rules.quote, rules.quote)

    def who(self, request: web.Request, body: str) -> str:
        account = self.keys.get(request.headers.get("API-Key", ""))
        if account is None:
            raise Denied(Why.KEY)
        nonce = dict(parse_qsl(body)).get("nonce", "")
        inner = hashlib.sha256((nonce + body).encode()).digest()
        expected = b64encode(hmac.digest(b64decode(account.secret), request.path.encode() + inner, hashlib.sha512))
        if not hmac.compare_digest(expected, request.headers.get("API-Sign", "").encode()):
            raise Denied(Why.SIGNATURE)
        used, number = self.nonces[account.api_key], int(nonce)
        highest = max(used, default=0)
        if number in used or number < highest - NONCE_WINDOW:
            raise Denied(Why.NONCE)
        used.add(number)
        if len(used) > 20_000:
            self.nonces[account.api_key] = {n for n in used if n >= highest - NONCE_WINDOW}
        return account.name

    def params(self, request: web.Request, body: str) -> Params:
        return dict(parse_qsl(body))

    def refused(self, reason: Why, words: str) -> web.Response:
        return self.json({"error": [WORDS.get(reason, WORDS[Why.BAD])]})

    def holder(self, token: str) -> str | None:
        """The account that a token of the private stream was given to."""
        account, until = self.tokens.get(token, ("", 0))
        return account if self.now() <= until else None

    # ---- calls

    def _token(self, account: str, params: Params) -> Any:
        token = secrets.token_urlsafe(32)
        self.tokens = {t: held for t, held in self.tokens.items() if self.now() <= held[1]}
        self.tokens[token] = account, self.now() + TOKEN_SECONDS * 1000
        return {"token": token, "expires": TOKEN_SECONDS}

    def _pairs(self) -> Any:
        return _ok({self.market_id(m.rules): self._pair(m.rules) for m in self.exchange.markets.values()})

    def _pair(self, rules: Rules) -> dict[str, Any]:
        return {
            "altname": self.market_id(rules),
            "wsname": f"{ALIASES.get(rules.base, rules.base)}/{rules.quote}",
            "base": ALIASES.get(rules.base, rules.base),
            "quote": ALIASES.get(rules.quote, rules.quote),
            "pair_decimals": decimals(rules.tick),
            "lot_decimals": decimals(rules.lot),
            "tick_size": fixed(rules.tick),
            "ordermin": fixed(rules.min_quantity),
            "costmin": fixed(rules.min_notional),
            "fees": [[0, fixed(100 * self.exchange.taker_fee)]],
            "fees_maker": [[0, fixed(100 * self.exchange.maker_fee)]],
            "leverage_buy": [],
            "status": "online",
        }

    def _place(self, account: str, params: Params) -> Any:
        if "deadline" in params:
            deadline = datetime.fromisoformat(params["deadline"].replace("Z", "+00:00")).timestamp() * 1000
            if self.now() > deadline:
                raise Denied(Why.LATE)
        kind, validity = params["ordertype"], params.get("timeinforce", "GTC")
        if kind not in ("limit", "market") or validity not in ("GTC", "IOC", "FOK"):
            raise ValueError("ordertype")
        order = self.place(
            account,
            self.rules(params["pair"]),
            params["cl_ord_id"],
            params["type"],
            params["volume"],
            None if kind == "market" else params["price"],
            validity,
            "post" in params.get("oflags", ""),
        )
        return {
            "descr": {"order": f"{params['type']} {params['volume']} {params['pair']}"},
            "txid": [str(order.number)],
        }

    def _cancel(self, account: str, params: Params) -> Any:
        order = self.named(account, params.get("txid"), params.get("cl_ord_id"))
        self.exchange.cancel(order, f"cancel-{order.number}", self.now())
        return {"count": 1}

    def _orders(self, account: str, params: Params, is_open: bool) -> dict[str, Any]:
        wanted = params.get("cl_ord_id")
        orders = [o for o in self.exchange.orders_of(account) if o.open is is_open]
        named = [o for o in orders if not wanted or o.asked.client_id == wanted]
        return {str(o.number): self._row(o) for o in (named if is_open else named[-50:])}

    def _query(self, account: str, params: Params) -> Any:
        order = self.named(account, params["txid"], None)
        return {str(order.number): self._row(order)}

    def _row(self, order: Order) -> dict[str, Any]:
        asked, kind = order.asked, "market" if order.asked.limit is None else "limit"
        price = fixed(order.quote * 10**8 // order.filled) if order.filled else "0"
        return {
            "refid": None,
            "userref": None,
            "cl_ord_id": asked.client_id,
            "status": STATES[order.status],
            "opentm": order.created / 1000,
            "closetm": 0 if order.open else order.updated / 1000,
            "descr": {
                "pair": self.market_id(order.rules),
                "type": asked.side.lower(),
                "ordertype": kind,
                "price": fixed(asked.limit or 0),
                "price2": "0",
                "order": "",
            },
            "vol": fixed(asked.quantity),
            "vol_exec": fixed(order.filled),
            "cost": fixed(order.quote),
            "fee": fixed(order.fees),
            "price": price,
            "misc": "",
            "oflags": "post" if asked.kind == "LIMIT_MAKER" else "",
            "trades": [str(t.trade_id) for t in order.trades],
        }

    def _trades(self, account: str, params: Params) -> Any:
        rows = self.fills(account)
        start = int(params.get("ofs", 0))
        page = list(reversed(rows))[start : start + 50]
        return {"trades": {str(t.trade_id): self._trade(o, t) for o, t in page}, "count": len(rows)}

    def _some_trades(self, account: str, params: Params) -> Any:
        asked = str(params.get("txid", "")).split(",")
        if len(asked) > 20:
            raise ValueError("at most 20 trades")
        found = {str(t.trade_id): self._trade(o, t) for o, t in self.fills(account)}
        return {one: found[one] for one in asked}

    def _trade(self, order: Order, trade: Trade) -> dict[str, Any]:
        return {
            "ordertxid": str(order.number),
            "pair": self.market_id(order.rules),
            "time": trade.at / 1000,
            "type": trade.side.lower(),
            "ordertype": "market" if order.asked.limit is None else "limit",
            "price": fixed(trade.price),
            "cost": fixed(trade.quote),
            "fee": fixed(trade.fee),
            "vol": fixed(trade.quantity),
            "maker": trade.maker,
            "trade_id": trade.trade_id,
        }

    def _balance(self, account: str, params: Params) -> Any:
        return {
            ALIASES.get(asset, asset): {"balance": fixed(free + locked), "hold_trade": fixed(locked)}
            for asset, (free, locked) in self.exchange.ledger.of(account).items()
        }


def _ok(result: Any) -> dict[str, Any]:
    return {"error": [], "result": result}


def decimals(step: int) -> int:
    """Of a price or a quantity with such a step."""
    return max(0, 9 - len(str(step))) if str(step).strip("0") == "1" else 8
