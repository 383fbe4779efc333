"""The adapter of every exchange that has a dialect: its requests built by the dialect, signed and read by ccxt, carried by httpx.

What it adds to `connectors.venues.adapter`'s rules:

* an acknowledged create is an open order of which nothing is known to be filled: what became of it is told by the stream or asked for;
* orders and trades are read with ccxt's parsers set to strings, so that no amount passes through a float, between the dialect's
  `order_row` and `order_facts`, which mend what these parsers do not know (what they say becomes ours in `reading`);
* an exchange that cancels by its own id alone is asked for that id first;
* "no such order" is what the exchange says with its own code, or a complete listing in which it is not; several places are all asked;
* listings are read page by page to their end, `PAGES` at most: what may have more proves no absence, and is not all trades of an order;
* where an order is found by our id only in the listing of all, those in doubt are looked for together (`search`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import httpx
from ccxt.base import errors  # type: ignore[import-untyped, unused-ignore]  # upstream ships no types

from connectors.venues.adapter import VenueAdapter, VenueConfig, readable, wall_ms
from connectors.venues.dialect import Call, Context, Dialect, Named, NeedsVenueId, NewOrder, Pair, Send
from connectors.venues.live import elsewhere, live
from connectors.venues.names import Names
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
)
from connectors.venues.reading import age, order_view, trade_of
from connectors.venues.search import Reading, Search
from connectors.venues.signing import token_of
from connectors.venues.units import exact, text
from connectors.venues.userstreams import USER_STREAMS
from connectors.venues.userstreams.runner import Account, Runner
from schemas.records import ChildOrder, Instrument, InstrumentStatus, OrderType, Side, TimeInForce

log = logging.getLogger(__name__)

TICK_SIZE = 4  # ccxt's name for steps, as against digits
PAGES = 50  # of one listing
More = Callable[[Send, object, Sequence[Any]], Send | None]


class DialectAdapter(VenueAdapter):
    """One account at an exchange that has a dialect."""

    def __init__(self, config: VenueConfig, http: httpx.AsyncClient, dialect: Dialect) -> None:
        super().__init__(config, http)
        self.dialect = dialect
        self._ex = live(dialect, config, http)
        self._ex.limited = self.limited
        self._difference = 0
        self._names = Names(dialect.client_ids)
        self._search = Search(self._listed)
        self._runner = self._stream_runner()

    # ---- asking

    async def ask(self, send: Send, call: str = Call.FETCH, signed_at: int | None = None) -> Any:
        """Wait for the budget of `call`, sign and send once. Raises `Refused` when it cannot be signed, and what the transport raises."""
        ex = self._ex
        async with self.budget(call):
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
        shared = self.dialect.settle_shared if token_of(self._ex) is None else None
        return max(super().takes_seconds, self.dialect.settle_seconds if shared is None else shared)

    @property
    def remembers_seconds(self) -> float | None:
        return self.dialect.remembers_seconds

    def _read(self, answer: Answer | None) -> tuple[str | None, str]:
        return (None, "") if answer is None else self.dialect.error_of(answer.body)

    def _failed(self, error: BaseException) -> Outcome:
        return classify(error, self.dialect.unsure_codes, self._read, self.dialect.sure_codes)

    def _unknown(self, error: BaseException) -> Unknown:
        return unsaid(error, self._failed(error))

    # ---- reference data

    async def load(self) -> list[Instrument]:
        await self._measure_clock()
        markets = await self.markets(self._ex)
        at, found = time.time_ns() // 1000, {}
        with readable(self.config.name, "its markets"):
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
        async with self.budget("time"):
            with readable(self.config.name, "its time"):
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
        except (errors.BaseError, *UNREADABLE) as error:
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

    def ours(self, client_id: str) -> bool:
        return self.dialect.client_ids.ours(client_id)

    def know(self, child_id: str, venue_order_id: str | None = None, sent_at: int | None = None) -> None:
        if sent_at is not None and self.dialect.looks_at_time:
            self._names.claimed(child_id, sent_at // 1000 - self._difference)
        self._names.of(child_id)
        if venue_order_id:
            self._names.called(child_id, venue_order_id)

    def forget(self, child_id: str) -> None:
        self._names.forget(child_id)

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
            post_only=bool(child.post_only),
            client_id=self._names.of(child.child_id).client_id,
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
        if self.dialect.looks_at_time:
            self._names.signed(child.child_id, self.now_ms() if signed_at is None else signed_at)
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
        except UNREADABLE as error:
            return self._bad(raw, error)
        self._names.called(child.child_id, venue_id)
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
                send = self.dialect.cancel(pair, self._names.of(child_id), self._context())
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
        try:
            named = self._names.of(child_id)
            sends = self.dialect.fetch(Pair.of(symbol), named, self._context())
        except (errors.BaseError, *UNREADABLE) as error:
            return self._unknown(error)
        if self.together(child_id):
            try:
                view = await self._search.find(symbol, named)
            except Exception as error:
                return self._unknown(error)
            return NotFound() if view is None else view
        for send in sends:
            try:
                view = await self._look(send, symbol, named, child_id)
            except Exception as error:
                outcome = self._failed(error)
                missing = outcome.venue_code in self.dialect.missing_codes or isinstance(error, errors.OrderNotFound)
                if not (
                    missing and outcome.http_status is not None and outcome.http_status < 500 and outcome.venue_code
                ):
                    return unsaid(error, outcome)
            else:
                if view is not None:
                    self._names.called(child_id, view.venue_order_id)
                    return view
        return NotFound()

    def together(self, child_id: str) -> bool:
        return self.dialect.listed_by is not None and not self._names.has_venue_id(child_id)

    async def _listed(self, symbol: str, asked: Sequence[Named]) -> Reading:
        """What the listing of the time in which these orders were sent has of them."""
        wanted, found = {named.client_id for named in asked}, dict[str, OrderView]()
        strange: Exception | None = None
        since = [named.since for named in asked if named.since is not None]
        until = [named.until for named in asked if named.until is not None]
        time_of_all = Named(
            since=min(since) if len(since) == len(asked) else None,
            until=max(until) if len(until) == len(asked) else None,
        )
        try:
            (send,) = self.dialect.fetch(Pair.of(symbol), time_of_all, self._context())
            async for rows in self._pages(send, Call.FETCH, self.dialect.orders_at, self.dialect.more_orders):
                for row in rows:
                    name = str((row.get(self.dialect.listed_by) if isinstance(row, dict) else None) or "")
                    if name and name not in wanted:
                        continue
                    try:
                        view = self.view(self._parsed(row, symbol))
                    except (errors.BaseError, *UNREADABLE) as error:
                        strange = error
                        continue
                    if name:
                        found[name] = view
                        self._names.called(view.child_id, view.venue_order_id)
                if len(found) == len(wanted):
                    return Reading(found)
        except Exception as error:
            return Reading(found, error)
        return Reading(found, strange)

    async def _look(self, send: Send, symbol: str, named: Named, child_id: str) -> OrderView | None:
        """The order in an answer; None for a complete listing in which it is not. Raises for everything else."""
        strange: Exception | None = None
        async for rows in self._pages(
            send, Call.FETCH, self.dialect.orders_at or self.dialect.order_at, self.dialect.more_orders
        ):
            for row in rows:
                try:
                    order = self._parsed(row, symbol)
                    if not order["id"]:
                        raise ValueError(f"no order id in {row!r:.200}")
                except (errors.BaseError, *UNREADABLE) as error:
                    strange = error
                    continue
                if order["clientOrderId"] == named.client_id or (named.venue_id and order["id"] == named.venue_id):
                    return self.view(order, child_id)
                if not send.listing:
                    raise ValueError(f"not the order asked for: {row!r:.200}")
        if strange is not None:
            raise strange
        if not send.listing:
            raise ValueError("an answer without an order")
        return None

    async def _pages(self, send: Send, call: str, path: str, more: More) -> AsyncIterator[list[Any]]:
        """The rows of a listing, page by page. Raises `NotWhole` after those that can be had where there may be more."""
        for _ in range(PAGES):
            raw = await self.ask(send, call)
            rows = self.dialect.rows(raw, path)
            yield rows
            if self.dialect.whole(send, raw, rows):
                return
            after = more(send, raw, rows)
            if after is None or after == send:
                break
            send = after
        raise NotWhole(f"{self.config.name}: {send.path} is not whole: it has more than can be asked for")

    def _parsed(self, row: object, symbol: str | None) -> Mapping[str, Any]:
        ex = self._ex
        market = ex.markets.get(symbol) if symbol and ex.markets else None
        return {**ex.parse_order(self.dialect.order_row(row), market), **self.dialect.order_facts(row)}

    def view(self, order: Mapping[str, Any], child_id: str | None = None) -> OrderView:
        """ccxt's order as we see it, by the name of our child where it is one. Raises as `reading.order_view`."""
        return self._names.owned(order_view(order), child_id)

    async def trades(self, symbol: str, venue_order_id: str) -> list[VenueTrade] | Unknown:
        try:
            rows = await self._trade_rows(Pair.of(symbol), Named(None, venue_order_id))
            market = self._ex.market(symbol)
            found = [self._ex.parse_trade(self.dialect.trade_row(row), market) for row in rows]
            unnamed = (None,) if self.dialect.trades_by_order else ()
            mine = [t for t in found if t["order"] in (venue_order_id, *unnamed)]
            instrument = self.instruments.get(symbol)
            trades = [trade_of(t, venue_order_id, market, instrument) for t in sorted(mine, key=age)]
            return list({trade.trade_id: trade for trade in trades}.values())
        except Exception as error:
            return self._unknown(error)

    async def _trade_rows(self, pair: Pair, named: Named) -> list[Any]:
        """All trades of an order, however many pages they take. Raises `NotWhole` where they are too many."""
        dialect, context = self.dialect, self._context()
        sends: tuple[Send, ...] = ()
        if dialect.lists_trades:
            raw = await self.ask(dialect.fetch(pair, named, context)[0], Call.FETCH)
            (order,) = dialect.rows(raw, dialect.orders_at or dialect.order_at)
            sends = dialect.listed_trades(order, context)
        else:
            sends = (dialect.my_trades(pair, named, context),)
        found: list[Any] = []
        for send in sends:
            async for rows in self._pages(send, Call.MY_TRADES, dialect.trades_at, dialect.more_trades):
                found += rows
        return found

    async def open_orders(self, symbol: str | None = None) -> Listing | Unknown:
        found = Listing()
        try:
            send = self.dialect.open_orders(Pair.of(symbol) if symbol else None, self._context())
            async for rows in self._pages(send, Call.OPEN_ORDERS, self.dialect.orders_at, self.dialect.more_orders):
                for row in rows:
                    try:
                        view = self.view(self._parsed(row, symbol))
                    except (errors.BaseError, *UNREADABLE) as error:
                        log.error("%s: unreadable among the open orders: %s", self.config.name, str(error)[:300])
                        found.partial = True
                        continue
                    found.append(view)
                    self._names.listed(view)
        except NotWhole:
            found.partial = True
        except Refused as refused:
            if symbol is None and refused.args[0] == "NEEDS_SYMBOL":
                return await self._each_open()
            return self._unknown(refused)
        except Exception as error:
            return self._unknown(error)
        return found

    async def _each_open(self) -> Listing | Unknown:
        found = Listing()
        for symbol in self.config.symbols or self.instruments:
            some = await self.open_orders(symbol)
            if isinstance(some, Unknown):
                return some
            found += some
            found.partial |= some.partial
        return found

    async def balances(self) -> Mapping[str, tuple[int, int]]:
        raw = await self.ask(self.dialect.balance(self._context()), Call.BALANCE)
        with readable(self.config.name, "its balances"):
            rows = self.dialect.balances(raw)
            return {
                self._ex.safe_currency_code(asset): (exact(free), exact(locked))
                for asset, (free, locked) in rows.items()
            }

    # ---- the user stream

    def _stream_runner(self) -> Runner | None:
        kind = USER_STREAMS.get(self.dialect.exchange)
        if kind is None:
            return None
        config, ex = self.config, self._ex
        account = Account(config.api_key, config.secret, config.password, self.now_ms, self.ask, token_of(ex))
        address = kind.sandbox if config.sandbox and kind.sandbox else kind.address
        url = elsewhere(address, None, config.ws_url)
        return Runner(config.name, kind(account), url, config.stream_silence)

    def doubt(self) -> None:
        if self._runner is not None:
            self._runner.doubt()

    async def events(self) -> AsyncIterator[StreamUp | VenueEvent]:
        """Our own reading of the stream where there is one, else what ccxt's tells of orders: that may leave states out, but not the
        last; fills are asked for, and polls see the rest."""
        async for event in self._runner.run() if self._runner is not None else self._watched():
            if isinstance(event, VenueEvent) and self._runner is not None:
                yield VenueEvent(self._names.owned(event.view), event.trade)
            else:
                yield event

    async def _watched(self) -> AsyncIterator[StreamUp | VenueEvent]:
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
                except UNREADABLE as error:
                    log.error("%s: unreadable stream event: %s", self.config.name, error)
                    yield StreamUp()

    async def close(self) -> None:
        await self._search.close()
        await self.leave_budget()
        try:
            await asyncio.wait_for(self._ex.close(), 5)
        except (errors.BaseError, OSError, TimeoutError) as error:
            log.info("%s: closing: %s", self.config.name, error)
