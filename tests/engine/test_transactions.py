"""The transactional producer against a real broker: what it commits, and whom it shuts out."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.settings import Addresses
from streams.engine.transactions import (
    CommitFailed,
    Fenced,
    Link,
    Membership,
    TransactionalProducer,
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
    producer = bench.producer(lane)
    await producer.fence()
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
