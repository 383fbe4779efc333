"""Topics and schemas on a real cluster: made once, verified for ever after."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic
from confluent_kafka.schema_registry import SchemaRegistryClient

from infra import topics
from infra.settings import Addresses
from schemas.codec import BY_NAME, schema_text
from schemas.letters import MOST_BYTES
from schemas.registry import ConfluentRegistry
from schemas.topics import TOPICS


@pytest.fixture
def prefix(stack: Addresses) -> Iterator[str]:
    """A name of our own on a shared cluster; what it begins is removed at the end."""
    mark = f"t{uuid.uuid4().hex[:8]}."
    yield mark
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    if ours := [name for name in admin.list_topics(timeout=30).topics if name.startswith(mark)]:
        for future in admin.delete_topics(ours).values():
            future.result(30)


def configuration(stack: Addresses, name: str) -> dict[str, str]:
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)]).values()
    return {key: entry.value for key, entry in future.result(30).items()}


def test_every_topic_of_the_table_is_made_once(stack: Addresses, prefix: str) -> None:
    kafka: dict[str, Any] = {"bootstrap.servers": stack.kafka}
    with ThreadPoolExecutor(3) as pool:  # several processes start at once
        made = [
            name
            for names in pool.map(lambda _: topics.create(kafka, partitions=3, prefix=prefix), range(3))
            for name in names
        ]
    assert sorted(made) == sorted(prefix + t.name + tail for t in TOPICS for tail in ("", ".dlq"))
    assert topics.create(kafka, partitions=3, prefix=prefix) == []
    known = AdminClient(kafka).list_topics(timeout=30).topics
    for topic in TOPICS:
        assert len(known[prefix + topic.name].partitions) == (topic.partitions or 3)
        assert len(known[f"{prefix}{topic.name}.dlq"].partitions) == 1
        set_ = configuration(stack, prefix + topic.name)
        assert set_["cleanup.policy"] == ("compact" if topic.compact else "delete")
        if topic.retention_ms:
            assert set_["retention.ms"] == str(topic.retention_ms)
        assert set_["message.timestamp.type"] == ("LogAppendTime" if topic.retention_ms > 0 else "CreateTime")
        of_letters = configuration(stack, f"{prefix}{topic.name}.dlq")
        assert of_letters["retention.ms"] == "-1"
        assert int(of_letters["max.message.bytes"]) > 2 * int(set_["max.message.bytes"])


def test_what_differs_is_named_and_left_alone(stack: Addresses, prefix: str) -> None:
    kafka: dict[str, Any] = {"bootstrap.servers": stack.kafka}
    admin = AdminClient(kafka)
    news = [
        NewTopic(f"{prefix}orders.commands", 2, 1),
        NewTopic(f"{prefix}instruments", 1, 1, config={"cleanup.policy": "delete"}),
    ]
    for future in admin.create_topics(news).values():
        future.result(30)
    with pytest.raises(topics.TopicsDiffer) as raised:
        topics.create(kafka, partitions=3, prefix=prefix)
    found = raised.value.differences
    assert any(d.startswith(f"{prefix}orders.commands has 2 partitions, wanted 3") for d in found)
    assert any(f"--topic {prefix}instruments --add-config cleanup.policy=compact" in d for d in found)
    assert {d.split()[0] for d in found} == {f"{prefix}orders.commands", f"{prefix}instruments"}
    assert len(admin.list_topics(timeout=30).topics[f"{prefix}orders.commands"].partitions) == 2


def test_a_limit_that_is_too_low_for_letters_is_raised_and_a_higher_one_is_kept(stack: Addresses, prefix: str) -> None:
    """What an older version made takes no letter about a record of a megabyte."""
    kafka: dict[str, Any] = {"bootstrap.servers": stack.kafka}
    keep = {"cleanup.policy": "delete", "retention.ms": "-1"}
    news = [
        NewTopic(f"{prefix}orders.commands.dlq", 1, 1, config=keep),
        NewTopic(f"{prefix}fills.dlq", 1, 1, config=keep | {"max.message.bytes": "99000000"}),
    ]
    admin = AdminClient(kafka)  # named: the answer does not come to one already collected
    for future in admin.create_topics(news).values():
        future.result(30)
    topics.create(kafka, partitions=3, prefix=prefix)
    raised, kept = (configuration(stack, prefix + name) for name in ("orders.commands.dlq", "fills.dlq"))
    assert (raised["max.message.bytes"], kept["max.message.bytes"]) == (str(MOST_BYTES), "99000000")
    assert raised["retention.ms"] == kept["retention.ms"] == "-1"
    assert topics.create(kafka, partitions=3, prefix=prefix) == []


def test_a_single_topic(stack: Addresses, prefix: str) -> None:
    kafka: dict[str, Any] = {"bootstrap.servers": stack.kafka}
    name = f"{prefix}accounts-orders-changelog"
    assert topics.create_topic(kafka, name, 2, compact=True) is True
    assert topics.create_topic(kafka, name, 2, compact=True) is False
    with pytest.raises(topics.TopicsDiffer, match="has 2 partitions, wanted 3"):
        topics.create_topic(kafka, name, 3, compact=True)


def test_replication_that_the_cluster_lacks_is_refused_and_makes_nothing(stack: Addresses, prefix: str) -> None:
    kafka: dict[str, Any] = {"bootstrap.servers": stack.kafka}
    with pytest.raises(Exception, match="eplication"):
        topics.create(kafka, prefix=prefix, replication=3)
    assert not [name for name in AdminClient(kafka).list_topics(timeout=30).topics if name.startswith(prefix)]


def test_every_record_is_registered_and_held_to_backward(stack: Addresses) -> None:
    codec = topics.register(ConfluentRegistry(stack.registry))
    client = SchemaRegistryClient({"url": stack.registry, "timeout": 30})
    for name, cls in BY_NAME.items():
        latest = client.get_latest_version(name)
        assert latest.schema is not None
        assert latest.schema_id == codec.ids[name], name
        assert client.get_compatibility(name) == "BACKWARD"
        assert codec.ids[name] == client.register_schema(name, latest.schema)
        assert cls.__name__ in schema_text(cls)
