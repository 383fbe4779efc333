"""Local state: a database with a bounded cache before it, held to a dictionary, through restarts and refused writes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.store import NoBacking, RocksBacking, State, Store

TABLE = "t"


def opened(folder: Path, limit: int = 3) -> State:
    backing = RocksBacking(folder)
    return State({TABLE: Store(TABLE, str.encode, bytes.decode, backing, limit)}, backing)


def put(state: State, changes: dict[str, str | None], position: int) -> None:
    encoded = {k: None if v is None else v.encode() for k, v in changes.items()}
    state.stores[TABLE].apply(changes, encoded)
    state.positions[TABLE] = position


def write(state: State, now: int = 1) -> None:
    taken = state.take_unwritten()
    state.write(taken, now)
    state.written(taken)


KEYS = st.sampled_from([f"k{n}" for n in range(8)])
STEP = st.one_of(
    st.tuples(st.just("put"), st.dictionaries(KEYS, st.one_of(st.none(), st.text("xyz", max_size=4)), max_size=4)),
    st.tuples(st.just("write"), st.none()),
    st.tuples(st.just("half_write"), st.dictionaries(KEYS, st.text("abc", max_size=3), max_size=3)),
    st.tuples(st.just("restart"), st.none()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_a_store_equals_a_dictionary_and_a_restart_stands_at_its_last_write(steps: list[tuple[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        state, naive, position = opened(Path(folder)), dict[str, str](), 0
        on_disk, at = dict(naive), 0
        for what, argument in steps:
            if what == "put":
                position += 1
                put(state, argument, position)
                naive = {k: v for k, v in {**naive, **argument}.items() if v is not None}
            elif what == "write":
                if state.waiting:
                    write(state)
                    on_disk, at = dict(naive), position
            elif what == "half_write":
                # What changes while a write is under way is not taken for written.
                taken = state.take_unwritten()
                before, was = dict(naive), position
                position += 1
                put(state, argument, position)
                naive |= argument
                if taken.changes:
                    state.write(taken, 1)
                    state.written(taken)
                    on_disk, at = before, was
            else:
                state.close()
                state = opened(Path(folder))
                found, _ = state.load()
                assert found.get(TABLE, 0) == at
                naive, position = dict(on_disk), at
            store = state.stores[TABLE]
            for n in range(8):
                assert store.get(f"k{n}") == naive.get(f"k{n}")
            assert dict(store.items()) == naive
        state.close()


def test_what_is_not_there_is_looked_for_once_until_it_comes(tmp_path: Path) -> None:
    backing = _Counting(tmp_path / "db")
    state = State({TABLE: Store(TABLE, str.encode, bytes.decode, backing, 3)}, backing)
    store = state.stores[TABLE]
    assert [store.get("k0"), store.get("k0"), backing.gets] == [None, None, 1]
    put(state, {"k0": "here"}, 1)
    assert store.get("k0") == "here"
    put(state, {"k0": None}, 2)
    assert store.get("k0") is None
    store.restore({"k0": b"from the log"})
    assert store.get("k0") == "from the log"
    for n in range(100):
        assert store.get(f"none{n}") is None
    assert len(store._cache) <= 3  # also of a table that nothing is written to
    state.close()


class _Counting(RocksBacking):
    gets = 0

    def get(self, table: str, key: str) -> bytes | None:
        self.gets += 1
        return super().get(table, key)


def test_more_keys_than_the_cache_may_hold_are_all_there(tmp_path: Path) -> None:
    state = opened(tmp_path / "db", limit=10)
    for n in range(1000):
        put(state, {f"k{n}": str(n)}, n + 1)
        if n % 100 == 0:
            write(state)
    assert len(state.stores[TABLE]._cache) <= 10
    assert [state.stores[TABLE].get(f"k{n}") for n in range(1000)] == [str(n) for n in range(1000)]
    state.close()


def test_a_refused_write_keeps_the_changes_and_what_they_cover(tmp_path: Path) -> None:
    state = opened(tmp_path / "db")
    put(state, {"a": "1"}, 1)
    taken = state.take_unwritten()
    state._backing.close()
    with pytest.raises(OSError):
        state.write(taken, 1)
    assert state.waiting == 1 and state.stores[TABLE].get("a") == "1"


def test_a_damaged_database_is_begun_anew(tmp_path: Path) -> None:
    state = opened(tmp_path / "db")
    put(state, {"a": "1"}, 1)
    write(state)
    state.close()
    (tmp_path / "db" / "CURRENT").write_bytes(b"nonsense")
    again = opened(tmp_path / "db")
    assert again.load() == ({}, 0) and again.stores[TABLE].get("a") is None
    again.close()


def test_two_owners_of_one_database_are_refused(tmp_path: Path) -> None:
    first = opened(tmp_path / "db")
    with pytest.raises(OSError, match="another process"):
        opened(tmp_path / "db")
    first.close()


def test_without_a_database_memory_holds_it_all() -> None:
    state = State({TABLE: Store(TABLE, str.encode, bytes.decode)}, NoBacking())
    put(state, {"a": "1", "b": "2"}, 1)
    put(state, {"a": None}, 2)
    assert dict(state.stores[TABLE].items()) == {"b": "2"} and state.waiting == 0
