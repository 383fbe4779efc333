"""The accounts agent: the one writer of everything that concerns an account. What it decides is `streams.domain.accounts`.

    account.transfers, account.limits, orders.commands ──► ┌──────────┐ ──► orders.events, fills (key account)
    exchange.acks (plans, triggers and reports)        ──► │ accounts │ ──► orders.routable (key symbol) ──► router
    instruments, market.quotes, risk.defaults,  ─ ─ ─ ─ ─► └──────────┘ ──► venue.orders (key venue): cancels only; children are
    trading.states                                          │        ▲      the router's
                                                            └────────┘ orders.sweeps: a cancel of a symbol, on its way to all accounts

Transfers and limits are read first, so that an order finds the money that was sent before it in the same batch. Timers start orders,
release slices and end what is good till a date; a timer is about an order and therefore lies in its account's task. Retention and
sweeps are in `upkeep`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

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
from streams.agents import upkeep
from streams.agents.portfolio import account_view
from streams.domain.accounts import alarm, decide, order_of, subject, sweep
from streams.domain.decision import Before, Cause, Decision, Refused, World
from streams.domain.events import order_key
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
SHORTEST_US = 1_000_000  # of a retention


def accounts_agent(settings: RiskSettings | None = None) -> Agent:
    """The agent, with limits for every account. Raises `ValueError` for a retention that is too short."""
    limits = settings or RiskSettings()
    if min(limits.order_retention_us, limits.transfer_retention_us) < SHORTEST_US:
        raise ValueError("what is over is kept for a second at least")

    def process(ctx: Context, messages: Sequence[Message]) -> None:
        state, world, taken = _State(ctx), _world(ctx, limits), ctx.table(TAKEN)
        accounts, orders = state.accounts, state.orders
        ended: list[str] = []
        transfers: list[str] = []
        for message in messages:
            if message.topic == upkeep.SWEEPS:
                upkeep.begin(ctx, message)
                continue
            about = subject(message.record)
            before = Before(
                accounts.get(about.account_id),
                orders.get(about.order_id) if about.order_id else None,
                taken.get(about.transfer) if about.transfer else None,
            )
            cause = Cause(message.topic, message.partition, message.offset, ctx.now)
            decision = decide(message.record, cause, before, world)
            if isinstance(decision, Refused):
                ctx.dead_letter(message, decision.cause, decision.detail)
                continue
            if decision.taken is not None:
                taken[about.transfer] = decision.taken
                transfers.append(about.transfer)
            ended += decision.ended
            state.carry_out(about.account_id, decision)
        upkeep.over(ctx, upkeep.ORDER, ended, limits.order_retention_us)
        upkeep.over(ctx, upkeep.TRANSFER, transfers, limits.transfer_retention_us)

    def on_timer(ctx: Context, due: Sequence[Timer]) -> None:
        state, world = _State(ctx), _world(ctx, limits)
        room = upkeep.MOST
        ended: list[str] = []

        def swept(account_id: str, symbol: str, by: int, offset: int) -> None:
            account = state.accounts.get(account_id)
            if account is None or not account.open_orders:
                return
            cause = Cause(upkeep.SWEEPS, ctx.partition, offset, ctx.now)
            decision = sweep(account_id, symbol, by, cause, Before(account), world)
            if isinstance(decision, Refused):
                raise RuntimeError(f"{account_id}: {decision.cause}: {decision.detail}")
            ended.extend(decision.ended)
            state.carry_out(account_id, decision)

        for timer in due:
            what, order_id = timer.key.partition("|")[0], order_of(timer.key)
            if what == upkeep.FORGET:
                room -= upkeep.forget(ctx, timer.key, room, ORDERS, TAKEN)
                continue
            if what == upkeep.SWEEP:
                upkeep.go_on(ctx, timer.key, swept)
                continue
            order = state.orders.get(order_key(order_id))
            if order is None or order.order_id != order_id:
                continue
            cause = Cause(TIMERS, ctx.partition, timer.due, ctx.now)
            decision = alarm(timer.key, cause, Before(state.accounts.get(order.account_id), order), world)
            if isinstance(decision, Refused):
                raise RuntimeError(f"{decision.cause}: {decision.detail}")  # the engine puts the timer aside, with this
            ended += decision.ended
            state.carry_out(order.account_id, decision)
        upkeep.over(ctx, upkeep.ORDER, ended, limits.order_retention_us)

    return Agent(
        name="accounts",
        inputs=(
            Input("account.transfers", (Transfer,), key=lambda r: r.account_id),
            Input("account.limits", (SetLimits,), key=lambda r: r.account_id),
            Input("orders.commands", (PlaceOrder, CancelOrder, CancelAll, ModifyOrder), key=lambda r: r.account_id),
            Input(upkeep.SWEEPS, (CancelAll,)),
            # What the router weighed is for analysts; here only what it decided counts.
            Input("exchange.acks", (RoutePlan, RouteStatus, ExecutionReport), key=lambda r: r.account_id, brief=True),
        ),
        process=process,
        outputs=("orders.events", "fills", "orders.routable", "venue.orders", upkeep.SWEEPS),
        tables=(
            *(ACCOUNTS, ORDERS, TAKEN, LIMITS, OPEN, POSITIONS),
            *(upkeep.OVER, upkeep.PAGES, upkeep.ERA, upkeep.TRADERS, upkeep.TRADED),
        ),
        broadcasts=(INSTRUMENTS, QUOTES, DEFAULTS, STATES),
        on_timer=on_timer,
        local=Listings,
        views={"account": account_view(ACCOUNTS, POSITIONS, QUOTES)},
    )


def _world(ctx: Context, settings: RiskSettings) -> World:
    """What decisions may look at: the market, what may be traded, and the account's own tables."""
    instruments, listings = ctx.broadcast(INSTRUMENTS), ctx.local
    pages, positions, orders = ctx.table(OPEN), ctx.table(POSITIONS), ctx.table(ORDERS)
    return World(
        terms=cache(lambda symbol: listings.terms(symbol, instruments, ctx.now)),  # which do not change within a batch
        quote=ctx.broadcast(QUOTES).get,
        settings=settings,
        body=avro_body,
        states=ctx.broadcast(STATES),
        defaults=ctx.broadcast(DEFAULTS).get(EVERYBODY),
        limits=ctx.table(LIMITS).get,
        order=lambda order_id: orders.get(order_key(order_id)),
        page=lambda account, n: pages.get(f"{account}|{n}"),
        position=lambda account, symbol: positions.get(f"{account}|{symbol}"),
        era=upkeep.era(ctx),
    )


class _State:
    """The tables that decisions are made from and change, as a batch sees them."""

    __slots__ = ("_ctx", "_limits", "_open", "_positions", "accounts", "orders")

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.accounts, self.orders = ctx.table(ACCOUNTS), ctx.table(ORDERS)
        self._limits, self._open, self._positions = ctx.table(LIMITS), ctx.table(OPEN), ctx.table(POSITIONS)

    def carry_out(self, account_id: str, decision: Decision) -> None:
        """Write the state after a decision, and send what goes out."""
        ctx, send = self._ctx, self._ctx.send
        for key, due in decision.timers.items():
            ctx.cancel_timer(key) if due is None else ctx.set_timer(key, due)
        if not decision.events:
            # Told before, or nothing to tell. What an order waits for may be another all the same.
            for order in decision.orders:
                if self.orders.get(key := order_key(order.order_id)) != order:
                    self.orders[key] = order
            return
        self.accounts[account_id] = decision.account
        for order in decision.orders:
            self.orders[order_key(order.order_id)] = order
        if decision.limits is not None:
            self._limits[account_id] = decision.limits
        for n, page in decision.pages.items():
            if page is None:
                del self._open[f"{account_id}|{n}"]
            else:
                self._open[f"{account_id}|{n}"] = page
        for symbol, position in decision.positions.items():
            self._positions[f"{account_id}|{symbol}"] = position
        if decision.symbols:
            upkeep.traders(ctx, account_id, decision.symbols)
        if decision.sweep is not None:
            upkeep.pass_on(ctx, decision.sweep)
        for event, body in zip(decision.events, decision.bodies, strict=True):
            send("orders.events", account_id, event, body)
        for fill in decision.fills:
            send("fills", fill.account_id, fill)
        for route in decision.routes:
            send("orders.routable", route.symbol, route)
        for cancel in decision.cancels:
            send("venue.orders", cancel.venue, cancel)
