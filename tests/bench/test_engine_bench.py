"""The bench measures what it says: every contestant's output is read back whole, and a contestant that cheats is found out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.bench.engine import work
from infra.bench.engine.generate import text
from infra.bench.engine.harness import Bench, Contestant
from infra.bench.engine.order import BenchOrder
from infra.settings import Addresses

SCRIPTS = Path(__file__).parents[2] / "infra" / "bench" / "engine"
CHEAT = """
import time
from infra.bench.engine.work import Progress
progress = Progress()
progress.started()
progress.done(2000)
progress.tell()
time.sleep(60)
"""


def contestant(name: str, script: Path, mode: str = "") -> Contestant:
    return Contestant(name, [sys.executable, str(script)], mode)


def test_both_codecs_of_the_bench_read_and_write_the_same_bytes() -> None:
    assert (SCRIPTS / "order.py").read_text() == text()
    for i in range(200):
        value = work.encode(work.order(i))
        order, end = BenchOrder.read(value, 5)
        assert end == len(value) and work.FRAME + order.body() == value
        assert work.decode(value)["user_id"] == order.user_id == work.user(i)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("script", "mode"), [("bestex_worker", ""), ("bestex_worker", "fastavro"), ("librdkafka_loop", "transactional")]
)
def test_a_contestant_is_measured_and_its_output_checked(stack: Addresses, script: str, mode: str) -> None:
    outcome = Bench(stack, print).run(contestant(script, SCRIPTS / f"{script}.py", mode), 2000)
    assert outcome.events_per_s > 0 and outcome.cpu_s_per_million > 0 and outcome.peak_mb > 0


@pytest.mark.timeout(240)
def test_a_contestant_that_writes_nothing_is_found_out(stack: Addresses, tmp_path: Path) -> None:
    cheat = tmp_path / "cheat.py"
    cheat.write_text(CHEAT)
    with pytest.raises(RuntimeError, match="wrote 0 outputs"):
        Bench(stack, print).run(contestant("cheat", cheat), 2000)
