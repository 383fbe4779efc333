"""The demo: what its clients want, the numbers it reports, and the whole of it, with parts killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil  # type: ignore[import-untyped, unused-ignore]  # publishes no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verify_log import UNIT, right, trading

from infra.demo.intents import BAD, GOOD, Kind, intents, price_of, quantity_of
from infra.demo.report import percentile, saved
from infra.demo.world import generated, rate
from schemas.records import Fill, Liquidity, OrderState, Quote, Side

ACCOUNTS = ["ann", "bob"]
SYMBOLS = ["BTC/USDT", "ETH/USDT"]
DATA = Path(os.environ.get("BESTEX_DATA") or Path(__file__).parents[3] / "shared" / "data")


# ---- what the clients want


@given(count=st.integers(1, 400), seed=st.integers(0, 10**6))
def test_the_seed_decides(count: int, seed: int) -> None:
    wanted = list(intents(count, ACCOUNTS, SYMBOLS, seed))
    assert wanted == list(intents(count, ACCOUNTS, SYMBOLS, seed))
    assert [i.number for i in wanted] == list(range(count))
    assert len({i.client_order_id for i in wanted}) == count


@given(count=st.integers(20, 3_000))
@settings(max_examples=20)
def test_every_kind_of_bad_order_comes_and_most_are_good(count: int) -> None:
    kinds = Counter(i.kind for i in intents(count, ACCOUNTS, SYMBOLS, 7))
    assert all(kinds[kind] for kind in BAD)
    assert sum(kinds[kind] for kind in GOOD) >= count // 2


@given(
    seed=st.integers(0, 10**6),
    bid=st.integers(100 * UNIT, 10**6 * UNIT),
    spread=st.integers(1, UNIT),
    tick=st.sampled_from([1, 1_000, UNIT // 100]),
)
def test_prices_are_where_they_are_meant_to_be(seed: int, bid: int, spread: int, tick: int) -> None:
    quote = Quote(symbol="BTC/USDT", bid=bid, ask=bid + spread, venues=3, at=0)
    for intent in intents(60, ACCOUNTS, SYMBOLS, seed):
        price = price_of(intent, quote, tick)
        if intent.kind in (Kind.MARKET, Kind.SPEND, Kind.STOP) or intent.kind in BAD:
            assert price is None
            continue
        assert price is not None and price % tick == 0
        if intent.kind in (Kind.TAKE_IOC, Kind.TAKE_GTC, Kind.FOK, Kind.LATER, Kind.TWAP, Kind.ICEBERG):
            assert price >= bid + spread - tick if intent.buy else price <= bid
        else:
            assert price <= bid if intent.buy else price <= bid + spread + tick + bid and price > bid - tick
        quantity = quantity_of(intent, price, 1_000)
        assert quantity >= 1_000 and quantity % 1_000 == 0


def test_bad_orders_are_bad() -> None:
    by_kind = {i.kind: i for i in intents(400, ACCOUNTS, SYMBOLS, 7)}
    assert by_kind[Kind.UNKNOWN_ACCOUNT].account not in ACCOUNTS
    assert by_kind[Kind.UNKNOWN_SYMBOL].symbol not in SYMBOLS
    assert quantity_of(by_kind[Kind.NEGATIVE], UNIT, 1) < 0
    assert quantity_of(by_kind[Kind.TOO_LARGE], UNIT, 1) > 10**6 * UNIT


# ---- the numbers


def fill(order: str, side: Side, price: int, quantity: int, single: int | None, fee: int = 0, **more: object) -> Fill:
    return Fill(
        fill_id=f"a:BTC/USDT:{order}{price}",
        account_id="ann",
        order_id=order,
        client_order_id=order,
        child_id=order,
        venue="a",
        symbol="BTC/USDT",
        side=side,
        price=price * UNIT,
        quantity=quantity * UNIT,
        fee=fee * UNIT,
        fee_asset=str(more.get("fee_asset", "USDT")),
        liquidity=Liquidity(more.get("liquidity", "TAKER")),
        best_single_price=None if single is None else single * UNIT,
        venue_at=0,
        at=0,
    )


def test_savings_are_weighted_by_value_and_count_fees() -> None:
    done = dict.fromkeys("abc", OrderState.FILLED)
    assert saved([fill("a", Side.BUY, 99, 1, 100)], done) == (round(10_000 / 99, 3), 1)
    assert saved([fill("a", Side.SELL, 101, 1, 100)], done) == (round(10_000 / 101, 3), 1)
    assert saved([fill("a", Side.BUY, 99, 1, 100, fee=1)], done) == (0.0, 1)
    assert saved([fill("a", Side.SELL, 101, 1, 100, fee=1)], done) == (0.0, 1)
    # a fee in the base asset counts at the fill's price
    assert saved([fill("a", Side.BUY, 50, 4, 100, fee=1, fee_asset="BTC")], done) == (7_500.0, 1)
    both = [fill("a", Side.BUY, 99, 1, 100), fill("b", Side.BUY, 300, 3, 300)]
    assert saved(both, done) == (round(10_000 / 999, 3), 2)


def test_savings_leave_out_what_cannot_be_compared() -> None:
    done = {"a": OrderState.FILLED, "b": OrderState.CANCELLED}
    assert saved([fill("a", Side.BUY, 99, 1, None)], done) == (None, 0)
    assert saved([fill("b", Side.BUY, 99, 1, 100)], done) == (None, 0)
    assert saved([fill("a", Side.BUY, 99, 1, 100, liquidity="MAKER")], done) == (None, 0)


@given(values=st.lists(st.integers(0, 10**7), min_size=1, max_size=200))
def test_percentiles_are_of_the_values(values: list[int]) -> None:
    ranked = sorted(values)
    for at in (50, 99, 100):
        found = percentile(values, at)
        assert found is not None
        below = sum(1 for v in ranked if round(v / 1000, 2) <= found)
        assert below * 100 >= at * len(values)
        assert found in {round(v / 1000, 2) for v in values}
    assert percentile([], 50) is None


@pytest.mark.parametrize(("text", "units"), [("0.0008", 80_000), ("0.001", 100_000), ("0", 0), ("1.5", 150_000_000)])
def test_rates(text: str, units: int) -> None:
    assert rate(text) == units


def test_venues_of_a_world_differ_and_share_symbols() -> None:
    world = generated(7)
    assert len({(v["maker_fee"], v["taker_fee"], v["latency_ms"]) for v in world.venues}) == 3
    assert len({v["port"] for v in world.venues}) == 3
    assert {tuple(s["symbol"] for s in v["symbols"]) for v in world.venues} == {world.symbols}


def test_the_log_of_the_tests_has_what_is_summarised() -> None:
    from infra.demo.report import summarise
    from infra.verify.run import Report

    log = right(trading())
    report = Report({}, {}, {}, 0.0, True, log)
    s = summarise(log, report, orders=6, clickhouse_rows=0, restarts={}, seconds=1.0).as_json()
    assert (s["accepted"], s["denied"], s["dead_lettered"], s["duplicates"]) == (3, 2, 1, 1)
    assert (s["filled"], s["cancelled"], s["fills"], s["venues"]) == (1, 1, 4, {"a": 2, "b": 2})
    assert s["latency_ms"]["ack_p50"] is not None and s["denied_by"]["INSUFFICIENT_FUNDS"] == 2


# ---- the whole of it


def demo(*arguments: str, seconds: float = 280) -> dict[str, object]:
    """Run the demo as a user does; its JSON, if it ended with 0."""
    command = [sys.executable, "-m", "infra.cli", "demo", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_demo_with_its_workers_killed(tmp_path: Path) -> None:
    said = demo("--orders", "400", "--rate", "100", "--kill", "worker", "--home", str(tmp_path / "demo"))
    assert said["violations"] == 0 and set(said["invariants"].values()) == {0}  # type: ignore[attr-defined]
    assert len(said["invariants"]) == 16  # type: ignore[arg-type]
    assert said["restarts"]["accounts"] >= 1 and said["restarts"]["router"] >= 1  # type: ignore[index]
    assert said["accepted"] + said["denied"] + said["dead_lettered"] == said["orders"] == 400  # type: ignore[operator]
    ends = ("filled", "cancelled", "expired", "rejected")
    assert sum(said[name] for name in ends) + said["denied"] == said["accepted"] + said["denied"]  # type: ignore[misc, operator]
    assert len(said["venues"]) == 3 and said["fills"] == sum(said["venues"].values())  # type: ignore[arg-type, attr-defined]
    reasons = {"NOT_AVRO_FRAMED", "UNKNOWN_SCHEMA", "UNKNOWN_ACCOUNT", "INSUFFICIENT_FUNDS", "UNKNOWN_SYMBOL"}
    assert reasons <= set(said["denied_by"])  # type: ignore[call-overload]
    assert not alive_in(tmp_path / "demo")


def test_the_demo_on_real_books_with_the_connector_killed(tmp_path: Path) -> None:
    recording = DATA / "recordings" / "bitmex-deribit-20190401.jsonl.gz"
    if not recording.exists():
        pytest.skip(f"no recording at {recording}: set BESTEX_DATA")
    home = tmp_path / "demo"
    said = demo(
        "--orders", "300", "--rate", "100", "--replay", str(recording), "--kill", "execute", "--home", str(home)
    )
    assert said["violations"] == 0
    assert {"bitmex", "deribit"} < set(said["venues"])  # type: ignore[call-overload]
    assert said["restarts"]["execute"] >= 1  # type: ignore[index]


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    command = [sys.executable, "-m", "infra.cli", "demo", "--json", "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        deadline = time.monotonic() + 120
        for line in child.stderr:
            if line.startswith("starting the pipeline"):
                break
            assert time.monotonic() < deadline
        child.send_signal(signal.SIGINT)
        child.stderr.read()
        assert child.wait(60) == 130
    assert not alive_in(home)


def alive_in(home: Path) -> list[list[str]]:
    """Command lines of processes that still work in a home: one that was killed a moment ago has a few seconds to be gone."""
    found = []
    for one in psutil.process_iter(["cmdline", "status"]):
        words = one.info["cmdline"] or []
        if one.info["status"] != psutil.STATUS_ZOMBIE and any(str(home) in word for word in words):
            found.append(one)
    _, alive = psutil.wait_procs(found, timeout=5)
    return [one.info["cmdline"] for one in alive]
