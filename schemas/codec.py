"""Registry-framed Avro: bytes to typed records and back.

A message is a zero byte, the schema id (four bytes, big-endian) and the Avro body, as Confluent's serializers write it, so that any
Kafka client with a registry reads what we write and the other way round. Records written with another version of a schema are
resolved to ours. What cannot be read raises `DecodeError` with a stable code; a registry that does not answer raises
`RegistryUnavailable`, which says nothing about the message and must be retried, never dead-lettered.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, overload

import fastavro

from schemas import records
from schemas.binary import MAX_MONEY as MAX_MONEY
from schemas.records import Record

AVRO_DIR = Path(__file__).parent / "avro"
REFUSED_SECONDS = 10.0
BY_NAME: Mapping[str, type[Record]] = {cls.AVRO: cls for cls in records.RECORDS}

A = TypeVar("A", bound=Record)
B = TypeVar("B", bound=Record)
C = TypeVar("C", bound=Record)
D = TypeVar("D", bound=Record)


class DecodeError(Exception):
    """A message that is not one of our records. `code` is stable, `detail` is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


class RegistryUnavailable(Exception):
    """The schema registry did not answer: try again later."""


class SchemaUnread(RegistryUnavailable):
    """Schemas that nobody asked the registry for yet: `Codec.learn` them, and decode again."""

    def __init__(self, ids: Iterable[int]) -> None:
        super().__init__("schemas to be asked for")
        self.ids = frozenset(ids)


class Registry(Protocol):
    """Where schema ids come from."""

    def register(self, name: str, schema: str) -> int:
        """The id of `schema` under the subject `name`; raises if it breaks compatibility."""

    def fetch(self, schema_id: int) -> str | None:
        """The schema text of an id, `None` when the registry says that there is none."""


class LocalRegistry:
    """Ids without a server, for tests in memory: 1, 2, 3 … in the order of registration."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def register(self, name: str, schema: str) -> int:
        if schema not in self.texts:
            self.texts.append(schema)
        return self.texts.index(schema) + 1

    def fetch(self, schema_id: int) -> str | None:
        return self.texts[schema_id - 1] if 0 < schema_id <= len(self.texts) else None


def schema_text(record: type[Record]) -> str:
    """The Avro definition of a record, as it is registered."""
    return json.dumps(json.loads((AVRO_DIR / f"{record.__name__}.avsc").read_text()))


def without_logical_types(schema: Any) -> Any:
    """The schema whose decimals are bytes and whose timestamps are longs: converting them is the records' work."""
    if isinstance(schema, dict):
        return {
            k: without_logical_types(v) for k, v in schema.items() if k not in ("logicalType", "precision", "scale")
        }
    if isinstance(schema, list):
        return [without_logical_types(s) for s in schema]
    return schema


def _units(schema: Any, at: str = "") -> dict[str, tuple[str, int]]:
    """Field path -> (logical type, scale) of every field that has one."""
    found: dict[str, tuple[str, int]] = {}
    if isinstance(schema, dict):
        if "logicalType" in schema:
            found[at] = (schema["logicalType"], schema.get("scale", 0))
        for f in schema.get("fields", ()):
            found |= _units(f["type"], f"{at}.{f['name']}")
        for key in ("items", "type"):
            if isinstance(schema.get(key), dict | list):
                found |= _units(schema[key], at)
    elif isinstance(schema, list):
        for s in schema:
            found |= _units(s, at)
    return found


class _Reader:
    """How to read the messages of one schema id. `writer` is None for our own version, which the record reads itself."""

    __slots__ = ("cls", "reader", "writer")

    def __init__(self, cls: type[Record], writer: Any | None, reader: Any | None) -> None:
        self.cls, self.writer, self.reader = cls, writer, reader


class Codec:
    """Encodes and decodes; one a process. Registers every record of the flow when it is made, and `others` with their schemas.

    `on_demand` false: `decode` never waits for the registry, but raises `SchemaUnread`.
    """

    def __init__(self, registry: Registry, others: Mapping[type[Record], str] = {}) -> None:
        self._registry = registry
        self._heads: dict[type[Record], bytes] = {}
        self._readers: dict[int, _Reader] = {}
        self._parsed: dict[str, Any] = {}
        self.on_demand = True
        self._refused: dict[int, tuple[float, DecodeError]] = {}  # id -> until when it is not asked for again, and why
        self.ids: dict[str, int] = {}
        self._by_name = {**BY_NAME, **{cls.AVRO: cls for cls in others}}
        self._texts = {cls: others.get(cls) or schema_text(cls) for cls in self._by_name.values()}
        for name, cls in self._by_name.items():
            text = self._texts[cls]
            schema_id = registry.register(name, text)
            self.ids[name] = schema_id
            self._parsed[name] = fastavro.parse_schema(without_logical_types(json.loads(text)))
            self._heads[cls] = b"\0" + schema_id.to_bytes(4, "big")
            self._readers[schema_id] = _Reader(cls, None, None)

    def encode(self, record: Record, body: bytes | None = None) -> bytes:
        """The message of a record, of which the caller may have the body. Raises `ValueError` for a value that its schema cannot hold."""
        try:
            return self._heads[type(record)] + (record.body() if body is None else body)
        except (TypeError, AttributeError, KeyError, OverflowError) as error:
            raise ValueError(f"{record.AVRO} cannot be written: {type(error).__name__}: {error}") from error

    def readers(
        self, *expected: type[Record], brief: bool = False
    ) -> dict[bytes, Callable[[bytes, int], tuple[Record, int]]]:
        """Frame -> what reads a message of one of `expected` in our own version, from its fifth byte: for loops over many messages.

        What is not among them, is raised upon, or does not end at the message's end, is for `decode` to judge. `brief`: see `Record.read_brief`.
        """
        return {self._heads[cls]: cls.read_brief if brief else cls.read for cls in expected}

    @overload
    def decode(self, data: bytes | None, a: type[A], /) -> A: ...
    @overload
    def decode(self, data: bytes | None, a: type[A], b: type[B], /) -> A | B: ...
    @overload
    def decode(self, data: bytes | None, a: type[A], b: type[B], c: type[C], /) -> A | B | C: ...
    @overload
    def decode(self, data: bytes | None, a: type[A], b: type[B], c: type[C], d: type[D], /) -> A | B | C | D: ...
    @overload
    def decode(self, data: bytes | None, /, *expected: type[Record]) -> Record: ...
    def decode(self, data: bytes | None, /, *expected: type[Record]) -> Record:
        """The record in a message, which must be one of `expected`. Raises `DecodeError`, `RegistryUnavailable`."""
        if data is None:
            raise DecodeError("EMPTY_VALUE", "the message has no value")
        if len(data) < 5 or data[0] != 0:
            raise DecodeError("NOT_AVRO_FRAMED", "the message does not start with a zero byte and a schema id")
        schema_id = int.from_bytes(data[1:5], "big")
        how = self._readers.get(schema_id) or self._learn(schema_id)
        if not issubclass(how.cls, expected):
            names = ", ".join(cls.AVRO for cls in expected)
            raise DecodeError("WRONG_RECORD", f"{how.cls.AVRO} is not one of: {names}")
        record: Any
        try:
            if how.writer is None:
                record, end = how.cls.read(data, 5)
            else:
                body = io.BytesIO(data)
                body.seek(5)
                record = how.cls.from_wire(fastavro.schemaless_reader(body, how.writer, how.reader))  # type: ignore[arg-type]
                end = body.tell()
        except Exception as error:  # whatever reading nonsense meets: IndexError, KeyError, UnicodeDecodeError, EOFError, MemoryError …
            raise DecodeError("MALFORMED_AVRO", f"{type(error).__name__}: {error}") from error
        if end != len(data):
            what = "bytes are left over" if end < len(data) else "bytes are missing"
            raise DecodeError("MALFORMED_AVRO", f"{abs(len(data) - end)} {what}")
        return record  # type: ignore[no-any-return]  # issubclass was checked above

    def learn(self, ids: Iterable[int]) -> None:
        """Ask the registry for schemas, one after another; what is of no use is not asked for again for some seconds. Raises `RegistryUnavailable`."""
        refused: dict[int, DecodeError] = {}
        for schema_id in ids:
            if schema_id not in self._readers:
                try:
                    self._ask(schema_id)
                except DecodeError as error:
                    refused[schema_id] = error
        now = time.monotonic()
        kept = {schema_id: entry for schema_id, entry in self._refused.items() if entry[0] > now}
        self._refused = kept | {schema_id: (now + REFUSED_SECONDS, error) for schema_id, error in refused.items()}

    def _learn(self, schema_id: int) -> _Reader:
        until, error = self._refused.get(schema_id, (0.0, None))
        if until <= time.monotonic():
            if not self.on_demand:
                raise SchemaUnread((schema_id,))
            self.learn((schema_id,))
            _, error = self._refused.get(schema_id, (0.0, None))
        if error is not None:
            raise DecodeError(error.code, error.detail)
        return self._readers[schema_id]

    def _ask(self, schema_id: int) -> None:
        text = self._registry.fetch(schema_id)
        if text is None:
            # Not remembered for long: a producer may register the schema a moment later.
            raise DecodeError("UNKNOWN_SCHEMA", f"the registry knows no schema with id {schema_id}")
        try:
            schema = json.loads(text)
            name = f"{schema['namespace']}.{schema['name']}" if "namespace" in schema else str(schema["name"])
            cls = self._by_name[name]
        except (ValueError, KeyError, TypeError) as error:
            raise DecodeError("UNKNOWN_RECORD", f"schema {schema_id} is not a record of the flow") from error
        ours = _units(json.loads(self._texts[cls]))
        theirs = _units(schema)
        wrong = [path for path, unit in ours.items() if path in theirs and theirs[path] != unit]
        if wrong:
            raise DecodeError("INCOMPATIBLE_SCHEMA", f"other units in {', '.join(wrong)}")
        try:
            writer = fastavro.parse_schema(without_logical_types(schema))
        except Exception as error:
            raise DecodeError("INCOMPATIBLE_SCHEMA", f"schema {schema_id}: {error}") from error
        self._readers[schema_id] = _Reader(cls, writer, self._parsed[name])
