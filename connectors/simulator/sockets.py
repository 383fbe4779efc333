"""The venue's WebSocket ends: `/ws-api/v3` (user stream) and `/ws…`, `/stream…` (market streams)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from connectors.simulator.access import Access, whole
from connectors.simulator.exchange import Exchange
from connectors.simulator.faults import Faults
from connectors.simulator.rules import Refusal
from connectors.simulator.streams import KINDS, Outlet, Streams

HEARTBEAT = 30.0  # seconds; a peer that does not answer a ping is gone
LARGEST = 1 << 16  # bytes of a client's message


class Sockets:
    """The WebSocket handlers of one venue. `now` gives milliseconds."""

    def __init__(
        self, exchange: Exchange, access: Access, streams: Streams, faults: Faults, now: Callable[[], int]
    ) -> None:
        self._exchange, self._access, self._streams, self._faults, self._now = exchange, access, streams, faults, now
        self._open: set[web.WebSocketResponse] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/ws-api/v3", self.api),
            web.get("/ws", self.market),
            web.get("/ws/{names:.*}", self.market),
            web.get("/stream", self.market),
            web.get("/stream/{names:.*}", self.market),
        ]

    async def close(self) -> None:
        """Tell every peer that the venue goes away."""
        await asyncio.gather(*(s.close(code=1001, message=b"going away") for s in list(self._open)))

    @contextlib.asynccontextmanager
    async def _connection(
        self, request: web.Request, wrapped: bool = False
    ) -> AsyncIterator[tuple[web.WebSocketResponse, Outlet]]:
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT, max_msg_size=LARGEST, compress=False, timeout=1.0, autoping=False
        )
        await socket.prepare(request)
        outlet = Outlet(socket, request.transport, self._faults, wrapped)
        self._open.add(socket)
        writer = asyncio.create_task(outlet.run())
        try:
            yield socket, outlet
        finally:
            self._open.discard(socket)
            self._streams.leave(outlet)
            writer.cancel()

    # ---- the WebSocket API

    async def api(self, request: web.Request) -> web.StreamResponse:
        """Requests `{"id", "method", "params"}`, answered with `{"id", "status", "result" | "error"}`; then the events subscribed to."""
        async with self._connection(request) as (socket, outlet):
            numbers = itertools.count()
            async for message in socket:
                if message.type is WSMsgType.PING:
                    outlet.pong(message.data)
                if message.type is not WSMsgType.TEXT:
                    continue
                asked = _object(message.data)
                answer: dict[str, Any] = {"id": asked.get("id")}
                try:
                    answer |= {"status": 200, "result": self._call(outlet, asked, numbers)}
                except Refusal as refusal:
                    error = {"code": refusal.code, "msg": refusal.words}
                    answer |= {"status": refusal.status, "error": error}
                outlet.send(orjson.dumps(answer))
            return socket

    def _call(self, outlet: Outlet, asked: Mapping[str, Any], numbers: itertools.count[int]) -> dict[str, Any]:
        params = asked.get("params") or {}
        if not isinstance(params, Mapping):
            raise Refusal(-1100, "Illegal characters found in parameter 'params'.")
        match asked.get("method"):
            case "ping":
                return {}
            case "time":
                return {"serverTime": self._now()}
            case "userDataStream.subscribe.signature":
                account = self._access.socket(params, self._now())
                number = next(numbers)
                self._streams.subscribe_user(outlet, account, number)
                return {"subscriptionId": number}
            case "userDataStream.unsubscribe":
                which = whole(params, "subscriptionId") if "subscriptionId" in params else None
                self._streams.unsubscribe_user(outlet, which)
                return {}
            case other:
                raise Refusal(-1000, f"Unknown method {str(other)[:100]!r}.")

    # ---- market streams

    async def market(self, request: web.Request) -> web.StreamResponse:
        """`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`; streams may stand in the path (`/ws/btcusdt@trade`) or in `?streams=`.

        A path may end in a number, as ccxt numbers its connections; one with `ws` in it is not wrapped.
        """
        parts = request.path.strip("/").split("/")
        names = [p for p in parts if p not in ("ws", "stream") and not p.isdigit()]
        names += [n for n in request.query.get("streams", "").split("/") if n]
        async with self._connection(request, wrapped="ws" not in parts) as (socket, outlet):
            try:
                self._streams.subscribe(outlet, self._known(names))
            except Refusal as refusal:
                await socket.close(code=1008, message=refusal.words.encode()[:120])
                return socket
            async for message in socket:
                if message.type is WSMsgType.PING:
                    outlet.pong(message.data)
                if message.type is not WSMsgType.TEXT:
                    continue
                asked = _object(message.data)
                answer: dict[str, Any] = {"id": asked.get("id")}
                try:
                    answer["result"] = self._manage(outlet, asked)
                except Refusal as refusal:
                    answer["error"] = {"code": refusal.code, "msg": refusal.words}
                outlet.send(orjson.dumps(answer))
            return socket

    def _manage(self, outlet: Outlet, asked: Mapping[str, Any]) -> list[str] | None:
        params = asked.get("params", [])
        if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
            raise Refusal(2, "Invalid request: params must be a list of streams")
        match asked.get("method"):
            case "SUBSCRIBE":
                self._streams.subscribe(outlet, self._known(params))
            case "UNSUBSCRIBE":
                self._streams.unsubscribe(outlet, params)
            case "LIST_SUBSCRIPTIONS":
                return sorted(outlet.streams)
            case _:
                raise Refusal(2, "Invalid request: unknown method")
        return None

    def _known(self, names: list[str]) -> list[str]:
        for name in names:
            symbol, _, kind = name.partition("@")
            if symbol.upper() not in self._exchange.markets or symbol != symbol.lower() or kind not in KINDS:
                raise Refusal(2, f"Invalid request: no such stream {name[:100]!r}")
        return names


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, Mapping) else {}
