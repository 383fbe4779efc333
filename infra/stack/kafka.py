"""Kafka as one KRaft node: broker and controller in a single JVM, tuned for a development machine.

One node replicates nothing, so every internal topic has one replica. Retention by age is off: it counts from a
record's own timestamp, so that replayed market data of last year would vanish minutes after it was written.
"""

from __future__ import annotations

import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.stack.artifacts import fetch, java
from infra.stack.part import HOST, NotReady, Part, Ports, Tell
from infra.stack.state import StackError

HEAP = "768m"
_FORMAT_TIMEOUT_SECONDS = 120
_ANSWER_SECONDS = 5.0

_LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = INFO
"""


class Kafka(Part):
    """The broker, at a plaintext loopback listener."""

    name = "kafka"
    port_names = ("broker", "controller")
    ready_seconds = 90.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._class_path: list[Path] = []

    def prepare(self, ports: Ports, tell: Tell) -> None:
        """Fetch the jars, write the configuration (ports may differ from last time), format the log folder once."""
        self._class_path = fetch("kafka", tell)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "log4j2.properties").write_text(_LOGGING)
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            # Static voters live in this file alone; a dynamic quorum writes its ports into the log for ever.
            "controller.quorum.voters": f"1@{HOST}:{ports['controller']}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{HOST}:{ports['broker']},CONTROLLER://{HOST}:{ports['controller']}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{ports['broker']}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.folder / "log"),
            "auto.create.topics.enable": "false",
            "log.retention.ms": "-1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "8",
            # Years: a task that does not know where it stood refuses to open.
            "offsets.retention.minutes": "5256000",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "8",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            # A killed broker is let back in only when its last session has ended: 9 s by default.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "num.recovery.threads.per.data.dir": "2",
            "log.cleaner.dedupe.buffer.size": str(16 << 20),  # half of it must fit a thread; the default takes 128 MB
        }
        self._configuration.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        if not (self.folder / "log" / "meta.properties").exists():
            tell("formatting")
            self._format()

    def command(self, ports: Ports) -> list[str]:
        """``kafka.Kafka`` on the packaged Java."""
        return [*self._java(HEAP), "kafka.Kafka", str(self._configuration)]

    def ask(self, ports: Ports) -> None:
        """A broker that lists topics has its controller, its log folders and its listener."""
        client = AdminClient(
            {
                "bootstrap.servers": self.address(ports),
                "socket.timeout.ms": int(_ANSWER_SECONDS * 1000),
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )
        try:
            client.list_topics(timeout=_ANSWER_SECONDS)
        except KafkaException as error:
            raise NotReady(str(error.args[0])) from error

    def address(self, ports: Ports) -> str:
        """Bootstrap servers."""
        return f"{HOST}:{ports['broker']}"

    @property
    def _configuration(self) -> Path:
        return self.folder / "server.properties"

    def _format(self) -> None:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = [
            *self._java("128m"),
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            # An id that begins with a dash reads as an option.
            cluster.replace("-", "A"),
            "--config",
            str(self._configuration),
            "--ignore-formatted",
        ]
        result = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_SECONDS, check=False)
        if result.returncode:
            raise StackError(f"kafka: formatting {self.folder} failed:\n{result.stdout}{result.stderr}")

    def _java(self, heap: str) -> list[str]:
        return [
            *java(heap, self.folder),
            f"-Xms{heap}",
            # Compiled quickly rather than well: a third of a short demo's broker time.
            *(("-XX:TieredStopAtLevel=1",) if self.brief else ()),
            "--sun-misc-unsafe-memory-access=allow",  # what the broker uses is deprecated: no warning in its log
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
            "-cp",
            ":".join(map(str, self._class_path)),
        ]
