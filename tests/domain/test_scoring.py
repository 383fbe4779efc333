"""The score: bounded, monotone in each component, and the specification's weights."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain import scoring
from streams.domain.money import SCALE
from streams.domain.scoring import ScoreSettings

UNIT = st.integers(0, SCALE)
PRICE = st.integers(1, 10**13)
LATENCY = st.integers(0, 10**8)
SETTINGS = ScoreSettings()


def weighted(*parts: int) -> int:
    price, latency, reliability, liquidity = parts
    return scoring.total(price, latency, reliability, liquidity, SETTINGS)


@settings(deadline=None)
@given(st.tuples(UNIT, UNIT, UNIT, UNIT), st.integers(0, 3), UNIT)
def test_the_total_is_monotone_in_each_component(parts: tuple[int, int, int, int], which: int, other: int) -> None:
    one, two = weighted(*parts), weighted(*parts[:which], other, *parts[which + 1 :])
    assert (one <= two) if parts[which] <= other else (one >= two)
    assert 0 <= one <= SCALE


def test_the_weights_are_the_specifications() -> None:
    for parts, weight in (((1, 0, 0, 0), 4), ((0, 1, 0, 0), 2), ((0, 0, 1, 0), 3), ((0, 0, 0, 1), 1)):
        assert weighted(*(part * SCALE for part in parts)) == weight * SCALE // 10
    with pytest.raises(ValueError):
        ScoreSettings(price=SCALE)


@settings(deadline=None)
@given(PRICE, PRICE, PRICE)
def test_a_price_nearer_to_the_best_never_scores_less(best: int, one: int, two: int) -> None:
    near, far = sorted((one, two), key=lambda price: abs(price - best))
    score = scoring.price_score(near, best, SETTINGS.price_half)
    assert SCALE >= score >= scoring.price_score(far, best, SETTINGS.price_half) >= 0
    assert scoring.price_score(best, best, SETTINGS.price_half) == SCALE


@settings(deadline=None)
@given(LATENCY, LATENCY)
def test_a_faster_venue_never_scores_less(one: int, two: int) -> None:
    fast, slow = sorted((one, two))
    score = scoring.latency_score(fast, SETTINGS.latency_half_us)
    assert SCALE >= score >= scoring.latency_score(slow, SETTINGS.latency_half_us) >= 0


@settings(deadline=None)
@given(st.integers(0, 10**20), st.integers(0, 10**20), st.integers(1, 10**20))
def test_more_liquidity_never_scores_less(one: int, two: int, wanted: int) -> None:
    less, more = sorted((one, two))
    assert 0 <= scoring.liquidity_score(less, wanted) <= scoring.liquidity_score(more, wanted) <= SCALE
    assert scoring.liquidity_score(wanted, wanted) == SCALE


@pytest.mark.parametrize(("rate", "score"), [(-5, 0), (0, 0), (SCALE // 2, SCALE // 2), (SCALE + 1, SCALE)])
def test_reliability_is_the_success_rate_within_bounds(rate: int, score: int) -> None:
    assert scoring.reliability_score(rate) == score
