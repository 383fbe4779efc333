"""A log of its own for each test of a sink."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sink_bench import Log


@pytest.fixture
def log(stack: Any) -> Iterator[Log]:
    """Empty topics under a prefix of their own, gone after the test, as are the processes that read them."""
    made = Log(stack)
    yield made
    for process in made.readers:
        process.kill()
    made.delete()
