"""State outlives the code that wrote it: a changelog written under an older schema is read by today's."""

from __future__ import annotations

import io
import json
from decimal import Decimal

import fastavro

from schemas.codec import Codec, LocalRegistry, schema_text
from schemas.records import OrderRecord
from streams.engine.agent import Agent, Input, Table
from streams.engine.driver import Driver

ORDERS: Table[OrderRecord] = Table("orders", OrderRecord)


def test_a_value_of_an_older_schema_is_recovered_with_the_new_fields_defaults() -> None:
    registry = LocalRegistry()
    codec = Codec(registry)
    newest = json.loads(schema_text(OrderRecord))
    optional = [f["name"] for f in newest["fields"] if "default" in f]
    assert "attempt" in optional  # came later, with a default
    older = {**newest, "fields": [f for f in newest["fields"] if f["name"] not in optional]}
    writer = fastavro.parse_schema(json.loads(json.dumps(older)))
    values = _least(older)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, writer, values)
    number = registry.register("bestex.OrderRecord", json.dumps(older))
    driver = Driver(Agent("old", (Input("in"),), lambda ctx, messages: None, tables=(ORDERS,)), codec=codec)
    driver.log[driver.agent.changelog("orders"), 0].append((b"o1", b"\0" + number.to_bytes(4, "big") + body.getvalue()))
    driver.crash()
    found = driver.get(ORDERS, "o1")
    assert found is not None and found.order_id == "x" and found.attempt == 1


def _least(schema: dict[str, object]) -> dict[str, object]:
    """A record of a schema with the smallest values its types allow."""
    return {f["name"]: _value(f["type"]) for f in schema["fields"]}  # type: ignore[attr-defined]  # a list of fields


def _value(kind: object) -> object:
    if isinstance(kind, list):
        return _value(kind[0])
    if isinstance(kind, dict):
        if kind["type"] == "array":
            return []
        if kind["type"] == "enum":
            return kind["symbols"][0]
        if kind.get("logicalType") == "decimal":
            return Decimal(0)
        return _value(kind["type"])
    return {"string": "x", "bytes": b"", "boolean": False, "null": None}.get(str(kind), 0)
