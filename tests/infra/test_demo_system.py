"""`bestex up` and what a newcomer does with it: the README's examples as they are written, the order commands, curl, verify, down."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil  # type: ignore[import-untyped, unused-ignore]  # publishes no types
import pytest

ROOT = Path(__file__).parents[2]


def example(name: str) -> str:
    """The code block of the README that is marked as this file."""
    found = re.search(
        rf"<!-- example: {re.escape(name)} -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    assert found, f"README.md has no example {name}"
    return found[1]


class System:
    """A running system, spoken to as users do."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clean = {k: v for k, v in os.environ.items() if not k.startswith("BESTEX_")} | {"BESTEX_HOME": str(home)}

    def __call__(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        command = [sys.executable, "-m", "infra.cli", *arguments, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=self.clean, timeout=240, check=False)
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}"
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def script(self, source: str) -> subprocess.Popen[str]:
        """Run an example with the variables that `bestex env` gives, and nothing of this project."""
        return subprocess.Popen(
            [sys.executable, "-c", source],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.clean, **self("env")},
            cwd=self.home,
        )


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    made = System(tmp_path_factory.mktemp("up"))
    try:
        made("up")
        yield made
    finally:
        made("down")
    left = [
        p.info["cmdline"]
        for p in psutil.process_iter(["cmdline"])
        if str(made.home) in " ".join(p.info["cmdline"] or [])
    ]
    assert not left


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.2)


def test_everything_runs(system: System) -> None:
    said = system("status")
    assert said["well"] and len(said["venues"]) == 3
    assert {p["state"] for p in said["parts"].values()} == {"running"}
    system("up")  # again: what runs is left alone
    assert system("status")["parts"] == said["parts"]


def test_the_readme_from_nothing_to_a_fill(system: System) -> None:
    assert system("account", "deposit", "alice", "USDT", "100000")["kind"] == "TRANSFERRED"
    subscriber = system.script(example("subscribe.py"))
    try:
        publisher = system.script(example("publish.py"))
        out, err = publisher.communicate(timeout=60)
        assert publisher.returncode == 0, err
        placed = out.strip()
        assert subscriber.stdout is not None
        for line in subscriber.stdout:  # the test's own time-out bounds this
            if line.startswith(f"{placed} BUY "):
                break
        assert line.split()[3] == "BTC/USDT" and line.split()[5] in ("alpha", "beta", "gamma")
    finally:
        subscriber.kill()
        subscriber.communicate()

    def rows() -> int:
        sql = f"SELECT count() FROM fills WHERE client_order_id = '{placed}'"
        by_command = int(system("query", sql)["rows"][0][0])
        address = urlsplit(system("env")["BESTEX_CLICKHOUSE"])
        auth = (address.username or "", address.password or "")
        url = f"http://{address.hostname}:{address.port}/?database=bestex"
        by_http = int(httpx.post(url, content=sql, auth=auth).text)
        return min(by_command, by_http)

    until(lambda: rows() >= 1)


def test_an_order_rests_is_listed_and_cancelled(system: System) -> None:
    system("account", "deposit", "bob", "BTC", "2")
    placed = system("order", "place", "bob", "BTC/USDT", "sell", "0.5", "--limit", "90000", "--id", "far")
    assert (placed["outcome"], placed["state"]) == ("ACCEPTED", "WORKING")
    until(lambda: [o["client_order_id"] for o in system("order", "list", "bob")["orders"]] == ["far"])
    assert system("account", "balances", "bob")["balances"]["BTC"] == {"available": "1.5", "locked": "0.5"}
    assert system("order", "place", "bob", "BTC/USDT", "sell", "0.5", "--id", "far", code=1)["outcome"] == "DUPLICATE"
    assert system("order", "cancel", "bob", "far")["state"] == "CANCELLED"
    until(lambda: system("order", "show", "bob", "far")["status"] == "cancelled")
    assert system("account", "balances", "bob")["balances"]["BTC"] == {"available": "2", "locked": "0"}
    assert system("order", "cancel", "bob", "nothing", code=1)["outcome"] == "CANCEL_DENIED"
    assert system("account", "withdraw", "bob", "BTC", "3", code=1)["kind"] == "TRANSFER_DENIED"


def test_a_bad_order_is_denied_with_its_code(system: System) -> None:
    said = system("order", "place", "nobody", "BTC/USDT", "buy", "1", code=1)
    assert (said["outcome"], said["reason_code"]) == ("DENIED", "UNKNOWN_ACCOUNT")


def test_a_part_that_dies_comes_back(system: System) -> None:
    pid = system("status")["parts"]["accounts"]["pid"]
    psutil.Process(pid).kill()
    until(
        lambda: system("status", code=0 if _well(system) else 1)["parts"]["accounts"]["restarts"] == 1 and _well(system)
    )
    system("account", "deposit", "carol", "USDT", "50000")
    assert system("order", "place", "carol", "ETH/USDT", "buy", "0.5")["outcome"] == "ACCEPTED"


def test_one_part_alone_joins_the_others(system: System) -> None:
    command = [sys.executable, "-m", "infra.cli", "worker", "accounts"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=system.clean
    ) as worker:
        assert worker.stdout is not None
        shared = json.loads(worker.stdout.readline())["ready"]  # the test's own time-out bounds this
        assert 0 < len(shared) < 4
        system("account", "deposit", "dora", "USDT", "50000")
        assert system("order", "place", "dora", "BTC/USDT", "buy", "0.01")["outcome"] == "ACCEPTED"
        worker.terminate()
        assert worker.wait(60) == 0
    # and one that is not told of its venues says so
    command = [sys.executable, "-m", "infra.cli", "feed"]
    done = subprocess.run(command, capture_output=True, text=True, env=system.clean, check=False)
    assert done.returncode == 1 and "BESTEX_VENUES" in done.stderr


def _well(system: System) -> bool:
    command = [sys.executable, "-m", "infra.cli", "status", "--json"]
    return subprocess.run(command, capture_output=True, env=system.clean, check=False).returncode == 0


def test_queries_in_any_format_and_errors_in_words(system: System) -> None:
    command = [sys.executable, "-m", "infra.cli", "query", "--format", "CSV", "SELECT 1 AS a, 'x' AS b"]
    done = subprocess.run(command, capture_output=True, text=True, env=system.clean, check=True)
    assert done.stdout == '1,"x"\n'
    assert "nothing_like_it" in system("query", "SELECT * FROM nothing_like_it", code=1)["error"]


def test_it_verifies(system: System) -> None:
    said = system("verify")
    assert said["violations"] == 0 and said["first_offender"] is None and said["at_rest"]
    assert len(said["invariants"]) == 13 and said["records"]["orders.events"] > 10
