"""`bestex up` and what a newcomer does with it: the README's examples as they are written, the order commands, curl, verify, down."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil  # type: ignore[import-untyped, unused-ignore]  # publishes no types
import pytest

from infra.client import UNIT
from infra.marks import latest
from infra.verify.log import load
from schemas.codec import Codec
from schemas.records import AssetAmount, Liquidity, SetLimits, Side, TimeInForce
from schemas.registry import ConfluentRegistry

ROOT = Path(__file__).parents[2]
NOTHING = {"held": "0", "owed": "0"}


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
    assert system("account", "balances", "bob")["balances"]["BTC"] == {"available": "1.5", "locked": "0.5"} | NOTHING
    assert system("order", "place", "bob", "BTC/USDT", "sell", "0.5", "--id", "far", code=1)["outcome"] == "DUPLICATE"
    assert system("order", "cancel", "bob", "far")["state"] == "CANCELLED"
    until(lambda: system("order", "show", "bob", "far")["status"] == "cancelled")
    assert system("account", "balances", "bob")["balances"]["BTC"] == {"available": "2", "locked": "0"} | NOTHING
    assert system("order", "cancel", "bob", "nothing", code=1)["outcome"] == "CANCEL_DENIED"
    assert system("account", "withdraw", "bob", "BTC", "3", code=1)["kind"] == "TRANSFER_DENIED"


def test_an_order_that_waits_shows_what_for(system: System) -> None:
    system("account", "hold", "bob", "BTC", "0.25")
    until(lambda: system("account", "balances", "bob")["balances"]["BTC"]["held"] == "0.25")
    system("order", "place", "bob", "BTC/USDT", "sell", "0.5", "--stop", "1000", "--until", "+3600", "--id", "stop")
    until(lambda: bool(system("order", "list", "bob")["orders"]))
    listed = system("order", "list", "bob")["orders"][0]
    assert listed == {k: v for k, v in system("order", "show", "bob", "stop").items() if k in listed}
    assert (listed["stop_price"], listed["scheduled_at"]) == ("1000", None)
    left = datetime.fromisoformat(listed["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=50) < left < timedelta(hours=1)
    shown = subprocess.run(
        [sys.executable, "-m", "infra.cli", "order", "list", "bob"],
        capture_output=True,
        text=True,
        env={**system.clean, "COLUMNS": "200"},
        check=True,
    ).stdout
    assert "stop price" in shown and "expires at" in shown and "scheduled at" not in shown
    row = system("query", "SELECT stop_price, expires_at FROM orders WHERE client_order_id = 'stop'")["rows"][0]
    assert row[0] == "1000" and row[1].replace(" ", "T") in listed["expires_at"]
    system("order", "cancel", "bob", "stop")


def test_a_venue_in_maintenance_gets_no_orders(system: System) -> None:
    system("account", "deposit", "mona", "BTC", "1")
    assert "alpha, beta, gamma" in system("venues", "maintenance", "delta", "on", code=1)["error"]
    for venue in ("alpha", "beta"):
        assert system("venues", "maintenance", venue, "on", "--reason", "upgrade")["maintenance"]
    said = system("status")["venue_health"]
    assert {v: (s["status"], s["reason"]) for v, s in said.items() if s["maintenance"]} == {
        "alpha": ("MAINTENANCE", "upgrade"),
        "beta": ("MAINTENANCE", "upgrade"),
    }

    def used(client_order_id: str) -> set[str]:
        assert (
            system("order", "place", "mona", "BTC/USDT", "sell", "0.05", "--id", client_order_id)["state"] == "FILLED"
        )
        sql = f"SELECT DISTINCT venue FROM fills WHERE client_order_id = '{client_order_id}'"
        until(lambda: bool(system("query", sql)["rows"]))
        return {row[0] for row in system("query", sql)["rows"]}

    numbers = iter(range(100))
    until(lambda: used(f"m{next(numbers)}") == {"gamma"})  # the router hears of it a moment later
    system("venues", "maintenance", "gamma", "on")
    until(lambda: bool(system("status")["venue_health"]["gamma"]["maintenance"]))
    waits = system("order", "place", "mona", "BTC/USDT", "sell", "0.05", "--limit", "58000", "--id", "waits")
    assert (waits["outcome"], waits["state"]) == ("ACCEPTED", "ROUTING")
    for venue in ("alpha", "beta", "gamma"):
        system("venues", "maintenance", venue, "off")
    until(lambda: system("order", "show", "mona", "waits")["status"] == "filled")
    kinds = [e["kind"] for e in system("order", "show", "mona", "waits")["events"]]
    assert [k for k in kinds if k in ("WAITING", "REROUTED")] == ["WAITING", "REROUTED"]


def test_what_an_account_is_worth_and_its_positions(system: System) -> None:
    system("account", "deposit", "rita", "BTC", "1")
    system("account", "deposit", "rita", "XYZ", "5")
    assert system("order", "place", "rita", "BTC/USDT", "sell", "0.25")["state"] == "FILLED"
    until(lambda: "USDT" in system("account", "balances", "rita")["balances"])
    said = system("account", "balances", "rita", "--in", "USDT")
    assert said["unknown"] == ["XYZ"] and said["worth"]["XYZ"]["value"] is None
    assert said["worth"]["BTC"]["by"] == ["BTC/USDT"] and said["worth"]["BTC"]["age_s"] < 60
    assert float(said["total"]) == pytest.approx(
        float(said["worth"]["BTC"]["value"]) + float(said["worth"]["USDT"]["value"])
    )
    inverse = system("account", "balances", "rita", "--in", "BTC")
    assert 0.9 < float(inverse["total"]) < 1.1
    position = system("account", "positions", "rita")["positions"]["BTC/USDT"]
    assert position["quantity"] == "-0.25" and sum(float(v["quantity"]) for v in position["venues"].values()) == -0.25


def test_what_is_not_named_of_everybodys_limits_stays(system: System) -> None:
    def limits() -> SetLimits:
        at = system("env")
        return latest({"bootstrap.servers": at["BESTEX_KAFKA"]}, at["BESTEX_REGISTRY"], "risk.defaults", SetLimits)["*"]

    system("account", "limits", "*", "max_open_orders=5000", "position.XYZ=3")
    system("account", "limits", "*", "collar=0.03")
    found = limits()
    assert (found.max_open_orders, found.collar) == (5000, 3 * UNIT // 100)
    assert found.max_positions == (AssetAmount(asset="XYZ", amount=3 * UNIT),)
    assert system("account", "limits", "*", "max_open_orders=-1", code=1)["code"] == "INVALID_VALUE"
    system("account", "limits", "*", "max_open_orders=", "collar=", "position.XYZ=")
    found = limits()
    assert (found.max_open_orders, found.collar, found.max_positions) == (None, None, None)


def test_an_operator_cancels_a_symbol_in_all_accounts(system: System) -> None:
    names = [f"swept{n}" for n in range(4)]  # of several partitions
    for name in names:
        system("account", "deposit", name, "BTC", "1")
        placed = system("order", "place", name, "BTC/USDT", "sell", "0.5", "--limit", "65000", "--id", "far")
        assert placed["state"] == "WORKING"
    assert system("order", "cancel-all", "--symbol", "BTC/USDT", "--all-accounts")["outcome"] == "ALL_CANCELLED"
    for name in names:
        until(lambda name=name: system("order", "show", name, "far")["status"] == "cancelled")  # type: ignore[misc]
        story = system("order", "show", name, "far")["events"]
        assert {"operator"} <= {e["actor"] for e in story} and story[-1]["reason_code"] == "OPERATOR_CANCEL"


def test_a_bad_order_is_denied_with_its_code(system: System) -> None:
    said = system("order", "place", "nobody", "BTC/USDT", "buy", "1", code=1)
    assert (said["outcome"], said["reason_code"]) == ("DENIED", "UNKNOWN_ACCOUNT")


def test_who_asks_after_an_account_that_is_not_there_is_told(system: System) -> None:
    for command in (("order", "list"), ("account", "balances"), ("account", "positions")):
        said = system(*command, "nobody-at-all", code=1)
        assert said["code"] == "UNKNOWN_ACCOUNT" and "nobody-at-all" in said["error"]


def test_a_halt_of_what_is_not_there_is_no_halt(system: System) -> None:
    for scope, hint in (("btc/usdt", "BTC/USDT"), ("System", "system"), ("FOO/BAR", "there are")):
        said = system("account", "trading", scope, "HALTED", code=1)
        assert said["code"] == "UNKNOWN_SYMBOL" and hint in said["error"]
    assert "HALTED" in system("account", "trading", "BTC/USDT", "SLEEPING", code=1)["error"]


def test_limits_are_shown(system: System) -> None:
    assert system("account", "limits", "lena")["limits"] == {}
    system("account", "limits", "lena", "max_open_orders=7", "collar=0.01", "position.BTC=3", "state=REDUCING")
    expected = {"max_open_orders": 7, "collar": "0.01", "position.BTC": "3", "state": "REDUCING"}
    until(lambda: system("account", "limits", "lena")["limits"] == expected)
    assert "whole number" in system("account", "limits", "lena", "max_open_orders=many", code=1)["error"]


def test_an_empty_id_is_a_mistake_and_not_no_id(system: System) -> None:
    system("account", "deposit", "mia", "USDT", "1000")
    said = system("order", "place", "mia", "BTC/USDT", "buy", "0.001", "--id", "", code=1)
    assert said["reason_code"] == "INVALID_CLIENT_ORDER_ID"
    for _ in range(2):
        said = system("account", "deposit", "mia", "USDT", "5", "--id", "", code=1)
        assert (said["kind"], said["reason_code"]) == ("TRANSFER_DENIED", "INVALID_TRANSFER_ID")
    both = ("--twap", "4/60", "--iceberg", "0.1")
    assert "exclude" in system("order", "place", "mia", "BTC/USDT", "buy", "1", *both, code=1)["error"]


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
    assert "readonly" in system("query", "TRUNCATE TABLE fills", code=1)["error"]


def test_what_trading_cost_is_what_the_log_says(system: System) -> None:
    for n, side in enumerate(("buy", "sell", "buy", "sell", "buy")):
        system("account", "deposit", "eve", "BTC" if side == "sell" else "USDT", "2" if side == "sell" else "200000")
        system("order", "place", "eve", "BTC/USDT", side, f"{n + 1}.5", "--id", f"tca{n}")
    until(lambda: system("verify")["at_rest"])
    where = system("env")
    codec = Codec(ConfluentRegistry(where["BESTEX_REGISTRY"]))
    log = load({"bootstrap.servers": where["BESTEX_KAFKA"]}, codec)
    planned = {c.child_id: c for _, p in log.plans() for c in p.children}
    truth: dict[str, dict[str, Fraction]] = {}
    for _, f in log.fills():
        of = truth.setdefault(f.venue, defaultdict(Fraction))
        side, quantity = (1 if f.side is Side.BUY else -1), Fraction(f.quantity, UNIT)
        assert f.arrival_mid is not None and f.fee_asset in ("USDT", "BTC", "ETH")
        child, price = planned[f.child_id], Fraction(f.price, UNIT)
        rested = child.time_in_force is TimeInForce.GTC and f.liquidity is Liquidity.MAKER
        expected = child.price if rested else child.expected_price
        assert expected is not None
        of["fills"] += 1
        of["notional"] += price * quantity
        of["arrival"] += side * (price - Fraction(f.arrival_mid, UNIT)) * quantity
        of["plan"] += side * (price - Fraction(expected, UNIT)) * quantity
        of["fee"] += Fraction(f.fee, UNIT) * (1 if f.fee_asset == "USDT" else price)
    said = system("tca")
    assert {g["venue"] for g in said["groups"]} == set(truth) and len(truth) > 1
    for group in said["groups"]:
        assert {name: Fraction(group[name]) for name in truth[group["venue"]]} == truth[group["venue"]]
    (total,) = said["total"]
    assert Fraction(total["fee"]) == sum(of["fee"] for of in truth.values())
    assert total["arrival_bps"] > 0 and total["fee_bps"] > 0  # takers pay half a spread, and fees
    assert total["saving_fills"] > 0
    assert {g["side"] for g in system("tca", "--by", "side")["groups"]} == {"BUY", "SELL"}
    assert system("tca", "--by", "account", "--since", "1s", "--json")["by"] == "account"
    assert "neither an ISO time" in system("tca", "--since", "yesterday", code=1)["error"]
    picture = subprocess.run(
        [sys.executable, "-m", "infra.cli", "tca"],
        capture_output=True,
        text=True,
        env={**system.clean, "COLUMNS": "140"},
        check=True,
    ).stdout
    assert "in USDT" in picture and "█" in picture and all(name in picture for name in truth)


def test_it_verifies(system: System) -> None:
    said = system("verify")
    assert said["violations"] == 0 and said["first_offender"] is None and said["at_rest"]
    assert len(said["invariants"]) == 16 and said["records"]["orders.events"] > 10


def test_what_was_before_a_stop_is_there_afterwards_and_adds_up(system: System) -> None:
    system("account", "deposit", "olga", "USDT", "100000")
    system("order", "place", "olga", "BTC/USDT", "buy", "0.1", "--id", "before")
    until(lambda: system("verify")["at_rest"])
    system("down")
    system("up")
    assert system("order", "place", "olga", "BTC/USDT", "sell", "0.05", "--id", "after")["state"] == "FILLED"
    assert system("order", "show", "olga", "before")["state"] == "FILLED"
    found = system("verify")
    assert found["violations"] == 0 and found["invariants"]["venue_ledgers_equal_fills"] == 0
