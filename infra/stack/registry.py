"""The schema registry: Apicurio, spoken to through the Confluent-compatible API that Kafka clients know.

Schemas are kept in an H2 database in the stack's home, so that the schema ids inside stored records stay true after a
restart. Compatibility is BACKWARD for every subject unless a subject says otherwise.
"""

from __future__ import annotations

from pathlib import Path

import httpx

from infra.stack.artifacts import java, unpacked
from infra.stack.part import HOST, NotReady, Part, Ports, Tell

HEAP = "384m"
API = "/apis/ccompat/v7"
COMPATIBILITY = "BACKWARD"
_RUNNER = "quarkus-run.jar"
_ANSWER_SECONDS = 5.0


class Registry(Part):
    """Apicurio Registry with its Confluent-compatible API."""

    name = "registry"
    # Health and metrics are served apart; left alone, on port 9000 of every interface, where two stacks would collide.
    port_names = ("port", "management")
    ready_seconds = 120.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._program = Path()

    def prepare(self, ports: Ports, tell: Tell) -> None:
        """Fetch and unpack the program."""
        self._program = unpacked("registry", _RUNNER, tell)
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self, ports: Ports) -> list[str]:
        """``quarkus-run.jar`` on the packaged Java."""
        properties = {
            "quarkus.http.host": HOST,
            "quarkus.http.port": str(ports["port"]),
            "quarkus.management.host": HOST,
            "quarkus.management.port": str(ports["management"]),
            "quarkus.log.level": "WARN",
            "quarkus.http.access-log.enabled": "false",
            "apicurio.storage.kind": "sql",
            "apicurio.storage.sql.kind": "h2",
            # WRITE_DELAY=0: an acknowledged schema is in the file, whatever ends the process next.
            "apicurio.datasource.url": f"jdbc:h2:file:{self.folder.resolve() / 'schemas'};WRITE_DELAY=0",
            "apicurio.datasource.username": "sa",
            "apicurio.datasource.password": "sa",
        }
        return [
            *java(HEAP, self.folder),
            "-XX:TieredStopAtLevel=1",  # starts sooner, and never has much to do
            *(f"-D{name}={value}" for name, value in properties.items()),
            "-jar",
            str(self._program / _RUNNER),
        ]

    def ask(self, ports: Ports) -> None:
        """List the subjects, then hold all of them to `COMPATIBILITY`."""
        base = self.address(ports)
        try:
            httpx.get(f"{base}/subjects", timeout=_ANSWER_SECONDS).raise_for_status()
            rule = httpx.put(f"{base}/config", json={"compatibility": COMPATIBILITY}, timeout=_ANSWER_SECONDS)
            rule.raise_for_status()
        except httpx.HTTPError as error:
            raise NotReady(f"{type(error).__name__}: {error}") from error

    def address(self, ports: Ports) -> str:
        """Base URL of the Confluent-compatible API."""
        return f"http://{HOST}:{ports['port']}{API}"
