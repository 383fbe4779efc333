"""What a sink is: a target, the topics it reads, and `setup`, `write` and `resume`. `sinks.runner` does everything else.

A sink says what it wants in class attributes, is given batches of decoded rows, and makes them durable before it returns. It knows
nothing of consumers, rebalances, commits, back-off and dead letters. Whether a row that comes twice is seen twice is the sink's own
matter: each says in its module how it makes repeating harmless.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from confluent_kafka import Message

from schemas.records import Record

Place = tuple[str, int]  # topic, partition


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A decoded record and where it stood in the log. `topic` is the flow's own name, `timestamp` Kafka's, in microseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    record: Any
    message: Message


class Refused(Exception):
    """`write` was given rows that the target will never take: `(row, stable code, detail)` each. The others are offered again."""

    def __init__(self, rows: Sequence[tuple[Row, str, str]]) -> None:
        super().__init__(f"{len(rows)} rows refused, the first: {rows[0][1]}: {rows[0][2]}")
        self.rows = rows


class Later(Exception):
    """The target asks to be left alone for `after` seconds at least."""

    def __init__(self, detail: str, after: float = 0.0) -> None:
        super().__init__(detail)
        self.after = after


class Rewind(Exception):
    """The target no longer holds what was written to it (it was restored, or wiped): `resume` is asked again, and read from there."""


class Unusable(Exception):
    """The target contradicts the log (it is ahead of it): a person must decide, so the process ends."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A batch is written when it has `rows` rows or is `linger` seconds old. Back-off doubles from `backoff` to `backoff_max` seconds."""

    rows: int = 20_000
    linger: float = 0.25
    backoff: float = 0.1
    backoff_max: float = 5.0


class Sink(ABC):
    """One target. `transient` are the errors that mean *try again later*; any other error ends the process uncommitted.

    `topics` are the flow's own names; where a deployment puts a prefix before them, the runner adds and removes it.
    """

    topics: ClassVar[Mapping[str, tuple[type[Record], ...]]]
    transient: ClassVar[tuple[type[Exception], ...]] = (OSError, Later)
    settings: ClassVar[Settings] = Settings()

    @abstractmethod
    def setup(self) -> None:
        """Connect and make what is missing at the target. Repeated until it succeeds."""

    @abstractmethod
    def write(self, batch: Sequence[Row]) -> None:
        """Make the rows durable before returning. May see rows again after a failure: must be repeatable.

        Rows of one partition come in the order of the log. Raises `Refused`, `Rewind`, or one of `transient`. A sink that has `resume` raises
        `Refused` before it writes anything, so that a refused row is dead-lettered before the target holds a later one.
        """

    def resume(self, committed: Mapping[Place, int]) -> Mapping[Place, int]:
        """The next offset that the target needs of each place, given the group's committed ones (0 where it has none).

        Called whenever partitions are opened. A place left out is read from the committed offset.
        """
        return {}

    def close(self) -> None:  # noqa: B027 - most targets have nothing to close
        """Let go of connections."""
