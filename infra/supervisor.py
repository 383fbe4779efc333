"""Keeps the processes of a pipeline alive: starts them, restarts those that die, ends them in good order.

The rules kept here:

* a part gets its configuration in a file that only its owner can read; nothing secret is on a command line;
* a part says itself when it is ready (a JSON line with ``ready`` on its standard output) or is asked; nothing is guessed from time;
* a part that dies is started again, at once the first time and then with growing pauses; each restart is counted;
* a part that keeps dying before it was ever ready is reported with the end of its log rather than waited for;
* what runs is written down before anything can go wrong, so that whatever dies, the next command can end the rest;
* parts end wave by wave, those that make work first and those that store results last.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.stack import process
from infra.stack.state import PartState, ProcessId, StackState, load, save, write_private

Progress = Callable[[str, str], None]

LOOK_SECONDS = 0.05
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
CALM_SECONDS = 20.0  # after so long without a death, the next one is a first one again
DEATHS_BEFORE_READY = 4
GRACE_SECONDS = 20.0


class PipelineError(RuntimeError):
    """The pipeline cannot do what was asked; the message says which part and why."""


@dataclass(frozen=True, slots=True, repr=False)
class Spec:
    """One part: ``python -m module arguments --config FILE``.

    `wave` orders the ending, low first. `ready` is asked until it says yes; without it the part's own ready line is awaited.
    """

    name: str
    module: str
    config: Mapping[str, Any]
    arguments: tuple[str, ...] = ()
    wave: int = 0
    ready: Callable[[], bool] | None = None


@dataclass(slots=True)
class _Part:
    spec: Spec
    child: subprocess.Popen[bytes] | None = None
    said: dict[str, Any] | None = None  # its ready line
    ever_ready: bool = False
    output_from: int = 0
    log_from: int = 0
    deaths: int = 0  # in a row
    restarts: int = 0
    died_at: float = 0.0
    again_at: float = 0.0
    exit_codes: list[int] = field(default_factory=list)


class Supervisor:
    """The parts of one pipeline, kept in `folder`: ``config/``, ``logs/``, and the state file that outlives a crash.

    Use as a context manager: leaving ends every part.
    """

    def __init__(self, folder: Path, progress: Progress | None = None) -> None:
        self.folder = folder.resolve()
        self._progress: Progress = progress or (lambda part, text: None)
        self._parts: dict[str, _Part] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Supervisor:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def open(self) -> None:
        """End what a crash left behind, and begin to watch."""
        for name in ("config", "logs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        end_orphans(self.folder)
        self._save()
        self._watcher = process.spawn(
            process.python("-m", "infra.stack.watcher", str(os.getpid()), str(self.folder)),
            self.folder / "logs" / "watcher.log",
        )
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()

    # ---- parts

    def start(self, spec: Spec) -> None:
        """Start a part; returns at once."""
        with self._lock:
            part = self._parts[spec.name] = _Part(spec)
            write_private(self._config(spec.name), json.dumps(spec.config, indent=1))
            self._launch(part)
        self._progress(spec.name, "starting")

    def await_ready(self, names: Sequence[str], seconds: float) -> None:
        """Return when all of `names` are ready. Raises `PipelineError` for one that keeps dying, or is not ready in time."""
        deadline = process.Deadline(seconds)
        waiting = list(names)
        while waiting:
            for name in list(waiting):
                if self.ready(name):
                    waiting.remove(name)
                    self._progress(name, "ready")
            if not waiting:
                return
            self.check(waiting)
            if deadline.left() <= 0:
                raise PipelineError(
                    f"not ready in {seconds:.0f} s: {', '.join(waiting)}; {waiting[0]}: {self._tail(self._parts[waiting[0]])}"
                )
            deadline.pause(LOOK_SECONDS)

    def ready(self, name: str) -> bool:
        """Whether the part's present process is ready for work."""
        part = self._parts[name]
        if part.child is None or part.child.poll() is not None:
            return False
        yes = part.spec.ready() if part.spec.ready else self.said(name) is not None
        part.ever_ready |= yes
        return yes

    def said(self, name: str) -> dict[str, Any] | None:
        """The ready line of the part's present process, or `None`."""
        with self._lock:
            part = self._parts[name]
            if part.said is None and self._output(name).exists():
                with self._output(name).open("rb") as file:
                    file.seek(part.output_from)
                    for line in file.read().splitlines(keepends=True):
                        if (
                            line.endswith(b"\n")
                            and line.startswith(b"{")
                            and '"ready"' in line.decode(errors="replace")
                        ):
                            part.said = json.loads(line)
            return part.said

    def check(self, names: Sequence[str] | None = None) -> None:
        """Raise `PipelineError` for a part that has died too often without ever being ready."""
        for name in names or list(self._parts):
            part = self._parts[name]
            if not part.ever_ready and part.deaths >= DEATHS_BEFORE_READY:
                raise PipelineError(f"{name} cannot start (exit codes {part.exit_codes}): {self._tail(part)}")

    def kill(self, name: str) -> None:
        """SIGKILL a part and return when it is gone; it is started again like any part that dies."""
        with self._lock:
            child = self._parts[name].child
        if child is not None:
            child.kill()
            child.wait()
            self._progress(name, "killed")

    def restart(self, spec: Spec) -> None:
        """End a part in good order and start it again with another configuration."""
        with self._lock:
            old = self._parts.pop(spec.name, None)
            if old is not None and old.child is not None:
                process.end({spec.name: ProcessId.of(old.child.pid)}, GRACE_SECONDS)
                old.child.wait()
        self.start(spec)

    def restarts(self) -> dict[str, int]:
        """How often each part was started again after it died."""
        return {name: part.restarts for name, part in self._parts.items()}

    def status(self) -> dict[str, dict[str, Any]]:
        """Of each part: ``state`` (running, starting, restarting), ``pid``, ``restarts``."""
        report: dict[str, dict[str, Any]] = {}
        for name, part in list(self._parts.items()):
            alive = part.child is not None and part.child.poll() is None
            state = ("running" if part.ever_ready else "starting") if alive else "restarting"
            pid = part.child.pid if alive and part.child else None
            report[name] = {"state": state, "pid": pid, "restarts": part.restarts}
        return report

    def stop(self) -> None:
        """End every part, wave by wave; each is asked to end, waited for, and forced only after a grace."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        waves = sorted({part.spec.wave for part in self._parts.values()})
        for wave in waves:
            running: dict[str, ProcessId] = {}
            for name, part in self._parts.items():
                if part.spec.wave == wave and part.child is not None and part.child.poll() is None:
                    self._progress(name, "stopping")
                    running[name] = ProcessId.of(part.child.pid)
            process.end(running, GRACE_SECONDS)
            for name in running:
                child = self._parts[name].child
                if child is not None:
                    child.wait()
        if self._watcher is not None:
            self._watcher.terminate()
            self._watcher.wait()
            self._watcher = None
        save(self.folder, StackState())

    # ---- inside

    def _launch(self, part: _Part) -> None:
        spec = part.spec
        output, log = self._output(spec.name), self._log(spec.name)
        part.output_from, part.log_from, part.said = process.log_size(output), process.log_size(log), None
        command = process.python("-m", spec.module, *spec.arguments, "--config", str(self._config(spec.name)))
        with output.open("ab") as out, log.open("ab") as err:
            part.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )
        with suppress(OSError):  # it runs, whether that can be written down or not
            self._save()

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            with self._lock:
                for part in list(self._parts.values()):
                    try:
                        self._look_after(part, time.monotonic())
                    except (
                        OSError
                    ) as error:  # a full disk: no log, no note; looked at again, for the part must come back
                        part.again_at = time.monotonic() + FIRST_PAUSE
                        with suppress(OSError):
                            self._progress(part.spec.name, f"cannot be started now: {error}")

    def _look_after(self, part: _Part, now: float) -> None:
        if part.child is not None:
            if (code := part.child.poll()) is None:
                return
            part.child = None
            part.exit_codes.append(code)
            part.deaths = part.deaths + 1 if now - part.died_at < CALM_SECONDS else 1
            pause = 0.0 if part.deaths == 1 else min(FIRST_PAUSE * 2**part.deaths, LONGEST_PAUSE)
            part.died_at, part.again_at = now, now + pause
            with suppress(OSError):
                self._progress(part.spec.name, f"ended with {code}; again in {pause:.1f} s")
        if now >= part.again_at:
            self._launch(part)
            part.restarts += 1

    def _save(self) -> None:
        state = StackState(detached=False, owner=ProcessId.of(os.getpid()))
        for name, part in self._parts.items():
            if part.child is not None and part.child.poll() is None:
                state.parts[name] = PartState({}, ProcessId.of(part.child.pid))
        save(self.folder, state)

    def _tail(self, part: _Part) -> str:
        return f"its log {self._log(part.spec.name)} ends:\n{process.tail(self._log(part.spec.name), part.log_from)}"

    def _config(self, name: str) -> Path:
        return self.folder / "config" / f"{name}.json"

    def _output(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.out"

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"


def end_orphans(folder: Path) -> list[str]:
    """End the parts that a dead supervisor left running in `folder`; returns their names."""
    running = load(folder).running()
    process.end(running, GRACE_SECONDS)
    return sorted(running)
