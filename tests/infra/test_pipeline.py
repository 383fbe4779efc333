"""The supervisor keeps parts alive, says when it cannot, and leaves nothing behind."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.demo.world import generated
from infra.pipeline import PARTS, SINKS, WORKERS, Pipeline
from infra.settings import Addresses
from infra.stack.state import load
from infra.supervisor import DEATHS_BEFORE_READY, PipelineError, Spec, Supervisor

PART = """
import argparse, json, os, pathlib, signal, sys, time
given = argparse.ArgumentParser()
given.add_argument("name", nargs="?")
given.add_argument("--config", type=pathlib.Path)
chosen = given.parse_args()
config = json.loads(chosen.config.read_text())
book = pathlib.Path(config["book"])
def note(word):
    with book.open("a") as file:
        file.write(f"{config['is']} {word} {os.getpid()}\\n")
def leave(*_):
    note("ended")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
note("began")
if config.get("broken"):
    print("it is broken", file=sys.stderr)
    sys.exit(3)
print("this is no ready line", flush=True)
print(json.dumps({"ready": config["is"]}), flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a part to supervise, `aid`, that notes in `book` what happens to it."""
    (tmp_path / "aid.py").write_text(PART)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def spec(house: Path, name: str, wave: int = 0, ready: Callable[[], bool] | None = None, **more: object) -> Spec:
    return Spec(name, "aid", {"is": name, "book": str(house / "book"), **more}, wave=wave, ready=ready)


def book(house: Path) -> list[str]:
    path = house / "book"
    return path.read_text().splitlines() if path.exists() else []


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


@pytest.fixture
def supervisor(house: Path) -> Iterator[Supervisor]:
    with Supervisor(house / "run") as made:
        yield made


def test_a_part_is_ready_when_it_says_so(house: Path, supervisor: Supervisor) -> None:
    supervisor.start(spec(house, "one"))
    supervisor.await_ready(["one"], 20)
    assert supervisor.said("one") == {"ready": "one"}
    assert supervisor.status()["one"]["state"] == "running"


def test_a_part_that_is_asked_is_ready_when_the_answer_is_yes(house: Path, supervisor: Supervisor) -> None:
    answers = iter([False, False, True])
    supervisor.start(spec(house, "one", ready=lambda: next(answers)))
    supervisor.await_ready(["one"], 20)
    with pytest.raises(StopIteration):
        next(answers)


def test_a_part_that_is_killed_comes_back_and_is_counted(house: Path, supervisor: Supervisor) -> None:
    supervisor.start(spec(house, "one"))
    supervisor.start(spec(house, "two"))
    supervisor.await_ready(["one", "two"], 20)
    first = supervisor.status()["one"]["pid"]
    supervisor.kill("one")
    until(lambda: supervisor.ready("one"))
    assert supervisor.status()["one"]["pid"] != first
    assert supervisor.restarts() == {"one": 1, "two": 0}
    assert [line.split()[:2] for line in book(house)].count(["one", "began"]) == 2


def test_a_disk_that_is_full_for_a_while_does_not_end_the_supervisor(
    house: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.start(spec(house, "one"))
    supervisor.await_ready(["one"], 20)
    launch, refused = supervisor._launch, list[str]()

    def full(one: Any) -> None:
        if len(refused) < 2:
            refused.append(one.spec.name)
            raise OSError(errno.ENOSPC, "No space left on device")
        launch(one)

    monkeypatch.setattr(supervisor, "_launch", full)
    monkeypatch.setattr(supervisor, "_save", lambda: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    supervisor.kill("one")
    until(lambda: supervisor.restarts()["one"] == 1)
    assert refused == ["one", "one"]


def test_a_part_that_cannot_start_is_reported_with_its_log(house: Path, supervisor: Supervisor) -> None:
    supervisor.start(spec(house, "one", broken=True))
    with pytest.raises(PipelineError, match=r"one cannot start \(exit codes \[3, 3, 3, 3\]\).*\n.*it is broken"):
        supervisor.await_ready(["one"], 60)
    assert len(book(house)) >= DEATHS_BEFORE_READY


def test_a_part_that_is_never_ready_is_not_waited_for_for_ever(house: Path, supervisor: Supervisor) -> None:
    supervisor.start(spec(house, "one", ready=lambda: False))
    with pytest.raises(PipelineError, match="not ready in 1 s: one"):
        supervisor.await_ready(["one"], 1)


def test_parts_end_wave_by_wave(house: Path) -> None:
    with Supervisor(house / "run") as supervisor:
        for name, wave in (("last", 2), ("first", 0), ("middle", 1)):
            supervisor.start(spec(house, name, wave))
        supervisor.await_ready(["last", "first", "middle"], 20)
    ended = [line.split()[0] for line in book(house) if " ended " in line]
    assert ended == ["first", "middle", "last"]
    assert load(house / "run").running() == {}


def test_configurations_are_for_their_owner_alone(house: Path, supervisor: Supervisor) -> None:
    supervisor.start(spec(house, "one", secret="hush"))
    path = house / "run" / "config" / "one.json"
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_text())["secret"] == "hush"
    pid = supervisor.status()["one"]["pid"]
    assert b"hush" not in Path(f"/proc/{pid}/cmdline").read_bytes() if Path("/proc").exists() else True


SUPERVISED = """
import sys, time
from pathlib import Path
from infra.supervisor import Spec, Supervisor
house = Path(sys.argv[1])
with Supervisor(house / "run") as supervisor:
    supervisor.start(Spec("one", "aid", {"is": "one", "book": str(house / "book")}))
    supervisor.await_ready(["one"], 20)
    print("up", flush=True)
    time.sleep(60)
"""


def test_nothing_outlives_a_supervisor_that_is_killed(house: Path) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{house}{os.pathsep}{root}"}
    command = [sys.executable, "-c", SUPERVISED, str(house)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True) as child:
        assert child.stdout is not None and child.stdout.readline() == b"up\n"
        running = load(house / "run").running()
        assert set(running) == {"one"}
        child.send_signal(signal.SIGKILL)
        child.wait()
        until(lambda: not running["one"].alive())


def test_every_part_of_the_pipeline_has_a_configuration(tmp_path: Path) -> None:
    world = generated(1)
    addresses = Addresses("k:1", "http://r", "redis://v", "http://u:p@c:1")
    specs = {s.name: s for s in Pipeline(tmp_path, addresses, world).specs()}
    assert set(specs) == set(PARTS)
    assert len(specs) == 3 + len(WORKERS) + len(SINKS)
    keys = {v["accounts"][0]["secret"] for v in specs["simulate"].config["venues"]}
    assert keys == {v["secret"] for v in specs["execute"].config["venues"]}
    for name in ("feed", "execute"):
        ports = [v["rest_url"].rpartition(":")[2] for v in specs[name].config["venues"]]
        assert ports == [str(v["port"]) for v in specs["simulate"].config["venues"]]
    # those who make work end before those who take it
    assert specs["feed"].wave < specs["accounts"].wave < specs["execute"].wave < specs["sink-clickhouse"].wave
