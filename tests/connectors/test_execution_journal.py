"""The journal is read to the end of what anybody has written: an open transaction of a previous owner is waited for."""

from __future__ import annotations

import threading
import uuid

from confluent_kafka import Producer

from connectors.execution import journal
from infra.settings import Addresses
from infra.topics import create_topic
from schemas.codec import Codec
from schemas.records import ClaimedChild, ExecutionPhase, ExecutionState
from schemas.registry import ConfluentRegistry


def claim(child_id: str) -> ExecutionState:
    child = ClaimedChild(order_id="o", account_id="a", venue="v", symbol="BTC/USDT", quantity=1)
    return ExecutionState(child=child, claimed_at=0, phase=ExecutionPhase.CLAIMED, reported=0, trades=())


def test_a_claim_whose_transaction_is_open_when_the_reading_begins_is_found(stack: Addresses) -> None:
    topic, codec = f"journal-{uuid.uuid4().hex[:8]}", Codec(ConfluentRegistry(stack.registry))
    kafka = {"bootstrap.servers": stack.kafka}
    create_topic(kafka, topic, 1, compact=True)
    predecessor = Producer({**kafka, "transactional.id": topic})
    predecessor.init_transactions(30)
    for child_id, committed in (("c1", True), ("c2", False)):
        predecessor.begin_transaction()
        predecessor.produce(topic, codec.encode(claim(child_id)), child_id.encode(), 0)
        predecessor.flush(30)
        if committed:
            predecessor.commit_transaction(30)
    found: list[journal.Journal] = []
    reading = threading.Thread(target=lambda: found.append(journal.read(kafka, codec, 0, 60, topic)))
    reading.start()
    reading.join(1.0)
    assert reading.is_alive(), "the reader did not wait for the open transaction"
    predecessor.commit_transaction(30)
    reading.join(30)
    assert found[0].children.keys() == {"c1", "c2"}
