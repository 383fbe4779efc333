"""Makes the topics and registers the schemas: what a cluster needs before anything runs on it.

The rules kept here:

* nothing relies on topics that appear by themselves: a misspelt name must fail, and a key must keep its partition;
* making is idempotent, and two processes may do it at once;
* what exists is never changed. Where it is not what the table says, `TopicsDiffer` names each difference with the command that mends it,
  or says that nothing can (adding partitions to a topic with keys would tear its keys apart). One thing is: a limit that is too low for
  what must be written there is raised, which takes nothing away and never lowers one that somebody raised further;
* a dead letter is larger than the record that it holds, so its topic takes larger ones than the others;
* compacted topics are compacted soon: a process that starts reads all that the cleaner has left.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from infra.kafka_log import passing
from schemas.codec import BY_NAME, Codec
from schemas.letters import MOST_BYTES
from schemas.registry import ConfluentRegistry
from schemas.topics import TOPICS, Topic, dead_letters

DEFAULT_PARTITIONS = 4
LIMIT = "max.message.bytes"
_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.05
_COMPACT = {
    "cleanup.policy": "compact",
    # Only closed segments are cleaned: close them early, and clean when a fifth of the log is superseded.
    "segment.ms": "600000",
    "segment.bytes": str(64 << 20),
    "min.cleanable.dirty.ratio": "0.2",
}


class TopicsDiffer(Exception):
    """Topics exist that are not what is wanted; `differences` holds one sentence for each."""

    def __init__(self, differences: Sequence[str]) -> None:
        super().__init__("topics differ from the table:\n  " + "\n  ".join(differences))
        self.differences = tuple(differences)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One topic as it must be. `config` holds what is set on it; everything else is the broker's default."""

    name: str
    partitions: int
    replication: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


def wanted(name: str, partitions: int, *, compact: bool = False, retention_ms: int = 0, replication: int = 1) -> Wanted:
    """A topic by its traits. `retention_ms`: -1 keeps for ever, 0 is the broker's default."""
    config = dict(_COMPACT) if compact else {"cleanup.policy": "delete"}
    if retention_ms:
        config["retention.ms"] = str(retention_ms)
    if retention_ms > 0:
        # Age counts from here: else the replay of an old recording would be past its time as it is written.
        config["message.timestamp.type"] = "LogAppendTime"
    if replication >= 3:
        config["min.insync.replicas"] = str(replication - 1)
    return Wanted(name, partitions, replication, config)


def twin(name: str, replication: int = 1) -> Wanted:
    """The dead-letter topic of the topic of that name. It keeps what it holds for ever."""
    made = wanted(dead_letters(name), 1, retention_ms=-1, replication=replication)
    return replace(made, config={**made.config, LIMIT: str(MOST_BYTES)})


def table(partitions: int = DEFAULT_PARTITIONS, replication: int = 1, prefix: str = "") -> list[Wanted]:
    """All topics of `schemas.topics` and their dead-letter twins."""
    found = []
    for topic in TOPICS:
        found.append(_row(topic, partitions, replication, prefix))
        found.append(twin(prefix + topic.name, replication))
    return found


def _row(topic: Topic, partitions: int, replication: int, prefix: str) -> Wanted:
    return wanted(
        prefix + topic.name,
        topic.partitions or partitions,
        compact=topic.compact,
        retention_ms=topic.retention_ms,
        replication=replication,
    )


def create(
    kafka: Mapping[str, Any], partitions: int = DEFAULT_PARTITIONS, *, replication: int = 1, prefix: str = ""
) -> list[str]:
    """Make every topic that is missing and return the names of those made; all of them can be used on return.

    `kafka` is librdkafka configuration; `prefix` is put before each name, so that several systems may share a cluster. Raises
    `TopicsDiffer` if one exists and is not as wanted, `KafkaException` if the cluster refuses or does not answer.
    """
    return ensure(kafka, table(partitions, replication, prefix))


def create_topic(
    kafka: Mapping[str, Any],
    name: str,
    partitions: int,
    *,
    compact: bool = False,
    retention_ms: int = 0,
    replication: int = 1,
) -> bool:
    """Make one topic, as an engine does for its changelogs; whether it was made now. Raises as `create` does."""
    made = ensure(
        kafka, [wanted(name, partitions, compact=compact, retention_ms=retention_ms, replication=replication)]
    )
    return bool(made)


def ensure(kafka: Mapping[str, Any], topics: Sequence[Wanted]) -> list[str]:
    """Make those of `topics` that are missing, verify the others. See `create`."""
    admin = AdminClient(dict(kafka))
    known = admin.list_topics(timeout=_TIMEOUT_SECONDS).topics
    missing = [t for t in topics if t.name not in known]
    made = _make(admin, missing)
    _await(admin, {t.name: t.partitions for t in missing if t.name in made})
    present = [t for t in topics if t.name not in made]
    _raise_limits(admin, present)
    if differences := _differences(admin, present):
        raise TopicsDiffer(differences)
    return made


def _make(admin: AdminClient, topics: Sequence[Wanted]) -> list[str]:
    if not topics:
        return []
    news = [NewTopic(t.name, t.partitions, t.replication, config=dict(t.config)) for t in topics]
    made = []
    futures: dict[str, Future[None]] = admin.create_topics(news, operation_timeout=_TIMEOUT_SECONDS)
    for name, future in futures.items():
        try:
            future.result(_TIMEOUT_SECONDS)
            made.append(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was faster
                raise
    return made


def _await(admin: AdminClient, topics: Mapping[str, int]) -> None:
    """Until each has a leader for every partition: being made is not yet being there for clients."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while True:
        known = admin.list_topics(timeout=_TIMEOUT_SECONDS).topics
        absent = [
            name
            for name, partitions in topics.items()
            if name not in known
            or len(known[name].partitions) < partitions
            or any(p.leader < 0 for p in known[name].partitions.values())
        ]
        if not absent and _led(admin, topics):
            return
        if time.monotonic() > deadline:
            raise KafkaException(
                KafkaError(KafkaError.LEADER_NOT_AVAILABLE, f"made, but not led after {_TIMEOUT_SECONDS} s: {absent}")
            )
        time.sleep(_POLL_SECONDS)  # between two looks at the cluster


def _led(admin: AdminClient, topics: Mapping[str, int]) -> bool:
    """Whether the leaders know that they are: a broker may name itself some time before it answers as one. Who may not ask takes it as said."""
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # has no annotations
    places = {TopicPartition(name, n): latest for name, partitions in topics.items() for n in range(partitions)}
    try:
        for answer in admin.list_offsets(places, request_timeout=_TIMEOUT_SECONDS).values() if places else ():
            answer.result(_TIMEOUT_SECONDS)
    except KafkaException as error:
        return not passing(error.args[0])
    return True


def _raise_limits(admin: AdminClient, topics: Sequence[Wanted]) -> None:
    """Where a topic takes only smaller records than wanted, let it take larger ones; it does on return."""
    least = {t.name: int(t.config[LIMIT]) for t in topics if LIMIT in t.config}

    def low() -> list[str]:
        asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in least])
        return [r.name for r, said in asked.items() if int(said.result(_TIMEOUT_SECONDS)[LIMIT].value) < least[r.name]]

    found = low() if least else []
    if not found:
        return
    changes = []
    for name in found:
        entry = ConfigEntry(LIMIT, str(least[name]), incremental_operation=AlterConfigOpType.SET)
        changes.append(ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry]))
    for done in admin.incremental_alter_configs(changes).values():
        done.result(_TIMEOUT_SECONDS)
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while left := low():  # the controller has it, brokers hear of it
        if time.monotonic() > deadline:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{LIMIT} of {left} was raised and is not in force"))
        time.sleep(_POLL_SECONDS)  # between two looks at the cluster


def _differences(admin: AdminClient, topics: Sequence[Wanted]) -> list[str]:
    if not topics:
        return []
    _await(admin, {t.name: 1 for t in topics})
    known = admin.list_topics(timeout=_TIMEOUT_SECONDS).topics
    resources = {t.name: ConfigResource(ResourceType.TOPIC, t.name) for t in topics}
    configs = {resource.name: future for resource, future in admin.describe_configs(list(resources.values())).items()}
    found = []
    for t in topics:
        count = len(known[t.name].partitions)
        if count != t.partitions:
            found.append(
                f"{t.name} has {count} partitions, wanted {t.partitions}: its keys would move, so make it anew or want {count}"
            )
        replicas = min(len(p.replicas) for p in known[t.name].partitions.values())
        if replicas != t.replication:
            found.append(f"{t.name} has {replicas} replicas, wanted {t.replication}: use kafka-reassign-partitions")
        entries = configs[t.name].result(_TIMEOUT_SECONDS)
        for key, value in t.config.items():
            if entries[key].value != value and key != LIMIT:
                found.append(
                    f"{t.name} has {key}={entries[key].value}, wanted {value}: use kafka-configs --alter --topic {t.name} "
                    f"--add-config {key}={value}"
                )
    return found


def register(registry: ConfluentRegistry) -> Codec:
    """Register every record's schema and hold each subject to BACKWARD; returns the codec that came of it.

    Raises `ValueError` naming the record whose schema cannot read what is already written, `RegistryUnavailable`.
    """
    codec = Codec(registry)
    registry.hold_backward(list(BY_NAME))
    return codec
