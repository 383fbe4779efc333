"""Faults of venues in the demo: how they are asked for, and what is said of them."""

from __future__ import annotations

import pytest

from infra.demo.faults import VenueFault, VenueFaults, _moved, parse


def test_a_fault_is_a_venue_a_kind_and_a_time() -> None:
    assert parse("alpha=hang@5") == VenueFault("alpha", "hang", 5.0, 10.0)
    assert parse("b=503@2.5+30") == VenueFault("b", "503", 2.5, 30.0)


@pytest.mark.parametrize("text", ["alpha", "alpha=hang", "alpha=fire@5", "=down@1", "alpha=down@-1"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not NAME=KIND@SECONDS"):
        parse(text)


def test_a_venue_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no venue x"):
        VenueFaults([parse("x=down@1")], {"alpha": "http://"}, {}, "")


def test_work_has_moved_when_two_quiet_seconds_follow() -> None:
    assert _moved([]) == 0
    assert _moved([100_000, 900_000, 5_000_000]) == 900_000, "a trial of a half-open breaker is no work"
    assert _moved([1_900_000, 100_000, 3_500_000]) == 3_500_000
