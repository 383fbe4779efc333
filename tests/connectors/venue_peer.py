"""A venue under a test's command: Binance's spot dialect over real HTTP and WebSocket, with faults at exact places and an audit.

One rule of matching, so that outcomes can be foreseen: the ask is 100, `available` of it; a buy at 100 or more takes what it can in
trades of at most `slice`, anything else rests. It checks signatures and `recvWindow` as the venue does.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import WSMsgType, web

SCALE = 100_000_000
ASK = 100 * SCALE
KEY, SECRET = "key", "secret"


def units(text: str) -> int:
    whole, _, rest = text.partition(".")
    return int(whole) * SCALE + int(rest.ljust(8, "0") or 0)


def text(value: int) -> str:
    return f"{value // SCALE}.{value % SCALE:08d}"


def symbol_info() -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "9000", "stepSize": "0.00100000"},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
        ],
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
    }


class Peer:
    """`faults` are taken one a POST: "hold" waits for `release` before accepting, "drop" accepts and cuts the connection,
    "lose" cuts without accepting, "late" is accepted but answered only after `release`, "busy" is a 503 without accepting."""

    def __init__(self) -> None:
        self.available, self.slice = 10**6 * SCALE, 2 * SCALE
        self.orders: dict[str, dict[str, Any]] = {}
        self.trades: list[dict[str, Any]] = []
        self.accepted: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.faults: list[str] = []
        self.release, self.posted = asyncio.Event(), asyncio.Event()
        self.down = False
        self.balances = {"BTC": ("1.00000001", "0.10000000")}  # those that are not zero
        self.streams: set[web.WebSocketResponse] = set()
        self._numbers, self._trade_numbers = itertools.count(1), itertools.count(1)
        self._runner: web.AppRunner
        self.port = 0

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Peer:
        app = web.Application()
        app.router.add_get("/api/v3/time", self._time)
        app.router.add_get("/api/v3/exchangeInfo", self._info)
        app.router.add_route("*", "/api/v3/{what}", self._private)
        app.router.add_get("/ws-api/v3", self._stream)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _time(self, request: web.Request) -> web.StreamResponse:
        if self.down:
            return web.Response(status=503, text="<html>down</html>")
        return web.json_response({"serverTime": int(time.time() * 1000)})

    async def _info(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"timezone": "UTC", "serverTime": int(time.time() * 1000), "symbols": [symbol_info()]})

    async def _private(self, request: web.Request) -> web.StreamResponse:
        raw = request.url.raw_query_string + (await request.text())
        p = dict(parse_qsl(raw))
        self.asked[f"{request.method} {request.match_info['what']}"] += 1
        payload, _, signature = raw.rpartition("&signature=")
        if self.down:
            return web.Response(status=503, text="<html>down</html>")
        if hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest() != signature:
            return refuse(-1022, "Signature for this request is not valid.")
        fault = self.faults.pop(0) if self.faults and request.method == "POST" else ""
        self.posted.set() if request.method == "POST" else None
        if fault == "hold":
            await self.release.wait()
        if fault == "lose":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault == "busy":
            return web.json_response({"code": -1008, "msg": "Server is currently overloaded."}, status=503)
        late = int(time.time() * 1000) - int(p["timestamp"])
        if not -1000 < late <= int(p["recvWindow"]):
            return refuse(-1021, "Timestamp for this request is outside of the recvWindow.")
        what = getattr(self, f"_{request.method.lower()}_{request.match_info['what']}")
        answer = await what(p)
        if fault == "late":
            await self.release.wait()
        if fault == "drop":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(answer) if not isinstance(answer, web.Response) else answer

    async def _post_order(self, p: dict[str, str]) -> Any:
        cid = p["newClientOrderId"]
        if cid in self.orders:
            return refuse(-2010, "Duplicate order sent.")
        if units(p["quantity"]) >= 5000 * SCALE:
            return refuse(-2010, "Account has insufficient balance for requested action.")
        self.accepted[cid] += 1
        order = self.orders[cid] = {
            "symbol": p["symbol"],
            "orderId": next(self._numbers),
            "clientOrderId": cid,
            "price": p.get("price", "0"),
            "origQty": p["quantity"],
            "executedQty": text(0),
            "status": "NEW",
            "type": p["type"],
            "side": p["side"],
            "timeInForce": p.get("timeInForce", "GTC"),
            "transactTime": int(time.time() * 1000),
        }
        await self.tell(order, "NEW")
        fills = []
        if p["side"] == "BUY" and (p["type"] == "MARKET" or units(p["price"]) >= ASK):
            fills = await self.fill(cid, self.available)
        if p.get("timeInForce") == "IOC" and order["status"] != "FILLED":
            order["status"] = "EXPIRED"
            await self.tell(order, "EXPIRED")
        return {**order, "fills": fills}

    async def fill(self, cid: str, most: int) -> list[dict[str, Any]]:
        """Execute up to `most` of an order, in slices."""
        order, rows = self.orders[cid], []
        while (left := units(order["origQty"]) - units(order["executedQty"])) and most:
            quantity = min(left, most, self.slice)
            most -= quantity
            order["executedQty"] = text(units(order["executedQty"]) + quantity)
            order["status"] = "FILLED" if quantity == left else "PARTIALLY_FILLED"
            number = next(self._trade_numbers)
            row = {
                "price": text(ASK),
                "qty": text(quantity),
                "commission": text(quantity // 1000),
                "commissionAsset": "BTC",
            }
            rows.append({**row, "tradeId": number})
            stamp = {"id": number, "orderId": order["orderId"], "time": int(time.time() * 1000), "isMaker": False}
            self.trades.append({**row, **stamp})
            await self.tell(order, "TRADE", rows[-1])
        return rows

    async def tell(self, order: dict[str, Any], what: str, trade: dict[str, Any] | None = None) -> None:
        """One executionReport to every subscribed stream."""
        fill = trade or {"qty": "0", "price": "0", "commission": "0", "commissionAsset": None, "tradeId": -1}
        event = {
            "e": "executionReport",
            "s": order["symbol"],
            "c": "cancel-id" if what == "CANCELED" else order["clientOrderId"],
            "C": order["clientOrderId"] if what == "CANCELED" else "",
            "x": what,
            "X": order["status"],
            "i": order["orderId"],
            "z": order["executedQty"],
            "l": fill["qty"],
            "L": fill["price"],
            "n": fill["commission"],
            "N": fill["commissionAsset"],
            "t": fill["tradeId"],
            "T": int(time.time() * 1000),
            "m": False,
        }
        for stream in list(self.streams):
            await stream.send_json({"subscriptionId": 0, "event": event})

    async def _get_order(self, p: dict[str, str]) -> Any:
        order = self.orders.get(p["origClientOrderId"])
        return order or refuse(-2013, "Order does not exist.")

    async def _delete_order(self, p: dict[str, str]) -> Any:
        order = self.orders.get(p["origClientOrderId"])
        if order is None or order["status"] not in ("NEW", "PARTIALLY_FILLED"):
            return refuse(-2011, "Unknown order sent.")
        order["status"] = "CANCELED"
        await self.tell(order, "CANCELED")
        return {**order, "origClientOrderId": order["clientOrderId"], "clientOrderId": "cancel-id"}

    async def _get_myTrades(self, p: dict[str, str]) -> Any:
        since, limit = int(p.get("fromId", 0)), min(int(p.get("limit", 500)), 1000)
        return [row for row in self.trades if str(row["orderId"]) == p["orderId"] and row["id"] >= since][:limit]

    async def _get_openOrders(self, p: dict[str, str]) -> Any:
        return [o for o in self.orders.values() if o["status"] in ("NEW", "PARTIALLY_FILLED")]

    async def _get_account(self, p: dict[str, str]) -> Any:
        return {"balances": [{"asset": a, "free": free, "locked": held} for a, (free, held) in self.balances.items()]}

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                asked = json.loads(message.data)
                self.streams.add(socket)
                await socket.send_json({"id": asked["id"], "status": 200, "result": {"subscriptionId": 0}})
        self.streams.discard(socket)
        return socket

    async def cut_streams(self) -> None:
        """Break every user stream."""
        for stream in list(self.streams):
            self.streams.discard(stream)
            await stream.close()


def refuse(code: int, words: str) -> web.Response:
    return web.json_response({"code": code, "msg": words}, status=400)
