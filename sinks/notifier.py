"""Tells users what became of their orders, and operators what venues have that we do not know of: to a webhook, into a file, or on the console.

* **Webhook** (`sinks.webhook`): at least once, each with an idempotency key; once, as far as the receiver honours it.
* **File**: JSON lines, each with its place in the log, each notice once. The file itself says how far it came: on a restart its last
  line is cut off if a crash tore it, and reading goes on after the highest place it holds of each partition. It is locked, so one
  process at a time writes it. A file that is gone is not written again from the beginning: nobody is told twice.
* **Console**: JSON lines on stdout. Offsets are committed after the lines went out, so a crash repeats at most those since.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from schemas.records import OrderEvent, Record, VenueAlert
from sinks.base import Later, Place, Row, Settings, Sink
from sinks.notices import notice

TOPICS: Mapping[str, tuple[type[Record], ...]] = {"orders.events": (OrderEvent,), "venue.alerts": (VenueAlert,)}
PROMPT = Settings(rows=1_000, linger=0.02)


class ConsoleNotifier(Sink):
    """Writes each notice as a line of JSON to stdout."""

    topics: ClassVar = TOPICS
    settings = PROMPT

    def setup(self) -> None:
        """Nothing to connect to."""

    def write(self, batch: Sequence[Row]) -> None:
        """Print the batch's notices."""
        sys.stdout.write("".join(f"{json.dumps(told)}\n" for row in batch if (told := notice(row.record))))
        sys.stdout.flush()


class FileNotifier(Sink):
    """Appends each notice as a line of JSON to the file at `path`, with `topic`, `partition` and `offset` of its event."""

    topics: ClassVar = TOPICS
    settings = PROMPT

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._size = 0
        self._held: dict[Place, int] = {}

    def setup(self) -> None:
        """Open and lock the file, cut off a torn line, see what it holds. Raises `Later` while another process has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(file)
            raise Later(f"{self._path} is another process's") from error
        self._file, self._size = file, 0
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._size += len(line)
                told = json.loads(line)
                self._held[told["topic"], told["partition"]] = told["offset"] + 1
        os.ftruncate(file, self._size)

    def resume(self, committed: Mapping[Place, int]) -> Mapping[Place, int]:
        """After the last line of each partition, or where the group is if that is further."""
        return {place: max(self._held[place], offset) for place, offset in committed.items() if place in self._held}

    def write(self, batch: Sequence[Row]) -> None:
        """Append the batch's notices and see them on the disk."""
        lines = []
        after: dict[Place, int] = {}
        for row in batch:
            place = (row.topic, row.partition)
            if row.offset >= self._held.get(place, 0) and (told := notice(row.record)):
                at = {"topic": row.topic, "partition": row.partition, "offset": row.offset}
                lines.append(json.dumps(told | at).encode() + b"\n")
                after[place] = row.offset + 1
        if not lines:
            return
        assert self._file is not None  # set up before
        os.ftruncate(self._file, self._size)  # what an attempt that failed may have left
        data = memoryview(b"".join(lines))
        done = 0
        while done < len(data):
            done += os.write(self._file, data[done:])
        os.fsync(self._file)
        self._size += done
        self._held |= after

    def close(self) -> None:
        """Close the file, which frees it for others."""
        if self._file is not None:
            os.close(self._file)


def build(config: Mapping[str, Any]) -> Sink:
    """The sink of a configuration: `webhook` (URL), or `file` (path), or neither for the console. Raises `ValueError` for both."""
    if "webhook" in config and "file" in config:
        raise ValueError("a notifier has one target, webhook or file: run two, each with its own group")
    if "webhook" in config:
        from sinks.webhook import WebhookNotifier  # only who posts pays for loading an HTTP client

        return WebhookNotifier(config["webhook"])
    return FileNotifier(Path(config["file"])) if "file" in config else ConsoleNotifier()
