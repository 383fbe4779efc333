"""The table of topics: what each carries, what it is keyed by, how long it is kept.

One row a topic. Topics of a task group (the inputs of one agent that share state) must have one number of partitions, because a key
must fall into the same partition of each. `partitions = 0` means the deployment's default.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas import records as r

DEAD_LETTERS = ".dlq"


@dataclass(frozen=True, slots=True)
class Topic:
    """One row. `compact` keeps the last record of each key; `retention_ms` -1 keeps for ever, 0 means the broker's default."""

    name: str
    key: str
    records: tuple[type[r.Record], ...]
    partitions: int = 0
    compact: bool = False
    retention_ms: int = 0


WEEK = 7 * 86_400_000

TOPICS: tuple[Topic, ...] = (
    Topic("orders.commands", "account_id", (r.PlaceOrder, r.CancelOrder, r.CancelAll, r.ModifyOrder)),
    Topic("account.transfers", "account_id", (r.Transfer,)),
    # a cancel of a symbol in all accounts, one copy a partition; the accounts agent's own
    Topic("orders.sweeps", "symbol", (r.CancelAll,)),
    Topic("account.limits", "account_id", (r.SetLimits,)),
    Topic("exchange.acks", "account_id", (r.RoutePlan, r.RouteStatus, r.ExecutionReport)),
    Topic("orders.events", "account_id", (r.OrderEvent,), retention_ms=-1),
    Topic("fills", "account_id", (r.Fill,), retention_ms=-1),
    Topic("orders.routable", "symbol", (r.RouteRequest, r.RouteCancel)),
    Topic("market.books", "symbol", (r.BookUpdate,), retention_ms=3_600_000),
    Topic("market.trades", "symbol", (r.Trade,), retention_ms=WEEK),
    Topic("market.quotes", "symbol", (r.Quote,), compact=True),
    # what holds for everybody, read by every task: the default limits (key *), and what may be traded, by scope
    Topic("risk.defaults", "account_id", (r.SetLimits,), partitions=1, compact=True),
    Topic("trading.states", "scope", (r.TradingState,), compact=True),
    Topic("venue.orders", "venue", (r.ChildOrder, r.ChildCancel)),
    # the execution connector's own: the same number of partitions as venue.orders, partition for partition
    Topic("execution.journal", "child_id", (r.ExecutionState, r.VenueLedger, r.VenueAlert), compact=True),
    Topic("venue.health", "venue", (r.VenueHealth,), partitions=1, compact=True),
    Topic("venue.balances", "venue and asset", (r.VenueBalance,), partitions=1, compact=True),
    # few, and a venue's past is asked for long after
    Topic("venue.alerts", "id", (r.VenueAlert,), partitions=1, retention_ms=-1),
    Topic("instruments", "venue and symbol", (r.Instrument,), partitions=1, compact=True),
)
BY_NAME = {t.name: t for t in TOPICS}


def dead_letters(topic: str) -> str:
    """The name of a topic's dead-letter twin."""
    return topic + DEAD_LETTERS
