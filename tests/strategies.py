"""Hypothesis strategies that more than one folder of tests uses.

Records are drawn from their Avro definitions, so that a new record or field is covered by being defined.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from hypothesis import strategies as st

from schemas import records
from schemas.codec import MAX_MONEY, schema_text
from schemas.records import Record

MONEY = st.integers(-MAX_MONEY + 1, MAX_MONEY - 1) | st.integers(-(10**10), 10**10)
INT = st.integers(-(2**31), 2**31 - 1)
LONG = st.integers(-(2**63), 2**63 - 1)
TIMES = st.integers(0, 4_102_444_800_000_000)  # microseconds, until the year 2100
TEXT = st.text(max_size=40)
_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "int": INT,
    "long": LONG,
    "boolean": st.booleans(),
    "bytes": st.binary(max_size=80),
}


def record(cls: type[Record]) -> st.SearchStrategy[Any]:
    """Any value of one record."""
    names: dict[str, Any] = {}
    return _of(json.loads(schema_text(cls)), names)


@cache
def any_record() -> st.SearchStrategy[Any]:
    """Any value of any record of the flow."""
    return st.sampled_from(records.RECORDS).flatmap(record)


def _of(schema: Any, names: dict[str, Any]) -> st.SearchStrategy[Any]:
    if isinstance(schema, list):
        return st.one_of(*(st.none() if branch == "null" else _of(branch, names) for branch in schema))
    if isinstance(schema, str):
        return _PRIMITIVES[schema] if schema in _PRIMITIVES else _of(names[schema.rsplit(".", 1)[-1]], names)
    match schema.get("logicalType"), schema["type"]:
        case "decimal", _:
            return MONEY
        case "timestamp-micros", _:
            return TIMES
        case None, "enum":
            names[schema["name"]] = schema
            return st.sampled_from(list(getattr(records, schema["name"])))
        case None, "array":
            return st.lists(_of(schema["items"], names), max_size=4).map(tuple)
        case None, "record":
            names[schema["name"]] = schema
            fields = {field["name"]: _of(field["type"], names) for field in schema["fields"]}
            return st.builds(getattr(records, schema["name"]), **fields)
        case _:
            return _of(schema["type"], names)
