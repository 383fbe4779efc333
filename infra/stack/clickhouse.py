"""ClickHouse, embedded: the chDB engine behind `infra.clickhouse_http`, in a process of its own.

The password of its one user is made for each home, because any web page a browser shows can send requests to a
loopback port, and only the password stands between it and the data.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import httpx

from infra.stack.part import HOST, NotReady, Part, Ports, Tell
from infra.stack.process import python
from infra.stack.state import write_private

USER = "bestex"
READER = "analyst"
_ANSWER_SECONDS = 10.0


class ClickHouse(Part):
    """The engine's HTTP interface, with a user that may write and one that may only read."""

    name = "clickhouse"

    def prepare(self, ports: Ports, tell: Tell) -> None:
        """Make the data folder and, once, the users."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._users.exists():
            users = {
                USER: {"password": secrets.token_urlsafe(18), "readonly": False},
                READER: {"password": secrets.token_urlsafe(18), "readonly": True},
            }
            write_private(self._users, json.dumps(users, indent=1))

    def command(self, ports: Ports) -> list[str]:
        """The server module on this Python."""
        return python(
            *("-m", "infra.chdb_server", "--path", str((self.folder / "data").resolve())),
            *("--host", HOST, "--port", str(ports["port"]), "--users", str(self._users.resolve())),
        )

    def ask(self, ports: Ports) -> None:
        """A ping asks the HTTP side, a query the engine."""
        base = self.address(ports)
        try:
            httpx.get(f"{base}/ping", timeout=_ANSWER_SECONDS).raise_for_status()
            answer = httpx.get(base, params={"query": "SELECT 1"}, timeout=_ANSWER_SECONDS)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise NotReady(f"{type(error).__name__}: {error}") from error
        if answer.text.strip() != "1":
            raise NotReady(f"SELECT 1 gave {answer.text!r}")

    def address(self, ports: Ports) -> str:
        """URL with the writing user's name and password."""
        password = json.loads(self._users.read_text())[USER]["password"]
        return f"http://{USER}:{password}@{HOST}:{ports['port']}"

    @property
    def _users(self) -> Path:
        return self.folder / "users.json"
