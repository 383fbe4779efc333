"""The command line teaches, is quick to say nothing, and fails in words and with an exit code."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from infra.cli import app
from infra.client import text, units
from infra.commands.common import Failure, reported, table
from infra.commands.orders import time_of

HEAVY = ("confluent_kafka", "ccxt", "httpx", "fastavro", "faust", "aiokafka", "redis", "clickhouse_connect", "chdb")
LEAVES = [
    *("demo", "up", "down", "status", "env", "verify", "query", "route", "check"),
    *("order place", "order cancel", "order show", "order list", "order watch"),
    *("account deposit", "account withdraw", "account balances"),
    *("worker", "feed", "execute", "sink", "simulate"),
]


def bestex(*arguments: str, home: Path | None = None) -> tuple[int, str, str]:
    environment = {"BESTEX_HOME": str(home)} if home else {}
    result = CliRunner().invoke(app, list(arguments), env=environment)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("command", LEAVES)
def test_every_command_has_help(command: str) -> None:
    code, out, _ = bestex(*command.split(), "--help")
    assert code == 0
    assert "Usage:" in out and "--json" in out


def test_help_imports_nothing_heavy() -> None:
    code = (
        f"import sys; sys.argv = ['bestex', '--help']\nimport atexit\nfrom infra.cli import main\n"
        f"atexit.register(lambda: print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules]))\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    assert "bestex demo" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["order", "place", "alice", "BTC/USDT", "buy", "0.1"],
        ["order", "cancel", "alice", "x"],
        ["order", "list", "alice"],
        ["order", "show", "alice", "x"],
        ["account", "deposit", "alice", "USDT", "1"],
        ["account", "balances", "alice"],
        ["query", "SELECT 1"],
        ["verify"],
        ["env"],
    ],
)
def test_without_a_system_each_says_how_to_start_one(tmp_path: Path, command: list[str]) -> None:
    code, out, err = bestex(*command, "--json", home=tmp_path)
    assert code == 1
    assert "bestex up" in json.loads(out.splitlines()[-1])["error"]
    assert "bestex up" in " ".join(err.split())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("order place alice BTC/USDT buy", "Missing argument"),
        ("order place alice BTC/USDT sideways 1", "sideways"),
        ("order place alice BTC/USDT buy 1 --nope", "--nope"),
        ("order cancle alice x", "cancle"),
    ],
)
def test_a_command_line_that_cannot_be_used_is_told_to_machines_too(command: str, words: str) -> None:
    call = [sys.executable, "-m", "infra.cli", *command.split(), "--json"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, said["code"]) == (2, "USAGE") and words in said["error"]
    assert "Usage:" in done.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("order place alice BTC/USDT buy -1", "NOT_RUNNING"),
        ("account deposit alice USDT -5", "NOT_RUNNING"),
        ("venues request binance create []", "INVALID_VALUE"),
        ("venues request nowhere create {}", "UNKNOWN_EXCHANGE"),
        ("bench engine --only faust --only nobody", "INVALID_VALUE"),
        ("demo --orders 100 --rate 100 --venue-fault alpha=down@5", "INVALID_VALUE"),
        ("venues show nowhere", "UNKNOWN_EXCHANGE"),
        ("route --snapshot no-such-file --symbol BTC/USD --side buy --quantity 1", "INVALID_VALUE"),
    ],
)
def test_what_is_refused_has_a_code_and_a_negative_number_is_a_number(tmp_path: Path, command: str, code: str) -> None:
    status, out, _ = bestex(*command.split(), "--json", home=tmp_path)
    assert (status, json.loads(out.splitlines()[-1])["code"]) == (1, code)


def test_status_of_nothing_is_not_well(tmp_path: Path) -> None:
    code, out, _ = bestex("status", "--json", home=tmp_path)
    said = json.loads(out.splitlines()[-1])
    assert code == 1 and said["well"] is False
    assert {s["state"] for s in said["servers"].values()} == {"stopped"}
    assert {p["state"] for p in said["parts"].values()} == {"stopped"}


def test_down_of_nothing_is_fine(tmp_path: Path) -> None:
    code, out, _ = bestex("down", "--json", home=tmp_path)
    assert code == 0 and json.loads(out.splitlines()[-1])["stopped"] is True


@pytest.mark.parametrize("bad", ["0.000000001", "many", "NaN", "inf", ""])
def test_amounts_that_are_none_are_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r"is (finer|not a number)"):
        units(bad)


@pytest.mark.parametrize(
    ("given", "shown"), [("0.1", "0.1"), ("100000", "100000"), ("0.00000001", "0.00000001"), ("-3", "-3")]
)
def test_amounts_are_exact_both_ways(given: str, shown: str) -> None:
    assert text(units(given)) == shown


def test_a_demo_home_must_be_empty(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    code, out, _ = bestex("demo", "--json", "--home", str(tmp_path))
    assert code == 1 and "not empty" in json.loads(out.splitlines()[-1])["error"]


def test_a_recording_that_is_none_ends_the_demo_in_words(tmp_path: Path) -> None:
    (tmp_path / "nothing.gz").write_text("not a recording\n")
    code, out, _ = bestex("demo", "--json", "--replay", f"x={tmp_path / 'nothing.gz'}")
    assert code == 1 and "nothing.gz" in json.loads(out.splitlines()[-1])["error"]


@pytest.fixture
def snapshot() -> str:
    path = Path(__file__).parents[3] / "shared" / "data" / "snapshots" / "four-venues-2019.json.gz"
    if not path.exists():
        pytest.skip("the recorded snapshot is not here")
    return str(path)


def test_route_needs_nothing_running(snapshot: str) -> None:
    code, out, _ = bestex("route", snapshot, "BTC/USD", "buy", "500", "--json")
    assert code == 0 and round(json.loads(out.splitlines()[-1])["saving_bps"], 1) == 48.4


def test_every_fee_counts_however_they_are_given(snapshot: str) -> None:
    named = ("--snapshot", snapshot, "--symbol", "BTC/USD", "--side", "buy", "--quantity", "500", "--json")
    fees = ("bitstamp=25", "coinbase=40", "bitfinex=20")
    told = [
        bestex("route", *named, *(part for fee in fees for part in ("--fees", fee))),
        bestex("route", *named, "--fees", *fees),
        bestex("route", "--fee", *fees, *named),
        bestex("route", snapshot, "BTC/USD", "buy", "500", "--json", "--fees", *fees),
        bestex("route", "--symbol", "BTC/USD", "--fees", *fees, "--quantity", "500", snapshot, "buy", "--json"),
    ]
    assert [code for code, _, _ in told] == [0] * 5
    first, *others = [json.loads(out.splitlines()[-1]) for _, out, _ in told]
    assert others == [first] * 4
    assert first != json.loads(bestex("route", *named, "--fees", fees[0])[1].splitlines()[-1])
    code, _, err = bestex("route", snapshot, "BTC/USD", "buy", "500", "600", "--json")
    assert code == 2 and "600" in err
    code, _, err = bestex("route", snapshot, "BTC/USD", "buy", "--json")
    assert code == 2 and "quantity" in err


def test_what_no_command_is_to_meet_is_told_to_machines_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), reported(True):
        raise KeyError("what")
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["code"] == "INTERNAL" and "Traceback" in err


@pytest.mark.parametrize("make", [lambda data: data[: len(data) // 2], lambda data: data[:40] + b"x" + data[41:]])
@pytest.mark.parametrize("command", ["book check {}", "route {} BTC/USD buy 1"])
def test_a_damaged_file_is_told_so(tmp_path: Path, command: str, make: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "broken.gz"
    file.write_bytes(make(gzip.compress(bytes(range(256)) * 20)))
    code, out, _ = bestex(*command.format(file).split(), "--json")
    said = json.loads(out.splitlines()[-1])
    assert (code, said["code"]) == (1, "INVALID_VALUE") and "broken.gz" in said["error"]


def test_a_part_says_how_it_ended(tmp_path: Path) -> None:
    config = tmp_path / "venues.json"
    config.write_text(json.dumps({"venues": [{"name": "alpha"}]}))
    call = [sys.executable, "-m", "infra.cli", "simulate", "--config", str(config), "--json"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["part"] == "connectors.simulator" and said["exit_code"] == done.returncode != 0


@pytest.mark.parametrize("bad", ["yesterday", "+soon", "+inf"])
def test_a_time_that_is_none_is_told_so(bad: str) -> None:
    with pytest.raises(Failure, match="is no time: an ISO time"):
        time_of(bad)


def test_what_is_too_wide_for_a_table_is_folded_and_not_cut() -> None:
    name = "an-id-" + "0123456789" * 5
    shown = table("client order id", "symbol", "expires at")
    shown.add_row(name, "BTC/USDT", "2026-11-30T00:12:16.337313+00:00")
    file = StringIO()
    Console(width=60, file=file).print(shown)
    rows = file.getvalue().splitlines()[1:]
    assert len(rows) > 1
    assert "".join(row.split()[0] for row in rows if row.startswith(" ") and row[1] != " ").startswith(name)
