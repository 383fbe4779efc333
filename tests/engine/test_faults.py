"""What a task does with records that are too large or too many to fail, and with a disk that damages its state; through the test driver."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from counting import COUNTS, counting_agent
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import Codec, LocalRegistry
from schemas.letters import MOST_BYTES, left_behind
from schemas.partitioner import partition_of
from schemas.records import ClientId, DeadLetter
from streams.engine import store
from streams.engine.agent import Agent, Context, Input, Message, Timer
from streams.engine.driver import Driver
from streams.engine.store import NoBacking, RocksBacking, State, StateUnreadable, Store
from streams.engine.task import MAX_RECORD_BYTES, MAX_STATE_BYTES, Draining, Task

TOPIC = "orders"


def echo(ctx: Context, messages: Sequence[Message]) -> None:
    """Sends each value twice over, or keeps it as the key of a value, as `<how>:<text>` says."""
    for message in messages:
        how, _, text = (message.value or b"").partition(b":")
        if how == b"send":
            ctx.send_raw(f"{TOPIC}.out", message.key, text + text)
        elif how == b"box":
            ctx.outbox(f"{TOPIC}.out", 0)((message.key, text + text))
        else:
            ctx.table(COUNTS)["k"] = ClientId(order_id=3 * text.decode())


ECHO = Agent("echo", (Input(TOPIC),), echo, tables=(COUNTS,))


def letters(driver: Driver, topic: str = TOPIC) -> list[DeadLetter]:
    return driver.records(f"{topic}.dlq")


def out(driver: Driver) -> list[bytes | None]:
    return [v for (name, _), pairs in sorted(driver.log.items()) if name == f"{TOPIC}.out" for _, v in pairs]


def largest(driver: Driver) -> int:
    return max(
        len(k or b"") + len(v or b"") for (name, _), pairs in driver.log.items() if name != TOPIC for k, v in pairs
    )


# ---- what a broker would refuse for its size


@pytest.mark.parametrize("how", [b"send", b"box", b"keep"])
def test_what_leads_to_more_than_a_broker_takes_is_a_dead_letter_and_the_rest_goes_on(how: bytes) -> None:
    driver = Driver(ECHO)
    driver.feed(TOPIC, "k", b"send:a")
    driver.feed(TOPIC, "k", how + b":" + b"x" * 700_000)
    driver.feed(TOPIC, "k", b"send:b")
    driver.run()
    assert out(driver) == [b"aa", b"bb"]
    (letter,) = letters(driver)
    assert (letter.cause, letter.origin_offset, len(letter.value or b"")) == ("TOO_LARGE", 1, 700_001 + len(how))
    assert driver.get(COUNTS, "k") is None
    assert largest(driver) <= MAX_RECORD_BYTES < MAX_STATE_BYTES


def test_a_letter_that_would_be_too_large_goes_without_the_value_and_if_need_be_without_the_key() -> None:
    driver = Driver(Agent("typed", (Input(TOPIC, (ClientId,)),), lambda ctx, messages: None))
    driver.feed(TOPIC, "k", b"x" * 999_990)
    driver.feed(TOPIC, "k", b"x" * MOST_BYTES)
    driver.feed(TOPIC, "k" * (MOST_BYTES * 2 // 3), b"x" * MOST_BYTES)
    driver.run()
    whole, first, second = letters(driver)
    assert (whole.key, whole.value) == (b"k", b"x" * 999_990)
    assert (first.key, first.value, second.key, second.value) == (b"k", None, None, None)
    assert left_behind(first.value, first.detail) and left_behind(second.value, second.detail)
    assert largest(driver) <= MOST_BYTES


def test_a_record_in_the_wrong_partition_that_is_too_large_to_be_moved_is_a_dead_letter() -> None:
    how = Input(TOPIC, (ClientId,), key=lambda record: "a")
    driver = Driver(Agent("moved", (how,), lambda ctx, messages: None), partitions=4)
    wrong = (partition_of(b"a", 4) + 1) % 4
    driver.feed(TOPIC, "other", ClientId(order_id="x" * 1_000_100), partition=wrong)
    driver.run()
    (letter,) = letters(driver)
    assert letter.cause == "TOO_LARGE" and letter.value is not None
    assert driver.codec.decode(letter.value, ClientId).order_id == "x" * 1_000_100


def test_what_a_broker_refused_is_put_aside_unhandled() -> None:
    task = Driver(counting_agent(TOPIC)).tasks[0]
    effects = task.run([Message(TOPIC, 0, 0, 0, b"k", b"x" * 20_000, None)], 1, refused="no such size")
    ((place, ((_, raw),)),) = effects.outputs.items()
    letter = task.codec.decode(raw, DeadLetter)
    assert (place[0], letter.cause, letter.value, effects.tables) == (f"{TOPIC}.dlq", "OUTPUT_REFUSED", None, {})
    assert "no such size" in letter.detail


# ---- what cannot be handled, in a large batch


class Counting:
    """A handler that counts what it is shown."""

    def __init__(self) -> None:
        self.shown = 0

    def __call__(self, ctx: Context, messages: Sequence[Message]) -> None:
        for message in messages:
            self.shown += 1
            if (message.value or b"").startswith(b"poison"):
                raise RuntimeError("poisoned")
            seen = ctx.table(COUNTS).get("n")
            ctx.table(COUNTS)["n"] = ClientId(order_id=str(1 + int(seen.order_id if seen else "0")))
            ctx.send_raw(f"{TOPIC}.out", message.key, message.value)


def test_one_poisoned_record_costs_a_large_batch_about_twice_its_time() -> None:
    handler, batch = Counting(), 4096
    driver = Driver(Agent("counting", (Input(TOPIC),), handler, tables=(COUNTS,)))
    for n in range(batch):
        driver.feed(TOPIC, "k", b"poison" if n == 2999 else b"%d" % n)
    driver.run()
    assert handler.shown <= 3 * batch
    assert out(driver) == [b"%d" % n for n in range(batch) if n != 2999]
    assert driver.get(COUNTS, "n") == ClientId(order_id=str(batch - 1))
    assert [x.origin_offset for x in letters(driver)] == [2999]
    assert len(driver.log[driver.agent.changelog("counts"), 0]) == 1


def test_the_work_that_poison_costs_grows_no_faster_than_the_batch() -> None:
    def handled(batch: int) -> int:
        counting, seen = Counting(), list[int]()

        def handle(ctx: Context, messages: Sequence[Message]) -> None:
            seen.append(len(messages))
            counting(ctx, messages)

        task = Task(Agent("c", (Input(TOPIC),), handle, tables=(COUNTS,)), 0, Codec(LocalRegistry()), lambda _: 1, {})
        records = [source(n, b"poison" if n == batch // 2 else b"%d" % n) for n in range(batch)]
        assert task.run(records, 1).dead == 1
        return sum(seen)

    assert handled(2000) < 4 * 2000, "the whole, and what is left of it in halves"
    assert handled(8000) < 4 * 8000


@settings(max_examples=150, deadline=None)
@given(st.lists(st.booleans(), max_size=40), st.lists(st.booleans(), max_size=5))
def test_any_pattern_of_poison_gives_what_one_by_one_would(poison: list[bool], timers: list[bool]) -> None:
    def rang(ctx: Context, due: Sequence[Timer]) -> None:
        for timer in due:
            if timer.key.startswith("bad"):
                raise RuntimeError("no")
            ctx.send_raw(f"{TOPIC}.out", b"t", timer.key.encode())

    def handle(ctx: Context, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.key == b"set":
                ctx.set_timer((message.value or b"").decode(), 5)
        handler(ctx, [m for m in messages if m.key != b"set"])

    handler = Counting()
    driver = Driver(Agent("counting", (Input(TOPIC),), handle, tables=(COUNTS,), on_timer=rang))
    for n, bad in enumerate(timers):
        driver.feed(TOPIC, "set", b"bad%d" % n if bad else b"good%d" % n)
    driver.run()
    driver.now = 10
    for n, bad in enumerate(poison):
        driver.feed(TOPIC, "k", b"poison" if bad else b"%d" % n)
    driver.run()
    good = [b"%d" % n for n, bad in enumerate(poison) if not bad]
    assert out(driver) == [b"good%d" % n for n, bad in enumerate(timers) if not bad] + good
    count = driver.get(COUNTS, "n")
    assert int(count.order_id if count else "0") == len(good)
    assert len(letters(driver)) == sum(poison) + sum(timers)
    assert not driver.tasks[0].timers


# ---- a bug of ours


def limited(process: Any, inputs: Sequence[Input] = (Input(TOPIC),), limit: int = 20) -> Task:
    agent = Agent("limited", tuple(inputs), process, tables=(COUNTS,))
    return Task(agent, 0, Codec(LocalRegistry()), lambda _: 1, {}, bug_limit=limit)


def source(offset: int, value: bytes, topic: str = TOPIC) -> Message:
    return Message(topic, 0, offset, 0, b"k", value, None)


def test_a_bug_that_fails_every_record_stops_before_any_becomes_a_dead_letter() -> None:
    task = limited(Counting())
    with pytest.raises(Draining, match="20 records in a row"):
        task.run([source(n, b"poison") for n in range(10_000)], 1)


def test_failures_are_counted_over_commits_and_by_input_so_that_others_success_does_not_hide_them() -> None:
    task = limited(Counting(), (Input(TOPIC), Input("acks")))
    for n in range(9):
        batch = [source(2 * n, b"poison"), source(2 * n + 1, b"poison"), source(n, b"fine", "acks")]
        effects = task.run(batch, 1)
        assert effects.dead == 2
        task.run(batch, 1)  # what was not committed does not count
        task.apply(effects)
    with pytest.raises(Draining):
        task.run([source(99, b"poison"), source(100, b"poison")], 1)
    task.apply(task.run([source(101, b"fine")], 1))  # one that succeeds ends the row
    assert task.run([source(n, b"poison") for n in range(19)], 1).dead == 19


def test_records_that_are_too_large_are_no_bug_of_ours() -> None:
    task = limited(echo)
    assert task.run([source(n, b"send:" + b"x" * 600_000) for n in range(30)], 1).dead == 30


# ---- a disk that damages state


class Damaged(NoBacking):
    def get(self, table: str, key: str) -> bytes | None:
        raise StateUnreadable("bad block")


def test_state_that_cannot_be_read_says_nothing_about_the_record_that_asked() -> None:
    task = Task(counting_agent(TOPIC), 0, Codec(LocalRegistry()), lambda _: 1, {}, Damaged())
    with pytest.raises(StateUnreadable):
        task.run([source(0, b"1"), source(1, b"2")], 1)


def test_a_damaged_block_is_told_by_get_and_by_items_which_would_otherwise_end_early(tmp_path: Path) -> None:
    backing = RocksBacking(tmp_path / "db")
    values = {f"k{n:06}": os.urandom(40) for n in range(20_000)}
    backing.write({"t": values}, {"t": 1}, 1)
    backing.close()
    (table,) = (tmp_path / "db").glob("*.sst")
    raw = bytearray(table.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 64] = b"x" * 64
    table.write_bytes(raw)
    backing = RocksBacking(tmp_path / "db")
    told = 0
    for key, value in values.items():
        try:
            assert backing.get("t", key) == value
        except StateUnreadable:
            told += 1
    assert told > 0
    with pytest.raises(StateUnreadable, match="checksum"):
        for _ in backing.items("t"):
            pass
    backing.wipe()
    assert backing.get("t", "k000001") is None and backing.positions() == ({}, 0)
    backing.close()


class Refusing:
    """In the place of RocksDB: cannot be opened, in RocksDB's words."""

    def __init__(self, words: str) -> None:
        self.words, self.times = words, 0

    def __call__(self, *_: object) -> object:
        self.times += 1
        if self.times == 1:
            raise Exception(self.words)
        return self

    def get(self, key: bytes) -> None: ...


@pytest.mark.parametrize(
    ("words", "wiped", "says"),
    [
        ("Corruption: block checksum mismatch: stored = 1, computed = 2 in /d/000009.sst", True, ""),
        ("Corruption: CURRENT file does not end with newline", True, ""),
        (
            "IO error: No such file or directory: While opening a file for sequentially reading: /d/MANIFEST-000005",
            True,
            "",
        ),
        ("IO error: No space left on device: While appending to file: /d/000012.dbtmp", False, "cannot be opened"),
        ("IO error: Permission denied: While open a file for appending: /d/LOG", False, "cannot be opened"),
        (
            "IO error: lock hold by current process, acquire time 1: /d/LOCK: No locks available",
            False,
            "another process",
        ),
        ("IO error: While lock file: /d/LOCK: Resource temporarily unavailable", False, "another process"),
    ],
)
def test_only_damage_costs_the_database(
    words: str, wiped: bool, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "Rdict", Refusing(words))
    kept = tmp_path / "000009.sst"
    kept.write_bytes(b"data")
    if wiped:
        assert RocksBacking(tmp_path).positions() == ({}, 0)
    else:
        with pytest.raises(OSError, match=says):
            RocksBacking(tmp_path)
    assert kept.exists() is not wiped


def test_what_was_taken_from_a_database_that_is_wiped_is_not_written_into_the_new_one(tmp_path: Path) -> None:
    backing = RocksBacking(tmp_path / "db")
    state = State({"t": Store("t", str.encode, bytes.decode, backing)}, backing)
    state.stores["t"].apply({"a": "1"}, {"a": b"1"})
    state.positions["t"] = 7
    taken = state.take_unwritten()
    state.wipe()
    state.write(taken, 1)
    state.written(taken)
    assert backing.positions() == ({}, 0) and backing.get("t", "a") is None
    state.close()
