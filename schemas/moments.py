"""Which times (microseconds since the epoch, UTC) everything that reads the log can hold: ClickHouse's DateTime64 is the narrowest."""

from __future__ import annotations

from typing import Final

LATEST: Final = 9_214_646_400_000_000  # the year 2262 begins


def holds(at: int | None) -> bool:
    """Whether a time is one that can be held; none is."""
    return at is None or 0 <= at < LATEST


def held(at: int | None) -> int | None:
    """The time; none in place of one that cannot be held."""
    return at if holds(at) else None
