"""The two state tables: what must hold of every row, and of the rows that are missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from schemas.records import ChildState, ExecutionKind, OrderState
from schemas.status import OPEN, public_status
from streams.domain import orders
from streams.domain.orders import (
    CHILD,
    CHILD_ON,
    CLOSED,
    PARENT,
    ChildOn,
    IllegalTransition,
    On,
    child,
    diagram,
    is_open,
    parent,
)

S = OrderState
TABLES: dict[str, Any] = {"parent": PARENT, "child": CHILD}


def reachable(table: dict[tuple[S, object], S], start: S) -> set[S]:
    """All states that can follow `start`."""
    found, todo = {start}, [start]
    while todo:
        state = todo.pop()
        for (of, _), then in table.items():
            if of is state and then not in found:
                found.add(then)
                todo.append(then)
    return found


@pytest.mark.parametrize("name", TABLES)
def test_what_has_ended_never_opens_again(name: str) -> None:
    for (state, on), then in TABLES[name].items():
        if state in CLOSED:
            assert then in (state, S.FILLED), f"{state} goes to {then} on {on}"


@pytest.mark.parametrize("name", TABLES)
def test_from_every_open_state_every_kind_of_end_is_reached(name: str) -> None:
    table = dict(TABLES[name])
    ends = CLOSED - {S.DENIED}
    for state in {state for state, _ in table} - CLOSED:
        missing = ends - reachable(table, state)
        # A parent that has fills was not refused, and whoever cancels an order is not told that it expired.
        assert missing <= ({S.REJECTED} if name == "parent" and state is S.PARTIALLY_FILLED else set()), state


def test_closed_is_what_users_see_as_closed() -> None:
    assert {s for s in S if public_status(s) not in OPEN} == CLOSED


def test_every_kind_of_report_has_a_trigger_and_every_trigger_rows() -> None:
    assert set(CHILD_ON) == set(ExecutionKind)
    assert {on for _, on in CHILD} == set(ChildOn)
    assert {on for _, on in PARENT} == set(On)


def test_a_report_told_again_changes_nothing() -> None:
    again = set(ChildOn) - {ChildOn.FILL, ChildOn.FILL_ALL}
    for (_, on), then in CHILD.items():
        if on in again:
            assert CHILD.get((then, on)) is then, f"{on} twice"


def test_an_old_unknown_never_hides_what_is_known() -> None:
    for (state, on), then in CHILD.items():
        if on is ChildOn.UNKNOWN:
            assert then is (S.UNKNOWN if state in (S.ROUTING, S.UNKNOWN) else state)


def test_a_fill_during_a_pending_cancel_leaves_it_pending_and_a_late_fill_is_legal() -> None:
    assert parent(S.PENDING_CANCEL, On.FILL) is S.PENDING_CANCEL
    for ended in (S.CANCELLED, S.EXPIRED):
        assert parent(ended, On.FILL) is ended
        assert child(ended, ChildOn.FILL) is ended


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("on", [*On, *ChildOn])
def test_a_missing_row_is_an_illegal_transition(state: S, on: On | ChildOn) -> None:
    table: Any = PARENT if isinstance(on, On) else CHILD
    step: Any = parent if isinstance(on, On) else child
    if (state, on) in table:
        assert step(state, on) is table[state, on]
    else:
        with pytest.raises(IllegalTransition, match=f"{on} is not possible in {state}"):
            step(state, on)


def test_a_child_is_open_until_the_fills_that_its_venue_counted_are_here() -> None:
    one = ChildState(
        child_id="c",
        venue="a",
        state=S.CANCELLED,
        quantity=10,
        price=1,
        filled=3,
        expected=4,
        trades=(),
        cancel_sent=False,
    )
    assert is_open(one)
    assert not is_open(ChildState(**{**{f: getattr(one, f) for f in one.__struct_fields__}, "filled": 4}))


@pytest.mark.parametrize("name", TABLES)
def test_the_diagram_shows_every_move_and_no_other(name: str) -> None:
    table = TABLES[name]
    drawn = set()
    for line in diagram(table).splitlines():
        if found := re.fullmatch(r"    (\w+) --> (\w+): (.*)", line):
            drawn |= {(found[1], on, found[2]) for on in found[3].split(", ")}
    assert drawn == {(s.value, on.value, then.value) for (s, on), then in table.items() if s is not then}


@pytest.mark.parametrize("name", TABLES)
def test_the_documentation_shows_the_tables_as_they_are(name: str) -> None:
    text = (Path(orders.__file__).parent / "README.md").read_text()
    assert f"<!-- {name} -->\n```mermaid\n{diagram(TABLES[name])}```" in text
