"""ClickHouse holds the log, record for record, whatever happens to the sink."""

from __future__ import annotations

import random
import signal
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import msgspec
import pytest
from sink_bench import SCALE, TOPICS, Log, SinkProcess, Wire, World

from schemas.moments import LATEST
from schemas.records import Fill, OrderEvent
from schemas.status import public_status
from sinks.clickhouse import TABLES

ACCOUNTS = [f"acct {i}" for i in range(9)]
EPOCH = datetime(1970, 1, 1)


class House:
    """A database of its own in ClickHouse."""

    def __init__(self, url: str) -> None:
        self.url, self.database = url, f"sinktest_{uuid.uuid4().hex[:8]}"
        parts = urlsplit(url)
        self.parts = parts
        self.client = clickhouse_connect.get_client(
            host=parts.hostname,
            port=parts.port,
            username=parts.username,
            password=parts.password,
            autogenerate_session_id=False,
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self.client.query(sql.replace("{db}", self.database)).result_rows)

    def count(self, table: str = "order_events") -> int:
        if not self.rows(f"SELECT 1 FROM system.tables WHERE database = '{self.database}' AND name = '{table}'"):
            return 0
        return int(self.rows(f"SELECT count() FROM {{db}}.{table}")[0][0])

    def through(self, wire: Wire) -> str:
        return f"http://{self.parts.username}:{self.parts.password}@127.0.0.1:{wire.port}"


@pytest.fixture
def house(stack: Any) -> Iterator[House]:
    made = House(stack.clickhouse)
    yield made
    made.client.command(f"DROP DATABASE IF EXISTS {made.database}")
    made.client.close()


def sink(log: Log, house: House, folder: Path, **config: Any) -> SinkProcess:
    given: dict[str, Any] = {"clickhouse": house.url, "database": house.database}
    given["settings"] = {"rows": 150, "linger": 0.02, "backoff": 0.05}
    return SinkProcess(log, "clickhouse", folder, **(given | config))


def _money(units: int | None) -> Decimal | None:
    return None if units is None else Decimal(units) / SCALE


def _time(micros: int | None) -> datetime | None:
    return None if micros is None else EPOCH + timedelta(microseconds=micros)


def _expected(record: Any, name: str, kind: str) -> Any:
    """What a column of a type must hold, said another way than the sink says it."""
    if name == "status":
        return public_status(record.state, record.filled) if record.order_id else ""
    if "." in name:
        outer, _, inner = name.partition(".")
        values = [getattr(b, inner) for b in getattr(record, outer)]
        if "Decimal" in kind:
            return [_money(v if "Nullable" in kind else v or 0) for v in values]
        return values
    value = getattr(record, name)
    if "Decimal" in kind:
        return _money(value)
    if "DateTime64" in kind:
        return _time(value)
    if isinstance(value, bytes):
        return value.hex()
    return "" if value is None else value


def assert_equal_to_log(log: Log, house: House, final: str = "") -> None:
    """Every committed record is one row, every column is right, and there is nothing else."""
    for table in TABLES:
        kinds = {r[0]: r[1] for r in house.rows(f"DESCRIBE TABLE {{db}}.{table.name}")}
        found = {}
        rows = house.rows(f"SELECT * FROM {{db}}.{table.name} {final}")
        for row in rows:
            values = dict(zip(kinds, row, strict=True))
            assert values["kafka_topic"] == table.topic
            found[values["kafka_partition"], values["kafka_offset"]] = values
        truth = {place: r for place, r in log.of(table.topic).items() if isinstance(r, table.record)}
        assert len(truth) > 10
        assert set(found) == set(truth)
        assert len(rows) == len(truth)
        for place, record in truth.items():
            of_record = {n: v for n, v in found[place].items() if not n.startswith("kafka_")}
            assert of_record == {n: _expected(record, n, kinds[n]) for n in of_record}


def test_kill_minus_nine_loses_nothing_and_doubles_nothing(log: Log, house: House, tmp_path: Path) -> None:
    log.write_much(World(1, ACCOUNTS), 2_000)
    process = sink(log, house, tmp_path)
    process.storm(6, house.count, len(log.of("orders.events")), random.Random(1))
    process.start().until_carried(TOPICS)
    process.end()
    assert_equal_to_log(log, house)
    months = house.rows("SELECT toYYYYMM(at), count() FROM {db}.order_events GROUP BY 1 ORDER BY 1")
    assert [m for m, _ in months] == [202410, 202411]  # the log crosses a month's end, so blocks had to be cut
    again = process.start()
    log.write_much(World(2, ["late"]), 120)
    again.until_carried(TOPICS)
    again.end()
    assert_equal_to_log(log, house)


def test_an_answer_that_is_lost_is_asked_for(log: Log, house: House, tmp_path: Path) -> None:
    """The insert happened, the client cannot know: it must neither be repeated nor left out."""
    wire = Wire((house.parts.hostname or "", house.parts.port or 0))
    log.write_much(World(3, ACCOUNTS), 600)
    process = sink(log, house, tmp_path, clickhouse=house.through(wire)).start()
    process.until_carried(TOPICS)
    wire.lose_answers(4, b"insert_deduplication_token")
    log.write_much(World(4, [f"more {a}" for a in ACCOUNTS]), 1_200)
    process.until_carried(TOPICS)
    process.end()
    wire.close()
    assert wire.lost >= 4
    assert_equal_to_log(log, house)


def test_a_target_that_is_away_is_waited_for(log: Log, house: House, tmp_path: Path) -> None:
    wire = Wire((house.parts.hostname or "", house.parts.port or 0))
    process = sink(log, house, tmp_path, clickhouse=house.through(wire)).start()
    log.write_much(World(5, ACCOUNTS), 300)
    process.until_carried(TOPICS)
    wire.silent.set()
    log.write_much(World(6, [f"more {a}" for a in ACCOUNTS]), 600)
    process.until(lambda: wire.lost >= 4, "four attempts")
    assert not log.carried(process.group, TOPICS)
    process.end()  # told to leave while it waits: leaves, and what it had in hand is read again
    wire.silent.clear()
    process.start().until_carried(TOPICS)
    process.end()
    wire.close()
    assert_equal_to_log(log, house)


def test_a_suspended_writer_does_no_harm(log: Log, house: House, tmp_path: Path) -> None:
    """SIGSTOP in the middle, another takes over and finishes, SIGCONT: what the first still writes are no second rows."""
    log.write_much(World(7, ACCOUNTS), 3_000)
    total = len(log.of("orders.events"))
    first = sink(log, house, tmp_path, instance=None).start()
    first.until(lambda: house.count() > total // 10, "a tenth")
    first.signal(signal.SIGSTOP)
    assert house.count() < total
    (tmp_path / "second").mkdir()
    second = sink(log, house, tmp_path / "second", instance=None).start()
    second.until_carried(TOPICS)
    first.signal(signal.SIGCONT)
    log.write_much(World(8, ["late"]), 120)
    second.until_carried(TOPICS)
    second.end()
    first.end()
    assert_equal_to_log(log, house, "FINAL")


def test_what_cannot_be_written_is_dead_lettered_and_the_rest_goes_on(log: Log, house: House, tmp_path: Path) -> None:
    world = World(9, ACCOUNTS)
    log.write_much(world, 200)
    log.write_bytes("orders.events", "a", b"garbage")
    log.write_bytes("orders.events", "a", b"\0\0\0\0\0")
    log.write_bytes("fills", "a", log.codec.encode(next(iter(log.of("orders.events").values()))))
    log.write_bytes("orders.events", "a", None)
    good = next(iter(log.of("orders.events").values()))
    fields = {f: getattr(good, f) for f in good.__struct_fields__}
    log.write_bytes("orders.events", "a", log.codec.encode(OrderEvent(**fields | {"at": 10**18})))
    log.write_much(world, 200)
    process = sink(log, house, tmp_path).start()
    process.until_carried(TOPICS)
    process.end()
    assert_equal_to_log(log, house)
    letters = log.dead_letters("orders.events", 4)
    causes = ["NOT_AVRO_FRAMED", "UNKNOWN_SCHEMA", "EMPTY_VALUE", "TIME_OUT_OF_RANGE"]
    assert sorted(x.cause for x in letters) == sorted(causes)
    assert {x.value for x in letters if x.cause == "NOT_AVRO_FRAMED"} == {b"garbage"}
    assert all(x.app == "sink.clickhouse" and x.origin_topic == f"{log.prefix}orders.events" for x in letters)
    assert [x.cause for x in log.dead_letters("fills", 1)] == ["WRONG_RECORD"]


def test_times_by_others_clocks_that_no_column_can_hold_are_none_and_take_no_row_with_them(
    log: Log, house: House, tmp_path: Path
) -> None:
    log.write_much(World(9, ACCOUNTS), 300)
    event, fill = next(iter(log.of("orders.events").values())), next(iter(log.of("fills").values()))
    assert isinstance(event, OrderEvent) and isinstance(fill, Fill)
    times = {"sent_at": -1, "scheduled_at": LATEST, "expires_at": 2**62}
    odd = msgspec.structs.replace(event, account_id="odd", **times)
    log.write_bytes("orders.events", "odd", log.codec.encode(odd))
    log.write_bytes("fills", "odd", log.codec.encode(msgspec.structs.replace(fill, account_id="odd", venue_at=2**62)))
    process = sink(log, house, tmp_path).start()
    process.until_carried(TOPICS)
    process.end()
    told = "SELECT sent_at, scheduled_at, expires_at FROM {db}.order_events WHERE account_id = 'odd'"
    assert house.rows(told) == [(None, None, None)]
    assert house.rows("SELECT toUnixTimestamp(venue_at), price > 0 FROM {db}.fills WHERE account_id = 'odd'") == [
        (0, 1)
    ]


def test_views_say_what_the_log_says(log: Log, house: House, tmp_path: Path) -> None:
    log.write_much(World(10, ACCOUNTS), 900)
    process = sink(log, house, tmp_path).start()
    process.until_carried(TOPICS)
    process.end()
    last: dict[str, OrderEvent] = {}
    balances: dict[tuple[str, str], tuple[int, ...]] = {}
    for e in sorted(log.of("orders.events").values(), key=lambda e: (e.account_id, e.account_seq)):
        if e.order_id:
            last[e.order_id] = e
        balances |= {(e.account_id, b.asset): (b.available, b.locked, b.held or 0, b.owed or 0) for b in e.balances}
    columns = (
        "order_id, account_id, side, order_type, state, status, filled, quantity, events, updated_at, "
        "stop_price, scheduled_at, expires_at"
    )
    orders = {r[0]: r[1:] for r in house.rows(f"SELECT {columns} FROM {{db}}.orders")}
    assert set(orders) == set(last)
    for order_id, e in last.items():
        # order_type stands on the first event only, and must be found there
        status = public_status(e.state, e.filled)
        known = (
            e.account_id,
            e.side,
            "LIMIT",
            e.state,
            status,
            _money(e.filled),
            _money(e.quantity),
            e.order_seq,
            _time(e.at),
            _money(e.stop_price),
            _time(e.scheduled_at),
            _time(e.expires_at),
        )
        assert orders[order_id] == known
    found = {
        (r[0], r[1]): r[2:]
        for r in house.rows("SELECT account_id, asset, available, locked, held, owed FROM {db}.balances")
    }
    assert found == {k: tuple(map(_money, values)) for k, values in balances.items()}
    fills: list[Fill] = list(log.of("fills").values())
    for venue, count, quantity, notional in house.rows(
        "SELECT venue, sum(fills), sum(quantity), sum(notional) FROM {db}.fills_by_venue GROUP BY venue"
    ):
        of_venue = [f for f in fills if f.venue == venue]
        assert (count, quantity) == (len(of_venue), _money(sum(f.quantity for f in of_venue)))
        assert notional == Decimal(sum(f.price * f.quantity for f in of_venue)) / SCALE**2
    assert house.parts.password
    assert house.parts.password not in process.stderr.read_text()
    undocumented = f"SELECT name FROM system.columns WHERE database = '{house.database}' AND comment = ''"
    assert not house.rows(undocumented)


def test_a_log_that_is_shorter_than_the_target_is_not_taken_for_it(log: Log, house: House, tmp_path: Path) -> None:
    """The cluster was made anew and ClickHouse was not: whoever went on would mix two histories."""
    log.write_much(World(11, ACCOUNTS), 200)
    process = sink(log, house, tmp_path).start()
    process.until_carried(TOPICS)
    process.end()
    house.client.command(
        f"INSERT INTO {house.database}.fills SELECT * REPLACE (1000000 AS kafka_offset) FROM {house.database}.fills LIMIT 1"
    )
    assert process.start().process is not None
    assert process.process is not None
    assert process.process.wait(60) == 1
    assert "another log?" in process.said()


# order_events as the first version made it, and a row that it wrote.
FIRST_TABLE = """
CREATE TABLE {db}.order_events
(
    account_id String, account_seq Int64, order_id String, order_seq Int32, client_order_id String, kind LowCardinality(String),
    state LowCardinality(String), status LowCardinality(String), symbol LowCardinality(String), side LowCardinality(String),
    order_type LowCardinality(String), time_in_force LowCardinality(String), quantity Nullable(Decimal(38, 8)),
    price Nullable(Decimal(38, 8)), filled Decimal(38, 8), filled_quote Decimal(38, 8), reason_code LowCardinality(String),
    reason String, venue LowCardinality(String), child_id String, trade_id String,
    balances Nested (asset LowCardinality(String), available_delta Decimal(38, 8), locked_delta Decimal(38, 8),
                     available Decimal(38, 8), locked Decimal(38, 8)),
    cause_topic LowCardinality(String), cause_partition Int32, cause_offset Int64, is_outcome Bool, actor LowCardinality(String),
    sent_at Nullable(DateTime64(6, 'UTC')), at DateTime64(6, 'UTC'), previous_hash String, hash String,
    kafka_topic LowCardinality(String), kafka_partition Int32, kafka_offset Int64, kafka_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
PRIMARY KEY (account_id, order_id, account_seq)
ORDER BY (account_id, order_id, account_seq, kafka_topic, kafka_partition, kafka_offset)
SETTINGS non_replicated_deduplication_window = 10000
"""
FIRST_ROW = """
INSERT INTO {db}.order_events
    (account_id, account_seq, order_id, order_seq, kind, state, symbol, `balances.asset`, `balances.available_delta`,
     `balances.locked_delta`, `balances.available`, `balances.locked`, at, kafka_topic, kafka_partition, kafka_offset)
VALUES ('of old', 1, 'old order', 1, 'ACCEPTED', 'ROUTING', 'BTC/USDT', ['USDT', 'BTC'], [1, 2], [3, 4], [5, 6], [7, 8],
        '2024-10-01 00:00:00', 'of old', 0, 7)
"""


def test_a_table_of_the_first_version_is_brought_up_to_date(log: Log, house: House, tmp_path: Path) -> None:
    house.client.command(f"CREATE DATABASE {house.database}")
    for statement in (FIRST_TABLE, FIRST_ROW):
        house.client.command(statement.replace("{db}", house.database))
    log.write_much(World(12, ACCOUNTS), 300)
    process = sink(log, house, tmp_path).start()
    process.until_carried(TOPICS)
    process.end()
    process.start().until_carried(TOPICS)  # and again, when there is nothing to do
    process.end()
    old = house.rows(
        "SELECT stop_price, scheduled_at, expires_at, balances.held, balances.owed, balances.held_delta, balances.owed_delta "
        "FROM {db}.order_events WHERE account_id = 'of old'"
    )
    assert old == [(None, None, None, *[[Decimal(0)] * 2] * 4)]
    balances = house.rows(
        "SELECT asset, available, locked, held, owed FROM {db}.balances WHERE account_id = 'of old' ORDER BY asset"
    )
    assert balances == [("BTC", 6, 8, 0, 0), ("USDT", 5, 7, 0, 0)]
    assert house.rows("SELECT stop_price, expires_at FROM {db}.orders WHERE order_id = 'old order'") == [(None, None)]
    house.client.command(f"DELETE FROM {house.database}.order_events WHERE account_id = 'of old'")
    assert_equal_to_log(log, house)
    # What came of it is what a new table would be: the same columns, in the same order.
    fresh = House(house.url)
    try:
        process = sink(log, fresh, tmp_path, group=f"{log.prefix}fresh").start()
        process.until(lambda: bool(fresh.count()), "its first rows")
        process.end()
        described = (
            "SELECT name, type FROM system.columns WHERE database = '{db}' AND table = 'order_events' ORDER BY position"
        )
        assert house.rows(described) == fresh.rows(described)
        comments = "SELECT name, comment FROM system.columns WHERE database = '{db}' AND table = 'order_events' AND comment != ''"
        assert set(house.rows(comments)) <= set(fresh.rows(comments))
    finally:
        fresh.client.command(f"DROP DATABASE IF EXISTS {fresh.database}")
        fresh.client.close()
