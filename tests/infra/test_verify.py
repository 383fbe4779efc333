"""`bestex verify` finds nothing in a log that is right, and finds each thing that may be wrong with one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import msgspec
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from verify_log import PARTITIONS, UNIT, Trading, _quote, add, changed, right, trading, twice, without

from infra.query import QueryError, ask
from infra.settings import Addresses
from infra.verify.log import (
    ACCOUNTS,
    ACKS,
    ALERTS,
    CHILDREN,
    COMMANDS,
    EVENTS,
    FILLS,
    OPEN,
    ORDERS,
    POSITIONS,
    REQUESTS,
    TRANSFERS,
    Log,
)
from infra.verify.run import Targets, judge
from infra.verify.targets import (
    children_accepted_once,
    clickhouse_equals_log,
    notifier_equals_log,
    read_model_equals_log,
    venue_ledgers_equal_fills,
)
from schemas.records import (
    AssetAmount,
    Balance,
    DeadLetter,
    EventKind,
    ExecutionKind,
    ExecutionReport,
    OrderState,
    RoutePlan,
    Side,
)
from sinks.base import Row
from sinks.clickhouse import ClickHouseSink
from sinks.notifier import FileNotifier
from sinks.readmodel import ReadModelSink
from streams.agents.accounts import ORDERS as ORDERS_TABLE
from streams.domain.risk import RiskSettings

Harm = Callable[[Log], None]


@pytest.fixture(scope="module")
def traded() -> Trading:
    return trading()


def counts(t: Trading, log: Log) -> dict[str, int]:
    return judge(log, t.codec, Targets())[1]


def kind(of: EventKind) -> Callable[[Any], bool]:
    return lambda e: e.kind is of


def test_a_log_that_is_right_has_no_violation(traded: Trading) -> None:
    log = right(traded)
    assert len(log.entries[EVENTS]) > 25 and len(log.entries[FILLS]) == 4
    found, _ = judge(log, traded.codec, Targets())
    assert found == {
        "commands_answered_once": [],
        "transitions_legal": [],
        "client_order_ids_unique": [],
        "sequences_without_gap": [],
        "hash_chain": [],
        "state_equals_log": [],
        "money_conserved": [],
        "fills_equal_parents": [],
        "positions_equal_fills": [],
        "nothing_left_behind": [],
        "portfolio_rebuilt": [],
    }


def test_orders_that_were_forgotten_and_ids_that_are_used_again_are_right() -> None:
    t = trading(RiskSettings(order_retention_us=10_000_000, transfer_retention_us=10_000_000))
    t.driver.advance(10_020_000)  # a thousandth later at most
    assert [o.client_order_id for o in t.driver.all(ORDERS_TABLE).values()] == ["open"]
    t.driver.feed("market.quotes", "BTC/USDT", msgspec.structs.replace(_quote(), at=t.driver.now))
    t.place("ann", "filled", Side.BUY, UNIT, 60_001 * UNIT)
    (child,) = t.route("a")
    t.fill(child, UNIT, 60_001 * UNIT, 0, "BTC")
    log = right(t)
    assert judge(log, t.codec, Targets())[0] == {name: [] for name in counts(t, log)}
    # one that is gone before its end is not
    without(log, ORDERS, lambda o: o is not None and o.client_order_id == "open")
    log.entries[ORDERS] = [e for e in log.entries[ORDERS] if e.record is None or e.record.client_order_id != "open"]
    assert counts(t, log)["state_equals_log"] == 1


def accepted(e: Any) -> bool:
    return e.kind is EventKind.ACCEPTED and e.client_order_id == "filled"


HARM: list[tuple[str, str, Harm]] = [
    (
        "commands_answered_once",
        "an answer lost",
        lambda log: changed(log, EVENTS, lambda e: e.kind is EventKind.DENIED, is_outcome=False),
    ),
    (
        "commands_answered_once",
        "answered twice",
        lambda log: changed(
            log,
            EVENTS,
            lambda e: e.kind is EventKind.ROUTED,
            is_outcome=True,
            **dict(
                zip(
                    ("cause_topic", "cause_partition", "cause_offset"),
                    next(
                        (e.record.cause_topic, e.record.cause_partition, e.record.cause_offset)
                        for e in log.entries[EVENTS]
                        if accepted(e.record)
                    ),
                    strict=True,
                )
            ),
        ),
    ),
    ("commands_answered_once", "an answer to nothing", lambda log: without(log, TRANSFERS, lambda r: True)),
    (
        "commands_answered_once",
        "a command without answer",
        lambda log: twice(log, COMMANDS, lambda r: r is not None and r.client_order_id == "rests"),
    ),
    (
        "commands_answered_once",
        "a dead letter lost",
        lambda log: without(log, COMMANDS + ".dlq", lambda r: True),
    ),
    (
        "commands_answered_once",
        "answered for another account",
        lambda log: changed(log, EVENTS, lambda e: e.kind is EventKind.DENIED, account_id="ann"),
    ),
    (
        "commands_answered_once",
        "a stray command not moved",
        lambda log: add(
            log,
            COMMANDS,
            (next(e.partition for e in log.entries[COMMANDS] if e.record and e.record.account_id == "cyd") + 1)
            % PARTITIONS,
            next(e.record for e in log.entries[COMMANDS] if e.record and e.record.account_id == "cyd"),
            b"never moved",
        ),
    ),
    (
        "transitions_legal",
        "a state that cannot follow",
        lambda log: changed(log, EVENTS, kind(EventKind.ROUTED), state=OrderState.FILLED),
    ),
    (
        "transitions_legal",
        "moved after its end",
        lambda log: changed(log, EVENTS, kind(EventKind.DUPLICATE), state=OrderState.WORKING),
    ),
    (
        "transitions_legal",
        "filled beyond its quantity",
        lambda log: changed(
            log, EVENTS, lambda e: e.kind is EventKind.FILL and e.state is OrderState.FILLED, filled=3 * UNIT
        ),
    ),
    (
        "transitions_legal",
        "filled without a fill",
        lambda log: changed(log, EVENTS, lambda e: e.kind is EventKind.WORKING, filled=1),
    ),
    ("transitions_legal", "accepted twice", lambda log: twice(log, EVENTS, accepted)),
    ("sequences_without_gap", "an event lost", lambda log: without(log, EVENTS, kind(EventKind.WORKING))),
    ("sequences_without_gap", "an event twice", lambda log: twice(log, EVENTS, kind(EventKind.WORKING))),
    (
        "sequences_without_gap",
        "an order's number wrong",
        lambda log: changed(log, EVENTS, kind(EventKind.CLOSED), order_seq=99),
    ),
    (
        "state_equals_log",
        "the log's end lost",
        lambda log: log.entries[EVENTS].remove([e for e in log.entries[EVENTS] if e.record.account_id == "cyd"][-1]),
    ),
    ("positions_equal_fills", "a position lost", lambda log: log.entries[POSITIONS].clear()),
    (
        "positions_equal_fills",
        "a position's profit made up",
        lambda log: log.entries[POSITIONS].append(
            log.entries[POSITIONS][-1]._replace(record=_with(log.entries[POSITIONS][-1].record, "realised", 1))
        ),
    ),
    ("state_equals_log", "an account's state lost", lambda log: log.entries[ACCOUNTS].clear()),
    (
        "state_equals_log",
        "an order's state changed",
        lambda log: log.entries[ORDERS].append(
            log.entries[ORDERS][-1]._replace(record=_with(log.entries[ORDERS][-1].record, "filled", 1))
        ),
    ),
    (
        "portfolio_rebuilt",
        "what a position earned is made up, and taken from what it cost",
        lambda log: _also(log, POSITIONS, cost=lambda p: p.cost + 1, realised=lambda p: p.realised + 1),
    ),
    (
        "portfolio_rebuilt",
        "a balance that no event moved",
        lambda log: _also(log, ACCOUNTS, balances=lambda a: (*a.balances, Balance(asset="XYZ", available=1, locked=0))),
    ),
    ("portfolio_rebuilt", "an open order that is not listed", lambda log: log.entries[OPEN].clear()),
    ("portfolio_rebuilt", "an open order too many", lambda log: _also(log, ACCOUNTS, open_orders=lambda a: 7)),
    ("portfolio_rebuilt", "buys that there are not", lambda log: _also(log, ACCOUNTS, buying=lambda a: (_SOME,))),
    (
        "client_order_ids_unique",
        "a client order id taken twice",
        lambda log: changed(log, EVENTS, lambda e: accepted(e), client_order_id="rests", account_id="bob"),
    ),
    ("hash_chain", "a word changed", lambda log: changed(log, EVENTS, kind(EventKind.DENIED), reason="because")),
    ("hash_chain", "an event lost", lambda log: without(log, EVENTS, kind(EventKind.FILL))),
    (
        "money_conserved",
        "a balance made up",
        lambda log: changed(
            log,
            EVENTS,
            kind(EventKind.TRANSFERRED),
            balances=(_richer(log),),
        ),
    ),
    ("money_conserved", "a fee changed", lambda log: changed(log, FILLS, lambda f: f.fee == 1_234, fee=1_235)),
    ("money_conserved", "a price changed", lambda log: changed(log, FILLS, lambda f: f.fee == 7, price=60_000 * UNIT)),
    ("money_conserved", "a fill lost", lambda log: without(log, FILLS, lambda f: True)),
    (
        "money_conserved",
        "another amount deposited",
        lambda log: changed(log, TRANSFERS, lambda r: r.asset == "BTC", amount=6 * UNIT),
    ),
    (
        "money_conserved",
        "locked after the end",
        lambda log: changed(log, EVENTS, kind(EventKind.CLOSED), balances=()),
    ),
    ("fills_equal_parents", "a fill lost", lambda log: without(log, FILLS, lambda f: True)),
    ("fills_equal_parents", "a fill twice", lambda log: twice(log, FILLS, lambda f: True)),
    (
        "fills_equal_parents",
        "another quantity",
        lambda log: changed(log, FILLS, lambda f: f.fee == 7, quantity=UNIT),
    ),
    (
        "fills_equal_parents",
        "worse than the child's price",
        lambda log: changed(log, CHILDREN, lambda c: c.venue == "a", price=59_000 * UNIT),
    ),
    (
        "fills_equal_parents",
        "more than the child's quantity",
        lambda log: changed(log, CHILDREN, lambda c: c.venue == "a", quantity=UNIT // 2),
    ),
    ("fills_equal_parents", "a child never sent", lambda log: without(log, CHILDREN, lambda c: c.venue == "a")),
    (
        "fills_equal_parents",
        "a report without a fill",
        lambda log: add(
            log,
            ACKS,
            0,
            _again(next(e.record for e in log.entries[ACKS] if getattr(e.record, "trade_id", None)), "lost"),
        ),
    ),
    (
        "fills_equal_parents",
        "a fill nobody reported",
        lambda log: without(log, ACKS, lambda r: getattr(r, "kind", None) is ExecutionKind.FILL),
    ),
    ("nothing_left_behind", "a plan lost", lambda log: _unanswered(log, RoutePlan)),
    ("nothing_left_behind", "a child without report", lambda log: _unanswered(log, ExecutionReport)),
    ("nothing_left_behind", "a request put aside", lambda log: _put_aside(log)),
]


def _unanswered(log: Log, answer: type[Any]) -> None:
    """The last order, which is open, came long ago, and its answers of a kind are gone."""
    order_id = next(e.record.order_id for e in log.entries[EVENTS] if e.record.client_order_id == "open")
    log.entries[ACKS] = [
        e for e in log.entries[ACKS] if not (isinstance(e.record, answer) and e.record.order_id == order_id)
    ]
    for topic, name in ((EVENTS, "at"), (CHILDREN, "created_at")):
        log.entries[topic] = [
            e._replace(record=_with(e.record, name, 0)) if e.record.order_id == order_id else e
            for e in log.entries[topic]
        ]


def _put_aside(log: Log) -> None:
    entry = log.entries[REQUESTS][0]
    letter = DeadLetter(
        origin_topic=REQUESTS,
        origin_partition=entry.partition,
        origin_offset=entry.offset,
        cause="HANDLER_FAILED",
        detail="",
        app="router",
        at=0,
    )
    add(log, REQUESTS + ".dlq", 0, letter)


_SOME = AssetAmount(asset="BTC", amount=1)


def _also(log: Log, topic: str, **fields: Callable[[Any], Any]) -> None:
    """Once more the last record of a table's changelog, with other fields."""
    last = log.entries[topic][-1]
    values = {name: make(last.record) for name, make in fields.items()}
    log.entries[topic].append(last._replace(record=msgspec.structs.replace(last.record, **values)))


def _richer(log: Log) -> Any:
    (b,) = next(e.record for e in log.entries[EVENTS] if e.record.kind is EventKind.TRANSFERRED).balances
    return _with(b, "available", b.available + 1)


def _again(report: Any, trade_id: str) -> Any:
    return _with(report, "trade_id", trade_id)


def _with(record: Any, name: str, value: Any) -> Any:
    return msgspec.structs.replace(record, **{name: value})


@pytest.mark.parametrize(("name", "harm"), [pytest.param(n, h, id=f"{n}: {what}") for n, what, h in HARM])
def test_each_kind_of_harm_is_found(traded: Trading, name: str, harm: Harm) -> None:
    log = right(traded)
    harm(log)
    assert counts(traded, log)[name] > 0


@settings(max_examples=150, deadline=None)
@given(
    at=st.integers(0, 10**6), what=st.sampled_from(["lose", "repeat", "swap"]), topic=st.sampled_from([EVENTS, FILLS])
)
def test_no_record_can_be_lost_repeated_or_moved_unseen(traded: Trading, at: int, what: str, topic: str) -> None:
    log = right(traded)
    entries = log.entries[topic]
    n = at % len(entries)
    if what == "lose":
        del entries[n]
    elif what == "repeat":
        entries.insert(n, entries[n])
    else:
        # The order of two records matters where they are of one account's log; a swap of equals is none.
        same = [m for m, e in enumerate(entries) if e.partition == entries[n].partition and topic == EVENTS and m != n]
        same = [m for m in same if entries[m].record.account_id == entries[n].record.account_id]
        if not same:
            return
        entries[n], entries[same[0]] = entries[same[0]], entries[n]
    assert sum(counts(traded, log).values()) > 0


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_field_of_an_event_can_be_changed_unseen(traded: Trading, data: st.DataObject) -> None:
    log = right(traded)
    n = data.draw(st.integers(0, len(log.entries[EVENTS]) - 1))
    entry = log.entries[EVENTS][n]
    other = data.draw(st.sampled_from([e.record for e in log.entries[EVENTS]]))
    name = data.draw(st.sampled_from(entry.record.__struct_fields__))
    if getattr(other, name) == getattr(entry.record, name):
        return
    log.entries[EVENTS][n] = entry._replace(record=_with(entry.record, name, getattr(other, name)))
    assert sum(counts(traded, log).values()) > 0


# ---- the targets


def rows(log: Log, topic: str) -> list[Row]:
    return [Row(topic, e.partition, e.offset, 0, e.record, None) for e in log.entries[topic]]  # type: ignore[arg-type]


@pytest.fixture
def clickhouse(stack: Addresses, traded: Trading) -> Iterator[tuple[str, str]]:
    database = f"verify_{uuid.uuid4().hex[:8]}"
    sink = ClickHouseSink(stack.clickhouse, database)
    sink.setup()
    log = right(traded)
    sink.resume({(t, p): 0 for t in (EVENTS, FILLS, ACKS, ALERTS) for p in range(PARTITIONS)})
    sink.write(rows(log, EVENTS) + rows(log, FILLS) + rows(log, ACKS) + rows(log, ALERTS))
    yield stack.clickhouse, database
    change(stack.clickhouse, f"DROP DATABASE {database}", "default")
    sink.close()


def change(address: str, sql: str, database: str) -> None:
    """What `bestex query` would refuse: somebody's own client is not held to reading."""
    where = urlsplit(address)
    url, auth = f"http://{where.hostname}:{where.port}/", (unquote(where.username or ""), unquote(where.password or ""))
    httpx.post(url, params={"database": database}, content=sql, auth=auth, timeout=60).raise_for_status()


@pytest.mark.parametrize(
    "harm",
    [
        "",
        "ALTER TABLE fills DELETE WHERE fee > 0 SETTINGS mutations_sync = 1",
        "ALTER TABLE fills UPDATE quantity = quantity + 0.00000001 WHERE 1 SETTINGS mutations_sync = 1",
        "ALTER TABLE order_events DELETE WHERE kind = 'WORKING' SETTINGS mutations_sync = 1",
        "ALTER TABLE order_events UPDATE filled = filled + 0.00000001 WHERE kind = 'FILL' SETTINGS mutations_sync = 1",
        "ALTER TABLE order_events UPDATE expires_at = at WHERE kind = 'ACCEPTED' SETTINGS mutations_sync = 1",
        "ALTER TABLE route_plans UPDATE best_single_price = best_single_price + 0.00000001 WHERE 1 SETTINGS mutations_sync = 1",
        "ALTER TABLE route_plans DELETE WHERE attempt = 1 SETTINGS mutations_sync = 1",
        "ALTER TABLE venue_alerts DELETE WHERE state = 'CLEARED' SETTINGS mutations_sync = 1",
        "ALTER TABLE venue_alerts UPDATE found = found + 0.00000001 WHERE 1 SETTINGS mutations_sync = 1",
        "INSERT INTO fills SELECT * REPLACE (kafka_offset + 1000 AS kafka_offset) FROM fills LIMIT 1",
        "INSERT INTO order_events SELECT * REPLACE (kafka_offset + 1000 AS kafka_offset) FROM order_events LIMIT 1",
    ],
)
def test_clickhouse_is_held_against_the_log(clickhouse: tuple[str, str], traded: Trading, harm: str) -> None:
    address, database = clickhouse
    if harm:
        change(address, harm, database)
    found = list(clickhouse_equals_log(right(traded), address, database))
    assert bool(found) is bool(harm), found


@pytest.mark.parametrize("sql", ["DROP TABLE fills", "TRUNCATE TABLE fills", "INSERT INTO fills SELECT * FROM fills"])
def test_who_asks_changes_nothing(clickhouse: tuple[str, str], traded: Trading, sql: str) -> None:
    address, database = clickhouse
    with pytest.raises(QueryError, match="readonly"):
        ask(address, sql, database)
    assert not list(clickhouse_equals_log(right(traded), address, database))


@pytest.fixture
def model(stack: Addresses, traded: Trading) -> Iterator[tuple[Any, str, str]]:
    prefix = f"verify-{uuid.uuid4().hex[:8]}:"
    sink = ReadModelSink(stack.valkey, prefix)
    log = right(traded)
    sink.setup()
    sink.resume({(t, p): 0 for t in (EVENTS, FILLS) for p in range(PARTITIONS)})
    sink.write(rows(log, EVENTS) + rows(log, FILLS))
    client = redis.Redis.from_url(stack.valkey, decode_responses=True)
    yield client, prefix, stack.valkey
    for key in client.scan_iter(f"{prefix}*"):
        client.delete(key)
    client.close()
    sink.close()


@pytest.mark.parametrize(
    "harm",
    [
        lambda c, p: None,
        lambda c, p: c.hset(f"{p}balances:ann", "USDT", "1 0"),
        lambda c, p: c.hdel(f"{p}balances:ann", "BTC"),
        lambda c, p: c.sadd(f"{p}open:ann", "made-up"),
        lambda c, p: c.delete(f"{p}open:cyd"),
        lambda c, p: c.delete(next(c.scan_iter(f"{p}order:*"))),
        lambda c, p: c.hset(next(c.scan_iter(f"{p}order:*")), "filled", "0.12345"),
        lambda c, p: c.hset(next(c.scan_iter(f"{p}order:*")), "status", "partial"),
        lambda c, p: c.delete(next(c.scan_iter(f"{p}fills:*"))),
        lambda c, p: c.hset(f"{p}account:ann", "seq", 3),
    ],
)
def test_the_read_model_is_held_against_the_log(model: tuple[Any, str, str], traded: Trading, harm: Any) -> None:
    client, prefix, address = model
    changed = harm(client, prefix) is not None
    found = list(read_model_equals_log(right(traded), address, prefix))
    assert bool(found) is changed, found


@pytest.mark.parametrize(
    ("harm", "wrong"),
    [
        (lambda lines: lines, False),
        (lambda lines: lines[1:], True),
        (lambda lines: [*lines, lines[0]], True),
        (lambda lines: [*lines, json.dumps({**json.loads(lines[0]), "key": "zed:1"})], True),
        (lambda lines: [json.dumps({**json.loads(lines[0]), "filled": "77"}), *lines[1:]], True),
        (lambda lines: lines[:-1], True),
        (lambda lines: [*lines[:-1], json.dumps({**json.loads(lines[-1]), "found": "77"})], True),
    ],
)
def test_notices_are_held_against_the_log(tmp_path: Path, traded: Trading, harm: Any, wrong: bool) -> None:
    log, file = right(traded), tmp_path / "notices.jsonl"
    sink = FileNotifier(file)
    sink.setup()
    sink.resume({(t, p): 0 for t in (EVENTS, ALERTS) for p in range(PARTITIONS)})
    sink.write(rows(log, EVENTS) + rows(log, ALERTS))
    sink.close()
    file.write_text("".join(f"{line}\n" for line in harm(file.read_text().splitlines())))
    assert bool(list(notifier_equals_log(log, file))) is wrong


def audit(log: Log) -> dict[str, Any]:
    """What venue `a` would say of itself."""
    return {
        "accepted": {c.child_id: 1 for _, c in log.children() if c.venue == "a"},
        "conserved": True,
        "trades": [
            {
                "trade_id": f.fill_id.rpartition(":")[2],
                "client_order_id": f.child_id,
                "symbol": f.symbol,
                "side": f.side.value,
                "price": str(f.price / UNIT),
                "quantity": str(f.quantity / UNIT),
                "fee": f"{f.fee / UNIT:.8f}",
                "fee_asset": f.fee_asset,
            }
            for _, f in log.fills()
            if f.venue == "a"
        ],
    }


@pytest.mark.parametrize(
    ("harm", "accepted_wrong", "trades_wrong"),
    [
        (lambda a: a, 0, 0),
        (lambda a: {**a, "accepted": dict.fromkeys(a["accepted"], 2)}, 2, 0),
        (lambda a: {**a, "accepted": {**a["accepted"], "stray": 1}}, 1, 0),
        (lambda a: {**a, "conserved": False}, 0, 1),
        (lambda a: {**a, "trades": a["trades"][1:]}, 0, 1),
        (lambda a: {**a, "trades": [{**a["trades"][0], "fee": "0.5"}, *a["trades"][1:]]}, 0, 1),
        (lambda a: {**a, "trades": [*a["trades"], {**a["trades"][0], "trade_id": "77"}]}, 0, 1),
    ],
)
def test_venues_are_held_against_the_log(traded: Trading, harm: Any, accepted_wrong: int, trades_wrong: int) -> None:
    log = right(traded)
    said = {"a": harm(audit(log))}
    assert len(list(children_accepted_once(log, said))) == accepted_wrong
    assert len(list(venue_ledgers_equal_fills(log, said))) == trades_wrong
