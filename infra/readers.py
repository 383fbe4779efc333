"""What the command line shows of the read model, in the words and decimals that users write.

`None` is what there is not: no such order, or an account of which nothing was ever told, not even that something was denied to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from infra import marks
from infra.client import now_us, text, units
from infra.query import ask
from schemas.records import Instrument, Position, SetLimits
from sinks.readmodel import Order, ReadModel
from streams.agents import portfolio

POSITIONS, LIMITS = "accounts-positions-changelog", "accounts-limits-changelog"  # the accounts agent's tables


def _of(valkey: str, account: str) -> ReadModel | None:
    model = ReadModel.connect(valkey)
    return model if model.account_seq(account) else None


def order_by_client_id(valkey: str, account: str, client_order_id: str) -> dict[str, Any] | None:
    """An order and its fills; `None` when the account has no such order."""
    model = ReadModel.connect(valkey)
    found = model.order_by_client_id(account, client_order_id)
    return None if found is None else {**shown(found), "fills": model.fills(found.order_id)}


def open_orders(valkey: str, account: str) -> list[dict[str, Any]] | None:
    """The account's orders that are pending or partial, oldest first."""
    model = _of(valkey, account)
    return None if model is None else [shown(order) for order in model.open_orders(account)]


def balances(valkey: str, account: str) -> dict[str, dict[str, str | None]] | None:
    """Asset -> available, locked, held and owed."""
    model = _of(valkey, account)
    if model is None:
        return None
    found = model.balances(account)
    return {asset: {name: text(getattr(b, name)) for name in b.__struct_fields__} for asset, b in found.items()}


def worth(kafka: Mapping[str, Any], registry: str, held: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """What balances are worth in `currency` by the last quotes: as `streams.agents.portfolio.worth` has it."""
    amounts = {
        asset: sum(units(b[part] or "0") for part in ("available", "locked", "held")) - units(b["owed"] or "0")
        for asset, b in held.items()
    }
    return portfolio.worth(amounts, currency, marks.quotes(kafka, registry), now_us())


def positions(kafka: Mapping[str, Any], registry: str, valkey: str, account: str) -> dict[str, dict[str, Any]] | None:
    """Symbol -> an account's position there, in all and by venue, as the accounts agent's table has it."""
    if _of(valkey, account) is None:
        return None
    found = marks.latest(kafka, registry, POSITIONS, Position)
    mine = [(key, p) for key, p in sorted(found.items()) if key.rpartition("|")[0] == account]
    return {key.rpartition("|")[2]: portfolio.position(p) for key, p in mine}


def symbols(kafka: Mapping[str, Any], registry: str) -> list[str]:
    """What any venue lists, in order."""
    found = marks.latest(kafka, registry, "instruments", Instrument)
    return sorted({instrument.symbol for instrument in found.values()})


def limits(kafka: Mapping[str, Any], registry: str, account: str) -> SetLimits | None:
    """What was set for an account, or with * for everybody, as far as anything was."""
    topic = "risk.defaults" if account == "*" else LIMITS
    return marks.latest(kafka, registry, topic, SetLimits).get(account)


def shown(order: Order) -> dict[str, Any]:
    """An order's fields with decimal strings and ISO times."""
    money = ("quantity", "price", "stop_price", "filled", "filled_quote")
    times = ("scheduled_at", "expires_at", "sent_at", "opened_at", "updated_at")
    found: dict[str, Any] = {name: getattr(order, name) for name in order.__struct_fields__}
    found |= {name: text(found[name]) for name in money}
    found |= {
        name: None if found[name] is None else datetime.fromtimestamp(found[name] / 1e6, UTC).isoformat()
        for name in times
    }
    return {**found, "average_price": text(order.average_price)}


STORY = (
    "SELECT order_seq, at, actor, kind, state, filled, reason_code, reason, venue, child_id, trade_id "
    "FROM order_events FINAL WHERE order_id = '{order_id}' ORDER BY order_seq"
)


def story(clickhouse: str, order_id: str) -> list[dict[str, Any]]:
    """Every event of an order, oldest first, as ClickHouse has it. Raises what `infra.query.ask` raises."""
    if not order_id.isalnum():
        raise ValueError(f"{order_id!r} is no order id")
    answer = ask(clickhouse, STORY.format(order_id=order_id))
    names = (
        "order_seq",
        "at",
        "actor",
        "kind",
        "state",
        "filled",
        "reason_code",
        "reason",
        "venue",
        "child_id",
        "trade_id",
    )
    return [dict(zip(names, (int(row[0]), *row[1:]), strict=True)) for row in answer.rows]
