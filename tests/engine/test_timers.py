"""The queue of a task's timers against a dict: however they are set, moved and cancelled, each that is due is there once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.agent import Timer
from streams.engine.task import TimerQueue

KEYS = st.sampled_from("abcd")
SET = st.tuples(st.just("set"), KEYS, st.integers(0, 5) | st.none())
LOOK = st.tuples(st.just("look"), st.integers(0, 6), st.integers(1, 5))


@given(st.lists(SET | LOOK, max_size=40))
def test_against_a_dict(steps: list[tuple[str, str, int | None] | tuple[str, int, int]]) -> None:
    queue, naive = TimerQueue(), dict[str, int]()
    for step in steps:
        if step[0] == "set":
            _, key, due = step
            queue.apply({str(key): due})
            naive.pop(str(key), None)
            if due is not None:
                naive[str(key)] = due
        else:
            _, now, most = step
            wanted = sorted((due, key) for key, due in naive.items() if due <= int(now or 0))[:most]
            assert queue.due(int(now or 0), int(most or 0)) == [Timer(key, due) for due, key in wanted]
        assert queue.next_due() == min(naive.values(), default=None)
        assert len(queue) == len(naive)


def test_one_that_was_moved_away_and_back_fires_once() -> None:
    queue = TimerQueue()
    for due in (10, 5, 10):
        queue.apply({"a": due})
    assert queue.due(10, 9) == [Timer("a", 10)]
    queue.apply({"a": None})
    assert queue.due(10, 9) == []
