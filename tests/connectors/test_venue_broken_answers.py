"""Every way an answer can be broken, at every exchange: what is then known. Against a raw server that sends exactly these bytes."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from test_venue_outcomes import answer
from venue_calls import EXCHANGES, SECRET, symbol

from connectors.venues.adapter import VenueConfig
from connectors.venues.exchanges import DIALECTS
from connectors.venues.generic import DialectAdapter
from connectors.venues.outcomes import NotFound, OrderView, OutcomeKind, Unknown
from connectors.venues.transport import http_client
from schemas.records import ChildOrder, Instrument, InstrumentStatus, OrderType, Side, TimeInForce

UNKNOWN, REJECTED, ACCEPTED, NOT_SENT = (
    OutcomeKind.UNKNOWN,
    OutcomeKind.REJECTED,
    OutcomeKind.ACCEPTED,
    OutcomeKind.NOT_SENT,
)
PAGE = "<html><body>502 Bad Gateway</body></html>"


@dataclass(frozen=True)
class Says:
    """An exchange's answers to a create: taken (as order 11), refused for want of money (status, body), and not knowing itself."""

    taken: str
    refused: tuple[int, str]
    unsure: str


def _j(value: object) -> str:
    return json.dumps(value)


SAYS: dict[str, Says] = {
    "binance": Says(
        _j({"symbol": "BTCUSDT", "orderId": 11, "clientOrderId": "c1", "status": "NEW", "executedQty": "0"}),
        (400, _j({"code": -2010, "msg": "Account has insufficient balance for requested action."})),
        _j({"code": -1006, "msg": "An unexpected response was received. Execution status unknown."}),
    ),
    "coinbase": Says(
        _j({"success": True, "success_response": {"order_id": "11", "client_order_id": "c1"}}),
        (
            200,
            _j({"success": False, "error_response": {"error": "INSUFFICIENT_FUND", "message": "Insufficient balance"}}),
        ),
        _j({"success": False, "failure_reason": "UNKNOWN_FAILURE_REASON"}),
    ),
    "kraken": Says(
        _j({"error": [], "result": {"descr": {"order": "buy"}, "txid": ["11"]}}),
        (200, _j({"error": ["EOrder:Insufficient funds"]})),
        _j({"error": ["EService:Unavailable"]}),
    ),
    "bitfinex": Says(
        _j([0, "on-req", None, None, [[11, None, 123, "tBTCUST"]], None, "SUCCESS", "Submitting"]),
        (400, _j(["error", 10001, "Invalid order: not enough exchange balance for 0.5 BTCUST at 30000"])),
        _j(["error", 20060, "maintenance"]),
    ),
    "okx": Says(
        _j({"code": "0", "msg": "", "data": [{"ordId": "11", "clOrdId": "c1", "sCode": "0", "sMsg": ""}]}),
        (200, _j({"code": "1", "msg": "", "data": [{"ordId": "", "sCode": "51008", "sMsg": "Insufficient balance"}]})),
        _j({"code": "50001", "msg": "Service temporarily unavailable", "data": []}),
    ),
    "bybit": Says(
        _j({"retCode": 0, "retMsg": "OK", "result": {"orderId": "11", "orderLinkId": "c1"}}),
        (200, _j({"retCode": 170131, "retMsg": "Insufficient balance.", "result": {}})),
        _j({"retCode": 10016, "retMsg": "Internal server error", "result": {}}),
    ),
    "kucoin": Says(
        _j({"code": "200000", "data": {"orderId": "11"}}),
        (200, _j({"code": "200004", "msg": "Balance insufficient!"})),
        _j({"code": "500000", "msg": "Internal error"}),
    ),
    "gate": Says(
        _j({"id": "11", "text": "t-c1", "status": "open"}),
        (400, _j({"label": "BALANCE_NOT_ENOUGH", "message": "Not enough balance"})),
        _j({"label": "SERVER_ERROR", "message": "try later"}),
    ),
    "bitstamp": Says(
        _j({"id": "11", "datetime": "2026-11-24 00:00:00", "type": "0", "price": "30000", "amount": "0.5"}),
        (
            400,
            _j(
                {
                    "status": "error",
                    "reason": {"__all__": ["You have only 0 USD available. Check your account balance for details."]},
                }
            ),
        ),
        _j({"status": "error", "reason": "Something went wrong"}),
    ),
    "gemini": Says(
        _j({"order_id": "11", "client_order_id": "c1", "is_live": True}),
        (406, _j({"result": "error", "reason": "InsufficientFunds", "message": "Failed to place buy order"})),
        _j({"result": "error", "reason": "System", "message": "We are experiencing technical issues"}),
    ),
    "htx": Says(
        _j({"status": "ok", "data": "11"}),
        (
            200,
            _j(
                {
                    "status": "error",
                    "err-code": "account-frozen-balance-insufficient-error",
                    "err-msg": "no",
                    "data": None,
                }
            ),
        ),
        _j({"status": "error", "err-code": "timeout", "err-msg": "Request timeout", "data": None}),
    ),
    "mexc": Says(
        _j({"symbol": "BTCUSDT", "orderId": "11", "price": "30000"}),
        (400, _j({"code": 30004, "msg": "Insufficient position"})),
        _j({"code": 500, "msg": "Internal error"}),
    ),
    "bitget": Says(
        _j({"code": "00000", "msg": "success", "data": {"orderId": "11", "clientOid": "c1"}}),
        (400, _j({"code": "43012", "msg": "Insufficient balance"})),
        _j({"code": "40725", "msg": "service return an error"}),
    ),
    "cryptocom": Says(
        _j({"id": 1, "method": "private/create-order", "code": 0, "result": {"client_oid": "c1", "order_id": "11"}}),
        (400, _j({"id": 1, "code": 306, "message": "INSUFFICIENT_AVAILABLE_BALANCE"})),
        _j({"id": 1, "code": 50001, "message": "ERR_INTERNAL"}),
    ),
    "bingx": Says(
        _j({"code": 0, "msg": "", "data": {"orderId": 11, "symbol": "BTC-USDT", "status": "NEW"}}),
        (200, _j({"code": 100202, "msg": "Insufficient balance"})),
        _j({"code": 100500, "msg": "Internal system error"}),
    ),
    "whitebit": Says(
        _j({"orderId": 11, "clientOrderId": "c1", "market": "BTC_USDT"}),
        (422, _j({"code": 10, "message": "Validation failed", "errors": {"amount": ["Not enough balance."]}})),
        _j({"code": 503, "message": "Service temporarily unavailable"}),
    ),
    "upbit": Says(
        _j({"uuid": "11", "side": "bid", "ord_type": "limit", "state": "wait", "market": "KRW-BTC"}),
        (400, _j({"error": {"name": "insufficient_funds_bid", "message": "not enough"}})),
        _j({"error": {"name": "server_error", "message": "try later"}}),
    ),
    "bitvavo": Says(
        _j({"orderId": "11", "market": "BTC-EUR", "status": "new"}),
        (400, _j({"errorCode": 216, "error": "You do not have sufficient balance to complete this operation."})),
        _j({"errorCode": 109, "error": "Internal timeout. Please DO NOT retry."}),
    ),
    "poloniex": Says(
        _j({"id": "11", "clientOrderId": "c1"}),
        (400, _j({"code": 21709, "message": "Low available balance"})),
        _j({"code": 500, "message": "System error"}),
    ),
    "lbank": Says(
        _j({"result": "true", "data": {"symbol": "btc_usdt", "order_id": "11", "custom_id": "c1"}, "error_code": 0}),
        (200, _j({"result": "false", "error_code": 10016, "data": None})),
        _j({"result": "false", "error_code": 10000, "data": None}),
    ),
}


def table(says: Says) -> dict[str, tuple[bytes, OutcomeKind]]:
    good = says.taken
    status, refusal = says.refused
    pages = {
        f"{s} page": (answer(s, PAGE, "text/html"), UNKNOWN) for s in (200, 400, 403, 404, 500, 502, 503, 504, 523)
    }
    empties = {f"{s} empty": (answer(s, ""), UNKNOWN) for s in (200, 400, 500, 503, 523)}
    return {
        "taken": (answer(200, good), ACCEPTED),
        "refused": (answer(status, refusal), REJECTED),
        "refused, by a server that fails": (answer(500, refusal), UNKNOWN),
        "taken, says a server that fails": (answer(500, good), UNKNOWN),
        "not sure itself": (answer(200, says.unsure), UNKNOWN),
        "not sure itself, with 400": (answer(400, says.unsure), UNKNOWN),
        "closed without an answer": (b"", UNKNOWN),
        "reset": (b"reset", UNKNOWN),
        "silence": (b"silence", UNKNOWN),
        "not HTTP": (b"GARBAGE\r\n\r\n", UNKNOWN),
        "body cut short": (answer(200, good[:20], length=len(good)), UNKNOWN),
        "half a JSON": (answer(200, good[: len(good) // 2]), UNKNOWN),
        "{}": (answer(200, "{}"), UNKNOWN),
        "[]": (answer(200, "[]"), UNKNOWN),
        "null": (answer(200, "null"), UNKNOWN),
        "number": (answer(200, "7"), UNKNOWN),
        "no order id": (
            answer(
                200,
                good.replace('"11"', "null")
                .replace(" 11,", " null,")
                .replace("[11,", "[null,")
                .replace("[null]", "[]"),
            ),
            UNKNOWN,
        ),
        "429": (answer(429, refusal), REJECTED),
        "418": (answer(418, refusal), REJECTED),
        **pages,
        **empties,
    }


class Raw:
    """Answers everything with `says`."""

    says = b""
    asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length")]
            await reader.readexactly(sum(lengths))
            self.asked += 1
            if self.says == b"reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            elif self.says == b"silence":
                await reader.read()
            else:
                writer.write(self.says)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


def child(exchange: str, **fields: object) -> ChildOrder:
    base: dict[str, object] = {
        "child_id": "c1",
        "order_id": "o-1",
        "account_id": "a-1",
        "venue": "v",
        "symbol": symbol(exchange),
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.IOC,
        "quantity": 10**8,
        "price": 3 * 10**12,
        "created_at": 0,
    }
    return ChildOrder(**{**base, **fields})  # type: ignore[arg-type]


Rig = tuple[Raw, DialectAdapter, asyncio.Server]


@pytest.fixture
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    exchange = request.param
    raw = Raw()
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    keys = {"api_key": "k", "secret": SECRET, "password": "p", "account_id": "123"}
    http = http_client(0.3)
    it = DialectAdapter(VenueConfig("v", exchange, url, timeout=0.3, **keys), http, DIALECTS[exchange])
    base, quote = symbol(exchange).split("/")
    it.instruments = {
        symbol(exchange): Instrument(
            venue="v", symbol=symbol(exchange), base=base, quote=quote, tick=10**6, lot=10**3, min_quantity=10**3,
            max_quantity=10**15, min_notional=0, maker_fee=0, taker_fee=0, status=InstrumentStatus.OPEN, at=0,
        )
    }  # fmt: skip
    yield raw, it, server
    await it.close()
    await http.aclose()
    server.close()


@pytest.mark.parametrize("rig", EXCHANGES, indirect=True)
async def test_what_is_known_after_each_answer(rig: Rig) -> None:
    raw, it, server = rig
    exchange = it.config.exchange
    wrong = []
    for name, (says, expected) in table(SAYS[exchange]).items():
        raw.says = says
        outcome = await it.place(child(exchange))
        if outcome.kind is not expected:
            wrong.append(f"{name}: {outcome}")
        assert (outcome.view is None) == (outcome.kind is not ACCEPTED)
        assert outcome.kind is ACCEPTED or outcome.code
        if name == "taken":
            assert outcome.view is not None and (outcome.view.child_id, outcome.view.venue_order_id) == ("c1", "11")
        if name == "refused":
            assert outcome.venue_code and outcome.http_status == SAYS[exchange].refused[0] and outcome.reason
    assert not wrong, "\n".join(wrong)
    asked = raw.asked
    assert asked == len(table(SAYS[exchange])), "each order was sent once"
    # what we refuse ourselves is not sent
    for bad in ({"quantity": 1}, {"symbol": "NO/SUCH"}, {"order_type": OrderType.STOP}):
        if "order_type" in bad and not hasattr(OrderType, "STOP"):
            continue
        assert (await it.place(child(exchange, **bad))).kind is NOT_SENT
    assert raw.asked == asked
    server.close()
    await server.wait_closed()
    assert (await it.place(child(exchange))).kind is NOT_SENT


@pytest.mark.parametrize("rig", EXCHANGES, indirect=True)
async def test_nothing_broken_reads_as_done_or_absent(rig: Rig) -> None:
    """Neither a cancel nor a question is answered by an answer that is broken."""
    raw, it, _ = rig
    exchange = it.config.exchange
    for name, (says, kind) in table(SAYS[exchange]).items():
        if kind is ACCEPTED or says in (b"silence",):
            continue
        raw.says = says
        found = await it.query(symbol(exchange), "c1")
        assert not isinstance(found, OrderView), (name, found)
        listing = name in ("[]", "{}")  # of a listing, the complete answer that it has none
        assert isinstance(found, Unknown) or (isinstance(found, NotFound) and listing), (name, found)
        cancelled = await it.cancel(symbol(exchange), "c1")
        assert cancelled.kind is not ACCEPTED and cancelled.view is None, (name, cancelled)
