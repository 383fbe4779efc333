"""Every way an answer can be broken, and what is then known: against a raw server that sends exactly these bytes."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator

import children
import msgspec
import pytest
from venue_peer import symbol_info

from connectors.venues.adapter import VenueConfig
from connectors.venues.binance import BinanceAdapter
from connectors.venues.outcomes import OutcomeKind
from connectors.venues.transport import http_client
from schemas.records import TimeInForce

GOOD = {
    "symbol": "BTCUSDT",
    "orderId": 7,
    "clientOrderId": "c-1",
    "transactTime": 1,
    "executedQty": "0.00000000",
    "status": "NEW",
    "fills": [],
}
CHILD = msgspec.structs.replace(children.CHILD, time_in_force=TimeInForce.IOC, quantity=10**8, price=10**10)


def answer(status: int, body: str | bytes, kind: str = "application/json", length: int | None = None) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length or len(data)}\r\nConnection: close\r\n\r\n"
    return head.encode() + data


def code(status: int, number: int, words: str) -> bytes:
    return answer(status, json.dumps({"code": number, "msg": words}))


OK = json.dumps(GOOD)
PAGE = "<html>oops</html>"
UNKNOWN, REJECTED, ACCEPTED = OutcomeKind.UNKNOWN, OutcomeKind.REJECTED, OutcomeKind.ACCEPTED
TABLE: dict[str, tuple[bytes, OutcomeKind]] = {
    "good": (answer(200, OK), ACCEPTED),
    "closed without an answer": (b"", UNKNOWN),
    "body cut short": (answer(200, OK[:40], length=len(OK)), UNKNOWN),
    "reset": (b"reset", UNKNOWN),
    "silence": (b"silence", UNKNOWN),
    "not HTTP": (b"GARBAGE\r\n\r\n", UNKNOWN),
    "200 half a JSON": (answer(200, OK[:40]), UNKNOWN),
    "200 empty": (answer(200, ""), UNKNOWN),
    "200 {}": (answer(200, "{}"), UNKNOWN),
    "200 []": (answer(200, "[]"), UNKNOWN),
    "200 null": (answer(200, "null"), UNKNOWN),
    "200 page": (answer(200, PAGE, "text/html"), UNKNOWN),
    "200 binary": (answer(200, b"\x00\xff\xfe", "application/octet-stream"), UNKNOWN),
    "200 without order id": (answer(200, json.dumps({**GOOD, "orderId": None})), UNKNOWN),
    "200 of another order": (answer(200, json.dumps({**GOOD, "clientOrderId": "c-2"})), UNKNOWN),
    "200 unknown status": (answer(200, json.dumps({**GOOD, "status": "WEIRD"})), UNKNOWN),
    "200 with a number for a quantity": (answer(200, json.dumps({**GOOD, "executedQty": 0.1})), UNKNOWN),
    "200 with a broken fill": (answer(200, json.dumps({**GOOD, "fills": [{"price": "1"}]})), UNKNOWN),
    "200 with an error code": (code(200, -2010, "Account has insufficient balance for requested action."), UNKNOWN),
    "500 empty": (answer(500, ""), UNKNOWN),
    "502 page": (answer(502, PAGE, "text/html"), UNKNOWN),
    "503 page": (answer(503, PAGE, "text/html"), UNKNOWN),
    "504 page": (answer(504, PAGE, "text/html"), UNKNOWN),
    "523 page": (answer(523, PAGE, "text/html"), UNKNOWN),
    "524 page": (answer(524, PAGE, "text/html"), UNKNOWN),
    "503 -1007": (code(503, -1007, "Timeout waiting for response from backend server."), UNKNOWN),
    "500 -1006": (code(500, -1006, "An unexpected response was received from the message bus."), UNKNOWN),
    "400 -1006": (code(400, -1006, "An unexpected response was received from the message bus."), UNKNOWN),
    "400 -1001": (code(400, -1001, "Internal error; unable to process your request."), UNKNOWN),
    "500 -1000": (code(500, -1000, "An unknown error occurred while processing the request."), UNKNOWN),
    "503 -1008": (code(503, -1008, "Server is currently overloaded with other requests."), UNKNOWN),
    "500 unmapped": (code(500, -9999, "weird"), UNKNOWN),
    "500 -2010": (code(500, -2010, "Account has insufficient balance for requested action."), UNKNOWN),
    "400 unmapped": (code(400, -9999, "weird"), REJECTED),
    "400 lot": (code(400, -1013, "Filter failure: LOT_SIZE"), REJECTED),
    "400 notional": (code(400, -1013, "Filter failure: NOTIONAL"), REJECTED),
    "400 balance": (code(400, -2010, "Account has insufficient balance for requested action."), REJECTED),
    "400 post only": (code(400, -2010, "Order would immediately match and take."), REJECTED),
    "400 closed": (code(400, -2010, "Market is closed."), REJECTED),
    "400 id is taken": (code(400, -2010, "Duplicate order sent."), UNKNOWN),
    "400 clock": (code(400, -1021, "Timestamp for this request is outside of the recvWindow."), REJECTED),
    "400 signature": (code(400, -1022, "Signature for this request is not valid."), REJECTED),
    "401": (code(401, -2015, "Invalid API-key, IP, or permissions for action."), REJECTED),
    "429 orders": (code(429, -1015, "Too many new orders."), REJECTED),
    "429 requests": (code(429, -1003, "Too many requests"), REJECTED),
    "418": (code(418, -1003, "banned"), REJECTED),
    "400 page": (answer(400, PAGE, "text/html"), UNKNOWN),
    "403 page of a firewall": (answer(403, PAGE, "text/html"), UNKNOWN),
    "404 page": (answer(404, PAGE, "text/html"), UNKNOWN),
    "409 half done": (code(409, -2021, "Order cancel-replace partially failed."), UNKNOWN),
}


class Raw:
    """Answers POST with `says`, and what loading needs."""

    says = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length")]
            await reader.readexactly(sum(lengths))
            if head.startswith(b"GET /api/v3/time"):
                writer.write(answer(200, json.dumps({"serverTime": 0})))
            elif head.startswith(b"GET"):
                writer.write(answer(200, json.dumps({"serverTime": 0, "symbols": [symbol_info()]})))
            elif self.says == b"reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            elif self.says == b"silence":
                await reader.read()  # until the other side gives up
            else:
                writer.write(self.says)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@pytest.fixture
async def venue() -> AsyncIterator[tuple[Raw, BinanceAdapter, asyncio.Server]]:
    raw = Raw()
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    http = http_client(0.3)
    it = BinanceAdapter(
        VenueConfig("v", rest_url=f"http://127.0.0.1:{port}", api_key="k", secret="s", timeout=0.3), http
    )
    await it.load()
    yield raw, it, server
    await it.close()
    await http.aclose()
    server.close()


@pytest.mark.parametrize("name", TABLE)
async def test_what_is_known_after(venue: tuple[Raw, BinanceAdapter, asyncio.Server], name: str) -> None:
    raw, it, _ = venue
    raw.says, expected = TABLE[name]
    outcome = await it.place(CHILD)
    assert outcome.kind is expected, outcome
    assert (outcome.view is None) == (expected is not ACCEPTED)
    assert expected is ACCEPTED or outcome.code
    if expected is REJECTED:
        assert outcome.http_status is not None and outcome.venue_code is not None


@pytest.mark.parametrize("name", [name for name, (_, kind) in TABLE.items() if kind is not ACCEPTED])
async def test_nothing_broken_reads_as_absent(venue: tuple[Raw, BinanceAdapter, asyncio.Server], name: str) -> None:
    """A cancel that is broken in any of these ways is not taken for done."""
    raw, it, _ = venue
    raw.says = TABLE[name][0]
    outcome = await it.cancel("BTC/USDT", "c-1")
    assert outcome.kind is not ACCEPTED and outcome.view is None


async def test_refused_connection_was_not_sent(venue: tuple[Raw, BinanceAdapter, asyncio.Server]) -> None:
    _, it, server = venue
    server.close()
    await server.wait_closed()
    outcome = await it.place(CHILD)
    assert (outcome.kind, outcome.code) == (OutcomeKind.NOT_SENT, "NOT_SENT")


async def test_failures_of_our_own_are_unknown(venue: tuple[Raw, BinanceAdapter, asyncio.Server]) -> None:
    raw, it, _ = venue
    raw.says = answer(200, OK)
    assert (await it.place(CHILD)).kind is ACCEPTED

    async def broken(request: object) -> None:
        raise RuntimeError("not one of ccxt's")

    it._ex.privatePostOrder = broken
    assert (await it.place(CHILD)).kind is UNKNOWN
