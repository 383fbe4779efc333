"""Worker processes that are started, asked, signalled and started again under the same name and in the same home."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx


class Worker:
    """One worker process: `command` and the path of its configuration, which is `config` with its home."""

    def __init__(self, home: Path, config: dict[str, Any], command: Sequence[str]) -> None:
        self.home, self.config, self._command = home, config, command
        self._process: subprocess.Popen[bytes] | None = None
        self._since = 0
        home.mkdir(parents=True)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        path = self.home / "config.json"
        path.write_text(json.dumps({**self.config, "home": str(self.home)}))
        with (self.home / "log").open("ab") as log:
            self._since = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._command, str(path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ready(self) -> bool:
        """Whether its tasks have been open since it started."""
        return self.alive and self.announcement() is not None

    def announcement(self) -> dict[str, Any] | None:
        """What it said last about its tasks since it started: `{"ready": [partitions], "web_port": n}`."""
        with (self.home / "log").open("rb") as log:
            log.seek(self._since)
            said = [line for line in log.read().splitlines() if line.startswith(b'{"ready": ')]
        return json.loads(said[-1]) if said else None

    def metric(self, name: str) -> float:
        """The sum over the labels of one of its metrics, without `bestex_engine_`."""
        port = (self.announcement() or {})["web_port"]
        lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text.splitlines()
        return sum(float(x.split()[-1]) for x in lines if x.startswith(f"bestex_engine_{name}{{"))

    def state(self, table: str, keys: Sequence[str]) -> dict[str, str]:
        """The ids that its committed state holds for these keys; those that it has."""
        port = (self.announcement() or {})["web_port"]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            answers = {key: client.get(f"/state/{table}/{key}") for key in keys}
        return {key: str(answer.json()["order_id"]) for key, answer in answers.items() if answer.status_code == 200}

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Whether it ended in time."""
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        if self.alive:
            self.signal(signal.SIGKILL)
            self.wait(30)
