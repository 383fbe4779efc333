"""The short form of `bestex chaos engine`, and that it can fail: the same torment without transactions must be found out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.chaos.engine import KINDS, Plan, run


def tell(words: str) -> None:
    print(words, file=sys.stderr)


@pytest.mark.timeout(400)
def test_every_kind_of_fault_once_and_each_record_counts_once(tmp_path: Path) -> None:
    found = run(Plan(records=150_000, faults=len(KINDS), seed=7), tmp_path / "home", tell)
    assert (found["lost"], found["duplicated"], found["violations"], found["unresolved"]) == (0, 0, 0, 0), found
    assert len(found["faults"]) >= len(KINDS) - 2, found["faults"]  # a worker may be on its way up when its turn comes
    assert sum(found["faults"].values()) == len(KINDS)


@pytest.mark.timeout(400)
def test_without_transactions_the_proof_fails(tmp_path: Path) -> None:
    found = run(
        Plan(records=40_000, faults=2, seed=7, transactions=False, kinds=("kill_produced",)), tmp_path / "home", tell
    )
    assert found["duplicated"] > 0 and found["violations"] > 0, found
