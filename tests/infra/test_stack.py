"""The local stack for real: every server started, used as the pipeline uses it, killed, restarted, gone at the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import clickhouse_connect
import psutil  # type: ignore[import-untyped]  # publishes no types
import pytest
import redis
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from infra.settings import Addresses, Settings, SettingsError
from infra.stack import docker
from infra.stack.artifacts import LOCK, ROOTS, fetch
from infra.stack.part import HOST, NotReady, Part, Ports, Tell
from infra.stack.process import free_ports, port_free
from infra.stack.stack import Stack, running_addresses
from infra.stack.state import (
    LOCK_FILE,
    STATE_FILE,
    PartState,
    ProcessId,
    StackBusy,
    StackError,
    StackState,
    load,
    locked,
    save,
)

# Everything but Valkey elsewhere: the lifecycle of one small server is the lifecycle of all.
ONLY_VALKEY = Settings(kafka="elsewhere:9092", registry="http://elsewhere", clickhouse="http://elsewhere")


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)  # between two looks at another process


def processes_of(home: Path) -> list[int]:
    """The live processes whose command line names this home."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and str(home) in " ".join(process.info["cmdline"] or ()):
            found.append(process.pid)
    return [pid for pid in found if pid != os.getpid()]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("stack")
    stack = Stack(home)
    stack.start()
    assert len(processes_of(home)) >= 5  # four parts and the watcher
    yield stack
    stack.stop()
    assert processes_of(home) == []
    assert all(part["state"] == "stopped" for part in stack.status().values())


def create(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})  # named: the answer does not come to one already collected
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)


def produce(bootstrap: str, topic: str, values: list[str], *, commit: bool = True) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"tx-{topic}"})
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value.encode(), key=value.encode())
    if commit:
        producer.commit_transaction(30)
    else:
        producer.flush(30)
        producer.abort_transaction(30)


def consume(bootstrap: str, topic: str, count: int) -> list[str]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"readers-{topic}-{time.monotonic_ns()}",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([topic])
    values: list[str] = []
    ended: set[int | None] = set()
    deadline = time.monotonic() + 40
    try:
        # Both partitions read to their ends, so that a record too many is seen as well.
        while len(ended) < 2 or len(values) < count:
            assert time.monotonic() < deadline, f"{len(values)} of {count} records came"
            message = consumer.poll(1.0)
            if message is None:
                continue
            error, value = message.error(), message.value()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add(message.partition())
            elif value is not None:
                values.append(value.decode())
    finally:
        consumer.close()
    return sorted(values)


def test_kafka_commits_transactions_and_hides_aborted_ones(stack: Stack) -> None:
    bootstrap = stack.addresses.kafka
    create(bootstrap, "orders")
    produce(bootstrap, "orders", ["a", "b", "c"])
    produce(bootstrap, "orders", ["never"], commit=False)
    assert consume(bootstrap, "orders", 3) == ["a", "b", "c"]


def test_kafka_makes_no_topic_by_itself(stack: Stack) -> None:
    producer = Producer({"bootstrap.servers": stack.addresses.kafka, "message.timeout.ms": 3000})
    errors: list[object] = []
    producer.produce("misspelt", b"x", on_delivery=lambda error, message: errors.append(error))
    producer.flush(10)
    assert errors and errors[0] is not None


def order_schema(*more: dict[str, object]) -> Schema:
    fields = [{"name": "id", "type": "string"}, *more]
    return Schema(json.dumps({"type": "record", "name": "Order", "fields": fields}), "AVRO")


def test_the_registry_refuses_what_old_data_cannot_be_read_with(stack: Stack) -> None:
    client = SchemaRegistryClient({"url": stack.addresses.registry})
    first = client.register_schema("orders-value", order_schema())
    second = client.register_schema("orders-value", order_schema({"name": "note", "type": "string", "default": ""}))
    assert second != first
    with pytest.raises(SchemaRegistryError) as refused:
        client.register_schema("orders-value", order_schema({"name": "price", "type": "long"}))
    assert refused.value.http_status_code == 409


def test_schema_ids_outlive_a_kill(stack: Stack) -> None:
    schema = order_schema({"name": "kept", "type": "int", "default": 0})
    before = SchemaRegistryClient({"url": stack.addresses.registry}).register_schema("kept-value", schema)
    stack.kill("registry")
    stack.restart("registry")
    client = SchemaRegistryClient({"url": stack.addresses.registry})
    assert client.register_schema("kept-value", schema) == before
    assert json.loads(str(client.get_schema(before).schema_str))["fields"][1]["name"] == "kept"


def test_valkey_keeps_its_data_through_a_kill(stack: Stack) -> None:
    client = redis.Redis.from_url(stack.addresses.valkey, decode_responses=True)
    client.set("position:alice", "42")
    stack.kill("valkey")
    with pytest.raises(redis.ConnectionError):
        client.get("position:alice")
    assert stack.status()["valkey"]["state"] == "stopped"
    stack.restart("valkey")
    assert client.get("position:alice") == "42"


def test_clickhouse_deduplicates_by_token(stack: Stack) -> None:
    with clickhouse_connect.get_client(dsn=stack.addresses.clickhouse) as client:
        client.command("CREATE DATABASE bestex")
        client.command(
            "CREATE TABLE bestex.fills (id UInt64) ENGINE = MergeTree ORDER BY id "
            "SETTINGS non_replicated_deduplication_window = 100"
        )
        for _ in range(2):
            client.insert(
                "bestex.fills",
                [[1], [2]],
                column_names=["id"],
                settings={"insert_deduplication_token": "fills-0-2"},
            )
        assert client.query("SELECT id FROM bestex.fills ORDER BY id").result_rows == [(1,), (2,)]


def test_a_killed_broker_returns_with_its_data_at_its_address(stack: Stack) -> None:
    bootstrap = stack.addresses.kafka
    create(bootstrap, "survivors")
    produce(bootstrap, "survivors", ["one", "two"])
    pid = stack.status()["kafka"]["pid"]
    stack.kill("kafka")
    assert not psutil.pid_exists(pid)
    stack.restart("kafka")
    assert stack.addresses.kafka == bootstrap
    assert stack.status()["kafka"]["pid"] != pid
    produce(bootstrap, "survivors", ["three"])
    assert consume(bootstrap, "survivors", 3) == ["one", "three", "two"]


def test_a_second_stack_on_the_same_home_is_refused(stack: Stack) -> None:
    assert running_addresses(stack.home) == stack.addresses
    with pytest.raises(StackBusy):
        Stack(stack.home).start()
    assert stack.status()["kafka"]["state"] == "running"


def test_every_server_listens_on_the_loopback_at_its_own_ports_only(stack: Stack) -> None:
    state = load(stack.home)
    for name, known in state.running().items():
        process = psutil.Process(known.pid)
        listening = {c.laddr for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
        assert {address.port for address in listening} == set(state.parts[name].ports.values()), name
        assert all(address.ip in ("127.0.0.1", "::ffff:127.0.0.1") for address in listening), name


def cli(home: Path, command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BESTEX_KAFKA": "x:1", "BESTEX_REGISTRY": "http://x/", "BESTEX_CLICKHOUSE": "http://x"}
    return subprocess.run(
        [sys.executable, "-m", "infra.stack", command, "--home", str(home)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_up_stays_is_idempotent_and_down_ends_it(tmp_path: Path) -> None:
    first = cli(tmp_path, "up")
    assert first.returncode == 0, first.stderr
    try:
        addresses = Addresses(**json.loads(first.stdout))
        assert (addresses.kafka, addresses.registry) == ("x:1", "http://x")
        pids = processes_of(tmp_path)
        again = cli(tmp_path, "up")
        assert json.loads(again.stdout) == json.loads(first.stdout)
        assert processes_of(tmp_path) == pids
        with pytest.raises(StackError, match="left running"):
            Stack(tmp_path, ONLY_VALKEY).start()
        redis.Redis.from_url(addresses.valkey).set("k", "v")
        os.kill(pids[0], signal.SIGKILL)
        eventually(lambda: processes_of(tmp_path) == [])
        third = cli(tmp_path, "up")
        assert json.loads(third.stdout) == json.loads(first.stdout), third.stderr
        assert redis.Redis.from_url(addresses.valkey).get("k") == b"v"
        told = replace(ONLY_VALKEY, valkey=addresses.valkey)  # as a shell has it that was told where things are
        assert Stack(tmp_path, told).status()["valkey"]["state"] == "running"
        os.kill(processes_of(tmp_path)[0], signal.SIGKILL)
        eventually(lambda: processes_of(tmp_path) == [])
        stack = Stack(tmp_path, told, detached=True)
        assert stack.start().valkey == addresses.valkey and processes_of(tmp_path), (
            "its own part is not somebody else's"
        )
        assert Stack(tmp_path / "another", told).status()["valkey"]["state"] == "external"
    finally:
        down = cli(tmp_path, "down")
    assert down.returncode == 0, down.stderr
    assert processes_of(tmp_path) == []
    assert cli(tmp_path, "down").returncode == 0


OWNER = """
import sys, time
from pathlib import Path
from infra.settings import Settings
from infra.stack.stack import Stack
stack = Stack(Path(sys.argv[1]), Settings(kafka="x:1", registry="http://x", clickhouse="http://x"))
stack.start()
print(stack.addresses.valkey, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["exit", "interrupt", "kill"])
def test_an_attached_stack_dies_with_its_owner(tmp_path: Path, end: str) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdin is not None and owner.stdout is not None
    assert owner.stdout.readline().startswith("redis://")
    assert load(tmp_path).running().keys() == {"valkey"}
    if end == "exit":
        owner.stdin.close()
    else:
        owner.send_signal(signal.SIGINT if end == "interrupt" else signal.SIGKILL)
    owner.wait(30)
    eventually(lambda: processes_of(tmp_path) == [])
    with Stack(tmp_path, ONLY_VALKEY) as again:
        assert redis.Redis.from_url(again.addresses.valkey).ping()


def test_orphans_of_a_dead_owner_are_cleared(tmp_path: Path) -> None:
    """Owner and watcher both killed: the next start finds a live part that belongs to nobody."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None and owner.stdout.readline()
    (orphan,) = load(tmp_path).running().values()
    for pid in set(processes_of(tmp_path)) - {orphan.pid, owner.pid}:
        os.kill(pid, signal.SIGKILL)
    owner.kill()
    owner.wait(30)
    assert orphan.alive()
    with Stack(tmp_path, ONLY_VALKEY):
        assert not orphan.alive()
        assert load(tmp_path).running().keys() == {"valkey"}
    assert processes_of(tmp_path) == []


def test_a_pid_that_is_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        stale = ProcessId(bystander.pid, ProcessId.of(bystander.pid).started - 3600)
        save(tmp_path, StackState(False, stale, {"valkey": PartState({"port": free_ports(["p"])["p"]}, stale)}))
        with Stack(tmp_path, ONLY_VALKEY) as stack:
            assert stack.status()["valkey"]["pid"] != bystander.pid
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 99}', '{"version": 1, "parts": 3}'])
def test_an_unreadable_state_is_an_empty_one(tmp_path: Path, content: str) -> None:
    (tmp_path / STATE_FILE).write_text(content)
    assert load(tmp_path) == StackState()


def test_a_taken_port_is_replaced(tmp_path: Path) -> None:
    with Stack(tmp_path, ONLY_VALKEY) as first:
        port = load(first.home).parts["valkey"].ports["port"]
    with socket.create_server((HOST, port)):
        assert not port_free(port)
        with Stack(tmp_path, ONLY_VALKEY) as second:
            assert load(second.home).parts["valkey"].ports["port"] != port
            assert redis.Redis.from_url(second.addresses.valkey).ping()


class Broken(Part):
    """A server that says why it cannot run, and ends."""

    name = "valkey"

    def prepare(self, ports: Ports, tell: Tell) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self, ports: Ports) -> list[str]:
        return [sys.executable, "-c", "raise SystemExit('the disk is made of cheese')"]

    def ask(self, ports: Ports) -> None:
        raise NotReady("no answer")

    def address(self, ports: Ports) -> str:
        return "nowhere"


def test_a_part_that_fails_shows_its_log_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.stack.stack.PARTS", (Broken,))
    stack = Stack(tmp_path, ONLY_VALKEY)
    with pytest.raises(StackError, match="made of cheese"):
        stack.start()
    assert processes_of(tmp_path) == []
    with locked(tmp_path / LOCK_FILE):
        pass  # the home is free again


def test_a_damaged_jar_is_fetched_again_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"coordinate": "org.slf4j:slf4j-api:1.7.36", "sha256": ""}
    good = next(r for r in json.loads(LOCK.read_text())["kafka"] if r["coordinate"] == row["coordinate"])
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    path = tmp_path / "m2/org/slf4j/slf4j-api/1.7.36/slf4j-api-1.7.36.jar"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"cut sho")
    lock = tmp_path / "lock.json"
    monkeypatch.setattr("infra.stack.artifacts.LOCK", lock)
    told: list[str] = []
    lock.write_text(json.dumps({"kafka": [good]}))
    assert fetch("kafka", told.append) == [path]
    assert path.stat().st_size > 10_000
    assert told == ["fetching slf4j-api-1.7.36"]
    lock.write_text(json.dumps({"kafka": [{**good, "sha256": "0" * 64}]}))
    with pytest.raises(StackError, match="pinned checksum"):
        fetch("kafka", told.append)
    assert not path.exists()


def test_settings_from_the_environment(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    settings = Settings.from_env(
        {
            "BESTEX_KAFKA": "broker:9093",
            "BESTEX_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "BESTEX_KAFKA_SASL_USERNAME": "me",
            "BESTEX_KAFKA_SASL_PASSWORD_FILE": str(secret),
            "BESTEX_KAFKA_SSL_CA_LOCATION": "/ca.pem",
            "BESTEX_REGISTRY": "https://registry/",
            "BESTEX_REGISTRY_USER": "me",
            "BESTEX_REGISTRY_PASSWORD": "p4ss",
            "BESTEX_CLICKHOUSE": "http://u:hidden@host:8123",
            "BESTEX_VALKEY": "",
        }
    )
    assert settings.kafka_client() == {
        "bootstrap.servers": "broker:9093",
        "security.protocol": "SASL_SSL",
        "sasl.username": "me",
        "sasl.password": "s3cret",
        "ssl.ca.location": "/ca.pem",
    }
    assert settings.registry_client() == {"url": "https://registry", "basic.auth.user.info": "me:p4ss"}
    assert settings.valkey is None
    assert settings.home == Path(".bestex")
    shown = repr(settings) + repr(Addresses("k", "r", "redis://:tell@h", "http://u:hidden@host:8123"))
    assert "http://u:***@host:8123" in shown
    for password in ("s3cret", "p4ss", "hidden", "tell"):
        assert password not in shown
    with pytest.raises(SettingsError, match="BESTEX_KAFKA_SASL_PASSWORD_FILE"):
        Settings.from_env({"BESTEX_KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "none")})
    own = tmp_path / "accounts.json"
    own.write_text('{"order_retention_us": 60000000}')
    told = Settings.from_env({"BESTEX_ACCOUNTS": str(own)})
    routed = Settings.from_env({"BESTEX_ROUTER": str(own), "BESTEX_EXECUTION": str(own)})
    assert routed.agent("router") == told.agent("accounts") and routed.agent("accounts") == {}
    assert routed.execution == told.accounts
    assert told.agent("accounts") == {"agent": {"order_retention_us": 60_000_000}} and not told.agent("router")
    own.write_text("[]")
    with pytest.raises(SettingsError, match="no JSON object"):
        Settings.from_env({"BESTEX_ACCOUNTS": str(own)})
    with pytest.raises(SettingsError, match="both set"):
        Settings.from_env({"BESTEX_VALKEY": "a", "BESTEX_VALKEY_FILE": str(secret)})


def test_settings_of_the_containers_are_those_of_the_local_broker() -> None:
    """The images cannot be run everywhere; that they name what is pinned here can be checked everywhere."""
    compose = (Path(docker.__file__).parents[1] / "compose.yaml").read_text()
    for image in (docker.KAFKA_IMAGE, docker.REGISTRY_IMAGE, docker.VALKEY_IMAGE, docker.CLICKHOUSE_IMAGE):
        assert f"image: {image}\n" in compose
    versions = {coordinate.split(":")[2] for roots in ROOTS.values() for coordinate, _ in roots}
    assert {docker.KAFKA_IMAGE.split(":")[1], docker.REGISTRY_IMAGE.split(":")[1]} <= versions


@pytest.mark.skipif(
    os.environ.get("BESTEX_TEST_DOCKER") != "1" or not docker.docker_available(),
    reason="needs BESTEX_TEST_DOCKER=1 and a Docker engine",
)
def test_the_same_parts_as_containers() -> None:
    with docker.docker_stack() as addresses:
        create(addresses.kafka, "orders")
        produce(addresses.kafka, "orders", ["a"])
        assert consume(addresses.kafka, "orders", 1) == ["a"]
        SchemaRegistryClient({"url": addresses.registry}).register_schema("orders-value", order_schema())
        assert redis.Redis.from_url(addresses.valkey).ping()
        with clickhouse_connect.get_client(dsn=addresses.clickhouse) as client:
            assert client.command("SELECT 1") == 1
