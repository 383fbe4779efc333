"""How a venue speaks where no request is answered properly: its words for too many requests, for maintenance, for a refused order.

One `Voice` a dialect, so that faults and limits sound as the exchange they are at. Sources: the exchanges' API documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

Body = dict[str, Any]


def as_json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")


@dataclass(frozen=True, slots=True)
class Voice:
    """`api`: how private paths begin; `order`: the path that takes new orders, by POST. `too_many` and `busy` are bodies of refusals,
    `refusal` makes an order's from code and words; `rejections` are codes and words that the exchange has for orders. `farewell`: what
    the user stream says last when the exchange ends it; where it says nothing the connection just closes. `cancel`: the path that takes cancels
    by DELETE; where they come otherwise none is refused by a fault."""

    api: tuple[str, ...]
    order: str
    too_many: Body
    busy: Body
    refusal: Callable[[str | int, str], Body]
    rejections: Sequence[tuple[str | int, str]]
    refused_with: int = 200
    busy_with: int = 503
    farewell: tuple[bytes, ...] = (b"",)
    cancel: str = ""

    def places(self, request: web.Request) -> bool:
        """Whether the request is a new order."""
        return request.method == "POST" and request.path == self.order

    def cancels(self, request: web.Request) -> bool:
        """Whether the request cancels an order."""
        return request.method == "DELETE" and request.path == self.cancel

    def limited(self, status: int, retry_after: int, body: Body | None = None) -> web.Response:
        """Too many requests."""
        return as_json(body or self.too_many, status, {"Retry-After": str(retry_after)})

    def maintenance(self) -> web.Response:
        """Not now."""
        return as_json(self.busy, self.busy_with)

    def rejected(self, code: str | int, words: str, status: int | None = None) -> web.Response:
        """An order that is refused."""
        return as_json(self.refusal(code, words), status or self.refused_with)


VOICES: Mapping[str, Voice] = {
    "binance": Voice(
        api=("/api/v3/",),
        order="/api/v3/order",
        cancel="/api/v3/order",
        too_many={"code": -1003, "msg": "Too many requests."},
        busy={"code": -1016, "msg": "This service is no longer available."},
        refusal=lambda code, words: {"code": code, "msg": words},
        rejections=(
            (-1015, "Too many new orders."),
            (-2010, "Account has insufficient balance for requested action."),
            (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
            (-2010, "Market is closed."),
        ),
        refused_with=400,
        farewell=(orjson.dumps({"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 0}}),),
    ),
    "coinbase": Voice(
        api=("/api/v3/brokerage/",),
        order="/api/v3/brokerage/orders",
        too_many={"error": "rate_limit_exceeded", "message": "too many requests"},
        busy={"error": "unavailable", "message": "the service is under maintenance"},
        refusal=lambda code, words: {
            "success": False,
            "error_response": {"error": code, "message": words, "error_details": ""},
        },
        rejections=(
            ("INSUFFICIENT_FUND", "Insufficient balance in source account"),
            ("UNTRADABLE_PRODUCT", "Product is not tradable"),
            ("INVALID_LIMIT_PRICE", "Limit price is out of bounds"),
        ),
    ),
    "kraken": Voice(
        api=("/0/private/",),
        order="/0/private/AddOrder",
        too_many={"error": ["EAPI:Rate limit exceeded"]},
        busy={"error": ["EService:Unavailable"]},
        refusal=lambda code, words: {"error": [code]},
        rejections=(
            ("EOrder:Insufficient funds", ""),
            ("EOrder:Orders limit exceeded", ""),
            ("EGeneral:Permission denied", ""),
        ),
        busy_with=200,
    ),
    "okx": Voice(
        api=("/api/v5/trade/", "/api/v5/account/"),
        order="/api/v5/trade/order",
        too_many={"code": "50011", "msg": "Too Many Requests", "data": []},
        busy={"code": "50001", "msg": "Service temporarily unavailable.", "data": []},
        refusal=lambda code, words: {
            "code": "1",
            "msg": "",
            "data": [{"ordId": "", "clOrdId": "", "sCode": str(code), "sMsg": words}],
        },
        rejections=(
            ("51008", "Order failed. Insufficient balance in account."),
            ("51006", "Order price is not within the price limit."),
            ("51020", "Your order should meet or exceed the minimum order amount."),
        ),
        farewell=(
            orjson.dumps(
                {"event": "notice", "code": "64008", "msg": "The connection will soon be closed for a service upgrade."}
            ),
            b"",
        ),
    ),
}
