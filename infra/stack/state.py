"""What is known about a stack between commands: its processes, its ports, and who may touch it.

``stack.json`` in the stack's home survives the command that wrote it. The rules kept here:

* a process is a pid *and* its start time, so that a pid the system gave to somebody else is never signalled;
* the file is replaced atomically and readable by its owner only (an address may carry a password);
* ports outlive their process, so that a part that is started again answers at the address its clients know;
* ``stack.lock`` is held by whoever changes a stack; the kernel frees it when its holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # publishes no types

STATE_FILE = "stack.json"
LOCK_FILE = "stack.lock"
VERSION = 1
# psutil derives a start time from the boot time, which a clock adjustment can shift a little.
_START_TOLERANCE_SECONDS = 2.0


class StackError(RuntimeError):
    """The stack cannot do what was asked; the message says why and what to do."""


class StackBusy(StackError):
    """Another process holds this stack."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process and no other: its pid with its start time (Unix seconds)."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """The identity of a running process; raises `psutil.NoSuchProcess`."""
        return cls(pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The live process, or ``None`` if it ended or its pid is now somebody else's."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > _START_TOLERANCE_SECONDS:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self.process() is not None


@dataclass(slots=True)
class PartState:
    """One part: its ports by purpose, and its process while it has one."""

    ports: dict[str, int] = field(default_factory=dict)
    process: ProcessId | None = None


@dataclass(slots=True)
class StackState:
    """All of ``stack.json``. ``owner`` is the process that an attached stack lives and dies with."""

    detached: bool = False
    owner: ProcessId | None = None
    parts: dict[str, PartState] = field(default_factory=dict)

    def running(self) -> dict[str, ProcessId]:
        """The parts whose process is alive, by name."""
        return {name: part.process for name, part in self.parts.items() if part.process and part.process.alive()}


def load(home: Path) -> StackState:
    """Read the state; a home without one, or with one that a crash or another version left unreadable, is empty."""
    try:
        raw = json.loads((home / STATE_FILE).read_text())
        if raw["version"] != VERSION:
            return StackState()
        return StackState(
            detached=bool(raw["detached"]),
            owner=_process(raw["owner"]),
            parts={
                name: PartState({k: int(v) for k, v in part["ports"].items()}, _process(part["process"]))
                for name, part in raw["parts"].items()
            },
        )
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError, AttributeError):
        return StackState()


def save(home: Path, state: StackState) -> None:
    """Replace the state file atomically."""
    home.mkdir(parents=True, exist_ok=True)
    write_private(home / STATE_FILE, json.dumps({"version": VERSION, **asdict(state)}, indent=1))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, all of it or none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def _process(raw: dict[str, float] | None) -> ProcessId | None:
    return None if raw is None else ProcessId(int(raw["pid"]), float(raw["started"]))


@contextmanager
def locked(path: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock on ``path``; raises `StackBusy` if another holder keeps it longer than the wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StackBusy(f"{path.parent} is in use by another process") from None
                time.sleep(0.05)  # flock has no timed wait
        yield
    finally:
        os.close(descriptor)
