"""The chDB engine behind the server: connections with the right settings, and nothing about HTTP.

The rules kept here:

* one process opens a data folder, one connection stays open to keep the engine alive, and every request gets a
  connection of its own, so that its database, settings and read-only mode end with it;
* memory, caches and run time are bounded (the engine's own defaults are 90 % of the machine's memory and a 5 GB cache);
* inserts are synchronous: an answer means written (``async_insert`` is on by default in the engine);
* a query whose client went away is killed by the tag it runs under.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from xml.sax.saxutils import escape

import chdb

from infra.clickhouse_http.statements import identifier, is_select, quoted, without_format
from infra.clickhouse_http.wire import UNKNOWN_SETTING, Refused, native_header

# The packages chdb and chdb-core both bring this module, one with types and one without; which of them is there, chance decides.
_connect: Callable[[str], Any] = cast(Any, chdb).connect
_SETTING_NAME = re.compile(r"[A-Za-z_]\w*")
STREAMED_FORMATS = frozenset({"native", "tabseparated", "tsv", "csv", "rowbinary", "jsoneachrow"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server: bytes of memory in all, bytes of mark cache, seconds a query, background threads."""

    memory: int = 1_000_000_000
    mark_cache: int = 64 << 20
    seconds: int = 120
    background_threads: int = 4

    def server(self) -> dict[str, int]:
        """Settings of the engine's configuration file."""
        return {
            "max_server_memory_usage": self.memory,
            "mark_cache_size": self.mark_cache,
            "background_pool_size": self.background_threads,
            "background_schedule_pool_size": self.background_threads,
        }

    def query(self) -> dict[str, str]:
        """Settings every query begins with; a request may change them. Past the thresholds it spills to disk."""
        return {
            "async_insert": "0",
            "default_table_engine": "MergeTree",
            "max_execution_time": str(self.seconds),
            "max_memory_usage": str(self.memory * 8 // 10),
            "max_bytes_before_external_group_by": str(self.memory * 3 // 10),
            "max_bytes_before_external_sort": str(self.memory * 3 // 10),
        }


class Engine:
    """One opened data folder. Its methods block: call them from threads."""

    def __init__(self, path: Path, limits: Limits) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.limits = limits
        configuration = path / "server.xml"
        rows = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in limits.server().items())
        configuration.write_text(f"<clickhouse>{rows}</clickhouse>\n")
        self._where = f"{path / 'engine'}?config-file={configuration}"
        self._anchor = _connect(self._where)
        self.timezone = self.scalar("SELECT timezone()")
        self.version = self.scalar("SELECT version()")

    def scalar(self, sql: str) -> str:
        """The one value of a query, as text."""
        raw: bytes = self._anchor.query(sql, "TSVRaw").bytes()
        return raw.decode().rstrip("\n")

    @contextmanager
    def connection(
        self, database: str | None, settings: Mapping[str, str], tag: str, readonly: bool
    ) -> Iterator[Connection]:
        """A connection for one request; raises the engine's error for an unknown database or setting."""
        bad = next((name for name in settings if not _SETTING_NAME.fullmatch(name)), None)
        if bad is not None:
            raise Refused(UNKNOWN_SETTING, f"Unknown setting {bad!r}", "UNKNOWN_SETTING")
        raw = _connect(self._where)
        try:
            if database:
                raw.query(f"USE {identifier(database)}")
            chosen = {**self.limits.query(), **settings, "log_comment": tag}
            raw.query("SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in chosen.items()))
            if readonly:
                raw.query("SET readonly = 1")  # last: it forbids every further SET
            yield Connection(raw)
        finally:
            raw.close()

    def kill(self, tag: str) -> None:
        """Stop the query that runs under a tag, if any does."""
        self._anchor.query(f"KILL QUERY WHERE Settings['log_comment'] = {quoted(tag)} ASYNC", "Null")

    def close(self) -> None:
        """Close the data folder."""
        self._anchor.close()


@dataclass(frozen=True, slots=True)
class Result:
    """A whole answer, with what the engine read for it."""

    data: bytes
    rows_read: int
    bytes_read: int


class Connection:
    """One request's view of the engine."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def query(self, sql: str, fmt: str, params: Mapping[str, str]) -> Result:
        """Run a statement and keep its whole answer."""
        result = self._raw.query(sql, fmt, params=dict(params))
        return Result(result.bytes() or b"", result.rows_read(), result.bytes_read())

    @contextmanager
    def stream(self, sql: str, fmt: str, params: Mapping[str, str]) -> Iterator[Callable[[], bytes | None]]:
        """Run a query and hand out a function that gives its answer block by block, ``None`` at the end."""
        stream = self._raw.send_query(sql, fmt, params=dict(params))

        def following() -> bytes | None:
            block = stream.fetch()
            return None if block is None else (block.bytes() or b"")

        try:
            yield following
        finally:
            stream.close()

    def begin_insert(self, statement: str, fmt: str) -> Any:
        """An inserter: ``append(bytes)``, then ``finish()`` to commit or ``cancel()``."""
        return self._raw.send_insert(statement, fmt)

    def empty_native(self, sql: str, fmt: str, params: Mapping[str, str]) -> bytes:
        """The Native header of a query that returned no rows."""
        plain = without_format(sql, fmt)
        # Describing does not run the query; what is no SELECT is cheap to run again.
        described = is_select(plain)
        text = f"DESCRIBE (\n{plain}\n)" if described else plain
        answer = json.loads(self._raw.query(text, "JSONCompact", params=dict(params)).bytes())
        if described:
            return native_header((row[0], row[1]) for row in answer["data"])
        return native_header((column["name"], column["type"]) for column in answer["meta"])
