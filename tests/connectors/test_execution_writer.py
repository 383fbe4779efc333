"""A transaction holds all of a step or nothing of it, whatever becomes of its partition meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from children import CHILD
from confluent_kafka import Producer

from connectors.execution import report
from connectors.execution.journal import Kept
from connectors.execution.writer import Ownership, Writer
from connectors.venues.outcomes import OrderView, VenueOrderStatus, VenueTrade
from schemas.codec import Codec, LocalRegistry
from schemas.records import Liquidity


class Scribe:
    """A producer that only remembers; `after(n)` is called when it has been given n records."""

    def __init__(self, after: Callable[[int], None]) -> None:
        self.records: list[str] = []
        self.committed: list[tuple[list[str], list[tuple[int, int]]]] = []
        self.offsets: list[tuple[int, int]] = []
        self.after = after

    def begin_transaction(self) -> None:
        self.records, self.offsets = [], []

    def produce(self, topic: str, **_: Any) -> None:
        self.records.append(topic)
        self.after(len(self.records))

    def send_offsets_to_transaction(self, places: Any, *_: Any) -> None:
        self.offsets = [(p.partition, p.offset) for p in places]

    def commit_transaction(self, *_: Any) -> None:
        self.committed.append((self.records, self.offsets))


@pytest.mark.parametrize("lost_after", [1, 2, 3, 4, None])
def test_a_partition_that_is_lost_while_it_is_written_is_not_half_written(lost_after: int | None) -> None:
    owner, other = Ownership(0, 10, "generation 5"), Ownership(1, 20, "generation 5")

    def lose(count: int) -> None:
        if count == lost_after:
            owner.active = False

    writer = Writer({"bootstrap.servers": "127.0.0.1:1"}, "test", Codec(LocalRegistry()))
    scribe = Scribe(lose)
    writer._producer = cast(Producer, scribe)
    fill = VenueTrade("1", "77", 10, 100, 0, "USDT", Liquidity.TAKER, 5)
    step = report.observe(
        "c-1", report.claim(CHILD, 1), OrderView("c-1", "77", VenueOrderStatus.FILLED, 100, 5), [fill], 2
    )
    states: dict[tuple[Ownership, str], Kept | None] = {(owner, "c-1"): step.state, (other, "c-2"): step.state}
    batch = type(writer._batch)(states, [(owner, r) for r in step.reports])
    writer._commit(batch)
    [(records, offsets)] = scribe.committed
    assert records == ["execution.journal"] * 2 + ["exchange.acks"] * 2
    assert sorted(offsets) == [(0, 10), (1, 20)]


def test_of_a_partition_that_was_lost_before_nothing_is_written() -> None:
    owner = Ownership(0, 10, "generation 5", active=False)
    writer = Writer({"bootstrap.servers": "127.0.0.1:1"}, "test", Codec(LocalRegistry()))
    scribe = Scribe(lambda _: None)
    writer._producer = cast(Producer, scribe)
    writer._commit(type(writer._batch)({(owner, "c-1"): report.claim(CHILD, 1)}))
    assert not scribe.committed
