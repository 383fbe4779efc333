"""Our own BACKWARD against the real registry's, change by change."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from infra.settings import Addresses
from schemas.compatibility import backward

SIDE = {"type": "enum", "name": "Side", "symbols": ["BUY", "SELL"]}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 8}
LEVEL = {
    "type": "record",
    "name": "Level",
    "fields": [{"name": "price", "type": MONEY}, {"name": "count", "type": "int"}],
}
BASE: dict[str, Any] = {
    "id": {"type": "string"},
    "number": {"type": "int"},
    "side": {"type": SIDE},
    "other": {"type": ["null", "Side"], "default": None},
    "note": {"type": ["null", "string"], "default": None},
    "levels": {"type": {"type": "array", "items": LEVEL}},
    "more": {"type": {"type": "array", "items": "Level"}},
    "amount": {"type": MONEY},
}


def schema(**changes: Any) -> dict[str, Any]:
    fields = {**BASE, **changes}
    rows = [{"name": name, **field} for name, field in fields.items() if field is not None]
    return {"type": "record", "name": "Thing", "namespace": "t", "fields": rows}


def level(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": {"type": "array", "items": {**LEVEL, "fields": list(fields)}}}


PRICE, COUNT = LEVEL["fields"]
CHANGES: dict[str, tuple[dict[str, Any], bool]] = {
    "nothing": ({}, True),
    "a new field with a default": ({"new": {"type": "string", "default": ""}}, True),
    "a new optional field": ({"new": {"type": ["null", "string"], "default": None}}, True),
    "a new field without a default": ({"new": {"type": "string"}}, False),
    "a field taken away": ({"note": None}, True),
    "int to long": ({"number": {"type": "long"}}, True),
    "int to string": ({"number": {"type": "string"}}, False),
    "made optional": ({"number": {"type": ["null", "int"], "default": None}}, True),
    "made required": ({"note": {"type": "string"}}, False),
    "a new symbol": ({"side": {"type": {**SIDE, "symbols": ["BUY", "SELL", "SHORT"]}}}, True),
    "a symbol taken away": ({"side": {"type": {**SIDE, "symbols": ["BUY"]}}}, False),
    "a symbol taken away, with a default": ({"side": {"type": {**SIDE, "symbols": ["BUY"], "default": "BUY"}}}, True),
    "inside: a new field with a default": ({"levels": level(PRICE, COUNT, {"name": "x", "type": "int", "default": 0})}, True),
    "inside: a new field without a default": ({"levels": level(PRICE, COUNT, {"name": "x", "type": "int"})}, False),
    "inside: another type": ({"levels": level(PRICE, {"name": "count", "type": "boolean"})}, False),
    "an array no more": ({"levels": {"type": LEVEL}}, False),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_ours_and_the_registrys_verdict(name: str, stack: Addresses) -> None:
    change, fine = CHANGES[name]
    client = SchemaRegistryClient({"url": stack.registry, "timeout": 30})
    subject = f"compat-{uuid.uuid4().hex}"
    client.register_schema(subject, Schema(json.dumps(schema()), "AVRO"))
    client.set_compatibility(subject, level="BACKWARD")
    try:
        theirs = client.test_compatibility(subject, Schema(json.dumps(schema(**change)), "AVRO"))
    finally:
        client.delete_subject(subject)
    ours = backward(schema(), schema(**change))
    assert theirs is fine
    assert (ours == []) is fine, ours


def test_problems_name_the_field() -> None:
    changed = schema(levels=level(PRICE, {"name": "count", "type": "boolean"}), new={"type": "int"})
    assert backward(schema(), changed) == [
        "levels[].count: int became boolean",
        "more[].count: int became boolean",
        "new: new and without a default",
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"type": "bytes"},
        {**MONEY, "scale": 9},
        {**MONEY, "precision": 22},
    ],
)
def test_money_stays_money(other: dict[str, Any]) -> None:
    """Stricter than Avro: another scale would be read without an error, as another amount."""
    assert backward(schema(), schema(amount={"type": other})) != []
