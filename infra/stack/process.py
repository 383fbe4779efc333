"""Starting, watching and ending the operating-system processes of a stack.

The rules kept here: a part runs in a session of its own, so that Ctrl-C in the terminal reaches the command and not
the broker under it; it is asked to end before it is forced to; whatever is ended is waited for; and whatever failed is
reported with the end of its own log.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # publishes no types

from infra.stack.state import ProcessId, StackError

# Below the ranges from which Linux (32768-) and macOS (49152-) number outgoing connections: a client that keeps
# connecting to a dead part's port inside that range can be given the same port as its own and so take it.
PORTS = range(20_000, 32_000)
TAIL_BYTES = 4_000
_GRACE_SECONDS = 10.0
_KILLED_SECONDS = 60.0  # a busy machine takes its time to clear a large process away


def spawn(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a process in its own session, appending both its outputs to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )


def python(*arguments: str) -> list[str]:
    """The command that runs this Python with arguments."""
    return [sys.executable, *arguments]


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """A free loopback port for each name, all different."""
    sockets: dict[str, socket.socket] = {}
    chooser = random.SystemRandom()
    try:
        for name in names:
            for port in chooser.sample(PORTS, 200):
                held = _bind(port)
                if held is not None:
                    sockets[name] = held
                    break
            else:
                raise StackError("no free port on the loopback interface")
        return {name: held.getsockname()[1] for name, held in sockets.items()}
    finally:
        for held in sockets.values():
            held.close()


def port_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    held = _bind(port)
    if held is not None:
        held.close()
    return held is not None


def _bind(port: int) -> socket.socket | None:
    candidate = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As servers do: connections that linger after a restart do not make the port taken; a listener does.
    candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        candidate.bind(("127.0.0.1", port))
        candidate.listen(1)
    except OSError:
        candidate.close()
        return None
    return candidate


def tail(log: Path, since: int = 0) -> str:
    """The last lines of a log, at most `TAIL_BYTES`, none from before byte ``since``."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since, size - TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
    except FileNotFoundError:
        return ""


def log_size(log: Path) -> int:
    """Where the next line of the log will begin."""
    return log.stat().st_size if log.exists() else 0


def end(processes: Mapping[str, ProcessId], grace_seconds: float = _GRACE_SECONDS) -> None:
    """Ask the processes to end, all at once, and force those that have not after the grace; returns when all ended."""
    alive = {name: process for name, known in processes.items() if (process := known.process()) is not None}
    for process in alive.values():
        send(process, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(list(alive.values()), timeout=grace_seconds)
    for process in stubborn:
        send(process, signal.SIGKILL)
    left, deadline = stubborn, time.monotonic() + _KILLED_SECONDS
    while left and time.monotonic() < deadline:
        _, left = psutil.wait_procs(left, timeout=0.2)
        left = [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    if left:
        raise StackError(f"processes do not end even by SIGKILL: {[process.pid for process in left]}")


def kill(known: ProcessId) -> None:
    """SIGKILL this one process, if it still is, and wait until it is gone."""
    process = known.process()
    if process is not None:
        send(process, signal.SIGKILL)
        psutil.wait_procs([process], timeout=_GRACE_SECONDS)


def send(process: psutil.Process, number: signal.Signals) -> None:
    """Signal a process that may have just ended."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


class Deadline:
    """A bounded wait, polled: `left` seconds remain, `pause` yields the processor between two questions."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until the deadline; zero or less when it has passed."""
        return self._end - time.monotonic()

    def pause(self, seconds: float) -> None:
        """Wait before asking again, never past the deadline."""
        time.sleep(max(0.0, min(seconds, self.left())))
