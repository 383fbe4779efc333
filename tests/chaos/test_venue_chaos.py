"""The short form of `bestex chaos venues`, and that it can fail: without reconciliation what the streams lost must be found out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.chaos.venues import Plan, run


def tell(words: str) -> None:
    print(words, file=sys.stderr)


@pytest.mark.timeout(600)
def test_four_dialects_with_every_mishap_agree_with_the_reports_to_the_last_digit(tmp_path: Path) -> None:
    # How long doubts last on a busy machine is not what is tested here.
    plan = Plan(orders=700, kills=1, venue_kills=1, rate=0.05, seed=3, resolve_seconds=180.0)
    found = run(plan, tmp_path, tell)
    assert (found["lost"], found["duplicated"], found["violations"], found["unresolved"]) == (0, 0, 0, 0), found
    assert (found["faults"]["kill execution"], found["faults"]["kill simulator"]) == (1, 1)
    assert sum(found["faults"].values()) > 30, found["faults"]


@pytest.mark.timeout(400)
def test_without_reconciliation_the_proof_fails(tmp_path: Path) -> None:
    plan = Plan(orders=500, kills=0, venue_kills=0, rate=0.15, seed=3, reconcile=False, resolve_seconds=10.0)
    found = run(plan, tmp_path, tell)
    assert found["violations"] + found["unresolved"] > 0, found
