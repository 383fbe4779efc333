"""The accounts agent: the one writer of everything that concerns an account. What it decides is `streams.domain.accounts`.

    account.transfers, orders.commands ──► ┌──────────┐ ──► orders.events, fills (key account)
    exchange.acks (plans and reports)  ──► │ accounts │ ──► orders.routable (key symbol) ──► router
    instruments, market.quotes  ─ ─ ─ ─ ─► └──────────┘ ──► venue.orders (key venue): cancels only; children are the router's

Transfers are read first, so that an order finds the money that was sent before it in the same batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.body import avro_body
from schemas.records import (
    AccountState,
    CancelOrder,
    ClientId,
    ExecutionReport,
    Instrument,
    ModifyOrder,
    OrderRecord,
    PlaceOrder,
    Quote,
    RoutePlan,
    Transfer,
)
from streams.domain.accounts import decide, subject
from streams.domain.decision import Before, Cause, Refused, World
from streams.domain.risk import Listings, RiskSettings
from streams.engine.agent import Agent, Broadcast, Context, Input, Message, Table

ACCOUNTS = Table("accounts", AccountState)
ORDERS = Table("orders", OrderRecord)
TAKEN = Table("transfers", ClientId)
INSTRUMENTS = Broadcast("instruments", Instrument)
QUOTES = Broadcast("market.quotes", Quote)


def accounts_agent(settings: RiskSettings | None = None) -> Agent:
    """The agent, with limits for every account."""
    limits = settings or RiskSettings()

    def process(ctx: Context, messages: Sequence[Message]) -> None:
        accounts, orders, taken = ctx.table(ACCOUNTS), ctx.table(ORDERS), ctx.table(TAKEN)
        instruments, listings = ctx.broadcast(INSTRUMENTS), ctx.local
        world = World(
            terms=lambda symbol: listings.terms(symbol, instruments, ctx.now),
            quote=ctx.broadcast(QUOTES).get,
            settings=limits,
            body=avro_body,
        )
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
            if not decision.events:
                continue  # told before: nothing changed
            accounts[about.account_id] = decision.account
            if decision.order is not None:
                orders[decision.order.order_id] = decision.order
            if decision.taken is not None:
                taken[about.transfer] = decision.taken
            for event in decision.events:
                ctx.send("orders.events", event.account_id, event)
            for fill in decision.fills:
                ctx.send("fills", fill.account_id, fill)
            for route in decision.routes:
                ctx.send("orders.routable", route.symbol, route)
            for cancel in decision.cancels:
                ctx.send("venue.orders", cancel.venue, cancel)

    return Agent(
        name="accounts",
        inputs=(
            Input("account.transfers", (Transfer,), key=lambda r: r.account_id),
            Input("orders.commands", (PlaceOrder, CancelOrder, ModifyOrder), key=lambda r: r.account_id),
            Input("exchange.acks", (RoutePlan, ExecutionReport), key=lambda r: r.account_id),
        ),
        process=process,
        outputs=("orders.events", "fills", "orders.routable", "venue.orders"),
        tables=(ACCOUNTS, ORDERS, TAKEN),
        broadcasts=(INSTRUMENTS, QUOTES),
        local=Listings,
    )
