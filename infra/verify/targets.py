"""What the targets hold, held against the log: ClickHouse, the read model, the notifier's file, the simulated venues' own books.

Each is asked in its own language, not through the sink that wrote it. One sentence for each violation.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import redis

from infra.query import DATABASE, ask
from infra.verify.invariants import ENDED, UNIT
from infra.verify.log import Log
from schemas.moments import held
from schemas.records import EventKind, Fill, OrderEvent, OrderState, RoutePlan, VenueAlert

AUDIT_SECONDS = 30.0


def units(text: Any) -> int | None:
    """A target's decimal text in units of 1e-8; `None` for nothing."""
    return None if text is None or text == "" else int(Decimal(str(text)) * UNIT)


def _differ(name: str, ours: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> Iterator[str]:
    """What is missing, made up or different, key by key; `ours` is the log's."""
    yield from (f"{name} lacks {key}" for key in ours if key not in theirs)
    yield from (f"{name} has {key}, which the log has not" for key in theirs if key not in ours)
    for key, value in ours.items():
        if key in theirs and theirs[key] != value:
            yield f"{name} has {key} as {theirs[key]}, the log says {value}"


# ---- ClickHouse


def clickhouse_equals_log(log: Log, address: str, database: str = DATABASE) -> Iterator[str]:
    """Every event, fill, plan and alert is one row, at its place, with its values; and the view of orders shows where each order stands."""
    answer = ask(
        address,
        "SELECT kafka_partition, kafka_offset, account_id, account_seq, order_id, order_seq, client_order_id, kind, state, quantity, "
        "price, filled, filled_quote, reason_code, venue, child_id, trade_id, is_outcome, balances.asset, balances.available, "
        "balances.locked, balances.held, balances.owed, hash, toUnixTimestamp64Micro(at), stop_price, "
        "toUnixTimestamp64Micro(scheduled_at), toUnixTimestamp64Micro(expires_at) FROM order_events FINAL",
        database,
    )
    theirs = {
        (int(r[0]), int(r[1])): (
            *r[2:3],
            int(r[3]),
            r[4],
            int(r[5]),
            *r[6:9],
            *map(units, r[9:13]),
            *r[13:17],
            bool(r[17]),
            tuple(zip(r[18], *(map(units, column) for column in r[19:23]), strict=True)),
            r[23],
            int(r[24]),
            units(r[25]),
            *(None if at is None else int(at) for at in r[26:28]),
        )
        for r in answer.rows
    }
    yield from _differ("order_events", {(e.partition, e.offset): _event_row(v) for e, v in log.events()}, theirs)
    answer = ask(
        address,
        "SELECT kafka_partition, kafka_offset, fill_id, account_id, order_id, client_order_id, child_id, venue, symbol, side, price, "
        "quantity, fee, fee_asset, liquidity, arrival_mid, best_single_price FROM fills FINAL",
        database,
    )
    rows = {
        (int(r[0]), int(r[1])): (*r[2:10], *map(units, r[10:13]), *r[13:15], *map(units, r[15:17])) for r in answer.rows
    }
    yield from _differ("fills", {(e.partition, e.offset): _fill_row(f) for e, f in log.fills()}, rows)
    answer = ask(
        address,
        "SELECT kafka_partition, kafka_offset, order_id, attempt, unrouted, best_single_price, children.child_id, children.quantity, "
        "children.expected_price, candidates.venue, candidates.score, toUnixTimestamp64Micro(planned_at) FROM route_plans FINAL",
        database,
    )
    plans = {
        (int(r[0]), int(r[1])): (
            r[2],
            int(r[3]),
            *map(units, r[4:6]),
            tuple(zip(r[6], map(units, r[7]), map(units, r[8]), strict=True)),
            tuple(zip(r[9], map(units, r[10]), strict=True)),
            int(r[11]),
        )
        for r in answer.rows
    }
    yield from _differ("route_plans", {(e.partition, e.offset): _plan_row(p) for e, p in log.plans()}, plans)
    answer = ask(
        address,
        "SELECT kafka_partition, kafka_offset, id, venue, kind, state, asset, expected, found, venue_order_id, detail, "
        "toUnixTimestamp64Micro(at) FROM venue_alerts FINAL",
        database,
    )
    alerts = {(int(r[0]), int(r[1])): (*r[2:7], *map(units, r[7:9]), *r[9:11], int(r[11])) for r in answer.rows}
    yield from _differ("venue_alerts", {(e.partition, e.offset): _alert_row(a) for e, a in log.alerts()}, alerts)
    answer = ask(address, "SELECT order_id, account_id, state, filled, filled_quote FROM orders", database)
    last = {e.order_id: (e.account_id, e.state.value, e.filled, e.filled_quote) for _, e in log.events() if e.order_id}
    yield from _differ("orders", last, {r[0]: (r[1], r[2], units(r[3]), units(r[4])) for r in answer.rows})


def _event_row(e: OrderEvent) -> tuple[Any, ...]:
    return (
        e.account_id,
        e.account_seq,
        e.order_id,
        e.order_seq,
        e.client_order_id,
        e.kind.value,
        e.state.value,
        e.quantity,
        e.price,
        e.filled,
        e.filled_quote,
        e.reason_code,
        e.venue or "",
        e.child_id or "",
        e.trade_id or "",
        e.is_outcome,
        tuple((b.asset, b.available, b.locked, b.held or 0, b.owed or 0) for b in e.balances),
        e.hash.hex(),
        e.at,
        e.stop_price,
        held(e.scheduled_at),
        held(e.expires_at),
    )


def _fill_row(f: Fill) -> tuple[Any, ...]:
    text = (f.fill_id, f.account_id, f.order_id, f.client_order_id, f.child_id, f.venue, f.symbol, f.side.value)
    money = (f.price, f.quantity, f.fee)
    return (*text, *money, f.fee_asset, f.liquidity.value, f.arrival_mid, f.best_single_price)


def _plan_row(p: RoutePlan) -> tuple[Any, ...]:
    children = tuple((c.child_id, c.quantity, c.expected_price) for c in p.children)
    scores = tuple((c.venue, c.score) for c in p.candidates)
    return p.order_id, p.attempt, p.unrouted, p.best_single_price, children, scores, p.planned_at


def _alert_row(a: VenueAlert) -> tuple[Any, ...]:
    what = (a.id, a.venue, a.kind.value, a.state.value, a.asset or "", a.expected, a.found)
    return (*what, a.venue_order_id or "", a.detail, a.at)


def clickhouse_rows(address: str) -> int:
    """Rows of all tables together."""
    tables = ("order_events", "fills", "quotes", "route_plans", "venue_alerts")
    answer = ask(address, "SELECT " + " + ".join(f"(SELECT count() FROM {name})" for name in tables))
    return int(answer.rows[0][0])


# ---- the read model


def read_model_equals_log(log: Log, address: str, prefix: str = "bestex:") -> Iterator[str]:
    """Every account's funds and open orders, every order and every fill are what the log's last word about them is."""
    client = redis.Redis.from_url(address, decode_responses=True, socket_timeout=AUDIT_SECONDS)
    try:
        yield from _read_model(log, client, prefix)
    finally:
        client.close()


def _read_model(log: Log, client: Any, prefix: str) -> Iterator[str]:
    seq: dict[str, int] = {}
    held: dict[str, dict[str, tuple[int, ...]]] = defaultdict(dict)
    orders: dict[str, OrderEvent] = {}
    still_open: dict[str, set[str]] = defaultdict(set)
    for _, e in log.events():
        seq[e.account_id] = e.account_seq
        for b in e.balances:
            held[e.account_id][b.asset] = (b.available, b.locked, b.held or 0, b.owed or 0)
        if e.order_id:
            orders[e.order_id] = e
    for e in orders.values():
        if e.state not in ENDED:
            still_open[e.account_id].add(e.order_id)
    fills: dict[str, set[str]] = defaultdict(set)
    for _, f in log.fills():
        fills[f.order_id].add(f.fill_id)

    def get(command: str, kind: str, keys: Iterator[str] | list[str]) -> dict[str, Any]:
        names = list(keys)
        found: list[Any] = []
        for at in range(0, len(names), 5_000):
            with client.pipeline(transaction=False) as pipeline:
                for name in names[at : at + 5_000]:
                    getattr(pipeline, command)(f"{prefix}{kind}:{name}")
                found += pipeline.execute()
        return dict(zip(names, found, strict=True))

    accounts = list(seq)
    has = get("hgetall", "account", accounts)
    yield from _differ("read model account", seq, {a: int(h["seq"]) for a, h in has.items() if "seq" in h})
    has = get("hgetall", "balances", accounts)
    balances = {
        a: {asset: tuple(map(units, text.split(" "))) for asset, text in h.items()} for a, h in has.items() if h
    }
    yield from _differ("read model balances", {a: dict(h) for a, h in held.items()}, balances)
    has = get("smembers", "open", accounts)
    yield from _differ("read model open orders", dict(still_open), {a: set(ids) for a, ids in has.items() if ids})
    has = get("hgetall", "order", list(orders))
    theirs = {
        i: (
            h.get("account_id"),
            h.get("client_order_id"),
            h.get("state"),
            units(h.get("filled")),
            units(h.get("filled_quote")),
            units(h.get("stop_price")),
            *(int(h[name]) if name in h else None for name in ("scheduled_at", "expires_at")),
        )
        for i, h in has.items()
        if h
    }
    ours = {
        i: (
            e.account_id,
            e.client_order_id,
            e.state.value,
            e.filled,
            e.filled_quote,
            e.stop_price,
            e.scheduled_at,
            e.expires_at,
        )
        for i, e in orders.items()
    }
    yield from _differ("read model order", ours, theirs)
    status = {i: _status(e) for i, e in orders.items()}
    yield from _differ("read model status", status, {i: h.get("status") for i, h in has.items() if h})
    has = get("hkeys", "fills", list(orders))
    yield from _differ("read model fills", dict(fills), {i: set(names) for i, names in has.items() if names})


def _status(e: OrderEvent) -> str:
    """The five words that users see, from what they mean."""
    if e.state is OrderState.FILLED:
        return "filled"
    if e.state in (OrderState.CANCELLED, OrderState.EXPIRED):
        return "cancelled"
    if e.state in (OrderState.DENIED, OrderState.REJECTED):
        return "rejected"
    return "partial" if e.filled else "pending"


# ---- the venues


def audits(venues: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Venue -> what it says of itself. Raises `httpx.HTTPError`."""
    found = {}
    with httpx.Client(timeout=AUDIT_SECONDS) as client:
        for name, url in venues.items():
            response = client.get(f"{url}/sim/audit")
            response.raise_for_status()
            found[name] = json.loads(response.content)
    return found


def children_accepted_once(log: Log, said: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """No venue accepted a child twice, or one that we never sent to it."""
    sent = {(c.venue, c.child_id) for _, c in log.children()}
    for venue, audit in said.items():
        for child_id, times in audit["accepted"].items():
            if times > 1:
                yield f"{venue} accepted {child_id} {times} times"
            if (venue, child_id) not in sent:
                yield f"{venue} accepted {child_id}, which was never sent to it"


def venue_ledgers_equal_fills(log: Log, said: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A venue's own trades are our fills, to the last unit, and its money adds up. A simulated venue keeps its books when it is started anew."""
    for venue, audit in said.items():
        if not audit["conserved"]:
            yield f"{venue}: its own money does not add up"
        theirs = {
            (t["trade_id"], t["client_order_id"]): (
                t["side"],
                units(t["price"]),
                units(t["quantity"]),
                units(t["fee"]),
                t["fee_asset"],
            )
            for t in audit["trades"]
        }
        ours = {
            (f.fill_id.rpartition(":")[2], f.child_id): (f.side.value, f.price, f.quantity, f.fee, f.fee_asset)
            for _, f in log.fills()
            if f.venue == venue
        }
        yield from _differ(f"{venue}'s trades", ours, theirs)


# ---- the notifier

# What a user is told of: fills, ends and refusals. Steps on the way and repeats are not.
TOLD = frozenset(
    {
        EventKind.DENIED,
        EventKind.FILL,
        EventKind.CLOSED,
        EventKind.CANCEL_DENIED,
        EventKind.MODIFY_DENIED,
        EventKind.MODIFY_REJECTED,
        EventKind.TRIGGERED,
        EventKind.WAITING,
        EventKind.TRANSFER_DENIED,
    }
)


def notifier_equals_log(log: Log, file: Path) -> Iterator[str]:
    """Every event that a user is told of, and every alert, was told once, with its values, and nothing else was."""
    times: Counter[str] = Counter()
    theirs = {}
    with file.open("rb") as lines:
        for line in lines:
            told = json.loads(line)
            times[told["key"]] += 1
            of_order = (told.get("order_id"), told["state"], units(told.get("filled")), told.get("trade_id"))
            theirs[told["key"]] = (told["kind"], *of_order, units(told.get("found")))
    ours: dict[str, tuple[str | int | None, ...]] = {
        f"{e.account_id}:{e.account_seq}": (
            e.kind.value,
            e.order_id,
            e.state.value if e.order_id else None,
            e.filled,
            e.trade_id,
            None,
        )
        for _, e in log.events()
        if e.kind in TOLD
    }
    for _, a in log.alerts():
        ours[f"{a.id}:{a.state.value}"] = (a.kind.value, None, a.state.value, None, None, a.found)
    yield from _differ("notices", ours, theirs)
    for key, count in times.items():
        if count > 1:
            yield f"notice {key} was told {count} times"
