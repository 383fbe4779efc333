"""The stack: real servers on this machine, started together, ended together.

The rules kept here:

* a part whose address is given in the settings is never started;
* parts start side by side, and one that fails ends the others and shows the end of its own log;
* an *attached* stack lives as long as the process that started it: it is stopped on leaving ``with``, at exit, on
  Ctrl-C, and by a watcher process if its owner is killed outright;
* a *detached* stack stays (``bestex up``) until somebody stops it by the pids in its state file;
* what a crash left behind, dead processes or orphans, is cleared before a start; a live stack is never disturbed.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from infra.settings import Addresses, Settings, redacted
from infra.stack import process
from infra.stack.clickhouse import ClickHouse
from infra.stack.kafka import Kafka
from infra.stack.part import NotReady, Part
from infra.stack.registry import Registry
from infra.stack.state import (
    LOCK_FILE,
    STATE_FILE,
    PartState,
    ProcessId,
    StackError,
    StackState,
    load,
    locked,
    save,
)
from infra.stack.valkey import Valkey

PARTS: tuple[type[Part], ...] = (Kafka, Registry, Valkey, ClickHouse)
Progress = Callable[[str, str], None]
_LOCK_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.1
# What the servers write when somebody else listens on their port.
_PORT_TAKEN = ("Address already in use", "address already in use", "already bound", "BindException")


class PortTaken(StackError):
    """A part ended because its port was taken between choosing and listening."""


class Stack:
    """The local stack of one home folder. `detached`: it stays when we end. `brief`: it lives for minutes, and is to start soon (`Part.brief`).

    >>> with Stack(Path(".bestex"), Settings.from_env()) as stack:  # doctest: +SKIP
    ...     print(stack.addresses)
    """

    def __init__(
        self,
        home: Path,
        settings: Settings | None = None,
        progress: Progress | None = None,
        *,
        detached: bool = False,
        brief: bool = False,
    ) -> None:
        self.home = home.resolve()
        self.settings = _ours(self.home, settings or Settings())
        self.detached = detached
        self._progress: Progress = progress or (lambda part, state: None)
        self._parts = {cls.name: cls(self.home / cls.name) for cls in PARTS if getattr(self.settings, cls.name) is None}
        for part in self._parts.values():
            part.brief = brief
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._watcher: subprocess.Popen[bytes] | None = None
        self._state = StackState()
        self._state_lock = threading.Lock()
        self._held = ExitStack()
        self._cancelled = threading.Event()
        self._addresses: Addresses | None = None

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.detached:
            self.stop()

    @property
    def addresses(self) -> Addresses:
        """Where everything answers; raises `StackError` before the stack is started."""
        if self._addresses is None:
            raise StackError("the stack is not started")
        return self._addresses

    def start(self) -> Addresses:
        """Start every part that is not running and return when all answer.

        Raises `StackBusy` if another process is at work on this home, `StackError` if a part fails (all that this
        call started is ended by then) or if the home's stack already runs on its own.
        """
        if self._addresses is not None and not self.detached:
            return self._addresses
        self._held.enter_context(locked(self.home / LOCK_FILE, _LOCK_WAIT_SECONDS))
        try:
            self._begin()
            try:
                self._start_parts()
            except BaseException:
                self._cancelled.set()
                self._stop_parts(set(self._children))
                raise
            self._addresses = self._resolve()
        except BaseException:
            self._held.close()
            raise
        if self.detached:
            self._held.close()  # whoever stops a detached stack must be able to take the lock
        else:
            atexit.register(self._stop_at_exit, os.getpid())
        return self._addresses

    def stop(self) -> None:
        """End every part in good order and wait for it; a stack that is not running is left as it is."""
        atexit.unregister(self._stop_at_exit)
        if self._watcher is None and not (self.home / STATE_FILE).exists():
            return
        with ExitStack() as lock:
            if self._watcher is None:
                lock.enter_context(locked(self.home / LOCK_FILE, _LOCK_WAIT_SECONDS))
                self._state = load(self.home)
            self._stop_parts()
        self._held.close()
        self._addresses = None

    def status(self) -> dict[str, dict[str, object]]:
        """Of each part: ``state`` (running, silent, stopped, external), ``address`` without password, ``pid``."""
        known = load(self.home)
        report: dict[str, dict[str, object]] = {}
        for cls in PARTS:
            external = getattr(self.settings, cls.name)
            if external is not None:
                report[cls.name] = {"state": "external", "address": redacted(external), "pid": None}
                continue
            part, state = self._parts[cls.name], known.parts.get(cls.name, PartState())
            if state.process is None or not state.process.alive():
                report[cls.name] = {"state": "stopped", "address": None, "pid": None}
                continue
            try:
                part.ask(state.ports)
                answer = "running"
            except NotReady:
                answer = "silent"
            report[cls.name] = {
                "state": answer,
                "address": redacted(part.address(state.ports)),
                "pid": state.process.pid,
            }
        return report

    def kill(self, name: str) -> None:
        """SIGKILL one part and return when it is gone: what a power cut does to a process."""
        running = self._process_of(name)
        if running is not None:
            process.kill(running)
        self._reap(name)
        self._progress(name, "killed")

    def restart(self, name: str) -> None:
        """Start a part again at its old address, ending it in good order first if it still runs."""
        part = self._local(name)
        running = self._process_of(name)
        if running is not None:
            process.end({name: running}, part.grace_seconds)
        self._reap(name)
        with ExitStack() as lock:
            if self._watcher is None:
                lock.enter_context(locked(self.home / LOCK_FILE, _LOCK_WAIT_SECONDS))
                self._state = load(self.home)
            self._cancelled.clear()
            self._launch(part, self._state.parts[name].ports)

    def _begin(self) -> None:
        """Read what was left, clear what is nobody's, and set the watcher; the lock is held."""
        self._cancelled.clear()
        self._state = load(self.home)
        running = self._state.running()
        if running and not (self.detached and self._state.detached):
            if self._state.detached:
                raise StackError(
                    f"a stack that was left running uses {self.home}: stop it first, or choose another home"
                )
            # The lock is ours, so the owner of these is dead, and so is its watcher: they are orphans.
            self._progress("stack", "clearing what a crash left")
            process.end(running)
        self._state.detached = self.detached
        self._state.owner = None if self.detached else ProcessId.of(os.getpid())
        self._save()
        if not self.detached:
            self._watcher = process.spawn(
                process.python("-m", "infra.stack.watcher", str(os.getpid()), str(self.home)),
                self.home / "logs" / "watcher.log",
            )

    def _stop_at_exit(self, owner: int) -> None:
        if os.getpid() == owner:  # a forked child runs its parent's exit handlers too
            self.stop()

    def _start_parts(self) -> None:
        with ThreadPoolExecutor(max(1, len(self._parts)), thread_name_prefix="stack") as pool:
            started = [pool.submit(self._start_part, part) for part in self._parts.values()]
            try:
                done, _ = wait(started, return_when=FIRST_EXCEPTION)
            except BaseException:
                self._cancelled.set()
                raise
            failed = [error for future in done if (error := future.exception()) is not None]
            if failed:
                self._cancelled.set()
                raise failed[0]

    def _start_part(self, part: Part) -> None:
        with self._state_lock:
            state = self._state.parts.setdefault(part.name, PartState())
        if state.process is not None and state.process.alive():
            self._progress(part.name, "already running")
            self._await_answer(part, state.ports, state.process, 0)
            return
        keep = set(state.ports) == set(part.port_names) and all(map(process.port_free, state.ports.values()))
        try:
            self._launch(part, state.ports if keep else process.free_ports(part.port_names))
        except PortTaken:
            self._launch(part, process.free_ports(part.port_names))

    def _launch(self, part: Part, ports: dict[str, int]) -> None:
        def tell(text: str) -> None:
            if self._cancelled.is_set():
                raise StackError(f"{part.name}: starting was given up")
            self._progress(part.name, text)

        part.prepare(ports, tell)
        if self._cancelled.is_set():
            return
        log = self._log(part.name)
        begin, at = time.monotonic(), process.log_size(log)
        self._progress(part.name, "starting")
        with self._state_lock:
            child = process.spawn(part.command(ports), log, part.environment())
            identity = ProcessId.of(child.pid)
            self._children[part.name] = child
            self._state.parts[part.name] = PartState(dict(ports), identity)
            save(self.home, self._state)  # before anything can go wrong: what is not written cannot be ended
        self._await_answer(part, ports, identity, at)
        self._progress(part.name, f"ready in {time.monotonic() - begin:.1f} s")

    def _await_answer(self, part: Part, ports: dict[str, int], identity: ProcessId, at: int) -> None:
        deadline, seen = process.Deadline(part.ready_seconds), ""
        while not self._cancelled.is_set():
            try:
                part.ask(ports)
                return
            except NotReady as error:
                seen = str(error)
            if not identity.alive():
                tail = process.tail(self._log(part.name), at)
                kind = PortTaken if any(phrase in tail for phrase in _PORT_TAKEN) else StackError
                raise kind(f"{part.name} ended while starting; its log {self._log(part.name)} ends:\n{tail}")
            if deadline.left() <= 0:
                raise StackError(
                    f"{part.name} did not answer in {deadline.seconds:.0f} s ({seen}); "
                    f"its log {self._log(part.name)} ends:\n{process.tail(self._log(part.name), at)}"
                )
            deadline.pause(_POLL_SECONDS)

    def _stop_parts(self, names: set[str] | None = None) -> None:
        """End these parts, or all, those included that an earlier command started."""
        running = {name: known for name, known in self._state.running().items() if names is None or name in names}
        for name in running:
            self._progress(name, "stopping")
        process.end(running, max((part.grace_seconds for part in self._parts.values()), default=0.0))
        for name in list(self._children):
            self._reap(name)
        for name, state in self._state.parts.items():
            if names is None or name in names:
                state.process = None
        self._state.owner = None
        self._save()
        if self._watcher is not None:
            self._watcher.terminate()
            self._watcher.wait()
            self._watcher = None

    def _resolve(self) -> Addresses:
        def address(name: str) -> str:
            external: str | None = getattr(self.settings, name)
            return external if external is not None else self._parts[name].address(self._state.parts[name].ports)

        return Addresses(*map(address, ("kafka", "registry", "valkey", "clickhouse")))

    def _local(self, name: str) -> Part:
        if name not in self._parts:
            raise StackError(f"{name} is not a local part of this stack: {sorted(self._parts)}")
        return self._parts[name]

    def _process_of(self, name: str) -> ProcessId | None:
        self._local(name)
        state = self._state if self._watcher is not None else load(self.home)
        return state.running().get(name)

    def _reap(self, name: str) -> None:
        child = self._children.pop(name, None)
        if child is not None:
            child.wait()

    def _log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def _save(self) -> None:
        with self._state_lock:
            save(self.home, self._state)


def _ours(home: Path, settings: Settings) -> Settings:
    """The settings without addresses of this home's own parts: a shell that was told where they are (`bestex env`) has not put them elsewhere."""
    known, own = load(home).parts, dict[str, Any]()
    for cls in PARTS:
        given, state = getattr(settings, cls.name), known.get(cls.name)
        if given is None or state is None or not state.ports:
            continue
        with suppress(OSError, ValueError, KeyError):  # what is left of a part that was cleared away is no part of ours
            if cls(home / cls.name).address(state.ports) == given:
                own[cls.name] = None
    return replace(settings, **own) if own else settings


def running_addresses(home: Path, settings: Settings | None = None) -> Addresses | None:
    """The addresses of the stack that runs in ``home``, started by whichever process; ``None`` unless all parts run."""
    stack = Stack(home, settings)
    stack._state = load(stack.home)
    running = stack._state.running()
    return stack._resolve() if all(name in running for name in stack._parts) else None
