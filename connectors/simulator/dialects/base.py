"""What all dialects share: a request is delayed, checked, carried out on the exchange, and refused in the dialect's own words.

The exchange refuses in Binance's codes; `Why` is what they mean, and each dialect says it its way. As at Binance, signature and time are
checked when the venue acts, so that a request which was held up too long is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any

import orjson
from aiohttp import web

from connectors.simulator.amounts import parse
from connectors.simulator.config import Account
from connectors.simulator.exchange import Exchange, NewOrder, Order, OrderKind, Trade, Validity
from connectors.simulator.rules import DUPLICATE, INSUFFICIENT, Refusal, Rules

Params = Mapping[str, Any]
Answer = Callable[[str, Params], Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Why(StrEnum):
    """Why a venue refuses."""

    FUNDS = "funds"
    DUPLICATE = "duplicate"
    POST_ONLY = "post-only"
    MISSING = "missing"
    CLOSED = "closed"
    SYMBOL = "symbol"
    RULES = "rules"
    CLOCK = "clock"
    LATE = "late"
    KEY = "key"
    SIGNATURE = "signature"
    NONCE = "nonce"
    BAD = "bad"


_CODES = {
    -2013: Why.MISSING,
    -2011: Why.CLOSED,
    -1121: Why.SYMBOL,
    -1013: Why.RULES,
    -1021: Why.CLOCK,
    -1022: Why.SIGNATURE,
    -2014: Why.KEY,
    -2015: Why.KEY,
}


class Denied(Exception):
    """A dialect's own refusal."""

    def __init__(self, why: Why, words: str = "") -> None:
        super().__init__(words or why.value)
        self.why = why


def why(refusal: Refusal) -> Why:
    """What an exchange's refusal means."""
    if refusal.code == -2010:
        return {INSUFFICIENT: Why.FUNDS, DUPLICATE: Why.DUPLICATE}.get(refusal.words, Why.POST_ONLY)
    return _CODES.get(refusal.code, Why.BAD)


class Foreign:
    """The HTTP end of one venue in a dialect. `now` gives milliseconds, `latency` is in seconds."""

    def __init__(
        self, exchange: Exchange, accounts: tuple[Account, ...], latency: float, now: Callable[[], int]
    ) -> None:
        self.exchange, self.latency, self.now = exchange, latency, now
        self.keys = {account.api_key: account for account in accounts}
        self.by_symbol: dict[str, Rules] = {self.market_id(m.rules): m.rules for m in exchange.markets.values()}

    # ---- what a dialect says

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    def market_id(self, rules: Rules) -> str:
        raise NotImplementedError

    def who(self, request: web.Request, body: str) -> str:
        """The account that signed. Raises `Denied`."""
        raise NotImplementedError

    def params(self, request: web.Request, body: str) -> Params:
        raise NotImplementedError

    def refused(self, reason: Why, words: str) -> web.Response:
        raise NotImplementedError

    # ---- what dialects are made of

    def private(self, answer: Answer) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            body = (await request.read()).decode(errors="replace")
            if self.latency:
                await asyncio.sleep(self.latency / 2)
            try:
                account = self.who(request, body)
                response = self.json(answer(account, {**self.params(request, body), **request.match_info}))
            except Refusal as refusal:
                response = self.refused(why(refusal), refusal.words)
            except Denied as denied:
                response = self.refused(denied.why, str(denied))
            except (ValueError, KeyError, TypeError) as error:
                response = self.refused(Why.BAD, f"{type(error).__name__}: {error}")
            if self.latency:
                await asyncio.sleep(self.latency / 2)
            return response

        return handle

    @staticmethod
    def json(body: object, status: int = 200) -> web.Response:
        return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")

    def public(self, answer: Callable[[], Any]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            return self.json(answer())

        return handle

    def rules(self, market_id: object) -> Rules:
        """Raises `Denied`."""
        found = self.by_symbol.get(str(market_id))
        if found is None:
            raise Denied(Why.SYMBOL, f"{market_id} is not traded here")
        return found

    def place(
        self,
        account: str,
        rules: Rules,
        client_id: str,
        side: str,
        quantity: str,
        limit: str | None,
        validity: Validity,
        post_only: bool,
    ) -> Order:
        """Raises `Refusal`, `ValueError`."""
        if side not in ("buy", "sell"):
            raise ValueError("side is buy or sell")
        kind: OrderKind = "MARKET" if limit is None else "LIMIT_MAKER" if post_only else "LIMIT"
        price = None if limit is None else parse(limit)
        asked = NewOrder(
            rules.id, client_id, "BUY" if side == "buy" else "SELL", kind, validity, parse(quantity), price
        )
        return self.exchange.place(account, asked, self.now())

    def named(self, account: str, number: object, client_id: object) -> Order:
        """Raises `Denied`."""
        for order in self.exchange.orders_of(account):
            if (client_id and order.asked.client_id == client_id) or (number and str(order.number) == str(number)):
                return order
        raise Denied(Why.MISSING, "no such order")

    def fills(self, account: str, number: object = None) -> list[tuple[Order, Trade]]:
        """Oldest first."""
        orders = self.exchange.orders_of(account)
        found = [(o, t) for o in orders if not number or str(o.number) == str(number) for t in o.trades]
        return sorted(found, key=lambda row: row[1].trade_id)
