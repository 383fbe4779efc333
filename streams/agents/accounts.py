"""The accounts agent: the one writer of everything that concerns an account. What it decides is `streams.domain.accounts`.

    account.transfers, account.limits, orders.commands ──► ┌──────────┐ ──► orders.events, fills (key account)
    exchange.acks (plans, triggers and reports)        ──► │ accounts │ ──► orders.routable (key symbol) ──► router
    instruments, market.quotes, risk.defaults,  ─ ─ ─ ─ ─► └──────────┘ ──► venue.orders (key venue): cancels only; children are
    trading.states                                                          the router's

Transfers and limits are read first, so that an order finds the money that was sent before it in the same batch. Timers start orders,
release slices and end what is good till a date; a timer is about an order and therefore lies in its account's task.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.body import avro_body
from schemas.records import (
    AccountState,
    CancelAll,
    CancelOrder,
    ClientId,
    ExecutionReport,
    Instrument,
    ModifyOrder,
    OpenOrders,
    OrderRecord,
    PlaceOrder,
    Position,
    Quote,
    RoutePlan,
    RouteStatus,
    SetLimits,
    TradingState,
    Transfer,
)
from streams.domain.accounts import alarm, decide, order_of, subject
from streams.domain.decision import Before, Cause, Decision, Refused, World
from streams.domain.limits import EVERYBODY
from streams.domain.risk import Listings, RiskSettings
from streams.engine.agent import Agent, Broadcast, Context, Input, Message, Table, Timer

ACCOUNTS = Table("accounts", AccountState)
ORDERS = Table("orders", OrderRecord)
TAKEN = Table("transfers", ClientId)
LIMITS = Table("limits", SetLimits)
OPEN = Table("open", OpenOrders)
POSITIONS = Table("positions", Position)
INSTRUMENTS = Broadcast("instruments", Instrument)
QUOTES = Broadcast("market.quotes", Quote)
DEFAULTS = Broadcast("risk.defaults", SetLimits)
STATES = Broadcast("trading.states", TradingState)
TIMERS = "timers"  # the topic that an event names as the place of its cause


def accounts_agent(settings: RiskSettings | None = None) -> Agent:
    """The agent, with limits for every account."""
    limits = settings or RiskSettings()

    def process(ctx: Context, messages: Sequence[Message]) -> None:
        accounts, orders, taken, world = ctx.table(ACCOUNTS), ctx.table(ORDERS), ctx.table(TAKEN), _world(ctx, limits)
        for message in messages:
            about = subject(message.record)
            before = Before(
                account=accounts.get(about.account_id),
                order=orders.get(about.order_id) if about.order_id else None,
                taken=taken.get(about.transfer) if about.transfer else None,
            )
            cause = Cause(message.topic, message.partition, message.offset, ctx.now)
            decision = decide(message.record, cause, before, world)
            if isinstance(decision, Refused):
                ctx.dead_letter(message, decision.cause, decision.detail)
                continue
            if decision.taken is not None:
                taken[about.transfer] = decision.taken
            _carry_out(ctx, about.account_id, decision)

    def on_timer(ctx: Context, due: Sequence[Timer]) -> None:
        accounts, orders, world = ctx.table(ACCOUNTS), ctx.table(ORDERS), _world(ctx, limits)
        for timer in due:
            order = orders.get(order_of(timer.key))
            if order is None:
                continue
            cause = Cause(TIMERS, ctx.partition, timer.due, ctx.now)
            decision = alarm(timer.key, cause, Before(accounts.get(order.account_id), order), world)
            if isinstance(decision, Refused):
                raise RuntimeError(f"{decision.cause}: {decision.detail}")  # the engine puts the timer aside, with this
            _carry_out(ctx, order.account_id, decision)

    return Agent(
        name="accounts",
        inputs=(
            Input("account.transfers", (Transfer,), key=lambda r: r.account_id),
            Input("account.limits", (SetLimits,), key=lambda r: r.account_id),
            Input("orders.commands", (PlaceOrder, CancelOrder, CancelAll, ModifyOrder), key=lambda r: r.account_id),
            Input("exchange.acks", (RoutePlan, RouteStatus, ExecutionReport), key=lambda r: r.account_id),
        ),
        process=process,
        outputs=("orders.events", "fills", "orders.routable", "venue.orders"),
        tables=(ACCOUNTS, ORDERS, TAKEN, LIMITS, OPEN, POSITIONS),
        broadcasts=(INSTRUMENTS, QUOTES, DEFAULTS, STATES),
        on_timer=on_timer,
        local=Listings,
    )


def _world(ctx: Context, settings: RiskSettings) -> World:
    """What decisions may look at: the market, what may be traded, and the account's own tables."""
    instruments, listings = ctx.broadcast(INSTRUMENTS), ctx.local
    pages, positions = ctx.table(OPEN), ctx.table(POSITIONS)
    return World(
        terms=lambda symbol: listings.terms(symbol, instruments, ctx.now),
        quote=ctx.broadcast(QUOTES).get,
        settings=settings,
        body=avro_body,
        states=ctx.broadcast(STATES),
        defaults=ctx.broadcast(DEFAULTS).get(EVERYBODY),
        limits=ctx.table(LIMITS).get,
        order=ctx.table(ORDERS).get,
        page=lambda account, n: pages.get(f"{account}|{n}"),
        position=lambda account, symbol: positions.get(f"{account}|{symbol}"),
    )


def _carry_out(ctx: Context, account_id: str, decision: Decision) -> None:
    """Write the state after a decision, and send what goes out."""
    for key, due in decision.timers.items():
        ctx.cancel_timer(key) if due is None else ctx.set_timer(key, due)
    if not decision.events:
        return  # told before: nothing changed
    ctx.table(ACCOUNTS)[account_id] = decision.account
    orders = ctx.table(ORDERS)
    for order in decision.orders:
        orders[order.order_id] = order
    if decision.limits is not None:
        ctx.table(LIMITS)[account_id] = decision.limits
    for n, page in decision.pages.items():
        if page is None:
            del ctx.table(OPEN)[f"{account_id}|{n}"]
        else:
            ctx.table(OPEN)[f"{account_id}|{n}"] = page
    for symbol, position in decision.positions.items():
        ctx.table(POSITIONS)[f"{account_id}|{symbol}"] = position
    for event in decision.events:
        ctx.send("orders.events", event.account_id, event)
    for fill in decision.fills:
        ctx.send("fills", fill.account_id, fill)
    for route in decision.routes:
        ctx.send("orders.routable", route.symbol, route)
    for cancel in decision.cancels:
        ctx.send("venue.orders", cancel.venue, cancel)
