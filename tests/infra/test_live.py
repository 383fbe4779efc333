"""`bestex feed` and `bestex demo --live`: without a network they say so, with one they follow what is there; here a simulator stands for the exchanges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.commands import live
from infra.commands.common import Failure

DIALECTS = ("binance", "kraken", "okx")
SYMBOLS = ["BTC/USDT", "ETH/USDT"]


def bestex(*arguments: str, code: int = 0) -> tuple[dict[str, Any], str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("BESTEX_")}
    command = [sys.executable, "-m", "infra.cli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=clean, timeout=280, check=False)
    assert done.returncode == code, f"{done.returncode}\n{done.stdout[-1000:]}\n{done.stderr[-4000:]}"
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.parametrize("command", [["feed"], ["demo", "--live"]])
def test_without_a_network_that_is_said(command: list[str], tmp_path: Path) -> None:
    rows = [
        {"name": "kraken", "exchange": "kraken", "ws_url": "wss://ws.kraken.invalid/v2", "symbols": SYMBOLS},
        {"name": "gate", "exchange": "gate", "ws_url": "ws://127.0.0.1:9", "symbols": SYMBOLS},
    ]
    (tmp_path / "venues.json").write_text(json.dumps(rows))
    said, words = bestex(*command, "--venues", str(tmp_path / "venues.json"), code=live.NO_NETWORK_EXIT)
    assert said["code"] == "NO_NETWORK" and said["unreachable"].keys() == {"kraken", "gate"}
    assert "no network to the exchanges" in said["error"] and "no network" in words


def test_what_is_asked_for_is_checked_before_anything_is_started(tmp_path: Path) -> None:
    rows = live.rows("binance,gate", "BTC/USDT, ETH/USDT")
    assert rows == [{"name": n, "exchange": n, "symbols": SYMBOLS} for n in ("binance", "gate")]
    for venues, symbols, words in (
        (None, None, "which venues"),
        ("binance", None, "which symbols"),
        ("binance,ftx", "BTC/USDT", "no such exchange: ftx"),
        (str(tmp_path / "absent.json"), None, "there is no file"),
    ):
        with pytest.raises(Failure, match=words):
            live.rows(venues, symbols)


def test_a_live_demo_fills_at_the_books_of_the_exchanges(tmp_path: Path) -> None:
    rules = [
        {"symbol": s, "tick": "0.01", "lot": "0.00001", "min_quantity": "0.00001", "min_notional": "5"} for s in SYMBOLS
    ]
    books = {"kind": "generated", "mid": {"BTC/USDT": "60000", "ETH/USDT": "3000"}, "updates_per_s": 5}
    venues = [{"name": d, "port": 0, "dialect": d, "symbols": rules, "books": books} for d in DIALECTS]
    (tmp_path / "simulator.json").write_text(json.dumps({"seed": 3, "venues": venues}))
    command = [sys.executable, "-m", "connectors.simulator", "--config", str(tmp_path / "simulator.json")]
    exchanges = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert exchanges.stdout is not None
        at = json.loads(exchanges.stdout.readline())["ready"]
        rows = [{"name": d, "exchange": d, "symbols": SYMBOLS, **at[d]} for d in DIALECTS]
        (tmp_path / "venues.json").write_text(json.dumps(rows))
        found, _ = bestex(
            *("demo", "--live", "--venues", str(tmp_path / "venues.json"), "--home", str(tmp_path / "home")),
            *("--orders", "60", "--rate", "20", "--accounts", "4"),
        )
    finally:
        exchanges.kill()
        exchanges.wait()
    assert found["violations"] == 0 and found["orders"] == 60
    assert found["filled"] > 10 and found["fills"] > 10 and set(found["venues"]) <= set(DIALECTS)
    config = json.loads(next((tmp_path / "home").rglob("simulate.json")).read_text())
    assert {v["books"]["kind"] for v in config["venues"]} == {"published"}
