"""The demo's clients: producers that know Kafka and the registry, and nothing of this project's code.

Plain confluent-kafka, Confluent's Avro serializer, schemas fetched from the registry by name. Most partition as the Java client does;
some, like librdkafka left at its defaults, by another hash, and their records are moved by the pipeline. Some are broken, and send
what no schema describes.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import fastavro
from confluent_kafka import KafkaException, Message, Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from infra.demo.intents import Intent, Kind

UNIT = 10**8
NO_SUCH_SCHEMA = 2_000_000_000
COMMANDS, TRANSFERS = "orders.commands", "account.transfers"
Delivered = Callable[[int, int], None]  # partition, offset
FLUSH_SECONDS = 60.0
DATED_SECONDS, LATER_SECONDS, TWAP_SECONDS = 2.0, 2.0, 3.0  # how far ahead the demo's clients look


def decimal(units: int) -> Decimal:
    """Units of 1e-8 as a decimal."""
    return Decimal(units).scaleb(-8)


class Outside:
    """Producers of one demo. Commands that the brokers did not take raise `KafkaException` at the next call, or at `flush`."""

    def __init__(self, kafka: Mapping[str, Any], registry: str, seed: int) -> None:
        self._registry = SchemaRegistryClient({"url": registry})
        self._serializers: dict[str, AvroSerializer] = {}
        self._ids: dict[str, int] = {}
        plain = {"log_level": 2, **kafka, "enable.idempotence": True, "linger.ms": 5, "compression.type": "lz4"}
        self._producer = Producer({**plain, "partitioner": "murmur2_random"})
        self._stranger = Producer(plain)  # librdkafka's own partitioner: CRC32
        self._rng = random.Random(seed)
        self._mistaken: tuple[int, Any] | None = None
        self._failed: list[Any] = []

    def transfer(self, account: str, transfer_id: str, asset: str, units: int) -> None:
        """Publish a deposit."""
        record = {
            "transfer_id": transfer_id,
            "account_id": account,
            "kind": "DEPOSIT",
            "asset": asset,
            "amount": decimal(units),
            "sent_at": datetime.now(UTC),
        }
        self._send(self._producer, TRANSFERS, account, self._encode("bestex.Transfer", TRANSFERS, record))

    def cancel(self, account: str, client_order_id: str) -> None:
        """Publish a cancel."""
        record = {"account_id": account, "client_order_id": client_order_id, "sent_at": datetime.now(UTC)}
        self._send(self._producer, COMMANDS, account, self._encode("bestex.CancelOrder", COMMANDS, record))

    def modify(self, account: str, client_order_id: str, price: int) -> None:
        """Publish a change of price."""
        record = {
            "account_id": account,
            "client_order_id": client_order_id,
            "price": decimal(price),
            "sent_at": datetime.now(UTC),
        }
        self._send(self._producer, COMMANDS, account, self._encode("bestex.ModifyOrder", COMMANDS, record))

    def place(
        self,
        intent: Intent,
        quantity: int,
        price: int | None,
        delivered: Delivered | None = None,
        stop: int | None = None,
    ) -> None:
        """Publish what the intent says; `delivered` is told where it lies in the log."""
        record = {
            "account_id": intent.account,
            "client_order_id": intent.client_order_id,
            "symbol": intent.symbol,
            "side": "BUY" if intent.buy else "SELL",
            "order_type": "STOP" if stop is not None else "MARKET" if price is None else "LIMIT",
            "time_in_force": "IOC" if intent.kind in (Kind.TAKE_IOC, Kind.MISS_IOC) else "GTC",
            "quantity": decimal(quantity),
            "price": None if price is None else decimal(price),
            "stop_price": None if stop is None else decimal(stop),
            "sent_at": datetime.now(UTC),
            **self._more(intent, quantity),
        }
        producer = self._stranger if intent.stranger else self._producer
        for _ in range(2 if intent.again else 1):
            self._send(producer, COMMANDS, intent.account, self._value(intent.kind, record), delivered)

    def _more(self, intent: Intent, quantity: int) -> dict[str, Any]:
        """What an intent's kind adds to a plain order."""
        now = datetime.now(UTC)
        match intent.kind:
            case Kind.FOK:
                return {"time_in_force": "FOK"}
            case Kind.SPEND:
                return {"quantity": decimal(0), "quote_amount": decimal(intent.worth)}
            case Kind.POST:
                return {"post_only": True}
            case Kind.DATED:
                return {"time_in_force": "GTD", "expires_at": now + timedelta(seconds=DATED_SECONDS)}
            case Kind.LATER:
                return {"scheduled_at": now + timedelta(seconds=LATER_SECONDS)}
            case Kind.TWAP:
                return {"algo": "TWAP", "slices": 3, "window_us": int(TWAP_SECONDS * 1e6)}
            case Kind.ICEBERG:
                return {"algo": "ICEBERG", "quantity": decimal(3 * quantity), "visible": decimal(quantity)}
        return {}

    def flush(self) -> None:
        """Return when the brokers have everything. Raises `KafkaException`."""
        for producer in (self._producer, self._stranger):
            if left := producer.flush(FLUSH_SECONDS):
                raise KafkaException(f"{left} records were not delivered in {FLUSH_SECONDS:.0f} s")
        self._judge()

    def _value(self, kind: Kind, record: dict[str, Any]) -> bytes:
        if kind is Kind.GARBAGE:
            return b"\xff" + self._rng.randbytes(40)
        if kind is Kind.WRONG_TYPE:
            return self._mistake(record)
        value = self._encode("bestex.PlaceOrder", COMMANDS, record)
        if kind is Kind.UNKNOWN_SCHEMA:
            return b"\0" + NO_SUCH_SCHEMA.to_bytes(4, "big") + value[5:]
        return value

    def _encode(self, name: str, topic: str, record: dict[str, Any]) -> bytes:
        serializer = self._serializers.get(name)
        if serializer is None:
            serializer = self._serializers[name] = AvroSerializer(
                self._registry,
                self._schema(name),
                conf={"auto.register.schemas": False, "subject.name.strategy": record_subject_name_strategy},
            )
        value = serializer(record, SerializationContext(topic, MessageField.VALUE))
        assert value is not None  # a serializer gives nothing for nothing only
        return bytes(value)

    def _schema(self, name: str) -> str:
        text = self._registry.get_latest_version(name).schema.schema_str
        if text is None:
            raise LookupError(f"the registry has no text of {name}")
        return text

    def _mistake(self, record: dict[str, Any]) -> bytes:
        """By a schema of the right name whose quantity is a text, registered where nobody compares it with ours."""
        if self._mistaken is None:
            schema = json.loads(self._schema("bestex.PlaceOrder"))
            for field in schema["fields"]:
                if field["name"] == "quantity":
                    field["type"] = "string"
            mistaken = self._registry.register_schema("a-team.PlaceOrder", Schema(json.dumps(schema), "AVRO"))
            self._mistaken = (mistaken, fastavro.parse_schema(schema))
        schema_id, parsed = self._mistaken
        out = io.BytesIO(b"\0" + schema_id.to_bytes(4, "big"))
        out.seek(5)
        fastavro.schemaless_writer(out, parsed, {**record, "quantity": str(record["quantity"])})
        return out.getvalue()

    def _send(self, producer: Producer, topic: str, key: str, value: bytes, delivered: Delivered | None = None) -> None:
        def done(error: Any, message: Message) -> None:
            if error is not None:
                self._failed.append(error)
            elif delivered is not None:
                delivered(message.partition() or 0, message.offset() or 0)

        self._judge()
        while True:
            try:
                producer.produce(topic, value, key, on_delivery=done)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)

    def _judge(self) -> None:
        if self._failed:
            raise KafkaException(self._failed[0])
