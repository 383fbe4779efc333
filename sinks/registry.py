"""The table of sinks: a new one is a file and a row here.

Rows name modules instead of importing them, so that a process loads only what its own sink needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from sinks.base import Sink

# name -> the module whose `build(config)` makes the sink
SINKS: Mapping[str, str] = {
    "clickhouse": "sinks.clickhouse",
    "readmodel": "sinks.readmodel",
    "notifier": "sinks.notifier",
}


def load(name: str, config: Mapping[str, Any]) -> Sink:
    """The sink of a name. Raises `KeyError` for a name that is not in the table or a setting that is missing."""
    sink = import_module(SINKS[name]).build(config)
    if not isinstance(sink, Sink):
        raise TypeError(f"{SINKS[name]}.build made no sink")
    return sink
