"""What the command line shows of the read model, in the words and decimals that users write."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from infra.client import text
from infra.query import ask
from sinks.readmodel import Order, ReadModel


def order_by_client_id(valkey: str, account: str, client_order_id: str) -> dict[str, Any] | None:
    """An order and its fills; `None` when the account has no such order."""
    model = ReadModel.connect(valkey)
    found = model.order_by_client_id(account, client_order_id)
    return None if found is None else {**shown(found), "fills": model.fills(found.order_id)}


def open_orders(valkey: str, account: str) -> list[dict[str, Any]]:
    """The account's orders that are pending or partial, oldest first."""
    return [shown(order) for order in ReadModel.connect(valkey).open_orders(account)]


def balances(valkey: str, account: str) -> dict[str, dict[str, str | None]]:
    """Asset -> available and locked."""
    found = ReadModel.connect(valkey).balances(account)
    return {asset: {"available": text(b.available), "locked": text(b.locked)} for asset, b in found.items()}


def shown(order: Order) -> dict[str, Any]:
    """An order's fields with decimal strings and ISO times."""
    money = ("quantity", "price", "filled", "filled_quote")
    times = ("sent_at", "opened_at", "updated_at")
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
