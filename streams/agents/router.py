"""The router agent: books of every venue in, quotes out; route requests in, plans and child orders out.

Rules:

* the books are derived state: not logged, rebuilt from the last snapshots when a task opens, moved on by the batch's updates before its
  requests are planned;
* what a batch did to the books stays when its transaction aborts, so an update is recognised by its offset when it comes again: it is
  not applied twice, but what it sent is sent again;
* a symbol's quote follows each batch in which it changed, and a timer sees to it that a book which falls silent leaves the quote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.records import BookUpdate, Instrument, Quote, RouteRequest, VenueHealth
from streams.domain.book import Applied
from streams.domain.consolidated import SymbolBooks, same_market
from streams.domain.routing import Market, RoutingSettings, plan
from streams.engine.agent import Agent, Broadcast, Context, Input, Message, Timer

NAME = "router"
BOOKS, REQUESTS = "market.books", "orders.routable"
QUOTES, PLANS, CHILDREN = "market.quotes", "exchange.acks", "venue.orders"
INSTRUMENTS = Broadcast("instruments", Instrument)
HEALTH = Broadcast("venue.health", VenueHealth)
REBUILD_US = 15_000_000
INDEX_US = 1_000_000
BATCH_MOST = 100_000  # more than the records of any batch: what may come again
BAD_LEVEL = "BAD_LEVEL"


@dataclass(slots=True)
class Books:
    """A task's derived state: the books of its symbols, and what was said of them last."""

    symbols: dict[str, SymbolBooks] = field(default_factory=dict)
    quotes: dict[str, Quote] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)  # symbol -> when its age is looked at next
    next_offset: int = 0
    bad: set[int] = field(default_factory=set)  # offsets of updates that hold an impossible level
    listed: dict[str, list[str]] = field(default_factory=dict)  # symbol -> venues with an instrument
    listed_at: int = 0
    listed_of: int = -1

    def apply(self, message: Message) -> Applied:
        """Take over an update, once."""
        update: BookUpdate = message.record
        if message.offset < self.next_offset:
            return Applied.INVALID if message.offset in self.bad else Applied.SEEN
        books = self.symbols.get(update.symbol)
        if books is None:
            books = self.symbols[update.symbol] = SymbolBooks(update.symbol)
        applied = books.apply(update)
        self.next_offset = message.offset + 1
        if applied is Applied.INVALID:
            self.bad = {offset for offset in self.bad if offset > message.offset - BATCH_MOST} | {message.offset}
        return applied

    def forget(self, symbol: str) -> None:
        """What was said of a symbol may have gone with an aborted batch: say it again."""
        self.quotes.pop(symbol, None)
        self.timers.pop(symbol, None)

    def venues(self, symbol: str, instruments: Mapping[str, Instrument], now: int) -> Iterable[str]:
        """Venues that have the symbol's instrument or book."""
        if len(instruments) != self.listed_of or now - self.listed_at > INDEX_US:
            self.listed, self.listed_of, self.listed_at = {}, len(instruments), now
            for instrument in instruments.values():
                self.listed.setdefault(instrument.symbol, []).append(instrument.venue)
        books = self.symbols.get(symbol)
        return {*self.listed.get(symbol, ()), *(books.venues if books else ())}


def router_agent(settings: RoutingSettings | None = None) -> Agent:
    """The agent with these settings."""
    using = settings or RoutingSettings()
    age = using.health.book_age_us

    def process(ctx: Context, messages: Sequence[Message]) -> None:
        books: Books = ctx.local
        requests, touched = [], dict[str, None]()
        for message in messages:
            if message.topic == REQUESTS:
                requests.append(message)
                continue
            touched[message.record.symbol] = None
            replayed = message.offset < books.next_offset
            if books.apply(message) is Applied.INVALID:
                ctx.dead_letter(message, BAD_LEVEL, f"{message.record.venue}: the book is stale until a snapshot")
            if replayed:
                books.forget(message.record.symbol)
        for symbol in touched:
            _quote(ctx, symbol, age)
        for message in requests:
            _route(ctx, message.record, using)

    def on_timer(ctx: Context, due: Sequence[Timer]) -> None:
        for timer in due:
            ctx.local.forget(timer.key)
            _quote(ctx, timer.key, age)

    def rebuild(books: Books, message: Message) -> None:
        if message.topic == BOOKS:
            books.apply(message)

    return Agent(
        name=NAME,
        inputs=(
            Input(BOOKS, (BookUpdate,), key=lambda update: update.symbol, rebuild_us=REBUILD_US),
            Input(REQUESTS, (RouteRequest,), key=lambda request: request.symbol),
        ),
        process=process,
        outputs=(PLANS, CHILDREN, QUOTES),
        broadcasts=(INSTRUMENTS, HEALTH),
        on_timer=on_timer,
        local=Books,
        rebuild=rebuild,
    )


def _quote(ctx: Context, symbol: str, age: int) -> None:
    """Say what a symbol's market is, if that is new, and look at the age of its books in time."""
    books: Books = ctx.local
    of = books.symbols.get(symbol)
    if of is None:
        of = SymbolBooks(symbol)  # after a restart a timer may come before the first update
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
    instruments, health = ctx.broadcast(INSTRUMENTS), ctx.broadcast(HEALTH)
    of = books.symbols.get(request.symbol)
    owner = f"{request.order_id}-{request.attempt}"
    markets = []
    for venue in books.venues(request.symbol, instruments, ctx.now):
        found = of.venues.get(venue) if of else None
        markets.append(
            Market(
                venue,
                instruments.get(f"{venue}|{request.symbol}"),
                health.get(venue),
                found.book if found else None,
                found.taken(request.side).by_price(owner, ctx.now) if found else {},
            )
        )
    decision = plan(request, markets, settings, ctx.now)
    ctx.send(PLANS, request.account_id, decision.plan)
    for child in decision.children:
        ctx.send(CHILDREN, child.venue, child)
    if of is not None:
        of.take(request.side, owner, decision.takes, ctx.now + settings.hold_us)
