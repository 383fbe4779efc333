"""The codec against Avro's own reader and writer, and against everything that is not a record of ours."""

from __future__ import annotations

import io
import json
import time
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from outside import outside
from strategies import any_record

from schemas import records as r
from schemas.binary import LONGS
from schemas.codec import (
    MAX_MONEY,
    REFUSED_SECONDS,
    Codec,
    DecodeError,
    LocalRegistry,
    RegistryUnavailable,
    SchemaUnread,
    schema_text,
)

REGISTRY = LocalRegistry()
CODEC = Codec(REGISTRY)
FULL = {cls: fastavro.parse_schema(json.loads(schema_text(cls))) for cls in r.RECORDS}


def place(**fields: Any) -> r.PlaceOrder:
    values: dict[str, Any] = {
        "account_id": "a-1",
        "client_order_id": "c-1",
        "symbol": "BTC/USDT",
        "side": r.Side.BUY,
        "order_type": r.OrderType.LIMIT,
        "time_in_force": r.TimeInForce.GTC,
        "quantity": 150_000_000,
        "price": 6_000_000_000_000,
        "sent_at": 1_700_000_000_000_000,
    }
    return r.PlaceOrder(**{**values, **fields})


@given(any_record())
def test_round_trip(record: r.Record) -> None:
    data = CODEC.encode(record)
    assert data[:1] == b"\0" and int.from_bytes(data[1:5], "big") == CODEC.ids[record.AVRO]
    back = CODEC.decode(data, type(record))
    assert back == record and type(back) is type(record)


@given(any_record())
def test_avros_own_reader_reads_the_same(record: r.Record) -> None:
    body = io.BytesIO(CODEC.encode(record)[5:])
    read = fastavro.schemaless_reader(body, FULL[type(record)], None)
    assert body.read() == b""
    assert read == outside(record)


@given(any_record(), st.booleans())
def test_a_brief_reader_leaves_out_the_reasons_alone(whole: r.Record, sized: bool) -> None:
    data = whole.body()
    if sized and isinstance(whole, r.RoutePlan) and whole.candidates:
        # as other writers have arrays: a block's size after its count, so that it can be passed over in one
        items = b"".join(one.body() for one in whole.candidates)
        block = LONGS[-len(whole.candidates)] + LONGS[len(items)] + items + b"\0"
        data = whole.body(candidates=block)
    brief = whole
    if isinstance(whole, r.RoutePlan):
        brief = replace(whole, candidates=(), average_price=None, best_single_venue=None, side=None, quantity=None)
    assert type(whole).read_brief(data, 0) == (brief, len(data))
    assert type(whole).read(data, 0) == (whole, len(data))


@given(st.binary(max_size=300))
def test_a_brief_reader_of_noise_ends(noise: bytes) -> None:
    try:
        _, end = r.RoutePlan.read_brief(noise, 0)
    except (IndexError, KeyError, ValueError):
        return
    assert end > 0


@given(any_record(), st.data())
def test_a_message_cut_short_or_drawn_out_is_malformed(record: r.Record, data: st.DataObject) -> None:
    whole = CODEC.encode(record)
    cut = data.draw(st.integers(5, len(whole) - 1))
    for broken in (whole[:cut], whole + b"\0"):
        with pytest.raises(DecodeError) as error:
            CODEC.decode(broken, type(record))
        assert error.value.code == "MALFORMED_AVRO"


@given(st.sampled_from(r.RECORDS), st.binary(max_size=300))
def test_noise_never_raises_anything_else(cls: type[r.Record], noise: bytes) -> None:
    head = b"\0" + CODEC.ids[cls.AVRO].to_bytes(4, "big")
    for data in (noise, head + noise):
        try:
            record = CODEC.decode(data, cls)
        except DecodeError as error:
            assert error.code in ("NOT_AVRO_FRAMED", "UNKNOWN_SCHEMA", "WRONG_RECORD", "MALFORMED_AVRO")
        else:
            assert CODEC.decode(CODEC.encode(record), cls) == record


@given(any_record(), st.data())
def test_a_flipped_byte_never_raises_anything_else(record: r.Record, data: st.DataObject) -> None:
    whole = bytearray(CODEC.encode(record))
    at = data.draw(st.integers(5, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        CODEC.decode(bytes(whole), type(record))
    except DecodeError as error:
        assert error.code == "MALFORMED_AVRO"


def code(data: bytes | None, *expected: type[r.Record], codec: Codec = CODEC) -> str:
    with pytest.raises(DecodeError) as error:
        codec.decode(data, *(expected or (r.PlaceOrder,)))
    assert error.value.detail and str(error.value).startswith(error.value.code)
    return error.value.code


def test_every_code() -> None:
    good = CODEC.encode(place())
    assert code(None) == "EMPTY_VALUE"
    assert code(b"") == code(b"\0\0\0") == code(b'{"json": true}') == "NOT_AVRO_FRAMED"
    assert code(b"\0\x7f\0\0\0" + good[5:]) == "UNKNOWN_SCHEMA"
    assert code(good, r.CancelOrder, r.ModifyOrder) == "WRONG_RECORD"
    assert code(good[:-1]) == "MALFORMED_AVRO"
    for text in (
        '{"type": "record", "name": "Else", "namespace": "bestex", "fields": []}',
        '"string"',
        "not json",
        "[]",
    ):
        assert code(frame(text) + good[5:]) == "UNKNOWN_RECORD"


def frame(text: str) -> bytes:
    return b"\0" + REGISTRY.register("theirs", text).to_bytes(4, "big")


def theirs(**changes: Any) -> dict[str, Any]:
    """The schema of PlaceOrder with fields changed; None takes a field away, a name that is new adds one at the end."""
    schema = json.loads(schema_text(r.PlaceOrder))
    fields = {field["name"]: field for field in schema["fields"]}
    for name, change in changes.items():
        fields[name] = {"name": name, **(change or {})}
    schema["fields"] = [f for name, f in fields.items() if changes.get(name, ...) is not None]
    return dict(schema)


def written(schema: dict[str, Any], **more: Any) -> bytes:
    body = io.BytesIO()
    ours = place()
    record = {name: getattr(ours, name) for name in ours.__struct_fields__} | more
    record |= {name: Decimal(record[name]).scaleb(-8) for name in ("quantity", "price")}
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), record)
    return frame(json.dumps(schema)) + body.getvalue()


def test_a_writer_of_another_version_is_understood() -> None:
    newer = theirs(note={"type": "string", "default": ""}, tags={"type": {"type": "array", "items": "string"}})
    assert CODEC.decode(written(newer, note="hello", tags=["a", "b"]), r.PlaceOrder) == place()
    older = theirs(stop_price=None, expires_at=None)
    assert CODEC.decode(written(older), r.PlaceOrder) == place()
    reordered = theirs()
    reordered["fields"].reverse()
    named = [f for f in reordered["fields"] if f["name"] != "stop_price"]
    reordered["fields"] = named
    assert CODEC.decode(written(reordered), r.PlaceOrder) == place()


@pytest.mark.parametrize(
    "change",
    [
        {"type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 6}},
        {"type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 9}},
    ],
)
def test_money_in_other_units_is_refused(change: dict[str, Any]) -> None:
    schema = theirs(quantity=change)
    assert code(frame(json.dumps(schema)) + b"\0") == "INCOMPATIBLE_SCHEMA"


def test_times_in_other_units_are_refused() -> None:
    schema = theirs(sent_at={"type": {"type": "long", "logicalType": "timestamp-millis"}})
    assert code(frame(json.dumps(schema)) + b"\0") == "INCOMPATIBLE_SCHEMA"


def test_a_writer_without_a_field_that_is_needed_is_malformed() -> None:
    assert code(written(theirs(account_id=None))) == "MALFORMED_AVRO"


def test_a_symbol_that_we_do_not_know_is_malformed() -> None:
    schema = json.loads(schema_text(r.PlaceOrder).replace('"STOP_LIMIT"]', '"STOP_LIMIT", "ICEBERG"]'))
    assert code(written(schema, order_type="ICEBERG")) == "MALFORMED_AVRO"
    assert CODEC.decode(written(schema), r.PlaceOrder) == place()


@pytest.mark.parametrize("value", [MAX_MONEY, -MAX_MONEY, 10**30])
def test_money_that_the_schema_cannot_hold(value: int) -> None:
    with pytest.raises(ValueError):
        CODEC.encode(place(quantity=value))
    for edge in (MAX_MONEY - 1, 1 - MAX_MONEY):
        assert CODEC.decode(CODEC.encode(place(quantity=edge)), r.PlaceOrder).quantity == edge
    good = CODEC.encode(place())
    money = (150_000_000).to_bytes(4, "big")
    raw = value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
    assert good.count(bytes([8]) + money) == 1
    assert code(good.replace(bytes([8]) + money, bytes([2 * len(raw)]) + raw)) == "MALFORMED_AVRO"


def test_shapes_that_the_schema_cannot_hold() -> None:
    for wrong in (
        {"sent_at": 2**63},
        {"account_id": None},
        {"account_id": "\ud800"},
        {"quantity": None},
        {"quantity": 1.5},
        {"side": "HOLD"},
    ):
        with pytest.raises(ValueError):
            CODEC.encode(place(**wrong))


def test_a_registry_that_does_not_answer_says_nothing_about_the_message() -> None:
    class Away(LocalRegistry):
        def fetch(self, schema_id: int) -> str | None:
            raise RegistryUnavailable("connection refused")

    codec = Codec(Away())
    with pytest.raises(RegistryUnavailable):
        codec.decode(b"\0\x7f\0\0\0x", r.PlaceOrder)
    assert codec.decode(codec.encode(place()), r.PlaceOrder) == place()


def test_a_codec_that_must_not_wait_says_which_schemas_to_ask_for() -> None:
    registry = LocalRegistry()
    codec = Codec(registry)
    codec.on_demand = False
    known = registry.register("later", json.dumps(theirs(note={"type": "string", "default": ""})))
    body = codec.encode(place())[5:] + b"\0"
    message = b"\0" + known.to_bytes(4, "big") + body
    with pytest.raises(SchemaUnread) as raised:
        codec.decode(message, r.PlaceOrder)
    assert raised.value.ids == {known}
    codec.learn({known, 9999})
    assert codec.decode(message, r.PlaceOrder) == place()
    assert code(b"\0" + (9999).to_bytes(4, "big") + body, codec=codec) == "UNKNOWN_SCHEMA"


def test_an_unknown_schema_is_asked_for_again_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = LocalRegistry()
    codec = Codec(registry)
    schema = json.dumps(theirs(note={"type": "string", "default": ""}))
    unknown = b"\0" + (len(registry.texts) + 1).to_bytes(4, "big")
    body = codec.encode(place())[5:] + b"\0"
    assert code(unknown + body, codec=codec) == "UNKNOWN_SCHEMA"
    registry.register("late", schema)
    assert code(unknown + body, codec=codec) == "UNKNOWN_SCHEMA"
    later = time.monotonic() + REFUSED_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert codec.decode(unknown + body, r.PlaceOrder) == place()
