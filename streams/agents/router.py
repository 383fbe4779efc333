"""The router agent: books of every venue in, quotes out; route requests in, plans and child orders out.

Rules:

* the books are derived state: not logged, rebuilt from the last snapshots when a task opens, moved on by the batch's updates before its
  requests are planned;
* what a batch did to the books stays when its transaction aborts, so an update is recognised by its offset when it comes again: it is
  not applied twice, but what it sent is sent again;
* a stop is held until a trade (by `trigger`: the mid) reaches it, an order for which there is no venue until there is one: see `held`. A batch's trades are looked
  at before its requests, so that none triggers what came after it;
* what was asked for before a halt, and is planned during it, is not: no child goes out then, whoever asked for it and when;
* a symbol's quote follows each batch in which it changed, and a timer sees to it that a book which falls silent leaves the quote. A quote
  that stays the same is said again every so often, while it has books: whoever reads it takes an old one for no price at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.records import (
    BookUpdate,
    Instrument,
    OrderType,
    Quote,
    RouteCancel,
    RouteRequest,
    Side,
    Trade,
    TradingState,
    VenueBalance,
    VenueHealth,
)
from streams.agents import breaker, held
from streams.agents.breaker import BREAKERS
from streams.agents.held import ARMED, STOPS
from streams.domain import stops
from streams.domain.book import Applied
from streams.domain.consolidated import SymbolBooks, same_market
from streams.domain.directory import Directory, halted
from streams.domain.inventory import Spent, capped
from streams.domain.routing import (
    HALTED,
    NO_ELIGIBLE_VENUE,
    TIME_EXPIRED,
    TOO_OLD,
    Market,
    over,
    plan,
    refused,
    too_old,
)
from streams.domain.terms import MID, TRADE, RoutingSettings, refusal
from streams.domain.volatility import Moves
from streams.engine.agent import Agent, Broadcast, Context, Input, Message, Timer

NAME = "router"
BOOKS, TRADES, REQUESTS = "market.books", "market.trades", "orders.routable"
QUOTES, PLANS, CHILDREN = "market.quotes", "exchange.acks", "venue.orders"
INSTRUMENTS = Broadcast("instruments", Instrument)
HEALTH = Broadcast("venue.health", VenueHealth)
STATES = Broadcast("trading.states", TradingState)
BALANCES = Broadcast("venue.balances", VenueBalance)
REBUILD_US = 15_000_000
BATCH_MOST = 100_000  # more than the records of any batch: what may come again
REMEMBER_US = 100_000
BAD_LEVEL = "BAD_LEVEL"


class Books:
    """A task's derived state: the books of its symbols, and what was said of them last."""

    __slots__ = ("bad", "directory", "moves", "next_offset", "quotes", "skipped", "spent", "stops", "symbols", "timers")

    def __init__(self, settings: RoutingSettings) -> None:
        self.symbols: dict[str, SymbolBooks] = {}
        self.directory = Directory(settings)
        self.quotes: dict[str, Quote] = {}
        self.timers: dict[str, int] = {}  # symbol -> when its age is looked at next
        self.next_offset = 0
        self.stops: dict[str, stops.Stops] = {}  # of symbols that were looked at
        self.moves: dict[str, Moves] = {}
        self.spent = Spent()
        self.skipped: dict[str, int] = {}  # symbol -> when it was told last, if that is not in `moves`
        self.bad: set[int] = set()  # offsets of updates that hold an impossible level

    def of(self, symbol: str) -> SymbolBooks:
        """The books of a symbol; none yet where nothing has come."""
        books = self.symbols.get(symbol)
        if books is None:
            books = self.symbols[symbol] = SymbolBooks(symbol)
        return books

    def apply(self, message: Message) -> Applied:
        """Take over an update, once."""
        if message.offset < self.next_offset:
            return Applied.INVALID if message.offset in self.bad else Applied.SEEN
        applied = self.of(message.record.symbol).apply(message.record)
        self.next_offset = message.offset + 1
        if applied is Applied.INVALID:
            self.bad = {offset for offset in self.bad if offset > message.offset - BATCH_MOST} | {message.offset}
        return applied

    def forget(self, symbol: str) -> None:
        """What was said of a symbol may have gone with an aborted batch: say it again."""
        self.quotes.pop(symbol, None)
        self.timers.pop(symbol, None)


def router_agent(settings: RoutingSettings | None = None) -> Agent:
    """The agent with these settings."""
    using = settings or RoutingSettings()

    def process(ctx: Context, messages: Sequence[Message]) -> None:
        books: Books = ctx.local
        if books.skipped:
            _catch_up(books, using)
        requests: list[RouteRequest | RouteCancel] = []
        touched: dict[str, None] = {}
        for message in messages:
            if message.topic == REQUESTS:
                requests.append(message.record)
                continue
            if message.topic == TRADES:
                if using.trigger == TRADE:
                    trade: Trade = message.record
                    held.reached(ctx, books.stops, trade.symbol, trade.price, trade.received_at)
                continue
            symbol = message.record.symbol
            touched[symbol] = None
            if message.offset < books.next_offset:
                books.forget(symbol)
            if books.apply(message) is Applied.INVALID:
                ctx.dead_letter(message, BAD_LEVEL, f"{message.record.venue}: the book is stale until a snapshot")
        for symbol in touched:
            _quote(ctx, symbol, using)
        for request in requests:
            if isinstance(request, RouteCancel):
                held.drop(ctx, request)
            elif request.stop_price is not None:
                held.arm(ctx, books.stops, request)
            else:
                _route(ctx, request, using)

    def on_timer(ctx: Context, due: Sequence[Timer]) -> None:
        if ctx.local.skipped:
            _catch_up(ctx.local, using)
        for timer in due:
            what, _, symbol = timer.key.rpartition("|")
            if what == breaker.TIMER:
                breaker.due(ctx, ctx.local.moves, symbol, using)
            elif what == held.WAIT:
                _look(ctx, symbol, using)
            else:
                ctx.local.forget(symbol)
                _quote(ctx, symbol, using)

    def rebuild(books: Books, message: Message) -> None:
        if message.topic == BOOKS:
            books.apply(message)
            if using.move_rate:
                _remember(books, message.record.symbol, message.record.received_at, using)

    return Agent(
        name=NAME,
        inputs=(
            Input(
                BOOKS, (BookUpdate,), lambda update: update.symbol, rebuild_us=REBUILD_US, perishable=True, quiet=True
            ),
            Input(TRADES, (Trade,), key=lambda trade: trade.symbol, perishable=True, quiet=True),
            Input(REQUESTS, (RouteRequest, RouteCancel), key=lambda request: request.symbol),
        ),
        process=process,
        outputs=(PLANS, CHILDREN, QUOTES, breaker.STATES),
        tables=(STOPS, ARMED, BREAKERS),
        broadcasts=(INSTRUMENTS, HEALTH, STATES, BALANCES),
        on_timer=on_timer,
        local=lambda: Books(using),
        rebuild=rebuild,
    )


def _quote(ctx: Context, symbol: str, settings: RoutingSettings) -> None:
    """Say what a symbol's market is, if that is new or was said long ago, and look at the age of its books in time."""
    books: Books = ctx.local
    of, now, age = books.of(symbol), ctx.now, settings.book_age_us
    quote, said = of.quote(now, age), books.quotes.get(symbol)
    if said is None or not same_market(said, quote) or (quote.venues and now - said.at >= settings.quote_every_us):
        books.quotes[symbol] = quote
        ctx.send(QUOTES, symbol, quote)
        breaker.watch(ctx, books.moves, quote, settings)
    if settings.trigger == MID and quote.bid is not None and quote.ask is not None:
        held.reached(ctx, books.stops, symbol, (quote.bid + quote.ask) // 2, now)
    if quote.venues and books.timers.get(symbol, 0) <= now:
        books.timers[symbol] = min(of.stale_from(age, now), now + settings.quote_every_us)
        ctx.set_timer(symbol, books.timers[symbol])


def _route(ctx: Context, request: RouteRequest, settings: RoutingSettings) -> None:
    """Plan a request and send the plan and its children."""
    books: Books = ctx.local
    of, owner = books.of(request.symbol), f"{request.order_id}-{request.attempt}"
    if request.attempt > 1:
        held.replaced(ctx, request)
    reason = _refusal(ctx, request, settings)
    if reason:
        decision = refused(request, reason, settings, ctx.now)
        ctx.send(PLANS, request.account_id, decision.outline, decision.body)
        return
    markets = _markets(ctx, request.symbol, request.side, owner)
    if settings.inventory:
        markets = capped(markets, request, owner, ctx.broadcast(BALANCES), books.spent)
    decision = plan(request, markets, settings, ctx.now)
    if settings.inventory:
        books.spent.add(owner, decision.children, {market.terms.venue: market.terms for market in markets})
    ctx.send(PLANS, request.account_id, decision.outline, decision.body)
    if decision.outline.reason == NO_ELIGIBLE_VENUE:
        held.wait(ctx, request)
    for child in decision.children:
        ctx.send(CHILDREN, child.venue, child)
    of.take(request.side, owner, decision.takes, ctx.now + settings.hold_us)


def _refusal(ctx: Context, request: RouteRequest, settings: RoutingSettings) -> str:
    """Why nothing may be planned of a request, wherever it could go. Its account asks again once trading goes on."""
    states, symbol, market = ctx.broadcast(STATES), request.symbol, request.order_type is OrderType.MARKET
    if states and halted(states, symbol, request.order_type, ctx.now):
        return HALTED
    if market and breaker.halted(ctx, symbol, states):
        return HALTED
    if over(request, ctx.now):
        return TIME_EXPIRED
    return TOO_OLD if too_old(request, settings, ctx.now) else ""


def _markets(ctx: Context, symbol: str, side: Side, owner: str) -> Sequence[Market]:
    """The venues of a symbol as they are now, without what was planned on them save by `owner`."""
    books: Books = ctx.local
    instruments, health, states = ctx.broadcast(INSTRUMENTS), ctx.broadcast(HEALTH), ctx.broadcast(STATES)
    return books.directory.markets(instruments, health, symbol, books.of(symbol), side, owner, ctx.now, states)


def _look(ctx: Context, symbol: str, settings: RoutingSettings) -> None:
    """Orders wait for a venue: is there one, with an account that can pay for them?"""
    markets = _markets(ctx, symbol, Side.BUY, "")
    if not _any(markets, settings, ctx.now):
        held.look_later(ctx, symbol)
        return
    paid: dict[tuple[Side, int], bool] = {}  # by what tells what an account pays for: thousands may wait at few prices

    def goes(request: RouteRequest) -> bool:
        """Whether it would find a venue. Those that refused it before count: its account asks anew."""
        key = request.side, request.price
        if key not in paid:
            own = capped(markets, request, "", ctx.broadcast(BALANCES), ctx.local.spent)
            paid[key] = _any(own, settings, ctx.now)
        return paid[key]

    held.resume(ctx, symbol, goes if settings.inventory else lambda _: True)


def _any(markets: Sequence[Market], settings: RoutingSettings, now: int) -> bool:
    return any(not refusal(m.terms, m.book, settings, now) for m in markets)


def _remember(books: Books, symbol: str, at: int, settings: RoutingSettings) -> None:
    """A task that opens sees the mids of the last moments again, as closely as the breaker needs them."""
    moves = books.moves.get(symbol)
    if moves is not None and at - moves.at < REMEMBER_US:
        books.skipped[symbol] = at
        return
    books.skipped.pop(symbol, None)
    breaker.note(books.moves, books.of(symbol).quote(at, settings.book_age_us), settings)


def _catch_up(books: Books, settings: RoutingSettings) -> None:
    """The task is open: the newest mids that `_remember` left out."""
    for symbol, at in books.skipped.items():
        breaker.note(books.moves, books.of(symbol).quote(at, settings.book_age_us), settings)
    books.skipped = {}
