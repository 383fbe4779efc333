"""Binance's spot dialect through ccxt.

ccxt knows addresses, signing, symbols and error codes; we call its raw endpoints (`privatePostOrder` …) so that quantities go out
and come back as the strings they are. An order's answer (`newOrderRespType=FULL`) looks like

    {"symbol": "BTCUSDT", "orderId": 28, "clientOrderId": "c-1", "transactTime": 1507725176595, "price": "1.0", "origQty": "10.0",
     "executedQty": "10.0", "status": "FILLED", "type": "LIMIT", "side": "BUY",
     "fills": [{"price": "1.0", "qty": "10.0", "commission": "0.01", "commissionAsset": "BTC", "tradeId": 56}]}

The user stream is the WebSocket API's `userDataStream.subscribe.signature`. ccxt.pro's watchers lose states of events that arrive while
nobody awaits them, so its raw handler is replaced: every `executionReport` goes straight into our queue.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import ccxt.pro  # type: ignore[import-untyped, unused-ignore]  # upstream ships no types
import httpx
from ccxt.base import errors  # type: ignore[import-untyped, unused-ignore]

from connectors.venues.adapter import VenueAdapter, VenueConfig, readable, wall_ms
from connectors.venues.outcomes import (
    UNREADABLE,
    Answer,
    Listing,
    NotFound,
    NotWhole,
    OrderView,
    Outcome,
    OutcomeKind,
    Refused,
    StreamUp,
    Unknown,
    VenueEvent,
    VenueOrderStatus,
    VenueTrade,
    classify,
    unsaid,
    venue_code_of,
)
from connectors.venues.transport import HttpxTransport
from connectors.venues.units import text, units
from schemas.records import ChildOrder, Instrument, InstrumentStatus, Liquidity, OrderType, Side, TimeInForce

log = logging.getLogger(__name__)

STATUS = {
    "NEW": VenueOrderStatus.OPEN,
    "PENDING_NEW": VenueOrderStatus.OPEN,
    "PARTIALLY_FILLED": VenueOrderStatus.OPEN,
    "PENDING_CANCEL": VenueOrderStatus.OPEN,
    "FILLED": VenueOrderStatus.FILLED,
    "CANCELED": VenueOrderStatus.CANCELLED,
    "EXPIRED": VenueOrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": VenueOrderStatus.EXPIRED,
    "REJECTED": VenueOrderStatus.REJECTED,
}
# "Execution status unknown", "internal error", "disconnected", and a cancel-replace that did half its work.
UNSURE_CODES = frozenset({"-1000", "-1001", "-1006", "-1007", "-2021", "-2022"})
NO_SUCH_ORDER = "-2013"
CHILD_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}")
TRADES_PAGE, PAGES = 1000, 100  # the most that the venue gives at once, and how often an order's are asked for
RECONNECT_SECONDS = (0.1, 5.0)  # first and longest wait between attempts


class _Binance(HttpxTransport, ccxt.pro.binance):  # type: ignore[misc, unused-ignore]  # ccxt is untyped
    """ccxt's class with our transport and our stream handlers."""

    on_order: Callable[[dict[str, Any]], None]
    on_terminated: Callable[[], None]

    def get_exceptions_by_url(self, url: str, exactOrBroad: str) -> Any:
        """Upstream keys the error map on the real address, which ours may not be."""
        return self.safe_dict(self.safe_dict(self.exceptions, "spot", {}), exactOrBroad, {})

    def handle_order_update(self, client: Any, message: dict[str, Any]) -> None:
        """Every order event, in order, without ccxt's caches in between."""
        if message.get("e") == "executionReport":
            self.on_order(message)

    def handle_balance(self, client: Any, message: dict[str, Any]) -> None:
        """Balances are asked for. Upstream's handler fails on one that it has no snapshot for, and then nothing more is received."""

    def handle_event_stream_terminated(self, client: Any, message: dict[str, Any]) -> None:
        """Upstream leaves watchers hanging here."""
        self.on_terminated()


def order_view(raw: object, child_id: str | None = None) -> OrderView:
    """The order in a REST answer; `child_id` is what it must name. Raises `ValueError` for what is not an order of ours."""
    if not isinstance(raw, dict):
        raise ValueError(f"not an order: {raw!r:.200}")
    # A cancel's answer carries the cancel's own id as clientOrderId.
    named = raw.get("origClientOrderId") or raw.get("clientOrderId")
    status = STATUS.get(str(raw.get("status")))
    number = raw.get("orderId")
    if status is None or not isinstance(number, int) or not isinstance(named, str):
        raise ValueError(f"not an order: {raw!r:.200}")
    if child_id is not None and named != child_id:
        raise ValueError(f"the answer names {named!r}, not {child_id!r}")
    at = raw.get("transactTime") or raw.get("updateTime")
    return OrderView(named, str(number), status, units(raw.get("executedQty")), int(at) * 1000 if at else None)


def fill_trade(raw: Mapping[str, Any], venue_order_id: str, at: int | None) -> VenueTrade:
    """A row of `fills` or of `myTrades`. What fills at once took liquidity."""
    maker = raw.get("isMaker", False)
    return VenueTrade(
        trade_id=str(int(raw["tradeId"] if "tradeId" in raw else raw["id"])),
        venue_order_id=venue_order_id,
        price=units(raw["price"]),
        quantity=units(raw["qty"]),
        fee=units(raw["commission"]) if raw.get("commission") is not None else None,
        fee_asset=raw.get("commissionAsset"),
        liquidity=Liquidity.MAKER if maker else Liquidity.TAKER,
        at=int(raw["time"]) * 1000 if "time" in raw else at,
    )


def stream_event(raw: Mapping[str, Any]) -> VenueEvent:
    """An `executionReport`. `C` names the order when the event is about its cancelling. Raises `ValueError`, `KeyError`."""
    status = STATUS.get(raw["X"])
    if status is None:
        raise ValueError(f"unknown order status {raw['X']!r}")
    at = int(raw["T"]) * 1000
    view = OrderView(raw.get("C") or raw["c"], str(int(raw["i"])), status, units(raw["z"]), at)
    if raw["x"] != "TRADE":
        return VenueEvent(view, None)
    liquidity = Liquidity.MAKER if raw["m"] else Liquidity.TAKER
    trade = VenueTrade(
        str(int(raw["t"])),
        view.venue_order_id,
        units(raw["L"]),
        units(raw["l"]),
        units(raw["n"]),
        raw["N"],
        liquidity,
        at,
    )
    return VenueEvent(view, trade)


class BinanceAdapter(VenueAdapter):
    """A Binance spot account, or anything that speaks its dialect."""

    def __init__(self, config: VenueConfig, http: httpx.AsyncClient) -> None:
        super().__init__(config, http)
        settings: dict[str, Any] = {
            "apiKey": config.api_key,
            "secret": config.secret,
            "enableRateLimit": False,  # its one queue would hold a cancel behind market data
            "timeout": int(config.timeout * 1000),
            # ccxt pings this often and gives the connection up after two missed answers; its default is three minutes
            "streaming": {"keepAlive": int(config.stream_silence * 1000 / 3)},
            "options": {
                "fetchMarkets": {"types": ["spot"]},
                "fetchMargins": False,
                "fetchCurrencies": False,
                "defaultType": "spot",
                "adjustForTimeDifference": True,
                "recvWindow": config.recv_window_ms,
                "ws": {"cost": 5, "compress": 0},
            },
        }
        urls: dict[str, Any] = {}
        if config.rest_url:
            rest = config.rest_url.rstrip("/") + "/api/v3"
            urls |= {"public": rest, "private": rest}
        if config.ws_url:
            ws = config.ws_url.rstrip("/")
            urls["ws"] = {"spot": f"{ws}/stream/ws", "ws-api": {"spot": f"{ws}/ws-api/v3"}}
        if urls:
            settings["urls"] = {"api": urls}
        self._ex: Any = _Binance(settings)
        self._ex.http, self._ex.http_timeout = http, config.timeout
        self._ex.limited = self.limited
        self._ids: dict[str, str] = {}
        self._difference = 0  # ours minus the venue's clock, milliseconds
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._broken = asyncio.Event()
        self._last_event = self._connected = 0.0
        self._ex.on_order = self._on_order
        self._ex.on_terminated = self._broken.set

    # ---- reference data

    async def load(self) -> list[Instrument]:
        await self._measure_clock()
        markets = await self.markets(self._ex)
        at = time.time_ns() // 1000
        found = {}
        with readable(self.config.name, "its markets"):
            for symbol, market in markets.items():
                if self.config.symbols is None or symbol in self.config.symbols:
                    found[symbol] = self._instrument(market, at)
                    self._ids[symbol] = market["id"]
        self.instruments = found
        return list(found.values())

    def _instrument(self, market: Mapping[str, Any], at: int) -> Instrument:
        raw = market["info"]
        rules = {f["filterType"]: f for f in raw["filters"]}
        lot, price = rules["LOT_SIZE"], rules["PRICE_FILTER"]
        notional = rules.get("NOTIONAL") or rules.get("MIN_NOTIONAL") or {"minNotional": "0"}
        maker, taker = self.config.maker_fee, self.config.taker_fee
        return Instrument(
            venue=self.config.name,
            symbol=market["symbol"],
            base=market["base"],
            quote=market["quote"],
            tick=units(price["tickSize"]),
            lot=units(lot["stepSize"]),
            min_quantity=units(lot["minQty"]),
            max_quantity=units(lot["maxQty"]),
            min_notional=units(notional["minNotional"]),
            maker_fee=units(str(Decimal(str(market["maker"])))) if maker is None else maker,
            taker_fee=units(str(Decimal(str(market["taker"])))) if taker is None else taker,
            status=InstrumentStatus.OPEN if raw["status"] == "TRADING" else InstrumentStatus.CLOSED,
            at=at,
        )

    async def _measure_clock(self) -> None:
        async with self.budget("time"):
            raw = await self._ex.publicGetTime()
        after = wall_ms()
        if not isinstance(raw, dict) or not isinstance(raw.get("serverTime"), int):
            raise errors.BadResponse(f"{self.config.name}: no serverTime in {raw!r:.200}")
        # The stamp was taken before `after`: this keeps our signing time behind the venue's clock, never ahead of it.
        self._difference = after - raw["serverTime"]
        self._ex.options["timeDifference"] = self._difference

    async def probe(self) -> bool:
        try:
            await self._measure_clock()
        except (errors.BaseError, *UNREADABLE):
            return False
        return True

    def now_ms(self) -> int:
        return wall_ms() - self._difference

    # ---- orders

    def _request(self, child: ChildOrder) -> dict[str, Any]:
        """The order as the venue takes it. Raises `Refused`."""
        instrument = self.instruments.get(child.symbol)
        if instrument is None:
            raise Refused("UNKNOWN_SYMBOL", f"{child.symbol} is not traded at {self.config.name}")
        if not CHILD_ID.fullmatch(child.child_id):
            raise Refused("INVALID_CHILD_ID", f"{child.child_id!r} cannot be a client order id here")
        if child.quantity <= 0 or child.quantity % instrument.lot:
            raise Refused("INVALID_QUANTITY", f"{text(child.quantity)} is not a multiple of {text(instrument.lot)}")
        request: dict[str, Any] = {
            "symbol": self._ids[child.symbol],
            "side": child.side.value,
            "type": child.order_type.value,
            "quantity": text(child.quantity),
            "newClientOrderId": child.child_id,
            "newOrderRespType": "FULL",
        }
        if child.order_type is OrderType.LIMIT:
            tick = instrument.tick
            # Never worse than the limit asked for: a buy rounds down, a sell up.
            price = child.price // tick * tick if child.side is Side.BUY else -(-child.price // tick) * tick
            if price <= 0:
                raise Refused("INVALID_PRICE", f"{text(child.price)} is below the tick {text(tick)}")
            # The venue knows no good-till-date: the order's owner cancels it when its time has come.
            tif = TimeInForce.GTC if child.time_in_force is TimeInForce.GTD else child.time_in_force
            if child.post_only and tif is not TimeInForce.GTC:
                raise Refused("UNSUPPORTED_TIME_IN_FORCE", "a post-only order rests: it cannot be IOC or FOK")
            # LIMIT_MAKER is refused by the venue (-2010) where it would take; it has no time in force.
            how = {"type": "LIMIT_MAKER"} if child.post_only else {"timeInForce": tif.value}
            request |= {"price": text(price), **how}
        elif child.order_type is not OrderType.MARKET:
            raise Refused("UNSUPPORTED_ORDER_TYPE", f"{child.order_type} orders are armed on our side")
        return request

    async def place(self, child: ChildOrder, signed_at: int | None = None) -> Outcome:
        try:
            request = self._request(child)
            request["timestamp"] = self.now_ms() if signed_at is None else signed_at
            async with self.budget("create"):
                raw = await self._ex.privatePostOrder(request)
        except Exception as error:
            outcome = classify(error, UNSURE_CODES)
            if outcome.venue_code == "-2010" and "uplicate" in outcome.reason:
                # The id is taken, so an order of ours may exist.
                return Outcome(OutcomeKind.UNKNOWN, None, (), "DUPLICATE", outcome.reason, outcome.http_status, "-2010")
            return outcome
        return self._accepted(raw, child.child_id)

    def _accepted(self, raw: Any, child_id: str) -> Outcome:
        try:
            view = order_view(raw, child_id)
            trades = tuple(fill_trade(f, view.venue_order_id, view.at) for f in raw.get("fills", ()))
        except UNREADABLE as error:
            code, _ = venue_code_of(Answer(200, raw))
            return Outcome(
                OutcomeKind.UNKNOWN, code="BAD_ANSWER", reason=str(error)[:500], http_status=200, venue_code=code
            )
        return Outcome(OutcomeKind.ACCEPTED, view, trades, http_status=200)

    async def cancel(self, symbol: str, child_id: str) -> Outcome:
        try:
            async with self.budget("cancel"):
                raw = await self._ex.privateDeleteOrder({"symbol": self._id(symbol), "origClientOrderId": child_id})
        except Exception as error:
            return classify(error, UNSURE_CODES)
        return self._accepted(raw, child_id)

    async def query(self, symbol: str, child_id: str) -> OrderView | NotFound | Unknown:
        try:
            async with self.budget("fetch"):
                raw = await self._ex.privateGetOrder({"symbol": self._id(symbol), "origClientOrderId": child_id})
            return order_view(raw, child_id)
        except Exception as error:
            outcome = classify(error, UNSURE_CODES)
            if outcome.kind is OutcomeKind.REJECTED and outcome.venue_code == NO_SUCH_ORDER:
                return NotFound()
            return unsaid(error, outcome)

    async def trades(self, symbol: str, venue_order_id: str) -> list[VenueTrade] | Unknown:
        found: dict[int, VenueTrade] = {}
        request: dict[str, Any] = {"orderId": venue_order_id, "limit": TRADES_PAGE}
        try:
            request["symbol"] = self._id(symbol)
            for _ in range(PAGES):
                async with self.budget("my_trades"):
                    raw = await self._ex.privateGetMyTrades(request)
                page = [fill_trade(row, venue_order_id, None) for row in raw if str(row["orderId"]) == venue_order_id]
                new = {int(trade.trade_id): trade for trade in page if int(trade.trade_id) not in found}
                found |= new
                if len(raw) < TRADES_PAGE or not new:
                    return [found[number] for number in sorted(found)]
                request["fromId"] = max(found) + 1
            raise NotWhole(f"{self.config.name}: an order with more than {len(found)} trades")
        except Exception as error:
            outcome = classify(error, UNSURE_CODES)
            return unsaid(error, outcome)

    async def open_orders(self, symbol: str | None = None) -> Listing | Unknown:
        found = Listing()
        try:
            async with self.budget("open_orders"):
                raw = await self._ex.privateGetOpenOrders({} if symbol is None else {"symbol": self._id(symbol)})
            names = {number: name for name, number in self._ids.items()}
            if not isinstance(raw, list):
                raise ValueError(f"no list of orders: {raw!r:.200}")
            for row in raw:
                try:
                    found.append(replace(order_view(row), symbol=names.get(row.get("symbol"), "")))
                except UNREADABLE as error:
                    log.error("%s: unreadable among the open orders: %s", self.config.name, error)
                    found.partial = True
            return found
        except Exception as error:
            outcome = classify(error, UNSURE_CODES)
            return unsaid(error, outcome)

    async def balances(self) -> Mapping[str, tuple[int, int]]:
        async with self.budget("balance"):
            raw = await self._ex.privateGetAccount({"omitZeroBalances": "true"})
        with readable(self.config.name, "its balances"):
            return {row["asset"]: (units(row["free"]), units(row["locked"])) for row in raw["balances"]}

    def _id(self, symbol: str) -> str:
        if symbol not in self._ids:
            raise Refused("UNKNOWN_SYMBOL", f"{symbol} is not traded at {self.config.name}")
        return self._ids[symbol]

    # ---- the user stream

    def _on_order(self, message: dict[str, Any]) -> None:
        self._last_event = time.monotonic()
        self._queue.put_nowait(message)

    def doubt(self) -> None:
        self._broken.set()

    async def events(self) -> AsyncIterator[StreamUp | VenueEvent]:
        wait, longest = RECONNECT_SECONDS
        while True:
            try:
                await asyncio.wait_for(self._ex.ensure_user_data_stream_ws_subscribe_signature("spot"), 10)
            except Exception as error:
                log.warning("%s: user stream: %s", self.config.name, str(error)[:200])
                await self._leave_stream()
                await asyncio.sleep(wait)
                wait = min(wait * 2, longest)
                continue
            wait = RECONNECT_SECONDS[0]
            yield StreamUp()
            async for event in self._events_of_one_connection():
                yield event
            await self._leave_stream()

    async def _events_of_one_connection(self) -> AsyncIterator[VenueEvent]:
        """Until the venue ends it, the connection breaks, or nothing was heard for too long."""
        self._broken.clear()
        self._connected = time.monotonic()
        client = self._ex.clients[self._ex.urls["api"]["ws"]["ws-api"]["spot"]]
        # Rejected by ccxt when the connection errs or closes; nothing resolves it, for our handler takes every event.
        lost = asyncio.ensure_future(client.future("bestex:connection"))
        broken = asyncio.ensure_future(self._broken.wait())
        take = asyncio.ensure_future(self._queue.get())
        pending = {lost, broken}
        try:
            while not (lost.done() or broken.done()) or not self._queue.empty() or take.done():
                timeout = 0 if lost.done() or broken.done() else self.config.stream_silence / 3
                await asyncio.wait({take, *pending}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if take.done():
                    raw, take = take.result(), asyncio.ensure_future(self._queue.get())
                    try:
                        event = stream_event(raw)
                    except (ValueError, KeyError, TypeError) as error:
                        # What it told is asked for after reconnecting.
                        log.error("%s: unreadable stream event %r: %s", self.config.name, raw, error)
                        self._broken.set()
                        continue
                    yield event
                elif not (lost.done() or broken.done()) and self._silent(client):
                    log.warning("%s: nothing heard on the user stream", self.config.name)
                    self._broken.set()
        finally:
            for task in (lost, broken, take):
                task.cancel()
            await asyncio.gather(lost, broken, take, return_exceptions=True)

    def _silent(self, client: Any) -> bool:
        """Neither an event nor an answer to a ping for too long: ccxt's own check failed us."""
        now = time.monotonic()
        pong = self._connected if client.lastPong is None else now - (wall_ms() - client.lastPong) / 1000
        return now - max(self._connected, self._last_event, pong) > self.config.stream_silence

    async def _leave_stream(self) -> None:
        try:
            await asyncio.wait_for(self._ex.close(), 5)
        except (errors.BaseError, OSError, TimeoutError) as error:
            log.info("%s: closing the user stream: %s", self.config.name, error)

    async def close(self) -> None:
        await self.leave_budget()
        await self._leave_stream()
