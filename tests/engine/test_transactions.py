"""The transactional producer against a real broker: what it commits, and whom it shuts out."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator
from typing import cast

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from counting import counting_agent

from infra.settings import Addresses
from schemas.codec import Codec, LocalRegistry
from streams.engine import transactions
from streams.engine.agent import Message
from streams.engine.seat import Batch, Seat
from streams.engine.task import Task
from streams.engine.transactions import (
    CommitFailed,
    Fenced,
    Link,
    Membership,
    TransactionalProducer,
    Unwritable,
    committed_offsets,
)

OUTSIDER = (-1, "", None)


class Bench:
    def __init__(self, kafka: str, link: Link, topic: str) -> None:
        self.kafka, self.link, self.topic = kafka, link, topic
        self.group = f"{topic}-group"
        self.membership = Membership(self.group, *OUTSIDER)

    def producer(self, lane: int = 0) -> TransactionalProducer:
        return TransactionalProducer(self.link, f"{self.topic}-0", lane)

    async def offset(self) -> int | None:
        return (await committed_offsets(self.link, self.group, [(self.topic, 0)])).get((self.topic, 0))

    def values(self, partition: int = 0) -> list[bytes]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.kafka,
                "group.id": uuid.uuid4().hex,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        consumer.assign([TopicPartition(f"{self.topic}.out", partition, 0)])
        found = []
        while (message := consumer.poll(10)) is not None and message.error() is None:
            found.append(message.value() or b"")
        consumer.close()
        return found


@pytest.fixture
async def bench(stack: Addresses) -> AsyncIterator[Bench]:
    topic = f"txn-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    for made in admin.create_topics([NewTopic(t, 2, 1) for t in (topic, f"{topic}.out")]).values():
        made.result(30)
    link = Link(bootstrap_servers=stack.kafka, client_id="test")
    await link.start([topic, f"{topic}.out"])
    yield Bench(stack.kafka, link, topic)
    await link.stop()


async def fenced(bench: Bench, lane: int = 0) -> TransactionalProducer:
    """As a task is opened: fenced, then asked where the group stands, which waits for the broker's coordinator of a new group."""
    producer = bench.producer(lane)
    await producer.fence()
    await bench.offset()
    return producer


async def test_outputs_and_offsets_are_committed_together_again_and_again(bench: Bench) -> None:
    producer = await fenced(bench)
    for n in range(1, 30):
        await producer.begin({(bench.topic, 0): n}, bench.membership)
        where = await producer.commit({(f"{bench.topic}.out", 0): [(b"k", b"%d" % n)]})
        assert where[f"{bench.topic}.out", 0].end - where[f"{bench.topic}.out", 0].first == 1
    assert await bench.offset() == 29
    assert bench.values() == [b"%d" % n for n in range(1, 30)]


async def test_more_than_a_record_batch_holds_goes_in_one_transaction_in_order(bench: Bench) -> None:
    producer = await fenced(bench)
    big = [(b"k", b"%08d" % n + b"x" * 1000) for n in range(3000)]  # three megabytes
    await producer.begin({(bench.topic, 0): 1}, bench.membership)
    await producer.commit({(f"{bench.topic}.out", 0): big, (f"{bench.topic}.out", 1): [(b"k", b"small")]})
    assert bench.values() == [value for _, value in big]
    assert bench.values(1) == [b"small"]


async def test_a_newer_producer_shuts_the_older_out_and_ends_what_it_left_open(bench: Bench) -> None:
    old = await fenced(bench)
    await old.begin({(bench.topic, 0): 5}, bench.membership)
    await old._produce(old._batches({(f"{bench.topic}.out", 0): [(b"k", b"lost")]})[0], {})
    new = await fenced(bench, lane=1)
    with pytest.raises(Fenced):
        await old.commit({(f"{bench.topic}.out", 0): [(b"k", b"zombie")]})
    assert await bench.offset() is None
    await new.begin({(bench.topic, 0): 7}, bench.membership)
    await new.commit({(f"{bench.topic}.out", 0): [(b"k", b"kept")]})
    assert await bench.offset() == 7
    assert bench.values() == [b"kept"]


async def test_an_older_generation_of_the_group_is_refused(bench: Bench) -> None:
    producer = await fenced(bench)
    with pytest.raises(Fenced):
        await producer.begin({(bench.topic, 0): 1}, Membership(bench.group, 3, "a member that is gone", None))
    with pytest.raises(CommitFailed, match="must be fenced first"):
        await producer.begin({(bench.topic, 0): 1}, bench.membership)
    await producer.fence()
    await producer.begin({(bench.topic, 0): 2}, bench.membership)
    await producer.commit({})
    assert await bench.offset() == 2


async def test_nothing_is_committed_that_was_not_begun(bench: Bench) -> None:
    producer = await fenced(bench)
    with pytest.raises(CommitFailed, match="no transaction was begun"):
        await producer.commit({(f"{bench.topic}.out", 0): [(b"k", b"v")]})


async def test_a_topic_that_does_not_exist_fails_the_commit_and_fencing_mends_it(bench: Bench) -> None:
    producer = await fenced(bench)
    await producer.begin({(bench.topic, 0): 1}, bench.membership)
    with pytest.raises(CommitFailed):
        await producer.commit({("no-such-topic", 0): [(b"k", b"v")]})
    await producer.fence()
    assert await bench.offset() is None


async def test_an_aborted_transaction_leaves_nothing_and_the_producer_goes_on(bench: Bench) -> None:
    producer = await fenced(bench)
    with pytest.raises(CommitFailed, match="no transaction was begun"):
        await producer.abort()
    await producer.begin({(bench.topic, 0): 1}, bench.membership)
    await producer.abort()
    assert await bench.offset() is None
    await producer.begin({(bench.topic, 0): 2}, bench.membership)
    await producer.commit({(f"{bench.topic}.out", 0): [(b"k", b"v")]})
    assert await bench.offset() == 2 and bench.values() == [b"v"]


async def test_a_record_beyond_the_topics_limit_is_unwritable_not_a_mere_failure(bench: Bench) -> None:
    producer = await fenced(bench)
    await producer.begin({(bench.topic, 0): 1}, bench.membership)
    with pytest.raises(Unwritable, match="MessageSizeTooLarge"):
        await producer.commit({(f"{bench.topic}.out", 0): [(b"k", os.urandom(1_200_000))]})


async def test_an_answer_that_came_while_the_loop_was_held_up_is_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = await fenced(bench)
    monkeypatch.setattr(transactions, "ROUND_SECONDS", 0.3)
    begun = asyncio.create_task(producer.begin({(bench.topic, 0): 1}, bench.membership))
    await asyncio.sleep(0.01)
    time.sleep(1)  # noqa: ASYNC251 - a batch whose handling takes longer than a round may
    await begun
    await producer.commit({})
    assert await bench.offset() == 1


async def test_the_coordinator_says_who_is_a_member(bench: Bench) -> None:
    consumer = AIOKafkaConsumer(bench.topic, bootstrap_servers=bench.kafka, group_id=bench.group)
    await consumer.start()
    coordinator = consumer._coordinator
    mine = Membership(bench.group, coordinator.generation, coordinator.member_id, None)
    assert await bench.link.member(mine)
    assert not await bench.link.member(Membership(bench.group, mine.generation - 1, mine.member, None))
    assert not await bench.link.member(Membership(bench.group, mine.generation, "another", None))
    await consumer.stop()
    assert not await bench.link.member(mine)


def test_a_seat_takes_less_after_a_failure_of_size_and_more_again_with_success() -> None:
    task = Task(counting_agent("t"), 0, Codec(LocalRegistry()), lambda _: 1, {})
    loop = asyncio.new_event_loop()
    seat = Seat(0, task, cast(TransactionalProducer, None), Membership("g", *OUTSIDER), loop.create_future())
    loop.close()
    records = [Message("t", 0, 2 * n, 0, b"k", b"v", None) for n in range(10)]  # every other offset is a marker
    seat.inbox["t"] = Batch(("t", 0), records, 1, 0, 20)
    assert seat.too_much(records, (), None) and seat.most == 5
    taken, _ = seat.portion(0, 1.0)
    assert (taken["t"].start, taken["t"].end, len(taken["t"].records)) == (0, 10, 5)
    left = seat.inbox["t"].after(taken["t"].end)
    assert left is not None and (left.start, left.end, len(left.records)) == (10, 20, 5)
    assert left.after(20) is None
    for size in (5, 2, 1):
        assert seat.too_much(records[:size], (), "refused")
    assert seat.most == 1 and seat.why_refused(records[:1], 0) == "refused"
    assert seat.why_refused(records[1:2], 0) is None
    assert not seat.too_much(records[:1], (), "refused"), "its dead letter is refused too"
    for most in (2, 4, 8, None):
        seat.went_well(8, buried=True)
        assert seat.most == most
    assert seat.why_refused(records[:1], 0) is None
