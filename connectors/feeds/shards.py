"""One feed's symbols over several processes of one machine: a parent that starts them, starts again one that dies, and leaves last.

Each child is `python -m connectors.feeds --config FILE --shard I/N`. A child that dies says so by the STALE of its successor; between the two
a reader knows by the age of the books. A child whose parent is gone leaves by itself. Several machines do without a parent: each runs its own shard.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
AGAIN_SECONDS = 1.0  # a child that dies at once is not started again sooner
LEAVE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Shard:
    """The share `index` (from 0) of `of`."""

    index: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`0/3`. Raises `ValueError`."""
        index, slash, of = text.partition("/")
        if not (slash and index.isdecimal() and of.isdecimal() and int(index) < int(of)):
            raise ValueError(f"{text!r} is no shard such as 0/3")
        return cls(int(index), int(of))


def supervise(config: Path, processes: int) -> tuple[bool, dict[str, Any]]:
    """Run so many shards until a signal; whether each left Kafka with all it said, and their counts together."""
    leaving = False

    def leave(number: int, frame: object) -> None:
        nonlocal leaving
        leaving = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    children = [_start(config, Shard(n, processes)) for n in range(processes)]
    started = [time.monotonic()] * processes
    while not leaving:
        time.sleep(LOOK_SECONDS)  # a parent has nothing else to do than to look, and a signal ends the sleep
        for n, child in enumerate(children):
            if child.poll() is not None and time.monotonic() - started[n] >= AGAIN_SECONDS:
                log.error("shard %d/%d ended with %s: started again", n, processes, child.returncode)
                children[n], started[n] = _start(config, Shard(n, processes)), time.monotonic()
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    said, stats = True, []
    for child in children:
        try:
            out, _ = child.communicate(timeout=LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            out, _ = child.communicate()
        said = said and child.returncode == 0
        lines = out.splitlines()
        if child.returncode in (0, 1) and lines:
            stats.append(json.loads(lines[-1]))
    return said, added(stats)


def added(stats: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of several processes as one."""
    total: dict[str, Any] = {}
    for one in stats:
        _add(total, one)
    return total


def _add(total: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping):
            _add(total.setdefault(key, {}), value)
        else:
            total[key] = total.get(key, 0) + value


def _start(config: Path, shard: Shard) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "connectors.feeds",
        "--config",
        str(config),
        "--shard",
        f"{shard.index}/{shard.of}",
    ]
    return subprocess.Popen([*command, "--json", "--parent", str(os.getpid())], stdout=subprocess.PIPE, text=True)
