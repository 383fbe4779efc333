"""Dead letters on a real broker: listed, shown, and sent back once."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.dlq import REPLAYED, find, letters, replay, replay_all, twins
from infra.kafka_log import read_to_end
from infra.settings import Addresses
from infra.topics import twin
from schemas.codec import Codec
from schemas.records import DeadLetter
from schemas.registry import ConfluentRegistry


@dataclass
class World:
    kafka: dict[str, str]
    codec: Codec
    topic: str

    def bury(self, *values: bytes, cause: str = "MALFORMED_AVRO", app: str = "test", first: int = 0) -> None:
        producer = Producer({**self.kafka, "message.max.bytes": 2 << 20})
        for n, value in enumerate(values, first):
            letter = DeadLetter(
                origin_topic=self.topic,
                origin_partition=1,
                origin_offset=n,
                origin_timestamp=5,
                key=b"acct",
                value=value,
                cause=cause,
                detail="why",
                app=app,
                at=7,
            )
            producer.produce(f"{self.topic}.dlq", self.codec.encode(letter), b"acct", 0)
        assert producer.flush(30) == 0

    def origin(self) -> list[tuple[int, bytes]]:
        return [(m.partition() or 0, m.value() or b"") for m in read_to_end(self.kafka, [self.topic])]


@pytest.fixture
def world(stack: Addresses) -> Iterator[World]:
    topic = f"dead-{uuid.uuid4().hex[:8]}"
    kafka = {"bootstrap.servers": stack.kafka}
    admin = AdminClient(kafka)  # named: the answer does not come to one already collected
    letters_of = NewTopic(f"{topic}.dlq", 1, 1, config=dict(twin(topic).config))
    for made in admin.create_topics([NewTopic(topic, 2, 1), letters_of]).values():
        made.result(30)
    yield World(kafka, Codec(ConfluentRegistry(stack.registry)), topic)


def test_letters_are_listed_by_topic_and_cause_and_found_by_name(world: World) -> None:
    world.bury(b"one", b"two")
    world.bury(b"three", cause="HANDLER_FAILED")
    rows = [x.row() for x in letters(world.kafka, world.codec, world.topic)]
    assert [(r["cause"], r["bytes"], r["key"]) for r in rows] == [
        ("MALFORMED_AVRO", 3, "acct"),
        ("MALFORMED_AVRO", 3, "acct"),
        ("HANDLER_FAILED", 5, "acct"),
    ]
    assert rows[0]["origin"] == f"{world.topic}[1]@0"
    assert [x.letter.value for x in letters(world.kafka, world.codec, world.topic, "HANDLER_FAILED")] == [b"three"]
    assert find(world.kafka, world.codec, rows[1]["name"]).letter.value == b"two"
    assert f"{world.topic}.dlq" in twins(world.kafka)


def test_a_record_as_large_as_its_topic_takes_is_sent_back(world: World) -> None:
    large = os.urandom(1_048_588 - 61 - 24)
    world.bury(large, b"small")
    assert replay_all(world.kafka, world.codec, world.topic, None, lambda sent: None) == (2, 0)
    assert world.origin() == [(1, large), (1, b"small")]


@pytest.mark.parametrize("name", ["nonsense", "a:b:c", "TOPIC:0:99", "TOPIC:7:0"])
def test_a_name_that_names_nothing_is_said_so(world: World, name: str) -> None:
    with pytest.raises(ValueError, match=r"letter|partition"):
        find(world.kafka, world.codec, name.replace("TOPIC", world.topic))


def test_a_named_letter_goes_back_to_where_it_came_from(world: World) -> None:
    world.bury(b"one")
    (letter,) = letters(world.kafka, world.codec, world.topic)
    assert replay(world.kafka, letter) == (1, 0)
    (message,) = read_to_end(world.kafka, [world.topic])
    assert message.value() == b"one" and message.key() == b"acct"
    assert dict(message.headers() or []) == {REPLAYED: letter.name.encode()}


def test_all_of_a_topic_go_back_once_however_often_it_is_asked(world: World) -> None:
    world.bury(b"one", b"two")
    world.bury(b"other", cause="HANDLER_FAILED")
    told: list[int] = []
    assert replay_all(world.kafka, world.codec, world.topic, None, told.append) == (3, 0)
    assert replay_all(world.kafka, world.codec, world.topic, None, told.append) == (0, 0)
    world.bury(b"late")
    assert replay_all(world.kafka, world.codec, world.topic, None, told.append) == (1, 0)
    assert sorted(world.origin()) == [(1, b"late"), (1, b"one"), (1, b"other"), (1, b"two")]


def test_one_cause_alone_can_be_sent_back(world: World) -> None:
    world.bury(b"one")
    world.bury(b"other", cause="HANDLER_FAILED")
    assert replay_all(world.kafka, world.codec, world.topic, "HANDLER_FAILED", lambda n: None) == (1, 1)
    assert world.origin() == [(1, b"other")]
    assert replay_all(world.kafka, world.codec, world.topic, None, lambda n: None) == (1, 0)
    assert world.origin() == [(1, b"other"), (1, b"one")]


def test_one_that_was_sent_back_by_name_is_not_sent_again_with_the_rest(world: World) -> None:
    world.bury(b"one", b"two")
    replay(world.kafka, next(letters(world.kafka, world.codec, world.topic)))
    assert replay_all(world.kafka, world.codec, world.topic, None, lambda n: None) == (1, 0)
    assert world.origin() == [(1, b"one"), (1, b"two")]


def test_what_is_still_in_its_topic_or_never_was_a_record_stays(world: World) -> None:
    world.bury(b"an event that a webhook refused", app="sink.notifier")
    world.bury(b"", app="accounts", first=-1)
    sink, timer = letters(world.kafka, world.codec, world.topic)
    for letter, code in ((sink, "STILL_IN_ITS_TOPIC"), (timer, "NOT_A_RECORD")):
        with pytest.raises(ValueError, match=code):
            replay(world.kafka, letter)
    assert replay_all(world.kafka, world.codec, world.topic, None, lambda n: None) == (0, 2)
    assert world.origin() == []
