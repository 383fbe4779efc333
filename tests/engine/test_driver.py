"""A task's work, through the in-memory driver: what production does, without Kafka."""

from __future__ import annotations

from collections import Counter

import pytest
from counting import COUNTS, counting_agent
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import RegistryUnavailable
from schemas.partitioner import partition_of
from schemas.records import ClientId, DeadLetter
from streams.engine.agent import Agent, Context, Input, Message
from streams.engine.driver import STEPS, Abort, Crash, Driver
from streams.engine.task import Retry, TimerQueue

TOPIC = "orders"


def outputs(driver: Driver, topic: str = f"{TOPIC}.out") -> list[tuple[bytes | None, bytes | None]]:
    return [pair for (name, _), pairs in sorted(driver.log.items()) if name == topic for pair in pairs]


def letters(driver: Driver) -> list[DeadLetter]:
    return driver.records(f"{TOPIC}.dlq")


def test_counts_per_key_and_logs_the_last_write_of_a_batch_only() -> None:
    driver = Driver(counting_agent(TOPIC))
    for n in range(5):
        driver.feed(TOPIC, "a", b"%d" % n)
    driver.feed(TOPIC, "b", b"x")
    driver.run()
    assert outputs(driver) == [(b"a", b"%d:%d" % (n + 1, n)) for n in range(5)] + [(b"b", b"1:x")]
    assert len(driver.log[driver.agent.changelog("counts"), 0]) == 2


def test_one_poisoned_record_is_put_aside_whole_and_the_rest_goes_on() -> None:
    driver = Driver(counting_agent(TOPIC), now=7)
    driver.feed(TOPIC, "a", b"1")
    driver.feed(TOPIC, "a", b"poison pill")
    driver.feed(TOPIC, "a", b"2")
    driver.run()
    assert outputs(driver) == [(b"a", b"1:1"), (b"a", b"2:2")]
    (letter,) = letters(driver)
    assert (letter.origin_topic, letter.origin_partition, letter.origin_offset) == (TOPIC, 0, 1)
    assert (letter.key, letter.value, letter.cause, letter.at) == (b"a", b"poison pill", "HANDLER_FAILED", 7)
    assert "poisoned" in letter.detail


def test_what_a_failing_record_wrote_before_it_failed_is_undone() -> None:
    def half(ctx: Context, messages: list[Message]) -> None:
        for message in messages:
            ctx.table(COUNTS)["seen"] = ClientId(order_id=(message.value or b"").decode())
            ctx.send_raw(f"{TOPIC}.out", b"k", message.value)
            ctx.set_timer("t", 5)
            if message.value == b"bad":
                raise ValueError("half way")

    driver = Driver(
        Agent("half", (Input(TOPIC),), half, tables=(COUNTS,), on_timer=lambda ctx, timers: None)  # type: ignore[arg-type]  # a list will do
    )
    driver.feed(TOPIC, "k", b"good")
    driver.feed(TOPIC, "k", b"bad")
    driver.run()
    assert outputs(driver) == [(b"k", b"good")]
    assert driver.get(COUNTS, "seen") == ClientId(order_id="good")
    assert len(letters(driver)) == 1


@pytest.mark.parametrize("failure", [Retry("later"), RegistryUnavailable("down")])
def test_a_failure_that_says_nothing_about_the_record_loses_nothing(failure: Exception) -> None:
    broken = [True]

    def flaky(ctx: Context, messages: list[Message]) -> None:
        if broken[0]:
            raise failure
        for message in messages:
            ctx.send_raw(f"{TOPIC}.out", message.key, message.value)

    driver = Driver(Agent(name="flaky", inputs=(Input(TOPIC),), process=flaky))  # type: ignore[arg-type]  # a list will do
    driver.feed(TOPIC, "k", b"v")
    with pytest.raises(type(failure)):
        driver.run()
    assert outputs(driver) == [] and letters(driver) == []
    broken[0] = False
    driver.run()
    assert outputs(driver) == [(b"k", b"v")]


def test_records_that_do_not_decode_are_dead_letters_with_a_stable_code() -> None:
    def fine(ctx: Context, messages: list[Message]) -> None:
        for message in messages:
            ctx.send_raw(f"{TOPIC}.out", message.key, message.record.order_id.encode())

    driver = Driver(Agent(name="typed", inputs=(Input(TOPIC, (ClientId,)),), process=fine))  # type: ignore[arg-type]
    driver.feed(TOPIC, "k", b"garbage")
    driver.feed(TOPIC, "k", ClientId(order_id="o1"))
    driver.feed(TOPIC, "k", None)
    driver.feed(TOPIC, "k", b"\0\0\0\xff\xff")
    driver.run()
    assert outputs(driver) == [(b"k", b"o1")]
    assert [x.cause for x in letters(driver)] == ["NOT_AVRO_FRAMED", "EMPTY_VALUE", "UNKNOWN_SCHEMA"]


def test_a_record_in_the_wrong_partition_is_moved_to_its_keys_partition_and_handled_once() -> None:
    def note(ctx: Context, messages: list[Message]) -> None:
        for message in messages:
            ctx.send_raw(f"{TOPIC}.out", message.key, b"%d" % ctx.partition, 0)

    how = Input(TOPIC, (ClientId,), key=lambda record: record.order_id)
    driver = Driver(Agent(name="moved", inputs=(how,), process=note), partitions=4)  # type: ignore[arg-type]
    right = partition_of(b"acct-7", 4)
    driver.feed(TOPIC, "another key", ClientId(order_id="acct-7"), partition=(right + 1) % 4)
    driver.run()
    assert outputs(driver) == [(b"acct-7", b"%d" % right)]


def test_timers_fire_when_due_once_and_survive_a_crash() -> None:
    driver = Driver(counting_agent(TOPIC), now=1_000)
    driver.feed(TOPIC, "a", b"later@5000")
    driver.feed(TOPIC, "b", b"later@1")  # past: at once
    driver.run()
    assert outputs(driver, f"{TOPIC}.rang") == [(b"b/1", b"1")]
    driver.crash()
    driver.advance(3_999)
    assert len(outputs(driver, f"{TOPIC}.rang")) == 1
    driver.advance(1)
    driver.crash()
    driver.advance(10_000)
    assert outputs(driver, f"{TOPIC}.rang") == [(b"b/1", b"1"), (b"a/1", b"5000")]


@pytest.mark.parametrize("how", [Crash, Abort])
@pytest.mark.parametrize("step", STEPS)
def test_a_checkpoint_that_fails_at_a_step_is_done_once(step: str, how: type[Crash] | type[Abort]) -> None:
    driver, steps = Driver(counting_agent(TOPIC)), list[str]()
    driver.step = steps.append
    driver.fail(step, how)
    driver.feed(TOPIC, "a", b"x")
    driver.run()
    assert outputs(driver) == [(b"a", b"1:x")]
    assert driver.get(COUNTS, "a") == ClientId(order_id="1")
    again = step in ("begun", "processed", "produced")
    assert steps == [*STEPS[: STEPS.index(step)], *(STEPS if again else ())]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("feed"), st.sampled_from("abcdef"), st.booleans()),
            st.tuples(st.just("run"), st.integers(1, 4), st.booleans()),
            st.tuples(st.just("abort"), st.integers(1, 4), st.booleans()),
            st.tuples(st.just("crash"), st.just(0), st.booleans()),
            st.tuples(st.just("fail"), st.sampled_from(STEPS), st.booleans()),
        ),
        max_size=60,
    )
)
def test_whatever_is_aborted_or_crashes_each_record_counts_once(steps: list[tuple[str, object, bool]]) -> None:
    driver, fed = Driver(counting_agent(TOPIC), partitions=2), Counter[str]()
    bad = 0
    for number, (what, argument, flag) in enumerate(steps):
        if what == "feed":
            driver.feed(TOPIC, str(argument), b"poison" if flag else b"%d" % number)
            fed[str(argument)] += not flag
            bad += flag
        elif what == "run":
            driver.run(int(str(argument)))
        elif what == "abort":
            driver.prepare(int(str(argument)))
        elif what == "fail":
            driver.fail(str(argument), Abort if flag else Crash)
        else:
            driver.crash()
    driver.run()
    assert Counter((k or b"").decode() for k, _ in outputs(driver)) == fed
    assert {k: int(v.order_id) for k, v in driver.all(COUNTS).items()} == {k: n for k, n in fed.items() if n}
    for key in fed:
        mine = [int((v or b"").split(b":")[0]) for k, v in outputs(driver) if k == key.encode()]
        assert mine == list(range(1, fed[key] + 1))
    assert len(letters(driver)) == bad


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.one_of(st.none(), st.integers(0, 50))), max_size=200))
def test_the_timer_queue_equals_a_sorted_dictionary(changes: list[tuple[str, int | None]]) -> None:
    queue, naive = TimerQueue(), dict[str, int]()
    for key, due in changes:
        queue.apply({key: due})
        naive.pop(key, None)
        if due is not None:
            naive[key] = due
        assert len(queue) == len(naive)
        assert queue.next_due() == min(naive.values(), default=None)
        now = 25
        found = queue.due(now, 3)
        expected = sorted((d, k) for k, d in naive.items() if d <= now)[:3]
        assert sorted((t.due, t.key) for t in found) == expected
