"""The adapter of every exchange that has a dialect: its requests built by the dialect, signed and read by ccxt, carried by httpx.

What it adds to `connectors.venues.adapter`'s rules:

* an acknowledged create is an open order of which nothing is known to be filled: what became of it is told by the stream or asked for;
* orders and trades are read with ccxt's parsers set to strings, so that no amount passes through a float;
* an exchange that cancels by its own id alone is asked for that id first;
* "no such order" is what the exchange says with its own code, or a complete listing in which it is not; several places are all asked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import httpx
from ccxt.base import errors  # type: ignore[import-untyped, unused-ignore]  # upstream ships no types

from connectors.venues.adapter import VenueAdapter, VenueConfig, wall_ms
from connectors.venues.dialect import Call, Context, Dialect, Named, NeedsVenueId, NewOrder, Pair, Send
from connectors.venues.outcomes import (
    Answer,
    NotFound,
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
)
from connectors.venues.signing import Credentials, class_of, settings_of, tidied
from connectors.venues.transport import HttpxTransport
from connectors.venues.units import text, units
from schemas.records import ChildOrder, Instrument, InstrumentStatus, Liquidity, OrderType, Side, TimeInForce

log = logging.getLogger(__name__)

STATUS = {
    "open": VenueOrderStatus.OPEN,
    "canceling": VenueOrderStatus.OPEN,
    "closed": VenueOrderStatus.FILLED,
    "canceled": VenueOrderStatus.CANCELLED,
    "expired": VenueOrderStatus.EXPIRED,
    "rejected": VenueOrderStatus.REJECTED,
}
TICK_SIZE = 4  # ccxt's name for steps, as against digits


class _Live(HttpxTransport):
    """Mixed in before ccxt's class: the time that a request is signed with can be given."""

    at_ms: int | None = None
    nonces_per_ms = 1
    last_nonce = 0

    def milliseconds(self) -> int:
        return wall_ms() if self.at_ms is None else self.at_ms

    def incrementing_nonce(self) -> int:
        """Never the same twice, and in step with the clock, so that several processes may use one key."""
        self.last_nonce = max(self.last_nonce + 1, time.time_ns() * self.nonces_per_ms // 1_000_000)
        return self.last_nonce


def elsewhere(urls: Any, rest: str | None, ws: str | None) -> Any:
    """The exchange's addresses with scheme and host replaced."""
    if isinstance(urls, dict):
        return {key: elsewhere(value, rest, ws) for key, value in urls.items()}
    if not isinstance(urls, str) or "://" not in urls:
        return urls
    scheme, _, after = urls.partition("://")
    base = ws if scheme.startswith("ws") else rest
    _, slash, path = after.partition("/")
    return urls if base is None else base.rstrip("/") + slash + path


def exact(value: object, otherwise: int = 0) -> int:
    """ccxt's number, set to strings, in 1e-8; what it does not know is `otherwise`. Finer amounts are cut. Raises `ValueError`."""
    return otherwise if value is None else units(str(Decimal(str(value)).quantize(Decimal("1e-8"))))


def _age(trade: Mapping[str, Any]) -> tuple[int, int]:
    """Trades of one millisecond are ordered by their numbers, where these are numbers."""
    number = str(trade["id"])
    return trade["timestamp"] or 0, int(number) if number.isdigit() else 0


class DialectAdapter(VenueAdapter):
    """One account at an exchange that has a dialect."""

    def __init__(self, config: VenueConfig, http: httpx.AsyncClient, dialect: Dialect) -> None:
        super().__init__(config, http)
        self.dialect = dialect
        credentials = Credentials(config.api_key, config.secret, config.password, config.account_id)
        cls = type(f"Live{dialect.title}", (_Live, class_of(dialect, pro=True)), {})
        settings = settings_of(credentials, config.recv_window_ms) | {"timeout": int(config.timeout * 1000)}
        settings["options"] |= dialect.options
        self._ex: Any = tidied(cls(settings))
        self._ex.http, self._ex.http_timeout = http, config.timeout
        self._ex.number = str
        self._ex.has["fetchCurrencies"] = False
        if config.sandbox:
            self._ex.set_sandbox_mode(True)
        self._ex.urls["api"] = elsewhere(self._ex.urls["api"], config.rest_url, config.ws_url)
        self._ex.limited = self.limited
        self._ex.nonces_per_ms = dialect.nonces_per_ms
        self._difference = 0
        self._children: dict[str, str] = {}  # our id on the wire -> child id
        self._venue_ids: dict[str, str] = {}  # child id -> the exchange's id

    # ---- asking

    async def ask(self, send: Send, call: str = Call.FETCH, signed_at: int | None = None) -> Any:
        """Wait for the budget of `call`, sign and send once. Raises `Refused` when it cannot be signed, and what the transport raises."""
        await self.budget(call)
        ex = self._ex
        ex.at_ms = self.now_ms() if signed_at is None else signed_at
        try:
            made = ex.sign(send.path, list(send.api), send.method, dict(send.params))
        except Exception as error:
            raise Refused("CANNOT_SIGN", f"{self.config.name}: {error!r:.300}") from error
        finally:
            ex.at_ms = None
        headers = {**(made.get("headers") or {}), **send.headers}
        return await ex.fetch(made["url"], made["method"], headers, made.get("body"))

    def _context(self, at_ms: int | None = None) -> Context:
        config, at = self.config, self.now_ms() if at_ms is None else at_ms
        return Context(at, config.account_id, config.operator_id, config.recv_window_ms, bounded=True)

    @property
    def takes_seconds(self) -> float:
        return max(super().takes_seconds, self.dialect.settle_seconds)

    def _read(self, answer: Answer | None) -> tuple[str | None, str]:
        return (None, "") if answer is None else self.dialect.error_of(answer.body)

    def _failed(self, error: BaseException) -> Outcome:
        return classify(error, self.dialect.unsure_codes, self._read, self.dialect.sure_codes)

    def _unknown(self, error: BaseException) -> Unknown:
        outcome = self._failed(error)
        return Unknown(outcome.code, outcome.reason)

    # ---- reference data

    async def load(self) -> list[Instrument]:
        await self._measure_clock()
        await self.budget("markets")
        markets = await self._ex.load_markets()
        at, found = time.time_ns() // 1000, {}
        for symbol, market in markets.items():
            if market.get("spot") and (self.config.symbols is None or symbol in self.config.symbols):
                found[symbol] = self._instrument(market, at)
        self.instruments = found
        return list(found.values())

    def _instrument(self, market: Mapping[str, Any], at: int) -> Instrument:
        limits, precision = market["limits"], market["precision"]
        steps = self._ex.precisionMode == TICK_SIZE
        maker, taker = self.config.maker_fee, self.config.taker_fee
        return Instrument(
            venue=self.config.name,
            symbol=market["symbol"],
            base=market["base"],
            quote=market["quote"],
            tick=max(1, exact(precision["price"])) if steps and self.dialect.price_digits is None else 1,
            lot=max(1, exact(precision["amount"])) if steps else 1,
            min_quantity=exact(limits["amount"]["min"]),
            max_quantity=exact(limits["amount"]["max"], 10**18),
            min_notional=exact(limits["cost"]["min"]),
            maker_fee=exact(market.get("maker")) if maker is None else maker,
            taker_fee=exact(market.get("taker")) if taker is None else taker,
            status=InstrumentStatus.CLOSED if market.get("active") is False else InstrumentStatus.OPEN,
            at=at,
        )

    async def _measure_clock(self) -> None:
        if not self._ex.has.get("fetchTime"):
            return
        await self.budget("time")
        theirs = await self._ex.fetch_time()
        if not isinstance(theirs, int):
            raise errors.BadResponse(f"{self.config.name}: no time in {theirs!r:.200}")
        self._difference = wall_ms() - theirs

    async def probe(self) -> bool:
        try:
            if self._ex.has.get("fetchTime"):
                await self._measure_clock()
            else:
                await self.ask(self.dialect.balance(self._context()), Call.BALANCE)
        except (errors.BaseError, ValueError) as error:
            return self._failed(error).kind is OutcomeKind.REJECTED
        return True

    def now_ms(self) -> int:
        return wall_ms() - self._difference

    @staticmethod
    def wall() -> int:
        """This machine's time, milliseconds."""
        return wall_ms()

    @property
    def tells_time(self) -> bool:
        """Whether the venue can be asked for its clock."""
        return bool(self._ex.has.get("fetchTime"))

    # ---- orders

    def _named(self, child_id: str) -> Named:
        wire = self.dialect.client_ids.of(child_id)
        self._children[wire] = child_id
        return Named(wire, self._venue_ids.get(child_id))

    def _order(self, child: ChildOrder) -> NewOrder:
        """The order as the exchange takes it. Raises `Refused`."""
        instrument = self.instruments.get(child.symbol)
        if instrument is None:
            raise Refused("UNKNOWN_SYMBOL", f"{child.symbol} is not traded at {self.config.name}")
        if child.quantity <= 0 or child.quantity % instrument.lot:
            raise Refused("INVALID_QUANTITY", f"{text(child.quantity)} is not a multiple of {text(instrument.lot)}")
        if child.order_type not in (OrderType.LIMIT, OrderType.MARKET):
            raise Refused("UNSUPPORTED_ORDER_TYPE", f"{child.order_type} orders are armed on our side")
        market, buy = child.order_type is OrderType.MARKET, child.side is Side.BUY
        force = child.time_in_force
        order = NewOrder(
            Pair.of(child.symbol),
            "buy" if buy else "sell",
            "market" if market else "limit",
            child.quantity,
            None if market else self._price(child.price, instrument.tick, buy),
            # The exchange knows no good-till-date: the order's owner cancels it when its time has come.
            validity="IOC" if force is TimeInForce.IOC else "FOK" if force is TimeInForce.FOK and not market else "GTC",
            client_id=self._named(child.child_id).client_id,
        )
        self.dialect.check(order)
        return order

    def _price(self, price: int, tick: int, buy: bool) -> int:
        """Never worse than the limit asked for: a buy rounds down, a sell up. Raises `Refused`."""
        digits = self.dialect.price_digits
        step = tick if digits is None else max(1, 10 ** (len(str(price)) - digits) if len(str(price)) > digits else 1)
        found = price // step * step if buy else -(-price // step) * step
        if found <= 0:
            raise Refused("INVALID_PRICE", f"{text(price)} is below the tick {text(step)}")
        return found

    async def place(self, child: ChildOrder, signed_at: int | None = None) -> Outcome:
        try:
            raw = await self.ask(
                self.dialect.create(self._order(child), self._context(signed_at)), Call.CREATE, signed_at
            )
        except Exception as error:
            outcome = self._failed(error)
            if outcome.venue_code is not None and outcome.venue_code in self.dialect.duplicate_codes:
                # The id is taken, so an order of ours may exist.
                words, code = outcome.reason, outcome.venue_code
                return Outcome(OutcomeKind.UNKNOWN, None, (), "DUPLICATE", words, outcome.http_status, code)
            return outcome
        try:
            venue_id = self.dialect.order_id(raw)
        except (ValueError, KeyError, TypeError) as error:
            return self._bad(raw, error)
        self._venue_ids[child.child_id] = venue_id
        view = OrderView(child.child_id, venue_id, VenueOrderStatus.OPEN, 0, None)
        return Outcome(OutcomeKind.ACCEPTED, view, http_status=200)

    def _bad(self, raw: object, error: BaseException) -> Outcome:
        code, words = self.dialect.error_of(raw)
        reason = words or str(error)[:500]
        return Outcome(OutcomeKind.UNKNOWN, code="BAD_ANSWER", reason=reason, http_status=200, venue_code=code)

    async def cancel(self, symbol: str, child_id: str) -> Outcome:
        try:
            pair = Pair.of(symbol)
            try:
                send = self.dialect.cancel(pair, self._named(child_id), self._context())
            except NeedsVenueId:
                found = await self.query(symbol, child_id)
                if not isinstance(found, OrderView) or found.status is not VenueOrderStatus.OPEN:
                    return self._instead(found)
                send = self.dialect.cancel(pair, Named(None, found.venue_order_id), self._context())
            raw = await self.ask(send, Call.CANCEL)
        except Exception as error:
            return self._failed(error)
        code, words = self.dialect.error_of(raw)
        if code is not None or not raw:
            return self._bad(raw, ValueError(words or "an empty answer"))
        return self._instead(await self.query(symbol, child_id))

    def _instead(self, found: OrderView | NotFound | Unknown) -> Outcome:
        """The outcome of a cancel from what the order looks like."""
        if isinstance(found, OrderView):
            return Outcome(OutcomeKind.ACCEPTED, found, http_status=200)
        if isinstance(found, NotFound):
            return Outcome(OutcomeKind.REJECTED, code="ORDER_NOT_FOUND", reason="the exchange has no such order")
        return Outcome(OutcomeKind.UNKNOWN, code=found.code, reason=found.reason)

    async def query(self, symbol: str, child_id: str) -> OrderView | NotFound | Unknown:
        named = self._named(child_id)
        try:
            sends = self.dialect.fetch(Pair.of(symbol), named, self._context())
        except Refused as error:
            return self._unknown(error)
        for send in sends:
            try:
                raw = await self.ask(send)
                path = self.dialect.orders_at or self.dialect.order_at
                for row in self.dialect.rows(raw, path):
                    order = self._parsed(row, symbol)
                    if order["clientOrderId"] == named.client_id or (named.venue_id and order["id"] == named.venue_id):
                        view = self.view(order, child_id)
                        self._venue_ids[child_id] = view.venue_order_id
                        return view
                    if not send.listing or not order["id"]:
                        raise ValueError(f"not the order asked for: {row!r:.200}")
                if not send.listing:
                    raise ValueError(f"no order in {raw!r:.200}")
            except Exception as error:
                outcome = self._failed(error)
                missing = outcome.venue_code in self.dialect.missing_codes or isinstance(error, errors.OrderNotFound)
                if not (
                    missing and outcome.http_status is not None and outcome.http_status < 500 and outcome.venue_code
                ):
                    return Unknown(outcome.code, outcome.reason)
        return NotFound()

    def _parsed(self, row: object, symbol: str | None) -> Mapping[str, Any]:
        ex = self._ex
        market = ex.markets.get(symbol) if symbol and ex.markets else None
        order: Mapping[str, Any] = ex.parse_order(row, market)
        return order

    def view(self, order: Mapping[str, Any], child_id: str | None = None) -> OrderView:
        """ccxt's order as we see it. Raises `ValueError` for what is no order, or one whose state is not told."""
        status, number = STATUS.get(str(order.get("status"))), order.get("id")
        filled = order.get("filled")
        if status is None or not number or (filled is None and status is not VenueOrderStatus.REJECTED):
            raise ValueError(f"not an order: {order.get('info')!r:.200}")
        wire = str(order.get("clientOrderId") or "")
        at = order.get("lastUpdateTimestamp") or order.get("timestamp")
        named = child_id or self._children.get(wire, wire)
        return OrderView(named, str(number), status, exact(filled), int(at) * 1000 if at else None)

    async def trades(self, symbol: str, venue_order_id: str) -> list[VenueTrade] | Unknown:
        try:
            send = self.dialect.my_trades(Pair.of(symbol), Named(None, venue_order_id), self._context())
            rows = self.dialect.rows(await self.ask(send, Call.MY_TRADES), self.dialect.trades_at)
            market = self._ex.market(symbol)
            found = [self._ex.parse_trade(row, market) for row in rows]
            mine = [t for t in found if t["order"] is None or t["order"] == venue_order_id]
            return [self._trade(t, venue_order_id) for t in sorted(mine, key=_age)]
        except Exception as error:
            return self._unknown(error)

    def _trade(self, trade: Mapping[str, Any], venue_order_id: str) -> VenueTrade:
        fee = trade.get("fee") or {}
        maker = trade.get("takerOrMaker")
        return VenueTrade(
            trade_id=str(trade["id"]),
            venue_order_id=venue_order_id,
            price=exact(trade["price"]),
            quantity=exact(trade["amount"]),
            fee=exact(fee["cost"]) if fee.get("cost") is not None else None,
            fee_asset=fee.get("currency"),
            liquidity={"maker": Liquidity.MAKER, "taker": Liquidity.TAKER}.get(str(maker), Liquidity.NOT_KNOWN),
            at=int(trade["timestamp"]) * 1000 if trade.get("timestamp") else None,
        )

    async def open_orders(self, symbol: str | None = None) -> Sequence[OrderView] | Unknown:
        try:
            send = self.dialect.open_orders(Pair.of(symbol) if symbol else None, self._context())
            rows = self.dialect.rows(await self.ask(send, Call.OPEN_ORDERS), self.dialect.orders_at)
            return [self.view(self._parsed(row, symbol)) for row in rows]
        except Refused as refused:
            if symbol is None and refused.args[0] == "NEEDS_SYMBOL":
                return await self._each_open()
            return self._unknown(refused)
        except Exception as error:
            return self._unknown(error)

    async def _each_open(self) -> Sequence[OrderView] | Unknown:
        found: list[OrderView] = []
        for symbol in self.config.symbols or self.instruments:
            some = await self.open_orders(symbol)
            if isinstance(some, Unknown):
                return some
            found += some
        return found

    async def balances(self) -> Mapping[str, tuple[int, int]]:
        rows = self.dialect.balances(await self.ask(self.dialect.balance(self._context()), Call.BALANCE))
        return {
            self._ex.safe_currency_code(asset): (exact(free), exact(locked)) for asset, (free, locked) in rows.items()
        }

    # ---- the user stream

    async def events(self) -> AsyncIterator[StreamUp | VenueEvent]:
        """What ccxt's stream tells of orders. It may leave states out, but not the last: fills are asked for, and polls see the rest."""
        wait = 0.1
        yield StreamUp()
        if not self._ex.has.get("watchOrders"):
            await asyncio.Event().wait()
        while True:
            try:
                orders = await self._ex.watch_orders()
            except Exception as error:
                log.warning("%s: user stream: %s", self.config.name, str(error)[:200])
                await asyncio.sleep(wait)
                wait = min(wait * 2, 5.0)
                yield StreamUp()  # whatever happened meanwhile is not replayed
                continue
            wait = 0.1
            for order in orders:
                try:
                    yield VenueEvent(self.view(order), None)
                except ValueError as error:
                    log.error("%s: unreadable stream event: %s", self.config.name, error)
                    yield StreamUp()

    async def close(self) -> None:
        await self.leave_budget()
        try:
            await asyncio.wait_for(self._ex.close(), 5)
        except (errors.BaseError, OSError, TimeoutError) as error:
            log.info("%s: closing: %s", self.config.name, error)
