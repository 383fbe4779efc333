"""The circuit breaker: opened by a row of failures or refusals, half-open in time and not before the venue answers, closed by one success."""

from __future__ import annotations

import pytest

from connectors.execution.health import BACK, SCALE, Breaker, BreakerState, Health
from schemas.records import VenueStatus

SECOND = 1_000_000


def opened() -> Health:
    health = Health("v", breaker=Breaker(failures=5, open_us=60 * SECOND))
    for n in range(5):
        assert health.state is BreakerState.CLOSED and not health.down, n
        health.failed("TIMEOUT: x")
    health.record(0)
    return health


def test_five_failures_in_a_row_open_it() -> None:
    health = opened()
    record = health.record(1)
    assert (record.status, record.reason) == (VenueStatus.DOWN, "BREAKER_OPEN: TIMEOUT: x")
    health = Health("v")
    for _ in range(4):
        health.failed("x")
    health.answered(5)
    for _ in range(4):
        health.failed("x")
    assert health.state is BreakerState.CLOSED


def test_it_is_half_open_after_its_time_once_the_venue_answers() -> None:
    health = opened()
    assert health.record(61 * SECOND).status is VenueStatus.DOWN, "nothing has answered"
    health.answered()
    assert health.down, "an answer alone closes nothing"
    record = health.record(61 * SECOND)
    assert (record.status, record.reason) == (VenueStatus.DEGRADED, "BREAKER_HALF_OPEN: TIMEOUT: x")
    early = opened()
    early.answered()
    assert early.record(59 * SECOND).status is VenueStatus.DOWN
    assert early.record(60 * SECOND).status is VenueStatus.DEGRADED


def test_one_success_closes_it_and_one_failure_opens_it_again() -> None:
    health = opened()
    health.answered()
    health.record(60 * SECOND)
    health.failed("again")
    assert health.down
    health.record(60 * SECOND)
    health.answered()
    assert health.record(119 * SECOND).status is VenueStatus.DOWN
    health.record(120 * SECOND)
    health.answered(1000)
    assert health.state is BreakerState.CLOSED and health.record(120 * SECOND).reason == ""
    health.failed("x")
    assert not health.down, "it counts from the start again"


def test_a_venue_that_refuses_every_order_is_left_alone() -> None:
    health = Health("v", breaker=Breaker(failures=3, open_us=SECOND))
    health.answered(5, rejected=True)
    health.answered(5)
    for _ in range(3):
        assert not health.down
        health.answered(5, rejected=True)
        health.answered()  # a query between them says nothing about orders
    assert health.down and health.success_rate == SCALE
    health.record(0)
    health.answered()
    assert health.record(SECOND).status is VenueStatus.DEGRADED
    health.answered()
    assert health.state is BreakerState.HALF_OPEN, "an order has to be taken"
    health.answered(5, rejected=True)
    assert health.down
    health.record(SECOND)
    health.answered()
    health.record(2 * SECOND)
    health.answered(5)
    assert health.state is BreakerState.CLOSED


def test_a_venue_whose_instruments_cannot_be_read_is_down_until_they_can() -> None:
    health = Health("v")
    health.unreachable("x")
    assert health.status is VenueStatus.DOWN
    health.answered()
    assert health.status is VenueStatus.ACTIVE


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Breaker(failures=0)


def test_a_venue_that_is_back_is_believed_again() -> None:
    health = Health("a", breaker=Breaker(failures=5, open_us=SECOND))
    for _ in range(20):
        health.failed("gone")
    health.record(0)
    health.answered()
    health.record(SECOND)
    assert health.away and not health.down and health.success_rate < BACK
    health.answered()
    assert not health.away and health.success_rate >= BACK
    assert health.record(SECOND).status is VenueStatus.ACTIVE


def test_silence_heals_and_only_silence() -> None:
    health = Health("a")
    for _ in range(3):
        health.failed("slow")
    health.record(0)
    hurt = health.success_rate
    health.record(SECOND // 2)
    assert health.success_rate == hurt, "not by being looked at"
    for n in range(1, 61):
        health.record(n * SECOND)
    assert SCALE > health.success_rate > 96 * SCALE // 100
    healed = health.success_rate
    health.failed("slow")
    hurt = health.success_rate
    assert hurt < healed
    health.record(61 * SECOND)
    assert health.success_rate == hurt, "something was heard within this second"
    down = Health("b", breaker=Breaker(failures=1))
    for n in range(10):
        down.failed("gone")
        down.record(n * SECOND)
    hurt = down.success_rate
    down.record(100 * SECOND)
    assert down.success_rate == hurt, "not while it is down"
