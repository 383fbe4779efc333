"""What is reported about a child, whatever order the venue tells it in."""

from __future__ import annotations

import msgspec
import pytest
from children import CHILD
from hypothesis import given
from hypothesis import strategies as st

from connectors.execution import report
from connectors.execution.health import SCALE as RATE
from connectors.execution.health import Health
from connectors.venues.outcomes import OrderView, Outcome, OutcomeKind, VenueOrderStatus, VenueTrade
from schemas.records import (
    ExecutionKind,
    ExecutionPhase,
    ExecutionState,
    Liquidity,
    TimeInForce,
    VenueStatus,
)

K, S = ExecutionKind, VenueOrderStatus


def view(status: VenueOrderStatus, filled: int) -> OrderView:
    return OrderView("c-1", "77", status, filled, 5)


def trade(number: int, quantity: int) -> VenueTrade:
    return VenueTrade(str(number), "77", 10, quantity, 1, "BTC", Liquidity.TAKER, 5)


def kinds(step: report.Step) -> list[ExecutionKind]:
    return [r.kind for r in step.reports]


def test_accepted_once_then_fills_then_the_end() -> None:
    step = report.observe("c-1", report.claim(CHILD, 1), view(S.OPEN, 0), (), 2)
    assert kinds(step) == [K.ACCEPTED] and step.state.phase is ExecutionPhase.OPEN
    step = report.observe("c-1", step.state, view(S.OPEN, 30), [trade(1, 30)], 3)
    assert kinds(step) == [K.FILL] and step.reports[0].cumulative_quantity == 30
    step = report.observe("c-1", step.state, view(S.CANCELLED, 30), [trade(1, 30)], 4)
    assert kinds(step) == [K.CANCELLED] and step.reports[0].cumulative_quantity == 30
    assert step.state.phase is ExecutionPhase.DONE and step.state.closed_at == 4


def test_the_end_waits_for_the_fills() -> None:
    step = report.observe("c-1", report.claim(CHILD, 1), view(S.EXPIRED, 50), [trade(1, 30)], 2)
    assert kinds(step) == [K.ACCEPTED, K.FILL] and step.missing
    step = report.observe("c-1", step.state, view(S.EXPIRED, 50), [trade(1, 30), trade(2, 20)], 3)
    assert kinds(step) == [K.FILL, K.EXPIRED] and not step.missing


def test_filled_with_less_than_its_quantity_is_over_with_what_it_has() -> None:
    """As exchanges say it of an immediate order whose rest they cancelled."""
    step = report.observe("c-1", report.claim(CHILD, 1), view(S.FILLED, 40), [trade(1, 40)], 2)
    assert kinds(step) == [K.ACCEPTED, K.FILL, K.CANCELLED] and step.state.phase is ExecutionPhase.DONE
    assert step.reports[-1].cumulative_quantity == 40 and step.reports[-1].reason_code == report.CLOSED_SHORT
    whole = report.observe("c-1", report.claim(CHILD, 1), view(S.FILLED, 100), [trade(1, 100)], 2)
    assert kinds(whole) == [K.ACCEPTED, K.FILL]


@pytest.mark.parametrize("tif", list(TimeInForce))
@pytest.mark.parametrize(("said", "filled"), [(S.CANCELLED, 0), (S.CANCELLED, 40), (S.EXPIRED, 40), (S.FILLED, 40)])
def test_what_takes_at_once_expires_whatever_its_venue_calls_that(
    tif: TimeInForce, said: VenueOrderStatus, filled: int
) -> None:
    """Binance says EXPIRED of the rest of an IOC order, most others say canceled, some call the order filled."""
    at_once = tif in (TimeInForce.IOC, TimeInForce.FOK)
    claimed = report.claim(msgspec.structs.replace(CHILD, time_in_force=tif), 1)
    trades = [trade(1, filled)] if filled else []
    end = report.observe("c-1", claimed, view(said, filled), trades, 2).reports[-1]
    assert (
        end.kind is (K.EXPIRED if at_once or said is S.EXPIRED else K.CANCELLED) and end.cumulative_quantity == filled
    )
    asked = report.cancel_asked("c-1", claimed, 2).state
    ends = kinds(report.observe("c-1", asked, view(said, filled), trades, 3))[-2:]
    assert (K.CANCELLED in ends) is (said is not S.EXPIRED)  # it was our cancel, as far as anybody knows
    old = msgspec.structs.replace(claimed, child=msgspec.structs.replace(claimed.child, time_in_force=None))
    assert report.observe("c-1", old, view(S.CANCELLED, 0), (), 2).reports[-1].kind is K.CANCELLED


def test_a_fill_after_the_end_is_reported_and_nothing_else() -> None:
    done = report.observe("c-1", report.claim(CHILD, 1), view(S.CANCELLED, 0), (), 2).state
    step = report.observe("c-1", done, view(S.CANCELLED, 10), [trade(1, 10)], 3)
    assert kinds(step) == [K.FILL] and step.state.phase is ExecutionPhase.DONE
    again = report.observe("c-1", step.state, view(S.CANCELLED, 10), [trade(1, 10)], 4)
    assert not again.reports and again.state is step.state


def test_unknown_is_reported_once_and_the_truth_later() -> None:
    outcome = Outcome(OutcomeKind.UNKNOWN, code="REQUEST_TIMEOUT", http_status=503)
    step = report.unknown("c-1", report.claim(CHILD, 1), "REQUEST_TIMEOUT", "", outcome, 2)
    assert kinds(step) == [K.UNKNOWN] and step.reports[0].http_status == 503
    assert not report.unknown("c-1", step.state, "X", "", None, 3).reports
    assert kinds(report.observe("c-1", step.state, view(S.FILLED, 100), [trade(1, 100)], 4)) == [K.ACCEPTED, K.FILL]


def test_cancel_of_what_is_closed_or_closes_otherwise() -> None:
    done = report.observe("c-1", report.claim(CHILD, 1), view(S.FILLED, 100), [trade(1, 100)], 2).state
    step = report.cancel_asked("c-1", done, 3)
    assert [(r.kind, r.reason_code) for r in step.reports] == [(K.CANCEL_REJECTED, "TOO_LATE")]
    pending = report.cancel_asked("c-1", report.claim(CHILD, 1), 2).state
    assert pending.cancel_at == 2
    step = report.observe("c-1", pending, view(S.FILLED, 100), [trade(1, 100)], 3)
    assert kinds(step) == [K.ACCEPTED, K.FILL, K.CANCEL_REJECTED] and step.state.cancel_at is None


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.sampled_from([S.CANCELLED, S.EXPIRED, S.FILLED]),
    st.data(),
)
def test_any_order_of_telling_reports_each_thing_once(
    sizes: list[int], end: VenueOrderStatus, data: st.DataObject
) -> None:
    """Stream, answer and poll tell the same story in pieces, repeated and shuffled; the sum of what is reported never differs."""
    trades = [trade(i, size) for i, size in enumerate(sizes)]
    total = sum(sizes)
    told = [(view(S.OPEN, sum(sizes[: i + 1])), [t]) for i, t in enumerate(trades)]
    told += [(view(S.OPEN, 0), []), (view(end, total), []), (view(end, total), trades)]
    story = data.draw(st.permutations(told + data.draw(st.lists(st.sampled_from(told), max_size=5))))
    state: ExecutionState = report.claim(CHILD, 1)
    reports = []
    for now, (seen, with_trades) in enumerate(story):
        step = report.observe("c-1", state, seen, with_trades, now)
        assert state.phase is not ExecutionPhase.DONE or step.state.phase is ExecutionPhase.DONE
        state = step.state
        reports += step.reports
    all_kinds = [r.kind for r in reports]
    assert all_kinds[0] is K.ACCEPTED and all_kinds.count(K.ACCEPTED) == 1
    fills = [r for r in reports if r.kind is K.FILL]
    assert len({r.trade_id for r in fills}) == len(fills) == len(sizes)
    assert sum(r.quantity or 0 for r in fills) == total == state.reported
    ends = [r for r in reports if r.kind in (K.CANCELLED, K.EXPIRED)]
    assert state.phase is ExecutionPhase.DONE
    short = total < CHILD.quantity  # filled, and less than asked for: what is left was cancelled
    assert len(ends) == (end is not S.FILLED or short) and all(r.cumulative_quantity == total for r in ends)


def test_health_goes_down_degrades_and_recovers() -> None:
    health = Health("v")
    health.answered(1000)
    assert (health.status, health.latency_us) == (VenueStatus.ACTIVE, 1000)
    health.answered(2000)
    assert health.latency_us == 1100
    health.failed("reset")
    health.failed("reset")
    assert health.status is VenueStatus.DEGRADED
    for _ in range(2):
        health.failed("reset")
        assert health.status is VenueStatus.DEGRADED
    health.failed("reset")  # the fifth in a row opens the breaker
    assert health.status is VenueStatus.DOWN and health.record(9).reason == "BREAKER_OPEN: reset"
    health.answered()
    assert (
        health.record(9 + health.breaker.open_us - 1).status is VenueStatus.DOWN
    )  # it answers, but not for long enough
    assert health.record(9 + health.breaker.open_us).status is VenueStatus.DEGRADED
    health.answered(1000)  # an order was taken: it is trusted again, not as if nothing had been
    assert health.status is VenueStatus.ACTIVE and health.success_rate < RATE
