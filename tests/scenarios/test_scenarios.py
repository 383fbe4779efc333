"""Every scenario through the test driver: both agents, a clock that stands still, venues that are a page of plain code."""

from __future__ import annotations

import pytest

from tests.scenarios import told
from tests.scenarios.house import House
from tests.scenarios.language import Scenario, scenarios

ALL = scenarios()
LEAST = 60


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_scenario(one: Scenario) -> None:
    house = House(one)
    wrong = []
    for step in one.steps:
        wrong += told.differences(one, step, house.step(step))
    wrong += told.ends(one, house.has())
    assert not wrong, "\n" + "\n".join(wrong)


def test_there_are_enough() -> None:
    assert len({one.name for one in ALL}) == len(ALL) >= LEAST
    assert sum(not one.alone for one in ALL) >= LEAST
