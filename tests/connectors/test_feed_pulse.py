"""A silent stream: a quiet market is left alone, a dead feed is found out in time, and not believed again before it speaks."""

from __future__ import annotations

from connectors.feeds.pulse import Look, Pulse


def test_a_quiet_market_is_asked_about_and_left_alone() -> None:
    pulse = Pulse(quiet=2, grace=1)
    pulse.begin(0)
    for at in (2, 6, 14, 22, 30):
        assert pulse.look(at - 0.1) is Look.WELL
        assert pulse.look(at) is Look.ASK
        assert pulse.look(at) is Look.WELL, "asked once"
        pulse.told(at, last_id=7, ours=7)
    assert not pulse.doubted
    pulse.data(31)
    assert [pulse.look(t) for t in (32.9, 33)] == [Look.WELL, Look.ASK], "as at first"


def test_a_stream_that_does_not_tell_what_moved_is_dead() -> None:
    pulse = Pulse(quiet=2, grace=1)
    pulse.begin(0)
    pulse.data(1)
    assert [pulse.look(t) for t in (2.9, 3.0)] == [Look.WELL, Look.ASK]
    pulse.told(3, last_id=9, ours=7)
    assert [pulse.look(t) for t in (3.9, 4.0)] == [Look.WELL, Look.DEAD]
    assert pulse.doubted


def test_a_stream_that_speaks_in_time_lives() -> None:
    pulse = Pulse(quiet=2, grace=1)
    pulse.begin(0)
    pulse.look(2)
    pulse.told(2, last_id=9, ours=7)
    pulse.data(2.5)
    assert pulse.look(4.4) is Look.WELL
    assert pulse.look(4.5) is Look.ASK
    pulse.data(4.6)
    pulse.told(4.7, last_id=99, ours=7)
    assert pulse.look(6.5) is Look.WELL, "an answer that data has overtaken says nothing"


def test_no_answer_says_nothing() -> None:
    pulse = Pulse(quiet=2, grace=1)
    pulse.begin(0)
    assert pulse.look(2) is Look.ASK
    pulse.untold(2.5)
    assert [pulse.look(t) for t in (4.4, 4.5)] == [Look.WELL, Look.ASK]


def test_after_a_dead_stream_the_next_is_in_doubt_until_it_speaks_or_nothing_moves() -> None:
    for moves in (True, False):
        pulse = Pulse(quiet=2, grace=1)
        pulse.begin(0)
        pulse.look(2)
        pulse.told(2, last_id=9, ours=7)
        assert pulse.look(3) is Look.DEAD
        pulse.begin(3)
        assert pulse.look(3) is Look.ASK, "at once"
        pulse.told(3, last_id=10, ours=None)
        assert pulse.doubted and pulse.look(4.9) is Look.WELL
        assert pulse.look(5) is Look.ASK
        pulse.told(5, last_id=11 if moves else 10, ours=None)
        assert pulse.doubted is moves
        assert pulse.look(5) is (Look.DEAD if moves else Look.WELL)
    pulse = Pulse(quiet=2)
    pulse.doubted = True
    pulse.begin(0)
    pulse.data(0.5)
    assert not pulse.doubted
