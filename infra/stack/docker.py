"""The same parts as containers, for machines with a Docker engine: real ClickHouse, real images, same addresses.

Tests use it when ``BESTEX_TEST_DOCKER=1``. `testcontainers` is a development dependency, imported only when asked for.
The images are those of ``infra/compose.yaml``.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.settings import Addresses
from infra.stack.part import HOST, NotReady
from infra.stack.process import Deadline, free_ports
from infra.stack.registry import API, COMPATIBILITY
from infra.stack.state import StackError

KAFKA_IMAGE = "apache/kafka:4.3.1"
REGISTRY_IMAGE = "apicurio/apicurio-registry:3.3.3"
VALKEY_IMAGE = "valkey/valkey:9.1-alpine"
CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:26.9"
_BROKER_PORT = 9092
_BROKER = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_LISTENERS": f"PLAINTEXT://:{_BROKER_PORT},CONTROLLER://:9093",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_LOG_RETENTION_MS": "-1",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
}
_READY_SECONDS = 180.0
_POLL_SECONDS = 0.5


def docker_available() -> bool:
    """Whether a Docker engine answers and the client for it is installed."""
    try:
        import docker  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        return False
    try:
        client = docker.from_env(timeout=5)
    except docker.errors.DockerException:
        return False
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        client.close()


@contextmanager
def docker_stack() -> Iterator[Addresses]:
    """Start all four as containers, give their addresses, remove them at the end."""
    from testcontainers.core.container import DockerContainer

    password = secrets.token_urlsafe(18)
    with ExitStack() as running:
        # A broker tells clients where to come back to, so its port outside is chosen before it starts.
        port = free_ports(["kafka"])["kafka"]
        broker = DockerContainer(KAFKA_IMAGE).with_bind_ports(_BROKER_PORT, port)
        for name, value in _BROKER.items():
            broker = broker.with_env(name, value)
        broker = broker.with_env("KAFKA_ADVERTISED_LISTENERS", f"PLAINTEXT://{HOST}:{port}")
        running.enter_context(broker)
        registry = running.enter_context(DockerContainer(REGISTRY_IMAGE).with_exposed_ports(8080))
        valkey = running.enter_context(DockerContainer(VALKEY_IMAGE).with_exposed_ports(6379))
        clickhouse = running.enter_context(
            DockerContainer(CLICKHOUSE_IMAGE)
            .with_exposed_ports(8123)
            .with_env("CLICKHOUSE_USER", "bestex")
            .with_env("CLICKHOUSE_PASSWORD", password)
            .with_env("CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT", "1")
        )
        addresses = Addresses(
            kafka=f"{HOST}:{port}",
            registry=f"http://{_where(registry, 8080)}{API}",
            valkey=f"redis://{_where(valkey, 6379)}/0",
            clickhouse=f"http://bestex:{password}@{_where(clickhouse, 8123)}",
        )
        _await_broker(addresses.kafka)
        _await(f"{addresses.registry}/subjects")
        _await(f"{addresses.clickhouse}/ping")
        rule = httpx.put(f"{addresses.registry}/config", json={"compatibility": COMPATIBILITY})
        rule.raise_for_status()
        yield addresses


def _where(container: Any, port: int) -> str:
    return f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"


def _await_broker(bootstrap: str) -> None:
    try:
        AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=_READY_SECONDS)
    except KafkaException as error:
        raise StackError(f"the broker's container did not answer in {_READY_SECONDS:.0f} s: {error}") from error


def _await(url: str) -> None:
    deadline = Deadline(_READY_SECONDS)
    while True:
        try:
            _ask(url)
            return
        except NotReady as error:
            if deadline.left() <= 0:
                raise StackError(f"a container did not answer in {_READY_SECONDS:.0f} s: {error}") from error
        deadline.pause(_POLL_SECONDS)


def _ask(url: str) -> None:
    try:
        httpx.get(url, timeout=5.0).raise_for_status()
    except httpx.HTTPError as error:
        raise NotReady(f"{type(error).__name__}: {error}") from error
