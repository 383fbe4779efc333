"""The router agent: books of every venue in, quotes out; route requests in, plans and child orders out.

Rules:

* the books are derived state: not logged, rebuilt from the last snapshots when a task opens, moved on by the batch's updates before its
  requests are planned;
* what a batch did to the books stays when its transaction aborts, so an update is recognised by its offset when it comes again: it is
  not applied twice, but what it sent is sent again;
* a stop is held in a table of its symbol's task until a trade reaches it, and goes from it in the transaction that says so: once, whatever
  is restarted. A batch's trades are looked at before its requests, so that none triggers what came after it;
* a symbol's quote follows each batch in which it changed, and a timer sees to it that a book which falls silent leaves the quote.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.records import (
    BookUpdate,
    Instrument,
    OpenOrders,
    Quote,
    RouteCancel,
    RouteRequest,
    RouteStatusKind,
    Trade,
    VenueHealth,
)
from streams.domain import stops
from streams.domain.book import Applied
from streams.domain.consolidated import SymbolBooks, same_market
from streams.domain.directory import Directory
from streams.domain.routing import plan
from streams.domain.terms import RoutingSettings
from streams.engine.agent import Agent, Broadcast, Context, Input, Message, Table, Timer

NAME = "router"
BOOKS, TRADES, REQUESTS = "market.books", "market.trades", "orders.routable"
QUOTES, PLANS, CHILDREN = "market.quotes", "exchange.acks", "venue.orders"
INSTRUMENTS = Broadcast("instruments", Instrument)
HEALTH = Broadcast("venue.health", VenueHealth)
STOPS = Table("stops", RouteRequest)  # key: order id
ARMED = Table("armed", OpenOrders)  # key: `stops.page_key`; which stops a symbol has
REBUILD_US = 15_000_000
BATCH_MOST = 100_000  # more than the records of any batch: what may come again
BAD_LEVEL = "BAD_LEVEL"


class Books:
    """A task's derived state: the books of its symbols, and what was said of them last."""

    __slots__ = ("bad", "directory", "next_offset", "quotes", "stops", "symbols", "timers")

    def __init__(self, settings: RoutingSettings) -> None:
        self.symbols: dict[str, SymbolBooks] = {}
        self.directory = Directory(settings)
        self.quotes: dict[str, Quote] = {}
        self.timers: dict[str, int] = {}  # symbol -> when its age is looked at next
        self.next_offset = 0
        self.stops: dict[str, stops.Stops] = {}  # of symbols that were looked at
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
        requests: list[RouteRequest | RouteCancel] = []
        touched: dict[str, None] = {}
        for message in messages:
            if message.topic == REQUESTS:
                requests.append(message.record)
                continue
            if message.topic == TRADES:
                _traded(ctx, message.record)
                continue
            symbol = message.record.symbol
            touched[symbol] = None
            if message.offset < books.next_offset:
                books.forget(symbol)
            if books.apply(message) is Applied.INVALID:
                ctx.dead_letter(message, BAD_LEVEL, f"{message.record.venue}: the book is stale until a snapshot")
        for symbol in touched:
            _quote(ctx, symbol, using.book_age_us)
        for request in requests:
            if isinstance(request, RouteCancel):
                _disarm(ctx, request)
            elif request.stop_price is not None:
                _arm(ctx, request)
            else:
                _route(ctx, request, using)

    def on_timer(ctx: Context, due: Sequence[Timer]) -> None:
        for timer in due:
            ctx.local.forget(timer.key)
            _quote(ctx, timer.key, using.book_age_us)

    def rebuild(books: Books, message: Message) -> None:
        if message.topic == BOOKS:
            books.apply(message)

    return Agent(
        name=NAME,
        inputs=(
            Input(BOOKS, (BookUpdate,), key=lambda update: update.symbol, rebuild_us=REBUILD_US),
            Input(TRADES, (Trade,), key=lambda trade: trade.symbol),
            Input(REQUESTS, (RouteRequest, RouteCancel), key=lambda request: request.symbol),
        ),
        process=process,
        outputs=(PLANS, CHILDREN, QUOTES),
        tables=(STOPS, ARMED),
        broadcasts=(INSTRUMENTS, HEALTH),
        on_timer=on_timer,
        local=lambda: Books(using),
        rebuild=rebuild,
    )


def _quote(ctx: Context, symbol: str, age: int) -> None:
    """Say what a symbol's market is, if that is new, and look at the age of its books in time."""
    books: Books = ctx.local
    of = books.of(symbol)
    quote = of.quote(ctx.now, age)
    if not same_market(books.quotes.get(symbol), quote):
        books.quotes[symbol] = quote
        ctx.send(QUOTES, symbol, quote)
    if quote.venues and books.timers.get(symbol, 0) <= ctx.now:
        books.timers[symbol] = of.stale_from(age, ctx.now)
        ctx.set_timer(symbol, books.timers[symbol])


def _route(ctx: Context, request: RouteRequest, settings: RoutingSettings) -> None:
    """Plan a request and send the plan and its children."""
    books: Books = ctx.local
    of, owner = books.of(request.symbol), f"{request.order_id}-{request.attempt}"
    markets = books.directory.markets(
        ctx.broadcast(INSTRUMENTS), ctx.broadcast(HEALTH), request.symbol, of, request.side, owner, ctx.now
    )
    decision = plan(request, markets, settings, ctx.now)
    ctx.send(PLANS, request.account_id, decision.plan)
    for child in decision.children:
        ctx.send(CHILDREN, child.venue, child)
    of.take(request.side, owner, decision.takes, ctx.now + settings.hold_us)


# ---- stops


def _stops(ctx: Context, symbol: str) -> stops.Stops:
    """The symbol's stops in order, from the tables when they are looked at for the first time."""
    books: Books = ctx.local
    found = books.stops.get(symbol)
    if found is None:
        found = books.stops[symbol] = stops.Stops()
        armed, table = ctx.table(ARMED), ctx.table(STOPS)
        for number in range(stops.PAGES):
            page = armed.get(stops.page_key(symbol, number))
            for order_id in page.order_ids if page else ():
                if (request := table.get(order_id)) is not None:
                    found.arm(request)
    return found


def _arm(ctx: Context, request: RouteRequest) -> None:
    table = ctx.table(STOPS)
    if stops.replaces(table.get(request.order_id), request):
        _stops(ctx, request.symbol).arm(request)
        table[request.order_id] = request
        _list(ctx, request.symbol, request.order_id, armed=True)


def _disarm(ctx: Context, cancel: RouteCancel) -> None:
    held = ctx.table(STOPS).get(cancel.order_id)
    if held is not None:
        _forget(ctx, held)
        ctx.send(PLANS, held.account_id, stops.status(held, RouteStatusKind.DISARMED, None, ctx.now))


def _traded(ctx: Context, trade: Trade) -> None:
    for held in _stops(ctx, trade.symbol).reached(trade.price, ctx.table(STOPS).get):
        _forget(ctx, held)
        ctx.send(PLANS, held.account_id, stops.status(held, RouteStatusKind.TRIGGERED, trade.price, ctx.now))


def _forget(ctx: Context, held: RouteRequest) -> None:
    del ctx.table(STOPS)[held.order_id]
    _list(ctx, held.symbol, held.order_id, armed=False)


def _list(ctx: Context, symbol: str, order_id: str, *, armed: bool) -> None:
    pages, key = ctx.table(ARMED), stops.page(symbol, order_id)
    page = pages.get(key)
    ids = stops.listed(page.order_ids if page else (), order_id, armed)
    if ids:
        pages[key] = OpenOrders(order_ids=ids)
    else:
        del pages[key]
