"""A record as those outside see it: a dict of Decimals, datetimes and symbols, as Avro's own libraries take and give it."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

from schemas.codec import schema_text
from schemas.records import Record

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def outside(record: Record) -> dict[str, Any]:
    """The record in the terms of its full schema, logical types included."""
    schema = json.loads(schema_text(type(record)))
    names: dict[str, Any] = {}
    _collect(schema, names)
    plain: dict[str, Any] = _plain(record, schema, names)
    return plain


def _collect(schema: Any, names: dict[str, Any]) -> None:
    if isinstance(schema, list):
        for branch in schema:
            _collect(branch, names)
    elif isinstance(schema, dict):
        if schema["type"] in ("record", "enum"):
            names[schema["name"]] = names[f"bestex.{schema['name']}"] = schema
        for field in schema.get("fields", ()):
            _collect(field["type"], names)
        _collect(schema.get("items"), names)


def _plain(value: Any, schema: Any, names: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return None if value is None else _plain(value, schema[1], names)
    if isinstance(schema, str) and schema in names:
        schema = names[schema]
    match schema:
        case {"logicalType": "decimal"}:
            return Decimal(value).scaleb(-8)
        case {"logicalType": "timestamp-micros"}:
            return EPOCH + datetime.timedelta(microseconds=value)
        case {"type": "record"}:
            return {f["name"]: _plain(getattr(value, f["name"]), f["type"], names) for f in schema["fields"]}
        case {"type": "array"}:
            return [_plain(v, schema["items"], names) for v in value]
        case {"type": "enum"}:
            return str(value)
        case _:
            return value
