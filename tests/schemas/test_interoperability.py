"""Confluent's own serializer and ours, over the real registry, both ways: any Kafka client reads what we write."""

from __future__ import annotations

import json

import golden
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from outside import EPOCH, outside

from infra.settings import Addresses
from schemas import records
from schemas.codec import Codec, DecodeError, schema_text
from schemas.registry import ConfluentRegistry

CONTEXT = SerializationContext("orders.commands", MessageField.VALUE)


@pytest.fixture(scope="module")
def codec(stack: Addresses) -> Codec:
    return Codec(ConfluentRegistry(stack.registry))


@pytest.fixture(scope="module")
def client(stack: Addresses) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": stack.registry, "timeout": 30})


@pytest.mark.parametrize("cls", records.RECORDS, ids=lambda cls: cls.__name__)
def test_both_ways(cls: type[records.Record], codec: Codec, client: SchemaRegistryClient) -> None:
    text = schema_text(cls)
    write = AvroSerializer(client, text, conf={"subject.name.strategy": record_subject_name_strategy})
    read = AvroDeserializer(client)
    for record in golden.examples(cls):
        plain = outside(record)
        assert codec.decode(write(plain, CONTEXT), cls) == record
        assert read(codec.encode(record), CONTEXT) == plain
        assert write(plain, CONTEXT) == codec.encode(record)


def test_a_producer_with_its_own_version_and_subject(codec: Codec, client: SchemaRegistryClient) -> None:
    """The default strategy names the subject by the topic; the producer's schema has a field that we do not know."""
    schema = json.loads(schema_text(records.CancelOrder))
    schema["fields"].append({"name": "desk", "type": "string", "default": ""})
    write = AvroSerializer(client, json.dumps(schema))
    value = {"account_id": "a", "client_order_id": "c", "sent_at": EPOCH, "desk": "north"}
    found = codec.decode(write(value, CONTEXT), records.CancelOrder)
    assert found == records.CancelOrder(account_id="a", client_order_id="c", sent_at=0)


def test_an_id_that_nobody_registered(codec: Codec) -> None:
    with pytest.raises(DecodeError) as error:
        codec.decode(b"\0\x7f\xff\xff\xf0\0", records.PlaceOrder)
    assert error.value.code == "UNKNOWN_SCHEMA"


def test_the_registry_refuses_a_version_that_cannot_read_the_old(
    stack: Addresses, client: SchemaRegistryClient
) -> None:
    registry = ConfluentRegistry(stack.registry)
    name = "bestex.CancelOrder"
    registry.register(name, schema_text(records.CancelOrder))
    registry.hold_backward([name])
    schema = json.loads(schema_text(records.CancelOrder))
    schema["fields"].append({"name": "why", "type": "string"})
    assert not client.test_compatibility(name, Schema(json.dumps(schema), "AVRO"))
    with pytest.raises(ValueError, match=name):
        registry.register(name, json.dumps(schema))
