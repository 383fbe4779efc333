"""Words are only of codes that there are, and each way an order can end without a reason of its own has some."""

from __future__ import annotations

import importlib
import pkgutil

import streams.domain
from streams.domain import leftovers, routing
from streams.domain.reasons import WORDS, said


def codes() -> set[str]:
    """Every constant of the domain that is a code: named as it reads."""
    modules = [
        importlib.import_module(f"streams.domain.{m.name}") for m in pkgutil.iter_modules(streams.domain.__path__)
    ]
    return {name for module in modules for name, value in vars(module).items() if name == value}


def test_words_are_of_codes_that_there_are() -> None:
    assert set(WORDS) <= codes()
    assert all(words and words[0].islower() and not words.endswith(".") for words in WORDS.values())


def test_what_the_router_leaves_unplaced_is_told_in_words() -> None:
    left = (routing.NO_ELIGIBLE_VENUE, routing.NO_LIQUIDITY, routing.NO_VENUE_FILLS_WHOLE, routing.BELOW_MINIMUM)
    for code in (
        *left,
        routing.BELOW_LOT,
        routing.WOULD_TAKE,
        routing.CHILD_LIMIT,
        routing.TOO_OLD,
        leftovers.IOC_REMAINDER,
    ):
        assert said(code, "") == WORDS[code]


def test_a_reason_that_was_given_stays() -> None:
    assert said("HALTED", "by the operator") == "by the operator"
    assert said("", "") == said("SOME_CODE_OF_A_VENUE", "") == ""
