"""What must hold of the accounts agent's tables, rebuilt from the log alone. As in `invariants`: the log in, a sentence a violation out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from infra.verify.invariants import ENDED, FIRST
from infra.verify.log import ACCOUNTS, OPEN, ORDERS, POSITIONS, Log
from schemas.records import AccountState, OpenOrders, OrderEvent, OrderRecord, OrderState, Position, Side
from streams.domain.positions import traded


def client_order_ids_unique(log: Log) -> Iterator[str]:
    """A client order id names one order of its account at a time: a second one begins only when the first has ended and been forgotten."""
    open_: dict[tuple[str, str], OrderEvent] = {}
    kept = {order.order_id for order in log.table(ORDERS, OrderRecord).values()}
    for entry, e in log.events():
        if not e.order_id:
            continue
        name = e.account_id, e.client_order_id
        before = open_.get(name)
        if e.kind not in FIRST:
            if before is not None and before.order_id == e.order_id:
                open_[name] = e
            continue
        open_[name] = e
        if before is None:
            continue
        first = f"{entry}: {e.account_id} calls order {e.order_id} {e.client_order_id}"
        if before.state not in ENDED:
            yield f"{first}, as it called order {before.order_id}, which is {before.state}"
        elif before.order_id in kept:
            yield f"{first}, as it called order {before.order_id}, which the table still has"


def portfolio_rebuilt(log: Log) -> Iterator[str]:
    """Balances, positions and open orders, folded from the log's first record to its last, are those of the tables.

    Balances from what each event says moved; positions, with average price and realised profit, from the fills; open orders, and what buys
    among them may still bring, from the orders' events.
    """
    yield from _balances(log)
    yield from _positions(log)
    yield from _open_orders(log)


def _balances(log: Log) -> Iterator[str]:
    held: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for _, e in log.events():
        for b in e.balances:
            one = held[e.account_id, b.asset]
            for n, delta in enumerate((b.available_delta, b.locked_delta, b.owed_delta or 0, b.held_delta or 0)):
                one[n] += delta
    table = {
        (account_id, b.asset): [b.available, b.locked, b.owed or 0, b.held or 0]
        for account_id, state in log.table(ACCOUNTS, AccountState).items()
        for b in state.balances
    }
    for key in held.keys() | table.keys():
        if (theirs := held.get(key, [0] * 4)) != (ours := table.get(key, [0] * 4)):
            yield f"account {key[0]} has {ours} of {key[1]} in the table, {theirs} by the log"


def _positions(log: Log) -> Iterator[str]:
    found: dict[str, Position] = {}
    for _, fill in log.fills():
        key = f"{fill.account_id}|{fill.symbol}"
        found[key] = traded(found.get(key), fill)
    table = log.table(POSITIONS, Position)
    for key in found.keys() | table.keys():
        if found.get(key) != table.get(key):
            yield f"position {key} is {table.get(key)} in the table, {found.get(key)} by the fills"


def _open_orders(log: Log) -> Iterator[str]:
    last: dict[str, OrderEvent] = {}
    for _, e in log.events():
        if e.order_id:
            last[e.order_id] = e
    ids: dict[str, set[str]] = defaultdict(set)
    buying: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for order_id, e in last.items():
        if e.state in ENDED:
            continue
        ids[e.account_id].add(order_id)
        if e.side is Side.BUY and e.state is not OrderState.SCHEDULED:
            buying[e.account_id][e.symbol.partition("/")[0]] += (e.quantity or 0) - e.filled
    listed: dict[str, set[str]] = defaultdict(set)
    for key, page in log.table(OPEN, OpenOrders).items():
        listed[key.rpartition("|")[0]] |= set(page.order_ids)
        if not page.order_ids:
            yield f"page {key} of open orders is empty"
    for account_id, state in log.table(ACCOUNTS, AccountState).items():
        theirs = ids.get(account_id, set())
        if listed.get(account_id, set()) != theirs or state.open_orders != len(theirs):
            there = f"{state.open_orders}, listed {sorted(listed.get(account_id, set()))}"
            yield f"account {account_id} has open orders {there} in the table, {sorted(theirs)} by the log"
        ours = {b.asset: b.amount for b in state.buying or ()}
        if ours != {asset: n for asset, n in buying[account_id].items() if n}:
            yield f"account {account_id} may still buy {ours} by the table, {dict(buying[account_id])} by the log"
