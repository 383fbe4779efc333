"""The contract of the HTTP interface in front of the embedded engine.

The server is a real process and its clients are real: clickhouse-connect as the sinks use it, plain HTTP as curl would.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import clickhouse_connect
import httpx
import lz4.frame
import psutil  # type: ignore[import-untyped]  # publishes no types
import pytest
import zstandard
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from infra.clickhouse_http.statements import (
    InsertHead,
    Unclear,
    insert_head,
    output_format,
    reads_only,
    refusal,
)
from infra.clickhouse_http.wire import BodyDecoder, Refused, native_header

USERS = {
    "writer": {"password": "w-secret", "readonly": False},
    "reader": {"password": "r-secret", "readonly": True},
}
WRITER = ("writer", "w-secret")
READER = ("reader", "r-secret")


@dataclass
class Running:
    process: subprocess.Popen[str]
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, user: tuple[str, str] = WRITER, compress: bool | str = True) -> Client:
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port, username=user[0], password=user[1], compress=compress
        )

    def post(self, sql: str | bytes = b"", user: tuple[str, str] = WRITER, **params: str) -> httpx.Response:
        content = sql.encode() if isinstance(sql, str) else sql
        return httpx.post(self.url, content=content, params=params, auth=user, timeout=60)

    def value(self, sql: str) -> str:
        answer = self.post(sql)
        assert answer.status_code == 200, answer.text
        return answer.text.strip()


def launch(folder: Path, port: int = 0) -> Running:
    command = [sys.executable, "-m", "infra.chdb_server", "--path", str(folder), "--port", str(port)]
    environment = {**os.environ, "BESTEX_CLICKHOUSE_USERS": json.dumps(USERS)}
    process = subprocess.Popen(
        [*command, "--memory", "600000000", "--seconds", "30"], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("ready on http://127.0.0.1:"), line
    return Running(process, int(line.split()[2].rpartition(":")[2]), folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = launch(tmp_path_factory.mktemp("clickhouse"))
    running.value("CREATE DATABASE shop")
    yield running
    running.process.terminate()
    assert running.process.wait(30) == 0


@pytest.fixture
def table(server: Running, request: pytest.FixtureRequest) -> str:
    name = f"shop.t{abs(hash(request.node.nodeid))}"
    server.value(
        f"CREATE TABLE {name} (id UInt64, name String, price Decimal(20, 8), at DateTime64(6, 'UTC')) "
        "ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100"
    )
    return name


NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)
ROWS: list[tuple[int, str, Decimal, datetime]] = [(n, f"name {n}", Decimal(n) / 8, NOON) for n in range(1000)]
NAMES = ["id", "name", "price", "at"]


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_rows_and_columns_survive_the_round_trip(server: Running, table: str, compress: bool | str) -> None:
    with server.client(compress=compress) as client:
        client.insert(table, ROWS, column_names=NAMES)
        columns = [list(column) for column in zip(*([r[0] + 1000, *r[1:]] for r in ROWS), strict=True)]
        client.insert(table, columns, column_names=NAMES, column_oriented=True)
        result = client.query(f"SELECT * FROM {table} ORDER BY id")
    assert len(result.result_rows) == 2000
    # Times in UTC come without a zone unless the client is asked for one.
    assert result.result_rows[777] == (777, "name 777", Decimal("97.125"), NOON.replace(tzinfo=None))
    assert result.result_rows[1777][1] == "name 777"


def test_parameters_are_values_not_text(server: Running, table: str) -> None:
    tricky = "it's a \\ 'quote' -- `x`"
    with server.client() as client:
        client.insert(table, [[1, tricky, Decimal(1), NOON]], column_names=NAMES)
        found = client.query(
            f"SELECT id FROM {table} WHERE name = {{name:String}} AND id IN {{ids:Array(UInt64)}}",
            parameters={"name": tricky, "ids": [1, 2]},
        )
        assert found.result_rows == [(1,)]
        assert client.command("SELECT {x:Decimal(20, 8)}", parameters={"x": "1.5"}) == "1.5"
    assert (
        server.post("SELECT {x:String}", param_x=tricky).text == tricky.replace("\\", "\\\\").replace("'", "\\'") + "\n"
    )


def test_an_empty_result_still_has_columns(server: Running, table: str) -> None:
    with server.client() as client:
        for sql in (f"SELECT id, price FROM {table}", f"SELECT id, price FROM {table} FORMAT Native"):
            answer = server.post(sql, default_format="Native")
            assert answer.content == native_header([("id", "UInt64"), ("price", "Decimal(20, 8)")])
        empty = client.query(f"SELECT id, price FROM {table} WHERE id = {{x:UInt64}}", parameters={"x": 9})
    assert empty.column_names == ("id", "price")
    assert empty.result_rows == []


def test_a_block_with_the_same_token_is_written_once(server: Running, table: str) -> None:
    token = {"insert_deduplication_token": "fills-3-100"}
    with server.client() as client:
        for _ in range(3):
            client.insert(table, ROWS, column_names=NAMES, settings=token)
        client.insert(table, ROWS, column_names=NAMES, settings={"insert_deduplication_token": "fills-3-200"})
    assert server.value(f"SELECT count() FROM {table}") == "2000"


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("zstd", zstandard.compress),
        ("lz4", lz4.frame.compress),
    ],
)
def test_plain_http_inserts(server: Running, table: str, encoding: str, pack: object) -> None:
    assert callable(pack)
    lines = "".join(f'{{"id": {n}, "name": "n", "price": "0.1", "at": "2026-01-02 00:00:00"}}\n' for n in range(50_000))
    answer = httpx.post(
        server.url,
        params={"query": f"INSERT INTO {table} FORMAT JSONEachRow"},
        content=pack(lines.encode()),
        headers={"Content-Encoding": encoding},
        auth=WRITER,
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    assert server.value(f"SELECT count(), sum(price) FROM {table}") == "50000\t5000"


def test_statement_and_data_in_one_body(server: Running, table: str) -> None:
    assert server.post(f"INSERT INTO {table} FORMAT CSV\n1,a,1.5,2026-01-02 00:00:00\n").status_code == 200
    assert server.post(f"INSERT INTO {table} VALUES (2, ' format csv ', 2.5, now())").status_code == 200
    assert server.post(f"INSERT INTO {table} SELECT 3, 'x', 3.5, now()").status_code == 200
    assert server.post(b"(4, 'y', 4.5, now())", query=f"INSERT INTO {table} VALUES").status_code == 200
    assert (
        server.value(f"SELECT groupArray(id), sum(price) FROM (SELECT * FROM {table} ORDER BY id)") == "[1,2,3,4]\t12"
    )


def test_a_damaged_or_broken_off_insert_writes_nothing(server: Running, table: str) -> None:
    good = "".join(f"{n},a,1.5,2026-01-02 00:00:00\n" for n in range(200_000))
    bad = server.post(good + "not a number,a,1,x\n", query=f"INSERT INTO {table} FORMAT CSV")
    assert bad.status_code == 400
    cut = httpx.post(
        server.url,
        params={"query": f"INSERT INTO {table} FORMAT CSV"},
        content=gzip.compress(good.encode())[:-2000],
        headers={"Content-Encoding": "gzip"},
        auth=WRITER,
    )
    assert "cut short" in cut.text
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        head = (
            f"POST /?query=INSERT+INTO+{table}+FORMAT+CSV HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: writer\r\n"
            "X-ClickHouse-Key: w-secret\r\nContent-Length: 99999999\r\n\r\n"
        )
        raw.sendall(head.encode() + good.encode())
    assert server.value(f"SELECT count() FROM {table}") == "0"


def test_get_reads_and_cannot_write(server: Running, table: str) -> None:
    read = httpx.get(server.url, params={"query": "SELECT 40 + 2 FORMAT JSONCompact"}, auth=WRITER)
    assert read.json()["data"] == [[42]]
    assert read.headers["Content-Type"].startswith("application/json")
    for sql in (f"DROP TABLE {table}", f"INSERT INTO {table} VALUES (1, 'a', 1, now())", "SET max_threads = 1"):
        refused = httpx.get(server.url, params={"query": sql}, auth=WRITER)
        assert refused.headers["X-ClickHouse-Exception-Code"] == "164", sql
    assert server.value(f"SELECT count() FROM {table}") == "0"
    assert httpx.get(f"{server.url}/ping").text == "Ok.\n"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT * FROM `file`('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1/', 'LineAsString')",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "WITH 1 AS x SELECT * FROM s3 ('http://127.0.0.1/')",
        "/* SELECT */ DROP DATABASE shop",
        "KILL QUERY WHERE 1",
        "INSERT INTO shop.none FORMAT CSV\n1",
        "CREATE TABLE shop.x (a UInt8) ENGINE = Memory",
    ],
)
def test_a_reader_reads_only_the_database(server: Running, sql: str) -> None:
    answer = server.post(sql, user=READER)
    assert answer.headers["X-ClickHouse-Exception-Code"] == "164", answer.text
    assert "root:" not in answer.text


def test_a_reader_may_ask_with_words_in_strings(server: Running) -> None:
    answer = server.post("SELECT 'drop file(x) into outfile' AS `file`", user=READER)
    assert answer.status_code == 200
    assert server.post("SELECT 1 SETTINGS readonly = 0", user=READER).status_code != 200


def test_what_is_not_there_says_so(server: Running) -> None:
    """A client that asked for ClickHouse's block framing and got plain bytes would report nonsense."""
    assert server.post("SELECT 1", compress="1").status_code == 501
    assert server.post("SELECT 1", decompress="1").status_code == 501
    assert httpx.put(server.url, content="SELECT 1", auth=WRITER).status_code == 501
    assert server.post("SELECT 1", session_id="any").text == "1\n"


def test_who_asks(server: Running) -> None:
    for answer in (
        httpx.post(server.url, content="SELECT 1"),
        httpx.post(server.url, content="SELECT 1", auth=("writer", "wrong")),
        httpx.post(server.url, content="SELECT 1", auth=("nobody", "")),
        httpx.post(server.url, content="SELECT 1", headers={"Authorization": "Basic ?"}),
    ):
        assert answer.status_code == 403
        assert answer.headers["X-ClickHouse-Exception-Code"] == "516"
    keyed = {"X-ClickHouse-User": "reader", "X-ClickHouse-Key": "r-secret"}
    assert httpx.post(server.url, content="SELECT 1", headers=keyed).text == "1\n"


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELEC 1", 400, "62"),
        ("SELECT * FROM shop.nothing", 404, "60"),
        ("SELECT * FROM nowhere.nothing", 404, "81"),
        ("SELECT nofunction(1)", 404, "46"),
        ("SELECT throwIf(1)", 500, "395"),
    ],
)
def test_errors_have_clickhouse_codes(server: Running, sql: str, status: int, code: str) -> None:
    answer = server.post(sql)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (status, code), answer.text
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    with server.client() as client, pytest.raises(DatabaseError, match=f"(?i)code:? {code}"):
        client.query(sql)


def test_an_error_after_the_first_rows_breaks_the_answer_off(server: Running) -> None:
    sql = "SELECT throwIf(number = 3000000) FROM numbers(10000000) SETTINGS max_block_size = 65536, max_threads = 1"
    with pytest.raises(httpx.RemoteProtocolError):
        server.post(sql)


def test_settings_end_with_their_request(server: Running, table: str) -> None:
    assert server.post("SELECT getSetting('max_threads')", max_threads="1").text == "1\n"
    assert server.post("SELECT getSetting('async_insert')").text in ("0\n", "false\n")
    assert server.post("SELECT 1", no_such_setting="1").status_code == 404
    assert server.post("SELECT currentDatabase()", database="shop").text == "shop\n"
    assert server.post("SELECT currentDatabase()").text != "shop\n"


def test_time_and_memory_are_bounded(server: Running) -> None:
    slow = server.post("SELECT sum(sipHash64(number)) FROM numbers(1000000000000)", max_execution_time="1")
    assert slow.headers["X-ClickHouse-Exception-Code"] == "159"
    assert slow.status_code == 408
    greedy = server.post("SELECT groupArray(number) FROM numbers(1000000000)")
    assert greedy.headers["X-ClickHouse-Exception-Code"] == "241"
    assert (
        server.value("SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'") == "600000000"
    )


def test_a_query_dies_with_its_client(server: Running) -> None:
    running = (
        "SELECT count() FROM system.processes WHERE query LIKE '%sipHash128(number)%' AND query NOT LIKE '%count()%'"
    )
    gone = threading.Event()

    def ask_and_leave() -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                server.url, content="SELECT max(sipHash128(number)) FROM numbers(1000000000000)", auth=WRITER, timeout=1
            )
        gone.set()

    thread = threading.Thread(target=ask_and_leave)
    thread.start()
    deadline = time.monotonic() + 10
    while server.value(running) != "1" and not gone.is_set():
        assert time.monotonic() < deadline
    thread.join()
    while server.value(running) != "0":
        assert time.monotonic() < deadline, "the query went on without its client"


def test_large_results_are_streamed_whole(server: Running) -> None:
    with server.client() as client, client.query_row_block_stream("SELECT number FROM numbers(2000000)") as blocks:
        assert sum(len(block) for block in blocks) == 2_000_000


def test_views_and_final(server: Running) -> None:
    for sql in (
        "CREATE TABLE shop.raw (k String, v UInt64) ENGINE = MergeTree ORDER BY k",
        "CREATE TABLE shop.sums (k String, v SimpleAggregateFunction(sum, UInt64)) "
        "ENGINE = AggregatingMergeTree ORDER BY k",
        "CREATE MATERIALIZED VIEW shop.mv TO shop.sums AS SELECT k, sum(v) AS v FROM shop.raw GROUP BY k",
        "INSERT INTO shop.raw SELECT toString(number % 2), number FROM numbers(10)",
        "INSERT INTO shop.raw SELECT toString(number % 2), number FROM numbers(10)",
    ):
        server.value(sql)
    assert server.value("SELECT k, v FROM shop.sums FINAL ORDER BY k") == "0\t40\n1\t50"


def test_acknowledged_rows_outlive_a_kill_and_sigterm_is_clean(tmp_path: Path) -> None:
    first = launch(tmp_path / "data")
    first.value("CREATE DATABASE d")
    first.value("CREATE TABLE d.t (id UInt64) ENGINE = MergeTree ORDER BY id")
    with first.client() as client:
        for start in range(0, 5000, 1000):
            client.insert("d.t", [[n] for n in range(start, start + 1000)], column_names=["id"])
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    second = launch(tmp_path / "data", first.port)
    assert second.value("SELECT count(), sum(id) FROM d.t") == f"5000\t{sum(range(5000))}"
    second.process.terminate()
    assert second.process.wait(30) == 0
    assert not psutil.pid_exists(second.process.pid)


def test_it_does_not_start_without_users(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "BESTEX_CLICKHOUSE_USERS"}
    result = subprocess.run(
        [sys.executable, "-m", "infra.chdb_server", "--path", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "no users" in result.stderr


@pytest.mark.parametrize(
    ("body", "statement", "fmt", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x01\x02", "INSERT INTO t", "Native", b"\x01\x02"),
        (b"insert into t (a, b) format CSV\r\n1,2", "insert into t (a, b)", "CSV", b"1,2"),
        (
            b"-- note: format X\n INSERT INTO `a format b` FORMAT TSV\n1",
            "-- note: format X\n INSERT INTO `a format b`",
            "TSV",
            b"1",
        ),
        (b"INSERT INTO t VALUES (1, ' format CSV ')", "INSERT INTO t", "Values", b" (1, ' format CSV ')"),
        (b"INSERT INTO t SETTINGS a = 1 FORMAT CSV;\n1", "INSERT INTO t SETTINGS a = 1", "CSV", b"1"),
    ],
)
def test_heads_of_inserts(body: bytes, statement: str, fmt: str, data: bytes) -> None:
    whole = insert_head(body, complete=True)
    assert whole == InsertHead(statement, fmt, len(body) - len(data))
    # However the body is cut on its way, the verdict is the same or waits.
    for cut in range(len(body)):
        assert insert_head(body[:cut], complete=False) in (Unclear.MORE, whole)


def test_statements_without_data_are_no_inserts() -> None:
    for body in (b"SELECT 1 FORMAT CSV", b"INSERT INTO t SELECT * FROM u FORMAT CSV", b"", b"  -- nothing\n"):
        assert insert_head(body, complete=True) is None


def test_reading_a_statement() -> None:
    assert output_format("SELECT ' format CSV', f(1) FORMAT JSON ;") == "JSON"
    assert output_format("SELECT formatDateTime(now(), '%F')") is None
    assert reads_only("-- x\n ((SELECT 1))")
    assert not reads_only("DROP TABLE t")
    assert refusal("SELECT 1") is None
    assert refusal("SELECT file('x')") is not None


def test_a_body_may_come_in_any_pieces() -> None:
    text = b"some text " * 1000
    for encoding, packed in (
        ("gzip", gzip.compress(text)),
        ("zstd", zstandard.compress(text)),
        ("lz4", lz4.frame.compress(text[:5000]) + lz4.frame.compress(text[5000:])),
    ):
        decoder = BodyDecoder(encoding)
        assert b"".join(decoder.decode(packed[n : n + 7]) for n in range(0, len(packed), 7)) == text, encoding
        decoder.finish()
    with pytest.raises(Refused, match="not supported"):
        BodyDecoder("br")
    with pytest.raises(Refused, match="damaged"):
        BodyDecoder("gzip").decode(b"no gzip at all")
