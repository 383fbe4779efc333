"""SIGTERM, really sent, again and again, at a main thread that is nearly always inside the event's lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sink_bench import Log, SinkProcess, World

ROOT = Path(__file__).parents[2]
ROUNDS = 500
WAITS = """
import sys
import threading

if sys.argv[1] == "safe":
    from sinks.leaving import told_to_leave

    leave = told_to_leave()
else:
    import signal

    leave = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
print("ready", flush=True)
for _ in range(int(sys.argv[2])):
    while not leave.wait(0):
        pass
    leave.clear()
print("left", flush=True)
"""


def bombarded(how: str, seconds: float) -> tuple[int | None, str]:
    """Exit code (`None`: it hung) and output of the program above, under as many signals as there can be."""
    command = [sys.executable, "-c", WAITS, how, str(ROUNDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        deadline = time.monotonic() + seconds
        while child.poll() is None and time.monotonic() < deadline:
            os.kill(child.pid, signal.SIGTERM)
            time.sleep(0.0001)  # so that it gets on: this is the attack, not a way to wait
        if child.poll() is None:
            child.kill()
            return None, ""
        return child.returncode, child.stdout.read()


def test_an_event_is_set_by_signals_that_find_it_locked() -> None:
    code, said = bombarded("safe", 120)
    # a signal may find it done, and gone back to what signals do by themselves
    assert (code in (0, -signal.SIGTERM), said) == (True, "left\n")


def test_a_handler_that_sets_the_event_itself_hangs() -> None:
    """What this guards against is real: should Python mend it, this fails, and the thread can go."""
    code, said = bombarded("unsafe", 20)
    assert (code != 0, said) == (True, "")  # it stands still, or handlers wait inside handlers until the stack is full


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_sink_leaves_once_however_often_it_is_told(log: Log, tmp_path: Path, number: signal.Signals) -> None:
    log.write_much(World(80, ["one"]), 60)
    process = SinkProcess(log, "notifier", tmp_path, file=str(tmp_path / "notices.jsonl")).start()
    process.until_carried(("orders.events",))
    assert process.process is not None
    for _ in range(200):  # all before it can have closed its consumer
        process.signal(number)
    assert process.process.wait(60) == 0, process.said()
    assert "notifier: left" in process.said()
