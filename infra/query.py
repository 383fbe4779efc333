"""Asks ClickHouse over its HTTP interface, with nothing between the analyst's SQL and the server's answer. Only reads: what would change
something is refused by the server, for the tables are the sink's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

DATABASE = "bestex"
TIMEOUT_SECONDS = 120.0


class QueryError(RuntimeError):
    """ClickHouse refused the statement; the message is its own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Column names and types, and rows of JSON values (64-bit and decimal numbers as strings, so that they stay exact)."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[list[Any]]


def ask(address: str, sql: str, database: str = DATABASE, **parameters: str) -> Answer:
    """The answer to a statement; `{name:Type}` in it is replaced by `parameters` at the server. Raises `QueryError`, `httpx.HTTPError`."""
    with _asked(address, sql, "JSONCompact", parameters, database) as response:
        text = response.read()
    if not text.strip():
        return Answer((), (), [])  # a statement that answers nothing
    body = json.loads(text)
    return Answer(tuple(m["name"] for m in body["meta"]), tuple(m["type"] for m in body["meta"]), body["data"])


def raw(address: str, sql: str, output_format: str) -> Iterator[bytes]:
    """The answer's bytes in one of ClickHouse's formats (CSV, JSONEachRow, Parquet …). Raises as `ask` does."""
    with _asked(address, sql, output_format, {}) as response:
        yield from response.iter_bytes()


@contextmanager
def _asked(
    address: str, sql: str, output_format: str, parameters: Mapping[str, str], database: str = DATABASE
) -> Iterator[httpx.Response]:
    parts = urlsplit(address)
    settings = {
        "database": database,
        "readonly": "2",  # a server lets settings be given, the local one not even those; nothing else may change
        "default_format": output_format,
        "output_format_json_quote_64bit_integers": "1",
        "output_format_json_quote_decimals": "1",
        **{f"param_{name}": value for name, value in parameters.items()},
    }
    port = parts.port or (8443 if parts.scheme == "https" else 8123)
    auth = (unquote(parts.username or "default"), unquote(parts.password or ""))
    with (
        httpx.Client(timeout=TIMEOUT_SECONDS, auth=auth) as client,
        client.stream(
            "POST", f"{parts.scheme}://{parts.hostname}:{port}/", params=settings, content=sql.encode()
        ) as response,
    ):
        if response.status_code != 200:
            response.read()
            raise QueryError(response.text.strip()[:2000] or f"HTTP {response.status_code}")
        yield response
