"""Every scenario end to end, all at the same time in one pipeline of real parts: see `tests.scenarios.pipeline`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.settings import Addresses, Settings
from infra.stack.stack import Stack
from tests.scenarios.language import Scenario, scenarios
from tests.scenarios.pipeline import Play

TOGETHER = [one for one in scenarios() if not one.alone]


@pytest.fixture(scope="module")
def play(stack: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """The pipeline after its run. Its Kafka is its own: the agents' topics have one name each in a cluster."""
    folder = tmp_path_factory.mktemp("scenarios")
    settings = Settings(home=folder, registry=stack.registry, valkey=stack.valkey, clickhouse=stack.clickhouse)
    with Stack(folder, settings, brief=True) as own:
        made = Play(stack, own.addresses.kafka, folder, TOGETHER)
        made.run()
        yield made


@pytest.mark.parametrize("number", range(len(TOGETHER)), ids=lambda n: TOGETHER[n].name)
def test_scenario(play: Play, number: int) -> None:
    wrong = play.stages[number].judge()
    assert not wrong, "\n" + "\n".join(wrong)


def test_the_whole(play: Play) -> None:
    """Nothing was put aside, no part died, and all that is true of a system is true of this one."""
    assert not play.letters
    assert set(play.restarts.values()) == {0}
    assert {name: found for name, found in play.found.items() if found} == {}
    print(f"{len(TOGETHER)} scenarios in {play.seconds:.0f} s")


def test_names_are_kept_apart(play: Play) -> None:
    owners: dict[str, Scenario] = {}
    for stage in play.stages:
        for name in (*stage.accounts, stage.symbol):
            assert owners.setdefault(name, stage.one) is stage.one
